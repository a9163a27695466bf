"""Moving variance, deviation, z-score, slope, skewness and kurtosis: windows by count.

Sums of powers of x - x[pivot]; see ``scans`` for the walk and why nothing is lost, ``sums`` for the
layout of ``left``. Central moments from them: P. Pébay, Sandia report SAND2008-6212, 2008.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.scans import (
    MARGIN,
    first_present,
    hidden_zero,
    last_nan,
    padded,
    region_after,
    sum_down,
    sum_up,
)
from barograph.rolling.kernels.vector import (
    bits,
    count_down,
    count_up,
    first,
    last,
    load,
    ordered,
    ramp,
    root,
    select,
    splat,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

VAR, STD, ZSCORE, SLOPE, SKEW, KURT = range(6)


@kernel
def moments(
    x: NDArray[np.float64],
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    out: NDArray[np.float64],
) -> None:
    """One statistic of moving windows over rows x[rows, n]; O(1) a value."""
    left = np.zeros((5, window + 2 * MARGIN))
    for row in range(len(x)):
        _row(x[row], window, min_count, ddof, what, left, out[row])


@piece
def _row(x: Any, window: int, min_count: int, ddof: int, what: int, left: Any, out: Any) -> None:
    n = len(x)
    p = first_present(x, 0)
    out[:p] = np.nan
    nan_at = -1
    while p < n:
        stop, following = region_after(x, p, window)
        if p - window - MARGIN < 0 or stop + MARGIN > n:
            start = p - window - MARGIN
            part = padded(x, start, stop + MARGIN)
            result = np.empty(len(part))
            _gaps(part, p - start, stop - start, window, min_count, ddof, what, left, result)
            out[p:stop] = result[p - start : stop - start]
            nan_at = last_nan(x, p, stop, nan_at)
        elif nan_at > p - window or not _complete(x, p, stop, window, ddof, what, left, out):
            _gaps(x, p, stop, window, min_count, ddof, what, left, out)
            nan_at = last_nan(x, p, stop, nan_at)
        out[stop:following] = np.nan
        nan_at = following - 1 if following > stop else nan_at
        p = following


@piece
def _complete(
    x: Any, p: int, stop: int, window: int, ddof: int, what: int, left: Any, out: Any
) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    if what == SLOPE:
        return _complete_slope(x, p, stop, window, left, out)
    if what >= SKEW:
        return _complete_shape(x, p, stop, window, ddof, what, left, out)
    return _complete_spread(x, p, stop, window, ddof, what, left, out)


@piece
def _gaps(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    left: Any,
    out: Any,
) -> None:
    if what == SLOPE:
        _gaps_slope(x, p, stop, window, min_count, left, out)
    elif what >= SKEW:
        _gaps_shape(x, p, stop, window, min_count, ddof, what, left, out)
    else:
        _gaps_spread(x, p, stop, window, min_count, ddof, what, left, out)


@piece
def _complete_spread(
    x: Any, p: int, stop: int, window: int, ddof: int, what: int, left: Any, out: Any
) -> bool:
    left1, left2 = left[0], left[1]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        d = load(x, t) - c
        s1 = sum_down(d, z)
        s2 = sum_down(d * d, z)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
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
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        mean = total1 * per_n
        value = (total2 - total1 * mean) * per_free
        value = select(value < nothing, nothing, value)
        if what != VAR:
            value = root(value)
            if what == ZSCORE:
                value = (d - mean) / value
        store(out, t, value)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def _gaps_spread(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    left: Any,
    out: Any,
) -> None:
    left0, left1, left2 = left[0], left[1], left[2]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum0 = sum1 = sum2 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d * d, z)
        store(left0, i, s0 + sum0)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
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
        n = s0 + sum0 + load(left0, i)
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        mean = total1 / n
        value = (total2 - total1 * mean) / (n - free)
        value = select(value < nothing, nothing, value)
        if what != VAR:
            value = root(value)
            if what == ZSCORE:
                value = (v - c - mean) / value
        store(out, t, select(n >= needed, value, nan))
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8


@piece
def _complete_slope(x: Any, p: int, stop: int, window: int, left: Any, out: Any) -> bool:
    left1, left2 = left[0], left[1]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        d = load(x, t) - c
        s1 = sum_down(d, z)
        s2 = sum_down(d * (ramp() + splat(float(t - p))), z)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
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
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        store(out, t, (total2 - (k - half) * total1) * per_spread)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def _gaps_slope(
    x: Any, p: int, stop: int, window: int, min_count: int, left: Any, out: Any
) -> None:
    left0, left1, left2, left3, left4 = left[0], left[1], left[2], left[3], left[4]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum0 = sum1 = sum2 = sum3 = sum4 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        k = select(here, ramp() + splat(float(t - p)), z)
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d * k, z)
        s3 = sum_down(k, z)
        s4 = sum_down(k * k, z)
        store(left0, i, s0 + sum0)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        store(left3, i, s3 + sum3)
        store(left4, i, s4 + sum4)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        sum4 = sum4 + first(s4, s4)
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
        n = s0 + sum0 + load(left0, i)
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        total3 = s3 + sum3 + load(left3, i)
        total4 = s4 + sum4 + load(left4, i)
        value = (n * total2 - total3 * total1) / (n * total4 - total3 * total3)
        store(out, t, select(n >= needed, value, nan))
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        sum4 = sum4 + last(s4, s4)
        i += 8


@piece
def _complete_shape(
    x: Any, p: int, stop: int, window: int, ddof: int, what: int, left: Any, out: Any
) -> bool:
    left1, left2, left3, left4 = left[0], left[1], left[2], left[3]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum1 = sum2 = sum3 = sum4 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        d = load(x, t) - c
        d2 = d * d
        s1 = sum_down(d, z)
        s2 = sum_down(d2, z)
        s3 = sum_down(d2 * d, z)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        store(left3, i, s3 + sum3)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if what == KURT:
            s4 = sum_down(d2 * d2, z)
            store(left4, i, s4 + sum4)
            sum4 = sum4 + first(s4, s4)
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
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        total3 = s3 + sum3 + load(left3, i)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        if what == KURT:
            s4 = sum_up(d2 * d2, z)
            total4 = s4 + sum4 + load(left4, i)
            sum4 = sum4 + last(s4, s4)
            store(out, t, _kurtosis(n, total1, total2, total3, total4, ddof))
        else:
            store(out, t, _skewness(n, total1, total2, total3, ddof))
        i += 8
    return bool(bits(ordered(sum1, sum1)) != 0)


@piece
def _gaps_shape(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    left: Any,
    out: Any,
) -> None:
    left0, left1, left2, left3, left4 = left[0], left[1], left[2], left[3], left[4]
    z = splat(hidden_zero(window))
    c = splat(x[p])
    sum0 = sum1 = sum2 = sum3 = sum4 = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        v = load(x, t)
        here = ordered(v, v)
        d = select(here, v - c, z)
        d2 = d * d
        s0 = count_down(here)
        s1 = sum_down(d, z)
        s2 = sum_down(d2, z)
        s3 = sum_down(d2 * d, z)
        store(left0, i, s0 + sum0)
        store(left1, i, s1 + sum1)
        store(left2, i, s2 + sum2)
        store(left3, i, s3 + sum3)
        sum0 = sum0 + first(s0, s0)
        sum1 = sum1 + first(s1, s1)
        sum2 = sum2 + first(s2, s2)
        sum3 = sum3 + first(s3, s3)
        if what == KURT:
            s4 = sum_down(d2 * d2, z)
            store(left4, i, s4 + sum4)
            sum4 = sum4 + first(s4, s4)
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
        n = s0 + sum0 + load(left0, i)
        total1 = s1 + sum1 + load(left1, i)
        total2 = s2 + sum2 + load(left2, i)
        total3 = s3 + sum3 + load(left3, i)
        sum0 = sum0 + last(s0, s0)
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        sum3 = sum3 + last(s3, s3)
        if what == KURT:
            s4 = sum_up(d2 * d2, z)
            total4 = s4 + sum4 + load(left4, i)
            sum4 = sum4 + last(s4, s4)
            value = _kurtosis(n, total1, total2, total3, total4, ddof)
        else:
            value = _skewness(n, total1, total2, total3, ddof)
        store(out, t, select(n >= needed, value, nan))
        i += 8


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
