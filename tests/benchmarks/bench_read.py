"""Reading one hour of one series out of 10,000 series and a day, in a warm process.

Series and hours are picked at random over the day: most hours lie in sealed chunks, the last ones
in the head. The file is in the system's cache. A range query as the page asks it (a chart of one
series, 300 points) is told beside it.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from measuring import Figure, main, percentile, spending, tell
from samples import DAY_S, START_MS, gauge_series, gauges, spread

from barograph.aggregator import DataAggregator
from barograph.config import Config
from barograph.model import Batch
from barograph.query import RangeQuery
from barograph.range import evaluate_range
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite.store import SqliteStore

STEP_MS = 10_000
HOUR_MS = 3_600_000
READS = 2000


def filled(folder: Path, n: int, ticks: int) -> SqliteStore:
    """A store with a day of ``n`` series, sealed as a running monitor would have."""
    values = gauges(n, 1440)
    drift = values[-1] - values[0]
    store = SqliteStore(folder)
    store.open()
    refs = store.intern(gauge_series(n))
    for i in range(ticks):
        now_ms = START_MS + i * STEP_MS
        row = (values[i % 1440] + i // 1440 * drift).round(2)
        store.append([Batch(refs, now_ms, row)])
        for _ in range(10):
            store.maintain(now_ms)
    return store


def measure(quick: bool, rounds: int) -> list[Figure]:
    n, ticks = (1000 if quick else 10_000), DAY_S // 10
    medians: list[float] = []
    tails: list[float] = []
    cpu: list[float] = []
    charts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        tell(f"read: writing {n:,} series x {ticks:,} ticks")
        store = filled(Path(folder), n, ticks)
        aggregator = DataAggregator(store, RollupAggregator(), Config().rollup.levels_ms)
        for i in range(rounds):
            tell(f"read: round {i + 1} of {rounds}")
            refs = spread(range(1, n + 1), READS, seed=i)
            starts = spread(range(START_MS, START_MS + ticks * STEP_MS - HOUR_MS, 1000), READS, i)
            for ref, start in zip(refs, starts, strict=True):  # warm: this round's pages
                store.read([ref], start, start + HOUR_MS)
            took: list[float] = []
            with spending() as spent:
                for ref, start in zip(refs, starts, strict=True):
                    began = time.perf_counter()
                    (column,) = store.read([ref], start, start + HOUR_MS - 1)
                    took.append(1000 * (time.perf_counter() - began))
                    assert len(column) == HOUR_MS // STEP_MS
            medians.append(percentile(took, 0.5))
            tails.append(percentile(took, 0.99))
            cpu.append(1000 * spent.cpu / READS)
            query = RangeQuery(('bench_gauge{n="7"}',))
            for start in starts[:50]:
                began = time.perf_counter()
                evaluate_range(store, aggregator, query, start, start + HOUR_MS, 300)
                charts.append(1000 * (time.perf_counter() - began))
        store.close()
    text = f"one hour of one series out of {n:,} and a day"
    return [
        Figure(f"read: {text}, median", "ms", medians, "less", 1.0),
        Figure(f"read: {text}, p99", "ms", tails, "less"),
        Figure(f"read: {text}, CPU time a read", "ms", cpu, "less"),
        Figure("read: the same as a chart's query, by labels", "ms", charts, "less"),
    ]


if __name__ == "__main__":
    main(measure, rounds=3)
