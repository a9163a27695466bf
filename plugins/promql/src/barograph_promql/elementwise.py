"""Functions of each value: mathematics, rounding, clamping, dates; and operators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from barograph_promql.rows import Bools, Floats, Ints


def _sign(v: Floats) -> Floats:
    return np.where(v < 0, -1.0, np.where(v > 0, 1.0, v))


def greater(x: Floats, y: Floats) -> Floats:
    """NaN if one is, but +Inf against all."""
    return np.where((x == np.inf) | (y == np.inf), np.inf, np.maximum(x, y))


def lesser(x: Floats, y: Floats) -> Floats:
    """NaN if one is, but -Inf against all."""
    return np.where((x == -np.inf) | (y == -np.inf), -np.inf, np.minimum(x, y))


def rounded(v: Floats, nearest: Floats) -> Floats:
    """To the nearest multiple, halves up."""
    inverse = 1.0 / nearest
    return np.floor(v * inverse + 0.5) / inverse


MATHS: dict[str, Callable[[Floats], Floats]] = {
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin,
    "asinh": np.arcsinh, "atan": np.arctan, "atanh": np.arctanh, "ceil": np.ceil, "cos": np.cos,
    "cosh": np.cosh, "deg": lambda v: v * 180 / np.pi, "exp": np.exp, "floor": np.floor,
    "ln": np.log, "log10": np.log10, "log2": np.log2, "rad": lambda v: v * np.pi / 180,
    "sgn": _sign, "sin": np.sin, "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan,
    "tanh": np.tanh,
}  # fmt: skip

# With scalars float64[T] besides.
SCALED: dict[str, Callable[..., Floats]] = {
    "clamp": lambda v, low, high: greater(low, lesser(high, v)),
    "clamp_max": lambda v, high: lesser(high, v),
    "clamp_min": lambda v, low: greater(low, v),
    "round": lambda v, nearest=None: rounded(v, np.ones(1) if nearest is None else nearest),
}


def power(x: Floats, y: Floats) -> Floats:
    """As in C99; numpy takes a square root for 0.5, which has no value for -Inf."""
    fraction = (x == -np.inf) & np.isfinite(y) & (np.trunc(y) != y)
    return np.where(fraction, np.where(y > 0, np.inf, 0.0), np.power(x, y))


ARITHMETIC: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.true_divide, "%": np.fmod,
    "^": power, "atan2": np.arctan2,
}  # fmt: skip

COMPARE: dict[str, Callable[[Floats, Floats], Bools]] = {
    "==": np.equal, "!=": np.not_equal, ">": np.greater, "<": np.less, ">=": np.greater_equal,
    "<=": np.less_equal,
}  # fmt: skip


# --- dates ------------------------------------------------------------------------------------

_DAY = 86_400
_DAYS_400_YEARS = 146_097
_FIRST_YEAR = -292_277_022_399
_TO_FIRST_YEAR_S = 9_223_372_028_715_321_600
"""Seconds from 1 January of ``_FIRST_YEAR`` to 1970: days since are never negative, and times out
of the range of int64 wrap as they do in Go's ``time`` package."""


def _days(v: Floats) -> tuple[Ints, Ints]:
    """Days since 1 January of the first year, and seconds of the day; seconds cut off to whole
    ones, and the least int64 for NaN and what is out of range."""
    fits = np.abs(v) < 2.0**63
    seconds = np.where(fits, np.trunc(np.where(fits, v, 0)), 0).astype(np.int64)
    seconds = np.where(fits, seconds, np.iinfo(np.int64).min)
    since = seconds.view(np.uint64) + np.uint64(_TO_FIRST_YEAR_S)
    days, rest = np.divmod(since, np.uint64(_DAY))
    return days.astype(np.int64), rest.astype(np.int64)


def _civil(v: Floats) -> tuple[Ints, Ints, Ints, Ints]:
    """Year, month, day of the month and day of the year (all but the year from 1).

    Years begin in March, so that the leap day is a year's last (Hinnant, "chrono-compatible
    low-level date algorithms").
    """
    # The first year is 1 more than a multiple of 400, so its January starts a cycle of 400
    # years from March of the year before that multiple, 306 days before.
    days = _days(v)[0] + 306
    era, day = np.divmod(days, _DAYS_400_YEARS)
    of_era = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    of_year = day - (365 * of_era + of_era // 4 - of_era // 100)
    month = (5 * of_year + 2) // 153
    day_of_month = of_year - (153 * month + 2) // 5 + 1
    month = np.where(month < 10, month + 3, month - 9)
    year = of_era + era * 400 + (_FIRST_YEAR - 1) + (month <= 2)
    before = np.where(month <= 2, -306, 59 + _leap(year))
    return year, month, day_of_month, of_year + before + 1


def _leap(year: Ints) -> Ints:
    leap: Bools = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return leap.astype(np.int64)


def _days_in_month(v: Floats) -> Ints:
    year, month, _, _ = _civil(v)
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    days: Ints = lengths[month - 1] + np.where(month == 2, _leap(year), 0)
    return days


DATES: dict[str, Callable[[Floats], Ints]] = {
    "day_of_month": lambda v: _civil(v)[2],
    "day_of_week": lambda v: (_days(v)[0] + 1) % 7,
    "day_of_year": lambda v: _civil(v)[3],
    "days_in_month": _days_in_month,
    "hour": lambda v: _days(v)[1] // 3600,
    "minute": lambda v: _days(v)[1] % 3600 // 60,
    "month": lambda v: _civil(v)[1],
    "year": lambda v: _civil(v)[0],
}
