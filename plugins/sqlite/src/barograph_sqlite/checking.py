"""Integrity check and backup."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from barograph.contracts import Problem, Progress, StoreError
from barograph_sqlite import records
from barograph_sqlite.codec import DamagedRecord, decode_column, decode_windows
from barograph_sqlite.log import checksum
from barograph_sqlite.schema import connect, is_damage

_PAGES = "restart the server: it saves what is readable into a new file, and keeps this one"
_RECORD = "its samples are lost, and nothing else; restore a backup if you need them"
_TEXT = "it is left out (a finding, or the like); restore a backup if you need it"
BACKUP_PAGES = 1024
"""Pages copied between two calls of ``progress``."""


def check(
    connection: sqlite3.Connection, path: Path, progress: Progress | None = None
) -> tuple[list[Problem], bool]:
    """Problems, and whether pages are damaged (else only records are).

    SQLite's own integrity check, then the checksum and decoding of every chunk, rollup and row of
    the log.
    """
    found = _Found(path)
    try:
        for (line,) in connection.execute("PRAGMA integrity_check(50)"):
            if line != "ok":
                found.page(f"damaged page: {line}")
    except sqlite3.DatabaseError as error:
        found.page(f"damaged file: {error}", error)
    ids = {table: _ids(connection, table, index, found) for table, index in _INDEXED.items()}
    total, done = sum(len(numbers) for numbers in ids.values()), 0
    for table, numbers in ids.items():
        for number in numbers.tolist():
            done += 1
            if progress is not None and (done % 500 == 0 or done == total):
                progress(done, total)
            try:
                sql = f"SELECT * FROM {table} WHERE id = ?"  # noqa: S608 — of the constants below
                row = connection.execute(sql, (number,)).fetchone()
                if row is not None:
                    _CHECKS[table](row)
            except DamagedRecord as error:
                found.record(f"damaged record: {error}", table, number, row)
            except sqlite3.DatabaseError as error:
                found.page(f"unreadable row {number} of {table}: {error}", error)
    _check_records(connection, found)
    return found.problems, found.pages


class _Found:
    def __init__(self, path: Path) -> None:
        self.path, self.pages = path, False
        self.problems: list[Problem] = []

    def page(self, what: str, error: sqlite3.Error | None = None) -> None:
        if error is not None and not is_damage(error):
            raise error
        self.pages = True
        self.problems.append(Problem(what, str(self.path), _PAGES))

    def record(self, what: str, table: str, number: int, row: tuple[Any, ...]) -> None:
        where = f"{self.path}, {table} row {number}"
        if table == "chunks":
            where += f" (series {row[1]}, {row[4]}..{row[3]} ms)"
        self.problems.append(Problem(what, where, _RECORD))


def _check_records(connection: sqlite3.Connection, found: _Found) -> None:
    try:
        for kind, id in records.damaged(connection):
            where = f"{found.path}, record {id} of kind {kind}"
            found.problems.append(Problem("damaged record: checksum does not fit", where, _TEXT))
    except sqlite3.DatabaseError as error:
        found.page(f"unreadable part of records: {error}", error)


_INDEXED = {"chunks": "chunks_by_age", "windows": "windows_by_age", "log": None}


def _ids(
    connection: sqlite3.Connection, table: str, index: str | None, found: _Found
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The ids of a table's rows: from an index, so that damaged rows are among them."""
    numbers: list[int] = []
    try:
        by = "" if index is None else f"INDEXED BY {index}"
        numbers.extend(n for (n,) in connection.execute(f"SELECT id FROM {table} {by}"))  # noqa: S608
    except sqlite3.DatabaseError as error:
        found.page(f"unreadable part of {table} or its index: {error}", error)
        numbers.extend(_backwards(connection, table))
    return np.unique(np.array(numbers, np.int64))


def _backwards(connection: sqlite3.Connection, table: str) -> Iterator[int]:
    """Ids behind what is damaged, which the caller has told."""
    try:
        for (number,) in connection.execute(f"SELECT id FROM {table} ORDER BY id DESC"):  # noqa: S608
            yield number
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise


def _check_chunk(row: tuple[Any, ...]) -> None:
    _, _, _, t_max, t_min, n, count, *_, body = row
    column = decode_column(body, n)
    if n < 1 or column.t_ms[0] != t_min or column.t_ms[-1] != t_max:
        raise DamagedRecord("its row tells other times than its samples have")
    if not (column.t_ms[1:] > column.t_ms[:-1]).all():
        raise DamagedRecord("its times do not rise")
    if count != n - int(np.isnan(column.values).sum()):
        raise DamagedRecord("its row tells another count than its samples have")


def _check_windows(row: tuple[Any, ...]) -> None:
    _, level, _, _, t_min, n, body = row
    windows = decode_windows(body, level, n)
    if n < 1 or windows.start_ms[0] != t_min:
        raise DamagedRecord("its row tells another time than its windows have")


def _check_log(row: tuple[Any, ...]) -> None:
    _, _, t_ms, crc, body = row
    if checksum(t_ms or 0, body) != crc:
        raise DamagedRecord("checksum does not fit")


_CHECKS = {"chunks": _check_chunk, "windows": _check_windows, "log": _check_log}


def backup(path: Path, target: Path, progress: Progress | None = None) -> None:
    """Copy the store at ``path`` as of now to ``target`` (a new file, mode 0600)."""
    if target.is_dir():
        target = target / path.name
    if target.exists():
        raise StoreError(f"{target} exists already; choose another name for the backup")
    partial = target.with_name(target.name + ".partial")
    os.close(os.open(partial, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600))
    try:
        _copy_pages(path, partial, progress)
    except BaseException:
        for suffix in ("", "-journal"):
            Path(f"{partial}{suffix}").unlink(missing_ok=True)
        raise
    partial.rename(target)


def _copy_pages(path: Path, partial: Path, progress: Progress | None) -> None:
    source = connect(path, read_only=True)
    try:
        copy = sqlite3.connect(partial, isolation_level=None)
        try:
            # An open read transaction fixes the moment: writers go on, the copy does not begin
            # again when they do.
            source.execute("BEGIN")
            source.execute("SELECT 1 FROM meta").fetchone()

            def step(_status: int, remaining: int, total: int) -> None:
                if progress is not None:
                    progress(total - remaining, total)

            source.backup(copy, pages=BACKUP_PAGES, progress=step, sleep=0)
            source.execute("COMMIT")
        finally:
            copy.close()
    finally:
        source.close()
