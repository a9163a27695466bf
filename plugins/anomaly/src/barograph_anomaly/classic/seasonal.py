"""``seasonal``: level + season + rest, the period detected: a day, a week, or none. O(1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from barograph_anomaly.classic.running import ratio
from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DAY_MS = 86_400_000
DAY_PARTS = 48
WEEK_PARTS = 168
MONDAY_MS = 4 * DAY_MS  # 1970-01-05

SAMPLES, LEVEL, PART, WEEK_PART, REST = 0, 1, 2, 3, 4
SUM, COUNT, WEEK_SUM, WEEK_COUNT = 5, 6, 7, 8
ERRORS = 9  # of no season, of the day, of the week
JUDGED = 12  # parts over which the errors were judged, of the day and of the week
DAY = 14
DAY_SEEN = DAY + DAY_PARTS
WEEK = DAY_SEEN + DAY_PARTS
WEEK_SEEN = WEEK + WEEK_PARTS
SEASONAL_WIDTH = WEEK_SEEN + WEEK_PARTS

LEVEL_WEIGHT = 1 / 1000
"""Of a sample in the level and in the usual rest: half a week of 5-minute samples, so that a
weekend is no level of its own."""

LEAST = 48
GAIN = 0.8
"""A season is used if its error is below this share of the error without it."""

NORMAL_SCALE = 1.2533


@piece
def seasonal(f: NDArray[np.float64], x: float, t_ms: int) -> float:
    """Distance to level + season, in usual distances. Profiles move by clipped steps (Huber), so
    that an odd day does not become the rule."""
    n = f[SAMPLES]
    part = int(t_ms % DAY_MS) // (DAY_MS // DAY_PARTS)
    week_part = int((t_ms - MONDAY_MS) % (7 * DAY_MS)) // (7 * DAY_MS // WEEK_PARTS)
    if n == 0.0:
        f[LEVEL], f[PART], f[WEEK_PART] = x, part, week_part
    if part != f[PART]:
        close(f, int(f[PART]), DAY, DAY_SEEN, f[SUM] / max(f[COUNT], 1.0), 1, True)
        f[PART], f[SUM], f[COUNT] = part, 0.0, 0.0
    if week_part != f[WEEK_PART]:
        mean = f[WEEK_SUM] / max(f[WEEK_COUNT], 1.0)
        close(f, int(f[WEEK_PART]), WEEK, WEEK_SEEN, mean, 2, False)
        f[WEEK_PART], f[WEEK_SUM], f[WEEK_COUNT] = week_part, 0.0, 0.0
    away = x - f[LEVEL]
    rest = away - season(f, part, week_part)
    z = ratio(abs(rest), NORMAL_SCALE * f[REST], f[LEVEL]) if n >= LEAST else 0.0
    weight = max(LEVEL_WEIGHT, 1.0 / (n + 1.0))
    most = 5.0 * f[REST] + 1e-9 * abs(f[LEVEL]) if n >= LEAST else math.inf
    f[REST] += weight * (min(abs(rest), most) - f[REST])
    f[SUM] += away
    f[COUNT] += 1.0
    f[WEEK_SUM] += away
    f[WEEK_COUNT] += 1.0
    f[LEVEL] += weight * min(max(rest, -most), most)
    f[SAMPLES] = n + 1.0
    return z


@piece
def season(f: NDArray[np.float64], part: int, week_part: int) -> float:
    """What the period in use adds here; 0 for none."""
    day = f[JUDGED] >= DAY_PARTS and f[DAY_SEEN + part] >= 2.0
    week = f[JUDGED + 1] >= WEEK_PARTS and f[WEEK_SEEN + week_part] >= 2.0
    best = GAIN * f[ERRORS]
    found = 0.0
    if day and f[ERRORS + 1] < best:
        best, found = f[ERRORS + 1], f[DAY + part]
    if week and f[ERRORS + 2] < GAIN * min(best / GAIN, f[ERRORS + 1]):
        found = f[WEEK + week_part]
    return found


@piece
def close(
    f: NDArray[np.float64], part: int, profile: int, seen: int, mean: float, which: int,
    none_too: bool,
) -> None:  # fmt: skip
    """A part is over: judge the profile by it, then move the profile towards it."""
    times = f[seen + part]
    if times > 0.0:
        off = mean - f[profile + part]
        f[JUDGED + which - 1] += 1.0
        weight = max(1.0 / 144.0, 1.0 / f[JUDGED + which - 1])
        f[ERRORS + which] += weight * (abs(off) - f[ERRORS + which])
        if none_too:
            f[ERRORS] += weight * (abs(mean) - f[ERRORS])
        most = math.inf if times < 2.0 else 3.0 * f[ERRORS + which]
        f[profile + part] += max(0.2, 1.0 / (times + 1.0)) * min(max(off, -most), most)
    else:
        f[profile + part] = mean
    f[seen + part] = times + 1.0
