"""Rollup windows in the file, and where late samples ask for new ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.model import Ref, Windows
from barograph_sqlite.codec import DamagedRecord, decode_windows, encode_windows
from barograph_sqlite.head import Piece
from barograph_sqlite.reading import Damage, cut, read_window_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSERT = "INSERT INTO windows (level, ref, t_end, t_min, n, body) VALUES (?, ?, ?, ?, ?, ?)"


def read(
    connection: sqlite3.Connection, refs: Sequence[int], level_ms: int, t_min: int, t_max: int,
    damage: Damage,
) -> list[list[Windows]]:  # fmt: skip
    """For each ref its stored parts that overlap [t_min, t_max]."""
    return [read_window_parts(connection, int(ref), level_ms, t_min, t_max, damage) for ref in refs]


def watermarks(
    connection: sqlite3.Connection, refs: Sequence[int], level_ms: int
) -> NDArray[np.int64]:
    """For each ref the end of its newest stored window, 0 if there is none."""
    out = np.zeros(len(refs), np.int64)
    for i, ref in enumerate(refs):
        row = connection.execute(
            "SELECT max(t_end) FROM windows WHERE ref = ? AND level = ?", (int(ref), level_ms)
        ).fetchone()
        out[i] = row[0] or 0
    return out


def write(
    connection: sqlite3.Connection, parts: Sequence[tuple[Ref, Windows]], damage: Damage
) -> None:
    """Store each part in place of what its span held; the caller holds a transaction."""
    for ref, windows in parts:
        if not len(windows):
            continue
        level = windows.level_ms
        start, end = int(windows.start_ms[0]), int(windows.start_ms[-1]) + level
        old = connection.execute(
            "SELECT id FROM windows WHERE ref = ? AND level = ? AND t_end > ? AND t_min < ?",
            (int(ref), level, start, end),
        ).fetchall()
        if old:
            for (row_id,) in old:
                _keep_outside(connection, row_id, int(ref), level, start, end, damage)
            connection.executemany("DELETE FROM windows WHERE id = ?", old)
        _insert(connection, int(ref), windows)


def _keep_outside(
    connection: sqlite3.Connection, row_id: int, ref: int, level: int, start: int, end: int,
    damage: Damage,
) -> None:  # fmt: skip
    n, body = connection.execute("SELECT n, body FROM windows WHERE id = ?", (row_id,)).fetchone()
    try:
        windows = decode_windows(body, level, n)
    except (DamagedRecord, ValueError, RuntimeError) as error:
        damage.found(f"rollup {row_id} of series {ref}", str(error))
        return
    _insert(connection, ref, cut(windows, -(2**62), start - 1))
    _insert(connection, ref, cut(windows, end, 2**62))


def _insert(connection: sqlite3.Connection, ref: int, windows: Windows) -> None:
    if len(windows):
        start, end = int(windows.start_ms[0]), int(windows.start_ms[-1]) + windows.level_ms
        row = (windows.level_ms, ref, end, start, len(windows), encode_windows(windows))
        connection.execute(INSERT, row)


def note_late(connection: sqlite3.Connection, piece: Piece) -> None:
    """Remember that samples came behind a sealed chunk."""
    order = np.argsort(piece.refs, kind="stable")
    refs, t_ms = piece.refs[order], piece.t_ms[order]
    starts = np.flatnonzero(np.append(True, refs[1:] != refs[:-1]))
    lows, highs = np.minimum.reduceat(t_ms, starts), np.maximum.reduceat(t_ms, starts)
    connection.executemany(
        "INSERT INTO late VALUES (?, ?, ?) ON CONFLICT (ref) DO UPDATE SET "
        "t_min = min(t_min, excluded.t_min), t_max = max(t_max, excluded.t_max)",
        list(zip(refs[starts].tolist(), lows.tolist(), highs.tolist(), strict=True)),
    )
