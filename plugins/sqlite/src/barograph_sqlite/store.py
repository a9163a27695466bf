"""SqliteStore: the contract ``barograph.contracts.Store`` over one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from barograph.contracts import Problem, Progress, StoreError, StoreMissing, StoreStats
from barograph.model import Batch, Column, Labels, Matcher, Metric, Ref, Series, Windows
from barograph_sqlite import (
    checking,
    log,
    records,
    rescue,
    retention,
    rollups,
    statistics,
    transfer,
)
from barograph_sqlite.archive import require_parquet
from barograph_sqlite.chunks import counter, newest_times, oldest_time
from barograph_sqlite.columns import count_chunks, read_columns
from barograph_sqlite.connections import Readers, snapshot
from barograph_sqlite.damage import Damage
from barograph_sqlite.decoded import Decoded
from barograph_sqlite.head import NEVER, Head, parts_of
from barograph_sqlite.index import SeriesIndex
from barograph_sqlite.lock import FileLock
from barograph_sqlite.loose import checked, join
from barograph_sqlite.reading import read_chunks
from barograph_sqlite.schema import (
    PAGE_BYTES,
    VERSION,
    create_or_upgrade,
    is_damage,
    told,
    version_of,
)
from barograph_sqlite.sealing import HEAD_BYTES, Sealer
from barograph_sqlite.selection import Remembered, in_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.columns import Columns, Spend
    from barograph_sqlite import Config

FILE = "barograph.db"
WAL_BYTES = 16 * 2**20
"""Written bytes after which the write-ahead log is copied into the file."""

SEAL_SECONDS = 0.03
"""Time a ``maintain`` call spends on encoding chunks."""


class SqliteStore:
    """Samples, series and rollups in ``DATA_DIR/barograph.db``. See docs/explanation/storage.md.

    It keeps ``Records`` too. Besides the contracts: ``series_version`` changes when series come or
    go; ``take_sealed``, ``sealed_since`` and ``dropped_until`` spare ``DataAggregator`` work.
    """

    name = "sqlite"

    def __init__(self, data_dir: Path, config: Config | None = None) -> None:
        self.data_dir = Path(data_dir)
        self.path = self.data_dir / FILE
        self.config = config
        self.damage = Damage(self.data_dir / f"{FILE}.damaged")
        self.series_version = 0
        self.dropped_until = 0
        self.drop_align_ms = 1
        self.before_drop_callback: Callable[[Sequence[int], int], None] | None = None
        self._write = threading.RLock()
        self._open = False
        self._read_only = False
        self._lock: FileLock | None = None
        self._writer: sqlite3.Connection | None = None
        self._readers = Readers(self.path)
        self._reset()

    def _reset(self) -> None:
        self._index = SeriesIndex()
        self._head = Head(self._newest_of)
        self._sealer = Sealer(self._head)
        self._retention = retention.Retention(self)
        self._remembered = Remembered()
        self._decoded = Decoded()
        self._missing: set[int] = set()  # refs that came without a series of theirs
        self._has_late = False
        self._wal_bytes = 0
        self._replayed: tuple[int, int] = (-1, 0)  # generation, newest log row

    # --- opening ------------------------------------------------------------------------------

    def open(self, *, read_only: bool = False) -> None:
        """Open or create. Raises StoreLocked, StoreFull, StoreError."""
        if self._open:
            raise StoreError(f"{self.path} is open already")
        self._read_only = read_only
        self._reset()
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
        self._open = True

    def _open_reader(self) -> None:
        if not self.path.exists():
            raise StoreMissing(f"there is no {self.path}; is --data-dir the server's?")
        with self._readers.lend() as connection:
            if version_of(connection, self.path) < VERSION:
                raise StoreError(f"{self.path} is of an older Barograph; start the server once")
            self._index.load_metrics(connection)
            self.dropped_until = counter(connection, "dropped_until")

    def _open_writer(self) -> None:
        if self.config is not None and self.config.archive:
            require_parquet()
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FileLock(self.data_dir / f"{FILE}.lock")
        self._lock.take()
        rescue.finish(self.path, self.damage)
        if self.damage.note.exists() and self.path.exists():
            rescue.rescue(self.path, self.damage)
        try:
            self._load()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.damage.found(str(self.path), str(error))
            if self._writer is not None:
                self._writer.close()
            self._readers.close()
            self._reset()
            rescue.rescue(self.path, self.damage)
            self._load()

    def _load(self) -> None:
        connection = self._writer = create_or_upgrade(self.path)
        self._index.load_metrics(connection)
        self._has_late = counter(connection, "late_chunks") > 0
        self.dropped_until = counter(connection, "dropped_until")
        log.replay(connection, self._head, 0, self.damage)

    def close(self) -> None:
        """Close; what is not sealed is in the log. Idempotent."""
        with self._write:
            self._readers.close()
            if self._writer is not None:
                try:
                    self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                except sqlite3.Error as error:  # the log keeps everything: only tell
                    self.damage.found(str(self.path), f"checkpoint at closing: {error}")
                self._writer.close()
                self._writer = None
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            self._open = False

    # --- writing --------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The writer's connection, for the caller alone. Raises StoreError."""
        with self._write:
            if self._writer is None:
                raise StoreError(f"{self.path} is not open for writing")
            yield self._writer

    def transaction(self, work: Callable[[], object]) -> None:
        """Do ``work`` as one: all of it or nothing. Raises StoreFull, StoreError."""
        with self.writing() as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                work()
                connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                self._roll_back(connection)
                raise self._told(error) from error
            except BaseException:
                self._roll_back(connection)
                raise

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                self.damage.found(str(self.path), f"rolling back: {error}")

    def _told(self, error: sqlite3.Error | OSError) -> StoreError:
        if is_damage(error):
            self.damage.found(str(self.path), str(error))
            self.damage.save_next_time()
        return told(error, self.path)

    def wrote(self, count: int) -> None:
        """``count`` bytes went to the write-ahead log."""
        self._wal_bytes += count

    def intern(self, series: Sequence[tuple[Labels, Metric]]) -> NDArray[np.int64]:
        """Refs int64[n] of the given series, made where new."""
        with self.writing() as connection:
            refs = {labels: self._index.known(labels) for labels, _ in series}
            new = [(labels, metric) for labels, metric in series if refs[labels] is None]
            if new:
                made: dict[Labels, int] = {}
                self.transaction(lambda: made.update(self._index.add(connection, new)))
                self._index.remember(made, new)
                self._index.shrink(max(self._head.active() // 2, len(series)))
                refs.update(made)
                self.series_version += 1
            out = np.array([refs[labels] for labels, _ in series], np.int64)
            self._retention.used(set(out.tolist()))
            return out

    def append(self, batches: Sequence[Batch]) -> None:
        """Store all samples of ``batches``, as one. Raises StoreFull, StoreError: then none is."""
        with self.writing() as connection:
            try:
                self.transaction(lambda: self._append_all(connection, batches))
            except BaseException:
                self._head.roll_back()
                raise
            self._head.commit()
            if self._missing:
                self._missing.clear()
                self.series_version += 1
            if self._wal_bytes > WAL_BYTES:
                self._checkpoint(connection)
            if self._head.nbytes > HEAD_BYTES * 1.5:
                self._relieve(connection)

    def _append_all(self, connection: sqlite3.Connection, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._append_one(connection, batch)
        if self._missing:
            self._retention.revive(connection, self._missing)

    def _append_one(self, connection: sqlite3.Connection, batch: Batch) -> None:
        refs, t_ms, values = checked(batch)
        if not len(refs):
            return
        placed = self._head.place(refs, t_ms, values, self._refset)
        if placed.block is not None:
            assert isinstance(t_ms, int)
            refset = placed.block.refset
            number = log.write_row(connection, refset, t_ms, values)
            self._head.logged(placed.block, refset, number)
            self._wal_bytes += values.nbytes
        else:
            assert placed.piece is not None
            log.write_loose(connection, placed.piece)
            self._wal_bytes += 24 * len(placed.piece)
            if placed.late is not None:
                rollups.note_late(connection, placed.late)

    def _refset(self, refs: NDArray[np.int64]) -> int:
        with self.writing() as connection:
            number = connection.execute(
                "INSERT INTO refsets (refs) VALUES (?)", (refs.tobytes(),)
            ).lastrowid
            assert number is not None
            return number

    def _newest_of(self, refs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        with self._readers.lend() as connection:
            if not self._read_only:
                self._missing |= self._index.missing(connection, refs.tolist(), self.damage)
            late_too = self._has_late or self._read_only
            return newest_times(connection, refs, late_too, self.damage)

    # --- reading --------------------------------------------------------------------------------

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection to read from, with a head that is at least as new."""
        if self._read_only:
            return snapshot(self._readers, self._write, self._follow)
        return self._readers.lend()

    def _follow(self, connection: sqlite3.Connection) -> None:
        """Bring the head of a read-only store up to the log of ``connection``'s snapshot."""
        generation = counter(connection, "generation")
        if generation != self._replayed[0]:
            self._head = Head(self._newest_of)
            self._replayed = (generation, 0)
        newest = log.replay(connection, self._head, self._replayed[1], self.damage)
        self._replayed = (generation, newest)
        self.dropped_until = counter(connection, "dropped_until")

    def select(
        self,
        matchers: Sequence[Matcher],
        t_min: int | None = None,
        t_max: int | None = None,
        limit: int | None = None,
    ) -> list[Series]:
        """Series that fit all matchers (and may have samples in [t_min, t_max]), by labels."""
        key, version = tuple(matchers), self.series_version
        timeless = t_min is None and t_max is None
        known = None if self._read_only else self._remembered.get(key, version)
        if timeless and known is not None:
            return known[:limit]
        with self._told_errors(), self._reading() as connection:
            head = self._head
            if known is None:
                refs = self._index.candidates(connection, matchers)
                # The times first: those that have ended may be many, and stay out of memory.
                kept_refs = refs
                if not timeless:
                    kept_refs = in_range(connection, head, refs, t_min, t_max)
                known = self._index.fitting(connection, matchers, kept_refs)
                if len(kept_refs) == len(refs) and not self._read_only:
                    self._remembered.put(key, version, known)
            elif not timeless:
                kept = set(in_range(connection, head, [s.ref for s in known], t_min, t_max))
                if len(kept) < len(known):
                    known = [series for series in known if series.ref in kept]
        return known[:limit]

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._told(error) from error

    def series(self, refs: Sequence[int]) -> list[Series]:
        """The series of ``refs``; unknown refs are left out."""
        with self._told_errors(), self._reading() as connection:
            return self._index.series(connection, [int(ref) for ref in refs])

    def metrics(self) -> list[Metric]:
        """All metrics known, by name."""
        if self._read_only:
            with self._told_errors(), self._reading() as connection:
                self._index.load_metrics(connection)
        return self._index.metrics()

    def read(self, refs: Sequence[int], t_min: int, t_max: int) -> list[Column]:
        """Raw samples with t_min <= t <= t_max, a Column for each ref in order (may be empty)."""
        wanted = np.asarray(refs, np.int64)
        if not len(wanted):
            return []
        out: list[Column] = []
        with self._told_errors(), self._reading() as connection:
            # The head first: what is sealed meanwhile is then seen twice, never not at all.
            head = parts_of(self._head.snapshot(), wanted, t_min, t_max)
            late = self._has_late or self._read_only
            for ref in wanted.tolist():
                parts = read_chunks(connection, ref, t_min, t_max, late, self.damage)
                t_ms, values = join(parts + head.get(ref, []))
                out.append(Column(t_ms, values))
        return out

    def read_columns(
        self, refs: Sequence[int] | NDArray[np.int64], t_min: int, t_max: int, spend: Spend
    ) -> Columns:
        """What ``read`` reads, in few arrays; ``spend`` is told of samples as they come."""
        wanted = np.asarray(refs, np.int64)
        with self._told_errors(), self._reading() as connection:
            head = self._head.snapshot()  # first, as in ``read``
            late = self._has_late or self._read_only
            return read_columns(
                connection, head, wanted, t_min, t_max, late, self.damage, self._decoded, spend
            )

    def count_chunks(self, refs: NDArray[np.int64], t_min: int, t_max: int) -> int:
        """How many sealed chunks a ``read`` looks at."""
        with self._told_errors(), self._reading() as connection:
            return count_chunks(connection, refs, t_min, t_max)

    # --- rollups --------------------------------------------------------------------------------

    def read_windows(
        self, refs: Sequence[int], level_ms: int, t_min: int, t_max: int
    ) -> list[list[Windows]]:
        """Stored windows that overlap [t_min, t_max]: for each ref its parts in time order."""
        with self._told_errors(), self._reading() as connection:
            return rollups.read(connection, refs, level_ms, t_min, t_max, self.damage)

    def watermarks(self, refs: Sequence[int], level_ms: int) -> NDArray[np.int64]:
        """int64[n]: for each ref the end (ms, exclusive) of what the level holds; 0 if nothing."""
        with self._told_errors(), self._reading() as connection:
            return rollups.watermarks(connection, refs, level_ms)

    def levels(self) -> list[int]:
        """Rollup levels that there are windows of, in ms, finest first."""
        with self._told_errors(), self._reading() as connection:
            return rollups.levels(connection)

    def write_windows(self, parts: Sequence[tuple[Ref, Windows]]) -> None:
        """Store windows, each replacing what is there in its span."""
        with self.writing() as connection:
            self.transaction(lambda: self.wrote(rollups.write(connection, parts, self.damage)))

    def late_since_rollup(self) -> list[tuple[Ref, int, int]]:
        """(ref, t_min, t_max) of late samples in spans that may be rolled up already."""
        with self._told_errors(), self._reading() as connection:
            return list(rollups.late_spans(connection))

    def clear_late(self, spans: Sequence[tuple[Ref, int, int]]) -> None:
        """Forget spans of ``late_since_rollup``; one that more samples came into stays."""
        with self.writing() as connection:
            self.transaction(lambda: rollups.clear_late(connection, spans))

    def sealed_until(self, refs: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the newest time (ms, inclusive) that is in a sealed chunk; 0 if none."""
        with self._told_errors():
            _, sealed = self._newest_of(np.asarray(refs, np.int64))
        return np.where(sealed == NEVER, 0, sealed)

    def sealed_since(self, refs: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the oldest time (ms) that is in a chunk; 0 if none."""
        with self._told_errors(), self._reading() as connection:
            return np.array([oldest_time(connection, int(ref)) for ref in refs], np.int64)

    def before_drop(
        self, callback: Callable[[Sequence[int], int], None], align_ms: int = 1
    ) -> None:
        """Call ``callback(refs, t_max)`` before retention drops raw samples up to ``t_max``.

        What is too old goes in whole spans of ``align_ms``: a window is folded from all its
        samples, late ones too, until it is older than that.
        """
        self.before_drop_callback, self.drop_align_ms = callback, align_ms

    def take_sealed(self) -> list[int]:
        """Refs of the series that got sealed samples since the last call."""
        with self._write:
            return self._sealer.take_sealed()

    # --- records ----------------------------------------------------------------------------------

    def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
        """Store rows (id, updated_ms, JSON), all or none. Raises StoreFull, StoreError."""
        with self.writing() as connection:
            self.transaction(lambda: self.wrote(records.put(connection, kind, rows)))

    def records(self, kind: str) -> Iterator[tuple[str, int, str]]:
        """All rows (id, updated_ms, JSON) of a kind, by id. Raises StoreError."""
        with self._told_errors():
            yield from records.read(self._reading, kind, self.path, self.damage)

    def remove_records(self, kind: str, ids: Sequence[str]) -> None:
        """Forget rows. Raises StoreFull, StoreError."""
        with self.writing() as connection:
            self.transaction(lambda: records.remove(connection, kind, ids))

    # --- housekeeping -----------------------------------------------------------------------------

    def maintain(self, now_ms: int) -> None:
        """Sealing, retention, vacuum and checkpoints, a bounded piece of each."""
        try:
            with self.writing() as connection:
                self._sealer.close_due(now_ms)
                deadline = time.perf_counter() + SEAL_SECONDS
                if self._sealer.step(connection, now_ms, deadline, time.perf_counter):
                    self._sealed(connection)
                if self._wal_bytes > WAL_BYTES // 4:
                    self._checkpoint(connection)
            self._retention.step(now_ms)
            self._decoded.let_go(now_ms / 1000)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def seal(self) -> None:
        """Seal all samples now, checkpoint and give free pages back."""
        try:
            with self.writing() as connection:
                self._sealer.seal_all(connection)
                self._sealed(connection)
                connection.execute(retention.FORGET_REFSETS)
                retention.give_back(connection)
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._wal_bytes = 0
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _sealed(self, connection: sqlite3.Connection) -> None:
        self._has_late = counter(connection, "late_chunks") > 0
        self.wrote(WAL_BYTES // 8)

    def _relieve(self, connection: sqlite3.Connection) -> None:
        """Seal at once: samples come faster than ``maintain`` is called."""
        try:
            self._sealer.relieve(connection)
            self._sealed(connection)
        except sqlite3.Error as error:  # this batch is stored; the next seal tries again
            self._told(error)
            self.damage.found(f"{self.path}, sealing", str(error))

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        try:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._wal_bytes = 0
        except sqlite3.Error as error:  # everything is in the write-ahead log; the next one tries
            self._told(error)
            self.damage.found(f"{self.path}, checkpoint", str(error))

    def forget_idle(self) -> None:
        """Let the head forget all series that it has no samples of."""
        self._head.forget_idle(spare=0)

    def is_live(self, ref: int) -> bool:
        """Whether the head knows a series."""
        return self._head.slot(ref) is not None

    def live_refsets(self) -> list[int]:
        """Sets of series that blocks of the head go by."""
        return sorted({block.refset for block in self._head.all_blocks()})

    def dropped(self, t_end: int) -> None:
        """Retention took samples before ``t_end``."""
        self.dropped_until = max(self.dropped_until, t_end)
        self.wrote(PAGE_BYTES * retention.CHUNKS_AT_ONCE // 4)

    def series_gone(self, refs: set[int]) -> None:
        """Retention forgot series."""
        self._index.forget(refs)
        self.series_version += 1

    # --- what can be asked ------------------------------------------------------------------------

    @property
    def problems(self) -> list[Problem]:
        """Damage found so far."""
        return list(self.damage.problems)

    def stats(self) -> StoreStats:
        """Sizes and counts at one moment; cheap enough to ask every few seconds."""
        with self._told_errors(), self._write, self._reading() as connection:
            return statistics.stats_of(connection, self._head, self.path, self.damage.count)

    def check(self, progress: Progress | None = None) -> list[Problem]:
        """Read everything; what is damaged, by name and time range."""
        with self._told_errors(), self._reading() as connection:
            problems, pages = checking.check(connection, self.path, progress)
        if pages:
            self.damage.save_next_time()
        return problems

    def backup(self, target: Path, progress: Progress | None = None) -> None:
        """A consistent copy while running, in a file of mode 0600."""
        try:
            checking.backup(self.path, Path(target), progress)
        except (sqlite3.Error, OSError) as error:
            raise told(error, Path(target)) from error

    def export(
        self, path: Path, format: str, matchers: Sequence[Matcher] = (),
        t_min: int | None = None, t_max: int | None = None, progress: Progress | None = None,
        refs: Sequence[int] | None = None,
    ) -> int:  # fmt: skip
        """Write samples as "parquet", "csv" or "openmetrics"; how many. ``refs``: of these only."""
        return transfer.export(self, Path(path), format, matchers, t_min, t_max, progress, refs)

    def import_(self, path: Path, format: str, progress: Progress | None = None) -> int:
        """Read a file that ``export`` (or another program) wrote; how many samples."""
        return transfer.import_(self, Path(path), format, progress)
