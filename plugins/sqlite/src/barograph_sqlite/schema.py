"""The file's tables, its connections, and how older files are brought up to date."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from barograph.contracts import StoreError, StoreFull, StoreLocked

VERSION = 2
"""Schema version that this code writes; kept in SQLite's ``user_version``."""

APPLICATION_ID = 0x4261726F  # "Baro", so that `file` and we can tell our files

PAGE_BYTES = 16384
BUSY_MS = 5000

_RECORDS = """
-- Findings and the like: small JSON texts by kind and id; crc: CRC-32 of body.
CREATE TABLE records (kind TEXT NOT NULL, id TEXT NOT NULL, updated_ms INTEGER NOT NULL,
  crc INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
"""

_TABLES = f"""{_RECORDS}
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE metrics (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL, unit TEXT NOT NULL, help TEXT NOT NULL
) WITHOUT ROWID;
-- labels: JSON list of [name, value] pairs sorted by name; hash: 64 bits of them.
CREATE TABLE series (ref INTEGER PRIMARY KEY AUTOINCREMENT, hash INTEGER NOT NULL,
  labels TEXT NOT NULL);
CREATE INDEX series_by_hash ON series (hash);
-- key: 64 bits of one label pair.
CREATE TABLE postings (key INTEGER, ref INTEGER, PRIMARY KEY (key, ref)) WITHOUT ROWID;
-- late = 0: chunks of one series never overlap; late = 1: they may overlap any other.
-- sum is of the values that are not NaN; low and high likewise (NULL if there is none).
CREATE TABLE chunks (id INTEGER PRIMARY KEY, ref INTEGER NOT NULL, late INTEGER NOT NULL,
  t_max INTEGER NOT NULL, t_min INTEGER NOT NULL, n INTEGER NOT NULL, count INTEGER NOT NULL,
  sum REAL, low REAL, high REAL, body BLOB NOT NULL);
CREATE INDEX chunks_by_time ON chunks (ref, late, t_max);
CREATE INDEX chunks_by_age ON chunks (t_max, ref);
-- A set of refs that comes again and again, so that a log row need not repeat it.
CREATE TABLE refsets (id INTEGER PRIMARY KEY, refs BLOB NOT NULL);
-- refset NOT NULL: one sample for each of its refs at time t; NULL: refs and times are in body.
-- crc: CRC-32 of body, begun with the low 32 bits of t.
CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, refset INTEGER, t INTEGER,
  crc INTEGER NOT NULL, body BLOB NOT NULL);
-- t_end: end of what the windows hold (exclusive): of the last window, or in its midst.
CREATE TABLE windows (id INTEGER PRIMARY KEY, level INTEGER NOT NULL, ref INTEGER NOT NULL,
  t_end INTEGER NOT NULL, t_min INTEGER NOT NULL, n INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX windows_by_time ON windows (ref, level, t_end);
CREATE INDEX windows_by_age ON windows (t_end, level);
-- Spans where samples came after their rollup was made; notes: how many batches brought some.
CREATE TABLE late (ref INTEGER PRIMARY KEY, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL,
  notes INTEGER NOT NULL);
"""

MIGRATIONS: dict[int, str] = {1: _RECORDS}
"""For each older version, the statements that lead to the next one; each step is a transaction."""


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection in autocommit mode. Raises sqlite3.Error."""
    mode = "ro" if read_only else "rwc"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False,
        cached_statements=64,
    )  # fmt: skip
    connection.execute("PRAGMA cache_size = -2048")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def create_or_upgrade(path: Path) -> sqlite3.Connection:
    """The writer's connection to a file of the present version; the file has mode 0600."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = connect(path, read_only=False)
    try:
        version = version_of(connection, path)
        if version == 0:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # maintain() decides when
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if version == 0:
            connection.executescript(
                f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; {_TABLES}"
                f"PRAGMA user_version = {VERSION}; COMMIT;"
            )
        else:
            _upgrade(connection, path, version)
        # SQLite opens what it may not write for reading, without a word: find out now.
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """The file's schema version, 0 for an empty file.

    Raises StoreError if another program or a newer Barograph wrote the file.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    (program,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and program != APPLICATION_ID:
        raise StoreError(f"{path} is an SQLite file of another program; choose another --data-dir")
    if version > VERSION:
        raise StoreError(
            f"{path} was written by a newer Barograph (schema {version}, this one knows "
            f"{VERSION}); update Barograph, or choose another --data-dir"
        )
    return version


def _upgrade(connection: sqlite3.Connection, path: Path, version: int) -> None:
    while version < VERSION:
        try:
            connection.executescript(
                f"BEGIN; {MIGRATIONS[version]}; PRAGMA user_version = {version + 1}; COMMIT;"
            )
        except sqlite3.Error as error:
            raise StoreError(
                f"{path} could not be brought from schema {version} to {version + 1} ({error}): "
                "it is as it was; the Barograph that wrote it still reads it"
            ) from error
        version += 1


def told(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The error for a person: what happened to ``path`` and what to do."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without SQLite's finer distinctions
    number = error.errno if isinstance(error, OSError) else None
    if code == sqlite3.SQLITE_FULL or number in _NO_SPACE:
        return StoreFull(
            f"no space left for {path}: nothing of this call was stored; free some space or "
            "lower [plugins.sqlite] max_size"
        )
    if code in _NO_PERMISSION or isinstance(error, PermissionError) or number == errno.EROFS:
        return StoreFull(
            f"cannot write {path} ({error}): check the owner and permissions of {path.parent}, or "
            "choose another --data-dir"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(f"{path} is held by another program ({error}); stop that one")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreError(
            f"{path} is not an SQLite file, or its beginning is damaged; move it away, restore a "
            "backup in its place, or choose another --data-dir"
        )
    if is_damage(error):
        return StoreError(
            f"{path} is damaged ({error}): what can be read stays readable; restart Barograph and "
            "it saves what is readable into a new file, keeping the damaged one beside it"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreError(
            f"the disk refused to read or write {path} ({error}): nothing of this call was "
            "stored; look at the system's log, and at the limits of this process (ulimit -f)"
        )
    if number in (errno.ENOENT, errno.ENOTDIR):
        return StoreError(
            f"there is no folder {path.parent}, and it cannot be made ({error.args[1]}): choose "
            "another folder"
        )
    return StoreError(f"{path}: {error}")


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PERMISSION = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
