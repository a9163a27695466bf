"""What retention is about to drop, kept as Parquet."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from barograph.contracts import StoreError
from barograph.model import Column, Labels, Metric, Ref, Series
from barograph_sqlite.codec import DamagedRecord, decode_column
from barograph_sqlite.parquet import require_parquet, write_parquet

if TYPE_CHECKING:
    from barograph_sqlite.store import SqliteStore

__all__ = ["archive", "require_parquet"]


def archive(store: SqliteStore, connection: sqlite3.Connection, ids: Sequence[int]) -> Path:
    """Write chunks to one file below DATA_DIR/archive, named by their times.

    The same chunks give the same name: if the store is killed before they are dropped, the next
    attempt writes the file again and not a second one.
    """
    folder = store.data_dir / "archive"
    marks = ",".join("?" * len(ids))
    oldest, newest = connection.execute(
        f"SELECT min(t_min), max(t_max) FROM chunks WHERE id IN ({marks})",  # noqa: S608
        list(ids),
    ).fetchone()
    path = folder / f"samples-{_stamp(oldest)}-{_stamp(newest)}-{min(ids)}.parquet"
    partial = path.with_name(path.name + ".partial")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_parquet(partial, _columns(store, connection, ids))
        partial.rename(path)
    except OSError as error:
        _remove(partial)
        raise StoreError(
            f"cannot write to the archive {folder} ({error}): what is too old stays in the store "
            "meanwhile; mend the folder, or set [plugins.sqlite] archive = false"
        ) from error
    except BaseException:
        _remove(partial)
        raise
    return path


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.unlink()


def _columns(
    store: SqliteStore, connection: sqlite3.Connection, ids: Sequence[int]
) -> Iterator[tuple[Series, Column]]:
    for chunk in ids:
        ref, n, body = connection.execute(
            "SELECT ref, n, body FROM chunks WHERE id = ?", (chunk,)
        ).fetchone()
        try:
            column = decode_column(body, n)
        except DamagedRecord as error:
            store.damage.found(f"chunk {chunk} of series {ref}", f"not archived: {error}")
            continue
        found = store.series([ref])
        name = "barograph_unknown"  # a series row that is lost
        unknown = Series(Ref(ref), Labels.of(name, {"ref": str(ref)}), Metric(name))
        yield (found[0] if found else unknown), column


def _stamp(t_ms: int) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=t_ms)).strftime(
            "%Y%m%dT%H%M%S"
        )
    except OverflowError:
        return str(t_ms)
