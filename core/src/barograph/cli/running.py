"""``barograph run``: the monitor, its server, and their signals."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from barograph import __version__
from barograph.cli.failures import CANNOT, Failed, mistake_lines
from barograph.cli.lookup import config_option, data_dir_option, find_config, load

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.contracts import Problem, Server
    from barograph.monitor import PerformanceMonitor

SERVERS = "barograph.servers"
"""Entry points whose objects are made as ``cls(monitor, config)``; the first by name serves."""


@click.command("run")
@config_option
@data_dir_option
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Port to listen on; 0: any free one.  [default: 10132]")  # fmt: skip
@click.option("--no-auth", is_flag=True, default=None,
              help="No token needed; on a loopback address only.")  # fmt: skip
def run(
    config_path: Path | None, data_dir: Path | None, host: str | None, port: int | None,
    no_auth: bool | None,
) -> None:  # fmt: skip
    """Monitor this host and serve the page until Ctrl-C or SIGTERM.

    SIGHUP reads the configuration again. A listening address other than loopback needs a token in
    the variable BAROGRAPH_TOKEN.
    """
    from barograph.monitor import PerformanceMonitor
    from barograph.plugins import PluginManager

    overrides = {
        "monitor.data_dir": None if data_dir is None else str(data_dir.absolute()),
        "server.host": host, "server.port": port, "server.no_auth": no_auth or None,
    }  # fmt: skip
    signals = Signals()
    plugins = PluginManager()
    config = load(config_path, overrides, plugins)
    used = find_config(config_path)
    say(f"Barograph {__version__} (pid {os.getpid()})")
    say(f"configuration: {used.absolute() if used else 'no file; defaults'}")
    monitor = PerformanceMonitor(config, plugins=plugins)
    server = make_server(monitor, config)
    if server is not None:
        server.bind()
    monitor.start()
    told: set[str] = set()

    def reload() -> None:
        reload_config(monitor, config_path, overrides)
        tell_problems(monitor.problems, told)

    def ready(url: str) -> None:
        signals.ready()
        tell_problems(monitor.problems, told)
        say(f"Open {url}" if url else "Recording; no server is installed, so there is no page")

    try:
        tell_start(monitor)
        if server is not None:
            server.serve(ready, lambda: signals.in_turn(reload))
        else:
            ready("")
            signals.wait(reload)
    finally:
        monitor.stop()
    say("stopped")


def make_server(monitor: PerformanceMonitor, config: Config) -> Server | None:
    """The installed server (by entry point: the kernel knows none by name), or None."""
    points = sorted(importlib.metadata.entry_points(group=SERVERS), key=lambda point: point.name)
    if not points:
        return None
    try:
        cls = points[0].load()
    except Exception as error:
        told = f"the server {points[0].value} cannot be imported: {type(error).__name__}: {error}"
        raise Failed(f"{told}; install barograph-api anew", CANNOT) from error
    server: Server = cls(monitor, config)
    return server


def reload_config(
    monitor: PerformanceMonitor, config_path: Path | None, overrides: dict[str, Any]
) -> None:
    """Take over a changed file; one with mistakes changes nothing."""
    from barograph.config import ConfigErrors

    try:
        config = load(config_path, overrides, monitor.plugins)
    except ConfigErrors as errors:
        for line in mistake_lines(errors):
            say(line)
        say("configuration not reloaded: the one before stays in force")
        return
    for sentence in monitor.reload(config):
        say(sentence)
    say("configuration reloaded")


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP from the first moment on.

    Before ``ready``, SIGINT and SIGTERM interrupt what runs (exit code 130). Afterwards the server
    has its own handlers; without one, ``wait`` is told through a pipe, since a handler may not take
    a lock that the interrupted code holds.
    """

    def __init__(self) -> None:
        self._ready = False
        self._turn = threading.Lock()
        self._read, self._write = os.pipe()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if not self._ready:
            raise KeyboardInterrupt
        os.write(self._write, b"e")

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        os.write(self._write, b"h")

    def ready(self) -> None:
        """From now on the end is a clean one."""
        self._ready = True

    def wait(self, on_reload: Callable[[], None]) -> None:
        """Until SIGINT or SIGTERM; ``on_reload`` at each SIGHUP."""
        while os.read(self._read, 1) == b"h":
            on_reload()

    def in_turn(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread of its own (no event loop waits for it), one at a time."""

        def locked() -> None:
            with self._turn:
                try:
                    work()
                except Exception as error:  # noqa: BLE001 — told; the server goes on
                    say(f"reloading failed: {type(error).__name__}: {error}")

        threading.Thread(target=locked, name="reload", daemon=True).start()


def tell_start(monitor: PerformanceMonitor) -> None:
    """Where the data is and what runs."""
    config = monitor.config
    say(f"data: {config.monitor.directory}")
    infos = monitor.plugins.discover()
    running = [info.name for info in infos if info.enabled and not info.error]
    off = [info.name for info in infos if not info.enabled]
    say(f"plugins: {', '.join(running)}" + (f"; switched off: {', '.join(off)}" if off else ""))


def tell_problems(problems: list[Problem], told: set[str]) -> None:
    """A line for each problem that was not told before."""
    for problem in problems:
        line = f"{problem.severity}: {problem.where}: {problem.what}"
        line += f"; {problem.remedy}" if problem.remedy else ""
        if line not in told:
            told.add(line)
            say(line)


def say(line: str) -> None:
    """One line, at once: the output may be a log."""
    click.echo(line)


commands = {"run": run}
