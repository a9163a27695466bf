"""Long rows by differences: the newest value less the oldest, scanned once.

A value is then read twice but scanned once, and nothing is stored in between: up to twice the speed
of two scans (``sums``, ``spread``). What is lost is bounded, not hoped for. A *stretch* of a row
starts with its first window added up afresh, and while it is walked, what its windows hold at least
and at most is kept. Rounding in a stretch of L results is at most

    2^-53 (L / 8 + 8 L / window) times the most that a window held,

L / 8 for the carried sum and the rest for what is added to it. A stretch where that could be more
than ``SUM_ERROR`` of the least that a window held (of the absolute values; of the sum of squares
about the mean: ``SPREAD_ERROR``) is said not to be good, and the caller does it by two scans: after
an outlier, an infinity, at a jump, in a window that is flat.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from barograph.rolling.kernels.compile import piece
from barograph.rolling.kernels.scans import MARGIN, lanes_below, sum_up
from barograph.rolling.kernels.vector import (
    across,
    bits,
    count_up,
    hidden_zero,
    last,
    line_start,
    load,
    lowest,
    magnitude,
    multiply_add,
    ordered,
    root,
    select,
    splat,
    store,
)

SHORTEST = 16
"""Windows below it are left to two scans."""

LENGTH = 512
"""Results of a stretch at least; and at least four windows, as each begins with adding up one."""

SUM_ERROR = 1e-11
SPREAD_ERROR = 1e-10
"""Worst cases; rounding errors are of both signs, and what is met is a hundredth of them."""

LONGEST_DOUBT = 64
"""Stretches done by two scans, at most, before differences are tried again: one after the first
that was not good, then twice as many each time."""

UNIT = 2.0**-53

GOOD, GAPS, NOT_GOOD = 0, 1, 2
"""What a stretch says: results are there, and its last window is complete; they are there, and it
is not; they are not to be used."""


@piece
def tile(window: int) -> int:
    """Values of a tile: of tiles side by side, each window holds a whole one."""
    return int((window + 1) // 16 * 8)


@piece
def first_stretch(out: Any, window: int) -> int:
    """Where differences can begin: the lines of ``out`` are then written whole."""
    return int(window + (line_start(out) - window) % 8)


@piece
def stretch_end(start: int, n: int, window: int) -> int:
    """Where the stretch from ``start`` ends; ``start`` if not even a tile is left of n values."""
    size = tile(window)
    length = (max(4 * window, LENGTH) + size - 1) // size * size
    return int(start + min(length, max(n - MARGIN - start, 0) // size * size))


@piece
def _part(v: Any, t: int, stop: int) -> Any:
    """Lanes at places before ``stop``, zero in the others."""
    return v if t + 8 <= stop else select(lanes_below(stop - t), v, splat(0.0))


@piece
def _totals(x: Any, start: int, stop: int, gaps: bool) -> tuple[Any, Any, Any]:
    """Sum (in all lanes), sums of absolute values (each lane its share) and count (in all lanes)
    of x[start:stop]. With ``gaps``, NaN is left out."""
    nothing, one = splat(0.0), splat(1.0)
    a = b = p = q = k = nothing
    for t in range(start, stop, 16):
        v = load(x, t)
        here = ordered(v, v)
        v = _part(select(here, v, nothing) if gaps else v, t, stop)
        a = a + v
        p = p + magnitude(v)
        if gaps:
            k = k + _part(select(here, one, nothing), t, stop)
        if t + 8 < stop:
            v = load(x, t + 8)
            here = ordered(v, v)
            v = _part(select(here, v, nothing) if gaps else v, t + 8, stop)
            b = b + v
            q = q + magnitude(v)
            if gaps:
                k = k + _part(select(here, one, nothing), t + 8, stop)
    return across(a + b), p + q, across(k)


@piece
def _sums_near(least: Any, most: Any, length: int, window: int) -> bool:
    """Whether the fullest tile holds not too much more than the emptiest.

    ``least`` and ``most`` are taken lane by lane, so their sums are bounds from below and above.
    """
    windows_tiles = window // tile(window) + 2
    steps = length / 8.0 + 8.0 * length / window
    bound = splat(SUM_ERROR / (UNIT * steps * windows_tiles))
    return bool(bits(across(most) <= across(least) * bound) == 255)


@piece
def sums_stretch(x: Any, start: int, stop: int, window: int, mean: bool, out: Any) -> int:
    """Sums or means of windows that end in [start, stop). ``GAPS``: something is not finite; they
    are not to be used."""
    z = splat(hidden_zero(window))
    size = tile(window)
    carry, most, _ = _totals(x, start - window, start - size, False)
    total, least, _ = _totals(x, start - size, start, False)
    most = select(most < least, least, most)
    scale = splat(1.0 / window if mean else 1.0)
    carry = (carry + total) * scale
    for begin in range(start, stop, size):
        held = splat(0.0)
        for t in range(begin, begin + size, 8):
            v = load(x, t)
            s = sum_up(v - load(x, t - window), z)
            store(out, t, multiply_add(s, scale, carry))
            carry = multiply_add(last(s, s), scale, carry)
            held = held + magnitude(v)
        least = select(held < least, held, least)
        most = select(most < held, held, most)
    if bits(ordered(carry - carry, most)) != 255:  # a sum that is not finite stays so
        return GAPS
    return GOOD if _sums_near(least, most, stop - start, window) else NOT_GOOD


@piece
def sums_stretch_with_gaps(
    x: Any, start: int, stop: int, window: int, min_count: int, mean: bool, out: Any
) -> int:
    """The same when values may be NaN."""
    z = splat(hidden_zero(window))
    size = tile(window)
    carry, most, number = _totals(x, start - window, start - size, True)
    total, least, k = _totals(x, start - size, start, True)
    carry = carry + total
    number = number + k
    most = select(most < least, least, most)
    needed = splat(float(min_count))
    nan = splat(np.nan)
    for begin in range(start, stop, size):
        held = splat(0.0)
        for t in range(begin, begin + size, 8):
            v = load(x, t)
            old = load(x, t - window)
            here, was = ordered(v, v), ordered(old, old)
            v = select(here, v, z)
            s = sum_up(v - select(was, old, z), z)
            k = count_up(here) - count_up(was) + number
            total = s + carry
            store(out, t, select(k >= needed, total / k if mean else total, nan))
            carry = carry + last(s, s)
            number = last(k, k)
            held = held + magnitude(v)
        least = select(held < least, held, least)
        most = select(most < held, held, most)
    near = _sums_near(least, most, stop - start, window)
    if not near or bits(ordered(carry - carry, most)) != 255:
        return NOT_GOOD
    return GOOD if bits(number >= splat(float(window))) == 255 else GAPS


@piece
def _last_there(x: Any, start: int, stop: int) -> float:
    """The last of x[start:stop] that is not NaN; NaN if there is none."""
    at = stop - 1
    while at > start and x[at] != x[at]:
        at -= 1
    return float(x[at])


@piece
def _spread_totals(x: Any, start: int, stop: int, c: Any, gaps: bool) -> tuple[Any, Any, Any]:
    """Sum of x - c, of its squares, and count over x[start:stop], each in all lanes. With ``gaps``,
    NaN is left out."""
    nothing, one = splat(0.0), splat(1.0)
    a = b = p = q = k = nothing
    for t in range(start, stop, 16):
        v = load(x, t)
        here = ordered(v, v)
        d = v - c
        d = _part(select(here, d, nothing) if gaps else d, t, stop)
        a = a + d
        p = multiply_add(d, d, p)
        if gaps:
            k = k + _part(select(here, one, nothing), t, stop)
        if t + 8 < stop:
            v = load(x, t + 8)
            here = ordered(v, v)
            d = v - c
            d = _part(select(here, d, nothing) if gaps else d, t + 8, stop)
            b = b + d
            q = multiply_add(d, d, q)
            if gaps:
                k = k + _part(select(here, one, nothing), t + 8, stop)
    return across(a + b), across(p + q), across(k)


@piece
def _spread_good(least: Any, most: Any, carry: Any, length: int, window: int) -> bool:
    """Whether the largest sum of squares about the center is near enough to the smallest one about
    a mean: 3 L / 8 + 26 L / window roundings of the first."""
    steps = 3.0 * length / 8.0 + 26.0 * length / window
    bound = splat(SPREAD_ERROR / (UNIT * steps))
    nothing = splat(0.0)
    most = nothing - lowest(nothing - most)
    near = bits(most <= lowest(least) * bound) == 255
    return bool(near and bits(ordered(carry - carry, most)) == 255)


@piece
def spread_stretch(
    x: Any,
    start: int,
    stop: int,
    window: int,
    ddof: int,
    deviation: bool,
    score: bool,
    out: Any,
) -> int:
    """Variances, deviations or z-scores of windows that end in [start, stop). ``GAPS``: something
    is not finite; they are not to be used."""
    z = splat(hidden_zero(window))
    per_n = splat(1.0 / window)
    c = splat(float(x[start - 1]))
    sum1, sum2, _ = _spread_totals(x, start - window, start, c, False)
    c = c + sum1 * per_n
    sum1, sum2, _ = _spread_totals(x, start - window, start, c, False)
    per_free = splat(1.0 / (window - ddof) if window > ddof else np.nan)
    least = splat(np.inf)
    most = sum2
    for t in range(start, stop, 8):
        d = load(x, t) - c
        old = load(x, t - window) - c
        s1 = sum_up(d - old, z)
        s2 = sum_up(d * d - old * old, z)
        total1 = s1 + sum1
        total2 = s2 + sum2
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        mean = total1 * per_n
        squares = total2 - total1 * mean
        least = select(squares < least, squares, least)
        most = select(most < total2, total2, most)
        value = squares * per_free
        if deviation:
            value = root(value)
            if score:
                value = (d - mean) / value
        store(out, t, value)
    if bits(ordered(sum2 - sum2, sum2)) != 255:  # a sum that is not finite stays so
        return GAPS
    return GOOD if _spread_good(least, most, sum2, stop - start, window) else NOT_GOOD


@piece
def spread_stretch_with_gaps(
    x: Any,
    start: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    deviation: bool,
    score: bool,
    out: Any,
) -> int:
    """The same when values may be NaN."""
    z = splat(hidden_zero(window))
    c = splat(_last_there(x, start - window, start))
    sum1, sum2, number = _spread_totals(x, start - window, start, c, True)
    c = c + sum1 / number
    sum1, sum2, number = _spread_totals(x, start - window, start, c, True)
    nan = splat(np.nan)
    needed = splat(float(max(min_count, ddof + 1)))
    free = splat(float(ddof))
    one = splat(1.0)
    endless = splat(np.inf)
    least = endless
    most = sum2
    for t in range(start, stop, 8):
        v = load(x, t)
        old = load(x, t - window)
        here, was = ordered(v, v), ordered(old, old)
        d = select(here, v - c, z)
        old = select(was, old - c, z)
        s1 = sum_up(d - old, z)
        s2 = sum_up(d * d - old * old, z)
        k = count_up(here) - count_up(was) + number
        total1 = s1 + sum1
        total2 = s2 + sum2
        sum1 = sum1 + last(s1, s1)
        sum2 = sum2 + last(s2, s2)
        number = last(k, k)
        enough = k >= needed
        per_n = one / k
        mean = total1 * per_n
        squares = total2 - total1 * mean
        most = select(most < total2, total2, most)
        wanted = select(enough, squares, endless)
        least = select(wanted < least, wanted, least)
        value = squares * per_n if ddof == 0 else squares / (k - free)
        if deviation:
            value = root(value)
            if score:
                value = (v - c - mean) / value
        store(out, t, select(enough, value, nan))
    if not _spread_good(least, most, sum2, stop - start, window):
        return NOT_GOOD
    return GOOD if bits(number >= splat(float(window))) == 255 else GAPS
