"""Sums, moments, extremes and pairs over windows that are given by where they start.

For windows by time. The walk is that of ``scans``, value by value: a pivot serves the windows that
contain it, and a queue of candidates gives the extremes (monotonic deque).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.ewm import updated

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUM, MEAN, VAR, STD, ZSCORE, SLOPE, SKEW, KURT = range(8)


@kernel
def window_starts(t: NDArray[np.int64], duration: int) -> NDArray[np.int64]:
    """int64[n]: where the window (t[i] - duration, t[i]] starts, for rising t; O(n)."""
    starts = np.empty(len(t), np.int64)
    start = 0
    for i in range(len(t)):
        while t[i] - t[start] >= duration:
            start += 1
        starts[i] = start
    return starts


@kernel
def timed_moments(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    starts: NDArray[np.int64],
    min_count: int,
    ddof: int,
    what: int,
    out: NDArray[np.float64],
) -> None:
    """One statistic of windows x[row, starts[i]:i + 1]; O(1) a value, amortised.

    ``t`` float64[n], for slopes: times from the first one on.
    """
    n = x.shape[1]
    left = np.zeros((n + 1, 7))
    right = np.empty(7)
    both = np.empty(7)
    for row in range(len(x)):
        v = x[row]
        p = -1  # the pivot; none before the first value
        for i in range(n):
            if p < starts[i]:
                # The newest value of the window becomes the pivot.
                p = i
                while p >= starts[i] and v[p] != v[p]:
                    p -= 1
                if p < starts[i]:
                    p = -1
                    out[row, i] = np.nan
                    continue
                left[p] = 0.0
                for j in range(p - 1, starts[i] - 1, -1):
                    left[j] = left[j + 1]
                    _add(left[j], v[j], t[j], v[p], t[p], what)
                right[:] = 0.0
                for j in range(p, i + 1):
                    _add(right, v[j], t[j], v[p], t[p], what)
            else:
                _add(right, v[i], t[i], v[p], t[p], what)
            for k in range(7):
                both[k] = right[k] + left[starts[i], k]
            out[row, i] = np.nan
            if both[0] >= min_count:
                out[row, i] = _moment(both, v[i] - v[p], ddof, what)


@piece
def _add(sums: Any, value: float, time: float, pivot: float, pivot_time: float, what: int) -> None:
    """Count, d, d^2, then d^3 and d^4 or k d, k and k^2; for sums and means, x itself as well."""
    if value != value:
        return
    sums[0] += 1.0
    d = value - pivot
    if what <= MEAN:
        sums[1] += value
    elif what == SLOPE:
        k = time - pivot_time
        sums[1] += d
        sums[2] += d * k
        sums[3] += k
        sums[4] += k * k
    else:
        sums[1] += d
        sums[2] += d * d
        if what >= SKEW:
            sums[3] += d * d * d
            sums[4] += d * d * d * d


@piece
def _moment(sums: Any, newest: float, ddof: int, what: int) -> float:
    n = sums[0]
    if what == SUM:
        return float(sums[1])
    mean = sums[1] / n
    if what == MEAN:
        return float(mean)
    if what == SLOPE:
        spread = n * sums[4] - sums[3] * sums[3]
        return (n * sums[2] - sums[3] * sums[1]) / spread if spread > 0.0 else np.nan
    squares = max(sums[2] - sums[1] * mean, 0.0) if not np.isnan(mean) else np.nan
    if what <= ZSCORE:
        variance = squares / (n - ddof) if n > ddof else np.nan
        if what == VAR:
            return variance
        deviation = np.sqrt(variance)
        return float(deviation) if what == STD else float((newest - mean) / deviation)
    if not squares > 0.0:
        return np.nan
    if what == SKEW:
        cubes = sums[3] - 3.0 * mean * sums[2] + 2.0 * mean * mean * sums[1]
        value = np.sqrt(n / squares) * (cubes / squares)
        if ddof > 0:
            return float(value * np.sqrt(n * (n - 1.0)) / (n - 2.0)) if n > 2.0 else np.nan
        return float(value)
    fourth = sums[4] - mean * (4.0 * sums[3] - mean * (6.0 * sums[2] - 3.0 * mean * sums[1]))
    value = n * (fourth / squares) / squares - 3.0
    if ddof > 0:
        if n <= 3.0:
            return np.nan
        return float((n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * value + 6.0))
    return float(value)


@kernel
def timed_extremes(
    x: NDArray[np.float64],
    starts: NDArray[np.int64],
    min_count: int,
    sign: float,
    where: bool,
    out: NDArray[np.float64],
) -> None:
    """Minimum (sign 1) or maximum (-1) of windows x[row, starts[i]:i + 1], or how many values ago
    it was; of equal values the newest counts. O(1) a value, amortised."""
    n = x.shape[1]
    queue = np.empty(n, np.int64)
    for row in range(len(x)):
        v = x[row]
        head = tail = 0
        count = 0
        oldest = 0
        for i in range(n):
            if v[i] == v[i]:
                count += 1
                while tail > head and v[queue[tail - 1]] * sign >= v[i] * sign:
                    tail -= 1
                queue[tail] = i
                tail += 1
            while oldest < starts[i]:
                count -= 1 if v[oldest] == v[oldest] else 0
                oldest += 1
            while head < tail and queue[head] < starts[i]:
                head += 1
            if count < min_count:
                out[row, i] = np.nan
            else:
                out[row, i] = i - queue[head] if where else v[queue[head]]


@kernel
def timed_pairs(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    starts: NDArray[np.int64],
    min_count: int,
    ddof: int,
    correlate: bool,
    out: NDArray[np.float64],
) -> None:
    """Covariance or correlation of windows of x and y; O(1) a pair, amortised."""
    n = x.shape[1]
    left = np.zeros((n + 1, 6))
    right = np.empty(6)
    both = np.empty(6)
    for row in range(len(x)):
        a, b = x[row], y[row]
        p = -1
        for i in range(n):
            if p < starts[i]:
                p = i
                while p >= starts[i] and (a[p] != a[p] or b[p] != b[p]):
                    p -= 1
                if p < starts[i]:
                    p = -1
                    out[row, i] = np.nan
                    continue
                left[p] = 0.0
                for j in range(p - 1, starts[i] - 1, -1):
                    left[j] = left[j + 1]
                    _add_pair(left[j], a[j], b[j], a[p], b[p])
                right[:] = 0.0
                for j in range(p, i + 1):
                    _add_pair(right, a[j], b[j], a[p], b[p])
            else:
                _add_pair(right, a[i], b[i], a[p], b[p])
            for k in range(6):
                both[k] = right[k] + left[starts[i], k]
            count = both[0]
            out[row, i] = np.nan
            if count < min_count:
                continue
            products = both[3] - both[1] * both[2] / count
            if not correlate:
                if count > ddof:
                    out[row, i] = products / (count - ddof)
                continue
            squares1 = both[4] - both[1] * both[1] / count
            squares2 = both[5] - both[2] * both[2] / count
            if squares1 > 0.0 and squares2 > 0.0:
                value = products / (np.sqrt(squares1) * np.sqrt(squares2))
                out[row, i] = min(max(value, -1.0), 1.0)


@piece
def _add_pair(sums: Any, a: float, b: float, pivot_a: float, pivot_b: float) -> None:
    if a != a or b != b:
        return
    da, db = a - pivot_a, b - pivot_b
    sums[0] += 1.0
    sums[1] += da
    sums[2] += db
    sums[3] += da * db
    sums[4] += da * da
    sums[5] += db * db


NOTHING = 1e-250
"""Weight at which all that was before a gap is forgotten: what is smaller loses its digits."""


@kernel
def timed_ewm(
    x: NDArray[np.float64],
    t: NDArray[np.float64],
    duration: float,
    min_count: int,
    ddof: int,
    deviation: bool,
    out: NDArray[np.float64],
) -> None:
    """Mean or deviation with weights exp(-2 age / duration); O(1) a value."""
    for row in range(len(x)):
        v = x[row]
        weight = pairs = base = offset = squares = 0.0
        count = 0
        result = np.nan
        for i in range(len(v)):
            if i > 0:
                keep = np.exp(-2.0 * (t[i] - t[i - 1]) / duration)
                weight *= keep
                pairs *= keep * keep
                squares *= keep
                if weight < NOTHING:
                    weight = pairs = squares = 0.0
            if v[i] == v[i]:
                count += 1
                offset, squares = updated(weight, base, offset, squares, v[i])
                base = v[i]
                pairs += 2.0 * weight
                weight += 1.0
                result = base + offset
                if deviation:
                    free = pairs / weight if ddof > 0 else weight
                    result = np.sqrt(squares / free) if free > 0.0 else np.nan
            out[row, i] = result if count >= min_count else np.nan
