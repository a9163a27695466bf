"""By running means: ewma, level_shift, variance_shift, flatline, rate_of_change. All O(1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST = 24
"""Samples before anything is said."""

SLOW, FAST = 1 / 288, 0.2
"""Weights of a new sample in the slow mean (a day of 5-minute samples) and the fast one."""

SAMPLES, MEAN, SCALE, QUICK, BEFORE, BEFORE_MS = 0, 1, 2, 3, 4, 5
UP, DOWN = 6, 7
SPREAD, LONG_SPREAD = 6, 7
RUN, CHANGES = 6, 7
RUNNING_WIDTH = 8

NORMAL_SCALE = 1.2533
"""Standard deviations in a mean absolute deviation of normal noise."""

SLACK = 0.5
"""Standard deviations that a level may wander without adding up to a shift."""

SURE = 1e-9


@piece
def ewma(f: NDArray[np.float64], x: float) -> float:
    """The fast mean's distance to the slow one, in the fast mean's own standard deviations: the
    control chart of Roberts (1959)."""
    n = f[SAMPLES]
    f[QUICK] = x if n == 0.0 else f[QUICK] + FAST * (x - f[QUICK])
    z = 0.0
    if n >= LEAST:
        spread = NORMAL_SCALE * f[SCALE] * math.sqrt(FAST / (2.0 - FAST))
        z = ratio(abs(f[QUICK] - f[MEAN]), spread, f[MEAN])
    follow(f, x)
    return z


@piece
def level_shift(f: NDArray[np.float64], x: float) -> float:
    """Page's cumulative sum (1954) of clipped distances to the slow mean, so that a single spike
    adds up to nothing. A shift that was found becomes the new level."""
    n = f[SAMPLES]
    found = 0.0
    if n >= LEAST:
        z = ratio(x - f[MEAN], NORMAL_SCALE * f[SCALE], f[MEAN])
        z = min(max(z, -4.0), 4.0)
        f[UP] = max(f[UP] + z - SLACK, 0.0)
        f[DOWN] = max(f[DOWN] - z - SLACK, 0.0)
        found = max(f[UP], f[DOWN])
        f[QUICK] += FAST * (x - f[QUICK])
        if found > 40.0:
            f[MEAN], f[UP], f[DOWN] = f[QUICK], 0.0, 0.0
    else:
        f[QUICK] = x
    follow(f, x)
    return found


@piece
def variance_shift(f: NDArray[np.float64], x: float) -> float:
    """Log ratio of the spread of about 24 samples to that of about 288, in its own standard
    deviations for normal noise."""
    n = f[SAMPLES]
    z = 0.0
    if n >= LEAST:
        away = abs(x - f[QUICK])
        f[SPREAD] += max(1.0 / 24.0, 1.0 / (n - LEAST + 1.0)) * (away - f[SPREAD])
        f[LONG_SPREAD] += max(SLOW, 1.0 / (n - LEAST + 1.0)) * (away - f[LONG_SPREAD])
        if n >= 4 * LEAST:
            smallest = SURE * (abs(f[MEAN]) + abs(x)) + 1e-300
            z = abs(math.log((f[SPREAD] + smallest) / (f[LONG_SPREAD] + smallest)))
            z /= 0.76 * math.sqrt(1.0 / (2.0 * 24.0 - 1.0))
    f[QUICK] = x if n == 0.0 else f[QUICK] + FAST * (x - f[QUICK])
    follow(f, x)
    return z


@piece
def flatline(f: NDArray[np.float64], x: float) -> float:
    """-ln of the chance of so many equal samples, from how often the series changes at all."""
    n = f[SAMPLES]
    same = n > 0.0 and x == f[BEFORE]
    f[RUN] = f[RUN] + 1.0 if same else 0.0
    found = 0.0
    if n >= LEAST:
        unchanged = 1.0 - f[CHANGES]
        found = -f[RUN] * math.log(min(max(unchanged, 0.05), 1.0))
    if n > 0.0 and f[RUN] <= LEAST:  # a run that lasts must not become the rule
        f[CHANGES] += max(SLOW, 1.0 / n) * ((0.0 if same else 1.0) - f[CHANGES])
    f[BEFORE] = x
    f[SAMPLES] = n + 1.0
    return found


@piece
def rate_of_change(f: NDArray[np.float64], x: float, t_ms: int) -> float:
    """The change per second, in what such changes usually are; whatever the level."""
    n = f[SAMPLES]
    z = 0.0
    passed = (t_ms - f[BEFORE_MS]) / 1000.0
    if n > 0.0 and passed > 0.0:
        rate = (x - f[BEFORE]) / passed
        if n >= LEAST:
            z = ratio(abs(rate), NORMAL_SCALE * f[SCALE], 0.0)
        size = abs(rate) if n < LEAST else min(abs(rate), 5.0 * f[SCALE] + SURE * abs(rate))
        f[SCALE] += max(SLOW, 1.0 / n) * (size - f[SCALE])
    f[BEFORE], f[BEFORE_MS] = x, t_ms
    f[SAMPLES] = n + 1.0
    return z


@piece
def follow(f: NDArray[np.float64], x: float) -> None:
    """The slow mean and the mean absolute deviation from it; outliers are clipped."""
    n = f[SAMPLES]
    weight = max(SLOW, 1.0 / (n + 1.0))
    away = x - f[MEAN]
    if n >= LEAST:
        most = 5.0 * f[SCALE] + SURE * abs(f[MEAN])
        away = min(max(away, -most), most)
    f[MEAN] += weight * away
    f[SCALE] += weight * (abs(away) - f[SCALE])
    f[SAMPLES] = n + 1.0


@piece
def ratio(away: float, unit: float, level: float) -> float:
    """``away / unit``; for a constant series a thousandth of the level is the unit."""
    if unit <= SURE * abs(level):
        unit = 1e-3 * abs(level)
    if unit <= 0.0:
        return 0.0 if away == 0.0 else math.copysign(1e9, away)
    return min(max(away / unit, -1e9), 1e9)
