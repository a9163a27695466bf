"""Bytes a sample on disk, everything counted, for a recorded host and for two-decimal gauges.

Driven as the running monitor does it: a tick is a commit; sealing, retention and rollups have
their turns on simulated time. At the end all is sealed and closed, and the sizes of the file and
of what SQLite keeps beside it are added up. Once without rollups, once with.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import Figure, main, tell
from numpy.typing import NDArray
from samples import DAY_S, HOST, START_MS, Columns, gauge_series, gauges, recording

from barograph.aggregator import LOOK_EVERY_MS, DataAggregator
from barograph.config import Config
from barograph.model import Batch
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import Config as StoreConfig
from barograph_sqlite.store import FILE, SqliteStore

KEEP_EVERY_MS = 1000
"""Simulated time between two turns of housekeeping, as in the writer's thread."""

Ticks = Iterator[tuple[int, "NDArray[object]"]]


def fill(folder: Path, series: Columns, ticks: Ticks, rollups: bool) -> tuple[int, dict[str, int]]:
    """Write a day; (samples, bytes by part)."""
    store = SqliteStore(folder, StoreConfig())
    store.open()
    levels = Config().rollup.levels_ms
    aggregator = DataAggregator(store, RollupAggregator(), levels) if rollups else None
    refs = store.intern(series)
    samples, kept_ms, now_ms = 0, 0, 0
    for now_ms, values in ticks:
        store.append([Batch(refs, now_ms, values)])
        samples += len(refs)
        kept_ms = kept_ms or now_ms
        while kept_ms < now_ms:
            kept_ms += KEEP_EVERY_MS
            store.maintain(kept_ms)
            if aggregator is not None:
                aggregator.maintain(kept_ms)
    store.seal()
    if aggregator is not None:
        while aggregator.maintain(now_ms := now_ms + LOOK_EVERY_MS):
            pass
    store.close()
    parts = parts_of(store)
    sizes = {path.name: path.stat().st_size for path in folder.glob(f"{FILE}*")}
    tell(f"  files: {sizes}; of these {parts}")
    return samples, {"all": sum(sizes.values()), **parts}


def parts_of(store: SqliteStore) -> dict[str, int]:
    """Bytes of the compressed bodies (without SQLite's pages, rows and indexes)."""
    import sqlite3

    with sqlite3.connect(f"file:{store.path}?mode=ro", uri=True) as connection:
        return {
            table: connection.execute(
                f"SELECT coalesce(sum(length(body)), 0) FROM {table}"
            ).fetchone()[0]
            for table in ("chunks", "windows")
        }


def day_of_gauges(quick: bool) -> tuple[Columns, Callable[[], Ticks]]:
    n, ticks = (200 if quick else 2000), DAY_S // 10
    values = gauges(n, ticks)
    return gauge_series(n), lambda: ((START_MS + i * 10_000, values[i]) for i in range(ticks))


def day_of_a_host(quick: bool) -> tuple[Columns, Callable[[], Ticks]]:
    host = recording()
    return host.series, lambda: host.ticks(DAY_S // (6 if quick else 1))


def measure(quick: bool, rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    for name, make in (
        ("2,000 two-decimal gauges, 10 s, a day", day_of_gauges),
        ("a host's node_exporter, 1 s, a day", day_of_a_host),
    ):
        if make is day_of_a_host and not HOST.exists():
            tell(f"disk: {name}: skipped, there is no {HOST}")
            continue
        series, ticks = make(quick)
        for rollups in (False, True):
            text = "with rollups" if rollups else "without rollups"
            tell(f"disk: {name}, {text}")
            with tempfile.TemporaryDirectory() as folder:
                samples, sizes = fill(Path(folder), series, ticks(), rollups)
            note = ", ".join(f"{k} {v / samples:.3f}" for k, v in sizes.items() if k != "all")
            figures.append(
                Figure(f"disk: {name}, {text}", "bytes/sample", [sizes["all"] / samples], "less",
                       1.5, note=f"of these bodies: {note}")
            )  # fmt: skip
    return figures


if __name__ == "__main__":
    main(measure, rounds=1)
