"""Sorting a chunk of values, NaN left out, and the rank of each.

Values go to buckets by their place between the least and the greatest, then one pass of insertion
sort mends what is out of order inside buckets: linear time where values are spread. Where a small
sample says that tails are long, places are bent by d / (1 + |d|), d the distance from the middle in
quartiles. The moves of the insertion sort are counted and end a try that is too dear; merge sort
then does it, so the cost is O(m log m) at worst.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from barograph.rolling.kernels.compile import piece

_SAMPLE = 33
_MOVES = 12  # allowed moves a value before merge sort takes over
_LONG_TAILS = 0.03  # the middle half of a sample within less than this part of the range


@piece
def rank_chunk(x: Any, values: Any, places: Any, ranks: Any, starts: Any, buckets: Any) -> int:
    """Sorts x[m]: how many are not NaN, ``values`` sorted, ``places`` they came from, ``ranks``.

    ``ranks[i]`` is the rank of x[i], -1 for NaN. Scratch: ``starts`` int32[2 m + 2], ``buckets``
    int32[m].
    """
    m = len(x)
    lo, hi = np.inf, -np.inf
    count = 0
    for i in range(m):
        v = x[i]
        if v == v:
            count += 1
            if not np.isinf(v):
                lo = min(lo, v)
                hi = max(hi, v)
    if count == 0:
        ranks[:m] = -1
        return 0
    done = False
    if hi > lo and not np.isinf(hi - lo):
        middle, quartile = _sample(x, values)
        if 0.0 < quartile < _LONG_TAILS * (hi - lo):
            _bucket_bent(x, middle, quartile, buckets)
        else:
            _bucket_evenly(x, lo, hi, buckets)
        done = _distribute(x, values, places, starts, buckets)
    elif hi == lo:
        _bucket_evenly(x, lo, hi, buckets)
        done = _distribute(x, values, places, starts, buckets)
    if not done:
        order = np.argsort(x, kind="mergesort")
        for r in range(count):
            places[r] = order[r]
            values[r] = x[order[r]]
    if count < m:
        ranks[:m] = -1
    for r in range(count):
        ranks[places[r]] = r
    return count


@piece
def _sample(x: Any, scratch: Any) -> tuple[float, float]:
    """The middle of some values of x, and the distance of its quartiles."""
    size = 0
    for i in range(0, len(x), max(1, len(x) // (_SAMPLE - 1))):
        if x[i] == x[i] and size < _SAMPLE and not np.isinf(x[i]):
            v = x[i]
            j = size
            while j > 0 and scratch[j - 1] > v:
                scratch[j] = scratch[j - 1]
                j -= 1
            scratch[j] = v
            size += 1
    if size == 0:
        return 0.0, 0.0
    return scratch[size >> 1], scratch[(3 * size) >> 2] - scratch[size >> 2]


@piece
def _bucket_evenly(x: Any, lo: float, hi: float, buckets: Any) -> None:
    top = 2.0 * len(x) - 1.0
    scale = top / (hi - lo) if hi > lo else 0.0
    if np.isinf(scale):
        scale = 0.0
    for i in range(len(x)):
        # Clipped as floats: the conversion of what does not fit an integer is undefined.
        b = (x[i] - lo) * scale
        b = b if b > 0.0 else 0.0
        b = b if b < top else top
        # An infinity times no scale is NaN, and would go to the wrong end.
        b = top if x[i] > hi else b
        buckets[i] = np.int32(b) if x[i] == x[i] else -1


@piece
def _bucket_bent(x: Any, middle: float, quartile: float, buckets: Any) -> None:
    top = 2.0 * len(x) - 1.0
    half = 0.5 * top
    scale = 1.0 / quartile
    if np.isinf(scale):
        scale = 0.0
    for i in range(len(x)):
        d = (x[i] - middle) * scale
        # Rounding keeps the order: the quotient is a monotone function of d up to its last bit,
        # and the insertion sort mends that.
        b = half + half * (d / (1.0 + abs(d)))
        b = b if b > 0.0 else 0.0
        b = b if b < top else top
        b = top if x[i] == np.inf else b
        buckets[i] = np.int32(b) if x[i] == x[i] else -1


@piece
def _distribute(x: Any, values: Any, places: Any, starts: Any, buckets: Any) -> bool:
    """Counting sort by bucket, then insertion sort; False if that takes too many moves."""
    m = len(x)
    starts[: 2 * m + 2] = 0
    for i in range(m):
        starts[buckets[i] + 1] += 1  # -1, NaN, counts at 0
    total = np.int32(0)
    for b in range(1, 2 * m + 2):
        here = starts[b]
        starts[b] = total
        total += here
    for i in range(m):
        b = buckets[i] + 1
        if b > 0:
            at = starts[b]
            starts[b] = at + 1
            values[at] = x[i]
            places[at] = i
    budget = _MOVES * m
    for i in range(1, total):
        v = values[i]
        j = i - 1
        if values[j] > v:
            place = places[i]
            while j >= 0 and values[j] > v:
                values[j + 1] = values[j]
                places[j + 1] = places[j]
                j -= 1
            values[j + 1] = v
            places[j + 1] = place
            budget -= i - j
            if budget < 0:
                return False
    return True
