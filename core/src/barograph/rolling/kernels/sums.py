"""Moving sums and means: windows by count.

Long rows go by differences (``differences``) where those are good, else by two scans.

Layout of a region around pivot p: ``left[i]`` holds what the window's part before p adds up to when
that part begins at index p - window - 7 + i, and is zero from index window + 7 (= p) on. It is
stored at the very places that it is loaded from, multiples of 8: a load that spans two fresh stores
waits for both. Further sums follow, a ``stride`` apart, in one flat array, as slices cost more than
a short region.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.differences import (
    GAPS,
    LONGEST_DOUBT,
    NOT_GOOD,
    SHORTEST,
    first_stretch,
    stretch_end,
    sums_stretch,
    sums_stretch_with_gaps,
)
from barograph.rolling.kernels.scans import (
    MARGIN,
    first_pivot,
    hidden_zero,
    lanes_below,
    padded,
    region_after,
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
    select,
    splat,
    store,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@kernel
def sums(
    x: NDArray[np.float64], window: int, min_count: int, mean: bool, out: NDArray[np.float64]
) -> None:
    """Moving sums or means of rows x[rows, n]; O(1) a value."""
    left = np.zeros(2 * (window + 2 * MARGIN))
    for row in range(len(x)):
        _row(x[row], window, min_count, mean, left, out[row])


@piece
def _row(x: Any, window: int, min_count: int, mean: bool, left: Any, out: Any) -> None:
    """By differences where that is good, else by two scans."""
    n = len(x)
    at = min(first_stretch(out, window) if window >= SHORTEST else n, n)
    _walk(x, 0, at, window, min_count, mean, left, out)
    gaps = False
    doubt = skip = 0
    while at < n:
        stop = stretch_end(at, n, window)
        if stop > at and skip == 0:
            said = GAPS if gaps else sums_stretch(x, at, stop, window, mean, out)
            if said == GAPS:
                said = sums_stretch_with_gaps(x, at, stop, window, min_count, mean, out)
            if said != NOT_GOOD:
                gaps = said == GAPS
                doubt = 0
                at = stop
                continue
            skip = doubt
            doubt = min(2 * doubt + 1, LONGEST_DOUBT)
        else:
            skip = max(skip - 1, 0)
        stop = stop if stop > at else n
        _walk(x, at, stop, window, min_count, mean, left, out)
        at = stop


@piece
def _walk(
    x: Any, begin: int, end: int, window: int, min_count: int, mean: bool, left: Any, out: Any
) -> None:
    """Windows that end in [begin, end) by two scans; some beside them may be done as well."""
    n = len(x)
    p = first_pivot(x, begin, window)
    out[begin:p] = np.nan
    nan_at = p - 1
    while p < end:
        stop, following = region_after(x, p, window)
        if stop > end:
            stop = following = end
        if p - window - MARGIN < 0 or stop + MARGIN > n:
            start = p - window - MARGIN
            part = padded(x, start, stop + MARGIN)
            result = np.empty(len(part), out.dtype)
            if not _with_gaps(part, p - start, stop - start, window, min_count, mean, left, result):
                nan_at = stop - 1
            out[p:stop] = result[p - start : stop - start]
        elif (
            nan_at > p - window or not _complete(x, p, stop, window, mean, left, out)
        ) and not _with_gaps(x, p, stop, window, min_count, mean, left, out):
            nan_at = stop - 1
        out[stop:following] = np.nan
        nan_at = following - 1 if following > stop else nan_at
        p = following


@piece
def _complete(x: Any, p: int, stop: int, window: int, mean: bool, left: Any, out: Any) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    z = splat(hidden_zero(window))
    carry = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        s = sum_down(select(keep, load(x, t), z), z)
        store(left, i, s + carry)
        carry = carry + first(s, s)
        keep = lanes_below(8)
        i -= 8
    carry = splat(0.0)
    scale = splat(1.0 / window if mean else 1.0)
    i = 8
    for t in range(p, stop, 8):
        s = sum_up(load(x, t), z)
        store(out, t, (s + carry + load(left, i)) * scale)
        carry = carry + last(s, s)
        i += 8
    return bool(bits(ordered(carry, carry)) != 0)


@piece
def _with_gaps(
    x: Any, p: int, stop: int, window: int, min_count: int, mean: bool, left: Any, out: Any
) -> bool:
    """The region when values may be NaN; whether all from p on are there."""
    stride = window + 2 * MARGIN
    z = splat(hidden_zero(window))
    carry = count = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = load(x, t)
        here = both(ordered(v, v), keep)
        s = sum_down(select(here, v, z), z)
        k = count_down(here)
        store(left, i, s + carry)
        store(left, i + stride, k + count)
        carry = carry + first(s, s)
        count = count + first(k, k)
        keep = lanes_below(8)
        i -= 8
    carry = count = splat(0.0)
    needed = splat(float(min_count))
    nan = splat(np.nan)
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t)
        here = ordered(v, v)
        s = sum_up(select(here, v, z), z)
        k = count_up(here)
        total = s + carry + load(left, i)
        number = k + count + load(left, i + stride)
        if mean:
            total = total / number
        store(out, t, select(number >= needed, total, nan))
        carry = carry + last(s, s)
        count = count + last(k, k)
        i += 8
    return bool(bits(splat(float(i - 8)) <= count) != 0)
