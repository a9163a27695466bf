"""Which configuration holds: the file that is used, and the options of the call over it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.plugins import PluginManager

FILE = "barograph.toml"

F = TypeVar("F", bound=Callable[..., Any])


def places() -> list[Path]:
    """Where a configuration is looked for, in this order, when none is named."""
    home = os.environ.get("XDG_CONFIG_HOME")
    user = Path(home) if home else Path.home() / ".config"
    return [Path(FILE), user / "barograph" / FILE, Path("/etc/barograph") / FILE]


def find_config(named: Path | None) -> Path | None:
    """The file of ``--config``, else of $BAROGRAPH_CONFIG, else the first of ``places``.

    A named file that is missing is a mistake that loading it reports.
    """
    if named is not None:
        return named
    variable = os.environ.get("BAROGRAPH_CONFIG")
    if variable:
        return Path(variable).expanduser()
    return next((path for path in places() if path.is_file()), None)


def load(
    named: Path | None, overrides: Mapping[str, Any], manager: PluginManager | None = None
) -> Config:
    """The configuration that holds for this call. Raises ConfigErrors."""
    from barograph.config.load import load_config
    from barograph.plugins import PluginManager

    manager = manager or PluginManager()
    given = {key: value for key, value in overrides.items() if value is not None}
    classes = manager.config_classes()
    return load_config(find_config(named), os.environ, given, classes)


def config_option(function: F) -> F:
    """``--config FILE``"""
    where = "$BAROGRAPH_CONFIG, ./barograph.toml, the user's and the system's configuration"
    return click.option(
        "--config", "config_path", metavar="FILE", type=click.Path(path_type=Path),
        help=f"Configuration file; else {where}.",
    )(function)  # fmt: skip


def data_dir_option(function: F) -> F:
    """``--data-dir DIR``"""
    return click.option(
        "--data-dir", metavar="DIR", type=click.Path(path_type=Path),
        help="Where the store lives.",
    )(function)  # fmt: skip
