"""Series and samples of selectors, and where a step's samples are among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import attrs
import numpy as np

from barograph.contracts import Store
from barograph.model import STALE_NAN_BITS, Matcher, Series
from barograph_promql.limits import Budget
from barograph_promql.patterns import pushed_down, remaining
from barograph_promql.rows import Bools, Ints, LabelSet, Rows, Samples

READ_SERIES = 512
"""Series read at once; the budget is asked between."""

BLOCK_CELLS = 16_384
"""Cells (a series at a step) that are worked on at once."""

_FAR = 2**61


class Reader:
    """Reads a store for one query; what two selectors share is read once."""

    def __init__(self, store: Store, budget: Budget) -> None:
        self._store = store
        self._budget = budget
        self._read: dict[tuple[tuple[Matcher, ...], int, int], Samples] = {}

    def samples(self, matchers: Sequence[Matcher], t_min: int, t_max: int) -> Samples:
        """All samples with t_min <= t <= t_max, staleness markers too, series by labels."""
        t_min, t_max = max(t_min, -_FAR), min(t_max, _FAR)
        key = (tuple(matchers), t_min, t_max)
        if key not in self._read:
            self._read[key] = self._load(matchers, t_min, t_max)
        return self._read[key]

    def _load(self, matchers: Sequence[Matcher], t_min: int, t_max: int) -> Samples:
        found = self._series(matchers, t_min, t_max)
        labels: list[LabelSet] = []
        lengths: list[int] = []
        times: list[Ints] = []
        values = []
        for first in range(0, len(found), READ_SERIES):
            part = found[first : first + READ_SERIES]
            columns = self._store.read([series.ref for series in part], t_min, t_max)
            self._budget.spend(sum(len(column) for column in columns))
            for series, column in zip(part, columns, strict=True):
                if len(column):
                    labels.append(series.labels.pairs)
                    lengths.append(len(column))
                    times.append(column.t_ms)
                    values.append(column.values)
        offsets = np.zeros(len(labels) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        if not labels:
            return Samples([], offsets, np.empty(0, np.int64), np.empty(0, np.float64))
        return Samples(labels, offsets, np.concatenate(times), np.concatenate(values))

    def _series(self, matchers: Sequence[Matcher], t_min: int, t_max: int) -> list[Series]:
        self._budget.check()
        tests = remaining(matchers)
        limit = None if tests else self._budget.max_series + 1
        found = self._store.select(pushed_down(matchers), t_min, t_max, limit)
        if tests:
            found = [s for s in found if all(test(s.labels.get(name)) for name, test in tests)]
        self._budget.series(len(found))
        return found


def stale(samples: Samples) -> Bools:
    """bool[N]: which samples are staleness markers."""
    ended: Bools = samples.values.view(np.int64) == STALE_NAN_BITS
    return ended


def fresh(samples: Samples) -> Samples:
    """Without staleness markers, and the series that have nothing else."""
    ended = stale(samples)
    if not ended.any():
        return samples
    kept = ~ended
    before = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept, out=before[1:])
    offsets = before[samples.offsets]
    some = np.flatnonzero(np.diff(offsets))
    return Samples(
        [samples.labels[i] for i in some.tolist()],
        np.append(offsets[some], offsets[-1]), samples.t_ms[kept], samples.values[kept],
    )  # fmt: skip


def newest(samples: Samples, at: Ints, lookback_ms: int, *, times: bool = False) -> Rows:
    """The newest sample of each series at each of the T times ``at`` (rising), at most
    ``lookback_ms`` old and no staleness marker: its value, or its time (``times``) in seconds."""
    shape = (len(samples.labels), len(at))
    out, there = np.empty(shape), np.zeros(shape, np.bool_)
    for first, last in blocks(*shape):
        index = positions(samples, first, last, at, after=True) - 1
        safe = np.maximum(index, 0)
        t_ms, values = samples.t_ms[safe], samples.values[safe]
        there[first:last] = (
            (index >= samples.offsets[first:last, None])
            & (t_ms >= at - lookback_ms)
            & (values.view(np.int64) != STALE_NAN_BITS)
        )
        out[first:last] = t_ms / 1000 if times else values
    return Rows(samples.labels, out, there).present()


@attrs.frozen(eq=False)
class Windows:
    """A range vector over T steps: the samples of each series in each window [start, end].

    ``start`` and ``end`` int64[T], rising. Where a window's samples are is found when asked, for
    some series at a time: for all it would take more room than the values that come of it.
    """

    samples: Samples
    start: Ints
    end: Ints

    @property
    def range_ms(self) -> int:
        return int(self.end[0] - self.start[0])

    def places(self, first: int, last: int) -> tuple[Ints, Ints]:
        """Of the series ``first:last``: int64[last - first, T] each, so that the samples of a
        window are ``low:high``."""
        return (
            positions(self.samples, first, last, self.start, after=False),
            positions(self.samples, first, last, self.end, after=True),
        )

    def filled(self) -> Bools:
        """bool[T]: whether any series has a sample in the window."""
        out = np.zeros(len(self.end), np.bool_)
        for first, last in blocks(len(self.samples.labels), len(self.end)):
            low, high = self.places(first, last)
            out |= (high > low).any(axis=0)
        return out


def blocks(series: int, steps: int) -> Iterator[tuple[int, int]]:
    """Ranges of series, so that one's cells stay in the cache."""
    size = max(BLOCK_CELLS // max(steps, 1), 1)
    for first in range(0, series, size):
        yield first, min(first + size, series)


def positions(samples: Samples, first: int, last: int, at: Ints, *, after: bool) -> Ints:
    """int64[last - first, T]: where the samples of the series ``first:last`` at or after
    (``after``: only after) a time begin. No series is empty.

    One search for all, O(T log N), if they have the same times; else one over all their samples,
    O(S T log N).
    """
    side: Literal["left", "right"] = "right" if after else "left"
    starts = samples.offsets[first:last]
    if samples.shared is not None:
        return np.searchsorted(samples.shared, at, side) + starts[:, None]
    ends = samples.offsets[first + 1 : last + 1]
    begin, end = int(starts[0]), int(ends[-1])
    t_ms = samples.t_ms[begin:end]
    oldest, latest = int(t_ms.min()), int(t_ms.max())
    width = latest - oldest + 3
    count = last - first
    if count * width > _FAR:
        each = zip(starts.tolist(), ends.tolist(), strict=True)
        return np.stack([a + np.searchsorted(samples.t_ms[a:b], at, side) for a, b in each])
    # Shift each series past the one before it, and the whole is sorted.
    shift = np.arange(count, dtype=np.int64) * width
    keys = t_ms - oldest + 1
    keys += np.repeat(shift, ends - starts)
    wanted = np.clip(at, oldest - 1, latest + 1) - oldest + 1
    found: Ints = np.searchsorted(keys, shift[:, None] + wanted, side)
    return found + begin


def dense(rows: Rows, at: Ints) -> Samples:
    """What is there in rows over the times ``at`` as samples."""
    rows = rows.present()
    counts = rows.there.sum(axis=1)
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    times = np.broadcast_to(at, rows.values.shape)[rows.there]
    return Samples(rows.labels, offsets, times, rows.values[rows.there])


@attrs.frozen
class Steps:
    """The query's own times: start and end in ms, for ``@ start()`` and ``@ end()``."""

    start_ms: int
    end_ms: int
