"""Numbers, times and series in words that a person reads at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from barograph.model import NAME, Labels

COUNTED = ("_total", "_count", "_sum", "_bucket")
"""How names of counters end."""

UNITS = ("bytes", "seconds", "ratio", "celsius", "hertz", "rpm", "cores", "percent")

MAX_SPOKEN = 70
"""Characters of a series in a title, at most."""

MAX_TITLE = 120

MOST_SURE = 0.99
LEAST_P = 1e-9

NEVER_NAMED = frozenset({"host", "job", "instance"})
"""Labels that most series share; they are in the finding's labels."""


def is_counter(name: str) -> bool:
    """Whether a metric counts, by its name."""
    return name.endswith(COUNTED)


def unit_of(name: str) -> str:
    """The base unit of a metric, by its name; "" for a plain count."""
    base = name
    if name.endswith("_count") and any(f"_{unit}_count" in name for unit in UNITS):
        return ""  # the count of a histogram
    for end in COUNTED:
        base = base.removesuffix(end)
    return next((unit for unit in UNITS if base.endswith(f"_{unit}")), "")


def amount(value: float, unit: str) -> str:
    """A value with its unit; ``unit`` may end with ``/s``."""
    base, slash, per = unit.partition("/")
    rate = f"/{per}" if slash else ""
    sign, size = ("-" if value < 0 else ""), abs(value)
    if not math.isfinite(size):
        return "unknown"
    if base == "bytes":
        return f"{sign}{_scaled(size)}{rate}"
    if base == "seconds":
        # Seconds a second are a share of time.
        return f"{sign}{_digits(size * 100)} %" if rate else f"{sign}{_time(size)}"
    if base == "ratio":
        return f"{sign}{_digits(size * 100)} %{rate}"
    if base == "percent":
        return f"{sign}{_digits(size)} %{rate}"
    if base == "celsius":
        return f"{sign}{_digits(size)} °C{rate}"
    if base == "hertz":
        return f"{sign}{_digits(size / 1e9)} GHz{rate}" if size >= 1e8 else (
            f"{sign}{_digits(size)} Hz{rate}"
        )  # fmt: skip
    word = f" {base}" if base else ""
    return f"{sign}{_digits(size)}{word}{rate}"


def _digits(size: float) -> str:
    """Three digits, thousands with a comma."""
    if size == 0:
        return "0"
    if size >= 99.95:
        return f"{size:,.0f}" if size < 1e9 else f"{size:.3g}"
    text = f"{size:.3g}"
    return f"{size:.2f}".rstrip("0").rstrip(".") if size >= 0.1 and "e" in text else text


def _scaled(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5:
            return f"{_digits(size)} {unit}"
        size /= 1000
    return f"{_digits(size)} PB"


def _time(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    if seconds < 1e-3:
        return f"{_digits(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{_digits(seconds * 1e3)} ms"
    return f"{_digits(seconds)} s" if seconds < 120 else lasting(seconds)


def lasting(seconds: float) -> str:
    """A duration in its two largest units."""
    left = round(seconds)
    if left < 1:
        return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def moment(t_ms: int, seconds: bool = False) -> str:
    """A time to the minute, UTC: ``Tue 24 Nov 14:00 UTC``."""
    when = datetime.fromtimestamp(t_ms / 1000, UTC)
    clock = when.strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{when:%a} {when.day} {when:%b} {clock} UTC"


def spoken(labels: Labels | Mapping[str, str]) -> str:
    """A series in short: its name, and the values of its labels: ``disk_usage_bytes (/var)``."""
    pairs = labels.as_dict() if isinstance(labels, Labels) else dict(labels)
    name = pairs.pop(NAME, "")
    told = [v for k, v in sorted(pairs.items()) if k not in NEVER_NAMED and not k.startswith("le")]
    text = f"{name} ({', '.join(told)})" if name and told else name or ", ".join(told) or "value"
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= MAX_SPOKEN else f"{text[: MAX_SPOKEN - 1]}…"


def title(text: str) -> str:
    """At most 120 characters, cut at a word."""
    if len(text) <= MAX_TITLE:
        return text
    return f"{text[: MAX_TITLE - 1].rsplit(' ', 1)[0]}…"


def sure(confidence: float) -> float:
    """A confidence as it is told: never beyond doubt, and no more digits than it has."""
    return round(min(max(confidence, 0.0), MOST_SURE), 3)


def chance(p: float) -> str:
    """How likely chance would show it."""
    return f"p = {p:.1g}" if p >= LEAST_P else f"p < {LEAST_P:g}"


def many(count: int, word: str) -> str:
    """``1 time``, ``3 times``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def share(change: float, before: float) -> str:
    """By how much of what it was: ``by 35 %``, ``3.2 times``; "" where it was nothing."""
    if not before or not math.isfinite(change / before):
        return ""
    times = (before + change) / before
    if times >= 2:
        return f"{_digits(times)} times as much"
    return f"{_digits(abs(change / before) * 100)} % {'more' if times > 1 else 'less'}"
