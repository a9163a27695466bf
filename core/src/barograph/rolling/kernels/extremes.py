"""Moving minimum and maximum, and where they are: windows by count.

The scans of ``scans`` with "the smaller of two" for addition (M. van Herk, "A fast algorithm for
local minimum and maximum filters", Pattern Recognition Letters 13, 1992; J. Gil and M. Werman, IEEE
PAMI 15, 1993). No pivot is needed that is not NaN. A maximum is minus the minimum of minus x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.scans import MARGIN, lanes_below, padded
from barograph.rolling.kernels.vector import (
    bits,
    both,
    count_down,
    count_up,
    down1,
    down2,
    down4,
    first,
    last,
    load,
    ordered,
    ramp,
    select,
    splat,
    store,
    up1,
    up2,
    up4,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@kernel
def extremes(
    x: NDArray[np.float64],
    window: int,
    min_count: int,
    sign: float,
    where: bool,
    out: NDArray[np.float64],
) -> None:
    """Moving minimum (sign 1) or maximum (-1) of rows x[rows, n], or how long ago it was; O(1).

    Of equal values the newest counts.
    """
    left = np.full(3 * (window + 2 * MARGIN), np.inf)
    left[2 * (window + 2 * MARGIN) :] = 0.0
    # Infinity, in a way that the compiler does not see through.
    nothing = np.inf if window > 0 else 0.0
    for row in range(len(x)):
        _row(x[row], window, min_count, sign, where, nothing, left, out[row])


@piece
def _row(
    x: Any,
    window: int,
    min_count: int,
    sign: float,
    where: bool,
    nothing: float,
    left: Any,
    out: Any,
) -> None:
    n = len(x)
    nan_at = -1
    for p in range(0, n, window):
        stop = min(p + window, n)
        if p - window - MARGIN < 0 or stop + MARGIN > n:
            start = p - window - MARGIN
            part = padded(x, start, stop + MARGIN)
            result = np.empty(len(part), out.dtype)
            if not _gaps(
                part, p - start, stop - start, window, min_count, sign, where, left, result
            ):
                nan_at = stop - 1
            out[p:stop] = result[p - start : stop - start]
        elif (
            nan_at > p - window
            or not (
                _complete_where(x, p, stop, window, sign, nothing, left, out)
                if where
                else _complete(x, p, stop, window, sign, nothing, left, out)
            )
        ) and not _gaps(x, p, stop, window, min_count, sign, where, left, out):
            nan_at = stop - 1


@piece
def _lesser(a: Any, b: Any) -> Any:
    return select(a < b, a, b)


@piece
def _complete(
    x: Any, p: int, stop: int, window: int, sign: float, nothing: float, left: Any, out: Any
) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    void = splat(nothing)
    side = splat(sign)
    carry = void
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = select(keep, load(x, t) * side, void)
        v = _lesser(v, down1(v, void))
        v = _lesser(v, down2(v, void))
        v = _lesser(_lesser(v, down4(v, void)), carry)
        store(left, i, v)
        carry = first(v, v)
        keep = lanes_below(8)
        i -= 8
    carry = void
    seen = splat(0.0)
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t) * side
        seen = select(ordered(v, v), seen, v)
        v = _lesser(v, up1(v, void))
        v = _lesser(v, up2(v, void))
        v = _lesser(_lesser(v, up4(v, void)), carry)
        store(out, t, _lesser(v, load(left, i)) * side)
        carry = last(v, v)
        i += 8
    return bool(bits(ordered(seen, seen)) == 255)


@piece
def _complete_where(
    x: Any, p: int, stop: int, window: int, sign: float, nothing: float, left: Any, out: Any
) -> bool:
    """The same for how long ago."""
    stride = window + 2 * MARGIN
    void = splat(nothing)
    side = splat(sign)
    carry = void
    at = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = select(keep, load(x, t) * side, void)
        k = ramp() + splat(float(t - p))
        v, k = _newest_down(v, k, void, at)
        older = v < carry
        v = select(older, v, carry)
        k = select(older, k, at)
        store(left, i, v)
        store(left, i + stride, k)
        carry = first(v, v)
        at = first(k, k)
        keep = lanes_below(8)
        i -= 8
    carry = void
    at = splat(0.0)
    seen = splat(0.0)
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t) * side
        seen = select(ordered(v, v), seen, v)
        k = ramp() + splat(float(t - p))
        now = k
        v, k = _newest_up(v, k, void, at)
        newer = v <= carry
        v = select(newer, v, carry)
        k = select(newer, k, at)
        carry = last(v, v)
        at = last(k, k)
        store(out, t, now - select(v <= load(left, i), k, load(left, i + stride)))
        i += 8
    return bool(bits(ordered(seen, seen)) == 255)


@piece
def _newest_down(v: Any, k: Any, void: Any, at: Any) -> Any:
    """Lane i gets the least of lanes i..7 and its place; of equal ones the last."""
    w = down1(v, void)
    old = v < w
    k = select(old, k, down1(k, at))
    v = select(old, v, w)
    w = down2(v, void)
    old = v < w
    k = select(old, k, down2(k, at))
    v = select(old, v, w)
    w = down4(v, void)
    old = v < w
    k = select(old, k, down4(k, at))
    return select(old, v, w), k


@piece
def _newest_up(v: Any, k: Any, void: Any, at: Any) -> Any:
    """Lane i gets the least of lanes 0..i and its place; of equal ones the last."""
    w = up1(v, void)
    new = v <= w
    k = select(new, k, up1(k, at))
    v = select(new, v, w)
    w = up2(v, void)
    new = v <= w
    k = select(new, k, up2(k, at))
    v = select(new, v, w)
    w = up4(v, void)
    new = v <= w
    k = select(new, k, up4(k, at))
    return select(new, v, w), k


@piece
def _gaps(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    sign: float,
    where: bool,
    left: Any,
    out: Any,
) -> bool:
    """The region when values may be NaN; whether all from p on are there."""
    stride = window + 2 * MARGIN
    void = splat(np.inf if window > 0 else 0.0)
    side = splat(sign)
    carry = void
    at = count = splat(0.0)
    i = (window + 6) // 8 * 8
    keep = lanes_below(window + 7 - i)
    for t in range(p - window - 7 + i, p - window, -8):
        v = load(x, t) * side
        here = both(ordered(v, v), keep)
        v = select(here, v, void)
        n = count_down(here)
        store(left, i + 2 * stride, n + count)
        count = count + first(n, n)
        if where:
            k = ramp() + splat(float(t - p))
            v, k = _newest_down(v, k, void, at)
            older = v < carry
            v = select(older, v, carry)
            k = select(older, k, at)
            store(left, i + stride, k)
            at = first(k, k)
        else:
            v = _lesser(v, down1(v, void))
            v = _lesser(v, down2(v, void))
            v = _lesser(_lesser(v, down4(v, void)), carry)
        store(left, i, v)
        carry = first(v, v)
        keep = lanes_below(8)
        i -= 8
    carry = void
    at = count = splat(0.0)
    needed = splat(float(min_count))
    nan = splat(np.nan)
    i = 8
    for t in range(p, stop, 8):
        v = load(x, t) * side
        here = ordered(v, v)
        v = select(here, v, void)
        n = count_up(here)
        enough = n + count + load(left, i + 2 * stride) >= needed
        count = count + last(n, n)
        if where:
            k = ramp() + splat(float(t - p))
            now = k
            v, k = _newest_up(v, k, void, at)
            newer = v <= carry
            v = select(newer, v, carry)
            k = select(newer, k, at)
            at = last(k, k)
            result = now - select(v <= load(left, i), k, load(left, i + stride))
        else:
            v = _lesser(v, up1(v, void))
            v = _lesser(v, up2(v, void))
            v = _lesser(_lesser(v, up4(v, void)), carry)
            result = _lesser(v, load(left, i)) * side
        store(out, t, select(enough, result, nan))
        carry = last(v, v)
        i += 8
    return bool(bits(splat(float(i - 8)) <= count) != 0)
