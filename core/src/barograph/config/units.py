"""Durations and sizes with units."""

from __future__ import annotations

import math
import re
from typing import Any, NewType

Duration = NewType("Duration", float)
"""Seconds; written ``5s``, ``1m30s``, ``500ms``, ``7d`` or as a plain number of seconds."""

Size = NewType("Size", int)
"""Bytes; written ``64MiB``, ``2GB`` or as a plain number of bytes."""

MAX_SECONDS = 100 * 365.25 * 86400.0
MAX_BYTES = 2**60

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_BYTES = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BYTES |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NUMBER = r"\d{1,20}(?:\.\d{1,20})?"
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d|w)", re.ASCII)
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|s|m|h|d|w))+", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)", re.ASCII)


def parse_duration(value: object) -> Duration:
    """Raises ValueError with the accepted forms."""
    told = f"expected a duration such as 5s, 1m30s or 7d, not {value!r:.80}"
    if isinstance(value, str):
        text = value.strip()
        if _DURATION.fullmatch(text):
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
        elif re.fullmatch(_NUMBER, text, re.ASCII):
            seconds = float(text)
        else:
            raise ValueError(told)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(told)
    else:
        if not 0 <= value < math.inf:  # NaN too
            raise ValueError(told)
        seconds = float(min(value, 2 * MAX_SECONDS))
    if seconds > MAX_SECONDS:
        raise ValueError(f"a duration is at most 100 years, not {value!r:.80}")
    return Duration(seconds)


def parse_size(value: object) -> Size:
    """Raises ValueError with the accepted forms."""
    told = f"expected a size such as 64MiB, 2GB or 4096, not {value!r:.80}"
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None or match[2] not in _BYTES:
            raise ValueError(told)
        size = round(float(match[1]) * _BYTES[match[2]])
    elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(told)
    else:
        size = value
    if size > MAX_BYTES:
        raise ValueError(f"a size is at most 1 EiB, not {value!r:.80}")
    return Size(size)


def duration_text(seconds: float) -> str:
    """The shortest way to write a duration."""
    for unit in ("w", "d", "h", "m", "s"):
        size = _SECONDS[unit]
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds}s" if seconds > 1 else f"{round(seconds * 1000, 9):g}ms"


def size_text(size: int) -> str:
    """The shortest way to write a size."""
    for unit in ("TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def value_text(value: Any, kind: Any) -> str:
    """A value as a person writes it, by its type."""
    if kind is Duration:
        return duration_text(value)
    return size_text(value) if kind is Size else str(value)
