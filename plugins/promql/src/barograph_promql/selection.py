"""Series and samples of selectors, and where a step's samples are among them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from barograph.columns import Columns, read_columns
from barograph.contracts import Store
from barograph.explanation import ReadStage
from barograph.model import STALE_NAN_BITS, Column, Matcher, Series
from barograph_promql.labelsets import LabelBook
from barograph_promql.limits import Budget
from barograph_promql.patterns import pushed_down, remaining
from barograph_promql.rolled import Level, stand_in
from barograph_promql.rows import Bools, Floats, Ints, Rows, Samples

if TYPE_CHECKING:
    from barograph_promql.explaining import Trace

BLOCK_CELLS = 16_384
"""Cells (a series at a step) that are worked on at once."""

WINDOWS_AT_ONCE = 16
"""Series whose windows are read before they are counted: those of a year are many."""

_FAR = 2**61


@attrs.frozen(eq=False)
class Rolled:
    """Samples, some of them in the place of windows; ``level_ms``: the coarsest, 0 for none."""

    samples: Samples
    level_ms: int


class Reader:
    """Reads a store for one query; what two selectors share is read once."""

    def __init__(
        self, store: Store, budget: Budget, book: LabelBook, trace: Trace | None = None
    ) -> None:
        self._store = store
        self._trace = trace
        self._book = book
        self._budget = budget
        self._read: dict[tuple[tuple[Matcher, ...], int, int], Samples] = {}
        self._rolled: dict[tuple[tuple[Matcher, ...], int, int, str, int, int, int], Rolled] = {}
        self._levels: list[int] | None = None

    def samples(self, matchers: Sequence[Matcher], t_min: int, t_max: int) -> Samples:
        """All samples with t_min <= t <= t_max, staleness markers too, series by labels."""
        t_min, t_max = max(t_min, -_FAR), min(t_max, _FAR)
        key = (tuple(matchers), t_min, t_max)
        if key not in self._read:
            self._read[key] = self._load(matchers, t_min, t_max)
        return self._read[key]

    def _load(self, matchers: Sequence[Matcher], t_min: int, t_max: int) -> Samples:
        began = time.perf_counter()
        found = self._series(matchers, t_min, t_max)
        refs = np.array([series.ref for series in found], np.int64)
        selected = time.perf_counter()
        columns = read_columns(self._store, refs, t_min, t_max, self._budget.spend)
        if self._trace is not None:
            self._note(matchers, t_min, t_max, refs, columns, selected - began, selected)
        return self._filled(found, refs, columns)

    def _filled(self, found: Sequence[Series], refs: Ints, columns: Columns) -> Samples:
        """Without the series that have no samples."""
        filled = np.diff(columns.offsets) > 0
        if not filled.all():
            some = np.flatnonzero(filled)
            found, refs = [found[i] for i in some.tolist()], refs[some]
            offsets = np.append(columns.offsets[some], columns.offsets[-1])
            columns = Columns.flat(offsets, columns.t_ms, columns.values)
        return Samples(
            self._book.labels(self._store, refs, found), columns.offsets, columns=columns
        )

    # --- rollups --------------------------------------------------------------------------------

    @property
    def dropped_until(self) -> int:
        """The time before which raw samples may be gone, as far as the store tells."""
        return int(getattr(self._store, "dropped_until", 0))

    @property
    def levels(self) -> list[int]:
        """Rollup levels that the store has windows of, in ms, finest first."""
        if self._levels is None:
            told = getattr(self._store, "levels", None)
            self._levels = [] if told is None else told()
        return self._levels

    def aged(self, t_min: int) -> bool:
        """Whether raw samples since ``t_min`` may be gone and have rollups in their place."""
        return t_min < self.dropped_until and bool(self.levels)

    def rolled(
        self, matchers: Sequence[Matcher], t_min: int, t_max: int, column: str, *,
        level_ms: int = 0, nested_ms: int = 0, hold_ms: int = 0,
    ) -> Rolled:  # fmt: skip
        """``samples`` with rollup windows where raw samples are gone, from two windows before
        ``t_min`` on; ``level_ms``: with windows of this level as far as there are any.

        ``nested_ms``: windows of this level will do as well as finer ones, where it has them all.
        """
        t_min, t_max = max(t_min, -_FAR), min(t_max, _FAR)
        key = tuple(matchers), t_min, t_max, column, level_ms, nested_ms, hold_ms
        if key not in self._rolled:
            self._rolled[key] = self._load_rolled(*key)
        return self._rolled[key]

    def _load_rolled(
        self, matchers: Sequence[Matcher], t_min: int, t_max: int, column: str, level_ms: int,
        nested_ms: int, hold_ms: int,
    ) -> Rolled:  # fmt: skip
        began = time.perf_counter()
        levels = [one for one in self.levels if one >= level_ms]
        low = t_min - 2 * max(levels)  # a range may be widened to two windows
        found = self._series(matchers, low, t_max)
        refs = np.array([series.ref for series in found], np.int64)
        selected = time.perf_counter()
        until = self.dropped_until
        if level_ms:
            until = max(until, self._complete_until(refs, level_ms))
        elif nested_ms and self._as_complete(refs, nested_ms, until):
            levels = [one for one in levels if one >= nested_ms]
        raw_from = max(low, until) if level_ms else low
        raw = read_columns(self._store, refs, raw_from, t_max, self._budget.spend)
        windows = [self._windows(refs, one, low, min(t_max, until)) for one in levels]
        parts, used = [], 0
        for i in range(len(refs)):
            a, b = int(raw.offsets[i]), int(raw.offsets[i + 1])
            here = Column(raw.t_ms[a:b], raw.values[a:b])
            part, level = stand_in(here, [one[i] for one in windows], column, hold_ms)
            parts.append(part)
            used = max(used, level)
        columns = Columns.of(parts)
        self._budget.spend(int(columns.offsets[-1]))
        if self._trace is not None:
            self._note(matchers, low, t_max, refs, columns, selected - began, selected, used)
        return Rolled(self._filled(found, refs, columns), used)

    def _complete_until(self, refs: Ints, level_ms: int) -> int:
        """The time up to which a level has the windows of all series, those of late samples too."""
        if not len(refs) or self._store.late_since_rollup():
            return 0
        return int(self._store.watermarks(refs.tolist(), level_ms).min()) // level_ms * level_ms

    def _as_complete(self, refs: Ints, level_ms: int, until: int) -> bool:
        """Whether a level has all that the finest has before ``until``, late samples too."""
        if self._store.late_since_rollup():
            return False
        marks, finest = (
            self._store.watermarks(refs.tolist(), one) for one in (level_ms, min(self.levels))
        )
        return bool((marks >= np.minimum(finest, until)).all())

    def _windows(self, refs: Ints, level_ms: int, low: int, until: int) -> list[Level]:
        """Of each series the windows from ``low`` on that end by ``until`` (or have it inside)."""
        out = []
        for i in range(0, len(refs), WINDOWS_AT_ONCE):
            some = refs[i : i + WINDOWS_AT_ONCE].tolist()
            for parts in self._store.read_windows(some, level_ms, low, until):
                self._budget.spend(sum(len(part) for part in parts))
                level = Level.of(parts, level_ms)
                first, last = np.searchsorted(level.windows.start_ms, [low, until])
                out.append(level.cut(int(first), int(last)))
        return out

    def _note(
        self, matchers: Sequence[Matcher], t_min: int, t_max: int, refs: Ints, columns: Columns,
        select_seconds: float, read_from: float, level_ms: int = 0,
    ) -> None:  # fmt: skip
        """Tell the trace what was read; ``read_from``: when that began."""
        from barograph_promql.explaining import selector_text  # which imports this module

        assert self._trace is not None
        took = time.perf_counter() - read_from
        count = getattr(self._store, "count_chunks", None)  # a store may tell
        self._trace.reads.append(
            ReadStage(
                selector_text(matchers), t_min, t_max, len(refs),
                int(np.count_nonzero(np.diff(columns.offsets))), int(columns.offsets[-1]),
                -1 if count is None else count(refs, t_min, t_max), level_ms,
                columns.times is not None, select_seconds, took,
            )
        )  # fmt: skip

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
    values = samples.values if samples.grid is None else samples.grid
    with np.errstate(all="ignore"):
        if not np.isnan(values.sum()):  # no NaN, so no marker
            return samples
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
    if samples.grid is not None:
        return _newest_row(samples, samples.grid, at, lookback_ms, times=times)
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


def _newest_row(samples: Samples, grid: Floats, at: Ints, lookback_ms: int, *, times: bool) -> Rows:
    """``newest`` where all series have the same times. O(T S)."""
    assert samples.shared is not None
    index = np.searchsorted(samples.shared, at, "right") - 1
    safe = np.maximum(index, 0)
    t_ms, values = samples.shared[safe], grid[safe]
    old = (index < 0) | (t_ms < at - lookback_ms)
    there = values.view(np.int64) != STALE_NAN_BITS
    there[old] = False
    if times:
        values = np.broadcast_to((t_ms / 1000)[:, None], values.shape)
    return Rows(samples.labels, values.T, there.T).present()


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
