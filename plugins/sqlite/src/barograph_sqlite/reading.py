"""Reading chunks and rollup windows, around whatever is damaged."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from barograph.contracts import Problem
from barograph.model import Windows
from barograph_sqlite.codec import DamagedRecord, decode_column, decode_windows
from barograph_sqlite.head import Part
from barograph_sqlite.schema import connect, is_damage

MAX_IDLE_READERS = 4
MAX_PROBLEMS = 50


class Readers:
    """Read-only connections, lent one at a time; a few idle ones are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect(self._path, read_only=True)
        try:
            yield connection
        finally:
            with self._lock:
                keep = len(self._idle) < MAX_IDLE_READERS and not connection.in_transaction
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class Damage:
    """What was found damaged, once each, for the one who asks."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.count = 0
        self._seen: set[str] = set()

    def found(self, where: str, why: str) -> None:
        self.count += 1
        if where in self._seen or len(self._seen) >= MAX_PROBLEMS:
            return
        self._seen.add(where)
        self.problems.append(
            Problem(
                f"damaged data: {why}",
                where,
                "the rest stays readable; run `barograph doctor --store` for the whole list, or "
                "restore the data directory from a backup",
            )
        )


def read_chunks(
    connection: sqlite3.Connection, ref: int, t_min: int, t_max: int, late: bool, damage: Damage
) -> list[Part]:
    """A series' samples in [t_min, t_max] in sealed chunks, the later written parts last."""
    parts: list[Part] = []
    _read(
        connection,
        "SELECT id, t_min, n, body, t_max FROM chunks "
        "WHERE ref = ? AND late = 0 AND t_max >= ? ORDER BY t_max",
        (ref, t_min),
        lambda row: _take(row, parts, ref, t_min, t_max, damage),
        f"series {ref}",
        damage,
    )
    if late:
        _read(
            connection,
            "SELECT id, t_min, n, body, t_max FROM chunks "
            "WHERE ref = ? AND late = 1 AND t_max >= ? ORDER BY id",
            (ref, t_min),
            lambda row: _take(row, parts, ref, t_min, t_max, damage) or True,
            f"series {ref}",
            damage,
        )
    return parts


def _take(
    row: tuple[int, int, int, bytes, int],
    parts: list[Part], ref: int, t_min: int, t_max: int, damage: Damage,
) -> bool:  # fmt: skip
    """Add a chunk's part; False when it lies after the range."""
    chunk, first, n, body, last = row
    if first > t_max:
        return False
    try:
        column = decode_column(body, n)
    except (DamagedRecord, ValueError, RuntimeError) as error:
        damage.found(f"chunk {chunk} of series {ref}, {first}..{last} ms", str(error))
        return True
    t_ms, values = column.t_ms, column.values
    if first < t_min or last > t_max:
        low, high = t_ms.searchsorted(t_min), t_ms.searchsorted(t_max, "right")
        t_ms, values = t_ms[low:high], values[low:high]
    if len(t_ms):
        parts.append((t_ms, values))
    return True


def _read(
    connection: sqlite3.Connection, sql: str, arguments: tuple[int, ...],
    take: Callable[..., bool], what: str, damage: Damage,
) -> None:  # fmt: skip
    """Feed rows to ``take`` until it says False; around damaged pages, row by row."""
    done: set[int] = set()
    try:
        for row in connection.execute(sql, arguments):
            if not take(row):
                return
            done.add(row[0])
        return
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        damage.found(what, str(error))
    by_id = (
        f"SELECT {sql[7 : sql.index(' FROM')]} FROM {sql.split()[sql.split().index('FROM') + 1]}"
    )
    by_id += " WHERE id = ?"
    try:
        ids = [r[0] for r in connection.execute("SELECT id " + sql[sql.index("FROM") :], arguments)]
    except sqlite3.DatabaseError:
        return  # the index itself; told above
    for row_id in ids:
        if row_id in done:
            continue
        try:
            row = connection.execute(by_id, (row_id,)).fetchone()
        except sqlite3.DatabaseError as error:
            damage.found(f"{what}, row {row_id}", str(error))
            continue
        if row is not None and not take(row):
            return


def read_window_parts(
    connection: sqlite3.Connection, ref: int, level_ms: int, t_min: int, t_max: int, damage: Damage
) -> list[Windows]:
    """Stored windows of one series that overlap [t_min, t_max], in time order."""
    parts: list[Windows] = []

    def take(row: tuple[int, int, int, bytes]) -> bool:
        row_id, first, n, body = row
        if first > t_max:
            return False
        try:
            windows = decode_windows(body, level_ms, n)
        except (DamagedRecord, ValueError, RuntimeError) as error:
            damage.found(f"rollup {row_id} of series {ref}, level {level_ms} ms", str(error))
            return True
        part = cut(windows, t_min - level_ms + 1, t_max)
        if len(part):
            parts.append(part)
        return True

    _read(
        connection,
        "SELECT id, t_min, n, body FROM windows "
        "WHERE ref = ? AND level = ? AND t_end > ? ORDER BY t_end",
        (ref, level_ms, t_min),
        take,
        f"rollups of series {ref}",
        damage,
    )
    return parts


def cut(windows: Windows, start_min: int, start_max: int) -> Windows:
    """The windows that start in [start_min, start_max]."""
    low = int(windows.start_ms.searchsorted(start_min))
    high = int(windows.start_ms.searchsorted(start_max, "right"))
    if low == 0 and high == len(windows):
        return windows
    a, b = int(windows.sketch_offsets[low]), int(windows.sketch_offsets[max(high, low)])
    s = slice(low, max(high, low))
    return Windows(
        windows.level_ms, windows.start_ms[s], windows.count[s], windows.sum[s], windows.min[s],
        windows.max[s], windows.first[s], windows.last[s], windows.increase[s],
        windows.sketch_offsets[low : max(high, low) + 1] - a,
        windows.sketch_keys[a:b], windows.sketch_counts[a:b],
    )  # fmt: skip
