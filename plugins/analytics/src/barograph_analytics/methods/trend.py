"""Whether a series rises or falls, how fast, and since when.

Seasons are taken out, the rest is put on at most 256 even cells, and two tests must agree:

- Mann-Kendall with its variance corrected for autocorrelation (K. Hamed and A. Rao, "A modified
  Mann-Kendall trend test for autocorrelated data", Journal of Hydrology 204, 1998): robust, but too
  ready where the noise is slow.
- A line fitted to quasi-differences x[i] - r x[i - 1] (P. Perron and T. Yabu, "Estimating
  deterministic trends with an integrated or stationary noise component", Journal of Econometrics
  151, 2009): r is estimated, corrected for its bias, and taken as 1 when it is near; then the test
  is whether the mean step differs from 0, which a random walk passes as seldom as it should.

A level that jumped once or twice fits better than a line that bends: then it is no trend.

Cost: O(n) for the cells, O(n log n) for the period and the slope; about 5 ms for 10,000 samples.
Fails: a season that was seen fewer than three times is part of the series, so that a morning rises;
a saw (a leak with restarts) has no trend over its teeth; noise that is slower than a sixth of the
range hides any trend but a steep one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from barograph_analytics.methods.season import grid, without_season

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS = 256
LEAST = 16
"""Cells with samples, below which nothing is said."""

SHARES = (1.0, 0.5, 0.25)
"""A trend may be that of the newest part only; each part is tested, and the p-values pay for it."""

_NEAR_ONE = 2.5
"""An autocorrelation within this over sqrt(cells) of 1 is taken as 1."""

_CLIP = 5.0
_AS_GOOD = 3.84  # twice the log-likelihood: 95 % for where a line bends


@attrs.frozen
class Trend:
    """What ``trend`` says. Slopes are in the values' unit per second."""

    significant: bool
    direction: Literal["rising", "falling", "none"]
    p: float
    """That noise alone rises or falls like this."""
    tau: float
    """Kendall's, of what was tested, in [-1, 1]."""
    slope: float
    """Theil-Sen, from ``start_ms`` on."""
    low: float
    high: float
    level: float
    """That the slope is between low and high."""
    start_ms: int
    """Since when it goes like this."""
    end_ms: int
    """The last sample."""
    change: float
    """From start to end, along the line."""
    before: float
    """The line at its start."""
    after: float
    """The line at its end."""
    period_ms: int
    """The season that was taken out; 0: none."""
    strength: float
    """abs(change) over the standard deviation about the line."""
    n: int
    """Samples."""
    reason: str
    """Why it is not significant; empty if it is."""


@attrs.frozen
class _Test:
    p: float
    tau: float
    rises: bool
    inflation: float  # of a standard error, by autocorrelation
    error: float  # standard error of the slope per cell


def trend(
    t_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    alpha: float = 0.01,
    level: float = 0.95,
) -> Trend:
    """The trend of values float64[n] at t_ms int64[n] (rising; NaN left out).

    ``alpha``: how often noise alone may look like a trend; ``level``: of the slope's interval.
    ``ValueError`` for arrays that do not fit each other, or times that fall.
    """
    t, x = samples(t_ms, values)
    if len(x) < LEAST:
        return _nothing(t_ms, x, level, f"{len(x)} samples are too few")
    if np.ptp(x) == 0.0:
        return _nothing(t_ms, x, level, "constant")
    rest, period_ms = without_season(t, x)
    cells = grid(t, rest, CELLS)
    here = np.isfinite(cells.values)
    at, y = np.flatnonzero(here).astype(np.float64), cells.values[here]
    if len(y) < LEAST:
        return _nothing(t_ms, x, level, f"samples at {len(y)} different times are too few")
    y = y - y[0]
    scale = float(np.abs(y).max())
    if scale <= 1e-12 * float(np.abs(x).max()):
        return _nothing(t_ms, x, level, "nothing but a season")
    y = y / scale
    tests = [
        _test(at[first:], y[first:])
        for first in sorted({round(len(y) * (1 - share)) for share in SHARES})
        if len(y) - first >= LEAST
    ]
    test = min(tests, key=lambda one: one.p)
    p = min(test.p * len(tests), 1.0)
    first, bend, steps, others = _shapes(at, y, tests[0].inflation ** 2)
    reason = ""
    if p >= alpha:
        reason = f"noise does so too (p = {p:.2g})"
    elif steps < bend:
        reason = "the level jumped, it does not drift"
    slope, low, high = _slope(at[first:], y[first:], test, level)
    low, high = min(low, *others), max(high, *others)
    if not reason and (slope > 0) != test.rises:
        reason = "it went the other way before"
    base = float(np.median(y[first:] - slope * (at[first:] - at[first])))
    left = y[first:] - base - slope * (at[first:] - at[first])
    spread = 1.4826 * float(np.median(np.abs(left)))
    length = float(at[-1] - at[first])
    unit = scale / (cells.step_ms / 1000)
    start_ms = max(int(t[0]), min(int(t[0] + at[first] * cells.step_ms), int(t[-1])))
    before = float(cells.values[here][0]) + base * scale
    return Trend(
        significant=not reason,
        direction="none" if reason else "rising" if test.rises else "falling",
        p=p,
        tau=test.tau,
        slope=slope * unit,
        low=low * unit,
        high=high * unit,
        level=level,
        start_ms=start_ms,
        end_ms=int(t[-1]),
        change=slope * length * scale,
        before=before,
        after=before + slope * length * scale,
        period_ms=period_ms,
        strength=min(abs(slope) * length / max(spread, 1e-9), 1e9),
        n=len(x),
        reason=reason,
    )


