"""Fewer points that look the same: for charts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_RATIO = 4  # how many extremes are kept for each point that is wanted, as in the paper


def minmax_lttb(t: ArrayLike, y: ArrayLike, points: int) -> NDArray[np.int64]:
    """Indices, rising, of at most ``points`` of the points (t[n], y[n]) that keep the line's shape.

    Extremes of ``2 points`` buckets first, LTTB among those (J. Van Der Donckt et al.,
    "MinMaxLTTB", IEEE VIS 2023): the look of ``lttb`` for the price of a minimum. First and last
    are kept. NaN are left out: a caller that draws gaps looks for them in ``y``. O(n).
    ``ValueError`` for fewer than 3 points or arrays of other shapes.
    """
    times, values, where = _points(t, y, points)
    if len(values) <= points:
        return where
    if len(values) <= _RATIO * points:
        return where[_lttb(times, values, points)]
    from barograph.rolling.kernels.downsample import extremes_of_buckets

    kept = extremes_of_buckets(values, points * _RATIO // 2)
    if len(kept) <= points:
        return where[kept]
    return where[kept[_lttb(times[kept], values[kept], points)]]


def lttb(t: ArrayLike, y: ArrayLike, points: int) -> NDArray[np.int64]:
    """The same by "largest triangle, three buckets" over all points (S. Steinarsson, 2013)."""
    times, values, where = _points(t, y, points)
    return where if len(values) <= points else where[_lttb(times, values, points)]


def _lttb(
    times: NDArray[np.float64], values: NDArray[np.float64], points: int
) -> NDArray[np.int64]:
    from barograph.rolling.kernels.downsample import largest_triangles

    return largest_triangles(times, values, points)


def _points(
    t: ArrayLike, y: ArrayLike, points: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    if points < 3:
        raise ValueError(f"points is {points}, but a line needs at least 3")
    raw = np.asarray(t)
    values = np.asarray(y, np.float64)
    if values.ndim != 1 or raw.shape != values.shape:
        raise ValueError(f"t and y must be one row each of one length: {raw.shape}, {values.shape}")
    if raw.dtype.kind == "M":
        raw = raw.astype(np.int64)
    times = (raw - raw[0]).astype(np.float64) if len(raw) else np.empty(0)
    where = np.flatnonzero(~np.isnan(values))
    if len(where) < len(values):
        times, values = times[where], values[where]
    return (
        np.require(times, np.float64, ["C", "A", "W"]),
        np.require(values, np.float64, ["C", "A", "W"]),
        where,
    )
