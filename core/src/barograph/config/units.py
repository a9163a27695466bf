"""Durations and sizes with units."""

from __future__ import annotations

import math
import re
from typing import NewType

Duration = NewType("Duration", float)
"""Seconds; written ``5s``, ``1m30s``, ``500ms``, ``7d`` or as a plain number of seconds."""

Size = NewType("Size", int)
"""Bytes; written ``64MiB``, ``2GB`` or as a plain number of bytes."""

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", re.ASCII)


def parse_duration(value: object) -> Duration:
    """Raises ValueError with the accepted forms."""
    told = f"expected a duration such as 5s, 1m30s or 7d, not {value!r}"
    if isinstance(value, str):
        parts = _DURATION.findall(value)
        if not parts or "".join(a + b for a, b in parts) != value.strip():
            try:
                value = float(value)
            except ValueError:
                raise ValueError(told) from None
        else:
            value = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(told)
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError(told) from None
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(told)
    return Duration(seconds)


def parse_size(value: object) -> Size:
    """Raises ValueError with the accepted forms."""
    told = f"expected a size such as 64MiB, 2GB or 4096, not {value!r}"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None or match[2] not in _BYTES:
            raise ValueError(told)
        return Size(round(float(match[1]) * _BYTES[match[2]]))
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(told)
    return Size(value)


def duration_text(seconds: float) -> str:
    """The shortest way to write a duration."""
    for unit in ("w", "d", "h", "m", "s"):
        size = _SECONDS[unit]
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{round(seconds * 1000)}ms" if seconds < 1 else f"{seconds}s"
