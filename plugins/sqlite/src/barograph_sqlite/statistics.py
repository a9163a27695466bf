"""What the store tells of itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from barograph.contracts import StoreStats
from barograph_sqlite.head import Head

OLDEST_CHUNKS = 100
"""Chunks that are looked at for the oldest time: those that end first nearly always begin first."""


def stats_of(connection: sqlite3.Connection, head: Head, path: Path, damaged: int) -> StoreStats:
    """Sizes and counts at one moment; ``connection`` is in a transaction."""
    counters: dict[str, int] = dict(connection.execute("SELECT key, value FROM meta"))
    (oldest,) = connection.execute(
        "SELECT min(t_min) FROM (SELECT t_min FROM chunks ORDER BY t_max LIMIT ?)", (OLDEST_CHUNKS,)
    ).fetchone()
    (newest,) = connection.execute("SELECT max(t_max) FROM chunks").fetchone()
    snapshot = head.snapshot()
    lows = [int(block.times[0]) for block, _ in snapshot.blocks]
    highs = [int(block.times[n - 1]) for block, n in snapshot.blocks]
    waiting = sum(n * len(block.refs) for block, n in snapshot.blocks)
    for piece in (*snapshot.early, snapshot.tidy, *snapshot.recent):
        waiting += len(piece)
        if len(piece):
            lows.append(int(piece.t_ms.min()))
            highs.append(int(piece.t_ms.max()))
    if newest is not None:
        lows.append(oldest)
        highs.append(newest)
    wal = size_of(Path(f"{path}-wal"))
    levels = {
        int(key.removeprefix("windows_")): n
        for key, n in counters.items()
        if key.startswith("windows_")
    }
    return StoreStats(
        series=counters.get("series", 0), samples=counters.get("samples", 0) + waiting,
        chunks=counters.get("chunks", 0), head_samples=waiting,
        bytes_on_disk=size_of(path) + wal + size_of(Path(f"{path}-shm")),
        t_min=min(lows) if lows else None, t_max=max(highs) if highs else None,
        levels={0: counters.get("chunks", 0), **levels}, log_bytes=wal,
        extra={
            "active_series": head.active(), "head_bytes": head.nbytes, "damaged_records": damaged,
        },
    )  # fmt: skip


def size_of(path: Path) -> int:
    """Bytes of a file, 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
