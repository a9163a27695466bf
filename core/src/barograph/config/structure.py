"""From the plain values of a file to the types of the option classes, by cattrs."""

from __future__ import annotations

import math
import operator
import reprlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import tomli
from cattrs import Converter

from barograph.config.errors import clipped, nearest
from barograph.config.schema import is_tables, type_text
from barograph.config.units import Duration, Size, parse_duration, parse_size, value_text

_REPR = reprlib.Repr()  # its limits are no arguments before Python 3.12
_REPR.maxstring = _REPR.maxother = 80
_REPR.maxlevel, _REPR.maxlist, _REPR.maxdict = 2, 5, 5


class FromEnv(str):
    """An environment variable's text: what it means depends on the option's type."""

    __slots__ = ()


def structure(raw: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
    """``raw`` as ``kind``, within the bounds in ``metadata``. Raises ValueError with the reason.

    There are no silent conversions: "3" is no number, and true is no integer.
    """
    if isinstance(raw, FromEnv) and kind not in (str, Path):
        raw = _plain(raw)
    try:
        value = _converter.structure(raw, kind)
    except Exception as error:  # noqa: BLE001 — cattrs wraps what hooks raise, and other types raise their own
        raise ValueError(_reason(error)) from None
    low, high = metadata.get("minimum"), metadata.get("maximum")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"expected a finite number, not {shown(raw)}")
    if low is not None and value < low:
        raise ValueError(f"must be at least {value_text(low, kind)}, not {shown(raw)}")
    if high is not None and value > high:
        raise ValueError(f"must be at most {value_text(high, kind)}, not {shown(raw)}")
    choices = metadata.get("choices")
    if choices is not None and value not in choices:
        raise ValueError(f"{shown(raw)} is not one of {', '.join(map(str, choices))}")
    if metadata.get("check") is not None:
        metadata["check"](value)
    return value


def shown(value: Any) -> str:
    """A value as messages quote it, however large it is."""
    try:
        return _REPR.repr(str(value) if isinstance(value, FromEnv) else value)
    except ValueError:  # an integer of thousands of digits
        return f"a huge {type(value).__name__}"


def _plain(text: str) -> Any:
    """Text as the TOML value it looks like, else as it is."""
    try:
        found = tomli.loads(f"v = {text}")
    except (ValueError, RecursionError):
        return str(text)
    value = found["v"]
    return value if len(found) == 1 and isinstance(value, bool | int | float | list | dict | str) \
        else str(text)  # fmt: skip


def _make_converter() -> Converter:
    out = Converter()

    def exact(kind: type, *accepted: type) -> None:
        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
                raise ValueError(f"expected {_article(type_text(kind))}, not {shown(value)}")
            try:
                return kind(value)
            except OverflowError:
                raise ValueError(f"{shown(value)} is too large") from None

        out.register_structure_hook(kind, hook)

    exact(str, str)
    exact(int, int)
    exact(float, int, float)
    exact(bool, bool)
    exact(Path, str, Path)
    out.register_structure_hook(Duration, lambda v, _: parse_duration(v))
    out.register_structure_hook(Size, lambda v, _: parse_size(v))

    def several(value: Any, kind: Any) -> Any:
        if not isinstance(value, list | tuple):
            example = '["5s", "1m"]' if kind == tuple[Duration, ...] else '["one", "two"]'
            raise ValueError(f"expected a {type_text(kind)} such as {example}, not {shown(value)}")
        inner = Duration if kind == tuple[Duration, ...] else str
        return tuple(out.structure(v, inner) for v in value)

    def table(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"expected a table of texts, not {shown(value)}")
        return {out.structure(k, str): out.structure(v, str) for k, v in value.items()}

    for kind, hook in (
        (tuple[str, ...], several), (tuple[Duration, ...], several), (Mapping[str, str], table)
    ):  # fmt: skip
        out.register_structure_hook_func(partial(operator.eq, kind), hook)
    out.register_structure_hook_func(is_tables, _tables)
    return out


def _tables(value: Any, kind: Any) -> Any:
    """A list of tables (``[[plugins.NAME.KEY]]``) as objects of one option class."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list of tables, not {shown(value)}")
    return tuple(_table(one, get_args(kind)[0], n) for n, one in enumerate(value, 1))


def _table(value: Any, cls: type, number: int) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"number {number} must be a table, not {shown(value)}")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in attrs.fields(cls) if field.init}
    chosen: dict[str, Any] = {}
    for key, raw in value.items():
        if key not in fields:
            told = f'unknown key "{clipped(str(key))}"{nearest(str(key), fields)}'
            raise ValueError(f"number {number}: {told}")
        try:
            chosen[fields[key].alias] = structure(raw, hints[key], fields[key].metadata)
        except ValueError as error:
            raise ValueError(f'number {number}: "{key}": {error}') from None
    try:
        return cls(**chosen)
    except ValueError as error:
        raise ValueError(f"number {number}: {error}") from None


def _article(words: str) -> str:
    return words if words.startswith("true") else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _reason(error: BaseException) -> str:
    inner = getattr(error, "exceptions", None)
    return _reason(inner[0]) if inner else str(error) or type(error).__name__


_converter = _make_converter()
