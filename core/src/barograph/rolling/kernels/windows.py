"""Sorted windows of many series: one tick, and what is read from them.

Long windows of many series do not fit the cache, and a bisection would wait for memory at each of
its steps. So every 32nd sorted value is kept apart as a *fence*; the fences say where a value's
place is to a few lines of memory, and those are asked for some series ahead of their use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.order import between
from barograph.rolling.kernels.vector import LANES, load, prefetch, store

if TYPE_CHECKING:
    from numpy.typing import NDArray

FENCE = 32
_AHEAD = 16


@kernel
def tick_order(
    old: NDArray[np.float64],
    values: NDArray[np.float64],
    members: NDArray[np.int64],
    ordered: NDArray[np.float64],
    fences: NDArray[np.float64],
) -> None:
    """Keeps each series' window sorted: ordered float64[series, window], ``members`` how many.

    ``old`` are the values that leave; fences float64[series, ceil(window / 32)], infinite beyond
    the members. Two searches, and a shift of what lies between the two places: O(w) a series, at
    the speed of a copy.
    """
    n, window = ordered.shape
    flat = ordered.reshape(n * window)
    blocks = np.empty((2, _AHEAD), np.int64)
    for begin in range(0, n, _AHEAD):
        stop = min(begin + _AHEAD, n)
        for s in range(begin, stop):
            a, b = _block(fences[s], old[s]), _block(fences[s], values[s])
            blocks[0, s - begin], blocks[1, s - begin] = a, b
            start = s * window
            for line in range(0, FENCE, LANES):
                prefetch(flat, start + (a - 1) * FENCE + line)
                prefetch(flat, start + (b - 1) * FENCE + line)
        for s in range(begin, stop):
            _exchange(
                ordered[s],
                fences[s],
                members,
                s,
                old[s],
                values[s],
                blocks[0, s - begin],
                blocks[1, s - begin],
            )


@piece
def _block(fences: Any, value: float) -> int:
    """How many fences are < ``value``."""
    count = 0
    for fence in fences:
        count += 1 if fence < value else 0
    return count


@piece
def _place(row: Any, m: int, value: float, block: int) -> int:
    """Index of the first of the m sorted values that is >= ``value``."""
    if block == 0:
        return 0
    base = (block - 1) * FENCE + 1
    m = min(block * FENCE, m) - base
    while m > 0:
        half = m >> 1
        if row[base + half] < value:
            base += half + 1
            m -= half + 1
        else:
            m = half
    return base


@piece
def _close_gap(row: Any, at: int, stop: int) -> None:
    """Moves row[at + 1:stop + 1] one place down."""
    while at + LANES <= stop:
        store(row, at, load(row, at + 1))
        at += LANES
    for i in range(at, stop):
        row[i] = row[i + 1]


@piece
def _open_gap(row: Any, at: int, stop: int) -> None:
    """Moves row[at:stop] one place up."""
    while stop - LANES >= at:
        store(row, stop - LANES + 1, load(row, stop - LANES))
        stop -= LANES
    for i in range(stop, at, -1):
        row[i] = row[i - 1]


@piece
def _exchange(
    row: Any, fences: Any, members: Any, s: int, a: float, b: float, block_a: int, block_b: int
) -> None:
    m = members[s]
    if a == a and b == b:
        out = _place(row, m, a, block_a)
        into = _place(row, m, b, block_b)
        if into > out:
            into -= 1  # once a is gone
            _close_gap(row, out, into)
        else:
            _open_gap(row, into, out)
        row[into] = b
        low, high = min(out, into), max(out, into)
    elif b == b:
        low, high = _place(row, m, b, block_b), m
        _open_gap(row, low, m)
        row[low] = b
        members[s] = m + 1
    elif a == a:
        low, high = _place(row, m, a, block_a), m - 1
        _close_gap(row, low, m - 1)
        row[m - 1] = np.inf  # for the fence that may stand there
        members[s] = m - 1
    else:
        return
    for k in range((low + FENCE - 1) // FENCE, high // FENCE + 1):
        fences[k] = row[k * FENCE]


@kernel
def read_quantile(
    ordered: NDArray[np.float64],
    members: NDArray[np.int64],
    min_count: int,
    q: float,
    out: NDArray[np.float64],
) -> None:
    """The q-quantile of each series, linear between neighbours; O(1) a series."""
    for s in range(len(members)):
        m = members[s]
        if m < max(min_count, 1):
            out[s] = np.nan
            continue
        at = q * (m - 1)
        i = int(at)
        value = ordered[s, i]
        if at - i == 0.5:  # as a median is taken
            value = value * 0.5 + ordered[s, i + 1] * 0.5
        elif at > i:
            value = between(value, ordered[s, i + 1], at - i)
        out[s] = value


@kernel
def read_mad(
    ordered: NDArray[np.float64],
    members: NDArray[np.int64],
    nearest: NDArray[np.int64],
    min_count: int,
    out: NDArray[np.float64],
) -> None:
    """Median distance from the median of each series; O(log w), mostly O(1).

    The half that is nearest to the median is a run of sorted values. ``nearest`` is where it began
    when it was last asked for, and is set.
    """
    n, window = ordered.shape
    flat = ordered.reshape(n * window)
    for s in range(n):
        ahead = min(s + _AHEAD, n - 1)
        start = ahead * window
        half = (members[ahead] - 1) >> 1
        prefetch(flat, start + half)
        prefetch(flat, start + nearest[ahead])
        prefetch(flat, start + nearest[ahead] + half)
        m = members[s]
        row = ordered[s]
        out[s] = np.nan
        if m < max(min_count, 1):
            continue
        half = (m - 1) >> 1
        middle = row[half]
        if m & 1 == 0:
            middle = middle * 0.5 + row[half + 1] * 0.5
        if not np.isfinite(middle):
            continue
        a = _nearest_run(row, m, middle, nearest[s])
        nearest[s] = a
        value = max(middle - row[a], row[a + half] - middle)
        if m & 1 == 0:
            other = np.inf
            if a > 0:
                other = middle - row[a - 1]
            if a + half + 1 < m:
                other = min(other, row[a + half + 1] - middle)
            value = value * 0.5 + other * 0.5
        out[s] = value


@piece
def _nearest_run(row: Any, m: int, middle: float, guess: int) -> int:
    """Where the nearest half begins: the first place from which a step up does not come nearer.

    Steps that double from the guess, then a bisection.
    """
    half = (m - 1) >> 1
    low, high = 0, m - 1 - half
    a = min(max(guess, 0), high)
    step = 1
    if a < high and row[a + half + 1] - middle < middle - row[a]:
        low = a + 1
        while low < high:
            at = min(low + step, high) - 1
            if row[at + half + 1] - middle < middle - row[at]:
                low = at + 1
                step *= 2
            else:
                high = at
                break
    else:
        high = a
        while low < high:
            at = max(high - step, low)
            if row[at + half + 1] - middle < middle - row[at]:
                low = at + 1
                break
            high = at
            step *= 2
    while low < high:
        at = (low + high) >> 1
        if row[at + half + 1] - middle < middle - row[at]:
            low = at + 1
        else:
            high = at
    return low
