"""Stores with known truth in them, and a monitor around one that a test feeds by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from barograph import Batch, Labels, Metric, MetricKind, PluginManager
from barograph.config import Config as KernelConfig
from barograph.engines import find_engine
from barograph.inquiry import Inquiry
from barograph_sqlite.store import SqliteStore

END = 1_800_000_000_000
"""Fri 15 Jan 2027 08:00 UTC: where made-up data end."""

HOUR, DAY = 3_600_000, 86_400_000


def times(span_ms: int, step_ms: int = 60_000) -> Any:
    """Evenly spaced times up to END."""
    return np.arange(END - span_ms, END + 1, step_ms, dtype=np.int64)


def fill(folder: Path, t_ms: Any, rows: Mapping[Labels, Any]) -> None:
    """Write rows of values at these times to a store; names ending with _total are counters."""
    store = SqliteStore(folder)
    store.open()
    put(store, t_ms, rows)
    store.close()


def put(store: SqliteStore, t_ms: Any, rows: Mapping[Labels, Any]) -> None:
    """The same to a store that is open."""
    kinds = {True: MetricKind.COUNTER, False: MetricKind.GAUGE}
    series = [(one, Metric(one.name, kinds[one.name.endswith("_total")])) for one in rows]
    refs = store.intern(series)
    values = np.stack([np.broadcast_to(row, len(t_ms)) for row in rows.values()])
    for first in range(0, len(t_ms), 500):
        t, x = t_ms[first : first + 500], values[:, first : first + 500]
        store.append([Batch(np.repeat(refs, len(t)), np.tile(t, len(refs)), x.ravel())])


@contextmanager
def asked(folder: Path, **given: Any) -> Iterator[Inquiry]:
    """Questions to the store in a folder."""
    store = SqliteStore(folder)
    store.open(read_only=True)
    plugins = PluginManager()
    plugins.load(KernelConfig())
    try:
        yield Inquiry(store, find_engine(plugins), seconds=300, **given)
    finally:
        store.close()


def noise(n: int, seed: int, level: float = 0.0, spread: float = 1.0) -> Any:
    return np.random.default_rng(seed).normal(level, spread, n)


VAR = Labels.of("system_filesystem_usage_bytes", {"mountpoint": "/var"})
MEMORY = Labels.of("system_memory_usage_bytes", {"state": "used"})
CPU = Labels.of("system_cpu_utilization_ratio")
DISK = Labels.of("system_disk_io_bytes_total", {"device": "sda", "direction": "write"})
QUIET = Labels.of("system_temperature_celsius", {"sensor": "cpu"})


def a_day(seed: int = 1) -> tuple[Any, dict[Labels, Any]]:
    """24 h with a drift (/var, 5 GB a day), a step (memory, 1 GB up 6 h before the end), a counter
    that doubles its pace 4 h before the end, and what is quiet."""
    t = times(DAY)
    n = len(t)
    at = np.arange(n)
    pace = np.where(t < END - 4 * HOUR, 2e6, 5e6) * np.random.default_rng(seed).uniform(0.9, 1.1, n)
    return t, {
        VAR: 40e9 + 5e9 * at / n + noise(n, seed, spread=2e7),
        MEMORY: np.where(t < END - 6 * HOUR, 2e9, 3e9) + noise(n, seed + 1, spread=3e7),
        CPU: np.clip(noise(n, seed + 2, 0.3, 0.02), 0, 1),
        DISK: np.cumsum(pace * 60),
        QUIET: noise(n, seed + 3, 50, 0.4),
    }
