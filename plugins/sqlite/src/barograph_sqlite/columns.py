"""Reading many series at once: one statement for their chunks, few arrays for their samples."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import NDArray

from barograph.columns import Columns, Spend
from barograph_sqlite.codec import DamagedRecord, split_column, unpack_times, unpack_values
from barograph_sqlite.damage import Damage
from barograph_sqlite.decoded import Decoded
from barograph_sqlite.head import Snapshot, parts_of
from barograph_sqlite.loose import Part, join
from barograph_sqlite.reading import read_chunks

AT_ONCE = 256
"""Series whose chunks are in memory at once; what they hold is told before the next ones."""

TOLD_AT_ONCE = 100_000
"""Samples of chunks that are told together, before any of them is decoded."""

Row = tuple[int, int, int, int, int, bytes]
"""ref, id, t_min, t_max, n, body."""

_REGULAR = (
    "SELECT ref, id, t_min, t_max, n, body FROM chunks INDEXED BY chunks_by_time "
    "WHERE ref IN (SELECT value FROM json_each(?1)) AND late = 0 AND t_max BETWEEN ?2 AND ?3 "
    # Regular chunks do not overlap: of those that end later, only the first may begin in time.
    "UNION ALL SELECT ref, id, t_min, t_max, n, body FROM chunks WHERE t_min <= ?3 AND id IN ("
    "SELECT (SELECT c.id FROM chunks c INDEXED BY chunks_by_time WHERE c.ref = j.value "
    "AND c.late = 0 AND c.t_max > ?3 ORDER BY c.t_max LIMIT 1) FROM json_each(?1) j)"
)
_LATE = (
    "SELECT ref, id, t_min, t_max, n, body FROM chunks INDEXED BY chunks_by_time "
    "WHERE ref IN (SELECT value FROM json_each(?1)) AND late = 1 AND t_max >= ?2 AND t_min <= ?3"
)


def read_columns(
    connection: sqlite3.Connection, head: Snapshot, refs: NDArray[np.int64],
    t_min: int, t_max: int, late: bool, damage: Damage, decoded: Decoded, spend: Spend,
) -> Columns:  # fmt: skip
    """The samples of ``refs`` in [t_min, t_max], sealed or in ``head``."""
    if head_grid := _only_block(head, refs, t_min, t_max):
        times, grid = head_grid
        if not _any_chunk(connection, refs, t_min, t_max, late):
            spend(grid.size)
            return Columns.shared(times, grid)
    gather = _Gather(t_min, t_max, damage, decoded)
    for first in range(0, len(refs), AT_ONCE):
        some = refs[first : first + AT_ONCE]
        foretold = _Foretold(spend)
        sealed = _chunks(connection, some, t_min, t_max, late, gather, foretold)
        loose = parts_of(head, some, t_min, t_max)
        count = 0
        for ref in some.tolist():
            parts = sealed.get(ref, [])
            count += gather.add(parts + loose[ref] if ref in loose else parts)
        spend(count - foretold.samples)
    return gather.columns()


def count_chunks(
    connection: sqlite3.Connection, refs: NDArray[np.int64], t_min: int, t_max: int
) -> int:
    """How many chunks of ``refs`` have samples in the range, or around it."""
    sql = (
        "SELECT count(*) FROM json_each(?1) j JOIN chunks c INDEXED BY chunks_by_time "
        "ON c.ref = j.value AND c.late IN (0, 1) AND c.t_max >= ?2 WHERE c.t_min <= ?3"
    )
    found = connection.execute(sql, (json.dumps(refs.tolist()), t_min, t_max)).fetchone()
    return int(found[0])


def _only_block(
    head: Snapshot, refs: NDArray[np.int64], t_min: int, t_max: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Times and values of the block that holds all the head has of ``refs`` in the range, if
    there is one with all of them."""
    for piece in (*head.early, head.tidy, *head.recent):
        if ((piece.t_ms >= t_min) & (piece.t_ms <= t_max)).any():
            return None
    found = None
    for block, n in head.blocks:
        low = int(np.searchsorted(block.times[:n], t_min))
        high = int(np.searchsorted(block.times[:n], t_max, "right"))
        if low == high:
            continue
        columns = block.find(refs)
        inside = columns >= 0
        if not inside.any():
            continue
        if found is not None or not inside.all():
            return None
        found = block, low, high, columns
    if found is None:
        return None
    block, low, high, columns = found
    return block.times[low:high], block.values[low:high].take(columns, axis=1)


def _any_chunk(
    connection: sqlite3.Connection, refs: NDArray[np.int64], t_min: int, t_max: int, late: bool
) -> bool:
    """Whether any of ``refs`` has a chunk that may hold samples of the range. False only if it is
    known that none has."""
    asked = json.dumps(refs.tolist())
    sql = (
        "SELECT 1 FROM json_each(?1) j JOIN chunks c INDEXED BY chunks_by_time "
        "ON c.ref = j.value AND c.late <= ?3 AND c.t_max >= ?2 LIMIT 1"
    )
    try:
        newest = connection.execute("SELECT max(t_max) FROM chunks").fetchone()[0]
        if newest is None or newest < t_min:
            return False
        return connection.execute(sql, (asked, t_min, int(late))).fetchone() is not None
    except sqlite3.DatabaseError:
        return True  # what is damaged is met, and told, by the reading that follows


