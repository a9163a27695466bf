"""Moving order statistics: median, quantile, interquartile range, MAD, rank.

A row is cut in chunks of a few windows. A chunk is sorted once, and from there on a value is its
rank; the window is a set of ranks (``bitset``). Sorting ahead is what batch data allow over a
stream, and is cheaper than two heaps or a skip list (compare J. Suomela, "Median Filtering is
Equivalent to Sorting", 2014). The MAD is found between two pointers at its ends that follow the
median.

All windows are given by where they start, so windows by count and by time are one kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.bitset import (
    flip,
    member_at,
    next_member,
    population,
    previous_member,
    seek,
)
from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.ranking import rank_chunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEDIAN, QUANTILE, SPREAD, MAD, RANK = range(5)
_CHUNK = 512
_FAR = 24  # steps a MAD pointer goes one by one before it searches


@kernel
def order(
    x: NDArray[np.float64],
    starts: NDArray[np.int64],
    min_count: int,
    what: int,
    q: float,
    out: NDArray[np.float64],
) -> None:
    """One order statistic of windows x[row, starts[i]:i + 1] of rows x[rows, n].

    O(log w) a value at worst for sorting, O(1) mostly; ``q`` is the quantile, or for SPREAD the
    lower of the two that are subtracted.
    """
    n = x.shape[1]
    size = 0
    values = np.empty(0)
    places = np.empty(0, np.int32)
    ranks = np.empty(0, np.int32)
    buckets = np.empty(0, np.int32)
    bounds = np.empty(0, np.int32)
    words = np.empty(0, np.int64)
    begin = 0
    while begin < n:
        low = starts[begin]
        stop = min(n, begin + max(_CHUNK - 64, 3 * (begin - low + 1)))
        m = stop - low
        if m > size:
            size = m
            values = np.empty(size)
            places = np.empty(size, np.int32)
            ranks = np.empty(size, np.int32)
            buckets = np.empty(size, np.int32)
            bounds = np.empty(2 * size + 2, np.int32)
            words = np.empty((size >> 6) + 9, np.int64)
        for row in range(len(x)):
            count = rank_chunk(x[row, low:stop], values, places, ranks, bounds, buckets)
            words[:] = 0
            if what == RANK:
                _slide_rank(
                    starts, begin, stop, min_count, values, ranks, words, places, count, out[row]
                )
            elif what == MAD:
                _slide_mad(starts, begin, stop, min_count, values, ranks, words, out[row])
            elif what == SPREAD:
                _slide_spread(starts, begin, stop, min_count, q, values, ranks, words, out[row])
            elif what == MEDIAN:
                _slide_median(starts, begin, stop, min_count, values, ranks, words, out[row])
            else:
                _slide_quantile(starts, begin, stop, min_count, q, values, ranks, words, out[row])
        begin = stop


@piece
def _fill(starts: Any, begin: int, ranks: Any, words: Any) -> int:
    """Puts what the first window has before its newest value in; returns how many."""
    count = 0
    for i in range(begin - starts[begin]):
        if ranks[i] >= 0:
            flip(words, ranks[i])
            count += 1
    return count


@piece
def _slide_median(
    starts: Any,
    begin: int,
    stop: int,
    min_count: int,
    values: Any,
    ranks: Any,
    words: Any,
    out: Any,
) -> None:
    low = starts[begin]
    count = _fill(starts, begin, ranks, words)
    oldest = low
    rank = 0
    below = 0
    for i in range(begin, stop):
        r = ranks[i - low]
        if r >= 0:
            flip(words, r)
            below += 1 if r < rank else 0
            count += 1
        while oldest < starts[i]:
            r = ranks[oldest - low]
            if r >= 0:
                flip(words, r)
                below -= 1 if r < rank else 0
                count -= 1
            oldest += 1
        if count == 0:
            out[i] = np.nan
            continue
        below_wanted = (count - 1) >> 1
        rank = seek(words, rank, below, below_wanted)
        below = below_wanted
        value = values[rank]
        if count & 1 == 0:
            value = value * 0.5 + values[next_member(words, rank + 1)] * 0.5
        out[i] = value if count >= min_count else np.nan


@piece
def between(a: float, b: float, part: float) -> float:
    """From a to b by ``part``; a where they are equal, infinities too."""
    if part == 0.0 or a == b:
        return a
    if np.isinf(b - a):
        return a * (1.0 - part) + b * part
    # From the nearer end: beside a far one, the other's digits would be lost.
    return a + (b - a) * part if part < 0.5 else b - (b - a) * (1.0 - part)


@piece
def _slide_quantile(
    starts: Any,
    begin: int,
    stop: int,
    min_count: int,
    q: float,
    values: Any,
    ranks: Any,
    words: Any,
    out: Any,
) -> None:
    low = starts[begin]
    count = _fill(starts, begin, ranks, words)
    oldest = low
    rank = 0
    below = 0
    for i in range(begin, stop):
        r = ranks[i - low]
        if r >= 0:
            flip(words, r)
            below += 1 if r < rank else 0
            count += 1
        while oldest < starts[i]:
            r = ranks[oldest - low]
            if r >= 0:
                flip(words, r)
                below -= 1 if r < rank else 0
                count -= 1
            oldest += 1
        if count == 0:
            out[i] = np.nan
            continue
        at = q * (count - 1)
        below_wanted = int(at)
        rank = seek(words, rank, below, below_wanted)
        below = below_wanted
        part = at - below_wanted
        value = values[rank]
        if part > 0.0:
            value = between(value, values[next_member(words, rank + 1)], part)
        out[i] = value if count >= min_count else np.nan


@piece
def _slide_spread(
    starts: Any,
    begin: int,
    stop: int,
    min_count: int,
    q: float,
    values: Any,
    ranks: Any,
    words: Any,
    out: Any,
) -> None:
    low = starts[begin]
    count = _fill(starts, begin, ranks, words)
    oldest = low
    rank1 = rank2 = 0
    below1 = below2 = 0
    for i in range(begin, stop):
        r = ranks[i - low]
        if r >= 0:
            flip(words, r)
            below1 += 1 if r < rank1 else 0
            below2 += 1 if r < rank2 else 0
            count += 1
        while oldest < starts[i]:
            r = ranks[oldest - low]
            if r >= 0:
                flip(words, r)
                below1 -= 1 if r < rank1 else 0
                below2 -= 1 if r < rank2 else 0
                count -= 1
            oldest += 1
        if count == 0:
            out[i] = np.nan
            continue
        at1 = q * (count - 1)
        at2 = (1.0 - q) * (count - 1)
        wanted1 = int(at1)
        wanted2 = int(at2)
        rank1 = seek(words, rank1, below1, wanted1)
        rank2 = seek(words, rank2, below2, wanted2)
        below1 = wanted1
        below2 = wanted2
        lower = values[rank1]
        if at1 > wanted1:
            lower = between(lower, values[next_member(words, rank1 + 1)], at1 - wanted1)
        upper = values[rank2]
        if at2 > wanted2:
            upper = between(upper, values[next_member(words, rank2 + 1)], at2 - wanted2)
        out[i] = upper - lower if count >= min_count else np.nan


@piece
def _slide_mad(
    starts: Any,
    begin: int,
    stop: int,
    min_count: int,
    values: Any,
    ranks: Any,
    words: Any,
    out: Any,
) -> None:
    """The half of the window that is nearest to the median is a run of sorted values: members
    ``first``..``first + half`` of the set, kept by the ranks of its two ends."""
    low = starts[begin]
    count = _fill(starts, begin, ranks, words)
    oldest = low
    rank = rank1 = rank2 = 0
    below = below1 = below2 = 0
    for i in range(begin, stop):
        r = ranks[i - low]
        if r >= 0:
            flip(words, r)
            below += 1 if r < rank else 0
            below1 += 1 if r < rank1 else 0
            below2 += 1 if r < rank2 else 0
            count += 1
        while oldest < starts[i]:
            r = ranks[oldest - low]
            if r >= 0:
                flip(words, r)
                below -= 1 if r < rank else 0
                below1 -= 1 if r < rank1 else 0
                below2 -= 1 if r < rank2 else 0
                count -= 1
            oldest += 1
        if count == 0:
            out[i] = np.nan
            continue
        half = (count - 1) >> 1
        rank = seek(words, rank, below, half)
        below = half
        middle = values[rank]
        if count & 1 == 0:
            middle = middle * 0.5 + values[next_member(words, rank + 1)] * 0.5
        if count < min_count or np.isinf(middle) or middle != middle:
            out[i] = np.nan
            continue
        first = min(below1, count - 1 - half)
        rank1 = seek(words, rank1, below1, first)
        rank2 = seek(words, rank2, below2, first + half)
        steps = 0
        while first + half + 1 < count:
            after = next_member(words, rank2 + 1)
            if values[after] - middle >= middle - values[rank1]:
                break
            rank1 = next_member(words, rank1 + 1)
            rank2 = after
            first += 1
            steps += 1
            if steps > _FAR:
                break
        while first > 0 and steps <= _FAR:
            before = previous_member(words, rank1)
            if middle - values[before] >= values[rank2] - middle:
                break
            rank2 = previous_member(words, rank2)
            rank1 = before
            first -= 1
            steps += 1
        if steps > _FAR:
            first = _nearest_run(words, values, middle, half, count)
            rank1 = member_at(words, first)
            rank2 = member_at(words, first + half)
        below1 = first
        below2 = first + half
        value = max(middle - values[rank1], values[rank2] - middle)
        if count & 1 == 0:
            # The next nearest stands beside the run.
            other = np.inf
            if first > 0:
                other = middle - values[previous_member(words, rank1)]
            if first + half + 1 < count:
                other = min(other, values[next_member(words, rank2 + 1)] - middle)
            value = value * 0.5 + other * 0.5
        out[i] = value


@piece
def _nearest_run(words: Any, values: Any, middle: float, half: int, count: int) -> int:
    """Index of the first of the half + 1 members nearest to ``middle``, by bisection."""
    a = 0
    b = count - 1 - half
    while a < b:
        at = (a + b) >> 1
        left = middle - values[member_at(words, at)]
        right = values[member_at(words, at + half + 1)] - middle
        if right < left:
            a = at + 1
        else:
            b = at
    return a


@piece
def _slide_rank(
    starts: Any,
    begin: int,
    stop: int,
    min_count: int,
    values: Any,
    ranks: Any,
    words: Any,
    ends: Any,
    total: int,
    out: Any,
) -> None:
    """``ends`` becomes, for each rank, one after the last rank with the same value."""
    low = starts[begin]
    ties = False
    for r in range(total - 1, -1, -1):
        if r + 1 < total and values[r + 1] == values[r]:
            ends[r] = ends[r + 1]
            ties = True
        else:
            ends[r] = r + 1
    blocks = np.zeros((total >> 9) + 1, np.int64)
    count = 0
    for i in range(begin - low):
        if ranks[i] >= 0:
            flip(words, ranks[i])
            blocks[ranks[i] >> 9] += 1
            count += 1
    oldest = low
    for i in range(begin, stop):
        mine = ranks[i - low]
        if mine >= 0:
            flip(words, mine)
            blocks[mine >> 9] += 1
            count += 1
        while oldest < starts[i]:
            r = ranks[oldest - low]
            if r >= 0:
                flip(words, r)
                blocks[r >> 9] -= 1
                count -= 1
            oldest += 1
        if mine < 0 or count < min_count:
            out[i] = np.nan
        elif count == 1:
            out[i] = 0.0
        else:
            below = _members_below(words, blocks, mine)
            equal = 1
            if ties:
                start = mine
                while start > 0 and ends[start - 1] == ends[mine]:
                    start -= 1
                below = _members_below(words, blocks, start)
                equal = _members_below(words, blocks, ends[mine]) - below
            place = 0.5 * (2.0 * below + equal - 1.0) / (count - 1.0)
            out[i] = 2.0 * (place - 0.5)


@piece
def _members_below(words: Any, blocks: Any, rank: int) -> int:
    """How many members are < ``rank``; ``blocks`` counts them for each 512 ranks."""
    total = 0
    block = rank >> 9
    for b in range(block):
        total += blocks[b]
    word = rank >> 6
    for w in range(block << 3, word):
        total += population(words[w])
    return int(total + population(words[word] & ~(-1 << (rank & 63))))
