"""``barograph init`` and ``barograph check-config``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from barograph.cli.console import print_json, say
from barograph.cli.failures import Cannot, Mistakes, Misused, mistake_lines
from barograph.cli.lookup import FILE, find_config, load

if TYPE_CHECKING:
    from barograph.config import Config, Mistake
    from barograph.plugins import PluginManager


@attrs.frozen
class NoOptions:
    """For plugins that have none but ``enabled``."""


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path(FILE))
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(path: Path, force: bool) -> None:
    """Write a configuration with every option, commented out at its default.

    PATH is a file or a directory; ./barograph.toml if left out.
    """
    from barograph.config.edit import template
    from barograph.plugins import PluginManager

    path = path / FILE if path.is_dir() else path
    found = PluginManager().config_classes()
    classes = {name: cls or NoOptions for name, cls in found.items()}
    # Readable by its owner alone: secrets may come to stand in it.
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if force else os.O_EXCL)
    try:
        fd = os.open(path, flags, 0o600)
    except FileExistsError:
        told = f"{path} exists already; --force overwrites it, another PATH keeps it"
        raise Cannot(told) from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        os.fchmod(fd, 0o600)
        file.write(template(classes))
    say(f"{path} written; uncomment what you want to change, then: barograph check-config {path}")


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="A list of the mistakes, for scripts.")
def check_config(file: Path | None, as_json: bool) -> None:
    """Judge a configuration: all mistakes at once, or what it switches on.

    Without FILE it is the one that `barograph run` would use here.
    """
    from barograph.config import ConfigErrors
    from barograph.plugins import PluginManager

    manager = PluginManager()
    used = find_config(file)
    mistakes: list[Mistake] = []
    try:
        config = load(file, {}, manager)
        mistakes = misfits(config, manager)
    except ConfigErrors as errors:
        mistakes = errors.mistakes
    if as_json:
        print_json([attrs.asdict(mistake) for mistake in mistakes])
        if mistakes:
            raise Misused("")
        return
    if mistakes:
        raise Mistakes(mistake_lines(mistakes))
    if used is None:
        say("no configuration file: the defaults hold; `barograph init` writes one")
    else:
        say(f"{used} is good")
    for line in summary(config, manager):
        say(f"  {line}")


def misfits(config: Config, manager: PluginManager) -> list[Mistake]:
    """What can only be judged with the plugins at hand: names that none of them brings."""
    from barograph.config import Mistake
    from barograph.config.errors import nearest
    from barograph.contracts import StoreError
    from barograph.stores import find_store

    manager.load(config)
    where = str(config.path) if config.path else ""
    out: list[Mistake] = []
    try:
        find_store(config, manager)
    except StoreError as error:
        out.append(Mistake(where, "storage.store", f'"store" in [storage]: {error}'))
    folds = [fold.name for _, fold in manager.call("barograph_aggregators")]
    if config.rollup.aggregator not in folds:
        told = f'"aggregator" in [rollup]: no aggregator is named "{config.rollup.aggregator}"'
        hint = nearest(config.rollup.aggregator, folds) or "; none is installed"
        out.append(Mistake(where, "rollup.aggregator", told + hint))
    return out


def summary(config: Config, manager: PluginManager) -> list[str]:
    """What a configuration switches on, a line each."""
    from barograph.config.units import duration_text

    infos = manager.discover()
    running = [info.name for info in infos if info.enabled and not info.error]
    off = [info.name for info in infos if not info.enabled]
    levels = ", ".join(duration_text(level) for level in config.rollup.levels)
    who = "no token needed" if config.server.no_auth else "with a token"
    lines = [
        f"data       {config.monitor.directory} (store {config.storage.store})",
        f"interval   {duration_text(config.monitor.interval)}; rollups {levels}",
        f"server     {config.server.host} port {config.server.port}, {who}",
        f"plugins    {', '.join(running) or 'none'}",
    ]
    lines += [f"off        {', '.join(off)}"] if off else []
    lines += [f"broken     {p.where.removeprefix('plugin ')}: {p.what}" for p in manager.problems]
    return lines


commands: dict[str, Any] = {"init": init, "check-config": check_config}
