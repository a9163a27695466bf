"""DataAggregator: rollup windows that are always complete, whatever is stored of them.

Windows are a view of the samples. Long runs of sealed samples are folded once and stored; what is
newer is folded when it is asked for. So a restart in mid-window loses nothing, and late samples
only mean that some stored windows are folded again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.model import Column, Ref, Windows

if TYPE_CHECKING:
    from barograph.contracts import Aggregator, Store

MIN_SAMPLES_PER_WINDOW = 10
"""Stored levels have at least so many samples a window: below, a fold costs less than storing."""

MIN_WINDOWS = 30
"""Windows that are stored at once at least, so that their columns compress."""

LOOK_EVERY_MS = 30_000
STEP_SECONDS = 0.02
STEP_MS = 2 * 86400_000
"""Longest span of samples that is folded in one step."""


class DataAggregator:
    """Windows of a store's series at ``levels`` (ms, rising, each a multiple of the one before)."""

    def __init__(self, store: Store, aggregator: Aggregator, levels: Sequence[int]) -> None:
        self._store = store
        self._fold = aggregator
        self.levels = tuple(levels)
        self._queue: deque[int] = deque()
        self._looked_at = 0
        self._seen_version: object = None
        self._lock = threading.Lock()
        hook = getattr(store, "before_drop", None)
        if hook is not None:
            hook(self.materialise_before)

    def windows(self, refs: Sequence[int], level_ms: int, t_min: int, t_max: int) -> list[Windows]:
        """All windows that overlap [t_min, t_max], one Windows for each ref."""
        start = t_min // level_ms * level_ms
        marks = self._store.watermarks(refs, level_ms)
        stored = self._store.read_windows(refs, level_ms, start, t_max)
        end = (t_max // level_ms + 1) * level_ms - 1
        lows = np.maximum(marks, start)
        columns: list[Column | None] = [None] * len(refs)
        for low in np.unique(lows[lows <= end]).tolist():
            which = np.flatnonzero(lows == low).tolist()
            found = self._store.read([refs[i] for i in which], low, end)
            for i, column in zip(which, found, strict=True):
                columns[i] = column
        out: list[Windows] = []
        for i in range(len(refs)):
            parts = [p for p in stored[i] if len(p)]
            column = columns[i]
            if column is not None and len(column):
                parts.append(self._fold.fold(column, level_ms))
            out.append(
                parts[0] if len(parts) == 1 else self._fold.merge(parts or [_empty(level_ms)])
            )
        return out

    def maintain(self, now_ms: int) -> int:
        """Store windows of what was sealed since; bounded work. How many series were done."""
        with self._lock:
            self._redo_late()
            version = getattr(self._store, "sealed_version", now_ms // LOOK_EVERY_MS)
            due = abs(now_ms - self._looked_at) >= LOOK_EVERY_MS
            if not self._queue and due and version != self._seen_version:
                self._looked_at, self._seen_version = now_ms, version
                self._queue.extend(series.ref for series in self._store.select([]))
            done = 0
            deadline = time.perf_counter() + STEP_SECONDS
            while self._queue and time.perf_counter() < deadline:
                self._materialise(self._queue.popleft(), None)
                done += 1
            return done

    def materialise_before(self, refs: Sequence[int], t_max: int) -> None:
        """Store all windows up to the one that holds ``t_max``: its samples are about to go."""
        for ref in refs:
            self._materialise(int(ref), t_max)

    def _materialise(self, ref: int, until: int | None) -> None:
        sealed = int(self._store.sealed_until([ref])[0])
        if sealed == 0:
            return
        coarse = [level for level in self.levels if level >= 60_000] or list(self.levels[-1:])
        marks = {level: int(self._store.watermarks([ref], level)[0]) for level in coarse}
        if until is None:
            needy = [lv for lv in coarse if sealed + 1 - marks[lv] >= MIN_WINDOWS * lv]
        else:
            needy = [lv for lv in coarse if marks[lv] <= until]
        if not needy:
            return
        low = min(marks[level] for level in needy)
        high = sealed
        if low == 0:
            first = self._store.read([ref], -(2**62), sealed)[0]
            if not len(first):
                return
            low = int(first.t_ms[0])
        if until is None:
            high = min(high, low + STEP_MS)
        column = self._store.read([ref], low, high)[0]
        if len(column) < 2:
            return
        interval = float(np.median(np.diff(column.t_ms)))
        parts: list[tuple[Ref, Windows]] = []
        for level in needy:
            if until is None and level < MIN_SAMPLES_PER_WINDOW * interval:
                continue
            end = (high + 1) // level * level
            if until is not None:
                end = min((until // level + 1) * level, (sealed // level + 1) * level)
            a, b = np.searchsorted(column.t_ms, [max(marks[level], low), end])
            if b > a:
                piece = Column(column.t_ms[a:b], column.values[a:b])
                parts.append((Ref(ref), self._fold.fold(piece, level)))
        if parts:
            self._store.write_windows(parts)

    def _redo_late(self) -> None:
        spans = self._store.late_since_rollup()
        if not spans:
            return
        for ref, low, high in spans:
            for level in self.levels:
                mark = int(self._store.watermarks([ref], level)[0])
                start, end = low // level * level, (high // level + 1) * level
                if start >= mark:
                    continue
                column = self._store.read([ref], start, min(end, mark) - 1)[0]
                if len(column):
                    self._store.write_windows([(ref, self._fold.fold(column, level))])
        self._store.clear_late(spans)


def _empty(level_ms: int) -> Windows:
    i, f = np.empty(0, np.int64), np.empty(0, np.float64)
    return Windows(level_ms, i, i, f, f, f, f, f, f, np.zeros(1, np.int64), i.astype(np.int32), i)
