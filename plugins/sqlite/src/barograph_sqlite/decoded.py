"""Chunks that were decoded lately: a dashboard reads the same ones every few seconds."""

from __future__ import annotations

import threading

from barograph_sqlite.loose import Part

MAX_BYTES = 12 * 2**20
"""Of the samples kept; a read of more finds a part of them here."""

KEPT_S = 60.0
"""Seconds since its last use after which a chunk is let go."""

Key = tuple[int, int, bytes]
"""A chunk's id, its samples and the checksum of its record: an id may come to be another's."""


class Decoded:
    """Times and values by chunk. What is in use is not pushed out by what comes: a read that goes
    over more than there is room for would push out all that the next one begins with."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._lock = threading.Lock()
        self._max_bytes = max_bytes
        self._kept: dict[Key, tuple[Part, int]] = {}
        self._times: set[int] = set()  # by id(): chunks may share them
        self._generation = 0
        self._turned_s: float | None = None
        self.nbytes = 0

    def get(self, key: Key) -> Part | None:
        found = self._kept.get(key)
        if found is None:
            return None
        part, generation = found
        if generation != self._generation:
            with self._lock:
                if key in self._kept:
                    self._kept[key] = part, self._generation
        return part

    def put(self, key: Key, part: Part) -> None:
        """Keep ``part``, which nobody writes to any more, if there is room."""
        t_ms, values = part
        with self._lock:
            size = values.nbytes + (0 if id(t_ms) in self._times else t_ms.nbytes)
            if self.nbytes + size <= self._max_bytes and key not in self._kept:
                self._kept[key] = part, self._generation
                self._times.add(id(t_ms))
                self.nbytes += size

    def let_go(self, now_s: float) -> None:
        """Called now and then: what has not been used for one to two times ``KEPT_S`` goes."""
        if self._turned_s is not None and 0 <= now_s - self._turned_s < KEPT_S:
            return
        with self._lock:
            self._turned_s = now_s
            used = {k: v for k, v in self._kept.items() if v[1] == self._generation}
            times = {id(part[0]): part[0].nbytes for part, _ in used.values()}
            self._kept, self._times = used, set(times)
            self.nbytes = sum(times.values()) + sum(p[1].nbytes for p, _ in used.values())
            self._generation += 1
