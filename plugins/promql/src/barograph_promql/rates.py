"""Functions of change over windows: rates, resets, regression, smoothing.

Kernels as in ``over_time``, with the samples' times ``t`` int64[N] in ms besides.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from barograph.answer import QueryFailed
from barograph_promql.numbers import number_text
from barograph_promql.over_time import KahanSum, in_turn, kahan_sum, one_by_one
from barograph_promql.rows import Bools, Floats, Ints


def extrapolated(
    t: Ints, v: Floats, low: Ints, high: Ints, start: Ints, end: Ints,
    *, counter: bool, per_second_of_ms: int = 0,
) -> Floats:  # fmt: skip
    """rate, increase (``counter``) and delta of windows with two samples or more.

    The change from first to last sample, stretched to the window [start, end] (int64[C]): to its
    bounds where a sample is near (1.1 mean intervals), else by half an interval; a counter not
    past the time where it would have been zero. ``per_second_of_ms``: the range to divide by.
    """
    first, last = v[low], v[high - 1]
    result = last - first
    if counter:
        result = without_resets(v, low, high, result)
    return stretched(
        result, first, t[low], t[high - 1], high - low, start, end,
        counter=counter, per_second_of_ms=per_second_of_ms,
    )  # fmt: skip


def stretched(
    result: Floats, first: Floats, t_first: Ints, t_last: Ints, count: Ints, start: Ints, end: Ints,
    *, counter: bool, per_second_of_ms: int = 0,
) -> Floats:  # fmt: skip
    """``extrapolated`` of a change from the ``first`` value to the last of ``count`` samples."""
    to_start = (t_first - start) / 1000
    to_end = (end - t_last) / 1000
    sampled = (t_last - t_first) / 1000
    interval = sampled / (count - 1)
    if counter:
        to_zero = sampled * (first / result)
        nearer = (result > 0) & (first >= 0) & (to_zero < to_start)
        to_start = np.where(nearer, to_zero, to_start)
    near = interval * 1.1
    stretched = sampled + np.where(to_start < near, to_start, interval / 2)
    stretched = stretched + np.where(to_end < near, to_end, interval / 2)
    factor = stretched / sampled
    if per_second_of_ms:
        factor = factor / (per_second_of_ms / 1000)
    return result * factor


def without_resets(v: Floats, low: Ints, high: Ints, result: Floats) -> Floats:
    """Add what a counter had reached before each of its resets in the window."""
    a, b = int(low.min(initial=len(v))), int(high.max(initial=0))
    at = np.flatnonzero(v[a + 1 : b] < v[a : b - 1]) + a + 1
    if not len(at):
        return result
    first, end = at.searchsorted(low, "right"), at.searchsorted(high, "left")
    who = np.flatnonzero(first < end)
    if not len(who):
        return result
    result = result.copy()
    before = v[at - 1]
    if one_by_one(first[who], end[who]):
        for i in who.tolist():
            terms = np.append(result[i], before[first[i] : end[i]])
            result[i] = np.add.accumulate(terms)[-1]
        return result
    for _, some, k in in_turn(first[who], end[who]):
        result[who[some]] += before[k]
    return result


def last_change(t: Ints, v: Floats, low: Ints, high: Ints, *, rate: bool) -> Floats:
    """irate (``rate``) and idelta: from the last sample but one to the last."""
    last, before = v[high - 1], v[high - 2]
    change = last - before
    if not rate:
        return change
    change = np.where(last < before, last, change)
    return change / ((t[high - 1] - t[high - 2]) / 1000)


def changes(v: Floats, low: Ints, high: Ints) -> Floats:
    """How often the value changes; NaN equals NaN."""

    def differ(now: Floats, before: Floats) -> Bools:
        differs: Bools = (now != before) & ~(np.isnan(now) & np.isnan(before))
        return differs

    return _count(differ, v, low, high)


def resets(v: Floats, low: Ints, high: Ints) -> Floats:
    """How often the value falls."""
    return _count(np.less, v, low, high)


def _count(event: Callable[[Floats, Floats], Bools], v: Floats, low: Ints, high: Ints) -> Floats:
    """How often ``event(value, the one before)`` is true within each window."""
    if not len(low):
        return np.empty(0)
    a, b = int(low.min()), int(high.max())
    before = np.zeros(b - a + 1, np.int64)
    np.cumsum(event(v[a + 1 : b], v[a : b - 1]), out=before[2:])
    return (before[high - a] - before[low - a + 1]).astype(np.float64)


def regression(t: Ints, v: Floats, low: Ints, high: Ints, origin: Ints) -> tuple[Floats, Floats]:
    """Slope per second, and value at ``origin`` int64[C] ms, of the least-squares line."""
    if one_by_one(low, high):
        pairs = zip(low.tolist(), high.tolist(), origin.tolist(), strict=True)
        lines = [_line_of((t[a:b] - zero) / 1000, v[a:b]) for a, b, zero in pairs]
        slopes, values = np.array(lines).reshape(-1, 2).T
        return slopes, values
    count = len(low)
    sum_x, sum_y, sum_xy, sum_xx = (KahanSum(count) for _ in range(4))
    first = v[low]
    constant = np.ones(count, np.bool_)
    for _, who, at in in_turn(low, high):
        x, y = (t[at] - origin[who]) / 1000, v[at]
        sum_x.add(who, x)
        sum_y.add(who, y)
        sum_xy.add(who, x * y)
        sum_xx.add(who, x * x)
        constant[who] &= (y == first[who]) | (at == low[who])
    n = (high - low).astype(np.float64)
    sums = sum_x.total(), sum_y.total(), sum_xy.total(), sum_xx.total()
    slope, intercept = _least_squares(n, *sums)
    nothing = np.where(np.isinf(first), np.nan, 0.0)
    return (
        np.where(constant, nothing, slope),
        np.where(constant, first + nothing, intercept),
    )


def _least_squares(
    n: Floats, x: Floats, y: Floats, xy: Floats, xx: Floats
) -> tuple[Floats, Floats]:
    """Slope and intercept from the sums of n points."""
    slope = (xy - x * y / n) / (xx - x * x / n)
    return slope, y / n - slope * x / n


def _line_of(x: Floats, y: Floats) -> tuple[float, float]:
    first = float(y[0])
    if (y[1:] == first).all():
        return (np.nan, np.nan) if np.isinf(first) else (0.0, first)
    sums = [np.array([sum(kahan_sum(one))]) for one in (x, y, x * y, x * x)]
    slope, intercept = _least_squares(np.array([float(len(x))]), *sums)
    return float(slope[0]), float(intercept[0])


def _fixed(value: float) -> str:
    return f"{value:f}" if np.isfinite(value) else number_text(value)


def smoothed(v: Floats, low: Ints, high: Ints, level: Floats, trend: Floats) -> Floats:
    """holt_winters: double exponential smoothing, factors float64[C]."""
    for name, factor in (("smoothing", level), ("trend", trend)):
        bad = (factor <= 0) | (factor >= 1)
        if bad.any():
            raise QueryFailed(
                f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: "
                f"{_fixed(float(factor[np.argmax(bad)]))}"
            )
    count = len(low)
    before, now, slope = np.zeros(count), v[low], np.zeros(count)
    for k, who, at in in_turn(low, high):
        if k == 0:
            continue
        x = v[at]
        if k == 1:
            slope[who] = x - now[who]
        else:
            slope[who] = trend[who] * (now[who] - before[who]) + (1 - trend[who]) * slope[who]
        y = (1 - level[who]) * (now[who] + slope[who])
        before[who], now[who] = now[who], level[who] * x + y
    return now
