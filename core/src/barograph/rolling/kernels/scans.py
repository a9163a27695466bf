"""Scans over vectors, and the walk of windows from pivot to pivot.

A window that slides over a row is cut in two at a *pivot* p: what lies before it (a scan from p
downwards, stored) and from it on (a scan upwards, kept in registers). A pivot serves the windows
that contain it, so the next is at most ``window`` further: every value is scanned twice, whatever
the window (M. van Herk, Pattern Recognition Letters 13, 1992; the two-stack queue of K. Tangwongsan
et al., "Low-Latency Sliding-Window Aggregation in Worst-Case Constant Time", DEBS 2017, for windows
by time). Nothing is ever subtracted from a running sum, so nothing drifts.

A pivot is never NaN, and sums of powers are taken of x - x[p]. As x[p] is in the window, the sum of
squares about it is at most n + 1 times that about the mean: the last step, taking the mean out,
loses at most log2(n + 1) bits, whatever the data's offset or jumps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import piece
from barograph.rolling.kernels.vector import (
    down1,
    down2,
    down4,
    hidden_zero,
    ramp,
    splat,
    up1,
    up2,
    up4,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 8  # what a region's loads and stores may reach beyond it


@piece
def sum_up(v: Any, z: Any) -> Any:
    """Lane i gets the sum of lanes 0..i."""
    v = v + up1(v, z)
    v = v + up2(v, z)
    return v + up4(v, z)


@piece
def sum_down(v: Any, z: Any) -> Any:
    """Lane i gets the sum of lanes i..7."""
    v = v + down1(v, z)
    v = v + down2(v, z)
    return v + down4(v, z)


@piece
def lanes_below(count: int) -> Any:
    """A mask of the first ``count`` lanes."""
    return ramp() < splat(float(count))


@piece
def first_present(x: NDArray[np.float64], start: int) -> int:
    """Index of the first value from ``start`` on that is not NaN; the length if there is none."""
    while start < len(x) and x[start] != x[start]:
        start += 1
    return start


@piece
def first_pivot(x: NDArray[np.float64], start: int, window: int) -> int:
    """The pivot for windows that end from ``start`` on: the newest value that the first of them
    holds; where it holds none, the first value after it."""
    for p in range(min(start, len(x) - 1), max(start - window, -1), -1):
        if x[p] == x[p]:
            return p
    return first_present(x, start)


@piece
def region_after(x: NDArray[np.float64], p: int, window: int) -> tuple[int, int]:
    """(stop, next pivot): pivot ``p`` serves windows that end in [p, stop).

    Windows that end in [stop, next pivot) hold no value at all.
    """
    n = len(x)
    stop = min(p + window, n)
    if stop == n or x[stop] == x[stop]:
        return stop, stop
    last = stop
    while x[last] != x[last]:
        last -= 1
    if last > p:
        return last, last
    return stop, first_present(x, stop)


@piece
def padded(x: NDArray[np.float64], start: int, stop: int) -> NDArray[np.float64]:
    """A copy of x[start:stop] with NaN where that reaches outside of x."""
    out = np.empty(stop - start, x.dtype)
    out[:] = np.nan
    a, b = max(start, 0), min(stop, len(x))
    out[a - start : b - start] = x[a:b]
    return out


__all__ = [
    "MARGIN",
    "first_pivot",
    "first_present",
    "hidden_zero",
    "lanes_below",
    "padded",
    "region_after",
    "sum_down",
    "sum_up",
]
