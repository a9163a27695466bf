"""``kill -9`` at random moments: what was acknowledged is there, and nobody has to repair anything.

A forked writer appends batches whose contents follow from their number, and tells each number on a
pipe once ``append`` has returned. In between it seals, rolls up, drops what is old, gives pages
back and makes backups, with limits so small that all of it happens all the time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import struct
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from barograph.aggregator import DataAggregator
from barograph.model import Batch, Labels, Metric
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import Config
from barograph_sqlite.store import SqliteStore

FULL = os.environ.get("BAROGRAPH_FULL") == "1"
ROUNDS = 200 if FULL else 8
ROUNDS_A_FILE = 20
T0 = 1_700_000_000_000 // 3_600_000 * 3_600_000
SERIES = 6
SETS = ([0, 1, 2], [3, 4], [5], [0, 1, 2, 3, 4, 5])
RAW_S = 300
LEVELS = (5_000, 60_000, 300_000)
PATCHES = {
    "barograph_sqlite.head": {"BLOCK_ROWS": 24},
    "barograph_sqlite.sealing": {
        "BLOCK_ROWS": 24, "SMALL_ROWS": 4, "LOOSE_SAMPLES": 60, "LOOSE_PER_SERIES": 0,
    },
    "barograph_sqlite.retention": {
        "EVERY_MS": 0, "CHUNKS_AT_ONCE": 5, "VACUUM_PAGES": 2, "FREE_SHARE": 0.0, "SWEEP_MS": 0,
    },
    "barograph_sqlite.store": {"WAL_BYTES": 60_000},
    "barograph_sqlite.checking": {"BACKUP_PAGES": 2},
    "barograph.aggregator": {
        "MIN_WINDOWS": 1, "MIN_SAMPLES_PER_WINDOW": 1, "LOOK_EVERY_MS": 0,
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_limits() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module, names in PATCHES.items():
            stack.enter_context(patch.multiple(module, **names))
        yield


def contents(k: int) -> list[tuple[int, int, float]]:
    """(series, t_ms, value) of batch ``k``: mostly ticks of a set, now and then late samples."""
    now = T0 + k * 1000
    if k % 11 == 10:
        return [(i, now - 7_000 * (i + 1) + 1, k + i / 8) for i in range(SERIES)]
    return [(i, now, k + i / 8) for i in SETS[k // 7 % len(SETS)]]


def opened(folder: Path) -> tuple[SqliteStore, DataAggregator, Any]:
    store = SqliteStore(folder, Config(raw_retention=RAW_S, rollup_retention=10**9))
    store.open()
    series = [(Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(SERIES)]
    return store, DataAggregator(store, RollupAggregator(), LEVELS), store.intern(series)


def write(folder: Path, k: int, seed: int, acknowledged: Connection) -> None:
    """Runs in the process that will be killed."""
    rng = random.Random(seed)
    store, aggregator, refs = opened(folder)
    same = [refs[one].copy() for one in SETS]
    while True:
        rows = contents(k)
        t_ms = np.array([t for _, t, _ in rows])
        values = np.array([v for *_, v in rows])
        if (t_ms == t_ms[0]).all():
            batches = [Batch(same[k // 7 % len(SETS)], int(t_ms[0]), values)]
        else:
            cut = rng.randrange(len(rows) + 1)
            which = refs[[i for i, *_ in rows]]
            batches = [
                Batch(which[part], t_ms[part], values[part])
                for part in (slice(None, cut), slice(cut, None))
            ]
        store.append(batches)
        acknowledged.send_bytes(struct.pack("<q", k))
        k += 1
        now = T0 + k * 1000
        if rng.random() < 0.3:
            store.maintain(now)
        if rng.random() < 0.1:
            aggregator.maintain(now)
        if rng.random() < 0.02:
            store.seal()
        if rng.random() < 0.01:
            store.backup(folder / f"backup-{k}.db")


def killed(folder: Path, k: int, rng: random.Random) -> int:
    """Let a writer go on from batch ``k``, kill it; the first batch that is not acknowledged."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=write, args=(folder, k, rng.randrange(2**32), theirs))
    process.start()
    theirs.close()
    end = time.monotonic() + rng.uniform(0.02, 0.3)
    try:
        while time.monotonic() < end:
            if ours.poll(max(end - time.monotonic(), 0)):
                (k,) = struct.unpack("<q", ours.recv_bytes())
                k += 1
    except EOFError:
        process.join(10)
        pytest.fail(f"the writer ended by itself, exit code {process.exitcode}")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    with contextlib.suppress(EOFError, OSError):
        while True:
            (k,) = struct.unpack("<q", ours.recv_bytes())
            k += 1
    ours.close()
    return k


def verify(folder: Path, k: int) -> int:
    """All batches before ``k`` are there, ``k`` itself wholly or not at all; where to go on."""
    store, aggregator, refs = opened(folder)
    columns = store.read(refs.tolist(), 0, 2**62)
    found = {
        (i, t): v
        for i, column in enumerate(columns)
        for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
    }
    last = {(i, t): v for i, t, v in contents(k)}
    there = {key for key, v in last.items() if found.get(key) == v}
    assert there in (set(), set(last)), f"batch {k} is there in part: {sorted(there)}"
    k += bool(there)
    cutoff = T0 + k * 1000 - RAW_S * 1000  # the writer's newest "now", less what is kept
    wanted = {(i, t): v for n in range(k) for i, t, v in contents(n)}
    for key, value in wanted.items():
        if key[1] >= cutoff:
            assert found.get(key) == value, f"lost or wrong: series {key[0]} at {key[1] - T0} ms"
    assert found.items() <= wanted.items(), "samples that nobody wrote"
    for level in LEVELS[1:]:  # rollups are whole also where raw samples are gone
        for i, windows in enumerate(aggregator.windows(refs.tolist(), level, T0 - 10**6, 2**60)):
            counts: dict[int, int] = {}
            for one, t in wanted:
                if one == i:
                    counts[t // level * level] = counts.get(t // level * level, 0) + 1
            assert (
                dict(zip(windows.start_ms.tolist(), windows.count.tolist(), strict=True)) == counts
            )
    assert store.check() == []
    assert store.problems == []
    store.close()
    for backup in folder.glob("backup-*.db"):
        check_backup(backup)
    assert not list(folder.glob("*.damaged*")), "a repair was thought necessary"
    return k


def check_backup(path: Path) -> None:
    folder = path.parent / "restored"
    folder.mkdir(exist_ok=True)
    path.rename(folder / "barograph.db")
    store = SqliteStore(folder)
    store.open()
    assert store.check() == []
    assert store.stats().samples > 0
    store.close()
    (folder / "barograph.db").unlink()


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    seed = int(os.environ.get("BAROGRAPH_SEED") or random.SystemRandom().randrange(2**32))
    rng = random.Random(seed)
    k = acknowledged = 0
    for number in range(ROUNDS):
        if number % ROUNDS_A_FILE == 0:
            folder, k = tmp_path / str(number), 0
        print(f"round {number}, BAROGRAPH_SEED={seed}, from batch {k}")
        before = k
        k = verify(folder, killed(folder, k, rng))
        acknowledged += k - before
    assert acknowledged > ROUNDS, "the writers were killed before they wrote anything"
