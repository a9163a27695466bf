"""``barograph doctor``: tests the machine and the configuration, and says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from barograph.cli import machine
from barograph.cli.configuring import misfits
from barograph.cli.console import print_json, progress, say, time_text
from barograph.cli.failures import CheckFailed, Failed, NotThere, mistake_lines
from barograph.cli.findings import Finding, error, ok, warning
from barograph.cli.lookup import config_option, data_dir_option, find_config, load
from barograph.cli.plugins import try_all
from barograph.cli.running import make_server, server_point
from barograph.cli.status import STATUS, ask, find_running

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.contracts import StoreError
    from barograph.plugins import PluginManager

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command("doctor")
@config_option
@data_dir_option
@click.option("--store", "whole_store", is_flag=True,
              help="Read and check every sample in the store, too.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="A list of the findings, for scripts.")
def doctor(
    config_path: Path | None, data_dir: Path | None, whole_store: bool, as_json: bool
) -> None:  # fmt: skip
    """Test the machine and the configuration, and say what to do.

    May run beside a server. Ends with 1 if there is an error.
    """
    from barograph.config import ConfigErrors
    from barograph.config.load import load_config
    from barograph.plugins import PluginManager

    manager = PluginManager()
    findings: list[Finding] = []

    def tell(found: Iterable[Finding]) -> None:
        for finding in found:
            findings.append(finding)
            if not as_json:
                show(finding)

    tell(machine.python())
    where = None if data_dir is None else str(data_dir.absolute())
    try:
        config = load(config_path, {"monitor.data_dir": where}, manager)
        tell(_configuration(config_path, config, manager))
    except ConfigErrors as errors:
        remedy = "`barograph check-config` shows these lines alone"
        tell(error("configuration", line, remedy) for line in mistake_lines(errors.mistakes))
        tell([warning("configuration", "all below is tested with the defaults",
                      "mend the configuration, then ask again")])  # fmt: skip
        config = load_config(overrides={"monitor.data_dir": where} if where else {})
    tell(_plugins(config, manager))
    directory = config.monitor.directory
    tell(machine.data_directory(directory))
    tell(machine.lock(directory))
    before = len(findings)
    tell(_server(config))
    if not any(finding.level == "ok" for finding in findings[before:]):  # else it has the port
        tell(_port(config, manager))
    tell(_tokens(directory))
    tell(machine.clock())
    tell(machine.descriptors())
    tell(machine.kernel())
    tell(_page())
    tell(_parquet())
    tell(_store(config, manager, whole_store))
    if as_json:
        print_json([attrs.asdict(finding) for finding in findings])
    errors_found = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if not as_json:
        say(f"{_count(errors_found, 'error')}, {_count(warnings, 'warning')}")
    if errors_found:
        raise CheckFailed("")


def show(finding: Finding) -> None:
    """A line, and what to do in a second one."""
    word = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level], bold=True)
    say(f"{word} {finding.name:<14} {finding.detail}")
    if finding.remedy:
        say(f"{'':<8} {'':<14} -> {finding.remedy}")


def _configuration(
    named: Path | None, config: Config, manager: PluginManager
) -> Iterator[Finding]:  # fmt: skip
    wrong = misfits(config, manager)
    for line in mistake_lines(wrong):
        yield error("configuration", line, "mend it, then: barograph check-config")
    if not wrong:
        used = find_config(named)
        yield ok("configuration", str(used.absolute()) if used else "no file; the defaults hold")


def _plugins(config: Config, manager: PluginManager) -> Iterator[Finding]:
    try_all(manager, config)
    infos = manager.discover()
    running = [f"{info.name} {info.version}" for info in infos if info.enabled and not info.error]
    if running:
        yield ok("plugins", ", ".join(running))
    else:
        told = "none runs: there is nothing to monitor with"
        yield error("plugins", told, "pip install barograph, or switch one on")
    for problem in manager.problems:
        yield finding_of("plugins", attrs.asdict(problem))


def _server(config: Config) -> Iterator[Finding]:
    """The server that runs on the data directory, asked how it does."""
    answer = None
    try:
        running = find_running(config.monitor.directory)
        if running is None:
            return
        where = f"at {running.url} (pid {running.pid})"
        answer = ask(running, STATUS) if running.alive else None
    except NotThere:
        pass  # its process has ended; the file that tells of it is left
    except Failed as failed:
        yield error("server", failed.message, "restart it, or ask as the user that runs it")
        return
    if answer is None:
        told = f"the last one, {where}, did not end by itself"
        yield warning("server", told, "nothing is lost; see its log for why")
    elif answer["health"]["ready"]:
        yield ok("server", f"runs {where}")
    else:
        yield error("server", f"runs {where}, but samples do not flow", "barograph status")
    for problem in answer["problems"] if answer else []:
        yield finding_of("server", problem)


def _tokens(directory: Path) -> Iterator[Finding]:
    """Ingest tokens, where there are any: a damaged file shuts all senders out."""
    from barograph.ingest_tokens import TokenError, read_tokens

    try:
        known = [one.name for one in read_tokens(directory)]
    except TokenError as failure:
        told, _, remedy = str(failure).partition("; ")
        yield error("ingest tokens", told, remedy or "run it as the user that runs the server")
        return
    if known:
        shown = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
        yield ok("ingest tokens", f"{len(known)}: {shown}", "barograph token list")


def _port(config: Config, manager: PluginManager) -> Iterator[Finding]:
    """Whether a server could take its port; it is tried with the server's own code."""
    from barograph.contracts import ServerError
    from barograph.monitor import PerformanceMonitor

    try:
        candidate = make_server(PerformanceMonitor(config, plugins=manager), config)
        if candidate is None:
            told = "no server is installed: `barograph run` records, but shows no page"
            yield warning("port", told, "pip install barograph-api")
            return
        candidate.bind()
    except (ServerError, Failed) as failure:
        told, _, remedy = str(failure).partition("; ")
        yield error("port", told, remedy or "choose another --host or --port")
    else:
        yield ok("port", f"{config.server.host}:{config.server.port} is free")


