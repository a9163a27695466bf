"""Turning what is in the head into compressed chunks, in bounded steps."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph_sqlite.codec import join_times, pack
from barograph_sqlite.head import BLOCK_ROWS, FOREVER, NEVER, Block, Head, Part, Piece, join

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD_BYTES = 64 * 2**20
"""Memory of unsealed samples above which sealing does not wait for full chunks."""

MAX_AGE_MS = 6 * 3600_000
"""Oldest tick of a block that is sealed even if it is not full."""

IDLE_MS = 10 * 60_000
"""A block or a series without a new sample for so long is closed."""

SMALL_ROWS = 120
"""An idle block with fewer ticks becomes loose samples: they join those that follow."""

LOOSE_SAMPLES = 262_144
LOOSE_AGE_MS = 3600_000

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
        total, low, high = float(v.sum()), float(v.min()), float(v.max())
        count = len(v)
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


@attrs.define
class _Job:
    """A frozen block on its way into chunks."""

    block: Block
    columns: NDArray[np.float64]
    times: bytes
    loose: dict[int, Part]
    mine: Piece | None
    at: int = 0
    rows: list[ChunkRow] = attrs.field(factory=list)
    newest: list[tuple[int, int]] = attrs.field(factory=list)


class Sealer:
    """Moves frozen blocks and loose samples into chunks."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._job: _Job | None = None
        self._loose_since: int | None = None

    def close_due(self, now_ms: int) -> None:
        """Freeze blocks that are old, idle, or too much memory together."""
        head = self._head
        for block in list(head.blocks.values()):
            if block.n == 0:
                if len(head.blocks) > 64:
                    head.retire(block)
                continue
            newest, oldest = int(block.times[block.n - 1]), int(block.times[0])
            if now_ms - newest > IDLE_MS:
                head.retire(block)
            elif block.n >= BLOCK_ROWS or now_ms - oldest > MAX_AGE_MS:
                head.freeze(block)
        while len(head.blocks) > 256:
            head.retire(next(iter(head.blocks.values())))
        if head.nbytes > HEAD_BYTES and not head.frozen and head.blocks:
            largest = max(head.blocks.values(), key=lambda b: b.nbytes)
            if largest.n:
                head.freeze(largest)

    def step(
        self, connection: sqlite3.Connection, now_ms: int, deadline: float, clock: object
    ) -> bool:
        """Work until ``deadline`` (of ``clock()``); whether something was sealed."""
        assert callable(clock)
        if self._job is None and not self._next_block(now_ms):
            return self._loose_due(connection, now_ms)
        assert self._job is not None
        self._job.at = self._encode(self._job, deadline, clock)
        if self._job.at < len(self._job.block.refs):
            return False
        self._finish_block(connection)
        return True

    def seal_all(self, connection: sqlite3.Connection) -> None:
        """Seal everything, however few samples a chunk gets."""
        head = self._head
        for block in list(head.blocks.values()):
            if block.n:
                head.freeze(block)
        while self._job is not None or self._next_block(FOREVER, whole=True):
            assert self._job is not None
            self._encode(self._job, float("inf"), lambda: 0.0)
            self._finish_block(connection)
        if head.loose:
            self._seal_loose(connection, NEVER, everything=True)

    # --- blocks -------------------------------------------------------------------------------

    def _next_block(self, now_ms: int, *, whole: bool = False) -> bool:
        head = self._head
        while head.frozen:
            block = head.frozen[0]
            if block.n == 0:
                with head.lock:
                    head.frozen = head.frozen[1:]
            elif block.n < SMALL_ROWS and not whole and head.nbytes < HEAD_BYTES:
                head.dissolve(block)
            else:
                self._job = self._begin(block)
                return True
        return False

    def _begin(self, block: Block) -> _Job:
        loose: dict[int, Part] = {}
        mine = None
        head = self._head
        if head.loose:
            tidy = head.consolidate_fully()
            floor = np.minimum(self._floor(tidy.refs, block), int(block.times[block.n - 1]) + 1)
            take = np.isin(tidy.refs, block.refs) & (tidy.t_ms < floor)
            if take.any():
                mine = Piece(tidy.refs[take], tidy.t_ms[take], tidy.values[take])
                for ref, low, high in _runs(mine.refs):
                    loose[ref] = (mine.t_ms[low:high], mine.values[low:high])
        columns = np.ascontiguousarray(block.values[: block.n].T)
        return _Job(block, columns, pack(block.times[: block.n]), loose, mine)

    def _floor(self, refs: NDArray[np.int64], but: Block | None) -> NDArray[np.int64]:
        """For each of ``refs``, the first time that a block other than ``but`` has of it."""
        floor = np.full(len(refs), FOREVER, np.int64)
        for block in [*self._head.frozen, *self._head.blocks.values()]:
            if block is not but and block.n:
                inside = np.isin(refs, block.refs)
                floor[inside] = np.minimum(floor[inside], int(block.times[0]))
        return floor

    def _encode(self, job: _Job, deadline: float, clock: object) -> int:
        assert callable(clock)
        block, head = job.block, self._head
        times = block.times[: block.n]
        at = job.at
        while at < len(block.refs) and clock() < deadline:
            for i in range(at, min(at + 32, len(block.refs))):
                ref = int(block.refs[i])
                sealed = int(head.sealed[block.slots[i]])
                column: Part = (times, job.columns[i])
                extra = job.loose.get(ref)
                if extra is not None:
                    column = join([column, extra])
                packed = job.times if extra is None else None
                job.rows += _split(ref, column, sealed, packed)
                job.newest.append((int(block.slots[i]), max(sealed, int(column[0][-1]))))
            at = min(at + 32, len(block.refs))
        return at

    def _finish_block(self, connection: sqlite3.Connection) -> None:
        job, head = self._job, self._head
        assert job is not None
        block = job.block
        rest = None
        if job.mine is not None:
            # Samples that came while this was encoded, or belong elsewhere, stay loose.
            tidy = head.consolidate_fully()
            rest = _without(tidy, job.mine)
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(INSERT_CHUNK, job.rows)
            connection.execute(
                "DELETE FROM log WHERE refset = ? AND id BETWEEN ? AND ?",
                (block.refset, block.first_log, block.last_log),
            )
            log_id = self._rewrite_loose(connection, rest) if rest is not None else None
            _count(connection, job.rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._job = None
            raise
        with head.lock:
            head.frozen = [b for b in head.frozen if b is not block]
        if rest is not None:
            head.replace_loose(rest)
            self._loose_rewritten(log_id)
        for slot, newest in job.newest:
            head.sealed[slot] = newest
        self._job = None
        head.forget_idle()

    # --- loose samples --------------------------------------------------------------------------

    def _loose_due(self, connection: sqlite3.Connection, now_ms: int) -> bool:
        head = self._head
        if not head.loose:
            self._loose_since = None
            return False
        if self._loose_since is None or now_ms < self._loose_since:
            self._loose_since = now_ms
        if head.loose < LOOSE_SAMPLES and now_ms - self._loose_since < LOOSE_AGE_MS:
            return False
        self._loose_since = now_ms
        return self._seal_loose(connection, now_ms, everything=False)

    def _seal_loose(self, connection: sqlite3.Connection, now_ms: int, *, everything: bool) -> bool:
        head = self._head
        tidy = head.consolidate_fully()
        slots = head._slots(tidy.refs)
        free = tidy.t_ms < self._floor(tidy.refs, None)
        if not everything:
            crowded = head.loose > LOOSE_SAMPLES
            idle = head.newest[slots] < now_ms - IDLE_MS
            counts = np.bincount(slots)[slots]
            free &= idle | (counts >= (SMALL_ROWS if crowded else BLOCK_ROWS))
            if crowded and free.sum() < len(tidy) // 2:
                free = tidy.t_ms < self._floor(tidy.refs, None)
        if not free.any():
            return False
        mine = Piece(tidy.refs[free], tidy.t_ms[free], tidy.values[free])
        rest = Piece(tidy.refs[~free], tidy.t_ms[~free], tidy.values[~free])
        rows: list[ChunkRow] = []
        newest: list[tuple[int, int]] = []
        for ref, low, high in _runs(mine.refs):
            slot = head.slot(ref)
            assert slot is not None
            sealed = int(head.sealed[slot])
            rows += _split(ref, (mine.t_ms[low:high], mine.values[low:high]), sealed, None)
            newest.append((slot, max(sealed, int(mine.t_ms[high - 1]))))
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(INSERT_CHUNK, rows)
            log_id = self._rewrite_loose(connection, rest)
            _count(connection, rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        head.replace_loose(rest)
        self._loose_rewritten(log_id)
        for slot, time in newest:
            head.sealed[slot] = time
        head.forget_idle()
        return True

    def _rewrite_loose(self, connection: sqlite3.Connection, rest: Piece) -> int:
        """Replace the log rows of all loose samples by one of those that remain."""
        head = self._head
        connection.execute("DELETE FROM log WHERE refset IS NULL")
        for refset, first, last in head.dissolved:
            connection.execute(
                "DELETE FROM log WHERE refset = ? AND id BETWEEN ? AND ?", (refset, first, last)
            )
        if not len(rest):
            return 0
        cursor = connection.execute(
            "INSERT INTO log (refset, t, body) VALUES (NULL, NULL, ?)", (loose_body(rest),)
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _loose_rewritten(self, log_id: int | None) -> None:
        self._head.dissolved = []
        self._head.loose_log = log_id or 0


def loose_body(piece: Piece) -> bytes:
    """A log row of loose samples: refs, times, values."""
    return piece.refs.tobytes() + piece.t_ms.tobytes() + piece.values.tobytes()


def loose_from(body: bytes) -> Piece:
    n = len(body) // 24
    return Piece(
        np.frombuffer(body, np.int64, n),
        np.frombuffer(body, np.int64, n, 8 * n),
        np.frombuffer(body, np.float64, n, 16 * n),
    )


def _split(ref: int, column: Part, sealed: int, packed: bytes | None) -> list[ChunkRow]:
    t_ms, values = column
    cut = int(np.searchsorted(t_ms, sealed, "right")) if t_ms[0] <= sealed else 0
    rows = chunk_rows(ref, t_ms[:cut], values[:cut], 1, None) if cut else []
    if cut < len(t_ms):
        rows += chunk_rows(ref, t_ms[cut:], values[cut:], 0, packed if cut == 0 else None)
    return rows


def _runs(refs: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(ref, start, end) of each run in sorted ``refs``."""
    if not len(refs):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(refs)) + 1).tolist(), len(refs)]
    return [(int(refs[a]), a, b) for a, b in zip(cuts, cuts[1:], strict=False)]


def _without(piece: Piece, taken: Piece) -> Piece:
    """``piece`` without the samples of ``taken`` (equal ref, time and bits); both sorted."""
    kind = np.dtype([("r", np.int64), ("t", np.int64), ("v", np.int64)])

    def rows(p: Piece) -> NDArray[np.void]:
        out = np.empty(len(p), kind)
        out["r"], out["t"], out["v"] = p.refs, p.t_ms, p.values.view(np.int64)
        return out

    keep = ~np.isin(rows(piece), rows(taken))
    return Piece(piece.refs[keep], piece.t_ms[keep], piece.values[keep])


def _count(connection: sqlite3.Connection, rows: list[ChunkRow]) -> None:
    bump(connection, chunks=len(rows), samples=sum(row[4] for row in rows))
    bump(connection, late_chunks=sum(row[1] for row in rows), generation=1)


def bump(connection: sqlite3.Connection, **counts: int) -> None:
    """Add to counters in ``meta``."""
    for key, n in counts.items():
        if n:
            connection.execute(
                "INSERT INTO meta VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
                (key, n),
            )
