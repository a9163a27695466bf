"""RollupAggregator: folding samples into windows, and windows into coarser ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.model import Column, Windows
from barograph.sketch import count_runs, keys_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RollupAggregator:
    """The contract ``barograph.contracts.Aggregator``, vectorised over a series' column."""

    name = "rollup"

    def fold(self, column: Column, level_ms: int) -> Windows:
        """Windows over raw samples; O(n log n) for the sketch, else O(n)."""
        real = ~np.isnan(column.values)
        t, v = column.t_ms, column.values
        if not real.all():
            t, v = t[real], v[real]
        window = t // level_ms
        n = len(t)
        if n == 0:
            return _empty(level_ms)
        starts = np.flatnonzero(np.append(True, window[1:] != window[:-1]))
        ends = np.append(starts[1:], n)
        group = np.repeat(np.arange(len(starts)), ends - starts)
        grown = np.zeros(n)
        grown[1:] = _growth(v[:-1], v[1:])
        grown[starts] = 0.0
        offsets, keys, counts = count_runs(group, keys_of(v), np.ones(n, np.int64), len(starts))
        return Windows(
            level_ms=level_ms, start_ms=window[starts] * level_ms, count=ends - starts,
            sum=_sums(v, starts), min=np.minimum.reduceat(v, starts),
            max=np.maximum.reduceat(v, starts), first=v[starts], last=v[ends - 1],
            increase=_sums(grown, starts), sketch_offsets=offsets, sketch_keys=keys,
            sketch_counts=counts,
        )  # fmt: skip

    def coarsen(self, windows: Windows, level_ms: int) -> Windows:
        """The same at a coarser level. Raises ValueError if it is not a multiple."""
        if level_ms % windows.level_ms:
            raise ValueError(f"{level_ms} ms is no multiple of {windows.level_ms} ms")
        return _regroup(windows, level_ms)

    def merge(self, parts: Sequence[Windows]) -> Windows:
        """Parts of one series, in time order, as one."""
        if len(parts) == 1:
            return parts[0]
        sizes = [np.diff(p.sketch_offsets) for p in parts]
        offsets = np.append(0, np.cumsum(np.concatenate(sizes)))
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS
        }
        whole = Windows(
            level_ms=parts[0].level_ms,
            sketch_offsets=offsets.astype(np.int64),
            sketch_keys=np.concatenate([p.sketch_keys for p in parts]),
            sketch_counts=np.concatenate([p.sketch_counts for p in parts]),
            **columns,
        )
        return _regroup(whole, whole.level_ms)


_COLUMNS = ("start_ms", "count", "sum", "min", "max", "first", "last", "increase")


def _regroup(w: Windows, level_ms: int) -> Windows:
    n = len(w)
    if n == 0:
        return _empty(level_ms)
    window = w.start_ms // level_ms
    starts = np.flatnonzero(np.append(True, window[1:] != window[:-1]))
    ends = np.append(starts[1:], n)
    group = np.repeat(np.arange(len(starts)), ends - starts)
    grown = w.increase.copy()
    between = np.zeros(n)
    between[1:] = _growth(w.last[:-1], w.first[1:])
    between[starts] = 0.0
    owner = np.repeat(group, np.diff(w.sketch_offsets))
    offsets, keys, counts = count_runs(owner, w.sketch_keys, w.sketch_counts, len(starts))
    return Windows(
        level_ms=level_ms, start_ms=window[starts] * level_ms,
        count=np.add.reduceat(w.count, starts), sum=_sums(w.sum, starts),
        min=np.minimum.reduceat(w.min, starts), max=np.maximum.reduceat(w.max, starts),
        first=w.first[starts], last=w.last[ends - 1], increase=_sums(grown + between, starts),
        sketch_offsets=offsets, sketch_keys=keys, sketch_counts=counts,
    )  # fmt: skip


def _growth(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Growth of a counter from each value to the next; after a reset, what it has counted since."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(after >= before, after - before, after)


def _sums(values: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.add.reduceat(values, starts)


def _empty(level_ms: int) -> Windows:
    i, f = np.empty(0, np.int64), np.empty(0, np.float64)
    return Windows(level_ms, i, i, f, f, f, f, f, f, np.zeros(1, np.int64), i.astype(np.int32), i)
