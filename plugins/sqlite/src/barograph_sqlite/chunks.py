"""Rows of the table ``chunks``, and the counters that say what is in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph_sqlite.block import BLOCK_ROWS
from barograph_sqlite.codec import DamagedRecord, decode_column, join_times, pack
from barograph_sqlite.damage import Damage
from barograph_sqlite.head import NEVER
from barograph_sqlite.loose import Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

ChunkRow = tuple[
    int, int, int, int, int, int, "float | None", "float | None", "float | None", bytes
]
"""ref, late, t_max, t_min, n, count, sum, low, high, body."""


def chunk_rows(
    ref: int, t_ms: NDArray[np.int64], values: NDArray[np.float64], late: int, times: bytes | None
) -> list[ChunkRow]:
    """Rows of the table ``chunks`` for one series' samples."""
    rows: list[ChunkRow] = []
    for start in range(0, len(t_ms), 3 * BLOCK_ROWS):
        t, v = t_ms[start : start + 3 * BLOCK_ROWS], values[start : start + 3 * BLOCK_ROWS]
        packed = times if times is not None and len(t) == len(t_ms) else pack(t)
        count = len(v)
        with np.errstate(invalid="ignore", over="ignore"):
            total, low, high = float(v.sum()), float(v.min()), float(v.max())
            if total != total:  # some are NaN, or infinities of both signs
                real = v[~np.isnan(v)]
                count = len(real)
                total = float(real.sum()) if count else 0.0
                low, high = (float(real.min()), float(real.max())) if count else (0.0, 0.0)
        stats = (total, low, high) if count else (None, None, None)
        body = join_times(packed, v)
        rows.append((ref, late, int(t[-1]), int(t[0]), len(t), count, *stats, body))
    return rows


INSERT_CHUNK = (
    "INSERT INTO chunks (ref, late, t_max, t_min, n, count, sum, low, high, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def newest_times(
    connection: sqlite3.Connection, refs: NDArray[np.int64], late_too: bool, damage: Damage
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each ref the newest time of any chunk, and of a regular one; NEVER where there is none.

    Where the index is damaged, none is found: what comes is stored all the same.
    """
    newest, sealed = (np.full(len(refs), NEVER, np.int64) for _ in range(2))
    sql = "SELECT max(t_max) FROM chunks WHERE ref = ? AND late = ?"
    for i, ref in enumerate(refs.tolist()):
        try:
            (found,) = connection.execute(sql, (ref, 0)).fetchone()
            if found is not None:
                newest[i] = sealed[i] = found
            if late_too:
                (found,) = connection.execute(sql, (ref, 1)).fetchone()
                newest[i] = max(newest[i], NEVER if found is None else found)
        except sqlite3.DatabaseError as error:
            damage.met(error, "index of chunks")
    return newest, sealed


def oldest_time(connection: sqlite3.Connection, ref: int) -> int:
    """The oldest time of a series' chunks, 0 if there are none."""
    (found,) = connection.execute(
        "SELECT min(t) FROM (SELECT * FROM (SELECT t_min t FROM chunks WHERE ref = ?1 "
        "AND late = 0 ORDER BY t_max LIMIT 1) "
        "UNION ALL SELECT min(t_min) FROM chunks WHERE ref = ?1 AND late = 1)",
        (ref,),
    ).fetchone()
    return found or 0


def split_rows(ref: int, column: Part, sealed: int, packed: bytes | None) -> list[ChunkRow]:
    """Rows of a series' samples: those not newer than ``sealed`` as a late chunk."""
    t_ms, values = column
    cut = int(np.searchsorted(t_ms, sealed, "right")) if t_ms[0] <= sealed else 0
    rows = chunk_rows(ref, t_ms[:cut], values[:cut], 1, None) if cut else []
    if cut < len(t_ms):
        rows += chunk_rows(ref, t_ms[cut:], values[cut:], 0, packed if cut == 0 else None)
    return rows


@attrs.frozen(eq=False)
class Small:
    """A regular chunk that the samples after it join: its row, its samples, and the newest time
    in a regular chunk before it."""

    number: int
    part: Part
    before: int


def smaller(
    connection: sqlite3.Connection, ref: int, sealed: int, column: Part, room: int
) -> Small | None:
    """The series' newest regular chunk, if it has ``room`` samples at most and ends at ``sealed``,
    before ``column``. One that is damaged stays as it is."""
    if room <= 0 or sealed == NEVER or column[0][0] <= sealed:
        return None
    rows = connection.execute(
        "SELECT id, t_max, n FROM chunks WHERE ref = ? AND late = 0 ORDER BY t_max DESC LIMIT 2",
        (ref,),
    ).fetchall()
    if not rows or rows[0][1] != sealed or rows[0][2] > room:
        return None
    number, _, n = rows[0]
    (body,) = connection.execute("SELECT body FROM chunks WHERE id = ?", (number,)).fetchone()
    try:
        found = decode_column(body, n)
    except DamagedRecord:
        return None
    return Small(number, (found.t_ms, found.values), rows[1][1] if len(rows) > 1 else NEVER)


def all_there(connection: sqlite3.Connection, replaced: Sequence[Small]) -> bool:
    """Whether the chunks are still in the file."""
    sql = "SELECT 1 FROM chunks WHERE id = ?"
    return all(connection.execute(sql, (small.number,)).fetchone() for small in replaced)


def remove(connection: sqlite3.Connection, replaced: Sequence[Small]) -> None:
    """Drop chunks whose samples are in others now; the caller holds a transaction."""
    connection.executemany("DELETE FROM chunks WHERE id = ?", [(s.number,) for s in replaced])
    bump(connection, chunks=-len(replaced), samples=-sum(len(s.part[0]) for s in replaced))


def insert(connection: sqlite3.Connection, rows: list[ChunkRow]) -> None:
    """Store chunks and count them; the caller holds a transaction."""
    connection.executemany(INSERT_CHUNK, rows)
    bump(
        connection, chunks=len(rows), samples=sum(row[4] for row in rows),
        late_chunks=sum(row[1] for row in rows), generation=1,
    )  # fmt: skip


def bump(connection: sqlite3.Connection, **counts: int) -> None:
    """Add to counters in ``meta``."""
    for key, n in counts.items():
        if n:
            connection.execute(
                "INSERT INTO meta VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
                (key, n),
            )


def counter(connection: sqlite3.Connection, key: str) -> int:
    """A counter in ``meta``."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return 0 if row is None else int(row[0])
