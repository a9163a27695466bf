"""Stores with samples in them, for the tests beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from barograph.model import Batch, Labels, Metric
from barograph_sqlite import Config
from barograph_sqlite.store import SqliteStore

T0 = 1_700_000_000_000 // 3_600_000 * 3_600_000
FOREVER = 2**62
HOUR = 3_600_000


def opened(folder: Path, *, read_only: bool = False, **options: Any) -> SqliteStore:
    """An open store in ``folder``."""
    store = SqliteStore(folder, Config(**options))
    store.open(read_only=read_only)
    return store


def interned(store: SqliteStore, n: int, first: int = 0) -> NDArray[np.int64]:
    """``n`` series of one metric, by the label ``i``."""
    numbers = range(first, first + n)
    return store.intern([(Labels.of("m", {"i": str(i)}), Metric("m")) for i in numbers])


def fill(
    store: SqliteStore, refs: NDArray[np.int64], start: int, n: int, step: int = 1000
) -> NDArray[np.float64]:
    """``n`` ticks of random values; them, [ticks, series]."""
    values = np.random.default_rng(start % 2**31).normal(0, 1, (n, len(refs)))
    for i in range(n):
        store.append([Batch(refs, start + i * step, values[i])])
    return values


def all_samples(store: SqliteStore, refs: NDArray[np.int64]) -> list[dict[int, float]]:
    """For each series its samples by time."""
    return [
        dict(zip(c.t_ms.tolist(), c.values.tolist(), strict=True))
        for c in store.read(refs.tolist(), -FOREVER, FOREVER)
    ]
