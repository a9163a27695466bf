"""``barograph run``: the monitor, its server, and their signals."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barograph import __version__
from barograph.cli.console import say
from barograph.cli.failures import Cannot, Misused, mistake_lines
from barograph.cli.lookup import config_option, data_dir_option, find_config, load
from barograph.cli.signals import Signals
from barograph.cli.telling import Problems, tell_start

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.contracts import Server
    from barograph.monitor import PerformanceMonitor

SERVERS = "barograph.servers"
"""Entry points whose objects are made as ``cls(monitor, config)``; the first by name serves."""

ATTACH = "attach"
"""The command of a plugin that runs a program measured."""


@click.command("run")
@config_option
@data_dir_option
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Port to listen on; 0: any free one.  [default: 10132]")  # fmt: skip
@click.option("--no-auth", is_flag=True, default=None,
              help="No token needed; on a loopback address only.")  # fmt: skip
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context, config_path: Path | None, data_dir: Path | None, host: str | None,
    port: int | None, no_auth: bool | None, program: tuple[str, ...],
) -> None:  # fmt: skip
    """Monitor this host and serve the page until Ctrl-C or SIGTERM.

    With a PROGRAM, such as `barograph run -- python app.py`: run it instead, so that the monitor
    that runs already measures it (`barograph attach` is the same).

    SIGHUP reads the configuration again. Closing its terminal ends the server. A listening address
    other than loopback needs a token in the variable BAROGRAPH_TOKEN.
    """
    from barograph.monitor import PerformanceMonitor
    from barograph.plugins import PluginManager

    if program:
        attach(ctx, program)
        return
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
    monitor = PerformanceMonitor(config, plugins=plugins, own_process=True)
    server = make_server(monitor, config)
    if server is not None:
        server.bind()
    problems = Problems(lambda: monitor.problems)

    def reload() -> None:
        reload_config(monitor, config_path, overrides)
        problems.tell()

    def on_hang_up() -> None:
        signals.in_turn(reload)

    def ready(url: str) -> None:
        if signals.ready():  # SIGHUP came meanwhile
            signals.in_turn(reload)
        problems.tell()
        problems.watch()
        say(f"Open {url}" if url else "Recording; no server is installed, so there is no page")

    try:
        with signals.held():  # half started, it could not be stopped well
            monitor.start()
        tell_start(monitor)
        if server is not None:
            server.serve(ready, on_hang_up)
        else:
            ready("")
            signals.wait(on_hang_up)
    finally:
        problems.end()
        signals.over()
        monitor.stop()
    say("stopped")


def attach(ctx: click.Context, program: tuple[str, ...]) -> None:
    """Hand a program over to the command that runs it measured. Raises Failed."""
    given = [name for name in ctx.params if name != "program" and ctx.params[name] is not None]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise Misused(f"{flags} is for the monitor; a program after -- goes to the one that runs")
    group = ctx.parent.command if ctx.parent is not None else None
    command = group.get_command(ctx, ATTACH) if isinstance(group, click.Group) else None
    if command is None:
        raise Cannot("no plugin can run a program; install it: pip install barograph-application")
    command.main(["--", *program], prog_name=f"barograph {ATTACH}", standalone_mode=False)


def server_point() -> importlib.metadata.EntryPoint | None:
    """Where the installed server is: the kernel knows none by name."""
    points = importlib.metadata.entry_points(group=SERVERS)
    return min(points, key=lambda point: point.name, default=None)


def make_server(monitor: PerformanceMonitor, config: Config) -> Server | None:
    """The installed server, or None. Raises Failed if it cannot be imported."""
    point = server_point()
    if point is None:
        return None
    try:
        cls = point.load()
    except Exception as error:
        told = f"the server {point.value} cannot be imported: {type(error).__name__}: {error}"
        raise Cannot(f"{told}; install barograph-api anew") from error
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
        for line in mistake_lines(errors.mistakes):
            say(line)
        say("configuration not reloaded: the one before stays in force")
        return
    for sentence in monitor.reload(config):
        say(sentence)
    say("configuration reloaded")


commands = {"run": run}
