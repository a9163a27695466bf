"""Read connections: lent one at a time, and snapshots of a file that another process writes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from barograph_sqlite.schema import connect

MAX_IDLE_READERS = 4


class Readers:
    """Read-only connections, lent one at a time; a few idle ones are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._generation = 0

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        """A connection for the caller alone. Raises sqlite3.Error."""
        with self._lock:
            generation = self._generation
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect(self._path, read_only=True)
        try:
            yield connection
        finally:
            with self._lock:
                keep = (
                    generation == self._generation
                    and len(self._idle) < MAX_IDLE_READERS
                    and not connection.in_transaction
                )
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def close(self) -> None:
        """Close the idle ones now, and those that are lent when they come back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for connection in idle:
            connection.close()


@contextmanager
def snapshot(
    readers: Readers, lock: threading.RLock, follow: Callable[[sqlite3.Connection], None]
) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction, to which ``follow`` has brought the head up."""
    with lock, readers.lend() as connection:
        connection.execute("BEGIN")
        try:
            follow(connection)
            yield connection
        finally:
            if connection.in_transaction:  # COMMIT would fail once more after an error
                connection.execute("ROLLBACK")
