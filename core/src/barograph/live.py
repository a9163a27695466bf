"""The newest value of each series, and the one before, for live displays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.model import Batch

IDLE_MS = 10 * 60_000
"""Series without a new value for so long are forgotten."""

AHEAD_MS = 2_000
"""A value may be so far ahead of the clock (another thread's, or a small correction)."""


class Latest:
    """Arrays by slot; refs of unknown series read as time 0 and NaN."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slot: dict[int, int] = {}
        self._data = np.zeros((4, 0))
        self._known: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._swept_ms = 0

    def update(self, batch: Batch, now_ms: int) -> None:
        """Take in a batch; late samples change nothing.

        A value with a time well after ``now_ms`` is of before the clock was set back: any newer
        one takes its place.
        """
        if not len(batch):
            return
        with self._lock:
            slots = self._slots(batch.refs)
            times = np.broadcast_to(np.asarray(batch.t_ms, np.float64), len(slots))
            data = self._data
            held = data[0, slots]
            newer = (times > held) | (held > now_ms + AHEAD_MS)
            if not newer.all():
                slots, times = slots[newer], times[newer]
                values = batch.values[newer]
            else:
                values = batch.values
            data[2, slots], data[3, slots] = data[0, slots], data[1, slots]
            data[0, slots], data[1, slots] = times, values
            if abs(now_ms - self._swept_ms) > IDLE_MS:
                self._sweep(now_ms)

    def get(
        self, refs: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """float64[n] each: time (ms), value, time and value before."""
        out = np.zeros((4, len(refs)))
        out[1] = out[3] = np.nan
        with self._lock:
            slots = np.array([self._slot.get(int(ref), -1) for ref in refs], np.int64)
            there = slots >= 0
            out[:, there] = self._data[:, slots[there]]
        return out[0], out[1], out[2], out[3]

    def __len__(self) -> int:
        return len(self._slot)

    def _slots(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        known = self._known.get(id(refs))
        if known is not None and known[0] is refs:
            return known[1]
        for ref in refs.tolist():
            if ref not in self._slot:
                self._slot[ref] = len(self._slot)
        if len(self._slot) > self._data.shape[1]:
            grown = np.zeros((4, max(256, 2 * len(self._slot))))
            grown[1] = grown[3] = np.nan
            grown[:, : self._data.shape[1]] = self._data
            self._data = grown
        slots = np.array([self._slot[ref] for ref in refs.tolist()], np.int64)
        if len(self._known) >= 256:
            self._known.clear()
        self._known[id(refs)] = (refs, slots)
        return slots

    def _sweep(self, now_ms: int) -> None:
        self._swept_ms = now_ms
        self._known = {}  # arrays of sources whose series have changed since would stay for ever
        times = self._data[0]
        kept = [
            (r, s) for r, s in self._slot.items()
            if now_ms - IDLE_MS < times[s] <= now_ms + AHEAD_MS
        ]  # fmt: skip
        if len(self._slot) - len(kept) <= len(kept) // 32 + 64:
            return
        data = np.zeros((4, max(256, 2 * len(kept))))
        data[1] = data[3] = np.nan
        data[:, : len(kept)] = self._data[:, [slot for _, slot in kept]]
        self._slot = {ref: i for i, (ref, _) in enumerate(kept)}
        self._data, self._known = data, {}
