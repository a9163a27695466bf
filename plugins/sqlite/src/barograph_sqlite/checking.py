"""Integrity check, backup, and saving what is readable of a damaged file."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from barograph.contracts import Problem, Progress, StoreError
from barograph_sqlite.codec import DamagedRecord, decode_column, decode_windows
from barograph_sqlite.reading import Damage
from barograph_sqlite.schema import connect, create_or_upgrade, is_damage, told

__all__ = ["backup", "check", "is_damage", "rebuild"]

_REMEDY = "restore a backup, or restart the server: it saves what is readable into a new file"
_TABLES = ("meta", "metrics", "series", "postings", "chunks", "refsets", "log", "windows", "late")


def check(
    connection: sqlite3.Connection, path: Path, progress: Progress | None = None
) -> list[Problem]:
    """SQLite's own integrity check, then the checksum and decoding of every chunk and rollup."""
    problems: list[Problem] = []
    try:
        for (line,) in connection.execute("PRAGMA integrity_check(50)"):
            if line != "ok":
                problems.append(Problem(f"damaged page: {line}", str(path), _REMEDY))
    except sqlite3.DatabaseError as error:
        problems.append(Problem(f"damaged file: {error}", str(path), _REMEDY))
    last = {table: _last_id(connection, table, problems, path) for table in ("chunks", "windows")}
    total, done = sum(last.values()), 0
    for table, kind in (("chunks", "n, t_max"), ("windows", "n, level")):
        for row_id in range(1, last[table] + 1):
            done += 1
            if progress is not None and (done % 500 == 0 or done == total):
                progress(done, total)
            try:
                row = connection.execute(
                    f"SELECT ref, t_min, body, {kind} FROM {table} WHERE id = ?",  # noqa: S608
                    (row_id,),
                ).fetchone()
                if row is None:
                    continue
                if table == "chunks":
                    decode_column(row[2], row[3])
                else:
                    decode_windows(row[2], row[4], row[3])
            except (DamagedRecord, ValueError, RuntimeError, sqlite3.DatabaseError) as error:
                where = f"{path}, {table} row {row_id}"
                problems.append(Problem(f"damaged record: {error}", where, _REMEDY))
    return problems


def _last_id(
    connection: sqlite3.Connection, table: str, problems: list[Problem], path: Path
) -> int:
    try:
        (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608
    except sqlite3.DatabaseError as error:
        problems.append(Problem(f"table {table} is damaged: {error}", str(path), _REMEDY))
        return 0
    return last or 0


def backup(path: Path, target: Path, progress: Progress | None = None) -> None:
    """Copy the store at ``path`` as of now to ``target`` (a new file, mode 0600)."""
    if target.is_dir():
        target = target / path.name
    if target.exists():
        raise StoreError(f"{target} exists already; choose another name for the backup")
    partial = target.with_name(target.name + ".partial")
    os.close(os.open(partial, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600))
    source = connect(path, read_only=True)
    copy = sqlite3.connect(partial, isolation_level=None)
    try:
        # An open read transaction fixes the snapshot: writers go on, the copy does not start over.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM meta").fetchone()

        def step(_status: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(total - remaining, total)

        source.backup(copy, pages=1024, progress=step, sleep=0)
        source.execute("COMMIT")
    except BaseException:
        copy.close()
        partial.unlink(missing_ok=True)
        raise
    finally:
        copy.close()
        source.close()
    partial.rename(target)


def rebuild(path: Path, damage: Damage) -> Path:
    """Put the damaged file aside and make a new one of all rows that can be read.

    Returns the damaged file's new path. Rows are copied table by table; around damaged pages, one
    by one.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = Path(f"{path}{suffix}")
        if part.exists():
            part.rename(f"{aside}{suffix}")
    new = create_or_upgrade(path)
    try:
        old = sqlite3.connect(aside, isolation_level=None)
        try:
            for table in _TABLES:
                _salvage(old, new, table, damage, aside)
        finally:
            old.close()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise told(error, path) from error
        damage.found(str(aside), str(error))
    finally:
        new.close()
    damage.found(str(aside), f"kept; readable rows were saved into {path}")
    return aside


def _salvage(
    old: sqlite3.Connection, new: sqlite3.Connection, table: str, damage: Damage, path: Path
) -> None:
    insert = ""
    at = -(2**62)
    keyed = table in ("chunks", "series", "refsets", "log", "windows", "late")
    key = "rowid"
    new.execute("BEGIN")
    for descending in (False, True) if keyed else (False,):
        order = f"ORDER BY {key} DESC" if descending else (f"ORDER BY {key}" if keyed else "")
        where = f"WHERE {key} > {at}" if keyed else ""
        columns = f"{key}, *" if keyed else "*"
        try:
            for row in old.execute(f"SELECT {columns} FROM {table} {where} {order}"):  # noqa: S608
                values = row[1:] if keyed else row
                insert = insert or (
                    f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(values))})"  # noqa: S608
                )
                new.execute(insert, values)
                if keyed and not descending:
                    at = row[0]
            break
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            # From the other end as well: what lies behind the damage.
            damage.found(f"{path}, table {table}", str(error))
    new.execute("COMMIT")
