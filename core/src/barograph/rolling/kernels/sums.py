"""Moving sums and means: windows by count.

Layout of a region around pivot p: ``left[i]`` holds what the window's part before p adds up to when
that part begins at index p - window - 7 + i; ``left`` is zero from index window + 7 (= p) on.
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
    left = np.zeros((2, window + 2 * MARGIN))
    for row in range(len(x)):
        _row(x[row], window, min_count, mean, left, out[row])


@piece
def _row(x: Any, window: int, min_count: int, mean: bool, left: Any, out: Any) -> None:
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
            _with_gaps(part, p - start, stop - start, window, min_count, mean, left, result)
            out[p:stop] = result[p - start : stop - start]
            nan_at = last_nan(x, p, stop, nan_at)
        elif nan_at > p - window or not _complete(x, p, stop, window, mean, left[0], out):
            _with_gaps(x, p, stop, window, min_count, mean, left, out)
            nan_at = last_nan(x, p, stop, nan_at)
        out[stop:following] = np.nan
        nan_at = following - 1 if following > stop else nan_at
        p = following


@piece
def _complete(x: Any, p: int, stop: int, window: int, mean: bool, left: Any, out: Any) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    z = splat(hidden_zero(window))
    carry = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        s = sum_down(load(x, t), z)
        store(left, i, s + carry)
        carry = carry + first(s, s)
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
) -> None:
    z = splat(hidden_zero(window))
    carry = count = splat(0.0)
    i = window - 1
    for t in range(p - 8, p - window - 7, -8):
        v = load(x, t)
        here = ordered(v, v)
        s = sum_down(select(here, v, z), z)
        k = count_down(here)
        store(left[0], i, s + carry)
        store(left[1], i, k + count)
        carry = carry + first(s, s)
        count = count + first(k, k)
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
        total = s + carry + load(left[0], i)
        number = k + count + load(left[1], i)
        if mean:
            total = total / number
        store(out, t, select(number >= needed, total, nan))
        carry = carry + last(s, s)
        count = count + last(k, k)
        i += 8
