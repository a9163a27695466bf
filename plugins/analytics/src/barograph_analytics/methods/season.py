"""What repeats in a series each hour, day or week, and the series without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_CELLS = 4096
"""Cells of the grid on which periods are looked for."""

ROUNDS = 3
"""A period is taken out where it was seen so often: what was seen twice may be chance."""

LEAST_CORRELATION = 0.25
"""With itself a period later; below, there is little to take out."""

_GAIN = 0.9
"""What is left of the spread, at most, where the pattern of other rounds is taken off a round."""


@attrs.frozen(eq=False)
class Grid:
    """A series on even cells: ``values`` float64[cells] (mean of a cell's samples, NaN for none),
    ``cell`` int64[n] (each sample's cell), ``step_ms`` the width of a cell."""

    values: NDArray[np.float64]
    cell: NDArray[np.int64]
    step_ms: float


def grid(t_ms: NDArray[np.int64], values: NDArray[np.float64], most: int = MOST_CELLS) -> Grid:
    """Samples (times rising, all finite, at least 2) on at most ``most`` even cells; O(n)."""
    span = float(t_ms[-1] - t_ms[0])
    step = max(float(np.median(np.diff(t_ms))), span / (most - 1), 1.0)
    cell = np.round((t_ms - t_ms[0]) / step).astype(np.int64)
    cells = int(cell[-1]) + 1
    number = np.bincount(cell, minlength=cells)
    centre = float(np.median(values))  # digits of a large offset would be lost in sums
    with np.errstate(invalid="ignore"):
        means = np.bincount(cell, weights=values - centre, minlength=cells) / number + centre
    return Grid(means, cell, step)


def without_season(
    t_ms: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """(values float64[n] without what repeats, the longest period in ms or 0).

    Periods are those of ``barograph.rolling.find_periods`` that came round at least three times. A
    pattern is the median, over the rounds, of what lies above the round's mean, so that a trend or
    a jump stays in the series. At most two periods, the second in what the first leaves.

    ``values`` finite, times rising. O(n log n). Fails (leaves the season in) with fewer than three
    rounds, and where each round differs from the last.
    """
    if len(values) < 3 * 2 * ROUNDS:
        return values, 0
    found = grid(t_ms, values)
    rest, longest = found.values, 0
    pattern_of_cell = np.zeros(len(rest))
    for _ in range(2):
        steps = _period(rest)
        if not steps:
            break
        pattern = _pattern(rest, steps)
        if pattern is None:
            break
        each = np.resize(pattern, len(rest))
        rest = rest - each
        pattern_of_cell += each
        longest = max(longest, steps)
    if not longest:
        return values, 0
    return values - pattern_of_cell[found.cell], round(longest * found.step_ms)


def _period(x: NDArray[np.float64]) -> int:
    from barograph.rolling import find_periods

    if np.isfinite(x).sum() < len(x) / 2:
        return 0
    # A level that jumps hides a season from the spectrum: then without what is slow.
    for row in (x, x - _smooth(x, len(x) // 6)):
        for one in find_periods(row):
            if one.steps * ROUNDS <= len(x) and one.correlation >= LEAST_CORRELATION:
                return one.steps
    return 0


def _pattern(x: NDArray[np.float64], steps: int) -> NDArray[np.float64] | None:
    """float64[steps], of sum about 0: the usual course of a round; None if it tells nothing."""
    rounds = -(-len(x) // steps)
    row = np.full(rounds * steps, np.nan)
    row[: len(x)] = x - _smooth(x, steps)
    folded = row.reshape(rounds, steps)
    if rounds < ROUNDS:
        return None
    with np.errstate(all="ignore"):
        pattern = _median(folded)
        # What even rounds tell of odd ones, and the other way: noise predicts nothing.
        even, odd = _median(folded[::2]), _median(folded[1::2])
        before = _spread(folded)
        after = np.sqrt((_spread(folded[::2] - odd) ** 2 + _spread(folded[1::2] - even) ** 2) / 2)
    if not after < _GAIN * before:
        return None
    return np.nan_to_num(pattern - np.nanmean(pattern))


def _median(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    out = np.full(rows.shape[1], np.nan)
    some = np.isfinite(rows).any(axis=0)
    out[some] = np.nanmedian(rows[:, some], axis=0)
    return out


def _spread(x: NDArray[np.float64]) -> float:
    clean = np.abs(x[np.isfinite(x)])
    if not len(clean):
        return float("nan")
    return float(np.sqrt(np.mean(np.minimum(clean, 5 * np.median(clean) + 1e-300) ** 2)))


def _smooth(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred means over ``width`` cells that are there; at the ends, the line through the last."""
    here = np.isfinite(x)
    centre = float(np.median(x[here]))
    sums = np.concatenate(([0.0], np.cumsum(np.where(here, x - centre, 0.0))))
    number = np.concatenate(([0], np.cumsum(here)))
    at = np.arange(len(x))
    low = np.clip(at - width // 2, 0, len(x) - width)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (sums[low + width] - sums[low]) / (number[low + width] - number[low]) + centre
    # A clipped window's mean belongs to its middle: the slope of the round beside it leads there.
    off = at - (low + width // 2)
    inner = slice(width // 2, max(len(x) - width // 2, width // 2 + 1))
    line = means[inner]
    if len(line) > width:
        first = (line[width] - line[0]) / width
        last = (line[-1] - line[-1 - width]) / width
        means = means + np.where(off < 0, first, last) * off
    return np.asarray(means)
