"""Functions over windows of series that all have the same times, as those of one source have.

Every series' window at a step then holds the same rows of one matrix: a kernel is given the rows
``grid`` float64[n, S] and each window's rows ``low``, ``high`` int64[C], none empty, and gives
float64[C, S]. It goes from row to row and works on all series at once, in a cache's worth of
memory. A kernel may give up (``None``) where values need more care; the one for any series then
does it.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from barograph_promql import over_time, rates
from barograph_promql.rows import Floats, Ints

_ROUNDING = 2.0**-53
_CANCELLED = 2.0**-10
"""Share of the greatest value below which a sum is what is left of values that cancel."""

BLOCK_CELLS = 8192
"""Means (a series at a step) that are worked on at once, with all that goes along in the cache."""


@attrs.frozen(eq=False)
class GridCells:
    """Windows that are not empty: rows, their times in ms, and the windows' own times."""

    times: Ints
    grid: Floats
    low: Ints
    high: Ints
    start: Ints
    end: Ints
    range_ms: int


def _greatest(c: GridCells) -> Floats | None:
    return _extreme(np.maximum, c)


def _least(c: GridCells) -> Floats | None:
    return _extreme(np.minimum, c)


def _extreme(better: np.ufunc, c: GridCells) -> Floats | None:
    """O(C W S), which the processor does eight at a time; not with NaN, which would win."""
    if np.isnan(_whole(c)):
        return None
    out = np.empty((len(c.low), c.grid.shape[1]))
    for i, (a, b) in enumerate(zip(c.low.tolist(), c.high.tolist(), strict=True)):
        better.reduce(c.grid[a:b], axis=0, out=out[i])
    return out


def _whole(c: GridCells) -> float:
    """The sum of all: NaN if any is."""
    return float(c.grid[int(c.low[0]) : int(c.high[-1])].sum())


def _total(c: GridCells) -> Floats | None:
    """Sums of windows as differences of running sums, each with the error of its rounding (Knuth's
    TwoSum), which is summed too. O((n + C) S).

    What the sum of errors may itself be wrong by is known. Windows whose own sum is not far above
    it, or in which greater values cancel, are summed by themselves: so all are rounded as
    ``over_time.total`` rounds them.
    """
    first, last = int(c.low[0]), int(c.high[-1])
    if not np.isfinite(_whole(c)):
        return None
    count = c.grid.shape[1]
    wanted = np.unique(np.concatenate([c.low, c.high]))
    place = np.searchsorted(wanted, np.arange(first, last + 1))
    sums, errors, sizes = (np.zeros((len(wanted), count)) for _ in range(3))
    high, low, size = (np.zeros(count) for _ in range(3))
    t, grown, e = np.empty(count), np.empty(count), np.empty(count)
    marks = set(wanted.tolist())
    for k in range(first, last):
        x = c.grid[k]
        np.add(high, x, out=t)
        np.subtract(t, high, out=grown)
        np.subtract(t, grown, out=e)
        np.subtract(high, e, out=e)
        np.subtract(x, grown, out=grown)
        e += grown
        low += e
        np.abs(e, out=e)
        size += e
        high, t = t, high
        if k + 1 in marks:
            i = int(place[k + 1 - first])
            sums[i], errors[i], sizes[i] = high, low, size
    before, after = place[c.low - first], place[c.high - first]
    a, b = sums[after], sums[before]
    whole = a - b
    back = whole - a
    rounding = (a - (whole - back)) - (b + back)
    out: Floats = whole + (rounding + (errors[after] - errors[before]))
    # Each of the additions to the sum of errors rounds by no more than this share of it.
    wrong = (last - first + 2) * _ROUNDING * sizes[after]
    rows = c.grid[first:last]
    greatest = np.maximum(rows.max(axis=0), -rows.min(axis=0))
    unsure = (wrong > 0.01 * _ROUNDING * np.abs(out)) | (
        (np.abs(out) < _CANCELLED * greatest) & (sizes[after] > 0)
    )
    if unsure.any():
        if np.count_nonzero(unsure) > unsure.size // 8:
            return None
        step, series = np.nonzero(unsure)
        values = np.ascontiguousarray(c.grid.T).reshape(-1)
        shift = series * len(c.grid)
        out[step, series] = over_time.total(values, c.low[step] + shift, c.high[step] + shift)
    return out


