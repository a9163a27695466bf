"""Chunks that were sealed with few samples join those that come after them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plugins.sqlite.filling import FOREVER, HOUR, T0, interned, opened

from barograph.model import Batch
from barograph_sqlite.block import BLOCK_ROWS
from barograph_sqlite.sealing import MAX_AGE_MS, SMALL_ROWS
from barograph_sqlite.store import SqliteStore

STEP = 10_000


def record(
    store: SqliteStore, refs: NDArray[np.int64], start: int, n: int
) -> NDArray[np.float64]:  # fmt: skip
    """``n`` ticks with housekeeping, at ten seconds."""
    values = np.random.default_rng(start % 2**31).normal(0, 1, (n, len(refs)))
    for i in range(n):
        now = start + i * STEP
        store.append([Batch(refs, now, values[i])])
        store.maintain(now)
    return values


def chunks(store: SqliteStore) -> list[Any]:
    with store.writing() as connection:
        return connection.execute(
            "SELECT ref, late, t_min, t_max, n FROM chunks ORDER BY ref, late, t_max"
        ).fetchall()


def test_a_slow_series_is_sealed_often_and_still_has_long_chunks(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    ticks = 2 * BLOCK_ROWS
    values = record(store, refs, T0, ticks)
    assert store._head.samples <= 3 * (MAX_AGE_MS // STEP + 2)
    found = chunks(store)
    assert len(found) <= 3 * 3
    assert all(n > BLOCK_ROWS // 2 for *_, n in found[::3])
    for i, column in enumerate(store.read(refs.tolist(), 0, FOREVER)):
        assert column.t_ms.tolist() == list(range(T0, T0 + ticks * STEP, STEP))
        assert np.array_equal(column.values, values[:, i])
    assert store.stats().samples == 3 * ticks
    assert store.stats().chunks == len(found)
    assert store.check() == []
    store.close()


def test_after_a_restart_joining_goes_on(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    ticks = MAX_AGE_MS // STEP + 5
    first = record(store, refs, T0, ticks)
    before = chunks(store)
    assert len(before) == 3
    store.close()
    store = opened(tmp_path)
    second = record(store, refs, T0 + ticks * STEP, ticks)
    after = chunks(store)
    assert len(after) == 3
    assert all(new[4] > old[4] for old, new in zip(before, after, strict=True))
    (column, *_) = store.read(refs.tolist(), 0, FOREVER)
    assert np.array_equal(column.values, np.append(first[:, 0], second[:, 0]))
    assert store.check() == []
    store.close()


def test_a_late_sample_stays_beside_a_chunk_that_grows(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 2)
    ticks = MAX_AGE_MS // STEP + 5
    record(store, refs, T0, ticks)
    store.append([Batch(refs[:1], T0 + 5, np.array([7.0]))])
    record(store, refs, T0 + ticks * STEP, ticks)
    store.seal()
    (column, other) = store.read(refs.tolist(), 0, FOREVER)
    assert column.t_ms[:2].tolist() == [T0, T0 + 5]
    assert (column.values[1], len(column), len(other)) == (7.0, 2 * ticks + 1, 2 * ticks)
    assert store.stats().samples == 4 * ticks + 1
    assert store.check() == []
    store.close()


def test_a_damaged_chunk_is_not_joined(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 1)
    ticks = MAX_AGE_MS // STEP + 5
    record(store, refs, T0, ticks)
    with store.writing() as connection:
        connection.execute("UPDATE chunks SET body = zeroblob(length(body))")
    second = record(store, refs, T0 + ticks * STEP, ticks)
    store.seal()
    assert ticks > SMALL_ROWS
    (column,) = store.read(refs.tolist(), 0, FOREVER)
    assert np.array_equal(column.values[-ticks:], second[:, 0])
    assert len(store.check()) == 1
    store.close()


def test_a_chunk_that_retention_took_does_not_come_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 1)
    record(store, refs, T0, MAX_AGE_MS // STEP + 5)
    sealer, head = store._sealer, store._head
    later = T0 + 2 * HOUR
    for i in range(SMALL_ROWS):
        store.append([Batch(refs, later + i * 1000, np.array([1.0]))])
    with store.writing() as connection:
        for block in list(head.blocks.values()):
            head.freeze(block)
        for _ in head.frozen:
            assert sealer._next_block(whole=False)
            assert sealer._job is not None
            sealer._encode(sealer._job, connection, float("inf"), lambda: 0.0)
            if sealer._job.replaced:
                break
            sealer._finish_block(connection)
        job = sealer._job
        assert job is not None
        assert job.replaced
        connection.execute("DELETE FROM chunks")
        sealer._finish_block(connection)
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    store.maintain(later + HOUR)
    (column,) = store.read(refs.tolist(), 0, FOREVER)
    assert column.t_ms[0] >= T0 + MAX_AGE_MS
    store.close()
