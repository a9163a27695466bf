"""What goes when: by age, by size, to an archive first if wanted; and pages given back."""

from __future__ import annotations

import sqlite3
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from barograph_sqlite.archive import archive
from barograph_sqlite.chunks import bump
from barograph_sqlite.index import add_series, from_text, lost_labels, posting_key
from barograph_sqlite.schema import PAGE_BYTES

if TYPE_CHECKING:
    from barograph_sqlite.store import SqliteStore

EVERY_MS = 60_000
"""How often limits are looked at, when nothing was left to do the last time."""

SWEEP_MS = 3600_000
"""How often series without samples are looked for."""

CHUNKS_AT_ONCE = 500
"""Chunks or rows of windows that go in one transaction."""

STEP_SECONDS = 0.05
"""Time that a step spends on dropping, before it leaves the rest to the next one."""

VACUUM_PAGES = 256
"""Free pages given back in one step."""

FREE_SHARE = 0.05
"""Free pages kept for the log to come, as a share of the file."""

SERIES_AT_ONCE = 5000
"""Series forgotten in one sweep."""

MAX_FORGOTTEN = 5000
"""Forgotten series whose labels are remembered, in case a source still uses them."""

FORGET_REFSETS = (
    "DELETE FROM refsets WHERE id NOT IN (SELECT refset FROM log WHERE refset IS NOT NULL)"
)


@attrs.frozen
class Doomed:
    """A chunk that is about to go."""

    number: int
    ref: int
    t_max: int


