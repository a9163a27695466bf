"""Rollup windows in the file, and where late samples ask for new ones."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.model import Ref, Windows
from barograph_sqlite.chunks import bump
from barograph_sqlite.codec import DamagedRecord, decode_windows, encode_windows
from barograph_sqlite.damage import Damage
from barograph_sqlite.loose import Piece
from barograph_sqlite.reading import cut, read_window_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW_WINDOWS = 1440
"""Windows in one row at most."""

_INSERT = "INSERT INTO windows (level, ref, t_end, t_min, n, body) VALUES (?, ?, ?, ?, ?, ?)"


def read(
    connection: sqlite3.Connection, refs: Sequence[int], level_ms: int, t_min: int, t_max: int,
    damage: Damage,
) -> list[list[Windows]]:  # fmt: skip
    """For each ref its stored parts that overlap [t_min, t_max]."""
    return [read_window_parts(connection, int(ref), level_ms, t_min, t_max, damage) for ref in refs]


def levels(connection: sqlite3.Connection) -> list[int]:
    """Levels that there are windows of, in ms, finest first."""
    rows = connection.execute("SELECT key FROM meta WHERE key GLOB 'windows_*' AND value > 0")
    return sorted(int(key.removeprefix("windows_")) for (key,) in rows)


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
) -> int:
    """Store each part in place of what its span held; the bytes written.

    The caller holds a transaction.
    """
    rows: Counter[int] = Counter()
    written = 0
    for ref, windows in parts:
        level = windows.level_ms
        span = span_of(windows)
        if span is None:
            continue
        start, end = span
        for number, t_end in connection.execute(
            "SELECT id, t_end FROM windows WHERE ref = ? AND level = ? AND t_end > ? AND t_min < ?",
            (int(ref), level, start, end),
        ).fetchall():
            for kept, kept_end in _outside(connection, number, t_end, ref, level, span, damage):
                written += _insert(connection, int(ref), kept, kept_end, rows)
            connection.execute("DELETE FROM windows WHERE id = ?", (number,))
            rows[level] -= 1
        written += _insert(connection, int(ref), windows, end, rows)
    bump(connection, **{f"windows_{level}": n for level, n in rows.items()})
    return written


def span_of(windows: Windows) -> tuple[int, int] | None:
    """The time that windows speak for; ``None`` if they are empty and name none."""
    if windows.span_ms is not None or not len(windows):
        return windows.span_ms
    return int(windows.start_ms[0]), int(windows.start_ms[-1]) + windows.level_ms


def _outside(
    connection: sqlite3.Connection, number: int, t_end: int, ref: int, level: int,
    span: tuple[int, int], damage: Damage,
) -> list[tuple[Windows, int]]:  # fmt: skip
    """The windows of a row before and after ``span``, each with the end of what it holds."""
    try:
        n, body = connection.execute(
            "SELECT n, body FROM windows WHERE id = ?", (number,)
        ).fetchone()
        windows = decode_windows(body, level, n)
    except DamagedRecord as error:
        damage.found(f"rollup {number} of series {ref}, level {level} ms", str(error))
        return []
    before = cut(windows, -(2**62), span[0] - 1)
    return [(before, min(t_end, span[0])), (cut(windows, span[1], 2**62), t_end)]


def _insert(
    connection: sqlite3.Connection, ref: int, windows: Windows, t_end: int, rows: Counter[int]
) -> int:
    level, n, written = windows.level_ms, len(windows), 0
    for at in range(0, n, ROW_WINDOWS):
        last = min(at + ROW_WINDOWS, n)
        part = cut(windows, int(windows.start_ms[at]), int(windows.start_ms[last - 1]))
        end = t_end if last == n else int(part.start_ms[-1]) + level
        body = encode_windows(part)
        row = (level, ref, end, int(part.start_ms[0]), len(part), body)
        connection.execute(_INSERT, row)
        rows[level] += 1
        written += len(body)
    return written


class LateSpan(tuple[Ref, int, int]):
    """(ref, t_min, t_max), and how many batches had brought late samples when it was read."""

    notes: int


def note_late(connection: sqlite3.Connection, piece: Piece) -> None:
    """Remember that samples came behind a sealed chunk; the caller holds a transaction."""
    order = np.argsort(piece.refs, kind="stable")
    refs, t_ms = piece.refs[order], piece.t_ms[order]
    starts = np.flatnonzero(np.append(True, refs[1:] != refs[:-1]))
    lows, highs = np.minimum.reduceat(t_ms, starts), np.maximum.reduceat(t_ms, starts)
    connection.executemany(
        "INSERT INTO late VALUES (?, ?, ?, 1) ON CONFLICT (ref) DO UPDATE SET "
        "t_min = min(t_min, excluded.t_min), t_max = max(t_max, excluded.t_max), "
        "notes = notes + 1",
        list(zip(refs[starts].tolist(), lows.tolist(), highs.tolist(), strict=True)),
    )


def late_spans(connection: sqlite3.Connection) -> list[LateSpan]:
    """Spans where late samples came, by ref."""
    out = []
    for ref, low, high, notes in connection.execute("SELECT * FROM late ORDER BY ref"):
        span = LateSpan((Ref(ref), low, high))
        span.notes = notes
        out.append(span)
    return out


def clear_late(connection: sqlite3.Connection, spans: Sequence[tuple[Ref, int, int]]) -> None:
    """Forget spans that were read, but for those that more samples came into since."""
    for span in spans:
        notes = span.notes if isinstance(span, LateSpan) else None
        connection.execute(
            "DELETE FROM late WHERE ref = ? AND t_min = ? AND t_max = ? "
            "AND notes = ifnull(?, notes)",
            (*span, notes),
        )
