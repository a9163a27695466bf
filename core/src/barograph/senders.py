"""Who writes with an ingest token: its limits, and the series that it has written."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from barograph.ingest_tokens import (
    FILE,
    PREFIX,
    IngestToken,
    TokenError,
    digest_of,
    read_tokens,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDLE_MS = 3_600_000
"""Series that a sender has not written for so long make room for others, when there is none."""

_MINUTE_MS = 60_000


class Sender:
    """The bearer of one token, over all of a server's protocols. For several threads at once.

    A receiver asks ``room`` before it makes series, and ``take`` before it stores samples. What
    has no ref yet when it comes in is told with ``set_aside``.
    """

    def __init__(self, token: IngestToken) -> None:
        self.token = token
        self._lock = threading.Lock()
        self._used = np.zeros(0, np.uint32)  # by ref: the minute of its last use; 0: not taken
        self._count = 0
        self._released = 0
        self._aside: dict[str, int] = {}

    @property
    def full(self) -> str:
        """What to tell of series that it may not write."""
        return f'the token "{self.token.name}" may write {self.token.max_series} series'

    def room(self, now_ms: int) -> int:
        """Series that it may still add."""
        with self._lock:
            return self._room(now_ms)

    def takes(self, refs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: which of the series int64[n] are its own already."""
        with self._lock:
            self._reach(refs)
            return self._used[refs] > 0

    def take(self, refs: NDArray[np.int64], now_ms: int) -> NDArray[np.bool_]:
        """bool[n]: which of the series int64[n] it may write; new ones count from now on."""
        with self._lock:
            self._reach(refs)
            minute = max(now_ms // _MINUTE_MS, 1)
            mine = self._used[refs] > 0
            self._used[refs[mine]] = minute
            if not mine.all():
                new = np.unique(refs[~mine])[: self._room(now_ms)]
                self._used[new] = minute
                self._count += len(new)
                mine = self._used[refs] > 0
            return mine

    def set_aside(self, what: str, series: int) -> None:
        """So many of its series are kept by ``what``, which is not told their refs."""
        with self._lock:
            self._aside[what] = series

    def _reach(self, refs: NDArray[np.int64]) -> None:
        need = int(refs.max(initial=0)) + 1
        if need > len(self._used):
            longer = np.zeros(need + need // 2, np.uint32)
            longer[: len(self._used)] = self._used
            self._used = longer

    def _room(self, now_ms: int) -> int:
        held = self._count + sum(self._aside.values())
        minute = now_ms // _MINUTE_MS
        if held >= self.token.max_series and minute != self._released:
            self._released = minute
            idle = self._used < max((now_ms - IDLE_MS) // _MINUTE_MS, 0)
            held -= int((self._used[idle] > 0).sum())
            self._used[idle] = 0
            self._count = held - sum(self._aside.values())
        return max(self.token.max_series - held, 0)


class Senders:
    """The senders of a data folder, as its file says at the moment of asking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._by_digest: dict[str, Sender] = {}

    def find(self, token: str) -> Sender | None:
        """The sender whose token this is, if it has not been revoked."""
        if not token.startswith(PREFIX):
            return None
        with self._lock:
            self._look()
            return self._by_digest.get(digest_of(token))

    def _look(self) -> None:
        try:
            found = (self._folder / FILE).stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        self._seen = seen
        try:
            tokens = read_tokens(self._folder)
        except TokenError as error:
            tokens = []
            print(f"warning: no ingest token works: {error}", file=sys.stderr, flush=True)
        before = self._by_digest
        self._by_digest = {t.digest: before.get(t.digest) or Sender(t) for t in tokens}
