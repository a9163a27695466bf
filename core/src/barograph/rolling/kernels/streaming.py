"""One tick of moving statistics for many series at once.

Sums are kept as pairs of floats whose sum is the value (double-double: T. Dekker, Numerische
Mathematik 18, 1971; D. Knuth's two-sum), so that adding the newest value and taking the oldest off
loses nothing that shows. They are of x less a shift, and every series is added up anew from its
ring, about its mean, once a window in turn; and at once when the spread has become small beside
what the sums have held, as when an outlier or an infinity has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL = 1e-4
_SPLIT = 134217729.0  # 2^27 + 1: Dekker's constant for float64


@kernel
def tick_sums(
    ring: NDArray[np.float64],
    at: int,
    values: NDArray[np.float64],
    count: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Replaces the oldest values ring[at] by ``values`` in counts and sums, then in the ring.

    ring float64[window, series]; ``sums`` float64[6, series]: the shift; sum and sum of
    squares of x - shift, each high and low; the greatest sum of squares since the series was added
    up. O(1) a series, amortised.
    """
    window = len(ring)
    n = len(values)
    old = ring[at]
    shift, high1, low1, high2, low2 = sums[0], sums[1], sums[2], sums[3], sums[4]
    for s in range(n):
        new_here = values[s] == values[s]
        old_here = old[s] == old[s]
        # The first value of an empty window becomes the shift.
        empty = count[s] == 0.0
        shift[s] = values[s] if empty and new_here else shift[s]
        a = values[s] - shift[s] if new_here else 0.0
        b = old[s] - shift[s] if old_here else 0.0
        count[s] += (1.0 if new_here else 0.0) - (1.0 if old_here else 0.0)
        high, low = _two_sum(a, -b)
        h, e = _two_sum(high1[s], high)
        e += low1[s] + low
        high1[s] = h + e
        low1[s] = e - (high1[s] - h)
        aa, a_low = _square(a)
        bb, b_low = _square(b)
        high, low = _two_sum(aa, -bb)
        h, e = _two_sum(high2[s], high)
        e += low2[s] + (low + (a_low - b_low))
        high2[s] = h + e
        low2[s] = e - (high2[s] - h)
        old[s] = values[s]
    for s in range(at, n, window):
        _add_up(ring, s, count, sums)
    peak = sums[5]
    for s in range(n):
        peak[s] = max(peak[s], high2[s])
        spread = high2[s] - high1[s] * (high1[s] / max(count[s], 1.0))
        # In this form for sums that are not finite as well.
        if not (spread >= _SMALL * peak[s] and np.isfinite(spread)) and count[s] > 0.0:
            _add_up(ring, s, count, sums)


@piece
def _two_sum(a: float, b: float) -> tuple[float, float]:
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@piece
def _square(a: float) -> tuple[float, float]:
    p = a * a
    c = _SPLIT * a
    high = c - (c - a)
    low = a - high
    return p, ((high * high - p) + 2.0 * high * low) + low * low


@piece
def _add_up(ring: Any, s: int, count: Any, sums: Any) -> None:
    """Adds one series up from its ring, about the mean."""
    number = 0.0
    total = 0.0
    pivot = 0.0
    for i in range(len(ring)):
        v = ring[i, s]
        if v == v:
            if number == 0.0:
                pivot = v
            number += 1.0
            total += v - pivot
    shift = pivot + total / number if number > 0.0 else 0.0
    count[s] = number
    sums[0, s] = shift
    sums[1:, s] = 0.0
    if not np.isfinite(shift):
        sums[1, s] = total
        sums[3, s] = np.nan
        return
    for i in range(len(ring)):
        v = ring[i, s]
        if v == v:
            d = v - shift
            square, rest = _square(d)
            h, e = _two_sum(sums[1, s], d)
            sums[1, s] = h
            sums[2, s] += e
            h, e = _two_sum(sums[3, s], square)
            sums[3, s] = h
            sums[4, s] += e + rest
    if not np.isfinite(sums[4, s]):
        # Squares that overflow.
        sums[4, s] = 0.0
    sums[5, s] = sums[3, s]


@kernel
def tick_ewm(
    values: NDArray[np.float64], keep: float, count: NDArray[np.float64], state: NDArray[np.float64]
) -> None:
    """state float64[5, series]: sum of weights, of products of two of them, the newest value, the
    mean less that, sum of squares. ``ewm.updated`` without branches."""
    weight, pairs, base, offset, squares = state[0], state[1], state[2], state[3], state[4]
    for s in range(len(values)):
        v = values[s]
        here = v == v
        before = weight[s] * keep
        pairs[s] = pairs[s] * keep * keep + (2.0 * before if here else 0.0)
        count[s] += 1.0 if here else 0.0
        fresh = here and before == 0.0
        old = before / (before + 1.0)
        away = (base[s] - v) + offset[s] if here else 0.0
        offset[s] = 0.0 if fresh else (away * old if here else offset[s])
        squares[s] = 0.0 if fresh else squares[s] * keep + away * away * old
        base[s] = v if here else base[s]
        weight[s] = before + 1.0 if here else before
