"""Saving what is readable of a damaged file into a new one, and keeping the damaged one."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from barograph.contracts import StoreError
from barograph_sqlite.codec import is_sound
from barograph_sqlite.damage import Damage
from barograph_sqlite.index import add_series, from_text, lost_labels, posting_key
from barograph_sqlite.log import checksum
from barograph_sqlite.schema import create_or_upgrade, is_damage

COMMIT_ROWS = 5000
"""Rows copied in one transaction."""


def rescue(path: Path, damage: Damage) -> Path:
    """Put a new file of all readable rows in the place of ``path``; where the damaged one is now.

    The new file is made beside it, complete, before anything is renamed: if this is interrupted,
    the next start does it again or finishes it (``finish``). Raises StoreError, sqlite3.Error.
    """
    partial, ready = _partial(path), _ready(path)
    _remove(partial)
    _remove(ready)
    new = create_or_upgrade(partial)
    try:
        _copy(path, new, damage)
        new.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        new.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, without a log
    except BaseException:
        new.close()
        _remove(partial)
        raise
    new.close()
    partial.rename(ready)
    return _exchange(path, damage)


def finish(path: Path, damage: Damage) -> None:
    """Finish a rescue that was interrupted between its renames."""
    _remove(_partial(path))
    if _ready(path).exists():
        if path.exists():
            _remove(_ready(path))  # the damaged file is still in place: it is done again
            damage.save_next_time()
        else:
            _exchange(path, damage)


def _exchange(path: Path, damage: Damage) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("-wal", "-shm", ""):  # the file last: its absence says that all are moved
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    _ready(path).rename(path)
    damage.note.unlink(missing_ok=True)
    damage.found(str(aside), f"the damaged file is kept there; what was readable is in {path}")
    return aside


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".rescue-partial")


def _ready(path: Path) -> Path:
    return path.with_name(path.name + ".rescue-ready")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


# --- copying ------------------------------------------------------------------------------------


def _copy(path: Path, new: sqlite3.Connection, damage: Damage) -> None:
    try:
        old = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened to save what is readable: {error}") from error
    try:
        old.execute("PRAGMA cell_size_check = ON")
        old.execute("PRAGMA writable_schema = ON")  # else a file that was cut is not read at all
        for table in ("series", "refsets", "chunks", "windows", "log", "late"):
            _copy_rows(old, new, table, damage, path)
        for table, key in (("metrics", "name"), ("meta", "key"), ("records", "kind")):
            _copy_small(old, new, table, key, damage, path)
    finally:
        old.close()
    _make_whole(new, damage)


def _copy_rows(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, damage: Damage, path: Path
) -> None:
    columns = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
    insert = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
    sound = _SOUND.get(table)
    new.execute("BEGIN")
    for copied, row in enumerate(_rows(old, table, columns, damage, path), 1):
        if sound is None or sound(dict(zip(columns, row, strict=True))):
            new.execute(insert, row)
        else:
            damage.found(f"{path}, {table} row {row[0]}", "checksum does not fit; left behind")
        if copied % COMMIT_ROWS == 0:
            new.execute("COMMIT")
            new.execute("BEGIN")
    new.execute("COMMIT")


_SOUND: dict[str, Callable[[dict[str, Any]], bool]] = {
    "chunks": lambda row: is_sound(row["body"], row["n"]),
    "windows": lambda row: is_sound(row["body"], row["n"]),
    "log": lambda row: checksum(row["t"] or 0, row["body"]) == row["crc"],
}


def _rows(
    old: sqlite3.Connection, table: str, columns: list[str], damage: Damage, path: Path
) -> Iterator[tuple[Any, ...]]:
    """All readable rows of a table by rowid, leaping over damaged pages."""
    sql = f"SELECT {', '.join(columns)} FROM {table} WHERE rowid >= ? ORDER BY rowid"  # noqa: S608
    # One by one at damage: a cursor looks one row ahead, and loses a row with the one behind it.
    careful = f"{sql} LIMIT 1"
    key = 0
    while True:
        try:
            for row in old.execute(sql, (key,)):
                key = row[0] + 1
                yield row
            return
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        try:
            while (row := old.execute(careful, (key,)).fetchone()) is not None:
                key = row[0] + 1
                yield row
            return
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            damage.found(f"{path}, table {table}, from row {key} on", str(error))
        leap = _leap(old, careful, key)
        if leap is None:
            return
        key = leap


def _leap(old: sqlite3.Connection, sql: str, key: int) -> int | None:
    """The least key after ``key`` from which on a row can be read; ``None`` if there is none."""

    def row_from(key: int) -> tuple[Any, ...] | bool:
        """The first row from ``key`` on; True: there is none; False: damage."""
        try:
            row: tuple[Any, ...] | None = old.execute(sql, (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return False
        return True if row is None else row

    bad, step = key, 1
    while row_from(key + step) is False:
        bad, step = key + step, step * 2
        if step > 2**61:
            return None
    good = key + step
    while good - bad > 1:
        middle = (good + bad) // 2
        if row_from(middle) is False:
            bad = middle
        else:
            good = middle
    return None if row_from(good) is True else good


def _copy_small(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, key: str, damage: Damage,
    path: Path,
) -> None:  # fmt: skip
    """A table without rowids: from the front, and around damage from the back as well.

    Rows whose checksum does not fit come along: reading tells each of them.
    """
    for order in ("ASC", "DESC"):
        try:
            for row in old.execute(f"SELECT * FROM {table} ORDER BY {key} {order}"):  # noqa: S608
                marks = ", ".join("?" * len(row))
                new.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)  # noqa: S608
            return
        except sqlite3.DatabaseError as error:
            if str(error) == f"no such table: {table}" and table in _YOUNGER:
                return
            if not is_damage(error):
                raise
            damage.found(f"{path}, table {table}", str(error))


_YOUNGER = ("records",)
"""Tables that files of older versions do not have."""


def _make_whole(new: sqlite3.Connection, damage: Damage) -> None:
    """Postings, counters, and names for series whose labels are lost."""
    new.execute("BEGIN")
    orphans = [
        ref
        for (ref,) in new.execute(
            "SELECT ref FROM chunks UNION SELECT ref FROM windows EXCEPT SELECT ref FROM series"
        ).fetchall()
    ]
    for ref, text in new.execute("SELECT ref, labels FROM series").fetchall():
        new.executemany(
            "INSERT OR IGNORE INTO postings VALUES (?, ?)",
            [(posting_key(k, v), ref) for k, v in from_text(text).pairs],
        )
    for ref in orphans:
        add_series(new, ref, lost_labels(ref))
        damage.found(f"series {ref}", f"its labels are lost; it is {lost_labels(ref)}")
    new.execute("DELETE FROM meta WHERE key <> 'dropped_until'")
    for sql in (
        "SELECT 'series', count(*) FROM series",
        "SELECT 'chunks', count(*) FROM chunks",
        "SELECT 'samples', total(n) FROM chunks",
        "SELECT 'late_chunks', total(late) FROM chunks",
        "SELECT 'windows_' || level, count(*) FROM windows GROUP BY level",
        "SELECT 'generation', 1",
    ):
        new.executemany(
            "INSERT INTO meta VALUES (?, ?)", [(k, int(v)) for k, v in new.execute(sql).fetchall()]
        )
    new.execute("COMMIT")
