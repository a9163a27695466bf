"""Picking points of a line chart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from barograph.rolling.kernels.compile import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


@kernel
def extremes_of_buckets(y: NDArray[np.float64], buckets: int) -> NDArray[np.int64]:
    """Indices, rising, of the first, the last, and each bucket's least and greatest; O(n).

    Buckets have equal numbers of points. No NaN.
    """
    n = len(y)
    out = np.empty(2 * buckets + 2, np.int64)
    out[0] = 0
    size = 1
    for b in range(buckets):
        start = 1 + (n - 2) * b // buckets
        stop = 1 + (n - 2) * (b + 1) // buckets
        if stop <= start:
            continue
        low = high = start
        for i in range(start + 1, stop):
            low = i if y[i] < y[low] else low
            high = i if y[i] > y[high] else high
        out[size] = min(low, high)
        size += 1
        if low != high:
            out[size] = max(low, high)
            size += 1
    out[size] = n - 1
    return out[: size + 1]


@kernel
def largest_triangles(
    t: NDArray[np.float64], y: NDArray[np.float64], points: int
) -> NDArray[np.int64]:
    """int64[points]: of each bucket, the point with the largest triangle between the point before
    and the next bucket's mean; O(n). 3 <= points <= n."""
    n = len(y)
    out = np.empty(points, np.int64)
    out[0] = 0
    buckets = points - 2
    chosen = 0
    for b in range(buckets):
        start = 1 + (n - 2) * b // buckets
        stop = 1 + (n - 2) * (b + 1) // buckets
        after = 1 + (n - 2) * (b + 2) // buckets if b + 2 <= buckets else n
        mean_t = mean_y = 0.0
        for i in range(stop, after):
            mean_t += t[i] - t[stop]
            mean_y += y[i] - y[stop]
        mean_t = t[stop] + mean_t / (after - stop)
        mean_y = y[stop] + mean_y / (after - stop)
        largest = -1.0
        best = start
        for i in range(start, stop):
            area = abs(
                (t[chosen] - mean_t) * (y[i] - y[chosen])
                - (t[chosen] - t[i]) * (mean_y - y[chosen])
            )
            if area > largest:
                largest = area
                best = i
        out[b + 1] = best
        chosen = best
    out[points - 1] = n - 1
    return out
