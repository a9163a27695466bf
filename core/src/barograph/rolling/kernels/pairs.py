"""Moving covariance and correlation of two rows: windows by count.

As ``moments``, for sums of products of x - x[pivot] and y - y[pivot]; a pair counts if neither is
NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.scans import (
    MARGIN,
    hidden_zero,
    lanes_below,
    padded,
    sum_down,
    sum_up,
)
from barograph.rolling.kernels.vector import (
    bits,
    both,
    count_down,
    count_up,
    first,
    last,
    load,
    ordered,
    root,
    select,
    splat,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@kernel
def pairs(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    window: int,
    min_count: int,
    ddof: int,
    correlate: bool,
    out: NDArray[np.float64],
) -> None:
    """Moving covariance (or correlation) of rows x[rows, n] with y[rows, n]; O(1) a pair."""
    left = np.zeros(6 * (window + 2 * MARGIN))
    for row in range(len(x)):
        _row(x[row], y[row], window, min_count, ddof, correlate, left, out[row])


@piece
def _missing(x: Any, y: Any, t: int) -> bool:
    return bool(x[t] != x[t] or y[t] != y[t])


@piece
def _row(
    x: Any, y: Any, window: int, min_count: int, ddof: int, correlate: bool, left: Any, out: Any
) -> None:
    n = len(x)
    p = 0
    while p < n and _missing(x, y, p):
        p += 1
    out[:p] = np.nan
    nan_at = p - 1
    while p < n:
        # The next pivot, as in scans.region_after.
        stop = min(p + window, n)
        following = stop
        if stop < n and _missing(x, y, stop):
            last_pair = stop
            while _missing(x, y, last_pair):
                last_pair -= 1
            if last_pair > p:
                stop = following = last_pair
            else:
                while following < n and _missing(x, y, following):
                    following += 1
        complete = True
        if p - window - MARGIN < 0 or stop + MARGIN > n:
            start = p - window - MARGIN
            part_x = padded(x, start, stop + MARGIN)
            part_y = padded(y, start, stop + MARGIN)
            result = np.empty(len(part_x))
            complete = _gaps(
                part_x,
                part_y,
                p - start,
                stop - start,
                window,
                min_count,
                ddof,
                correlate,
                left,
                result,
            )
            out[p:stop] = result[p - start : stop - start]
        elif nan_at > p - window or not _complete(
            x, y, p, stop, window, ddof, correlate, left, out
        ):
            complete = _gaps(x, y, p, stop, window, min_count, ddof, correlate, left, out)
        nan_at = nan_at if complete else stop - 1
        out[stop:following] = np.nan
        nan_at = following - 1 if following > stop else nan_at
        p = following


@piece
def _complete(
    x: Any, y: Any, p: int, stop: int, window: int, ddof: int, correlate: bool, left: Any, out: Any
) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    cx, cy = splat(x[p]), splat(y[p])
    sum1 = sum2 = sum3 = sum4 = sum5 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        dx = select(keep, load(x, t) - cx, z)
        dy = select(keep, load(y, t) - cy, z)
        s1 = sum_down(dx, z)
        s2 = sum_down(dy, z)
        s3 = sum_down(dx * dy, z)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        store(left, i + 3 * stride, s3 + sum3)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if correlate:
            s4 = sum_down(dx * dx, z)
            s5 = sum_down(dy * dy, z)
            store(left, i + 4 * stride, s4 + sum4)
            store(left, i + 5 * stride, s5 + sum5)
            sum4 = sum4 + first(s4, s4)
            sum5 = sum5 + first(s5, s5)
        keep = lanes_below(8)
        i -= 8
    sum1 = sum2 = sum3 = sum4 = sum5 = splat(0.0)
    per_n = splat(1.0 / window)
    per_free = splat(1.0 / (window - ddof) if window > ddof else np.nan)
    i = 8
    for t in range(p, stop, 8):
        dx = load(x, t) - cx
        dy = load(y, t) - cy
        s1 = sum_up(dx, z)
        s2 = sum_up(dy, z)
        s3 = sum_up(dx * dy, z)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        total3 = s3 + sum3 + load(left, i + 3 * stride)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        mean1 = total1 * per_n
        products = total3 - mean1 * total2
        if correlate:
            s4 = sum_up(dx * dx, z)
            s5 = sum_up(dy * dy, z)
            total4 = s4 + sum4 + load(left, i + 4 * stride) - mean1 * total1
            total5 = s5 + sum5 + load(left, i + 5 * stride) - total2 * total2 * per_n
            sum4 = sum4 + last(s4, s4)
            sum5 = sum5 + last(s5, s5)
            store(out, t, _correlation(products, total4, total5))
        else:
            store(out, t, products * per_free)
        i += 8
    total = sum1 + sum2
    return bool(bits(ordered(total, total)) != 0)


@piece
def _gaps(
    x: Any,
    y: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    correlate: bool,
    left: Any,
    out: Any,
) -> bool:
    """The region when values may be NaN; whether all from p on are there."""
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    cx, cy = splat(x[p]), splat(y[p])
    sum0 = sum1 = sum2 = sum3 = sum4 = sum5 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        dx = load(x, t) - cx
        dy = load(y, t) - cy
        here = both(ordered(load(x, t), load(y, t)), keep)
        dx = select(here, dx, z)
        dy = select(here, dy, z)
        s0 = count_down(here)
        s1 = sum_down(dx, z)
        s2 = sum_down(dy, z)
        s3 = sum_down(dx * dy, z)
        store(left, i, s0 + sum0)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        store(left, i + 3 * stride, s3 + sum3)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if correlate:
            s4 = sum_down(dx * dx, z)
            s5 = sum_down(dy * dy, z)
            store(left, i + 4 * stride, s4 + sum4)
            store(left, i + 5 * stride, s5 + sum5)
            sum4 = sum4 + first(s4, s4)
            sum5 = sum5 + first(s5, s5)
        keep = lanes_below(8)
        i -= 8
    sum0 = sum1 = sum2 = sum3 = sum4 = sum5 = splat(0.0)
    free = splat(float(ddof))
    needed = splat(float(min_count if correlate else max(min_count, ddof + 1)))
    nan = splat(np.nan)
    i = 8
    for t in range(p, stop, 8):
        dx = load(x, t) - cx
        dy = load(y, t) - cy
        here = ordered(load(x, t), load(y, t))
        dx = select(here, dx, z)
        dy = select(here, dy, z)
        s0 = count_up(here)
        s1 = sum_up(dx, z)
        s2 = sum_up(dy, z)
        s3 = sum_up(dx * dy, z)
        n = s0 + sum0 + load(left, i)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        total3 = s3 + sum3 + load(left, i + 3 * stride)
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        mean1 = total1 / n
        products = total3 - mean1 * total2
        if correlate:
            s4 = sum_up(dx * dx, z)
            s5 = sum_up(dy * dy, z)
            total4 = s4 + sum4 + load(left, i + 4 * stride) - mean1 * total1
            total5 = s5 + sum5 + load(left, i + 5 * stride) - total2 * total2 / n
            sum4 = sum4 + last(s4, s4)
            sum5 = sum5 + last(s5, s5)
            value = _correlation(products, total4, total5)
        else:
            value = products / (n - free)
        store(out, t, select(n >= needed, value, nan))
        i += 8
    return bool(bits(splat(float(i - 8)) <= sum0) != 0)


@piece
def _correlation(products: Any, x2: Any, y2: Any) -> Any:
    """From centred sums; NaN if one side is flat, never outside [-1, 1]."""
    one = splat(1.0)
    value = products / (root(x2) * root(y2))
    value = select(one < value, one, value)
    return select(value < splat(-1.0), splat(-1.0), value)
