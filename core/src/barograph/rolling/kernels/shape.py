"""Regions of moving skewness and kurtosis (see ``moments``).

Central moments from sums of powers: P. Pébay, Sandia report SAND2008-6212, 2008.
"""

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
def complete_shape(
    x: Any, p: int, stop: int, window: int, ddof: int, kurtosis: bool, left: Any, out: Any
) -> bool:
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = sum3 = sum4 = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        d = select(keep, load(x, t) - c, z)
        d2 = d * d
        s1 = sum_down(d, z)
        s2 = sum_down(d2, z)
        s3 = sum_down(d2 * d, z)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        store(left, i + 3 * stride, s3 + sum3)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if kurtosis:
            s4 = sum_down(d2 * d2, z)
            store(left, i + 4 * stride, s4 + sum4)
            sum4 = sum4 + first(s4, s4)
        keep = lanes_below(8)
        i -= 8
    sum1 = sum2 = sum3 = sum4 = splat(0.0)
    n = splat(float(window))
    i = 8
    for t in range(p, stop, 8):
        d = load(x, t) - c
        d2 = d * d
        s1 = sum_up(d, z)
        s2 = sum_up(d2, z)
        s3 = sum_up(d2 * d, z)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        total3 = s3 + sum3 + load(left, i + 3 * stride)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        if kurtosis:
            s4 = sum_up(d2 * d2, z)
            total4 = s4 + sum4 + load(left, i + 4 * stride)
            sum4 = sum4 + last(s4, s4)
            store(out, t, _kurtosis(n, total1, total2, total3, total4, ddof))
        else:
            store(out, t, _skewness(n, total1, total2, total3, ddof))
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def gaps_shape(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    kurtosis: bool,
    left: Any,
    out: Any,
) -> bool:
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
        d2 = d * d
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d2, z)
        s3 = sum_down(d2 * d, z)
        store(left, i, s0 + sum0)
        store(left, i + stride, s1 + sum1)
        store(left, i + 2 * stride, s2 + sum2)
        store(left, i + 3 * stride, s3 + sum3)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if kurtosis:
            s4 = sum_down(d2 * d2, z)
            store(left, i + 4 * stride, s4 + sum4)
            sum4 = sum4 + first(s4, s4)
        keep = lanes_below(8)
        i -= 8
    sum0 = sum1 = sum2 = sum3 = sum4 = splat(0.0)
    nan = splat(np.nan)
    needed = splat(float(min_count))
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        d2 = d * d
        s0 = count_up(here)
        s1 = sum_up(d, z)
        s2 = sum_up(d2, z)
        s3 = sum_up(d2 * d, z)
        n = s0 + sum0 + load(left, i)
        total1 = s1 + sum1 + load(left, i + stride)
        total2 = s2 + sum2 + load(left, i + 2 * stride)
        total3 = s3 + sum3 + load(left, i + 3 * stride)
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        if kurtosis:
            s4 = sum_up(d2 * d2, z)
            total4 = s4 + sum4 + load(left, i + 4 * stride)
            sum4 = sum4 + last(s4, s4)
            value = _kurtosis(n, total1, total2, total3, total4, ddof)
        else:
            value = _skewness(n, total1, total2, total3, ddof)
        store(out, t, select(n >= needed, value, nan))
        i += 8
    return bool(bits(splat(float(i - 8)) <= sum0) != 0)


@piece
def _skewness(n: Any, sum1: Any, sum2: Any, sum3: Any, ddof: int) -> Any:
    """Of counts and sums of powers; adjusted for bias (G1) if ddof > 0, else g1. NaN if flat."""
    mean = sum1 / n
    m2 = sum2 - sum1 * mean
    m3 = sum3 - splat(3.0) * mean * sum2 + splat(2.0) * mean * mean * sum1
    value = root(n / m2) * (m3 / m2)
    if ddof > 0:
        one = splat(1.0)
        two = splat(2.0)
        value = value * root(n * (n - one)) / (n - two)
        value = select(n <= two, splat(np.nan), value)
    return select(splat(0.0) < m2, value, splat(np.nan))


@piece
def _kurtosis(n: Any, sum1: Any, sum2: Any, sum3: Any, sum4: Any, ddof: int) -> Any:
    """Excess kurtosis; adjusted for bias (G2) if ddof > 0, else g2. NaN if flat."""
    mean = sum1 / n
    m2 = sum2 - sum1 * mean
    m4 = sum4 - mean * (splat(4.0) * sum3 - mean * (splat(6.0) * sum2 - splat(3.0) * mean * sum1))
    three = splat(3.0)
    value = n * (m4 / m2) / m2 - three
    if ddof > 0:
        one = splat(1.0)
        value = (n - one) / ((n - splat(2.0)) * (n - three)) * ((n + one) * value + splat(6.0))
        value = select(n <= three, splat(np.nan), value)
    return select(splat(0.0) < m2, value, splat(np.nan))
