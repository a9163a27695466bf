"""Small JSON texts by kind and id: the contract ``barograph.contracts.Records``."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from barograph_sqlite.damage import Damage
from barograph_sqlite.log import checksum

PAGE = 500
"""Rows that are read at one time."""

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]


def put(connection: sqlite3.Connection, kind: str, rows: Sequence[tuple[str, int, str]]) -> int:
    """Write rows (id, updated_ms, JSON); how many bytes. Within the caller's transaction."""
    encoded = [(id, updated_ms, text.encode()) for id, updated_ms, text in rows]
    connection.executemany(
        "INSERT OR REPLACE INTO records (kind, id, updated_ms, crc, body) VALUES (?, ?, ?, ?, ?)",
        [(kind, id, updated_ms, checksum(0, body), body) for id, updated_ms, body in encoded],
    )
    return sum(len(body) for *_, body in encoded)


def remove(connection: sqlite3.Connection, kind: str, ids: Sequence[str]) -> None:
    """Forget rows. Within the caller's transaction."""
    connection.executemany(
        "DELETE FROM records WHERE kind = ? AND id = ?", [(kind, id) for id in ids]
    )


def read(reading: Reading, kind: str, path: Path, damage: Damage) -> Iterator[tuple[str, int, str]]:
    """Rows of a kind by id, page by page; what is damaged is told and left out."""
    after: str | None = None
    while True:
        try:
            with reading() as connection:
                page = connection.execute(
                    "SELECT id, updated_ms, crc, CAST(body AS BLOB) FROM records "
                    "WHERE kind = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3",
                    (kind, after, PAGE),
                ).fetchall()
        except sqlite3.DatabaseError as error:
            damage.met(error, f"{path}, records of kind {kind}, after {after}")
            return
        for id, updated_ms, crc, body in page:
            if checksum(0, body) == crc:
                yield id, updated_ms, body.decode()
            else:
                damage.found(f"{path}, record {id} of kind {kind}", "checksum does not fit")
        if len(page) < PAGE:
            return
        after = page[-1][0]


def damaged(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """(kind, id) of each row whose checksum does not fit. Raises sqlite3.DatabaseError."""
    for kind, id, crc, body in connection.execute(
        "SELECT kind, id, crc, CAST(body AS BLOB) FROM records"
    ):
        if checksum(0, body) != crc:
            yield kind, id