def _mean(c: GridCells) -> Floats | None:
    """The running mean of ``over_time.mean``, to the bit: what is made of it (``ceil``, ``==``)
    would show a difference in the last digit. O(C W S), for some series at a time."""
    lengths = c.high - c.low
    shortest, longest = int(lengths.min()), int(lengths.max())
    if longest >= over_time.LONG or not np.isfinite(_whole(c)):
        return None
    out = np.empty((len(c.low), c.grid.shape[1]))
    width = max(BLOCK_CELLS // len(c.low), 1)
    for a in range(0, out.shape[1], width):
        block = np.ascontiguousarray(c.grid[:, a : a + width])
        mean, error, t, grown = (np.zeros((len(c.low), block.shape[1])) for _ in range(4))
        for k in range(shortest):
            _add_to_mean(mean, error, block[c.low + k], k + 1, t, grown)
        for k in range(shortest, longest):
            who = np.flatnonzero(lengths > k)
            m, e = mean[who], error[who]
            _add_to_mean(m, e, block[c.low[who] + k], k + 1, np.empty_like(m), np.empty_like(m))
            mean[who], error[who] = m, e
        out[:, a : a + width] = np.where(np.isinf(mean), mean, mean + error)
    return out


def _add_to_mean(mean: Floats, error: Floats, x: Floats, n: int, t: Floats, grown: Floats) -> None:
    """The n-th sample; ``x``, ``t`` and ``grown`` are written to. As ``over_time.KahanSum.add``."""
    x /= n
    np.divide(mean, n, out=t)
    x -= t
    np.add(mean, x, out=t)
    np.subtract(t, mean, out=grown)
    x -= grown
    np.subtract(t, grown, out=grown)
    np.subtract(mean, grown, out=grown)
    grown += x
    error += grown
    mean[...] = t


def _rate(counter: bool, per_second: bool) -> Callable[[GridCells], Floats]:
    def kernel(c: GridCells) -> Floats:
        first, last = c.grid[c.low], c.grid[c.high - 1]
        result = last - first
        if counter:
            result = _without_resets(c, result)
        return rates.stretched(
            result, first, c.times[c.low][:, None], c.times[c.high - 1][:, None],
            (c.high - c.low)[:, None], c.start[:, None], c.end[:, None],
            counter=counter, per_second_of_ms=c.range_ms if per_second else 0,
        )  # fmt: skip

    return kernel


def _without_resets(c: GridCells, result: Floats) -> Floats:
    rows = c.grid[int(c.low[0]) : int(c.high[-1])]
    who = np.flatnonzero((rows[1:] < rows[:-1]).any(axis=0))
    if len(who):
        values = np.ascontiguousarray(c.grid[:, who].T).reshape(-1)
        shift = np.arange(len(who)) * len(c.grid)
        low, high = (c.low[:, None] + shift).ravel(), (c.high[:, None] + shift).ravel()
        grown = rates.without_resets(values, low, high, result[:, who].ravel())
        result[:, who] = grown.reshape(len(c.low), len(who))
    return result


def _constant(value: Callable[[GridCells], Floats]) -> Callable[[GridCells], Floats]:
    """The same for all series."""
    return lambda c: np.broadcast_to(value(c)[:, None], (len(c.low), c.grid.shape[1]))


GRID_FUNCTIONS: dict[str, Callable[[GridCells], Floats | None]] = {
    "avg_over_time": _mean,
    "count_over_time": _constant(lambda c: (c.high - c.low).astype(np.float64)),
    "delta": _rate(counter=False, per_second=False),
    "first_over_time": lambda c: c.grid[c.low],
    "increase": _rate(counter=True, per_second=False),
    "last_over_time": lambda c: c.grid[c.high - 1],
    "max_over_time": _greatest,
    "min_over_time": _least,
    "present_over_time": _constant(lambda c: np.ones(len(c.low))),
    "rate": _rate(counter=True, per_second=True),
    "sum_over_time": _total,
}
"""Those that are worth a kernel of their own, by the names of ``RANGE_FUNCTIONS``."""
