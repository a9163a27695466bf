"""Regions of moving slopes: least squares over places relative to the pivot (see ``moments``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from barograph.rolling.kernels.compile import piece
from barograph.rolling.kernels.scans import MARGIN, hidden_zero, lanes_below, sum_down, sum_up
from barograph.rolling.kernels.vector import (
    bits,
    both,
    count_down,
    count_up,
    first,
    last,
    load,
    ordered,
    ramp,
    select,
    splat,
    store,
)


@piece
def complete_slope(x: Any, p: int, stop: int, window: int, left: Any, out: Any) -> bool:
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        d = select(keep, load(x, t) - c, z)
        s1 = sum_down(d, z)
        s2 = sum_down(d * (ramp() + splat(float(t - p))), z)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        keep = lanes_below(8)
        i -= 8
    sum1 = sum2 = splat(0.0)
    half = splat((window - 1) * 0.5)
    size = float(window)
    spread = size * (size * size - 1.0)
    per_spread = splat(12.0 / spread if window > 1 else np.nan)
    i = 8
    for t in range(p, stop, 8):
        d = load(x, t) - c
        k = ramp() + splat(float(t - p))
        s1 = sum_up(d, z)
        s2 = sum_up(d * k, z)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        store(out, t, (total2 - (k - half) * total1) * per_spread)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def gaps_slope(x: Any, p: int, stop: int, window: int, min_count: int, left: Any, out: Any) -> bool:
    """The region when values may be NaN; whether all from p on are there."""
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum0 = sum1 = sum2 = sum3 = sum4 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = load(x, t)
        here = both(ordered(v, v), keep)
        d = select(here, v - c, z)
        k = select(here, ramp() + splat(float(t - p)), z)
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d * k, z)
        s3 = sum_down(k, z)
        s4 = sum_down(k * k, z)
        store(left, i, s0 + sum0)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        store(left, i + 3 * stride, s3 + sum3)
        store(left, i + 4 * stride, s4 + sum4)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        sum4 = sum4 + first(s4, s4)
        keep = lanes_below(8)
        i -= 8
    sum0 = sum1 = sum2 = sum3 = sum4 = splat(0.0)
    nan = splat(np.nan)
    needed = splat(float(max(min_count, 2)))
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        k = select(here, ramp() + splat(float(t - p)), z)
        s0 = count_up(here)
        s1 = sum_up(d, z)
        s2 = sum_up(d * k, z)
        s3 = sum_up(k, z)
        s4 = sum_up(k * k, z)
        n = s0 + sum0 + load(left, i)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        total3 = s3 + sum3 + load(left, i + 3 * stride)
        total4 = s4 + sum4 + load(left, i + 4 * stride)
        value = (n * total2 - total3 * total1) / (n * total4 - total3 * total3)
        store(out, t, select(n >= needed, value, nan))
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        sum4 = sum4 + last(s4, s4)
        i += 8
    return bool(bits(splat(float(i - 8)) <= sum0) != 0)
