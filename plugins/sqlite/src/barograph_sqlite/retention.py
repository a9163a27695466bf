"""What goes when: by age, by size, to an archive first if wanted; and pages given back."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from barograph_sqlite.schema import PAGE_BYTES
from barograph_sqlite.sealing import bump

if TYPE_CHECKING:
    from barograph_sqlite.store import SqliteStore

EVERY_MS = 60_000
"""How often limits are looked at."""

CHUNKS_AT_ONCE = 2000
"""Chunks dropped in one step: bounds the time a step takes."""

VACUUM_PAGES = 256
"""Free pages given back in one step."""

FREE_SHARE = 0.05
"""Free pages kept for the log to come, as a share of the file."""

SWEEP_MS = 3600_000
"""How often chunks are looked for out of the order of writing, and series without samples."""


def enforce(store: SqliteStore, connection: sqlite3.Connection, now_ms: int) -> None:
    """One bounded step of retention and vacuum."""
    config = store.config
    if config is not None:
        cutoff = now_ms - int(config.raw_retention * 1000)
        sweep = now_ms // SWEEP_MS != (now_ms - EVERY_MS) // SWEEP_MS
        order = "" if sweep else "ORDER BY id LIMIT 500"
        old = connection.execute(
            f"SELECT id FROM (SELECT id, t_max FROM chunks {order}) "  # noqa: S608
            "WHERE t_max < ? LIMIT ?",
            (cutoff, CHUNKS_AT_ONCE),
        ).fetchall()
        if old:
            drop(store, connection, [row[0] for row in old])
        connection.execute(
            "DELETE FROM windows WHERE id IN (SELECT id FROM windows WHERE t_end < ? LIMIT ?)",
            (now_ms - int(config.rollup_retention * 1000), CHUNKS_AT_ONCE),
        )
        if size(connection) > config.max_size:
            rows = connection.execute("SELECT id FROM chunks ORDER BY id LIMIT 1000").fetchall()
            drop(store, connection, [row[0] for row in rows])
        if sweep:
            forget_series(store, connection)
    connection.execute("DELETE FROM refsets WHERE id NOT IN "
                       "(SELECT refset FROM log WHERE refset IS NOT NULL) "
                       "AND id < (SELECT max(id) FROM refsets) - 1000")  # fmt: skip
    vacuum(connection)


def size(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int((pages - free) * PAGE_BYTES)


def drop(store: SqliteStore, connection: sqlite3.Connection, ids: list[int]) -> None:
    """Drop chunks: rolled up first, archived first if the configuration says so."""
    if not ids:
        return
    marks = ",".join("?" * len(ids))
    rows = connection.execute(
        f"SELECT ref, t_min, t_max, n, late FROM chunks WHERE id IN ({marks})",  # noqa: S608
        ids,
    ).fetchall()
    if store.before_drop_callback is not None:
        refs = sorted({row[0] for row in rows})
        store.before_drop_callback(refs, max(row[2] for row in rows))
    if store.config is not None and store.config.archive:
        from barograph_sqlite.transfer import archive

        archive(store, connection, ids)
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"DELETE FROM chunks WHERE id IN ({marks})", ids)  # noqa: S608
        bump(
            connection, chunks=-len(rows), samples=-sum(row[3] for row in rows),
            late_chunks=-sum(row[4] for row in rows), generation=1,
        )  # fmt: skip
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def forget_series(store: SqliteStore, connection: sqlite3.Connection) -> None:
    """Remove series that have neither samples nor rollups any more."""
    empty = [
        ref
        for (ref,) in connection.execute(
            "SELECT ref FROM series s WHERE NOT EXISTS (SELECT 1 FROM chunks c WHERE c.ref = s.ref)"
            " AND NOT EXISTS (SELECT 1 FROM windows w WHERE w.ref = s.ref) "
            "AND ref < (SELECT max(ref) FROM series) - 10000 LIMIT 5000"
        ).fetchall()
        if store._head.slot(ref) is None
    ]
    if not empty:
        return
    from barograph_sqlite.index import from_text, posting_key

    connection.execute("BEGIN IMMEDIATE")
    for ref in empty:
        (text,) = connection.execute("SELECT labels FROM series WHERE ref = ?", (ref,)).fetchone()
        connection.executemany(
            "DELETE FROM postings WHERE key = ? AND ref = ?",
            [(posting_key(k, v), ref) for k, v in from_text(text).pairs],
        )
        connection.execute("DELETE FROM series WHERE ref = ?", (ref,))
    connection.execute("COMMIT")
    store._index.forget(set(empty))
    store.series_version += 1


def vacuum(connection: sqlite3.Connection) -> None:
    """Give a bounded number of free pages back to the file system."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    spare = int(pages * FREE_SHARE) + 64
    if free > spare:
        count = min(VACUUM_PAGES, free - spare)
        connection.executescript(f"PRAGMA incremental_vacuum({count})")
