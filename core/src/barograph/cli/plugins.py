"""``barograph plugins``: what is installed, and switching it on and off."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from barograph.cli.configuring import NoOptions
from barograph.cli.console import print_json, say, table, warn
from barograph.cli.failures import Failed, NotThere, mistake_lines
from barograph.cli.lookup import config_option, find_config, load, places

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.plugins import PluginInfo, PluginManager


CELL = 40
"""Characters of an option's value in a table; lists of selectors are longer."""


@click.group("plugins")
def plugins() -> None:
    """Show the installed plugins; switch them on and off."""


@plugins.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(config_path: Path | None, as_json: bool) -> None:
    """All installed plugins, and why one does not run."""
    manager, _ = loaded(config_path)
    infos = manager.discover()
    if as_json:
        print_json([facts(info) for info in infos])
        return
    rows = [[i.name, state_of(i), i.version, i.error or summary_of(i)] for i in infos]
    table(["plugin", "state", "version", "what it does, or why it does not run"], rows)


@plugins.command("info")
@click.argument("name")
@config_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def info(name: str, config_path: Path | None, as_json: bool) -> None:
    """One plugin: where it comes from, what it brings, its options as configured."""
    from barograph.config.schema import describe

    manager, _ = loaded(config_path)
    found = installed(manager, name)
    cls = manager.config_classes().get(name) or NoOptions
    docs = [doc for doc in describe({name: cls}) if doc.section == f"plugins.{name}"]
    chosen = manager.options(name)
    options = [
        {**attrs.asdict(doc), "value": found.enabled if doc.key == "enabled"
         else option_text(chosen, doc.key)}
        for doc in docs
    ]  # fmt: skip
    if as_json:
        print_json({**facts(found), "options": options})
        return
    say(f"{found.name} {found.version}: {summary_of(found)}")
    say(f"state    {state_of(found)}" + (f": {found.error}" if found.error else ""))
    say(f"package  {found.dist or 'not from a package'}, module {found.module}")
    say(f"brings   {', '.join(h.removeprefix('barograph_') for h in found.hooks) or 'nothing'}")
    if not options:
        say("options  none but enabled")
        return
    say("")
    say(f"[plugins.{name}]")
    rows = [[o["key"], str(o["value"]).lower() if o["key"] == "enabled" else _cut(o["value"]),
             _cut(o["default"]), o["type"], o["help"]] for o in options]  # fmt: skip
    table(["option", "value", "default", "type", "meaning"], rows)
    if any(len(o[part]) > CELL for o in options for part in ("default", "value")
           if o["key"] != "enabled"):  # fmt: skip
        say("values that end in ... are cut; --json has them whole")


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[: CELL - 4]} ..."


@plugins.command("enable")
@click.argument("name")
@config_option
def enable(name: str, config_path: Path | None) -> None:
    """Switch a plugin on in the configuration file; comments stay."""
    switch(name, config_path, True)


@plugins.command("disable")
@click.argument("name")
@config_option
def disable(name: str, config_path: Path | None) -> None:
    """Switch a plugin off in the configuration file; comments stay."""
    switch(name, config_path, False)


def switch(name: str, config_path: Path | None, enabled: bool) -> None:
    """Write ``enabled`` into the file in use, or into the user's where there is none."""
    from barograph.cli.status import find_running
    from barograph.config.edit import set_enabled

    manager, config = loaded(config_path)
    installed(manager, name)
    path = find_config(config_path)
    if path is None:
        path = places()[1]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    elif not path.exists():
        raise NotThere(f"there is no {path}; write it with: barograph init {path}")
    set_enabled(path, name, enabled)
    say(f"{name} is switched {'on' if enabled else 'off'} in {path}")
    if config is None:
        return
    try:
        running = find_running(config.monitor.directory)
    except Failed:
        return  # another user's server: nothing to advise
    if running is not None and running.alive:
        say(f"a server runs: `kill -HUP {running.pid}` makes it take this over")


def loaded(config_path: Path | None) -> tuple[PluginManager, Config | None]:
    """The plugins as configured; as by default (and a warning) if there are mistakes."""
    from barograph.config import Config, ConfigErrors
    from barograph.plugins import PluginManager

    manager = PluginManager()
    config = None
    try:
        config = load(config_path, {}, manager)
    except ConfigErrors as errors:
        for line in mistake_lines(errors.mistakes):
            warn(line)
        warn("shown as by default, because of these mistakes in the configuration")
    try_all(manager, config or Config())
    return manager, config


def try_all(manager: PluginManager, config: Config) -> None:
    """Ask every plugin for all it brings: what fails only then shows as it will in `run`."""
    from barograph import hookspecs

    manager.load(config)
    for hook in dir(hookspecs):
        if hook.startswith("barograph_"):
            manager.call(hook, data_dir=config.monitor.directory)


def installed(manager: PluginManager, name: str) -> PluginInfo:
    """The plugin ``name``. Raises Failed with the nearest name, or how to install it."""
    from difflib import get_close_matches

    infos = {info.name: info for info in manager.discover()}
    if name in infos:
        return infos[name]
    close = get_close_matches(name, infos, 1, 0.6)
    hint = f'did you mean "{close[0]}"?' if close else (
        f"install it with: pip install barograph-{name}")  # fmt: skip
    raise NotThere(f'plugin "{name}" is not installed; {hint}')


def state_of(info: PluginInfo) -> str:
    """``on``, ``off`` or ``broken``."""
    return "off" if not info.enabled else "broken" if info.error else "on"


def summary_of(info: PluginInfo) -> str:
    """What its package says of itself."""
    try:
        return (
            str(importlib.metadata.metadata(info.dist).json.get("summary", "")) if info.dist else ""
        )
    except importlib.metadata.PackageNotFoundError:
        return ""


def facts(info: PluginInfo) -> dict[str, Any]:
    """A plugin for scripts."""
    return {**attrs.asdict(info), "state": state_of(info), "summary": summary_of(info)}


def option_text(chosen: Any, key: str) -> str:
    """An option's value in force, as it would stand in the file."""
    from typing import get_type_hints

    from barograph.config.schema import toml_text

    return toml_text(getattr(chosen, key), get_type_hints(type(chosen))[key])


commands = {"plugins": plugins}
