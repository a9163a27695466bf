"""Windows of a real store: the same whether stored or folded when asked for, whatever happens."""

from __future__ import annotations

import math
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from core import naive
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from barograph.aggregator import DataAggregator, empty_windows, splice
from barograph.model import STALE_NAN, Batch, Column, Labels, Metric
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import Config
from barograph_sqlite.retention import size
from barograph_sqlite.store import SqliteStore

T0 = 1_700_000_000_000 // 3_600_000 * 3_600_000
LEVELS = (5_000, 60_000, 300_000, 3_600_000)
ROLLUP = RollupAggregator()
FOREVER = 2**62
RNG = np.random.default_rng(0)


class RollupMachine(RuleBasedStateMachine):
    """Samples in and out of order, sealing, storing of windows, retention, restarts; at any
    moment the windows are those of all samples that were ever written."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(patch.multiple(
            "barograph.aggregator", MIN_WINDOWS=1, MIN_SAMPLES_PER_WINDOW=1, LOOK_EVERY_MS=0,
            STEP_MS=600_000,
        ))  # fmt: skip
        self.stack.enter_context(patch.multiple("barograph_sqlite.retention", EVERY_MS=0))
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.config = Config(raw_retention=2 * 3600, rollup_retention=10**9)
        self.samples: list[dict[int, float]] = [{}, {}, {}]
        self.now = T0
        self.frozen_before = (
            0  # windows before have lost raw samples: late ones change them no more
        )
        self.start()
        series = [(Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(3)]
        self.refs = self.store.intern(series)

    def start(self) -> None:
        self.store = SqliteStore(self.folder, self.config)
        self.store.open()
        self.aggregator = DataAggregator(self.store, ROLLUP, LEVELS)

    def teardown(self) -> None:
        self.ask()
        problems = self.store.check()
        self.store.close()
        self.stack.close()
        assert problems == []

    def put(self, i: int, t: int, v: float) -> None:
        self.samples[i][t] = v

    @initialize()
    def some(self) -> None:
        self.ticks(20, 7_000, [0.0] * 20, 3)

    @rule(n=st.integers(1, 30), step=st.sampled_from([1_000, 7_000, 61_000, 400_000]),
          numbers=st.lists(st.one_of(st.integers(-9, 99).map(float), st.just(math.nan),
                                     st.just(STALE_NAN)), min_size=30, max_size=30),
          series=st.integers(1, 3))  # fmt: skip
    def ticks(self, n: int, step: int, numbers: list[float], series: int) -> None:
        for v in numbers[:n]:
            self.now += step
            row = np.array([v + i for i in range(series)])
            self.store.append([Batch(self.refs[:series].copy(), self.now, row)])
            for i in range(series):
                self.put(i, self.now, float(row[i]))

    @rule(i=st.integers(0, 2), offsets=st.lists(st.integers(-4_000, 10), min_size=1, max_size=5),
          v=st.integers(-50, 50))  # fmt: skip
    def late(self, i: int, offsets: list[int], v: int) -> None:
        times = [max(self.now + 1_000 * o, self.frozen_before) for o in offsets]
        numbers = [float(v + k) for k in range(len(times))]
        batch = Batch(
            np.repeat(self.refs[i : i + 1], len(times)), np.array(times), np.array(numbers)
        )
        self.store.append([batch])
        for t, number in zip(times, numbers, strict=True):
            self.put(i, t, number)

    @rule()
    def seal(self) -> None:
        self.store.seal()

    @rule(times=st.integers(1, 3))
    def roll_up(self, times: int) -> None:
        for _ in range(times):
            self.aggregator.maintain(self.now)

    @rule(later_ms=st.sampled_from([0, 60_000, 1_000_000, 8_000_000]))
    def keep_house(self, later_ms: int) -> None:
        self.now += later_ms
        self.store.maintain(self.now)
        until = self.store.dropped_until
        self.frozen_before = max(self.frozen_before, -(-until // LEVELS[-1]) * LEVELS[-1])

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.start()

    @rule(level=st.sampled_from(LEVELS), low=st.integers(-5000, 0), length=st.integers(0, 6000))
    def ask_for_a_part(self, level: int, low: int, length: int) -> None:
        t_min = self.now + 1000 * low
        self.ask([level], t_min, t_min + 1000 * length)

    @rule()
    def ask(
        self, levels: list[int] | None = None, t_min: int = T0, t_max: int = T0 + 10**12
    ) -> None:
        for level in levels or LEVELS[1:]:
            found = self.aggregator.windows(self.refs.tolist(), level, t_min, t_max)
            for windows, samples in zip(found, self.samples, strict=True):
                wanted = naive.fold(sorted(samples.items()), level)
                first = t_min // level * level
                wanted = {s: w for s, w in wanted.items() if first <= s <= t_max}
                if level < LEVELS[1]:  # not stored: gone with the raw samples
                    floor = self.frozen_before
                    wanted = {s: w for s, w in wanted.items() if s >= floor}
                    windows = splice(windows, empty_windows(level), 0, floor, 0)
                naive.assert_same(windows, wanted)


TestRollups = RollupMachine.TestCase
TestRollups.settings = settings(max_examples=settings().max_examples // 3, stateful_step_count=30)


# --- single cases ---------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path, Config(raw_retention=3600, rollup_retention=10**9))
    store.open()
    yield store
    store.close()


def series(store: SqliteStore, n: int = 1) -> np.ndarray:
    return store.intern([(Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(n)])


def fill(store: SqliteStore, refs: np.ndarray, start: int, n: int, step: int = 1000) -> None:
    for i in range(n):
        store.append([Batch(refs, start + i * step, np.full(len(refs), float(i)))])


def stored_until(store: SqliteStore, refs: np.ndarray, level: int) -> int:
    return int(store.watermarks(refs.tolist(), level)[0])


def roll_up(aggregator: DataAggregator, now_ms: int) -> None:
    """Steps until nothing is left to do, however slow this machine is."""
    while aggregator.maintain(now_ms):
        pass


def test_windows_are_stored_once_enough_is_sealed(store: SqliteStore) -> None:
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store)
    fill(store, refs, T0, 3600)
    roll_up(aggregator, T0)
    assert stored_until(store, refs, 60_000) == 0
    before = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)[0]
    store.seal()
    roll_up(aggregator, T0 + 3_600_000)
    assert stored_until(store, refs, 60_000) == T0 + 59 * 60_000  # the last minute is still open
    after = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)[0]
    naive.same_bits(before, after)
    assert len(after) == 60


def test_a_late_sample_amends_the_window_at_once_and_for_good(store: SqliteStore) -> None:
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store)
    fill(store, refs, T0, 3600)
    store.seal()
    roll_up(aggregator, T0)
    assert stored_until(store, refs, 60_000) > T0
    late = T0 + 90_001
    store.append([Batch(refs, late, np.array([1e6]))])
    for _ in range(2):  # before and after the stored window is made again
        (window,) = aggregator.windows(refs.tolist(), 60_000, T0 + 60_000, T0 + 60_000)
        assert (int(window.count[0]), float(window.max[0])) == (61, 1e6)
        roll_up(aggregator, T0 + 1)
    assert store.late_since_rollup() == []
    (row,) = store.read_windows(refs.tolist(), 60_000, T0 + 60_000, T0 + 60_000)[0]
    assert int(row.count[0]) == 61


def test_a_late_sample_does_not_undo_windows_whose_raw_samples_are_gone(store: SqliteStore) -> None:
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store)
    fill(store, refs, T0, 600)
    store.seal()
    now = T0 + 5 * 3_600_000
    store.maintain(now)
    assert len(store.read(refs.tolist(), 0, FOREVER)[0]) == 0
    store.append([Batch(refs, T0 + 500, np.array([1e6]))])
    roll_up(aggregator, now)
    (windows,) = aggregator.windows(refs.tolist(), 60_000, T0, T0 + 600_000)
    assert windows.count.tolist() == [60] * 10


def test_a_window_that_is_open_when_its_first_half_goes_is_whole_in_the_end(
    store: SqliteStore,
) -> None:
    """A file that is too small for an hour: the hour's window joins what was stored and what
    came after."""
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store, 200)
    for i in range(100):  # 800 bytes a series, and little to tell of them
        store.append([Batch(refs, T0 + i * 1000, 100 + RNG.random(200) / 10)])
    store.seal()
    with store.writing() as connection:
        limit = size(connection) - 40_000
    store.config = Config(raw_retention=10**9, rollup_retention=10**9, max_size=limit)
    store.maintain(T0 + 600_000)
    assert any(len(c) == 0 for c in store.read(refs.tolist(), 0, FOREVER))
    fill(store, refs, T0 + 600_000, 50)
    for _ in range(2):
        hours = aggregator.windows(refs.tolist(), 3_600_000, T0, T0)
        assert [hour.count.tolist() for hour in hours] == [[150]] * 200
        assert [hour.last.tolist() for hour in hours] == [[49.0]] * 200
        store.seal()
        aggregator.materialise_before(refs.tolist(), T0 + 1_200_000)


def test_a_gap_longer_than_a_step_does_not_end_the_rollups(store: SqliteStore) -> None:
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store)
    fill(store, refs, T0, 3600)
    later = T0 + 9 * 86400_000
    fill(store, refs, later, 3600)
    store.seal()
    now = later
    for _ in range(5):
        now += 60_000
        roll_up(aggregator, now)
    assert stored_until(store, refs, 60_000) == later + 59 * 60_000


def test_slow_series_are_not_read_again_and_again(store: SqliteStore) -> None:
    """Levels that pay for none are not tried at each look, from the first sample on."""
    aggregator = DataAggregator(store, ROLLUP, (60_000,))
    refs = series(store)
    fill(store, refs, T0, 300, 30_000)
    read = []
    with patch.object(store, "read", wraps=store.read) as reading:
        for i in range(5):
            fill(store, refs, T0 + (i + 1) * 9_000_000, 200, 30_000)
            store.seal()
            roll_up(aggregator, T0 + i * 60_000)
            read.append(reading.call_count)
    assert stored_until(store, refs, 60_000) == 0
    assert read[-1] == read[0]


def test_a_restart_in_mid_window_loses_nothing(tmp_path: Path) -> None:
    for part in range(4):
        store = SqliteStore(tmp_path)
        store.open()
        refs = series(store)
        fill(store, refs, T0 + part * 10_000, 10)
        aggregator = DataAggregator(store, ROLLUP, LEVELS)
        (window,) = aggregator.windows(refs.tolist(), 60_000, T0, T0)
        assert window.count.tolist() == [10 * (part + 1)]
        store.close()


def test_storing_windows_and_retention_in_two_threads_wait_for_no_other(
    store: SqliteStore,
) -> None:
    """``maintain`` of store and aggregator call each other: in any order, without a deadlock."""
    aggregator = DataAggregator(store, ROLLUP, LEVELS)
    refs = series(store, 20)
    failures: list[BaseException] = []
    done = threading.Event()

    def run(work: object) -> None:
        try:
            while not done.is_set():
                work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)

    clock = iter(range(T0, FOREVER, 100_000))
    threads = [
        threading.Thread(target=run, args=(work,), daemon=True)
        for work in (
            lambda: store.maintain(next(clock)),
            lambda: aggregator.maintain(next(clock)),
            lambda: aggregator.windows(refs.tolist(), 60_000, T0, FOREVER),
        )
    ]
    for thread in threads:
        thread.start()
    for i in range(40):
        fill(store, refs, T0 + i * 120_000, 30)
        store.seal()
    done.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "two parts wait for each other"
    assert failures == []
    found = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)
    assert [int(w.count.sum()) for w in found] == [40 * 30] * 20


def test_a_plain_store_without_anything_besides_the_contract_is_served(
    store: SqliteStore,
) -> None:
    class Plain:
        """Only what ``contracts.Store`` has."""

        def __init__(self, store: SqliteStore) -> None:
            for name in ("select", "read", "read_windows", "watermarks", "write_windows",
                         "late_since_rollup", "clear_late", "sealed_until"):  # fmt: skip
                setattr(self, name, getattr(store, name))

    aggregator = DataAggregator(Plain(store), ROLLUP, LEVELS)  # type: ignore[arg-type]
    refs = series(store)
    fill(store, refs, T0, 3600)
    store.seal()
    roll_up(aggregator, T0)
    assert stored_until(store, refs, 60_000) == T0 + 59 * 60_000
    (windows,) = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)
    assert windows.count.tolist() == [60] * 60


def test_splicing_takes_new_windows_and_keeps_those_that_counted_more_where_raw_is_gone() -> None:
    minute = 60_000
    old = ROLLUP.fold(Column(np.arange(8) * 30_000, np.arange(8.0)), minute)
    fresh = ROLLUP.fold(Column(np.array([60_000, 120_000, 121_000, 122_000]), np.ones(4)), minute)
    whole = splice(old, fresh, minute, 4 * minute, 0)
    assert whole.start_ms.tolist() == [0, minute, 2 * minute]
    assert whole.count.tolist() == [2, 1, 3]
    kept = splice(old, fresh, minute, 4 * minute, 10 * minute)
    assert kept.start_ms.tolist() == [0, minute, 2 * minute, 3 * minute]
    assert kept.count.tolist() == [2, 2, 3, 2]
    assert kept.sketch_counts.sum() == 9
