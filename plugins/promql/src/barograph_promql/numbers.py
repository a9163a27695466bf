"""Numbers as text, and text as numbers, the way Prometheus (Go's strconv) has them."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_HEX = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?\d+", re.ASCII)
_SPECIAL = re.compile(r"nan|[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)

_UNDERSCORE = re.compile(
    r"(?<=\d)_(?=\d)|(?<=^0[xX])_(?=[0-9a-fA-F])|(?<=^[+-]0[xX])_(?=[0-9a-fA-F])", re.ASCII
)


def number_text(value: float) -> str:
    """The shortest digits that read back as ``value``, without an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    value = float(value)
    if value.is_integer() and abs(value) < 1e15:
        return f"{value:.0f}"
    return format(Decimal(repr(value)), "f")


def number_of(text: str) -> float | None:
    """The number that ``text`` is, e.g. the bound of a bucket; ``None`` if it is none.

    An underscore may stand between digits, and after ``0x``.
    """
    text = _UNDERSCORE.sub("", text)
    if _DECIMAL.fullmatch(text) or _SPECIAL.fullmatch(text):
        return float(text)
    if _HEX.fullmatch(text):
        try:
            return float.fromhex(text)
        except OverflowError:
            return None
    return None
