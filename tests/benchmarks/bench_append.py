"""Columnar append to a durable store on one core, against a row for each sample in SQLite.

A tick of all series is one commit on both sides: SQLite in WAL mode with synchronous=NORMAL, so
that what was acknowledged survives ``kill -9``. The peer's table is the usual one: series, time,
value, an index over (series, time), ``executemany`` in one transaction a tick. It gets fewer
ticks: it only becomes slower as its index grows.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import numpy as np
from measuring import Figure, Spent, main, spending, tell
from numpy.typing import NDArray
from samples import START_MS, gauge_series, gauges

from barograph.model import Batch
from barograph_sqlite.store import SqliteStore

STEP_MS = 10_000


def ours(values: NDArray[np.float64], folder: Path) -> tuple[Spent, Spent]:
    """Appending, and the sealing of all of it with the checkpoint afterwards."""
    ticks, n = values.shape
    store = SqliteStore(folder)
    store.open()
    refs = store.intern(gauge_series(n))
    with spending() as appending:
        for i in range(ticks):
            store.append([Batch(refs, START_MS + i * STEP_MS, values[i])])
    with spending() as sealing:
        store.seal()
        store.close()
    return appending, sealing


def rows(values: NDArray[np.float64], folder: Path) -> Spent:
    """The same into a row for each sample, checkpoint included."""
    ticks, n = values.shape
    connection = sqlite3.connect(folder / "rows.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -65536")  # the index fits: the peer at its best
    connection.execute("CREATE TABLE samples (series INTEGER, t INTEGER, value REAL)")
    connection.execute("CREATE INDEX by_series ON samples (series, t)")
    refs = range(n)
    with spending() as spent:
        for i in range(ticks):
            t_ms = START_MS + i * STEP_MS
            connection.execute("BEGIN")
            connection.executemany(
                "INSERT INTO samples VALUES (?, ?, ?)",
                zip(refs, [t_ms] * n, values[i].tolist(), strict=True),
            )
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()
    return spent


def measure(quick: bool, rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    for n, ticks, peer_ticks in ((1000, 7200, 500), (10_000, 1440, 50)):
        if quick:
            ticks, peer_ticks = ticks // 4, peer_ticks // 4
        values = gauges(n, ticks)
        found: dict[str, list[float]] = {"wall": [], "cpu": [], "all_wall": [], "all_cpu": []}
        peer: dict[str, list[float]] = {"wall": [], "cpu": []}
        for i in range(rounds):
            tell(f"append: {n} series, round {i + 1} of {rounds}")
            with tempfile.TemporaryDirectory() as folder:
                appending, sealing = ours(values, Path(folder))
            with tempfile.TemporaryDirectory() as folder:
                theirs = rows(values[:peer_ticks], Path(folder))
            samples = n * ticks
            found["wall"].append(samples / appending.wall)
            found["cpu"].append(samples / appending.cpu)
            found["all_wall"].append(samples / (appending.wall + sealing.wall))
            found["all_cpu"].append(samples / (appending.cpu + sealing.cpu))
            peer["wall"].append(n * peer_ticks / theirs.wall)
            peer["cpu"].append(n * peer_ticks / theirs.cpu)
        text = f"{n:,} series x {ticks:,} ticks"
        for key, what, clock in (
            ("wall", "append", "wall"), ("cpu", "append", "cpu"),
            ("all_wall", "append, seal, checkpoint", "wall"),
            ("all_cpu", "append, seal, checkpoint", "cpu"),
        ):  # fmt: skip
            name = f"{what}: {text}, by {'wall time' if clock == 'wall' else 'CPU time'}"
            figures.append(Figure(name, "samples/s", found[key], "more", 3e6, "rows in SQLite",
                                  peer[clock], 10.0))  # fmt: skip
    return figures


if __name__ == "__main__":
    main(measure, rounds=3)
