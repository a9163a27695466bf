"""Turning what is in the head into compressed chunks, in bounded steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph_sqlite import log
from barograph_sqlite.block import BLOCK_ROWS, Block
from barograph_sqlite.chunks import (
    ChunkRow,
    Small,
    all_there,
    insert,
    remove,
    smaller,
    split_rows,
)
from barograph_sqlite.codec import pack
from barograph_sqlite.head import FOREVER, MAX_BLOCKS, Head
from barograph_sqlite.loose import Part, Piece, join, runs, without

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD_BYTES = 64 * 2**20
"""Memory of unsealed samples above which sealing does not wait for full chunks."""

MAX_AGE_MS = 1800_000
"""Oldest tick of a block that is sealed even if it is not full, so that memory is at its height
soon, however seldom ticks come. What is too little for a chunk joins the one before."""

IDLE_MS = 10 * 60_000
"""A block or a series without a new sample for so long is closed."""

SMALL_ROWS = 120
"""An idle block with fewer ticks becomes loose samples: they join those that follow."""

LOOSE_SAMPLES = 65_536
LOOSE_PER_SERIES = 12
LOOSE_AGE_MS = 1800_000
"""Number (also for each series that the head knows) and age of loose samples that begin to be
sealed on their own. What is too little for a chunk joins the one before."""

LOOSE_SERIES = 1000
"""Series whose loose samples are sealed in one step."""

LOOSE_RETRY_MS = 60_000
"""Pause when no loose sample can be sealed yet."""

MAX_TOLD = 200_000
"""Series in ``take_sealed``; those beyond it are rolled up when they are asked for, or go."""


@attrs.define
class _Job:
    """A frozen block on its way into chunks."""

    block: Block
    times: bytes
    room: int  # samples of a chunk before that are taken in; 0: when time is short
    loose: dict[int, Part]
    mine: Piece | None
    at: int = 0
    rows: list[ChunkRow] = attrs.field(factory=list)
    newest: list[tuple[int, int]] = attrs.field(factory=list)
    replaced: list[Small] = attrs.field(factory=list)


class Sealer:
    """Moves frozen blocks and loose samples into chunks."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._job: _Job | None = None
        self._loose_since: int | None = None
        self._loose_retry: int | None = None
        self._loose_more = False
        self._sealed: set[int] = set()

    def take_sealed(self) -> list[int]:
        """Refs that got chunks since the last call."""
        out = sorted(self._sealed)
        self._sealed.clear()
        return out

    def close_due(self, now_ms: int) -> None:
        """Freeze blocks that are old, idle, or too much memory together."""
        head = self._head
        for block in list(head.blocks.values()):
            if block.n == 0:
                if len(head.blocks) > MAX_BLOCKS // 4:
                    head.retire(block)
                continue
            newest, oldest = int(block.times[block.n - 1]), int(block.times[0])
            if now_ms - newest > IDLE_MS:
                head.retire(block)
            elif block.n >= BLOCK_ROWS or now_ms - oldest > MAX_AGE_MS:
                head.freeze(block)
        while len(head.blocks) > MAX_BLOCKS:
            head.retire(next(iter(head.blocks.values())))
        if head.nbytes > HEAD_BYTES and not head.frozen:
            self._freeze_largest(head.nbytes // 8)

    def step(
        self, connection: sqlite3.Connection, now_ms: int, deadline: float,
        clock: Callable[[], float],
    ) -> bool:  # fmt: skip
        """Work until ``deadline`` (of ``clock()``); whether something was sealed."""
        if self._job is None and not self._next_block(whole=self._head.nbytes > HEAD_BYTES):
            return self._loose_due(connection, now_ms)
        assert self._job is not None
        self._encode(self._job, connection, deadline, clock)
        if self._job.at < len(self._job.block.refs):
            return False
        self._finish_block(connection)
        return True

    def relieve(self, connection: sqlite3.Connection) -> None:
        """Seal until the head is below ``HEAD_BYTES``, however long it takes."""
        head = self._head
        while head.nbytes > HEAD_BYTES:
            if self._job is not None or self._next_block(whole=True):
                assert self._job is not None
                self._encode(self._job, connection, float("inf"), lambda: 0.0)
                self._finish_block(connection)
            elif not (
                self._freeze_largest(head.nbytes // 8)
                or self._seal_loose(connection, FOREVER)
                or self._freeze_largest(1)
            ):
                return

    def seal_all(self, connection: sqlite3.Connection) -> None:
        """Seal everything, however few samples a chunk gets."""
        head = self._head
        for block in list(head.blocks.values()):
            head.retire(block)
        while self._job is not None or self._next_block(whole=True):
            assert self._job is not None
            self._encode(self._job, connection, float("inf"), lambda: 0.0)
            self._finish_block(connection)
        while head.loose and self._seal_loose(connection, FOREVER):
            pass

    # --- blocks -------------------------------------------------------------------------------

    def _freeze_largest(self, least: int) -> bool:
        """Freeze the largest block if it has ``least`` bytes; whether it did."""
        head = self._head
        largest = max(head.blocks.values(), key=lambda b: b.nbytes, default=None)
        if largest is None or largest.nbytes < max(least, 1):
            return False
        head.freeze(largest)
        return True

    def _next_block(self, *, whole: bool) -> bool:
        """Begin with the next frozen block; small ones are dissolved, unless ``whole``."""
        head = self._head
        with head.lock:
            head.frozen = [block for block in head.frozen if block.n]
        if not whole:
            small = [block for block in head.frozen if block.n < SMALL_ROWS]
            if small:
                head.dissolve(small)
        if not head.frozen:
            return False
        block = head.frozen[0]
        self._job = self._begin(block, 0 if whole else BLOCK_ROWS - block.n)
        return True

    def _begin(self, block: Block, room: int) -> _Job:
        loose: dict[int, Part] = {}
        mine = None
        head = self._head
        if head.loose:
            tidy = head.consolidate()
            floor = np.minimum(self._floor(tidy.refs, block), int(block.times[block.n - 1]) + 1)
            take = np.isin(tidy.refs, block.refs) & (tidy.t_ms < floor)
            if take.any():
                mine = Piece(tidy.refs[take], tidy.t_ms[take], tidy.values[take])
                for ref, low, high in runs(mine.refs):
                    loose[ref] = (mine.t_ms[low:high], mine.values[low:high])
        return _Job(block, pack(block.times[: block.n]), room, loose, mine)

    def _floor(self, refs: NDArray[np.int64], but: Block | None) -> NDArray[np.int64]:
        """For each of the sorted ``refs``, the first time that a block other than ``but`` has."""
        head = self._head
        found = runs(refs)
        slots = head.slots(np.array([ref for ref, _, _ in found], np.int64))
        floor = np.full(len(head.newest), FOREVER, np.int64)
        for block in head.all_blocks():
            if block is not but and block.n:
                floor[block.slots] = np.minimum(floor[block.slots], int(block.times[0]))
        return np.repeat(floor[slots], [end - start for _, start, end in found])

    def _encode(
        self, job: _Job, connection: sqlite3.Connection, deadline: float,
        clock: Callable[[], float],
    ) -> None:  # fmt: skip
        while job.at < len(job.block.refs) and clock() < deadline:
            end = min(job.at + 32, len(job.block.refs))
            try:
                self._encode_columns(job, connection, end)
            except BaseException:
                self._job = None  # its rows are there in part: it is begun again
                raise
            job.at = end

    def _encode_columns(self, job: _Job, connection: sqlite3.Connection, end: int) -> None:
        """Rows for the columns of ``job`` before ``end``."""
        block, head = job.block, self._head
        times = block.times[: block.n]
        columns = np.ascontiguousarray(block.values[: block.n, job.at : end].T)
        for i in range(job.at, end):
            ref = int(block.refs[i])
            sealed = int(head.sealed[block.slots[i]])
            column: Part = (times, columns[i - job.at])
            extra = job.loose.get(ref)
            if extra is not None:
                column = join([column, extra])
            small = smaller(connection, ref, sealed, column, job.room)
            if small is not None:
                job.replaced.append(small)
                column, sealed = join([small.part, column]), small.before
            packed = job.times if extra is None and small is None else None
            job.rows += split_rows(ref, column, sealed, packed)
            job.newest.append((ref, max(sealed, int(column[0][-1]))))

    def _finish_block(self, connection: sqlite3.Connection) -> None:
        job, head = self._job, self._head
        assert job is not None
        self._job = None  # if this fails, the block is encoded again
        block = job.block
        # Samples that came while this was encoded, or belong elsewhere, stay loose.
        rest = None if job.mine is None else without(head.consolidate(), job.mine)
        if not all_there(connection, job.replaced):
            return  # retention took one meanwhile
        connection.execute("BEGIN IMMEDIATE")
        try:
            remove(connection, job.replaced)
            insert(connection, job.rows)
            _unlog(connection, [(refset, *rows) for refset, rows in block.log.items()])
            if rest is not None:
                self._rewrite_loose(connection, rest)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        with head.lock:
            head.frozen = [b for b in head.frozen if b is not block]
        if rest is not None:
            head.dissolved = []
            head.replace_loose(rest)
        self._loose_retry = None
        self._done(job.newest)

    def _done(self, newest: list[tuple[int, int]]) -> None:
        """Take note of (ref, newest sealed time) of what was sealed."""
        head = self._head
        for ref, time in newest:
            slot = head.slot(ref)
            assert slot is not None
            head.sealed[slot] = time
        if len(self._sealed) < MAX_TOLD:
            self._sealed.update(ref for ref, _ in newest)
        head.forget_idle()

    # --- loose samples --------------------------------------------------------------------------

    def _loose_due(self, connection: sqlite3.Connection, now_ms: int) -> bool:
        head = self._head
        if not head.loose:
            self._loose_since = None
            return False
        if self._loose_since is None or now_ms < self._loose_since:
            self._loose_since = now_ms
        if self._loose_retry is not None and abs(now_ms - self._loose_retry) < LOOSE_RETRY_MS:
            return False
        due = self._crowded() or now_ms - self._loose_since >= LOOSE_AGE_MS
        if not (due or self._loose_more):
            return False
        if self._seal_loose(connection, now_ms):
            return True
        self._loose_since = self._loose_retry = now_ms
        return False

    def _crowded(self) -> bool:
        head = self._head
        return head.loose >= max(LOOSE_SAMPLES, LOOSE_PER_SERIES * head.active())

    def _seal_loose(self, connection: sqlite3.Connection, now_ms: int) -> bool:
        """Seal the loose samples of some series that are worth a chunk; whether there were any.

        With ``now_ms`` FOREVER all series are idle, and each is worth one.
        """
        head = self._head
        tidy = head.consolidate()
        possible = tidy.t_ms < self._floor(tidy.refs, None)
        crowded = self._crowded()
        if now_ms == FOREVER:
            free = possible
        else:
            refs, counts = np.unique(tidy.refs, return_counts=True)
            slots = head.slots(refs)
            worth = (head.newest[slots] < now_ms - IDLE_MS) | (
                counts >= (SMALL_ROWS if crowded else BLOCK_ROWS)
            )
            free = possible & np.repeat(worth, counts)
            if crowded and int(free.sum()) < len(tidy) // 2:
                free = possible
        found = runs(tidy.refs[free])
        self._loose_more = len(found) > LOOSE_SERIES
        if self._loose_more:
            free &= tidy.refs < found[LOOSE_SERIES][0]
            del found[LOOSE_SERIES:]
        if not found:
            return False
        t_ms, values = tidy.t_ms[free], tidy.values[free]
        rest = Piece(tidy.refs[~free], tidy.t_ms[~free], tidy.values[~free])
        rows: list[ChunkRow] = []
        newest: list[tuple[int, int]] = []
        replaced: list[Small] = []
        for ref, low, high in found:
            slot = head.slot(ref)
            assert slot is not None
            sealed = int(head.sealed[slot])
            newest.append((ref, max(sealed, int(t_ms[high - 1]))))
            column = (t_ms[low:high], values[low:high])
            room = 0 if now_ms == FOREVER else BLOCK_ROWS - len(column[0])
            small = smaller(connection, ref, sealed, column, room)
            if small is not None:
                replaced.append(small)
                column, sealed = join([small.part, column]), small.before
            rows += split_rows(ref, column, sealed, None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            remove(connection, replaced)
            insert(connection, rows)
            self._rewrite_loose(connection, rest)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        head.dissolved = []
        head.replace_loose(rest)
        self._loose_since = None
        self._done(newest)
        return True

    def _rewrite_loose(self, connection: sqlite3.Connection, rest: Piece) -> None:
        """Replace the log rows of all loose samples by one of those that remain."""
        connection.execute("DELETE FROM log WHERE refset IS NULL")
        _unlog(connection, self._head.dissolved)
        if len(rest):
            log.write_loose(connection, rest)


def _unlog(connection: sqlite3.Connection, rows: list[tuple[int, int, int]]) -> None:
    connection.executemany("DELETE FROM log WHERE refset = ? AND id BETWEEN ? AND ?", rows)