def _chunks(
    connection: sqlite3.Connection, refs: NDArray[np.int64], t_min: int, t_max: int, late: bool,
    gather: _Gather, foretold: _Foretold,
) -> dict[int, list[Part]]:  # fmt: skip
    """For each ref its parts in sealed chunks, the later written ones last."""
    asked = json.dumps(refs.tolist()), t_min, t_max
    try:
        rows = foretold.rows(connection.execute(_REGULAR, asked), t_min, t_max)
        behind: list[Row] = []
        if late:
            behind = foretold.rows(connection.execute(_LATE, asked), t_min, t_max)
    except sqlite3.DatabaseError:
        # A damaged page: series by series, around it.
        damage = gather.damage
        return {
            ref: read_chunks(connection, ref, t_min, t_max, late, damage) for ref in refs.tolist()
        }
    out: dict[int, list[Part]] = {}
    rows.sort(key=lambda row: row[3])
    behind.sort(key=lambda row: row[1])
    for row in itertools.chain(rows, behind):
        part = gather.part(row)
        if part is not None and len(part[0]):
            out.setdefault(row[0], []).append(part)
    return out


@attrs.define(eq=False)
class _Foretold:
    """Tells of samples while their chunks are still packed: a few bytes may hold very many.

    ``samples``: those told. Chunks that lie in the range in part only are not among them.
    """

    _spend: Spend
    samples: int = 0
    _untold: int = 0

    def rows(self, found: Iterable[Row], t_min: int, t_max: int) -> list[Row]:
        """The rows. Raises what ``spend`` raises."""
        out: list[Row] = []
        for row in found:
            out.append(row)
            if row[2] >= t_min and row[3] <= t_max:
                self._untold += row[4]
                if self._untold >= TOLD_AT_ONCE:
                    self._tell()
        self._tell()
        return out

    def _tell(self) -> None:
        count, self._untold = self._untold, 0
        self.samples += count
        if count:
            self._spend(count)


@attrs.define(eq=False)
class _Gather:
    """Columns as they are read. Series that share their times share the arrays of them, so that
    a look at identities finds a grid."""

    t_min: int
    t_max: int
    damage: Damage
    decoded: Decoded
    _columns: list[Part] = attrs.field(factory=list)
    # What is asked of an array of times, by its id(): the array is kept, so that no other gets it.
    _cuts: dict[int, tuple[NDArray[np.int64], int, int, NDArray[np.int64]]] = attrs.field(
        factory=dict
    )
    _joined: dict[tuple[int, ...], tuple[NDArray[np.int64], list[NDArray[np.int64]]]] = attrs.field(
        factory=dict
    )

    def part(self, row: Row) -> Part | None:
        """The samples of a chunk that are in the range; ``None`` if it is damaged."""
        ref, chunk, first, last, n, body = row
        key = chunk, n, body[:4]
        whole = self.decoded.get(key)
        if whole is None:
            try:
                packed, rest = split_column(body, n)
                whole = unpack_times(packed, n), unpack_values(rest, n)
            except DamagedRecord as error:
                self.damage.found(f"chunk {chunk} of series {ref}, {first}..{last} ms", str(error))
                return None
            self.decoded.put(key, whole)
        t_ms, values = whole
        if first >= self.t_min and last <= self.t_max:
            return whole
        cut = self._cuts.get(id(t_ms))
        if cut is None:
            low, high = (
                int(t_ms.searchsorted(self.t_min)),
                int(t_ms.searchsorted(self.t_max, "right")),
            )
            cut = self._cuts[id(t_ms)] = t_ms[low:high], low, high, t_ms
        return cut[0], values[cut[1] : cut[2]]

    def add(self, parts: list[Part]) -> int:
        """The next series' parts; how many samples they are."""
        if len(parts) > 1:
            part = self._join(parts)
        else:
            part = parts[0] if parts else join([])
        self._columns.append(part)
        return len(part[0])

    def _join(self, parts: list[Part]) -> Part:
        key = tuple(id(t) for t, _ in parts)
        known = self._joined.get(key)
        if known is None:
            if any(a[-1] >= b[0] for (a, _), (b, _) in itertools.pairwise(parts)):
                return join(parts)
            arrays = [t for t, _ in parts]  # kept, so that no other array gets their identity
            known = self._joined[key] = np.concatenate(arrays), arrays
        return known[0], np.concatenate([v for _, v in parts])

    def columns(self) -> Columns:
        columns = self._columns
        if columns and len(columns[0][0]) and _same([t for t, _ in columns]):
            flat = np.concatenate([v for _, v in columns])
            n = len(columns[0][0])
            return Columns.shared(columns[0][0], np.ascontiguousarray(flat.reshape(-1, n).T))
        offsets = np.zeros(len(columns) + 1, np.int64)
        np.cumsum([len(t) for t, _ in columns], out=offsets[1:])
        t_ms = np.concatenate([t for t, _ in columns] or [np.empty(0, np.int64)])
        values = np.concatenate([v for _, v in columns] or [np.empty(0, np.float64)])
        return Columns.flat(offsets, t_ms, values)


def _same(times: list[NDArray[np.int64]]) -> bool:
    first = times[0]
    known = {id(first)}
    for one in times:
        if id(one) not in known:
            if not np.array_equal(one, first):
                return False
            known.add(id(one))
    return True