class Retention:
    """Holds a store to its limits, a bounded piece of work at each step.

    Before chunks go, their rollups are made (``store.before_drop_callback``), without holding any
    lock of the store: the one who makes them may wait for others that want the store.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._looked_at: int | None = None
        self._swept_at: int | None = None
        self._empty: set[int] = set()
        self._forgotten: OrderedDict[int, str] = OrderedDict()

    def step(self, now_ms: int) -> None:
        """What is due at ``now_ms``."""
        last = self._looked_at
        if last is not None and abs(now_ms - last) < EVERY_MS:
            return
        deadline = time.perf_counter() + STEP_SECONDS
        more = self._by_age(now_ms, deadline) or self._by_size(deadline)
        with self._store.writing() as connection:
            self._forget_refsets(connection)
            more = vacuum(connection) or more
        if self._swept_at is None or abs(now_ms - self._swept_at) >= SWEEP_MS:
            self._swept_at = now_ms
            self.forget_series()
        self._looked_at = None if more else now_ms

    def used(self, refs: set[int]) -> None:
        """Series that a source asked for: they are not forgotten soon."""
        self._empty -= refs

    # --- limits -----------------------------------------------------------------------------------

    def _by_age(self, now_ms: int, deadline: float) -> bool:
        """Drop what is too old; whether there is more."""
        config = self._store.config
        if config is None:
            return False
        align = self._store.drop_align_ms
        raw = (now_ms - int(config.raw_retention * 1000)) // align * align
        rollup = now_ms - int(config.rollup_retention * 1000)
        while self._drop_chunks("WHERE t_max < ?", (raw,)):
            if time.perf_counter() > deadline:
                return True
        while self._drop_windows("WHERE t_end < ?", (rollup,)):
            if time.perf_counter() > deadline:
                return True
        return False

    def _by_size(self, deadline: float) -> bool:
        """Drop the oldest samples, then the oldest rollups, while the file is too large."""
        config = self._store.config
        while config is not None:
            with self._store.writing() as connection:
                excess = size(connection) - config.max_size
            if excess <= 0:
                return False
            if not (self._drop_chunks(excess=excess) or self._drop_windows()):
                return False
            if time.perf_counter() > deadline:
                return True
        return False

    def _drop_chunks(
        self, where: str = "", arguments: tuple[int, ...] = (), excess: int = 2**62
    ) -> int:
        """Drop the oldest chunks, of those that fit ``where``, of ``excess`` bytes; how many."""
        store = self._store
        doomed: list[Doomed] = []
        sql = (
            f"SELECT id, ref, t_max, length(body) FROM chunks {where} "  # noqa: S608 — constants
            f"ORDER BY t_max LIMIT {CHUNKS_AT_ONCE}"
        )
        with store.writing() as connection:
            for *chunk, length in connection.execute(sql, arguments):
                doomed.append(Doomed(*chunk))
                excess -= length
                if excess <= 0:
                    break
        if not doomed:
            return 0
        if store.before_drop_callback is not None:
            refs = sorted({chunk.ref for chunk in doomed})
            store.before_drop_callback(refs, max(chunk.t_max for chunk in doomed))
        with store.writing() as connection:
            doomed = [chunk for chunk in doomed if _is_there(connection, chunk)]
            if doomed and store.config is not None and store.config.archive:
                archive(store, connection, [chunk.number for chunk in doomed])
            if doomed:
                store.transaction(lambda: _delete_chunks(connection, doomed))
                store.dropped(max(chunk.t_max for chunk in doomed) + 1)
        return len(doomed)

    def _drop_windows(self, where: str = "", arguments: tuple[int, ...] = ()) -> int:
        store = self._store
        sql = f"SELECT id, level FROM windows {where} ORDER BY t_end LIMIT {CHUNKS_AT_ONCE}"  # noqa: S608 — constants
        with store.writing() as connection:
            doomed = connection.execute(sql, arguments).fetchall()

            def delete() -> None:
                for number, level in doomed:
                    connection.execute("DELETE FROM windows WHERE id = ?", (number,))
                    bump(connection, **{f"windows_{level}": -1})

            if doomed:
                store.transaction(delete)
        return len(doomed)

    # --- what is left behind ----------------------------------------------------------------------

    def _forget_refsets(self, connection: sqlite3.Connection) -> None:
        live = self._store.live_refsets()
        marks = ",".join("?" * len(live))
        connection.execute(f"{FORGET_REFSETS} AND id NOT IN ({marks})", live)

    def forget_series(self) -> None:
        """Remove series that had neither samples nor rollups in this sweep and the one before."""
        store = self._store
        with store.writing() as connection:
            store.forget_idle()
            empty = {
                ref
                for (ref,) in connection.execute(
                    "SELECT ref FROM series s "
                    "WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.ref = s.ref) "
                    "AND NOT EXISTS (SELECT 1 FROM windows w WHERE w.ref = s.ref)"
                )
                if not store.is_live(ref)
            }
            gone = sorted(empty & self._empty)[:SERIES_AT_ONCE]
            self._empty = empty.difference(gone)
            if gone:
                labels: dict[int, str] = {}
                store.transaction(lambda: labels.update(_delete_series(connection, gone)))
                self._forgotten.update(labels)
                while len(self._forgotten) > MAX_FORGOTTEN:
                    self._forgotten.popitem(last=False)
                store.series_gone(set(gone))

    def revive(self, connection: sqlite3.Connection, refs: set[int]) -> None:
        """Put back series that were forgotten while a source still held their refs.

        The caller holds a transaction.
        """
        for ref in sorted(refs):
            text = self._forgotten.get(ref)
            if text is None:
                text = lost_labels(ref)
                self._store.damage.found(f"series {ref}", "its labels are lost; see its new name")
            add_series(connection, ref, text)


def _is_there(connection: sqlite3.Connection, chunk: Doomed) -> bool:
    """Whether a chunk is still what it was: another thread may have sealed it into a larger one."""
    sql = "SELECT 1 FROM chunks WHERE id = ? AND ref = ? AND t_max = ?"
    return connection.execute(sql, attrs.astuple(chunk)).fetchone() is not None


def _delete_chunks(connection: sqlite3.Connection, doomed: list[Doomed]) -> None:
    samples = late = chunks = 0
    for chunk in doomed:
        row = connection.execute(
            "SELECT n, late FROM chunks WHERE id = ?", (chunk.number,)
        ).fetchone()
        if row is not None:
            chunks, samples, late = chunks + 1, samples + row[0], late + row[1]
            connection.execute("DELETE FROM chunks WHERE id = ?", (chunk.number,))
    bump(connection, chunks=-chunks, samples=-samples, late_chunks=-late, generation=1)
    connection.execute(
        "INSERT INTO meta VALUES ('dropped_until', ?) "
        "ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
        (max(chunk.t_max for chunk in doomed) + 1,),
    )


def _delete_series(connection: sqlite3.Connection, refs: list[int]) -> dict[int, str]:
    """Remove series; their labels."""
    gone: dict[int, str] = {}
    for ref in refs:
        (text,) = connection.execute("SELECT labels FROM series WHERE ref = ?", (ref,)).fetchone()
        gone[ref] = text
        connection.executemany(
            "DELETE FROM postings WHERE key = ? AND ref = ?",
            [(posting_key(k, v), ref) for k, v in from_text(text).pairs],
        )
        connection.execute("DELETE FROM series WHERE ref = ?", (ref,))
        connection.execute("DELETE FROM late WHERE ref = ?", (ref,))
    bump(connection, series=-len(refs))
    return gone


def size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int((pages - free) * PAGE_BYTES)


def vacuum(connection: sqlite3.Connection) -> bool:
    """Give a bounded number of free pages back to the file system; whether there are more."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    surplus = int(free - pages * FREE_SHARE) - 64
    if surplus <= 0:
        return False
    give_back(connection, min(VACUUM_PAGES, surplus))
    return surplus > VACUUM_PAGES


def give_back(connection: sqlite3.Connection, pages: int = 0) -> None:
    """Give ``pages`` free pages back (0: all)."""
    # Not execute(): it takes the first step of a statement without columns, which frees one page.
    connection.executescript(f"PRAGMA incremental_vacuum({pages})")
