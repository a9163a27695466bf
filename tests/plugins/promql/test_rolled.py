"""Rollup windows in the place of raw samples: what is exact, what is near, and when."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph.aggregator import DataAggregator
from barograph.answer import Matrix, QueryTooLarge, Vector
from barograph.model import Batch, Column, Labels, Metric, MetricKind, Windows
from barograph_promql import Config, selection
from barograph_promql.engine import PromqlEngine
from barograph_promql.rolled import Level, stand_in
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import Config as StoreConfig
from barograph_sqlite.store import SqliteStore

MINUTE, HOUR = 60_000, 3_600_000
T0 = 1_700_000_000_000 // (24 * HOUR) * 24 * HOUR
HOURS = 12
EVERY = 10_000
ALIGNED = [
    f"{name}_over_time(g[10m])" for name in ("sum", "count", "min", "max", "avg", "last", "present")
]


def filled(folder: Path, **options: object) -> SqliteStore:
    """Twelve hours of two gauges and a counter with resets, a chunk for each hour."""
    store = SqliteStore(folder, StoreConfig(**options))  # type: ignore[arg-type]
    store.open()
    series = [(Labels.of("g", {"i": i}), Metric("g")) for i in "ab"]
    series.append((Labels.of("c_total"), Metric("c_total", MetricKind.COUNTER)))
    refs = store.intern(series)
    n = HOUR // EVERY
    random = np.random.default_rng(7)
    for hour in range(HOURS):
        # Never at a whole minute: PromQL has what lies on a window's beginning in it.
        t_ms = T0 + hour * HOUR + 3000 + EVERY * np.arange(n, dtype=np.int64)
        for i, ref in enumerate(refs.tolist()):
            values = np.round(random.normal(50, 9, n), 2)
            if i == 2:
                values = np.cumsum(random.poisson(3, n)).astype(np.float64)  # from 0 each hour
            store.append([Batch(np.full(n, ref), t_ms, values)])
        store.seal()
    return store


def house_kept(store: SqliteStore, aggregator: DataAggregator) -> None:
    now = T0 + HOURS * HOUR
    for i in range(300):
        store.maintain(now + i)
        aggregator.maintain(now + i * 31_000)
        if store._retention._looked_at is not None and not aggregator._queue and i > 3:
            return
    raise AssertionError("the house is never kept")


def rolled_up(store: SqliteStore) -> None:
    """Store all windows, the samples of which stay."""
    aggregator = DataAggregator(store, RollupAggregator(), (MINUTE, HOUR))
    refs = [series.ref for series in store.select([])]
    aggregator.materialise_before(refs, T0 + HOURS * HOUR)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """All raw samples, and windows of a minute and an hour."""
    store = filled(tmp_path_factory.mktemp("whole"))
    rolled_up(store)
    yield store
    store.close()


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Raw samples of the last six hours, and of all time windows of a minute and an hour."""
    store = filled(tmp_path_factory.mktemp("aged"), raw_retention=6 * 3600)
    house_kept(store, DataAggregator(store, RollupAggregator(), (MINUTE, HOUR)))
    assert T0 + 5 * HOUR < store.dropped_until <= T0 + 6 * HOUR
    yield store
    store.close()


