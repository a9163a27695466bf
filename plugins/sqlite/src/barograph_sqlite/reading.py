"""Reading chunks and rollup windows, around whatever is damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import attrs

from barograph.model import Windows
from barograph_sqlite.codec import DamagedRecord, decode_column, decode_windows
from barograph_sqlite.damage import Damage
from barograph_sqlite.loose import Part


@attrs.frozen
class _Query:
    """A query for rows, and the same for their ids only and for one row by its id."""

    rows: str
    ids: str
    one: str

    @classmethod
    def of(cls, columns: str, table: str, rest: str) -> _Query:
        return cls(
            f"SELECT {columns} FROM {table} {rest}",  # noqa: S608 — of the constants below
            f"SELECT id FROM {table} {rest}",  # noqa: S608
            f"SELECT {columns} FROM {table} WHERE id = ?",  # noqa: S608
        )


_CHUNK = "id, t_min, t_max, n, body"
_REGULAR = _Query.of(_CHUNK, "chunks", "WHERE ref = ? AND late = 0 AND t_max >= ? ORDER BY t_max")
_LATE = _Query.of(_CHUNK, "chunks", "WHERE ref = ? AND late = 1 AND t_max >= ? ORDER BY id")
_WINDOWS = _Query.of(
    "id, t_min, n, body", "windows", "WHERE ref = ? AND level = ? AND t_end > ? ORDER BY t_end"
)


def read_chunks(
    connection: sqlite3.Connection, ref: int, t_min: int, t_max: int, late: bool, damage: Damage
) -> list[Part]:
    """A series' samples in [t_min, t_max] in sealed chunks, the later written parts last."""
    parts: list[Part] = []
    where = f"series {ref}"

    def take(row: tuple[int, int, int, int, bytes]) -> bool:
        if row[1] > t_max:
            return False
        part = _part(row, ref, t_min, t_max, damage)
        if part is not None and len(part[0]):
            parts.append(part)
        return True

    _read(connection, _REGULAR, (ref, t_min), take, where, damage)
    if late:  # these may overlap: none of them says that the next lies after the range
        _read(connection, _LATE, (ref, t_min), lambda row: take(row) or True, where, damage)
    return parts


def _part(
    row: tuple[int, int, int, int, bytes], ref: int, t_min: int, t_max: int, damage: Damage
) -> Part | None:
    chunk, first, last, n, body = row
    try:
        column = decode_column(body, n)
    except DamagedRecord as error:
        damage.found(f"chunk {chunk} of series {ref}, {first}..{last} ms", str(error))
        return None
    t_ms, values = column.t_ms, column.values
    if first < t_min or last > t_max:
        low, high = t_ms.searchsorted(t_min), t_ms.searchsorted(t_max, "right")
        t_ms, values = t_ms[low:high], values[low:high]
    return t_ms, values


def _read(
    connection: sqlite3.Connection, query: _Query, arguments: tuple[int, ...],
    take: Callable[[Any], bool], what: str, damage: Damage,
) -> None:  # fmt: skip
    """Feed rows to ``take`` until it says False; around damaged pages, row by row."""
    done: set[int] = set()
    try:
        for row in connection.execute(query.rows, arguments):
            if not take(row):
                return
            done.add(row[0])
        return
    except sqlite3.DatabaseError as error:
        damage.met(error, what)
    try:
        ids = [number for (number,) in connection.execute(query.ids, arguments)]
    except sqlite3.DatabaseError as error:
        damage.met(error, f"{what}, index")
        return
    for number in ids:
        if number in done:
            continue
        try:
            row = connection.execute(query.one, (number,)).fetchone()
        except sqlite3.DatabaseError as error:
            damage.met(error, f"{what}, row {number}")
            continue
        if row is not None and not take(row):
            return


def read_window_parts(
    connection: sqlite3.Connection, ref: int, level_ms: int, t_min: int, t_max: int, damage: Damage
) -> list[Windows]:
    """Stored windows of one series that overlap [t_min, t_max], in time order."""
    parts: list[Windows] = []
    start = t_min // level_ms * level_ms

    def take(row: tuple[int, int, int, bytes]) -> bool:
        number, first, n, body = row
        if first > t_max:
            return False
        try:
            windows = decode_windows(body, level_ms, n)
        except DamagedRecord as error:
            damage.found(f"rollup {number} of series {ref}, level {level_ms} ms", str(error))
            return True
        part = cut(windows, start, t_max)
        if len(part):
            parts.append(part)
        return True

    where = f"rollups of series {ref}"
    _read(connection, _WINDOWS, (ref, level_ms, start), take, where, damage)
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
