"""SqliteStore: the contract ``barograph.contracts.Store`` over one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.contracts import Problem, Progress, StoreError, StoreStats
from barograph.model import Batch, Column, Labels, Matcher, Metric, Ref, Series, Windows
from barograph_sqlite import checking, retention, rollups, transfer
from barograph_sqlite.head import EMPTY, NEVER, Head, Part, Piece, join, merge_pieces, parts_of
from barograph_sqlite.index import SeriesIndex
from barograph_sqlite.lock import FileLock
from barograph_sqlite.reading import Damage, Readers, read_chunks
from barograph_sqlite.schema import VERSION, check_version, connect, create_or_upgrade, told
from barograph_sqlite.sealing import HEAD_BYTES, Sealer, loose_body, loose_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph_sqlite import Config

FILE = "barograph.db"
WAL_BYTES = 16 * 2**20
"""Written bytes after which the write-ahead log is copied into the file."""

SEAL_SECONDS = 0.03
"""Time a ``maintain`` call spends on encoding chunks."""


class SqliteStore:
    """Samples, series and rollups in ``DATA_DIR/barograph.db``. See docs/explanation/storage.md."""

    name = "sqlite"

    def __init__(self, data_dir: Path, config: Config | None = None) -> None:
        self.data_dir = Path(data_dir)
        self.path = self.data_dir / FILE
        self.config = config
        self.series_version = 0
        self.sealed_version = 0
        self.damage = Damage()
        self.before_drop_callback: Callable[[Sequence[int], int], None] | None = None
        self._write = threading.RLock()
        self._index = SeriesIndex()
        self._read_only = False
        self._lock: FileLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers = Readers(self.path)
        self._head = Head(self._newest_of)
        self._sealer = Sealer(self._head)
        self._has_late = False
        self._wal_bytes = 0
        self._replayed: tuple[int, int] = (-1, 0)  # generation, newest log row
        self._selected: dict[Any, list[Series]] = {}
        self._retention_at = 0

    # --- opening ------------------------------------------------------------------------------

    def open(self, *, read_only: bool = False) -> None:
        """Open or create. Raises StoreLocked, StoreFull, StoreError."""
        self._read_only = read_only
        try:
            if read_only:
                self._open_reader()
            else:
                self._open_writer()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise told(error, self.path) from error
        except BaseException:
            self.close()
            raise

    def _open_reader(self) -> None:
        if not self.path.exists():
            raise StoreError(f"there is no {self.path}; is --data-dir the server's?")
        with self._readers.lend() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            check_version(self.path, version)
            if version < VERSION:
                raise StoreError(f"{self.path} is of an older Barograph; start the server once")
            self._index.load_metrics(connection)

    def _open_writer(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self.data_dir / f"{FILE}.lock")
        self._lock.take()
        try:
            self._writer = create_or_upgrade(self.path)
            self._load(self._writer)
        except sqlite3.DatabaseError as error:
            if self._writer is not None:
                self._writer.close()
            if not checking.is_damage(error):
                raise
            self.damage.found(str(self.path), str(error))
            checking.rebuild(self.path, self.damage)
            self._head = Head(self._newest_of)
            self._sealer = Sealer(self._head)
            self._writer = create_or_upgrade(self.path)
            self._load(self._writer)

    def _load(self, connection: sqlite3.Connection) -> None:
        self._index.load_metrics(connection)
        self._has_late = self._counter("late_chunks") > 0
        self._replay(connection, 0)

    def _replay(self, connection: sqlite3.Connection, after: int) -> int:
        """Put log rows into the head; the newest row's id."""
        sets: dict[int, NDArray[np.int64]] = {}
        for log_id, refset, t_ms, body in connection.execute(
            "SELECT id, refset, t, body FROM log WHERE id > ? ORDER BY id", (after,)
        ):
            after = log_id
            if refset is None:
                piece = loose_from(body)
                placed = self._head.place(piece.refs, piece.t_ms, piece.values, _no_refset)
            else:
                if refset not in sets:
                    (refs,) = connection.execute(
                        "SELECT refs FROM refsets WHERE id = ?", (refset,)
                    ).fetchone()
                    sets[refset] = np.frombuffer(refs, np.int64)
                values = np.frombuffer(body, np.float64)
                number = int(refset)
                placed = self._head.place(sets[refset], t_ms, values, lambda _, n=number: n)  # type: ignore[misc]
            self._note_log(placed[0].block, log_id)
            self._head.commit()
        return after

    def _note_log(self, block: Any, log_id: int) -> None:
        if block is None:
            self._head.loose_log = log_id
        else:
            block.first_log = block.first_log or log_id
            block.last_log = log_id

    def close(self) -> None:
        """Close; what is not sealed is in the log. Idempotent."""
        with self._write:
            if self._writer is not None:
                try:
                    self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)")
                except sqlite3.Error as error:  # the log keeps everything: only tell
                    self.damage.found(str(self.path), f"checkpoint at closing: {error}")
                self._readers.close()
                self._writer.close()
                self._writer = None
            self._readers.close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            raise StoreError(f"{self.path} is not open for writing")
        return self._writer

    # --- writing --------------------------------------------------------------------------------

    def intern(self, series: Sequence[tuple[Labels, Metric]]) -> NDArray[np.int64]:
        """Refs int64[n] of the given series, made where new."""
        with self._write:
            refs = {labels: self._index.known(labels) for labels, _ in series}
            new = [(labels, metric) for labels, metric in series if refs[labels] is None]
            if new:
                connection = self._writing()
                made: dict[Labels, int] = {}
                self._transaction(lambda: made.update(self._index.add(connection, new)))
                self._index.remember(made, new)
                refs.update(made)
                self.series_version += 1
                self._selected.clear()
            return np.array([refs[labels] for labels, _ in series], np.int64)

    def append(self, batches: Sequence[Batch]) -> None:
        """Store all samples of ``batches``, as one. Raises StoreFull, StoreError: then none is."""
        with self._write:
            connection = self._writing()
            written = 0

            def write() -> None:
                nonlocal written
                for batch in batches:
                    if len(batch):
                        written += self._append_one(connection, batch)

            try:
                self._transaction(write)
            except BaseException:
                self._head.roll_back()
                raise
            self._head.commit()
            self._wal_bytes += written
            if self._wal_bytes > WAL_BYTES:
                self._checkpoint()
            if self._head.nbytes > HEAD_BYTES * 1.5:
                self._relieve()

    def _append_one(self, connection: sqlite3.Connection, batch: Batch) -> int:
        refs = np.ascontiguousarray(batch.refs, np.int64)
        values = np.ascontiguousarray(batch.values, np.float64)
        if len(refs) != len(values):
            raise ValueError(f"a batch of {len(refs)} refs has {len(values)} values")
        written = 0
        for placed in self._head.place(refs, batch.t_ms, values, self._refset):
            if placed.block is not None:
                row = (placed.block.refset, int(batch.t_ms), values.data)  # type: ignore[arg-type]
                written += values.nbytes
            else:
                assert placed.piece is not None
                body = loose_body(placed.piece)
                row = (None, None, body)  # type: ignore[assignment]
                written += len(body)
                if placed.late is not None:
                    rollups.note_late(connection, placed.late)
            cursor = connection.execute("INSERT INTO log (refset, t, body) VALUES (?, ?, ?)", row)
            assert cursor.lastrowid is not None
            self._note_log(placed.block, cursor.lastrowid)
        return written

    def _refset(self, refs: NDArray[np.int64]) -> int:
        cursor = self._writing().execute("INSERT INTO refsets (refs) VALUES (?)", (refs.tobytes(),))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _transaction(self, work: Callable[[], None]) -> None:
        connection = self._writing()
        try:
            connection.execute("BEGIN IMMEDIATE")
            work()
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._roll_back(connection)
            raise told(error, self.path) from error
        except BaseException:
            self._roll_back(connection)
            raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                self.damage.found(str(self.path), f"rolling back: {error}")

    def _newest_of(self, refs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        newest = np.full(len(refs), NEVER, np.int64)
        sealed = np.full(len(refs), NEVER, np.int64)
        with self._readers.lend() as connection:
            for i, ref in enumerate(refs.tolist()):
                for late in (0, 1) if self._has_late or self._read_only else (0,):
                    row = connection.execute(
                        "SELECT max(t_max) FROM chunks WHERE ref = ? AND late = ?", (ref, late)
                    ).fetchone()
                    if row[0] is not None:
                        newest[i] = max(newest[i], row[0])
                        if late == 0:
                            sealed[i] = row[0]
        return newest, sealed

    # --- reading --------------------------------------------------------------------------------

    def select(
        self,
        matchers: Sequence[Matcher],
        t_min: int | None = None,
        t_max: int | None = None,
        limit: int | None = None,
    ) -> list[Series]:
        """Series that fit all matchers (and may have samples in [t_min, t_max]), by labels."""
        key = (tuple(matchers), limit)
        timeless = t_min is None or self._read_only
        if timeless and not self._read_only and key in self._selected:
            return self._selected[key]
        with self._reading() as connection:
            wanted = None
            if t_min is not None:
                since = t_min
                wanted = lambda ref: self._newest(connection, ref) >= since  # noqa: E731
            found = self._index.select(connection, matchers, wanted, limit)
        if timeless and not self._read_only:
            if len(self._selected) > 256:
                self._selected.clear()
            self._selected[key] = found
        return found

    def _newest(self, connection: sqlite3.Connection, ref: int) -> int:
        slot = self._head.slot(ref)
        if slot is not None:
            return int(self._head.newest[slot])
        row = connection.execute(
            "SELECT max(m) FROM (SELECT max(t_max) m FROM chunks WHERE ref = ?1 AND late = 0 "
            "UNION ALL SELECT max(t_end) FROM windows WHERE ref = ?1)",
            (ref,),
        ).fetchone()
        return NEVER if row[0] is None else int(row[0])

    def series(self, refs: Sequence[int]) -> list[Series]:
        """The series of ``refs``; unknown refs are left out."""
        with self._reading() as connection:
            return self._index.series(connection, [int(ref) for ref in refs])

    def metrics(self) -> list[Metric]:
        """All metrics known, by name."""
        if self._read_only:
            with self._reading() as connection:
                self._index.load_metrics(connection)
        return self._index.metrics()

    def read(self, refs: Sequence[int], t_min: int, t_max: int) -> list[Column]:
        """Raw samples with t_min <= t <= t_max, a Column for each ref in order (may be empty)."""
        wanted = np.asarray(refs, np.int64)
        if not len(wanted):
            return []
        out: list[Column] = []
        with self._reading() as connection:
            # The head first: what is sealed meanwhile is then seen twice, never not at all.
            head = parts_of(self._head.snapshot(), wanted, t_min, t_max)
            late = self._has_late or self._read_only
            for ref in wanted.tolist():
                parts = read_chunks(connection, ref, t_min, t_max, late, self.damage)
                t_ms, values = join(parts + head.get(ref, []))
                out.append(Column(t_ms, values))
        return out

    def _reading(self) -> Any:
        if self._read_only:
            return self._following()
        return self._readers.lend()

    def _following(self) -> Any:
        return transfer.Following(self)

    def follow(self, connection: sqlite3.Connection) -> None:
        """Bring the head of a read-only store up to the log of ``connection``'s snapshot."""
        generation = self._counter("generation", connection)
        if generation != self._replayed[0]:
            self._head = Head(self._newest_of)
            self._replayed = (generation, 0)
        self._replayed = (generation, self._replay(connection, self._replayed[1]))

    # --- rollups --------------------------------------------------------------------------------

    def read_windows(
        self, refs: Sequence[int], level_ms: int, t_min: int, t_max: int
    ) -> list[list[Windows]]:
        """Stored windows that overlap [t_min, t_max]: for each ref its parts in time order."""
        with self._reading() as connection:
            return rollups.read(connection, refs, level_ms, t_min, t_max, self.damage)

    def watermarks(self, refs: Sequence[int], level_ms: int) -> NDArray[np.int64]:
        """int64[n]: for each ref the end (ms, exclusive) of what the level holds; 0 if nothing."""
        with self._reading() as connection:
            return rollups.watermarks(connection, refs, level_ms)

    def write_windows(self, parts: Sequence[tuple[Ref, Windows]]) -> None:
        """Store windows, each replacing what is there in its span."""
        with self._write:
            connection = self._writing()
            self._transaction(lambda: rollups.write(connection, parts, self.damage))

    def late_since_rollup(self) -> list[tuple[Ref, int, int]]:
        """(ref, t_min, t_max) of late samples in spans that may be rolled up already."""
        with self._reading() as connection:
            rows = connection.execute("SELECT ref, t_min, t_max FROM late ORDER BY ref").fetchall()
            return [(Ref(ref), a, b) for ref, a, b in rows]

    def clear_late(self, spans: Sequence[tuple[Ref, int, int]]) -> None:
        """Forget spans of ``late_since_rollup``; one that grew meanwhile stays."""
        with self._write:
            connection = self._writing()
            sql = "DELETE FROM late WHERE ref = ? AND t_min = ? AND t_max = ?"
            self._transaction(lambda: connection.executemany(sql, spans) and None)

    def sealed_until(self, refs: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the newest time (ms, inclusive) that is in a sealed chunk; 0 if none."""
        _, sealed = self._newest_of(np.asarray(refs, np.int64))
        return np.where(sealed == NEVER, 0, sealed)

    def before_drop(self, callback: Callable[[Sequence[int], int], None]) -> None:
        """Call ``callback(refs, t_max)`` before retention drops raw samples up to ``t_max``."""
        self.before_drop_callback = callback

    # --- housekeeping -----------------------------------------------------------------------------

    def maintain(self, now_ms: int) -> None:
        """Sealing, retention, vacuum and checkpoints, a bounded piece of each."""
        with self._write:
            connection = self._writing()
            try:
                self._sealer.close_due(now_ms)
                deadline = time.perf_counter() + SEAL_SECONDS
                if self._sealer.step(connection, now_ms, deadline, time.perf_counter):
                    self._sealed()
                if self._wal_bytes > WAL_BYTES // 4:
                    self._checkpoint()
                if abs(now_ms - self._retention_at) >= retention.EVERY_MS:
                    self._retention_at = now_ms
                    retention.enforce(self, connection, now_ms)
            except sqlite3.Error as error:
                raise told(error, self.path) from error

    def seal(self) -> None:
        """Seal all samples now, checkpoint and give free pages back."""
        with self._write:
            connection = self._writing()
            try:
                self._sealer.seal_all(connection)
                self._sealed()
                connection.execute("DELETE FROM refsets WHERE id NOT IN (SELECT refset FROM log)")
                self._head.blocks.clear()
                self._head._by_identity.clear()
                connection.executescript("PRAGMA incremental_vacuum")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                raise told(error, self.path) from error
            self._wal_bytes = 0

    def _sealed(self) -> None:
        self.sealed_version += 1
        self._has_late = self._counter("late_chunks") > 0
        self._wal_bytes += WAL_BYTES // 8

    def _relieve(self) -> None:
        """Seal at once: samples come faster than ``maintain`` is called."""
        connection = self._writing()
        self._sealer.close_due(int(self._head.newest.max()))
        while self._head.frozen and self._head.nbytes > HEAD_BYTES:
            self._sealer.step(connection, 0, float("inf"), time.perf_counter)
            self._sealed()

    def _checkpoint(self) -> None:
        self._writing().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._wal_bytes = 0

    def _counter(self, key: str, connection: sqlite3.Connection | None = None) -> int:
        connection = connection or self._writing()
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return 0 if row is None else int(row[0])

    @property
    def problems(self) -> list[Problem]:
        """Damage found so far."""
        return list(self.damage.problems)

    def stats(self) -> StoreStats:
        """Sizes and counts; cheap enough to ask every few seconds."""
        with self._reading() as connection:
            chunks = self._counter("chunks", connection)
            samples = self._counter("samples", connection)
            (series,) = connection.execute("SELECT count(*) FROM series").fetchone()
            oldest = connection.execute(
                "SELECT min(t_min) FROM (SELECT t_min FROM chunks ORDER BY id LIMIT 200)"
            ).fetchone()[0]
            newest = connection.execute(
                "SELECT max(t_max) FROM (SELECT t_max FROM chunks ORDER BY id DESC LIMIT 200)"
            ).fetchone()[0]
        blocks, tidy, pieces = self._head.snapshot()
        lows = [int(b.times[0]) for b, _ in blocks] + [
            int(p.t_ms.min()) for p in [tidy, *pieces] if len(p)
        ]
        highs = [int(b.times[n - 1]) for b, n in blocks] + [
            int(p.t_ms.max()) for p in [tidy, *pieces] if len(p)
        ]
        lows += [] if oldest is None else [oldest]
        highs += [] if newest is None else [newest]
        head = self._head.samples
        wal = _size(Path(f"{self.path}-wal"))
        return StoreStats(
            series=series, samples=samples + head, chunks=chunks, head_samples=head,
            bytes_on_disk=_size(self.path) + wal + _size(Path(f"{self.path}-shm")),
            t_min=min(lows) if lows else None, t_max=max(highs) if highs else None,
            levels={0: chunks}, log_bytes=wal,
            extra={
                "active_series": self._head.active(), "head_bytes": self._head.nbytes,
                "damaged_records": self.damage.count,
            },
        )  # fmt: skip

    def check(self, progress: Progress | None = None) -> list[Problem]:
        """Read everything; what is damaged, by name and time range."""
        with self._reading() as connection:
            return checking.check(connection, self.path, progress)

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """A consistent copy while running, in a file of mode 0600."""
        try:
            checking.backup(self.path, Path(target), progress)
        except (sqlite3.Error, OSError) as error:
            raise told(error, Path(target)) from error

    def export(
        self, path: Path, format: str, matchers: Sequence[Matcher] = (),
        t_min: int | None = None, t_max: int | None = None, progress: Progress | None = None,
    ) -> int:  # fmt: skip
        """Write samples as "parquet", "csv" or "openmetrics"; how many."""
        return transfer.export(self, Path(path), format, matchers, t_min, t_max, progress)

    def import_(self, path: Path, format: str, progress: Progress | None = None) -> int:
        """Read a file that ``export`` (or another program) wrote; how many samples."""
        return transfer.import_(self, Path(path), format, progress)


def _no_refset(refs: NDArray[np.int64]) -> int:
    raise AssertionError("loose samples have no refset")


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


__all__ = ["EMPTY", "Part", "Piece", "SqliteStore", "connect", "merge_pieces"]