def samples(
    t_ms: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Those with finite values, one a time (the last), as int64 and float64 rows."""
    t = np.asarray(t_ms, np.int64)
    x = np.asarray(values, np.float64)
    if t.ndim != 1 or x.shape != t.shape:
        raise ValueError(
            f"t_ms and values must be one row each of one length: {t.shape}, {x.shape}"
        )
    steps = np.diff(t)
    if (steps < 0).any():
        raise ValueError("t_ms falls; samples must be in the order of their times")
    keep = np.isfinite(x)
    t, x = t[keep], x[keep]
    last = np.append(np.diff(t) > 0, True) if len(t) else np.zeros(0, bool)
    return t[last], x[last]


def _nothing(t_ms: NDArray[np.int64], x: NDArray[np.float64], level: float, reason: str) -> Trend:
    start, end = (int(t_ms[0]), int(t_ms[-1])) if len(t_ms) else (0, 0)
    middle = float(np.median(x)) if len(x) else float("nan")
    return Trend(
        False, "none", 1.0, 0.0, 0.0, 0.0, 0.0, level, start, end, 0.0, middle, middle, 0, 0.0,
        len(x), reason,
    )  # fmt: skip


def _test(at: NDArray[np.float64], y: NDArray[np.float64]) -> _Test:
    from barograph.rolling import mann_kendall, theil_sen

    kendall = mann_kendall(y)
    line = theil_sen(y, at)
    left = y - line.intercept - line.slope * at
    reach = _CLIP * 1.4826 * float(np.median(np.abs(left)))
    if reach > 0:
        left = np.clip(left, -reach, reach)
    inflation = _hamed_rao(left)
    p_kendall = 1.0
    if kendall.variance > 0 and kendall.s != 0:
        z = (abs(kendall.s) - 1) / math.sqrt(kendall.variance * inflation)
        p_kendall = math.erfc(z / math.sqrt(2))
    slope, error = _quasi_differences(at, line.intercept + line.slope * at + left, left)
    p_line = math.erfc(abs(slope) / error / math.sqrt(2)) if error > 0 else 0.0
    if (slope > 0) != (kendall.s > 0):
        p_line = 1.0
    return _Test(max(p_kendall, p_line), kendall.tau, kendall.s > 0, math.sqrt(inflation), error)


def _hamed_rao(left: NDArray[np.float64]) -> float:
    """By how much autocorrelation of the ranks about the line widens the test's variance, >= 1."""
    from scipy.stats import rankdata  # slow to import

    from barograph.rolling import autocorrelation

    n = len(left)
    ranks = rankdata(left)
    if np.ptp(ranks) == 0:
        return 1.0
    lags = np.arange(1, max(n // 4, 2))
    rho = autocorrelation(ranks, int(lags[-1]))[1:]
    rho = np.where(np.abs(rho) > 1.96 / math.sqrt(n), rho, 0.0)
    weights = (n - lags) * (n - lags - 1.0) * (n - lags - 2.0)
    return max(1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * float((weights * rho).sum()), 1.0)


def _quasi_differences(
    at: NDArray[np.float64], y: NDArray[np.float64], left: NDArray[np.float64]
) -> tuple[float, float]:
    """(slope, its standard error), per cell, of y less r times its neighbour."""
    n = len(y)
    power = float(left[:-1] @ left[:-1])
    if power == 0.0:
        return float(y[-1] - y[0]) / float(at[-1] - at[0]), 0.0
    r = float(left[1:] @ left[:-1]) / power
    r += (2.0 + 4.0 * max(r, 0.0)) / n  # a fitted line takes so much off
    r = min(max(r, 0.0), 1.0)
    if r > 1.0 - _NEAR_ONE / math.sqrt(n):
        r = 1.0
    # With r = 1 the constant is left in the first value only.
    one = np.concatenate(([1.0], np.full(n - 1, 1.0 - r)))
    line = np.concatenate(([at[0]], at[1:] - r * at[:-1]))
    target = np.concatenate(([y[0]], y[1:] - r * y[:-1]))
    table = np.stack([one, line], axis=1)
    inverse = np.linalg.pinv(table.T @ table)
    fit = inverse @ (table.T @ target)
    rest = (target - table @ fit)[1:]
    long_run = _long_run_variance(rest)
    return float(fit[1]), math.sqrt(max(long_run * float(inverse[1, 1]), 0.0))


def _long_run_variance(x: NDArray[np.float64]) -> float:
    """Bartlett's weights to a lag of 4 (n / 100) ** (2 / 9), but never below the variance
    (W. Newey and K. West, Econometrica 55, 1987)."""
    n = len(x)
    x = x - x.mean()
    variance = float(x @ x) / max(n - 2, 1)
    total = variance
    most = min(int(4 * (n / 100) ** (2 / 9)) + 1, n - 2)
    for lag in range(1, most + 1):
        total += 2 * (1 - lag / (most + 1)) * float(x[lag:] @ x[:-lag]) / n
    return max(total, variance)


def _shapes(
    at: NDArray[np.float64], y: NDArray[np.float64], repeats: float
) -> tuple[int, float, float, tuple[float, float]]:
    """(where the drift begins, criterion of a line that bends there, that of levels that jump,
    slopes (least, largest) of lines whose bend fits hardly worse).

    The smaller criterion (Schwarz's, of squares clipped where they are far off) is the better.
    ``repeats`` cells say as much as one that does not depend on its neighbours.
    """
    n = len(y)
    price = repeats * math.log(max(n / repeats, 2.0))
    bends = [0, *range(max(n // 64, 2), n - max(n // 10, 5), max(n // 64, 1))]
    fits = np.array([_hinge(at, y, b) for b in bends])
    costs, slopes = fits[:, 0], fits[:, 1]
    noise = _noise(y)
    criterion = n * np.log(costs / n + noise) + price * np.where(np.array(bends) > 0, 3, 2)
    best = int(np.argmin(criterion))
    # A bend must be worth it: otherwise it has been going all the time.
    if criterion[best] > criterion[0] - price:
        best = 0
    jumps = min(
        n * math.log(cost / n + noise) + price * (2 * count + 1)
        for count, cost in enumerate(_steps(y), start=1)
    )
    near = slopes[criterion <= criterion[best] + _AS_GOOD * repeats]
    between = float(near.min()), float(near.max())
    return bends[best], float(criterion[best]), float(jumps), between


def _noise(y: NDArray[np.float64]) -> float:
    """A variance below which a fit is not better but lucky."""
    steps = np.diff(y)
    return max(1e-6 * float(np.var(y)), 1e-3 * float(np.median(np.abs(steps))) ** 2, 1e-18)


def _hinge(at: NDArray[np.float64], y: NDArray[np.float64], bend: int) -> tuple[float, float]:
    """(clipped squares, slope) of: flat up to ``bend``, a line from there."""
    run = np.maximum(at - at[bend], 0.0)
    length = float(run[-1])
    run = run / length
    slope = 0.0
    weights = np.ones(len(y))
    left = y
    for _ in range(3):  # least squares, with what is far off pulled in (Huber's weights)
        mean, mean_run = np.average(y, weights=weights), np.average(run, weights=weights)
        spread = float(weights @ (run - mean_run) ** 2)
        slope = float(weights @ ((run - mean_run) * (y - mean))) / spread
        left = y - mean - slope * (run - mean_run)
        reach = 3 * 1.4826 * float(np.median(np.abs(left)))
        if reach == 0.0:
            break
        weights = np.minimum(1.0, reach / np.maximum(np.abs(left), 1e-300))
    return _clipped(left), slope / length


def _clipped(left: NDArray[np.float64]) -> float:
    reach = _CLIP * 1.4826 * float(np.median(np.abs(left)))
    return float((np.clip(left, -reach, reach) ** 2).sum()) if reach > 0 else float(left @ left)


def _steps(y: NDArray[np.float64]) -> tuple[float, float]:
    """Clipped squares about two levels, and about three, each parted where that fits best."""
    n = len(y)
    least = max(n // 32, 3)
    sums = np.concatenate(([0.0], np.cumsum(y)))
    squares = np.concatenate(([0.0], np.cumsum(y * y)))

    def cost(i: NDArray[np.int64] | int, j: NDArray[np.int64] | int) -> NDArray[np.float64]:
        return np.asarray(squares[j] - squares[i] - (sums[j] - sums[i]) ** 2 / (j - i))

    cuts = np.arange(least, n - least)
    one = int(cuts[np.argmin(cost(0, cuts) + cost(cuts, n))])
    i, j = np.meshgrid(cuts, cuts, indexing="ij")
    apart = j - i >= least
    i, j = i[apart], j[apart]
    best = int(np.argmin(cost(0, i) + cost(i, j) + cost(j, n)))
    return _levels(y, (one,)), _levels(y, (int(i[best]), int(j[best])))


def _levels(y: NDArray[np.float64], cuts: tuple[int, ...]) -> float:
    return _clipped(np.concatenate([part - np.median(part) for part in np.split(y, cuts)]))


def _slope(
    at: NDArray[np.float64], y: NDArray[np.float64], test: _Test, level: float
) -> tuple[float, float, float]:
    """(slope, low, high) a cell: Theil-Sen's, with an interval as wide as the noise is slow."""
    from statistics import NormalDist

    from barograph.rolling import theil_sen

    line = theil_sen(y, at, level=level)
    reach = NormalDist().inv_cdf(0.5 + level / 2) * test.error
    low = line.slope - max((line.slope - line.low) * test.inflation, reach)
    high = line.slope + max((line.high - line.slope) * test.inflation, reach)
    return line.slope, low, high
