"""The group of all commands: built-in ones imported when needed, and those of plugins."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from barograph import __version__
from barograph.cli.console import warn
from barograph.cli.failures import Defect, translated

if TYPE_CHECKING:
    from barograph.plugins import PluginManager

BUILT_IN = {
    "run": ("running", "Monitor this host and serve its page."),
    "init": ("configuring", "Write a commented configuration."),
    "check-config": ("configuring", "Judge a configuration."),
    "doctor": ("doctoring", "Test machine and configuration; say what to do."),
    "status": ("status", "Ask the running server how it does."),
    "plugins": ("plugins", "List plugins; switch them on and off."),
    "query": ("querying", "Evaluate PromQL over the store."),
    "token": ("tokens", "Tokens of programs that only write samples."),
    "backup": ("storing", "Copy the store while it runs."),
    "export": ("storing", "Write samples to a file."),
    "import": ("storing", "Read samples from a file."),
}
"""Command -> module of this package that has it in ``commands``, and what it does in short (here,
so that ``--help`` imports none of them)."""

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
        if cmd_name in BUILT_IN:
            module, _ = BUILT_IN[cmd_name]
            found = import_module(f"barograph.cli.{module}").commands[cmd_name]
            assert isinstance(found, click.Command)
            return found
        return self._plugin_commands().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches

            close = get_close_matches(name, self.list_commands(ctx), 1, 0.6)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such command '{name}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, short) for name, (_, short) in BUILT_IN.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        of_plugins = [
            (name, command.get_short_help_str(60))
            for name, command in sorted(self._plugin_commands().items()) if not command.hidden
        ]  # fmt: skip
        if of_plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(of_plugins)

    def _plugin_commands(self) -> dict[str, click.Command]:
        if self._of_plugins is None:
            from barograph.plugins import PluginManager

            manager = PluginManager()
            self._of_plugins, told = plugin_commands(manager)
            off = switched_off(manager) if manager.problems else set()
            told += [f"{p.where}: {p.what}; {p.remedy}" for p in manager.problems
                     if p.where.removeprefix("plugin ") not in off]  # fmt: skip
            for line in told:
                warn(line)
        return self._of_plugins

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (Exception, KeyboardInterrupt) as error:
            debug = bool(ctx.params.get("debug"))
            if debug:
                import traceback  # only here: `--help` is to be quick

                traceback.print_exc(file=sys.stderr)
            known = translated(error)
            if known is not None:
                raise known from error
            hint = "" if debug else "; `barograph --debug ...` shows where it happened"
            told = f"{type(error).__name__}: {error} (a defect{hint})"
            raise Defect(told) from error


def plugin_commands(manager: PluginManager) -> tuple[dict[str, click.Command], list[str]]:
    """Commands that plugins bring, and a sentence about each that cannot be taken."""
    found: dict[str, click.Command] = {}
    told: list[str] = []
    manager.discover()
    for plugin, command in manager.call("barograph_commands"):
        name = getattr(command, "name", None)
        if not isinstance(command, click.Command) or not name:
            told.append(f"plugin {plugin} gives no click command but {command!r}; it is left out")
        elif name in BUILT_IN or name in found:
            told.append(f'plugin {plugin} brings a command "{name}", a name that is taken; '
                        "it is left out")  # fmt: skip
        else:
            found[name] = command
    return found, told


def switched_off(manager: PluginManager) -> set[str]:
    """Plugins that the configuration switches off: nobody wants to know of their failures."""
    from barograph.cli.lookup import load
    from barograph.config.errors import ConfigErrors

    try:
        settings = load(None, {}, manager).plugins
    except ConfigErrors:
        return set()  # told by the command that uses the configuration
    return {name for name, one in settings.items() if not one.enabled}


@click.group(
    cls=Commands, epilog=EPILOGUE, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="barograph")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def main(debug: bool) -> None:
    """Record the pressure on this host and its applications, and see the weather coming.

    `barograph run` starts the monitor and its page.
    """
