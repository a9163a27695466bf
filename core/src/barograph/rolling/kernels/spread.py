"""Regions of moving variance, deviation and z-score (see ``moments``)."""

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
    root,
    select,
    splat,
    store,
)


@piece
def complete_spread(
    x: Any,
    p: int,
    stop: int,
    window: int,
    ddof: int,
    deviation: bool,
    score: bool,
    left: Any,
    out: Any,
) -> bool:
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        d = select(keep, load(x, t) - c, z)
        s1 = sum_down(d, z)
        s2 = sum_down(d * d, z)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        keep = lanes_below(8)
        i -= 8
    sum1 = sum2 = splat(0.0)
    nothing = splat(0.0)
    per_n = splat(1.0 / window)
    per_free = splat(1.0 / (window - ddof) if window > ddof else np.nan)
    i = 8
    for t in range(p, stop, 8):
        d = load(x, t) - c
        s1 = sum_up(d, z)
        s2 = sum_up(d * d, z)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        mean = total1 * per_n
        value = (total2 - total1 * mean) * per_free
        value = select(value < nothing, nothing, value)
        if deviation:
            value = root(value)
            if score:
                value = (d - mean) / value
        store(out, t, value)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def gaps_spread(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    deviation: bool,
    score: bool,
    left: Any,
    out: Any,
) -> bool:
    """The region when values may be NaN; whether all from p on are there."""
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum0 = sum1 = sum2 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = load(x, t)
        here = both(ordered(v, v), keep)
        d = select(here, v - c, z)
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d * d, z)
        store(left, i, s0 + sum0)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        keep = lanes_below(8)
        i -= 8
    sum0 = sum1 = sum2 = splat(0.0)
    nothing = splat(0.0)
    nan = splat(np.nan)
    needed = splat(float(max(min_count, ddof + 1)))
    free = splat(float(ddof))
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        s0 = count_up(here)
        s1 = sum_up(d, z)
        s2 = sum_up(d * d, z)
        n = s0 + sum0 + load(left, i)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        mean = total1 / n
        value = (total2 - total1 * mean) / (n - free)
        value = select(value < nothing, nothing, value)
        if deviation:
            value = root(value)
            if score:
                value = (v - c - mean) / value
        store(out, t, select(n >= needed, value, nan))
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8
    return bool(bits(splat(float(i - 8)) <= sum0) != 0)
