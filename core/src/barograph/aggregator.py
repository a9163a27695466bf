"""DataAggregator: rollup windows that are always complete, whatever is stored of them.

Windows are a view of the samples. Long runs of sealed samples are folded once and stored; what is
newer is folded when it is asked for. So a restart in mid-window loses nothing, and late samples
only mean that some stored windows are folded again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from barograph.model import Column, Ref, Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Aggregator, Store

MIN_SAMPLES_PER_WINDOW = 60
"""Stored levels have at least so many samples a window: below, a fold costs less than storing.
A window with its sketch takes 20 to 30 bytes: half a byte a sample here, and as much as the samples
themselves at 30; to fold 60 samples takes microseconds."""

MIN_WINDOWS = 30
"""Windows that are stored at once at least, so that their columns compress."""

LEAST_STORED_MS = 60_000
"""Finer levels are always folded when they are asked for, unless there are no coarser ones."""

LOOK_EVERY_MS = 30_000
STEP_SECONDS = 0.02
STEP_MS = 2 * 86400_000
"""Longest span of samples that is folded in one step."""

KNOWN_MS = 2400_000
"""The time between samples of a series that was not looked at for one to two of these is forgotten
(and found again by reading); longer than most series take to be sealed again."""

MAX_ATTEMPTS = 3
"""How often windows are read again because they were stored, or raw samples dropped, meanwhile."""


class DataAggregator:
    """Windows of a store's series at ``levels`` (ms, rising, each a multiple of the one before).

    What a store may have besides its contract is used: ``before_drop(callback, align_ms)``, so that
    raw samples go only after their windows are stored, and those of a whole window at once;
    ``dropped_until``, the time before which raw
    samples may be gone; ``take_sealed()``, the series that got sealed samples since the last call
    (else all are looked at); ``sealed_since(refs)``, their oldest times.
    """

    def __init__(self, store: Store, aggregator: Aggregator, levels: Sequence[int]) -> None:
        self._store = store
        self._fold = aggregator
        self.levels = tuple(levels)
        self._stored = tuple(lv for lv in levels if lv >= LEAST_STORED_MS) or tuple(levels[-1:])
        self._queue: dict[int, None] = {}  # refs, in the order they came
        self._intervals: dict[int, float] = {}  # ms between samples, by ref
        self._intervals_before: dict[int, float] = {}
        self._forgot_at = 0
        self._looked_at: int | None = None
        self._lock = threading.RLock()
        hook = getattr(store, "before_drop", None)
        if hook is not None:
            hook(self.materialise_before, max(levels))

    # --- asking ---------------------------------------------------------------------------------

    def windows(self, refs: Sequence[int], level_ms: int, t_min: int, t_max: int) -> list[Windows]:
        """All windows that overlap [t_min, t_max], one Windows for each ref."""
        start = t_min // level_ms * level_ms
        for _ in range(MAX_ATTEMPTS):
            before = self._dropped_until()
            marks = self._store.watermarks(refs, level_ms)
            out = self._windows(refs, marks, level_ms, start, t_max)
            same = np.array_equal(marks, self._store.watermarks(refs, level_ms))
            if same and self._dropped_until() == before:
                break
        return out

    def _windows(
        self, refs: Sequence[int], marks: NDArray[np.int64], level_ms: int, start: int, t_max: int
    ) -> list[Windows]:
        """Stored windows, and folds of the raw samples behind the ``marks``."""
        end = (t_max // level_ms + 1) * level_ms
        late = {int(ref): (low, high) for ref, low, high in self._store.late_since_rollup()}
        stored = self._store.read_windows(refs, level_ms, start, t_max)
        lows = np.maximum(marks, start)
        columns = self._columns(refs, lows, end - 1)
        out: list[Windows] = []
        for i, ref in enumerate(refs):
            parts = [p for p in stored[i] if len(p)]
            if len(columns[i]):
                parts.append(self._fold.fold(columns[i], level_ms))
            whole = self._fold.merge(parts) if parts else empty_windows(level_ms)
            span = late.get(int(ref))
            if span is not None and marks[i] > start:
                low, high = max(span[0], start), min(span[1], end - 1, int(marks[i]) - 1)
                if low <= high:
                    whole = self._amended(int(ref), whole, low, high, end)
            out.append(whole)
        return out

    def _columns(self, refs: Sequence[int], lows: NDArray[np.int64], t_max: int) -> list[Column]:
        """Raw samples of each ref from its own low on."""
        none = Column(np.empty(0, np.int64), np.empty(0, np.float64))
        columns = [none] * len(refs)
        for low in np.unique(lows[lows <= t_max]).tolist():
            which = np.flatnonzero(lows == low).tolist()
            found = self._store.read([refs[i] for i in which], low, t_max)
            for i, column in zip(which, found, strict=True):
                columns[i] = column
        return columns

    def _amended(self, ref: int, whole: Windows, low: int, high: int, limit: int) -> Windows:
        """``whole`` with the windows that overlap [low, high] folded again, up to ``limit``."""
        level = whole.level_ms
        start, end = low // level * level, (high // level + 1) * level
        fresh = self._fold.fold(self._store.read([ref], start, min(end, limit) - 1)[0], level)
        return splice(whole, fresh, start, end, self._dropped_until())

    def _dropped_until(self) -> int:
        return int(getattr(self._store, "dropped_until", 0))

    # --- storing --------------------------------------------------------------------------------

    def maintain(self, now_ms: int) -> int:
        """Store windows of what was sealed since; bounded work. How many series were done."""
        with self._lock:
            self._redo_late()
            if self._looked_at is None or abs(now_ms - self._looked_at) >= LOOK_EVERY_MS:
                self._looked_at = now_ms
                self._look()
            if abs(now_ms - self._forgot_at) >= KNOWN_MS:
                self._forgot_at = now_ms
                self._intervals_before, self._intervals = self._intervals, {}
            done = 0
            deadline = time.perf_counter() + STEP_SECONDS
            while self._queue and (not done or time.perf_counter() < deadline):
                ref = next(iter(self._queue))
                del self._queue[ref]
                if self._materialise(ref):
                    self._queue[ref] = None  # there is more than one step's worth
                done += 1
            return done

    def _look(self) -> None:
        take = getattr(self._store, "take_sealed", None)
        if take is not None:
            refs = take()
        elif not self._queue:
            refs = [series.ref for series in self._store.select([])]
        else:
            refs = []
        self._queue.update(dict.fromkeys(int(ref) for ref in refs))

    def materialise_before(self, refs: Sequence[int], t_max: int) -> None:
        """Store all windows of sealed samples up to ``t_max``: the samples are about to go."""
        with self._lock:
            self._redo_late()
            for ref in refs:
                self._materialise_until(int(ref), t_max)

    def _materialise(self, ref: int) -> bool:
        """Store the windows that are worth it; whether there may be more."""
        sealed = int(self._store.sealed_until([ref])[0])
        if sealed == 0:
            return False
        marks = self._marks(ref)
        interval = self._intervals.get(ref) or self._intervals_before.get(ref, 0.0)
        if interval:
            self._intervals[ref] = interval
        first = min(marks.values()) or self._first(ref, sealed)
        needy = [
            level
            for level in self._stored
            if sealed + 1 - (marks[level] or first) >= MIN_WINDOWS * level
            and level >= MIN_SAMPLES_PER_WINDOW * interval
        ]
        if not needy:
            return False
        low = min(marks[level] or first for level in needy)
        column, high = self._next_samples(ref, low, sealed)
        if len(column) < 2:
            return False
        interval = self._intervals[ref] = float(np.median(np.diff(column.t_ms)))
        needy = [level for level in needy if level >= MIN_SAMPLES_PER_WINDOW * interval]
        self._store_folds(ref, column, {lv: (high + 1) // lv * lv for lv in needy}, marks)
        return high < sealed and bool(needy)

    def _materialise_until(self, ref: int, until: int) -> None:
        sealed = int(self._store.sealed_until([ref])[0])
        marks = self._marks(ref)
        # Windows that are still open hold what there is; what comes is merged into them.
        ends = {lv: min((until // lv + 1) * lv, sealed + 1) for lv in self._stored}
        ends = {lv: end for lv, end in ends.items() if marks[lv] < end}
        if sealed == 0 or not ends:
            return
        low = min(marks[level] or -(2**62) for level in ends)
        column = self._store.read([ref], low, max(ends.values()) - 1)[0]
        self._store_folds(ref, column, ends, marks)

    def _marks(self, ref: int) -> dict[int, int]:
        return {lv: int(self._store.watermarks([ref], lv)[0]) for lv in self._stored}

    def _first(self, ref: int, sealed: int) -> int:
        """The oldest time of a series' sealed samples."""
        since = getattr(self._store, "sealed_since", None)
        if since is not None:
            return int(since([ref])[0])
        column = self._store.read([ref], -(2**62), sealed)[0]
        return int(column.t_ms[0]) if len(column) else sealed

    def _next_samples(self, ref: int, low: int, sealed: int) -> tuple[Column, int]:
        """Samples of one step from ``low`` on, and the time up to which they go.

        Over a gap the step goes on until there are windows to store.
        """
        step = max(STEP_MS, 2 * max(self._stored))
        high = min(sealed, low + step)
        column = self._store.read([ref], low, high)[0]
        while high < sealed and np.isnan(column.values).all():
            high = min(sealed, high + step)
            column = self._store.read([ref], low, high)[0]
        real = column.t_ms[~np.isnan(column.values)]
        if len(real) and high < real[0] + step and high < sealed:
            high = min(sealed, int(real[0]) + step)
            column = self._store.read([ref], low, high)[0]
        return column, high

    def _store_folds(
        self, ref: int, column: Column, ends: dict[int, int], marks: dict[int, int]
    ) -> None:
        """Fold ``column`` at each level from its mark to its end, and store that."""
        parts: list[tuple[Ref, Windows]] = []
        for level, end in ends.items():
            mark = marks[level]
            a, b = np.searchsorted(column.t_ms, [mark or -(2**62), end])
            windows = self._fold.fold(Column(column.t_ms[a:b], column.values[a:b]), level)
            start = mark // level * level
            if mark == 0:
                if not len(windows):
                    continue
                start = int(windows.start_ms[0])
            elif mark > start:  # the window that holds the mark is stored in part
                open_ = self._store.read_windows([ref], level, start, mark - 1)[0]
                found = [w for w in [*open_, windows] if len(w)]
                windows = self._fold.merge(found) if found else windows
            if end > mark:
                parts.append((Ref(ref), attrs.evolve(windows, span_ms=(start, end))))
        if parts:
            self._store.write_windows(parts)

    def _redo_late(self) -> None:
        spans = self._store.late_since_rollup()
        if not spans:
            return
        parts: list[tuple[Ref, Windows]] = []
        for ref, low, high in spans:
            for level in self.levels:
                mark = int(self._store.watermarks([ref], level)[0])
                start, end = low // level * level, min((high // level + 1) * level, mark)
                if start >= end:
                    continue
                old = self._store.read_windows([ref], level, start, end - 1)[0]
                whole = self._fold.merge(old) if old else empty_windows(level)
                amended = self._amended(int(ref), whole, start, end - 1, mark)
                parts.append((ref, attrs.evolve(amended, span_ms=(start, end))))
        if parts:
            self._store.write_windows(parts)
        self._store.clear_late(spans)


