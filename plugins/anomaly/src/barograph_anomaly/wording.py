"""Numbers as people read them, for explanations."""

from __future__ import annotations

import math

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


def quantity(value: float, unit: str = "") -> str:
    """``0.84, "seconds"`` as "840 ms", ``2e6, "bytes/s"`` as "2 MB/s"."""
    base, slash, per = unit.partition("/")
    return _quantity(value, base) + slash + per


def _quantity(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return str(value)
    if unit == "seconds":
        return _seconds(value)
    if unit == "bytes":
        return _bytes(value)
    if unit == "ratio":
        return f"{digits(100 * value)} %"
    return f"{digits(value)} {unit}".rstrip()


def digits(value: float) -> str:
    """Three digits that count, without an exponent for everyday sizes."""
    if value == 0:
        return "0"
    size = abs(value)
    if 1e-4 <= size < 1e9:
        places = max(2 - math.floor(math.log10(size)), 0)
        text = f"{value:.{places}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def _seconds(value: float) -> str:
    size = abs(value)
    for limit, factor, name in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if size < limit:
            return f"{digits(value * factor)} {name}"
    return f"{digits(value)} s"


def _bytes(value: float) -> str:
    power = 0
    while abs(value) >= 1000 and power < len(_BYTES) - 1:
        value, power = value / 1000, power + 1
    return f"{digits(value)} {_BYTES[power]}"
