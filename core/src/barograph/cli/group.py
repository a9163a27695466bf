"""The group of all commands: built-in ones imported when needed, and those of plugins."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from typing import Any

import click

from barograph import __version__
from barograph.cli.failures import DEFECT, Failed, translated

BUILT_IN = {
    "run": "running",
    "init": "configuring",
    "check-config": "configuring",
    "doctor": "doctoring",
    "status": "status",
    "plugins": "plugins",
    "backup": "storing",
    "export": "storing",
    "import": "storing",
}
"""Command -> module of this package that defines it (as ``commands[name]``)."""

EPILOGUE = (
    "Exit codes: 0 done; 1 a check failed; 2 a mistake in the call or the configuration; "
    "3 the store or the server cannot do it (in use, full, port taken); 4 not running or not "
    "there; 70 a defect; 130 interrupted."
)


class Commands(click.Group):
    """Commands by name; ``--help`` alone asks the plugins too."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._of_plugins: dict[str, click.Command] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*BUILT_IN, *sorted(self._plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = BUILT_IN.get(cmd_name)
        if module is not None:
            found = import_module(f"barograph.cli.{module}").commands[cmd_name]
            assert isinstance(found, click.Command)
            return found
        return self._plugin_commands().get(cmd_name)

    def _plugin_commands(self) -> dict[str, click.Command]:
        if self._of_plugins is None:
            from barograph.plugins import PluginManager

            self._of_plugins, told = plugin_commands(PluginManager())
            for line in told:
                click.echo(f"warning: {line}", err=True)
        return self._of_plugins

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 — told, with its code
            debug = bool(ctx.params.get("debug"))
            if debug:
                traceback.print_exc(file=sys.stderr)
            known = translated(error)
            if known is not None:
                raise known from error
            hint = "" if debug else "; `barograph --debug ...` shows where it happened"
            told = f"{type(error).__name__}: {error} (a defect{hint})"
            raise Failed(told, DEFECT) from error


def plugin_commands(manager: Any) -> tuple[dict[str, click.Command], list[str]]:
    """Commands that plugins bring, and a sentence about each that cannot be had."""
    found: dict[str, click.Command] = {}
    told: list[str] = []
    for plugin, command in manager.call("barograph_commands"):
        name = getattr(command, "name", None)
        if not isinstance(command, click.Command) or not name:
            told.append(f"plugin {plugin} gives no click command but {command!r}; it is left out")
        elif name in BUILT_IN or name in found:
            told.append(f'plugin {plugin} brings a command "{name}", a name that is taken; '
                        "it is left out")  # fmt: skip
        else:
            found[name] = command
    told += [f"{p.where}: {p.what}; {p.remedy}" for p in manager.problems]
    return found, told


@click.group(cls=Commands, epilog=EPILOGUE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="barograph")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def main(debug: bool) -> None:
    """Record the pressure on this host and its applications, and see the weather coming.

    `barograph run` starts the monitor and its page.
    """
