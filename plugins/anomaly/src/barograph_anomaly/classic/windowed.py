"""Against the last samples: zscore, robust_zscore, iqr, spike. All O(WINDOW) a sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW = 120
"""Samples that a new one is compared with."""

NEAR = 15
"""The same for spikes, which are judged by their neighbourhood."""

LEAST = 12
"""Samples in the window before anything is said."""

# A row: how many samples the window holds, the place of the oldest, the samples by age, by size.
COUNT, OLDEST, BY_AGE = 0, 1, 2
BY_SIZE = BY_AGE + WINDOW
WINDOWED_WIDTH = BY_SIZE + WINDOW

NORMAL_MAD = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""


@piece
def zscore(f: NDArray[np.float64], x: float) -> float:
    """Distance to the window's mean, in its standard deviations."""
    count = int(f[COUNT])
    mean = total = 0.0
    for i in range(count):
        mean += f[BY_AGE + i] / count
    for i in range(count):
        away = f[BY_AGE + i] - mean
        total += away * away
    z = in_units(abs(x - mean), math.sqrt(total / max(count - 1, 1)), mean)
    push(f, x, WINDOW)
    return z if count >= LEAST else 0.0


@piece
def robust_zscore(f: NDArray[np.float64], x: float) -> float:
    """Distance to the window's median, in absolute deviations (Iglewicz, Hoaglin 1993)."""
    count = int(f[COUNT])
    z = 0.0
    if count >= LEAST:
        middle = quantile(f, 0.5)
        z = in_units(abs(x - middle), NORMAL_MAD * deviation(f, middle), middle)
    push(f, x, WINDOW)
    return z


@piece
def iqr(f: NDArray[np.float64], x: float) -> float:
    """Distance outside the window's quartiles, in interquartile ranges (Tukey 1977)."""
    count = int(f[COUNT])
    z = 0.0
    if count >= LEAST:
        low, high = quantile(f, 0.25), quantile(f, 0.75)
        away = low - x if x < low else x - high if x > high else 0.0
        z = in_units(away, high - low, 0.5 * (low + high))
    push(f, x, WINDOW)
    return z


@piece
def spike(f: NDArray[np.float64], x: float) -> float:
    """Hampel's identifier (1974) over the last ``NEAR`` samples; a step that stays is one spike at
    most, since both the median and the sample before must be far."""
    count = int(f[COUNT])
    z = 0.0
    if count >= LEAST:
        middle = quantile(f, 0.5)
        before = f[BY_AGE + (int(f[OLDEST]) + NEAR - 1) % NEAR] if count == NEAR else (
            f[BY_AGE + count - 1]
        )  # fmt: skip
        away = min(abs(x - middle), abs(x - before))
        z = in_units(away, NORMAL_MAD * deviation(f, middle), middle)
    push(f, x, NEAR)
    return z


@piece
def in_units(away: float, unit: float, level: float) -> float:
    """``away / unit``, where a window of equal samples has the unit of a rounding step: a change
    of a thousandth of the level counts as one."""
    smallest = 1e-3 * abs(level) if unit <= 1e-9 * abs(level) else unit
    if smallest <= 0.0:
        return 0.0 if away <= 0.0 else 1e9
    return min(away / smallest, 1e9)


@piece
def quantile(f: NDArray[np.float64], q: float) -> float:
    """Of the window, between neighbours linearly."""
    count = int(f[COUNT])
    place = q * (count - 1)
    low = int(place)
    high = min(low + 1, count - 1)
    part = place - low
    return float(f[BY_SIZE + low] * (1.0 - part) + f[BY_SIZE + high] * part)


@piece
def deviation(f: NDArray[np.float64], middle: float) -> float:
    """Median absolute deviation: the samples by size are two rising runs of distances."""
    count = int(f[COUNT])
    right = 0
    while right < count and f[BY_SIZE + right] < middle:
        right += 1
    left = right - 1
    nearest = last = 0.0
    for _ in range(count // 2 + 1):
        last = nearest
        below = middle - f[BY_SIZE + left] if left >= 0 else math.inf
        above = f[BY_SIZE + right] - middle if right < count else math.inf
        if below <= above:
            nearest = below
            left -= 1
        else:
            nearest = above
            right += 1
    return nearest if count % 2 else 0.5 * (nearest + last)


@piece
def push(f: NDArray[np.float64], x: float, window: int) -> None:
    """Take ``x`` into the window in place of its oldest sample."""
    count = int(f[COUNT])
    if count < window:
        f[BY_AGE + count] = x
        f[COUNT] = count + 1
    else:
        oldest = int(f[OLDEST])
        drop(f, f[BY_AGE + oldest], count)
        f[BY_AGE + oldest] = x
        f[OLDEST] = (oldest + 1) % window
        count -= 1
    place = count
    while place > 0 and f[BY_SIZE + place - 1] > x:
        f[BY_SIZE + place] = f[BY_SIZE + place - 1]
        place -= 1
    f[BY_SIZE + place] = x


@piece
def drop(f: NDArray[np.float64], x: float, count: int) -> None:
    low, high = 0, count - 1
    while low < high:
        half = (low + high) // 2
        if f[BY_SIZE + half] < x:
            low = half + 1
        else:
            high = half
    for i in range(low, count - 1):
        f[BY_SIZE + i] = f[BY_SIZE + i + 1]