def finding_of(name: str, problem: Mapping[str, Any]) -> Finding:
    """A problem of a plugin or of the running server, at its own severity."""
    level = warning if problem["severity"] == "warning" else error
    return level(name, f"{problem['where']}: {problem['what']}", problem["remedy"])


def _page() -> Iterator[Finding]:
    from importlib.resources import files

    point = server_point()
    if point is None:
        return
    package = point.module.partition(".")[0]
    if files(package).joinpath("static", "index.html").is_file():
        yield ok("web page", f"built, in {package}")
    else:
        told = f"{package} has no built page (static/index.html): the server answers data only"
        yield error("web page", told, "install barograph-api from its wheel, or build it: uv sync")


def _parquet() -> Iterator[Finding]:
    from importlib.util import find_spec

    if find_spec("pyarrow") is not None:
        yield ok("pyarrow", "installed: Parquet can be written and read")
    else:
        told = "not installed; needed for Parquet files only"
        yield ok("pyarrow", told, "pip install 'barograph-sqlite[parquet]' if you want them")


def _store(config: Config, manager: PluginManager, whole: bool) -> Iterator[Finding]:
    import time

    from barograph.contracts import StoreError, StoreMissing
    from barograph.stores import find_store

    try:
        store = find_store(config, manager)
        store.open(read_only=True)
    except StoreMissing:
        yield ok("store", "none yet; the first `barograph run` makes it")
        return
    except StoreError as failure:
        yield failed_store(failure)
        return
    try:
        stats = store.stats()
        told = (
            f"{stats.samples:,} samples of {stats.series:,} series until {time_text(stats.t_max)}"
        )
        now_ms = time.time() * 1000
        if stats.t_max is not None and stats.t_max > now_ms + 60_000:
            remedy = "set the clock right (NTP); until then new samples count as late"
            yield warning("store", f"{told}, which is in the future", remedy)
        elif not whole:
            yield ok("store", told, "--store reads and checks them all")
        if whole:
            with progress("Checking the store") as report:
                damaged = store.check(report)
            for problem in damaged:
                yield finding_of("store", attrs.asdict(problem))
            if not damaged:
                yield ok("store", f"{told}; all read, none damaged")
    except StoreError as failure:
        yield failed_store(failure)
    finally:
        store.close()


def failed_store(failure: StoreError) -> Finding:
    """The store's own words; its advice, where it gives one, is behind the semicolon."""
    told, _, remedy = str(failure).partition("; ")
    return error("store", told, remedy or "see docs/explanation/storage.md, or restore a backup")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


commands = {"doctor": doctor}
