"""Where a series' level or spread changed and stayed changed.

Seasons are taken out, short spikes pulled in, and the rest cut by seeded binary segmentation (S.
Kovács, P. Bühlmann, H. Li and A. Munk, Biometrika 110, 2023), narrowest interval first (R.
Baranowski, Y. Chen and P. Fryzlewicz, JRSS B 81, 2019). A cut's statistic is the difference of the
means on both sides, in standard deviations of such a difference as the series itself has them at
stretches of that length (``barograph_analytics.methods.noise``): white noise, autocorrelated noise,
a random walk and a drift each bring their own yardstick. Changes of the spread are changes of the
level of log abs(x - level), found in the same way.

The threshold is calibrated: over white noise, AR(1) of 0.5 to 0.97, and seasonal series of 300 to
4,000 samples, at most ``alpha`` of the series have a change that is not there (docs: analytics).

Cost: O(n log n) on at most 2,048 stretches, some 30 ms. Fails: a change shorter than 2 % of the
series at its ends; a series that jumps more than about six times counts its jumps as its noise; a
change of the season's shape is no change of the level.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from barograph_analytics.methods.noise import Noise, noise
from barograph_analytics.methods.season import without_season
from barograph_analytics.methods.trend import samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CELLS = 2048
LEAST = 24
"""Samples below which nothing is said."""

_SHORTEST = 6  # cells on each side of a change
_SCALE = 1.08  # of the statistic, as calibrated: its yardstick is an estimate
_FEW = 256  # cells, below which the yardstick is a rough one
_TRIALS = 8.0  # independent places a cell, as calibrated
_SPIKE = 5.0
_WIDEST = 10.0


@attrs.frozen
class ChangePoint:
    """One change; ``t_ms`` and ``index`` (into what was given) are of the first sample after it."""

    t_ms: int
    index: int
    kind: Literal["level", "spread"]
    before: float
    """Median of the stretch before (level), or its robust standard deviation (spread)."""
    after: float
    size: float
    """Level: (after - before) / noise; spread: log2(after / before)."""
    confidence: float
    p: float
    """That noise alone shows such a change anywhere in the series."""
    start_ms: int
    """First sample of the stretch before."""
    end_ms: int
    """Last sample of the stretch after."""


@attrs.frozen
class _Cut:
    at: int
    z: float


def change_points(
    t_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    alpha: float = 0.01,
    most: int = 20,
) -> list[ChangePoint]:
    """Changes of values float64[n] at t_ms int64[n] (rising; NaN left out), in order of time.

    ``alpha``: how often a series without a change may show one; ``most``: the strongest so many.
    ``ValueError`` for arrays that do not fit each other, or times that fall.
    """
    t, x = samples(t_ms, values)
    if len(x) < LEAST or np.ptp(x) == 0.0:
        return []
    rest, _ = without_season(t, x)
    rest = rest - np.median(rest)
    scale = float(np.abs(rest).max())
    if scale <= 1e-12 * float(np.abs(x).max()):
        return []
    rest = rest / scale
    width = -(-len(rest) // CELLS)
    level_cells = _blocks(_without_spikes(rest), width)
    levels = _cuts(level_cells, alpha / 2)
    spreads: list[_Cut] = []
    edges = [0, *(cut.at for cut in levels), len(level_cells)]
    left = _about_levels(rest, [edge * width for edge in edges])
    typical = float(np.median(np.abs(left)))
    if typical > 0.0:
        logs = np.log(np.abs(left) + 0.1 * typical)
        logs, _ = without_season(t, logs)
        spreads = _cuts(_blocks(logs, width), alpha / 2)
    found = [
        *_told(t, x, rest * scale, levels, width, "level"),
        *_told(t, x, left * scale, spreads, width, "spread"),
    ]
    found = [one for one in found if one.p < alpha and _matters(one)]
    places = {int(time): i for i, time in enumerate(np.asarray(t_ms, np.int64).tolist())}
    strongest = sorted(found, key=lambda one: one.p)[:most]
    return [
        attrs.evolve(one, index=places[one.t_ms])
        for one in sorted(strongest, key=lambda one: (one.t_ms, one.kind))
    ]


def _matters(one: ChangePoint) -> bool:
    return abs(one.size) >= (0.5 if one.kind == "spread" else 0.25)


def _blocks(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Means of ``width`` samples each; the last of what is left."""
    starts = np.arange(0, len(x), width)
    ends = np.append(starts[1:], len(x))
    return np.asarray(np.add.reduceat(x, starts) / (ends - starts))


