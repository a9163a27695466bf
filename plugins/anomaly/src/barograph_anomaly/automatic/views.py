"""What a series looks like at its newest sample, in ``VIEWS`` numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from barograph_anomaly.automatic.layout import (
    BAND_DAYS,
    BAND_HIGH,
    BAND_LOW,
    BAND_MEAN,
    CENTRES,
    CONTRAST,
    DAY_MEAN,
    DAY_PARTS,
    LEVEL_ERROR,
    LOCAL,
    LONG,
    MEAN_LONG,
    MEAN_MIDDLE,
    MEAN_SHORT,
    MEANS,
    MIDDLE,
    PART,
    PART_COUNT,
    PART_HIGH,
    PART_LOW,
    PART_SUM,
    PARTS_JUDGED,
    PREVIOUS,
    RUN,
    RUN_LENGTH,
    SAMPLES,
    SCALES,
    SEASON,
    SEASON_ERROR,
    SHORT,
    SPREAD_LONG,
    SPREAD_MIDDLE,
    STEP,
    VALUE,
    VARIANCES,
)
from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY_SAMPLES = 288.0
"""Memory of the mean that the day's profile must beat."""

PROFILE_RATE = 0.15
"""Weight of a new day in the profile: a changed habit is learnt in about a week."""

PROFILE_DAYS = 3
"""Days that a half hour must have been seen before its band is used."""

PROFILE_GAIN = 0.6
"""The profile is used while its error is below this share of the error without it."""

DAY_MS = 86_400_000


@piece
def look(
    f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int, x: float, out: NDArray[np.float64]
) -> bool:
    """Fill ``out`` float64[VIEWS] (NaN: nothing to say yet) and take the sample in.

    True if the sample is within what this time of day always does. O(1).
    """
    n = k[SAMPLES]
    if n == 0:
        f[PREVIOUS] = f[MEANS] = f[MEANS + 1] = f[MEANS + 2] = f[DAY_MEAN] = x
    out[:] = np.nan
    out[VALUE] = x
    if n >= 1:
        out[STEP] = x - f[PREVIOUS]
    if n > MIDDLE:
        # Against the spread of now, but not less than a tenth of the usual one.
        floor = 0.01 * f[SCALES + VALUE] * f[SCALES + VALUE]
        spread = math.sqrt(f[VARIANCES] + floor)
        out[LOCAL] = (x - f[MEANS + 1]) / spread if spread > 0.0 else 0.0
    k[RUN_LENGTH] = k[RUN_LENGTH] + 1 if x == f[PREVIOUS] else 0
    if n >= MIDDLE:
        out[RUN] = math.log1p(float(k[RUN_LENGTH]))
    first = 1.0 / (n + 1.0)
    for i in range(3):
        memory = SHORT if i == 0 else MIDDLE if i == 1 else LONG
        f[MEANS + i] += max(1.0 / memory, first) * (x - f[MEANS + i])
        if n >= memory:
            out[MEAN_SHORT if i == 0 else MEAN_MIDDLE if i == 1 else MEAN_LONG] = f[MEANS + i]
    f[DAY_MEAN] += max(1.0 / DAY_SAMPLES, first) * (x - f[DAY_MEAN])
    if n >= LONG:
        out[CONTRAST] = f[MEANS] - f[MEANS + 2]
    smallest = 1e-12 * (1e-12 + f[DAY_MEAN] * f[DAY_MEAN])
    for i in range(2):
        memory = MIDDLE if i == 0 else LONG
        away = x - f[MEANS + 1 + i]
        f[VARIANCES + i] += max(1.0 / memory, first) * (away * away - f[VARIANCES + i])
        if n >= memory:
            view = SPREAD_MIDDLE if i == 0 else SPREAD_LONG
            out[view] = 0.5 * math.log(f[VARIANCES + i] + smallest)
    f[PREVIOUS] = x
    return season(f, k, t_ms, x, out)


@piece
def season(
    f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int, x: float, out: NDArray[np.float64]
) -> bool:
    """The day's profile: take the sample in, and say how far it is outside its band."""
    part = int(t_ms % DAY_MS) // (DAY_MS // DAY_PARTS)
    if part != k[PART]:
        if k[PART] >= 0:
            close_part(f, k)
        k[PART], k[PART_COUNT] = part, 0
        f[PART_LOW], f[PART_HIGH], f[PART_SUM] = x, x, 0.0
    k[PART_COUNT] += 1
    f[PART_SUM] += x
    f[PART_LOW] = min(f[PART_LOW], x)
    f[PART_HIGH] = max(f[PART_HIGH], x)
    learnt = k[BAND_DAYS + part] >= PROFILE_DAYS
    if not learnt or not f[SEASON_ERROR] < PROFILE_GAIN * f[LEVEL_ERROR]:
        return False
    low, high = math.inf, -math.inf
    for i in range(part + DAY_PARTS - 1, part + DAY_PARTS + 2):  # its neighbours' too: jitter
        near = i % DAY_PARTS
        if k[BAND_DAYS + near] > 0:
            low = min(low, f[BAND_LOW + near])
            high = max(high, f[BAND_HIGH + near])
    out[SEASON] = x - high if x > high else x - low if x < low else 0.0
    return bool(out[SEASON] == 0.0)


@piece
def close_part(f: NDArray[np.float64], k: NDArray[np.int32]) -> None:
    """A half hour is over: its band and mean move towards what it was, odd days by less."""
    part = k[PART]
    mean = f[PART_SUM] / k[PART_COUNT]
    days = k[BAND_DAYS + part]
    if days == 0:
        f[BAND_LOW + part], f[BAND_HIGH + part] = f[PART_LOW], f[PART_HIGH]
        f[BAND_MEAN + part] = mean
    else:
        k[PARTS_JUDGED] += 1
        memory = max(1.0 / (3.0 * DAY_PARTS), 1.0 / k[PARTS_JUDGED])
        off = mean - f[BAND_MEAN + part]
        f[SEASON_ERROR] += memory * (abs(off) - f[SEASON_ERROR])
        f[LEVEL_ERROR] += memory * (abs(mean - f[DAY_MEAN]) - f[LEVEL_ERROR])
        rate = max(PROFILE_RATE, 1.0 / (days + 1.0))
        most = math.inf if days < 2 else 3.0 * f[SEASON_ERROR]
        f[BAND_LOW + part] += rate * clipped(f[PART_LOW] - f[BAND_LOW + part], most)
        f[BAND_HIGH + part] += rate * clipped(f[PART_HIGH] - f[BAND_HIGH + part], most)
        f[BAND_MEAN + part] += rate * clipped(off, most)
    k[BAND_DAYS + part] = days + 1


@piece
def clipped(x: float, most: float) -> float:
    return min(max(x, -most), most)


@piece
def centre(f: NDArray[np.float64], view: int, seen: float, x: float, memory: float) -> None:
    """Move a view's centre and scale (mean absolute deviation) towards ``x``, outliers clipped."""
    if seen == 1.0:
        f[CENTRES + view] = x
    scale = f[SCALES + view]
    away = x - f[CENTRES + view]
    if seen > 20.0 and scale > 0.0:
        away = clipped(away, 5.0 * scale)
    rate = max(1.0 / memory, 1.0 / seen)
    f[CENTRES + view] += rate * away
    f[SCALES + view] += rate * (abs(away) - scale)