@pytest.fixture(scope="module")
def hourly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Raw samples of the last six hours, and of all time windows of an hour."""
    store = filled(tmp_path_factory.mktemp("hourly"), raw_retention=6 * 3600)
    house_kept(store, DataAggregator(store, RollupAggregator(), (HOUR,)))
    yield store
    store.close()


def ask(
    store: SqliteStore, expr: str, step: int, *, first: int = T0 + HOUR, last: int = T0 + 12 * HOUR,
    approximate: bool = False,
) -> Matrix:  # fmt: skip
    return PromqlEngine(Config(approximate=approximate)).range(store, expr, first, last, step)


def agree(found: Matrix, want: Matrix, rtol: float = 1e-12) -> None:
    assert found.labels == want.labels
    assert found.t_ms.tolist() == want.t_ms.tolist()
    assert np.allclose(found.values, want.values, rtol=rtol, atol=0)


@pytest.mark.parametrize("expr", [*ALIGNED, "g", "max by (i) (g)", "count(g)"])
def test_what_has_aged_out_is_answered_as_before_where_windows_fit(
    whole: SqliteStore, aged: SqliteStore, expr: str
) -> None:
    agree(ask(aged, expr, 10 * MINUTE), ask(whole, expr, 10 * MINUTE))


@pytest.mark.parametrize("expr", ["rate(c_total[20m])", "increase(c_total[1h])"])
def test_a_counter_that_has_aged_out_grows_as_it_did_through_its_resets(
    whole: SqliteStore, aged: SqliteStore, expr: str
) -> None:
    agree(ask(aged, expr, 20 * MINUTE), ask(whole, expr, 20 * MINUTE), rtol=0.1)


def test_a_moment_that_has_aged_out_has_its_values(whole: SqliteStore, aged: SqliteStore) -> None:
    for expr in ("g", "max_over_time(g[10m])"):
        one, other = (PromqlEngine().instant(s, expr, T0 + 2 * HOUR) for s in (aged, whole))
        assert isinstance(one, Vector)
        assert isinstance(other, Vector)
        assert one.labels == other.labels
        assert one.values.tolist() == other.values.tolist()


def test_what_has_aged_out_is_not_absent(aged: SqliteStore) -> None:
    for expr in ("absent_over_time(g[10m])", "absent(g)"):
        assert len(ask(aged, expr, 10 * MINUTE)) == 0
    gone = ask(aged, "absent_over_time(g[10m])", HOUR, first=T0 - HOUR)
    assert gone.t_ms.tolist() == [T0 - HOUR, T0]


def test_a_range_shorter_than_a_window_is_answered_of_the_window(
    whole: SqliteStore, hourly: SqliteStore
) -> None:
    first, last = T0 + 2 * HOUR, T0 + 5 * HOUR
    mean = ask(whole, "avg_over_time(g[1h])", HOUR, first=first, last=last)
    agree(ask(hourly, "avg_over_time(g[5m])", HOUR, first=first, last=last), mean)
    total = ask(whole, "sum_over_time(g[1h]) / 12", HOUR, first=first, last=last)
    agree(ask(hourly, "sum_over_time(g[5m])", HOUR, first=first, last=last), total)
    rate = ask(hourly, "rate(c_total[5m])", 10 * MINUTE, first=first, last=last)
    assert len(rate.t_ms) == 19
    assert np.allclose(rate.values, 0.3, rtol=0.1)


def test_a_value_that_has_aged_out_stands_for_a_whole_window(hourly: SqliteStore) -> None:
    found = ask(hourly, "g", 5 * MINUTE)
    assert len(found.labels) == 2
    assert np.diff(found.offsets).tolist() == [11 * 12 + 1] * 2


def test_raw_samples_that_are_there_are_what_is_read(whole: SqliteStore, aged: SqliteStore) -> None:
    for store in (whole, aged):
        found = PromqlEngine().explain(
            store, "sum_over_time(g[10m])", T0 + 8 * HOUR, T0 + 12 * HOUR, 10 * MINUTE
        )
        assert [one.level_ms for one in found.reads] == [0]


def test_windows_beyond_the_limit_are_refused_before_all_are_read(
    aged: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    before = SqliteStore.read_windows

    def watched(
        self: SqliteStore, refs: list[int], level_ms: int, t_min: int, t_max: int
    ) -> list[list[Windows]]:
        read.extend(refs)
        return before(self, refs, level_ms, t_min, t_max)

    monkeypatch.setattr(SqliteStore, "read_windows", watched)
    monkeypatch.setattr(selection, "WINDOWS_AT_ONCE", 1)
    with pytest.raises(QueryTooLarge, match="max_samples"):
        # The raw samples of the first hours are gone: only windows are there to be counted.
        PromqlEngine(Config(max_samples=4)).instant(aged, "count_over_time(g[3h])", T0 + 4 * HOUR)
    assert len(read) == 1


def test_an_explanation_says_which_level_was_read(aged: SqliteStore, hourly: SqliteStore) -> None:
    """The coarsest that ranges are made of, else the finest that there is."""
    for store, expr, step, level in (
        (aged, "max_over_time(g[10m])", 10 * MINUTE, MINUTE),
        (aged, "max_over_time(g[1h])", 10 * MINUTE, MINUTE),
        (aged, "max_over_time(g[1h])", HOUR, HOUR),
        (aged, "quantile_over_time(0.5, g[1h])", HOUR, MINUTE),
        (hourly, "max_over_time(g[10m])", 10 * MINUTE, HOUR),
    ):
        found = PromqlEngine().explain(store, expr, T0 + HOUR, T0 + 4 * HOUR, step)
        assert [one.level_ms for one in found.reads] == [level]


@pytest.mark.parametrize("expr", [one.replace("10m", "1h") for one in ALIGNED])
def test_ranges_made_of_long_windows_have_the_same_values(
    whole: SqliteStore, aged: SqliteStore, expr: str
) -> None:
    agree(ask(aged, expr, HOUR), ask(whole, expr, HOUR))


def test_a_series_that_a_long_level_lacks_is_not_lost(tmp_path: Path) -> None:
    store = filled(tmp_path, raw_retention=6 * 3600)
    house_kept(store, DataAggregator(store, RollupAggregator(), (MINUTE, HOUR)))
    want = ask(store, "count_over_time(g[1h])", HOUR)
    with store.writing() as connection:
        connection.execute("DELETE FROM windows WHERE level = ? AND ref = 1", (HOUR,))
    agree(ask(store, "count_over_time(g[1h])", HOUR), want)
    store.close()


@pytest.mark.parametrize("expr", [*ALIGNED, "sum(sum_over_time(g[10m]))"])
def test_what_may_be_approximated_is_the_same_where_windows_fit_and_reads_less(
    whole: SqliteStore, expr: str
) -> None:
    agree(ask(whole, expr, 10 * MINUTE, approximate=True), ask(whole, expr, 10 * MINUTE))
    given = whole, expr, T0 + HOUR, T0 + 12 * HOUR, 10 * MINUTE
    plain = PromqlEngine().explain(*given).reads
    near = PromqlEngine(Config(approximate=True)).explain(*given).reads
    assert {one.level_ms for one in plain} == {0}
    assert {one.level_ms for one in near} == {MINUTE}
    assert max(one.samples for one in near) < plain[0].samples / 2


@pytest.mark.parametrize("expr", ["quantile_over_time(0.5, g[10m])", "g", "deriv(g[10m])"])
def test_what_no_window_can_tell_is_never_approximated(whole: SqliteStore, expr: str) -> None:
    agree(ask(whole, expr, 10 * MINUTE, approximate=True), ask(whole, expr, 10 * MINUTE), rtol=0)


def test_a_step_shorter_than_a_window_is_never_approximated(whole: SqliteStore) -> None:
    exprs = "max_over_time(g[10m])", "max_over_time(g[30s])"
    for expr, step in zip(exprs, (MINUTE // 2, 10 * MINUTE), strict=True):
        found, want = (ask(whole, expr, step, approximate=near) for near in (True, False))
        agree(found, want, rtol=0)


def test_late_samples_are_never_missed_by_an_approximation(tmp_path: Path) -> None:
    store = filled(tmp_path)
    rolled_up(store)
    ref = store.intern([(Labels.of("g", {"i": "a"}), Metric("g"))])
    store.append([Batch(ref, T0 + 2 * HOUR + 4000, np.array([1e6]))])
    found = ask(store, "max(max_over_time(g[10m]))", 10 * MINUTE, approximate=True)
    assert found.values.max() == 1e6
    store.close()


VALUES = st.integers(0, 30).map(float)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 25), VALUES), min_size=1, max_size=60),
    st.integers(0, 60), st.integers(0, 60), st.sampled_from([(10,), (20,), (10, 60), (20, 60)]),
)  # fmt: skip
def test_no_sample_is_counted_twice_or_lost_wherever_raw_and_rollups_begin(
    steps: list[tuple[int, float]], raw_from: int, fine_from: int, levels: tuple[int, ...]
) -> None:
    """``raw_from`` samples have aged out, and of the finer level ``fine_from`` windows."""
    t_ms = np.cumsum([step for step, _ in steps]).astype(np.int64)
    values = np.array([value for _, value in steps])
    fold = RollupAggregator().fold
    given_levels = [Level(ms, fold(Column(t_ms, values), ms)) for ms in levels]
    if len(levels) > 1:
        fine = given_levels[0]
        given_levels[0] = fine.cut(min(fine_from, len(fine.windows)), len(fine.windows))
    raw = Column(t_ms[raw_from:], values[raw_from:])
    counts, _ = stand_in(raw, given_levels, "count")
    assert (np.diff(counts.t_ms) > 0).all()
    assert counts.values.sum() == len(values)
    assert stand_in(raw, given_levels, "sum")[0].values.sum() == values.sum()
    assert stand_in(raw, given_levels, "max")[0].values.max() == values.max()
    assert stand_in(raw, given_levels, "min")[0].values.min() == values.min()


def test_a_nan_that_rollups_leave_out_keeps_its_raw_samples() -> None:
    column = Column(np.array([1, 12, 15], np.int64), np.array([1.0, np.nan, 3.0]))
    level = Level(10, RollupAggregator().fold(column, 10))
    found, used = stand_in(Column(column.t_ms[1:], column.values[1:]), [level], "sum")
    assert used == 10
    assert found.t_ms.tolist() == [9, 12, 15]
    assert np.array_equal(found.values, [1.0, np.nan, 3.0], equal_nan=True)


@given(st.lists(st.integers(0, 30).map(float), min_size=2, max_size=60), st.integers(1, 59))
def test_a_counter_grows_by_as_much_as_its_raw_samples_did(
    values: list[float], raw_from: int
) -> None:
    t_ms = np.arange(len(values), dtype=np.int64) * 7
    column = Column(t_ms, np.array(values))
    level = Level(20, RollupAggregator().fold(column, 20))
    found, _ = stand_in(Column(t_ms[raw_from:], column.values[raw_from:]), [level], "increase")

    def growth(x: np.ndarray) -> float:
        return float(sum(b - a if b >= a else b for a, b in itertools.pairwise(x.tolist())))

    assert growth(found.values) == pytest.approx(growth(column.values))
