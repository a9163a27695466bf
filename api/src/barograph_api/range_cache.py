"""Answers to range queries that dashboards ask again and again: only the new part is computed.

A step of a range query depends on what came before it alone, unless the expression looks at the
query's ends (``@ end()``) or ahead (``offset -5m``); such ones are not kept. A step older than
``SETTLED_MS`` is kept, and everything kept is forgotten as soon as a sample is stored behind that,
so that an answer from here is the one that would be computed.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.answer import Matrix
from barograph.model import Batch, Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

SETTLED_MS = 120_000
"""Steps that are older than this, at the time they are computed, are kept."""

MAX_SAMPLES = 4_000_000
"""Samples of all kept answers together; the least recently asked go first."""

_LOOKS_AWAY = re.compile(r"@|\boffset\s*-", re.IGNORECASE)
"""Expressions whose steps may depend on the query's ends, or on what comes after them."""

Evaluate = Callable[[int, int], Matrix]
"""``evaluate(start_ms, end_ms)``: the answer for these steps."""

Key = tuple[str, int, int]


@attrs.frozen(eq=False)
class _Kept:
    start_ms: int
    end_ms: int  # last kept step
    matrix: Matrix


class RangeCache:
    """Settled parts of answers by expression, step and phase."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._samples = 0
        self._changes = 0
        self.hits = 0
        self.misses = 0

    def stored(self, batches: Sequence[Batch]) -> None:
        """Samples have been stored: if any lies where steps are kept, forget them all."""
        settled = self._now_ms() - SETTLED_MS
        for batch in batches:
            oldest = (
                batch.t_ms if isinstance(batch.t_ms, int) else int(batch.t_ms.min(initial=2**62))
            )
            if oldest <= settled:
                self.clear()
                return

    def clear(self) -> None:
        with self._lock:
            self._changes += 1
            self._kept.clear()
            self._samples = 0

    def answer(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int, evaluate: Evaluate
    ) -> Matrix:
        """The answer for start, start + step, ... up to end, computed as far as it must be."""
        if _LOOKS_AWAY.search(expr):
            return evaluate(start_ms, end_ms)
        key = (expr, step_ms, start_ms % step_ms)
        last = end_ms - (end_ms - start_ms) % step_ms
        with self._lock:
            kept, changes = self._kept.get(key), self._changes
            if kept is not None:
                self._kept.move_to_end(key)
        settled = self._now_ms() - SETTLED_MS
        if kept is None or not kept.start_ms <= start_ms <= kept.end_ms:
            self.misses += 1
            whole = evaluate(start_ms, end_ms)
        else:
            self.hits += 1
            known = min(kept.end_ms, last)
            parts = [_cut(kept.matrix, start_ms, known)]
            if known < last:
                parts.append(evaluate(known + step_ms, end_ms))
            whole = joined(parts)
        upto = min(last, settled - (settled - start_ms) % step_ms)
        if upto >= start_ms:
            with self._lock:
                if changes == self._changes:
                    self._keep(key, _Kept(start_ms, upto, _cut(whole, start_ms, upto)))
        return whole

    def _keep(self, key: Key, new: _Kept) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._samples -= len(old.matrix.t_ms)
        if len(new.matrix.t_ms) > MAX_SAMPLES // 4:
            return
        self._kept[key] = new
        self._samples += len(new.matrix.t_ms)
        while self._samples > MAX_SAMPLES:
            _, gone = self._kept.popitem(last=False)
            self._samples -= len(gone.matrix.t_ms)


def _cut(matrix: Matrix, start_ms: int, end_ms: int) -> Matrix:
    """The samples in [start, end]; series without any are left out."""
    inside = (matrix.t_ms >= start_ms) & (matrix.t_ms <= end_ms)
    if inside.all():
        return matrix
    before = np.concatenate([[0], np.cumsum(inside)])  # samples inside, up to each place
    counts = before[matrix.offsets[1:]] - before[matrix.offsets[:-1]]
    there = np.flatnonzero(counts)
    offsets = np.zeros(len(there) + 1, np.int64)
    np.cumsum(counts[there], out=offsets[1:])
    labels = [matrix.labels[i] for i in there.tolist()]
    return Matrix(labels, offsets, matrix.t_ms[inside], matrix.values[inside])


def joined(parts: Sequence[Matrix]) -> Matrix:
    """Parts in time order as one, sorted by labels."""
    pieces: dict[Labels, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for part in parts:
        for labels, column in part:
            pieces.setdefault(labels, []).append((column.t_ms, column.values))
    order = sorted(pieces, key=lambda labels: labels.pairs)
    t_ms = [t for labels in order for t, _ in pieces[labels]]
    values = [v for labels in order for _, v in pieces[labels]]
    offsets = np.zeros(len(order) + 1, np.int64)
    np.cumsum([sum(len(t) for t, _ in pieces[labels]) for labels in order], out=offsets[1:])
    return Matrix(
        order,
        offsets,
        np.concatenate(t_ms) if t_ms else np.empty(0, np.int64),
        np.concatenate(values) if values else np.empty(0),
    )
