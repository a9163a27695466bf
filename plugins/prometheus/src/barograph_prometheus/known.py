"""Series that senders have written before: from the bytes of their labels to refs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph_prometheus import decoding

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).min

IDLE_MS = 3_600_000
"""Series without a sample for so long make room when there is none."""

MAX_ARENA = 256 * 2**20
"""Bytes of labels that are remembered."""


class KnownSeries:
    """A hash table over label bytes. Not for several threads at once.

    An entry has a ref, or minus the number of the reason why its labels are refused. ``newest``:
    the newest time (ms) of each.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._seed = np.uint64(secrets.randbits(64))
        self._cleared_ms = NEVER
        self._make(1024, 2**17)

    def _make(self, entries: int, arena: int) -> None:
        self.count = 0
        self._used = 0
        self.refs = np.zeros(entries, np.int64)
        self.newest = np.full(entries, NEVER, np.int64)
        self._hashes = np.zeros(entries, np.uint64)
        self._places = np.zeros(entries, np.int64)
        self._sizes = np.zeros(entries, np.int64)
        self._arena = np.zeros(arena, np.uint8)
        self._slots = np.zeros(_slots_for(entries), np.int64)

    def find(
        self, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], int]:
        """Entries int64[n] of the spans of ``data`` (-1: unknown), and how many are unknown."""
        entries = np.empty(len(starts), np.int64)
        missing = decoding.find(
            data, starts, ends, self._slots, self._seed, self._hashes, self._places, self._sizes,
            self._arena, entries,
        )  # fmt: skip
        return entries, int(missing)

    def add(self, spans: list[bytes], refs: list[int]) -> None:
        """Remember spans that are not known yet."""
        need = self.count + len(spans)
        size = self._used + sum(map(len, spans))
        self._grow(need, size)
        for span, ref in zip(spans, refs, strict=True):
            e = self.count
            self._places[e], self._sizes[e] = self._used, len(span)
            self._arena[self._used : self._used + len(span)] = np.frombuffer(span, np.uint8)
            self._used += len(span)
            self.refs[e], self.newest[e] = ref, NEVER
            self.count += 1
        self._enter(need - len(spans), len(spans))

    def _enter(self, first: int, count: int) -> None:
        decoding.enter(
            first, count, self._slots, self._seed, self._hashes, self._places, self._sizes,
            self._arena,
        )  # fmt: skip

    def _grow(self, entries: int, arena: int) -> None:
        if arena > len(self._arena):
            self._arena = _longer(self._arena, 2 * arena)
        if entries > len(self.refs):
            size = 2 * entries
            self.refs, self.newest = _longer(self.refs, size), _longer(self.newest, size)
            self._hashes, self._places = _longer(self._hashes, size), _longer(self._places, size)
            self._sizes = _longer(self._sizes, size)
            self._slots = np.zeros(_slots_for(size), np.int64)
            self._enter(0, self.count)

    def room(self, wanted: int, size: int, now_ms: int) -> bool:
        """Whether ``wanted`` more series of ``size`` bytes fit; idle ones make room."""
        if self._fits(wanted, size):
            return True
        if now_ms - self._cleared_ms < 60_000:
            return False
        self._cleared_ms = now_ms
        self.keep(lambda newest, _: newest > now_ms - IDLE_MS)
        return self._fits(wanted, size)

    def _fits(self, wanted: int, size: int) -> bool:
        return self.count + wanted <= self.most and self._used + size <= MAX_ARENA

    def keep(
        self, wanted: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
    ) -> None:
        """Forget the entries for which ``wanted(newest, refs)`` is not true."""
        n = self.count
        refs, newest = self.refs[:n], self.newest[:n]
        kept = np.flatnonzero(wanted(newest, refs)).tolist()
        places, sizes, arena = self._places, self._sizes, self._arena
        spans = [arena[places[e] : places[e] + sizes[e]].tobytes() for e in kept]
        self._make(max(1024, 2 * len(kept)), 2**17)
        if kept:
            self.add(spans, refs[kept].tolist())
            self.newest[: len(kept)] = newest[kept]


def _slots_for(entries: int) -> int:
    """A power of two, at least four times the entries."""
    return 1 << (4 * entries - 1).bit_length()


def _longer(array: Any, size: int) -> Any:
    out = np.zeros(size, array.dtype)
    out[: len(array)] = array
    return out
