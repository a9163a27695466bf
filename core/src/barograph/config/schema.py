"""Every option of the kernel, with its default and its meaning."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from barograph.config.units import Duration, Size, parse_duration, parse_size, value_text


def option(
    default: Any,
    help: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
    check: Callable[[Any], None] | None = None,
) -> Any:
    """An attrs field with its documentation and bounds; durations and sizes may be text.

    ``check`` is given the value and raises ValueError with what is wrong with it.
    """
    metadata = {
        "help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "check": check,
    }  # fmt: skip
    return attrs.field(default=default, metadata=metadata)


def _convert_defaults(cls: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    # Only text defaults of durations and sizes are written with units.
    out = []
    for field in fields:
        kind = str(field.type)
        if isinstance(field.default, str) and "Duration" in kind:
            field = field.evolve(default=parse_duration(field.default))
        elif isinstance(field.default, str) and "Size" in kind:
            field = field.evolve(default=parse_size(field.default))
        out.append(field)
    return out


options = attrs.frozen(field_transformer=_convert_defaults)
"""Class decorator for options: ``attrs.frozen`` with defaults that may carry units."""


def default_data_dir() -> Path:
    """/var/lib/barograph for root, else the user's data folder."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/barograph")
    home = os.environ.get("XDG_DATA_HOME")
    return (Path(home) if home else Path.home() / ".local" / "share") / "barograph"


def _label_names(labels: Mapping[str, str]) -> None:
    for name in labels:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name, re.ASCII) or name.startswith("__"):
            raise ValueError(f'{name!r} is no label name; use letters, digits and "_"')


def _not_empty(text: str) -> None:
    if not text.strip():
        raise ValueError("must not be empty")


@options
class MonitorConfig:
    """``[monitor]``"""

    interval: Duration = option("1s", help="Time between ticks of sources without their own",
                                minimum=0.1, maximum=86400)  # fmt: skip
    data_dir: Path = option(Path(), help="Where the store lives; empty: the user's data folder")
    plugin_order: tuple[str, ...] = option((), help="Plugins to come first, in this order")
    shutdown_deadline: Duration = option("2s", help="Time that stopping may take", minimum=0.1)
    max_series_per_source: int = option(20_000, help="Series of one source; more are dropped "
                                        "and counted", minimum=1)  # fmt: skip
    queue_batches: int = option(256, help="Batches that wait for the store", minimum=1,
                                maximum=100_000)  # fmt: skip
    labels: Mapping[str, str] = option({}, help="Labels that every series gets",
                                        check=_label_names)  # fmt: skip

    @property
    def interval_s(self) -> float:
        return float(self.interval)

    @property
    def directory(self) -> Path:
        return default_data_dir() if self.data_dir == Path() else self.data_dir.expanduser()


@options
class ServerConfig:
    """``[server]``"""

    host: str = option("127.0.0.1", help="Address to listen on", check=_not_empty)
    port: int = option(10132, help="Port to listen on", minimum=0, maximum=65535)
    no_auth: bool = option(False, help="No token needed; on a loopback address only")
    allowed_hosts: tuple[str, ...] = option((), help="Host names by which browsers may come")
    max_viewers: int = option(64, help="Live connections at one time", minimum=1)


@options
class StorageConfig:
    """``[storage]``"""

    store: str = option("sqlite", help="Which store plugin keeps the samples")


@options
class RollupConfig:
    """``[rollup]``"""

    aggregator: str = option("rollup", help="Which aggregator plugin folds samples")
    levels: tuple[Duration, ...] = option(
        (Duration(5.0), Duration(60.0), Duration(300.0), Duration(3600.0)),
        help="Lengths of the windows; each a multiple of the one before",
    )

    @property
    def levels_ms(self) -> tuple[int, ...]:
        return tuple(round(level * 1000) for level in self.levels)


@options
class Unjudged:
    """Stands for the option class of a plugin that could not be imported: whatever its section
    holds is neither right nor wrong until the plugin works again."""


@attrs.frozen
class PluginSettings:
    """``[plugins.NAME]``: whether it runs, and its own options (None if it has none)."""

    enabled: bool = True
    options: Any = None


@attrs.frozen
class Config:
    """The whole configuration."""

    monitor: MonitorConfig = attrs.field(factory=MonitorConfig)
    server: ServerConfig = attrs.field(factory=ServerConfig)
    storage: StorageConfig = attrs.field(factory=StorageConfig)
    rollup: RollupConfig = attrs.field(factory=RollupConfig)
    plugins: Mapping[str, PluginSettings] = attrs.field(factory=dict)
    path: Path | None = None


SECTIONS: dict[str, type] = {
    "monitor": MonitorConfig,
    "server": ServerConfig,
    "storage": StorageConfig,
    "rollup": RollupConfig,
}


@attrs.frozen
class OptionDoc:
    """One option, for the reference and for `barograph init`."""

    section: str
    key: str
    type: str
    default: str
    help: str


def describe(plugin_configs: Mapping[str, type]) -> list[OptionDoc]:
    """Every option of the kernel and of the given plugins."""
    docs: list[OptionDoc] = []
    sections = {**SECTIONS, **{f"plugins.{n}": c for n, c in sorted(plugin_configs.items())}}
    for section, cls in sections.items():
        if section.startswith("plugins."):
            text = "Whether the plugin runs"
            docs.append(OptionDoc(section, "enabled", "true or false", "true", text))
        hints = get_type_hints(cls)
        for field in attrs.fields(cls):
            if not field.init:
                continue
            kind = hints[field.name]
            default = toml_text(default_of(field), kind)
            text = field.metadata.get("help", "")
            docs.append(OptionDoc(section, field.name, type_text(kind), default, text))
    return docs


def default_of(field: attrs.Attribute[Any]) -> Any:
    """An option's default. Raises TypeError if it has none."""
    made: Any = field.default
    if made is attrs.NOTHING or getattr(made, "takes_self", False):
        raise TypeError(f'option "{field.name}" needs a default')
    return made.factory() if hasattr(made, "factory") else made


def is_tables(kind: Any) -> bool:
    """Whether a type is a list of tables: ``tuple[C, ...]`` of an option class C."""
    inner = get_args(kind)
    return get_origin(kind) is tuple and len(inner) == 2 and attrs.has(inner[0])


def type_text(kind: Any) -> str:
    """A type in the words of the person who writes the file."""
    if is_tables(kind):
        return "list of tables"
    names = {Duration: "duration", Size: "size", str: "text", int: "integer", float: "number",
             bool: "true or false", Path: "path", tuple[str, ...]: "list of texts",
             tuple[Duration, ...]: "list of durations",
             Mapping[str, str]: "table of texts"}  # fmt: skip
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def toml_text(value: Any, kind: Any) -> str:
    """A default as it stands in the file."""
    if kind is Duration or kind is Size:
        text = value_text(value, kind)
        return text if text.isdigit() else f'"{text}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Path):
        return '""' if value == Path() else json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings hold all of JSON's
    if isinstance(value, tuple):
        inner = Duration if kind == tuple[Duration, ...] else str
        return "[" + ", ".join(toml_text(v, inner) for v in value) + "]"
    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{json.dumps(k)} = {toml_text(v, str)}" for k, v in value.items())
            + "}"
        )
    return str(value)
