"""Trends of a whole series: the Mann-Kendall test and the Theil-Sen line, both in O(n log n)."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_SEED = 20180307  # any; the same data give the same slope


@attrs.frozen
class MannKendall:
    """Whether a series rises or falls: ``s`` pairs that rise less pairs that fall.

    ``tau`` is s over the number of pairs, ``z`` the normal score with continuity correction, ``p``
    two-sided, ``variance`` that of s without a trend, corrected for ties, ``n`` values without NaN.
    """

    s: int
    tau: float
    z: float
    p: float
    variance: float
    n: int


@attrs.frozen
class TheilSen:
    """A line through a series: the median slope of all pairs, and an interval for it.

    ``slope``, ``low`` and ``high`` are in the unit of the values per unit of time; ``intercept`` is
    the median of x - slope t.
    """

    slope: float
    intercept: float
    low: float
    high: float
    level: float


def mann_kendall(x: ArrayLike) -> MannKendall:
    """The Mann-Kendall test of x[n], NaN left out; pairs counted by merge sort, O(n log n).

    (M. Kendall, "Rank Correlation Methods", 1975.) The p-value holds for values that do not depend
    on their neighbours; autocorrelated series look more significant than they are. ``ValueError``
    for fewer than two values.
    """
    values = _clean(x)
    n = len(values)
    if n < 2:
        raise ValueError(f"a trend needs at least 2 values that are not NaN, not {n}")
    from barograph.rolling.kernels.trend import inversions

    _, ties = np.unique(values, return_counts=True)
    tied = ties[ties > 1].astype(float)
    pairs = n * (n - 1) // 2
    s = pairs - int((tied * (tied - 1) / 2).sum()) - 2 * int(inversions(values))
    variance = (
        n * (n - 1.0) * (2.0 * n + 5.0) - float((tied * (tied - 1) * (2 * tied + 5)).sum())
    ) / 18.0
    z = 0.0
    if variance > 0 and s != 0:
        z = (s - math.copysign(1, s)) / math.sqrt(variance)
    return MannKendall(s, s / pairs, z, math.erfc(abs(z) / math.sqrt(2)), variance, n)


def theil_sen(x: ArrayLike, t: ArrayLike | None = None, *, level: float = 0.95) -> TheilSen:
    """The Theil-Sen line of x[n] over t[n] (default 0, 1, ...), NaN left out.

    Up to 29 % of the values may be anything without harm. The median is selected among all pairs'
    slopes without listing them (J. Matousek, IPL 39, 1991), O(n log n) expected. The interval is
    Sen's (JASA 63, 1968) and, as the test's p-value, takes values as independent. ``ValueError``
    for fewer than two values, or times that do not rise.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, but must be between 0 and 1")
    values = np.asarray(x, np.float64)
    times = np.arange(len(values), dtype=np.float64) if t is None else np.asarray(t, np.float64)
    if values.ndim != 1 or times.shape != values.shape:
        raise ValueError(
            f"x and t must be one row each of one length: {values.shape}, {times.shape}"
        )
    keep = np.isfinite(values)
    if np.isinf(values).any():
        raise ValueError("x has an infinity; a line needs finite values")
    values, times = values[keep], times[keep]
    n = len(values)
    if n < 2:
        raise ValueError(f"a trend needs at least 2 values that are not NaN, not {n}")
    if not (np.diff(times) > 0).all():
        raise ValueError("t must rise from value to value")
    from barograph.rolling.kernels.trend import slopes_at

    # About the first point: a large offset would eat the digits that order the slopes.
    values0, times0 = values - values[0], times - times[0]
    pairs = n * (n - 1) // 2
    reach = NormalDist().inv_cdf(0.5 + level / 2) * math.sqrt(mann_kendall(values).variance)
    low = max(math.floor((pairs - reach) / 2), 0)
    high = min(math.ceil((pairs + reach) / 2), pairs - 1)
    ranks = np.array([(pairs - 1) // 2, pairs // 2, low, high], np.int64)
    slopes: Any = slopes_at(times0, values0, ranks, _SEED)
    slope = float(slopes[0] * 0.5 + slopes[1] * 0.5)
    intercept = float(np.median(values0 - slope * times0) + values[0] - slope * times[0])
    return TheilSen(slope, intercept, float(slopes[2]), float(slopes[3]), level)


def _clean(x: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(x, np.float64)
    if values.ndim != 1:
        raise ValueError(f"a trend is of one row of values, not of shape {values.shape}")
    return np.require(values[~np.isnan(values)], np.float64, ["C", "A", "W"])
