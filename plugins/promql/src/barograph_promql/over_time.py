"""Functions over windows: sums, means, deviations, extremes, quantiles.

A kernel is given the samples ``v`` float64[N] and, for each of C windows that are not empty, its
samples' range ``low``, ``high`` int64[C]; it returns float64[C]. Where the order of additions
matters, a kernel goes over the windows' first samples, then their second ones and so on: each
window is summed in the order of time, as a loop over its samples would. Few but long windows are
taken one at a time instead, by accumulated sums, which are the same to the bit. A mean and a
variance are then computed from such sums and no longer running: they differ in the last digits, so
only windows of ``LONG`` samples and more are treated so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from barograph_promql.rows import Bools, Floats, Ints

LONG = 1000
"""Samples of a window whose mean may come from its sum."""


def in_turn(low: Ints, high: Ints) -> Iterator[tuple[int, Ints | slice, Ints]]:
    """For k = 0, 1, ...: the windows that have a k-th sample, and its index."""
    lengths = high - low
    shortest, longest = int(lengths.min(initial=2**62)), int(lengths.max(initial=0))
    for k in range(longest):
        if k < shortest:
            yield k, slice(None), low + k
        else:
            who = np.flatnonzero(lengths > k)
            yield k, who, low[who] + k


def one_by_one(low: Ints, high: Ints, least: int = 0) -> bool:
    """Whether there are so few windows, and so long (one of ``least`` samples), that each is
    better taken by itself.

    By the time that numpy takes for a call (some microseconds) and for a number.
    """
    count, longest = len(low), int((high - low).max(initial=0))
    return longest >= least and count * (10_000 + 8 * longest) < longest * 4000


def kahan_sum(x: Floats) -> tuple[float, float]:
    """The sum of ``x`` and its error, the same as ``KahanSum`` has after all of ``x``."""
    sums = np.add.accumulate(x)  # one after another: each is the rounded sum of the one before
    before = np.append(0.0, sums[:-1])
    grown = sums - before
    errors = (before - (sums - grown)) + (x - grown)
    return float(sums[-1]), float(np.add.accumulate(errors)[-1])


def _total_of(x: Floats) -> float:
    value, error = kahan_sum(x)
    return value if np.isinf(value) else value + error


def _mean_of(x: Floats) -> float:
    if not np.isfinite(x).all():
        return float(x[~np.isfinite(x)].sum())  # the infinity, or NaN if there are both or one
    value = _total_of(x) / len(x)
    return _total_of(x / len(x)) if np.isinf(value) else value


def _variance_of(x: Floats) -> float:
    return sum(kahan_sum((x - _mean_of(x)) ** 2)) / len(x)


def _each(kernel: Callable[[Floats], float], v: Floats, low: Ints, high: Ints) -> Floats:
    pairs = zip(low.tolist(), high.tolist(), strict=True)
    return np.array([kernel(v[a:b]) for a, b in pairs])


class KahanSum:
    """Running sums of C windows, each with the error that rounding made (Neumaier 1974).

    The error of an addition is exact (Knuth's TwoSum); it is NaN once the sum is infinite.
    """

    def __init__(self, count: int) -> None:
        self.sum = np.zeros(count)
        self.error = np.zeros(count)

    def add(self, who: Ints | slice, x: Floats, keep: Bools | None = None) -> None:
        """Add ``x`` to the sums of ``who``; those of ``keep`` stay as they are."""
        s, e = self.sum[who], self.error[who]
        t = s + x
        grown = t - s
        e = e + ((s - (t - grown)) + (x - grown))
        if keep is not None:
            t, e = np.where(keep, s, t), np.where(keep, self.error[who], e)
        self.sum[who], self.error[who] = t, e

    def total(self, who: Ints | slice = slice(None)) -> Floats:
        return self.sum[who] + self.error[who]


def total(v: Floats, low: Ints, high: Ints) -> Floats:
    """sum_over_time. O(C W)."""
    if one_by_one(low, high):
        return _each(_total_of, v, low, high)
    sums = KahanSum(len(low))
    for _, who, at in in_turn(low, high):
        sums.add(who, v[at])
    return np.where(np.isinf(sums.sum), sums.sum, sums.total())


def mean(v: Floats, low: Ints, high: Ints) -> Floats:
    """avg_over_time: a running mean, so that no sum overflows. O(C W)."""
    if one_by_one(low, high, LONG):
        return _each(_mean_of, v, low, high)
    means = KahanSum(len(low))
    infinite = bool(np.isinf(v).any())
    for k, who, at in in_turn(low, high):
        x, old = v[at], means.sum[who]
        keep = None
        if infinite:
            # An infinite mean stays, unless the other infinity or a NaN comes.
            keep = np.isinf(old) & (np.isfinite(x) | (x == old))
        means.add(who, x / (k + 1) - old / (k + 1), keep)
    return np.where(np.isinf(means.sum), means.sum, means.total())


def variance(v: Floats, low: Ints, high: Ints) -> Floats:
    """stdvar_over_time (Welford 1962, with compensated sums). O(C W)."""
    if one_by_one(low, high, LONG):
        return _each(_variance_of, v, low, high)
    means, squares = KahanSum(len(low)), KahanSum(len(low))
    for k, who, at in in_turn(low, high):
        x = v[at]
        delta = x - means.total(who)
        means.add(who, delta / (k + 1))
        squares.add(who, delta * (x - means.total(who)))
    return squares.total() / (high - low)


def deviation(v: Floats, low: Ints, high: Ints) -> Floats:
    """stddev_over_time."""
    return np.sqrt(variance(v, low, high))


def greatest(v: Floats, low: Ints, high: Ints) -> Floats:
    """max_over_time; NaN only if all are."""
    return _extreme(np.fmax, v, low, high)


def least(v: Floats, low: Ints, high: Ints) -> Floats:
    """min_over_time; NaN only if all are."""
    return _extreme(np.fmin, v, low, high)


def _extreme(better: np.ufunc, v: Floats, low: Ints, high: Ints) -> Floats:
    """By a sparse table: windows of 2^k samples, two of which cover any window. O(N log W + C)."""
    out = np.empty(len(low))
    if not len(low):
        return out
    first = int(low.min())
    table = v[first : int(high.max())]
    power = np.frexp((high - low).astype(np.float64))[1] - 1  # floor(log2(length))
    for k in range(int(power.max()) + 1):
        who = np.flatnonzero(power == k)
        left = low[who] - first
        right = high[who] - first - (1 << k)
        out[who] = better(table[left], table[right])
        half = 1 << k
        table = better(table[:-half], table[half:]) if len(table) > half else table[:0]
    return out


def place_of(extreme: Floats, v: Floats, low: Ints, high: Ints) -> Ints:
    """int64[C]: the last sample of each window that is its ``extreme`` (NaN: the last). O(C W)."""
    out = high - 1
    if one_by_one(low, high):
        for i, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            hits = np.flatnonzero(v[a:b] == extreme[i])
            out[i] = a + hits[-1] if len(hits) else out[i]
        return out
    for _, who, at in in_turn(low, high):
        out[who] = np.where(v[at] == extreme[who], at, out[who])
    return out


def quantile(v: Floats, low: Ints, high: Ints, q: Floats) -> Floats:
    """quantile_over_time, ``q`` float64[C]. O(C W log W)."""
    if one_by_one(low, high):
        pairs = zip(low.tolist(), high.tolist(), q.tolist(), strict=True)
        return np.array([_quantile_of(v[a:b], one) for a, b, one in pairs])
    lengths = high - low
    padded = np.full((len(low), int(lengths.max(initial=1))), np.inf)
    nans = np.zeros(len(low), np.int64)
    for k, who, at in in_turn(low, high):
        x = v[at]
        missing = np.isnan(x)
        nans[who] += missing
        padded[who, k] = np.where(missing, -np.inf, x)
    padded.sort(axis=1)
    return interpolated(padded, lengths, nans, q)


def _quantile_of(x: Floats, q: float) -> float:
    missing = np.isnan(x)
    ranked = np.sort(np.where(missing, -np.inf, x))[None, :]
    counts, nans = np.array([len(x)]), np.array([int(missing.sum())])
    return float(interpolated(ranked, counts, nans, np.array([q]))[0])


def interpolated(ranked: Floats, counts: Ints, nans: Ints, q: Floats) -> Floats:
    """The q-quantile of each row of ``ranked`` [C, W].

    A row has ``counts`` values, rising, the first ``nans`` of which stand for NaN (the least of
    all), then +Inf as padding. Between two ranks it is the weighted mean, -Inf and +Inf for a
    ``q`` outside [0, 1].
    """
    rank = q * (counts - 1)
    floor = np.floor(rank)
    weight = rank - floor
    inside = (q >= 0) & (q <= 1)
    lower = np.where(inside, np.maximum(floor, 0), 0).astype(np.int64)
    upper = np.minimum(lower + 1, counts - 1)

    def value(at: Ints) -> Floats:
        found = np.take_along_axis(ranked, at[:, None], axis=1)[:, 0]
        return np.where(at < nans, np.nan, found)

    out = value(lower) * (1 - weight) + value(upper) * weight
    out = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, out))
    return np.where(np.isnan(q), np.nan, out)