def splice(whole: Windows, fresh: Windows, start: int, end: int, dropped_until: int) -> Windows:
    """``whole`` with its windows that start in [start, end) taken from ``fresh``.

    Before ``dropped_until`` raw samples may be gone: there, of two windows at one place, the one
    that counted more samples is right.
    """
    kept = (whole.start_ms < start) | (whole.start_ms >= end)
    old_gone = whole.start_ms < dropped_until
    at = np.searchsorted(fresh.start_ms, whole.start_ms)
    there = np.zeros(len(whole), bool)
    counts = np.zeros(len(whole), np.int64)
    inside = at < len(fresh)
    there[inside] = fresh.start_ms[at[inside]] == whole.start_ms[inside]
    counts[there] = fresh.count[at[there]]
    kept |= old_gone & (counts < whole.count)
    taken = ~np.isin(fresh.start_ms, whole.start_ms[kept])
    taken &= (fresh.start_ms >= start) & (fresh.start_ms < end)
    return _joined(whole, kept, fresh, taken)


def _joined(a: Windows, of_a: NDArray[np.bool_], b: Windows, of_b: NDArray[np.bool_]) -> Windows:
    """The marked windows of two, which have no window in common, in time order."""
    starts = np.concatenate([a.start_ms[of_a], b.start_ms[of_b]])
    order = np.argsort(starts, kind="stable")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(a, name)[of_a], getattr(b, name)[of_b]])[order]
        for name in ("start_ms", "count", "sum", "min", "max", "first", "last", "increase")
    }
    sketches = [
        (w.sketch_keys[w.sketch_offsets[i] : w.sketch_offsets[i + 1]],
         w.sketch_counts[w.sketch_offsets[i] : w.sketch_offsets[i + 1]])
        for w, marked in ((a, of_a), (b, of_b))
        for i in np.flatnonzero(marked).tolist()
    ]  # fmt: skip
    sketches = [sketches[i] for i in order.tolist()]
    offsets = np.zeros(len(order) + 1, np.int64)
    np.cumsum([len(keys) for keys, _ in sketches], out=offsets[1:])
    keys = [a.sketch_keys[:0], *(keys for keys, _ in sketches)]
    counts = [a.sketch_counts[:0], *(counts for _, counts in sketches)]
    return Windows(
        level_ms=a.level_ms, **columns, sketch_offsets=offsets,
        sketch_keys=np.concatenate(keys), sketch_counts=np.concatenate(counts),
    )  # fmt: skip


def empty_windows(level_ms: int) -> Windows:
    """No windows at all."""
    i, f = np.empty(0, np.int64), np.empty(0, np.float64)
    return Windows(level_ms, i, i, f, f, f, f, f, f, np.zeros(1, np.int64), i.astype(np.int32), i)