def _without_spikes(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples far from the median of their 11 neighbours, pulled in."""
    from barograph.rolling import move_median

    middle = move_median(np.pad(x, 5, mode="edge"), 11)[10:]
    off = x - middle
    reach = _SPIKE * 1.4826 * float(np.median(np.abs(off)))
    return np.asarray(middle + np.clip(off, -reach, reach)) if reach > 0 else middle


def _about_levels(x: NDArray[np.float64], edges: list[int]) -> NDArray[np.float64]:
    """Off the running median of 25 within each stretch: a level that drifts is no spread."""
    from barograph.rolling import move_median

    out = np.empty(len(x))
    for start, end in pairwise([*edges[:-1], len(x)]):
        part = x[start:end]
        if not len(part):
            continue
        width = min(25, (len(part) - 1) // 2 * 2 + 1)
        padded = np.pad(part, width // 2, mode="reflect" if len(part) > width else "edge")
        out[start:end] = part - move_median(padded, width)[width - 1 :]
    return out


@attrs.frozen(eq=False)
class _Row:
    """Cells with what is asked of them again and again: sums of values and of squared steps."""

    cells: NDArray[np.float64]
    sums: NDArray[np.float64]
    steps: NDArray[np.float64]
    yard: Noise
    threshold: float

    def statistic(
        self, start: NDArray[np.int64], cut: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Difference of the means of [start, cut) and [cut, end), in its standard deviations.

        Where one side is noisier than the series is on the whole, its own noise counts.
        """
        left, right = (cut - start).astype(float), (end - cut).astype(float)
        step = (self.sums[end] - self.sums[cut]) / right - (
            self.sums[cut] - self.sums[start]
        ) / left
        noisy_left = np.maximum((self.steps[cut] - self.steps[start]) / left, 1.0)
        noisy_right = np.maximum((self.steps[end] - self.steps[cut]) / right, 1.0)
        variance = noisy_left * self.yard.at(left) ** 2 + noisy_right * self.yard.at(right) ** 2
        return np.asarray(np.abs(step) / np.sqrt(variance / 2))

    def looks_like_a_line(self, start: int, cut: int, end: int) -> bool:
        """Whether a line fits no worse than two levels: all of [start, end), or as many cells on
        each side of the cut as the shorter side has."""
        reach = min(cut - start, end - cut)
        for low, high in ((start, end), (cut - reach, cut + reach)):
            x = self.cells[low:high] - self.cells[low:high].mean()
            at = np.arange(high - low) - (high - low - 1) / 2
            left, right = float(x[: cut - low].sum()), float(x[cut - low :].sum())
            by_levels = left**2 / (cut - low) + right**2 / (high - cut)
            if float(at @ x) ** 2 / float(at @ at) >= by_levels:
                return True
        return False


def _cuts(x: NDArray[np.float64], alpha: float) -> list[_Cut]:
    n = len(x)
    if n < LEAST or np.ptp(x) == 0.0:
        return []
    yard = noise(x)
    if yard is None:
        yard = Noise(np.array([1]), np.array([1e-6 * float(np.ptp(x))]), -0.5)
    usual = max(float(yard.at(1.0)) ** 2, 1e-300)
    steps = np.minimum(np.append(0.0, np.diff(x)) ** 2 / usual, _WIDEST**2)
    if float(np.median(steps)) == 0.0:
        steps[:] = 0.0  # a series that moves seldom has no noise of its own to compare
    row = _Row(
        x,
        np.concatenate(([0.0], np.cumsum(x))),
        np.concatenate(([0.0], np.cumsum(steps))),
        yard,
        _threshold(alpha, n),
    )
    found: list[_Cut] = []
    pending = [(0, n)]
    while pending:
        low, high = pending.pop()
        cut = _narrowest(row, low, high)
        if cut is not None:
            found.append(cut)
            pending += [(low, cut.at), (cut.at, high)]
    return _kept(row, sorted(found, key=lambda cut: cut.at))


def _threshold(alpha: float, n: int) -> float:
    """Standard deviations that noise passes in a share ``alpha`` of series of n cells."""
    from statistics import NormalDist

    return _scale(n) * -NormalDist().inv_cdf(alpha / (2 * _TRIALS * n))


def _scale(n: int) -> float:
    return _SCALE * (1.0 if n >= _FEW else (_FEW / n) ** 0.25)


def _p(z: float, n: int) -> float:
    return min(2 * _TRIALS * n * 0.5 * math.erfc(z / _scale(n) / math.sqrt(2)), 1.0)


def _narrowest(row: _Row, low: int, high: int) -> _Cut | None:
    """The best cut of the shortest interval in [low, high) that has one, None if none has."""
    margin = max(_SHORTEST, len(row.cells) // 50)
    for length, offsets in _intervals(high - low):
        start = low + np.array(offsets)[:, None]
        cut = start + np.arange(_SHORTEST, length - _SHORTEST + 1)[None, :]
        z = row.statistic(start, cut, start + length)
        z[(cut < margin) | (cut > len(row.cells) - margin)] = 0.0
        best = np.unravel_index(int(np.argmax(z)), z.shape)
        if z[best] >= row.threshold:
            return _Cut(int(cut[best]), float(z[best]))
    return None


def _intervals(n: int) -> Iterator[tuple[int, list[int]]]:
    """(length, starts) of seeded intervals in n cells, short ones first."""
    lengths = []
    length = float(n)
    while length >= 2 * _SHORTEST:
        lengths.append(int(length))
        length /= math.sqrt(2)
    for size in sorted(set(lengths)):
        number = max(math.ceil(2 * (n - size) / size), 0) + 1
        yield size, sorted({round(i * (n - size) / max(number - 1, 1)) for i in range(number)})


def _kept(row: _Row, cuts: list[_Cut]) -> list[_Cut]:
    """Cuts that still stand between their neighbours, each moved to where it fits best; the weakest
    falls first."""
    while cuts:
        edges = [0, *(cut.at for cut in cuts), len(row.cells)]
        moved = [_fitted(row, *edges[i : i + 3]) for i in range(len(cuts))]
        weakest = min(moved, key=lambda cut: cut.z)
        if weakest.z >= row.threshold:
            return moved
        cuts = [cut for cut in moved if cut is not weakest]
    return []


def _fitted(row: _Row, start: int, at: int, end: int) -> _Cut:
    """The cut near ``at`` that parts [start, end) best; one on a slope has a statistic of 0."""
    reach = min(at - start, end - at) // 3  # so that two neighbours never meet
    cuts = np.arange(max(at - reach, start + 1), min(at + reach, end - 1) + 1)
    left, right = cuts - start, end - cuts
    sums = row.sums
    step = (sums[end] - sums[cuts]) / right - (sums[cuts] - sums[start]) / left
    place = int(cuts[np.argmax(np.abs(step) * np.sqrt(left * right))])
    if row.looks_like_a_line(start, place, end):
        return _Cut(place, 0.0)
    z = row.statistic(np.array(start), np.array(place), np.array(end))
    return _Cut(place, float(z))


def _told(
    t: NDArray[np.int64],
    x: NDArray[np.float64],
    rest: NDArray[np.float64],
    cuts: list[_Cut],
    width: int,
    kind: Literal["level", "spread"],
) -> Iterator[ChangePoint]:
    cells = -(-len(x) // width)
    places = [_sharp(rest, cut.at * width, width, kind) for cut in cuts]
    if any(later <= one for one, later in pairwise([0, *places, len(x)])):
        places = [cut.at * width for cut in cuts]
    edges = [0, *places, len(x)]
    for cut, start, at, end in zip(cuts, edges, edges[1:], edges[2:], strict=False):
        if kind == "level":
            before, after = float(np.median(x[start:at])), float(np.median(x[at:end]))
            usual = _robust(np.concatenate([rest[start:at] - np.median(rest[start:at]),
                                            rest[at:end] - np.median(rest[at:end])]))  # fmt: skip
            step = float(np.median(rest[at:end]) - np.median(rest[start:at]))
            size = step / usual if usual > 0 else math.copysign(1e9, step)
            # Of the seasonless levels: a season would bend the medians.
            after = before + step if np.sign(after - before) != np.sign(step) else after
        else:
            before, after = _robust(rest[start:at]), _robust(rest[at:end])
            floor = 1e-9 * max(before, after, 1e-300)
            size = math.log2(max(after, floor) / max(before, floor))
        p = _p(cut.z, cells) * 2
        yield ChangePoint(
            int(t[at]), at, kind, before, after, min(max(size, -1e9), 1e9),
            1.0 - min(p, 1.0), min(p, 1.0), int(t[start]), int(t[end - 1]),
        )  # fmt: skip


def _sharp(rest: NDArray[np.float64], at: int, width: int, kind: Literal["level", "spread"]) -> int:
    """The sample, within two cells of ``at``, before and after which differ most."""
    if width == 1:
        return at
    y = rest if kind == "level" else np.log(np.abs(rest) + 1e-3 * float(np.abs(rest).max()))
    reach = 8 * width
    low, high = max(at - reach, 0), min(at + reach, len(y))
    sums = np.concatenate(([0.0], np.cumsum(y[low:high])))
    cuts = np.arange(max(at - 2 * width, low + 1), min(at + 2 * width, high - 1) + 1)
    left, right = (cuts - low).astype(float), (high - cuts).astype(float)
    step = (sums[-1] - sums[cuts - low]) / right - sums[cuts - low] / left
    return int(cuts[np.argmax(np.abs(step) * np.sqrt(left * right))])


def _robust(x: NDArray[np.float64]) -> float:
    return 1.4826 * float(np.median(np.abs(x - np.median(x))))
