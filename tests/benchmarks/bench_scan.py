"""Scanning and aggregating all sealed chunks on one core: count, sum, min and max of a day.

By ``store.read``, eight series at a time, which decodes times and values, checks each chunk and
joins them: the public way to all samples.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from measuring import Figure, main, spending, tell
from samples import DAY_S, START_MS, gauge_series, gauges

from barograph.model import Batch
from barograph_sqlite.store import SqliteStore

STEP_MS = 10_000


def by_reading(store: SqliteStore, refs: list[int]) -> tuple[int, float, float, float]:
    """count, sum, min, max of all samples of ``refs``."""
    count, total, low, high = 0, 0.0, np.inf, -np.inf
    for start in range(0, len(refs), 8):
        for column in store.read(refs[start : start + 8], 0, 2**62):
            values = column.values
            count += len(values)
            total += float(values.sum())
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return count, total, low, high


def measure(quick: bool, rounds: int) -> list[Figure]:
    n, ticks = (400 if quick else 2000), DAY_S // 10
    values = gauges(n, ticks)
    wall: list[float] = []
    cpu: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        tell(f"scan: writing {n:,} series x {ticks:,} ticks")
        store = SqliteStore(Path(folder))
        store.open()
        refs = store.intern(gauge_series(n))
        for i in range(ticks):
            store.append([Batch(refs, START_MS + i * STEP_MS, values[i])])
        store.seal()
        for i in range(rounds + 1):
            with spending() as spent:
                count, total, low, high = by_reading(store, refs.tolist())
            assert count == values.size
            assert low == values.min()
            assert high == values.max()
            assert abs(total - values.sum()) < 1e-6 * abs(total)
            if i:  # the first round warms the system's cache
                wall.append(count / spent.wall)
                cpu.append(count / spent.cpu)
        store.close()
    text = f"{n:,} series, a day at 10 s"
    return [
        Figure(f"scan: count, sum, min, max, {text}, by wall time", "samples/s", wall, "more", 5e7),
        Figure(f"scan: count, sum, min, max, {text}, by CPU time", "samples/s", cpu, "more", 5e7),
    ]


if __name__ == "__main__":
    main(measure, rounds=3)
