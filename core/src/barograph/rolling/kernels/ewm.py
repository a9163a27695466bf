"""Exponentially weighted mean and deviation.

A recursion y[i] = x[i] + b y[i - 1] is a scan of vectors too: three steps of shift, multiply by b,
b^2, b^4 and add. Moments are taken about the mean where a block of about one span began, and moved
to the next mean at its end. The past still weighs at least an eighth or so at a block's end, which
bounds what taking the mean out can lose, as a pivot does for windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.scans import MARGIN, hidden_zero, padded
from barograph.rolling.kernels.vector import (
    bits,
    last,
    load,
    ordered,
    root,
    select,
    splat,
    store,
    up1,
    up2,
    up4,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Sum of weights, of products of two of them; the newest value, the mean less that; sum of squares,
# count, latest result.
_STATE = 7
_SHORTEST = 16  # spans below this are done value by value


@kernel
def ewm(
    x: NDArray[np.float64],
    alpha: float,
    min_count: int,
    ddof: int,
    deviation: bool,
    out: NDArray[np.float64],
) -> None:
    """Weighted mean or standard deviation of all values so far of rows x[rows, n]; O(1) a value.

    The newest value weighs 1, the one j before it (1 - alpha)^j, whether values between are NaN
    or not.
    """
    size = int(2.0 / alpha - 1.0) // 8 * 8
    size = min(size, 4096)
    powers = np.empty(8)
    power = 1.0
    for k in range(8):
        power *= 1.0 - alpha
        powers[k] = power
    for row in range(len(x)):
        if size < _SHORTEST:
            state = np.zeros(_STATE)
            _gaps(x[row], 0, x.shape[1], powers, min_count, ddof, deviation, state, out[row])
        else:
            _blocks(x[row], size, powers, min_count, ddof, deviation, out[row])


@piece
def _result(
    weight: float, pairs: float, mean: float, squares: float, ddof: int, deviation: bool
) -> float:
    if not deviation:
        return mean
    if ddof == 0:
        return float(np.sqrt(squares / weight))
    return float(np.sqrt(squares * weight / pairs)) if pairs > 0.0 else np.nan


@piece
def updated(
    weight: float, base: float, offset: float, squares: float, value: float
) -> tuple[float, float]:
    """Mean less ``value``, and sum of squares, with one more value of weight 1.

    D. West's update (CACM 22, 1979); the mean so far is ``base + offset``. Kept as its distance
    from the newest value, a mean has digits for the noise whatever the offset of the data.
    """
    if weight == 0.0:  # the first, or all before it has decayed to nothing
        return 0.0, 0.0
    away = (base - value) + offset
    old = weight / (weight + 1.0)
    return away * old, squares + away * away * old


@piece
def _blocks(
    x: Any, size: int, powers: Any, min_count: int, ddof: int, deviation: bool, out: Any
) -> None:
    n = len(x)
    state = np.zeros(_STATE)
    for p in range(0, n, size):
        stop = min(p + size, n)
        if stop + MARGIN > n:
            part = padded(x, p, p + size)
            result = np.empty(size)
            _gaps(part, 0, size, powers, min_count, ddof, deviation, state, result)
            out[p:stop] = result[: stop - p]
        elif (
            state[4] < min_count
            or state[0] < 0.5
            or not _complete(x, p, stop, powers, ddof, deviation, state, out)
        ):
            _gaps(x, p, stop, powers, min_count, ddof, deviation, state, out)


@piece
def _decayed(v: Any, z: Any, b1: Any, b2: Any, b4: Any) -> Any:
    v = v + b1 * up1(v, z)
    v = v + b2 * up2(v, z)
    return v + b4 * up4(v, z)


@piece
def _complete(
    x: Any, p: int, stop: int, powers: Any, ddof: int, deviation: bool, state: Any, out: Any
) -> bool:
    """A block when no value is NaN; False, and the state as it was, if one is."""
    z = splat(hidden_zero(len(powers)))
    b1, b2, b4 = splat(powers[0]), splat(powers[1]), splat(powers[3])
    decay = load(powers, 0)
    # About the mean as a float, and what that leaves of it.
    center = state[2] + state[3]
    residue = (state[2] - center) + state[3]
    c = splat(center)
    one = splat(1.0)
    # Weights need no scan: 1 + b + ... + b^k + b^(k + 1) W.
    ones = _decayed(one, z, b1, b2, b4)
    ones2 = _decayed(one, z, b1 * b1, b2 * b2, b4 * b4)
    weight = splat(state[0])
    weight2 = splat(state[0] * state[0] - state[1])
    sum1 = splat(state[0] * residue)
    sum2 = splat(state[4] + state[0] * residue * residue)
    nothing = splat(0.0)
    free = splat(float(ddof))
    steady = False
    inverse = one
    for t in range(p, stop, 8):
        d = load(x, t) - c
        s1 = _decayed(d, z, b1, b2, b4) + decay * sum1
        sum1 = last(s1, s1)
        if not steady:
            w = ones + decay * weight
            after = last(w, w)
            inverse = one / w
            w2 = weight2
            if deviation:
                w2 = ones2 + decay * decay * weight2
                weight2 = last(w2, w2)
            steady = bool(bits(after <= weight) == 255)
            weight = after
            unbiased = w - free * w2 * inverse
        if deviation:
            s2 = _decayed(d * d, z, b1, b2, b4) + decay * sum2
            sum2 = last(s2, s2)
            value = s2 - s1 * s1 * inverse
            value = select(value < nothing, nothing, value)
            store(out, t, root(value * inverse if ddof == 0 else value / unbiased))
        else:
            store(out, t, c + s1 * inverse)
    if bits(ordered(sum1, sum1)) == 0:
        return False
    result = np.empty(8)
    store(result, 0, weight)
    total = result[0]
    store(result, 0, weight2)
    total2 = result[0]
    store(result, 0, sum1)
    first = result[0]
    store(result, 0, sum2)
    second = result[0]
    state[0] = total
    state[1] = total * total - total2
    state[2] = x[stop - 1]
    state[3] = (center - x[stop - 1]) + first / total
    state[4] = max(second - first * first / total, 0.0)
    state[5] += float(stop - p)
    state[6] = out[stop - 1]
    return True


@piece
def _gaps(
    x: Any,
    p: int,
    stop: int,
    powers: Any,
    min_count: int,
    ddof: int,
    deviation: bool,
    state: Any,
    out: Any,
) -> None:
    """Value by value, with a decay before each. A NaN decays all alike: the result stays."""
    keep = powers[0]
    weight, pairs, base, offset = state[0], state[1], state[2], state[3]
    squares, count, result = state[4], state[5], state[6]
    for i in range(p, stop):
        weight *= keep
        pairs *= keep * keep
        squares *= keep
        v = x[i]
        if v == v:
            count += 1.0
            offset, squares = updated(weight, base, offset, squares, v)
            base = v
            pairs += 2.0 * weight
            weight += 1.0
            result = _result(weight, pairs, v + offset, squares, ddof, deviation)
        out[i] = result if count >= min_count else np.nan
    state[0], state[1], state[2], state[3] = weight, pairs, base, offset
    state[4], state[5], state[6] = squares, count, result
