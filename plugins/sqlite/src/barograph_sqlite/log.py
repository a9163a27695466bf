"""The log: what is not in chunks yet, a row for each batch, with a checksum."""

from __future__ import annotations

import sqlite3
import zlib
from typing import TYPE_CHECKING

import numpy as np

from barograph_sqlite.loose import Piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph_sqlite.damage import Damage
    from barograph_sqlite.head import Head

_INSERT = "INSERT INTO log (refset, t, crc, body) VALUES (?, ?, ?, ?)"


def write_row(
    connection: sqlite3.Connection, refset: int, t_ms: int, values: NDArray[np.float64]
) -> int:
    """One tick of a set of series; the row's id."""
    body = values.data
    return _insert(connection, (refset, t_ms, checksum(t_ms, body), body))


def write_loose(connection: sqlite3.Connection, piece: Piece) -> int:
    """Loose samples; the row's id."""
    body = piece.refs.tobytes() + piece.t_ms.tobytes() + piece.values.tobytes()
    return _insert(connection, (None, None, checksum(0, body), body))


def _insert(
    connection: sqlite3.Connection, row: tuple[int | None, int | None, int, bytes | memoryview]
) -> int:
    number = connection.execute(_INSERT, row).lastrowid
    assert number is not None
    return number


def checksum(t_ms: int, body: bytes | memoryview) -> int:
    """What the column ``crc`` holds."""
    return zlib.crc32(body, t_ms & 0xFFFFFFFF)


def replay(connection: sqlite3.Connection, head: Head, after: int, damage: Damage) -> int:
    """Put the rows behind ``after`` into the head; the newest row's id.

    A damaged row is told and left out. Raises sqlite3.Error.
    """
    sets: dict[int, NDArray[np.int64]] = {}
    for log_id, refset, t_ms, crc, body in connection.execute(
        "SELECT id, refset, t, crc, body FROM log WHERE id > ? ORDER BY id", (after,)
    ):
        after = log_id
        wrong = _place(connection, head, sets, log_id, refset, t_ms, crc, body)
        if wrong:
            damage.found(f"log row {log_id}, {t_ms} ms", wrong)
            if refset is not None:
                head.dissolved.append((refset, log_id, log_id))
        head.commit()
    return after


def _place(
    connection: sqlite3.Connection, head: Head, sets: dict[int, NDArray[np.int64]], log_id: int,
    refset: int | None, t_ms: int | None, crc: int, body: bytes,
) -> str:  # fmt: skip
    """Place one row; what is wrong with it, else ""."""
    if checksum(t_ms or 0, body) != crc:
        return "checksum does not fit"
    if refset is None:
        head.place(*_loose(body), _no_refset)
        return ""
    if refset not in sets:
        row = connection.execute("SELECT refs FROM refsets WHERE id = ?", (refset,)).fetchone()
        if row is None:
            return f"its set of series, {refset}, is missing"
        sets[refset] = np.frombuffer(row[0], np.int64)
    refs, values = sets[refset], np.frombuffer(body, np.float64)
    if t_ms is None or len(refs) != len(values):
        return f"{len(values)} values for {len(refs)} series"
    placed = head.place(refs, t_ms, values, lambda _: refset, recurring=True)
    if placed.block is not None:
        head.logged(placed.block, refset, log_id)
    else:  # what is loose now leaves the log with the other loose samples
        head.dissolved.append((refset, log_id, log_id))
    return ""


def _loose(body: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    n = len(body) // 24
    return (
        np.frombuffer(body, np.int64, n),
        np.frombuffer(body, np.int64, n, 8 * n),
        np.frombuffer(body, np.float64, n, 16 * n),
    )


def _no_refset(refs: NDArray[np.int64]) -> int:
    raise AssertionError("loose samples have no refset")
