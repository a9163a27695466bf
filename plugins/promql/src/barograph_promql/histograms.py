"""histogram_quantile over classic histograms: cumulative buckets with a bound in ``le``."""

from __future__ import annotations

import numpy as np

from barograph_promql.limits import Budget
from barograph_promql.numbers import number_of
from barograph_promql.rows import (
    Bools,
    Floats,
    Ints,
    LabelSet,
    Rows,
    empty,
    label,
    nameless,
    unique_per_step,
)

BUCKET = "le"


def histogram_quantile(q: Floats, rows: Rows, budget: Budget) -> Rows:
    """The q-quantile (float64[T]) of each histogram, interpolated within its bucket."""
    steps = rows.there.shape[1]
    members: dict[LabelSet, list[tuple[float, int]]] = {}
    for i, labels in enumerate(rows.labels):
        bound = number_of(label(labels, BUCKET))
        if bound is not None:
            rest = tuple(pair for pair in labels if pair[0] != BUCKET)
            members.setdefault(rest, []).append((bound, i))
    if not members:
        return empty(steps)
    values = np.full((len(members), steps), np.nan)
    there = np.zeros((len(members), steps), np.bool_)
    for group, buckets in enumerate(members.values()):
        budget.check()
        buckets.sort()
        bounds = np.array([bound for bound, _ in buckets])
        at = np.array([i for _, i in buckets])
        counts, present = rows.values[at], rows.there[at]
        there[group] = present.any(axis=0)
        for columns, kept in _by_presence(present):
            values[group, columns] = _quantiles(q[columns], bounds[kept], counts[kept][:, columns])
    # Two metrics are two histograms, whose results must differ in more than the name.
    return unique_per_step(nameless(Rows(list(members), values, there)).present())


def _by_presence(present: Bools) -> list[tuple[Ints, Bools]]:
    """Steps that have the same buckets, and which these are: of most histograms all are one."""
    if present.all():
        return [(np.arange(present.shape[1]), present[:, 0])]
    patterns, which = np.unique(present, axis=1, return_inverse=True)
    which = which.ravel()
    return [
        (np.flatnonzero(which == k), patterns[:, k])
        for k in range(patterns.shape[1]) if patterns[:, k].any()
    ]  # fmt: skip


def _quantiles(q: Floats, bounds: Floats, counts: Floats) -> Floats:
    """float64[T] for rising ``bounds`` float64[B] and cumulative ``counts`` float64[B, T]."""
    outside = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, np.nan))
    inside = (q >= 0) & (q <= 1)
    if bounds[-1] != np.inf:
        return np.where(inside, np.nan, outside)
    starts = np.flatnonzero(np.append(True, bounds[1:] != bounds[:-1]))
    bounds = bounds[starts]
    with np.errstate(all="ignore"):
        counts = _rising(np.add.reduceat(counts, starts, axis=0))
        found = _ranked(np.where(inside, q, 0), bounds, counts)
    return np.where(inside, found, outside)


def _rising(counts: Floats) -> Floats:
    """A bucket counts at least what the one below does; NaN stays, and is passed over."""
    return np.where(np.isnan(counts), counts, np.fmax.accumulate(counts, axis=0))


def _ranked(q: Floats, bounds: Floats, counts: Floats) -> Floats:
    size = len(bounds)
    if size < 2:
        return np.full(len(q), np.nan)
    all_seen = counts[-1]
    rank = q * all_seen
    # The first bucket with count >= rank, by the same bisection as everyone's: with NaN among
    # the counts it is not the first.
    low, high = np.zeros(len(q), np.int64), np.full(len(q), size - 1)
    steps = np.arange(len(q))
    while (open_ := low < high).any():
        middle = (low + high) >> 1
        enough = counts[middle, steps] >= rank
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle + 1, low)
    below = np.maximum(low - 1, 0)
    first = low == 0
    start = np.where(first, 0.0, bounds[below])
    before = np.where(first, 0.0, counts[below, steps])
    end, count = bounds[low], counts[low, steps]
    share = np.where(first, rank / count, (rank - before) / (count - before))
    found = start + (end - start) * share
    found = np.where(first & (bounds[0] <= 0), bounds[0], found)
    found = np.where(low == size - 1, bounds[-2], found)
    return np.where(all_seen == 0, np.nan, found)
