"""Counting inversions and choosing slopes, for ``barograph.rolling.trend``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENOUGH = 8  # slopes left, per point, that are listed and sorted


@kernel
def inversions(x: NDArray[np.float64]) -> int:
    """How many pairs i < j have x[i] > x[j]; merge sort, O(n log n). No NaN."""
    return _count(x.copy(), np.empty(len(x)))


@piece
def _count(a: Any, b: Any) -> int:
    """Sorts ``a``, with ``b`` as scratch, and counts what it moved past."""
    n = len(a)
    total = 0
    width = 1
    while width < n:
        for start in range(0, n, 2 * width):
            middle = min(start + width, n)
            stop = min(start + 2 * width, n)
            i, j = start, middle
            for k in range(start, stop):
                if i < middle and (j >= stop or a[i] <= a[j]):
                    b[k] = a[i]
                    i += 1
                else:
                    total += middle - i
                    b[k] = a[j]
                    j += 1
        a[:] = b
        width *= 2
    return total


@kernel
def slopes_below(t: NDArray[np.float64], x: NDArray[np.float64], slope: float) -> int:
    """How many pairs of points (t strictly rising) have a slope less than ``slope``; O(n log n)."""
    return _count(x - slope * t, np.empty(len(x)))


@kernel
def slopes_at(
    t: NDArray[np.float64], x: NDArray[np.float64], ranks: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """float64[len(ranks)]: the slopes of these ranks among those of all pairs of points.

    Slope selection by sampling (J. Matousek, Information Processing Letters 39, 1991): bounds that
    hold the rank between them are narrowed by random slopes from between them, until few enough are
    left to be listed. O(n log n) expected a rank. ``t`` strictly rising, at least two points.
    """
    n = len(t)
    np.random.seed(seed)
    out = np.empty(len(ranks))
    limit = _ENOUGH * n
    for r in range(len(ranks)):
        rank = ranks[r]
        low, high = -np.inf, np.inf
        below, upto = 0, n * (n - 1) // 2
        tries = 0
        while upto - below > limit and tries < 200:
            tries += 1
            sample = _sample(t, x, low, high, 64)
            if len(sample) == 0:
                break
            sample.sort()
            # The sample's slopes at a little less and a little more than the wanted place.
            place = (rank - below) / (upto - below) * len(sample)
            for offset in (-6.0, 6.0):
                at = int(min(max(place + offset, 0.0), len(sample) - 1.0))
                guess = sample[at]
                if guess <= low:
                    # Many slopes equal the bound; if they reach past the rank, it is one of them.
                    guess = np.nextafter(low, np.inf)
                    if _count(x - guess * t, np.empty(n)) > rank:
                        high = low
                        break
                if guess >= high:
                    continue
                here = _count(x - guess * t, np.empty(n))
                if here <= rank:
                    low, below = guess, here
                else:
                    high, upto = guess, here
            if high == low:
                break
        if high == low:
            out[r] = low
            continue
        slopes = _between(t, x, low, high)
        slopes.sort()
        at = min(max(rank - below, 0), len(slopes) - 1)
        out[r] = slopes[at]
    return out


@piece
def _sample(t: Any, x: Any, low: float, high: float, size: int) -> Any:
    """Up to ``size`` slopes in [low, high) of random pairs among those that lie there.

    With y = x - low t and z = x - high t, a pair's slope is there if it is not inverted in y and is
    inverted in z. Sorted by y, those are inversions of z's order: picked by a merge sort that
    counts to the wanted ones.
    """
    if np.isinf(low) or np.isinf(high):
        out = np.empty(size)
        got = 0
        tries = 0
        while got < size and tries < 64 * size:
            tries += 1
            i = np.random.randint(0, len(t))
            j = np.random.randint(0, len(t))
            if i == j:
                continue
            slope = (x[j] - x[i]) / (t[j] - t[i])
            if low <= slope < high:
                out[got] = slope
                got += 1
        return out[:got]
    order = np.argsort(x - low * t, kind="mergesort")
    z = (x - high * t)[order]
    n = len(z)
    total = _count(z.copy(), np.empty(n))
    if total == 0:
        return np.empty(0)
    wanted = np.sort(np.random.randint(0, total, size))
    return _pick(t, x, order, z, wanted)


@piece
def _pick(t: Any, x: Any, order: Any, z: Any, wanted: Any) -> Any:
    """Slopes of the inversions of z with these numbers, in the order that merging meets them."""
    n = len(z)
    out = np.empty(len(wanted))
    got = 0
    seen = 0
    ids = order.copy()
    a, b, new_ids = z.copy(), np.empty(n), np.empty(n, np.int64)
    width = 1
    while width < n and got < len(wanted):
        for start in range(0, n, 2 * width):
            middle = min(start + width, n)
            stop = min(start + 2 * width, n)
            i, j = start, middle
            for k in range(start, stop):
                if i < middle and (j >= stop or a[i] <= a[j]):
                    b[k] = a[i]
                    new_ids[k] = ids[i]
                    i += 1
                else:
                    while got < len(wanted) and wanted[got] < seen + middle - i:
                        p, q = ids[i + wanted[got] - seen], ids[j]
                        out[got] = (x[p] - x[q]) / (t[p] - t[q])
                        got += 1
                    seen += middle - i
                    b[k] = a[j]
                    new_ids[k] = ids[j]
                    j += 1
        a[:] = b
        ids[:] = new_ids
        width *= 2
    return out[:got]


@piece
def _between(t: Any, x: Any, low: float, high: float) -> Any:
    """All slopes in [low, high), listed by a merge sort; O(n log n + how many)."""
    n = len(t)
    order = np.arange(n) if np.isinf(low) else np.argsort(x - low * t, kind="mergesort")
    z = -t[order] if np.isinf(high) else (x - high * t)[order]
    total = _count(z.copy(), np.empty(n))
    return _pick(t, x, order, z, np.arange(total))
