"""Data of charts, over a real store: levels, rates, gaps, ends, aggregation, and live values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph import Batch, Labels, Metric, MetricKind, RangeQuery
from barograph import range as ranges
from barograph.aggregator import DataAggregator
from barograph.live import Latest
from barograph.model import STALE_NAN
from barograph.range import (
    MAX_STEPS,
    STEPS_MS,
    LiveQuery,
    RangeResult,
    aggregated,
    evaluate_range,
    legend_of,
    step_for,
)
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite.store import SqliteStore

T = 1_700_000_040_000  # a whole minute
LEVELS = (5000, 60_000, 300_000, 3_600_000)
NAN = math.nan


class World:
    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder)
        self.store.open()
        self.levels = DataAggregator(self.store, RollupAggregator(), LEVELS)
        self.raw = DataAggregator(self.store, RollupAggregator(), (5000,))  # too fine to be used
        self.latest = Latest()

    def write(
        self, name: str, values: Any, labels: dict[str, str] | None = None, *,
        every: float = 1.0, start: float = 0.0, times: Sequence[float] | None = None,
    ) -> int:  # fmt: skip
        """Values at T + start, T + start + every, ... (or at the given seconds)."""
        values = np.asarray(values, float)
        ref = self.store.intern([(Labels.of(name, labels), Metric(name, MetricKind.GAUGE))])[0]
        seconds = start + every * np.arange(len(values)) if times is None else np.asarray(times)
        t = T + np.round(seconds * 1000).astype(np.int64)
        self.store.append([Batch(np.full(len(t), ref), t, values)])
        for at, value in zip(t.tolist(), values.tolist(), strict=True):
            self.latest.update(Batch(np.array([ref]), at, np.array([value])), at)
        return int(ref)

    def ask(self, match: str, a: float, b: float, points: int = 300, *, raw: bool = False,
            **more: Any) -> RangeResult:  # fmt: skip
        query = RangeQuery((match,), **more)
        levels = self.raw if raw else self.levels
        return evaluate_range(
            self.store, levels, query, T + round(a * 1000), T + round(b * 1000), points
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    yield one
    one.store.close()


def only(result: RangeResult) -> list[float]:
    assert len(result.series) == 1
    return [round(v, 6) if not math.isnan(v) else NAN for v in result.series[0].values.tolist()]


def same(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return np.array_equal(np.array(found), np.array(wanted), equal_nan=True)


@pytest.mark.parametrize("raw", [True, False])
def test_of_many_series_the_samples_of_a_few_are_in_memory_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    for i in range(7):
        world.write("m", np.full(300, i), {"i": str(i)})
    whole = world.ask("m", 0, 299, 4, raw=raw)
    assert (whole.level_ms == 0) == raw
    sizes: list[int] = []
    name = "read" if raw else "read_windows"
    before = getattr(SqliteStore, name)

    def watched(self: SqliteStore, refs: Sequence[int], *arguments: Any) -> Any:
        sizes.append(len(refs))
        return before(self, refs, *arguments)

    monkeypatch.setattr(SqliteStore, name, watched)
    monkeypatch.setattr(ranges, "AT_ONCE", 3)
    again = world.ask("m", 0, 299, 4, raw=raw)
    assert sizes == [3, 3, 1]
    assert [one.labels for one in again.series] == [one.labels for one in whole.series]
    for one, other in zip(again.series, whole.series, strict=True):
        assert same(one.values.tolist(), other.values.tolist())


# --- values ---------------------------------------------------------------------------------------


def test_a_step_shows_the_mean_and_the_extremes_of_its_samples(world: World) -> None:
    world.write("m", [1, 3, 5, 7, 2, 2])
    result = world.ask("m", 0, 5, 3)
    assert (result.step_ms, result.level_ms) == (2000, 0)
    assert result.t_ms.tolist() == [T, T + 2000, T + 4000]
    line = result.series[0]
    assert line.values.tolist() == [2, 6, 2]
    assert line.minimum is not None
    assert line.maximum is not None
    assert line.minimum.tolist() == [1, 5, 2]
    assert line.maximum.tolist() == [3, 7, 2]


def test_a_seldom_value_holds_until_the_next_also_from_before_the_range(world: World) -> None:
    world.write("m", [1, 2, 3], every=10)
    assert only(world.ask("m", 5, 24, 20)) == [1.0] * 5 + [2.0] * 10 + [3.0] * 5


def test_a_value_does_not_hold_over_a_gap(world: World) -> None:
    world.write("m", [1, 1, 1, 5], times=[0, 1, 2, 8])
    found = only(world.ask("m", 0, 8, 9))
    assert same(found, [1, 1, 1, 1, NAN, NAN, NAN, NAN, 5])  # one interval and a half at most


def test_an_ended_series_breaks_its_line_at_once(world: World) -> None:
    world.write("m", [1, 2, STALE_NAN, 7], times=[0, 10, 13, 30])
    found = only(world.ask("m", 0, 35, 36))
    assert same(found, [1] * 10 + [2] * 3 + [NAN] * 17 + [7] * 6)


def test_an_end_and_a_new_beginning_within_one_step_leave_no_hole(world: World) -> None:
    world.write("m", [1, 2, STALE_NAN, 3, 4], times=[0, 10, 10.2, 10.6, 20])
    assert only(world.ask("m", 0, 20, 21)) == [1.0] * 10 + [2.5] * 10 + [4.0]


def test_values_that_are_nan_are_no_values(world: World) -> None:
    world.write("m", [1, NAN, 3, NAN])
    found = only(world.ask("m", 0, 3, 4))
    assert same(found, [1, 1, 3, 3])


# --- rates ----------------------------------------------------------------------------------------


def test_a_rate_is_growth_a_second_with_resets_taken_out(world: World) -> None:
    world.write("c_total", [0, 10, 20, 5, 15])
    assert same(only(world.ask("c_total", 0, 4, 5, fn="rate")), [NAN, 10, 10, 5, 10])
    assert same(only(world.ask("c_total", 0, 4, 5, fn="increase")), [NAN, 10, 10, 5, 10])
    assert only(world.ask("c_total", 2, 4, 3, fn="rate")) == [10, 5, 10]


def test_a_rate_is_not_taken_over_a_gap_or_an_end(world: World) -> None:
    world.write("gap_total", [0, 1, 2, 1000, 1001], times=[0, 1, 2, 40, 41])
    found = only(world.ask("gap_total", 0, 41, 42, fn="rate"))
    assert max(v for v in found if not math.isnan(v)) == 1
    assert math.isnan(found[20])
    world.write("end_total", [0, 1, STALE_NAN, 500, 501], times=[0, 1, 1.5, 2, 3])
    assert same(only(world.ask("end_total", 0, 3, 4, fn="rate")), [NAN, 1, NAN, 1])


def test_the_rate_of_a_seldom_counter_holds_between_its_samples(world: World) -> None:
    world.write("c_total", [0, 100, 200], every=10)
    found = only(world.ask("c_total", 10, 29, 20, fn="rate"))
    assert found == [10.0] * 20
    grown = only(world.ask("c_total", 10, 29, 20, fn="increase"))
    assert sum(v for v in grown if not math.isnan(v)) == 200


# --- levels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "points", "step_s", "level_s"),
    [(0.25, 300, 5, 0), (1, 300, 15, 0), (6, 360, 60, 60), (24, 300, 300, 300), (24, 200, 600, 300),
     (24 * 7, 300, 3600, 3600), (24 * 30, 300, 10800, 3600), (24 * 365, 100, 604800, 3600)],
)  # fmt: skip
def test_the_level_fits_the_span(
    world: World, hours: float, points: int, step_s: int, level_s: int
) -> None:
    result = world.ask("none", 0, hours * 3600, points)
    assert (result.step_ms, result.level_ms) == (step_s * 1000, level_s * 1000)
    assert len(result.t_ms) <= points + 1


@given(st.integers(1, 2**50), st.integers(0, 5000))
def test_a_step_is_round_and_gives_no_more_points_than_asked(span: int, points: int) -> None:
    step = step_for(span, points)
    assert step in STEPS_MS
    assert span / step <= max(points, 1) or step == STEPS_MS[-1]


def test_a_range_without_end_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_STEPS}: ask for a shorter one"):
        evaluate_range(world.store, world.levels, RangeQuery(("m",)), 0, 2**60, 300)
    for a, b in ((5, 5), (5, 4)):
        with pytest.raises(ValueError, match="end must come after its start"):
            world.ask("m", a, b)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("fn", ["value", "rate", "increase"])
def test_raw_samples_and_rollups_give_the_same_line(world: World, fn: Any, sealed: bool) -> None:
    rng = np.random.default_rng(7)
    counter = np.cumsum(rng.integers(0, 5, 4 * 3600)).astype(float)
    counter[5000:] -= counter[5000]  # a reset
    world.write("c_total", counter)
    world.write("g", rng.normal(5, 1, 4 * 3600))
    if sealed:
        world.store.seal()
        for _ in range(200):
            world.levels.maintain(T + 5 * 3_600_000)
    name = "g" if fn == "value" else "c_total"
    for points in (200, 40):  # 1 m with steps of 2 m, 5 m with steps of 10 m
        rolled = world.ask(name, 0, 4 * 3600 - 1, points, fn=fn)
        plain = world.ask(name, 0, 4 * 3600 - 1, points, fn=fn, raw=True)
        assert rolled.level_ms > 0
        assert plain.level_ms == 0
        a, b = rolled.series[0], plain.series[0]
        np.testing.assert_allclose(a.values[1:], b.values[1:], rtol=1e-9)
        if fn == "value":
            np.testing.assert_allclose(a.minimum, b.minimum)  # type: ignore[arg-type]
            np.testing.assert_allclose(a.maximum, b.maximum)  # type: ignore[arg-type]


def test_rollups_show_gaps_and_the_rates_of_seldom_counters(world: World) -> None:
    values = np.arange(3600.0)
    times = np.where(values < 1800, values, values + 3600)  # an hour's gap
    world.write("c_total", values, times=times.tolist())
    result = world.ask("c_total", 0, 7199, 60, fn="rate")
    found = result.series[0].values
    assert result.level_ms == 60_000
    np.testing.assert_allclose(found[1:15], 1.0)
    assert np.isnan(found[16:44]).all()
    world.write("s_total", np.arange(24) * 300.0, every=300)
    seldom = world.ask("s_total", 0, 7199, 120, fn="rate")
    assert seldom.level_ms == 60_000
    np.testing.assert_allclose(seldom.series[0].values[6:110], 1.0)


# --- series, groups, legends ----------------------------------------------------------------------


def test_lines_are_grouped_summed_scaled_and_named(world: World) -> None:
    for cpu in "01":
        for mode in ("user", "system"):
            world.write("cpu", [1, 2, 3], {"cpu": cpu, "mode": mode})
    result = world.ask("cpu", 0, 2, 3, agg="sum", by=("mode",), scale=10.0, legend="{mode} time")
    assert [(s.labels, s.legend, s.values.tolist()) for s in result.series] == [
        ({"mode": "system"}, "system time", [20, 40, 60]),
        ({"mode": "user"}, "user time", [20, 40, 60]),
    ]
    for agg, wanted in (("mean", 1.0), ("min", 1.0), ("max", 1.0), ("sum", 4.0)):
        assert only(world.ask("cpu", 0, 2, 3, agg=agg))[0] == wanted


def test_a_sum_goes_on_when_one_of_its_series_has_ended(world: World) -> None:
    world.write("m", [1, 1, 1, 1], {"i": "a"})
    world.write("m", [1, 1, STALE_NAN], {"i": "b"})
    assert only(world.ask("m", 0, 3, 4, agg="sum")) == [2, 2, 1, 1]
    assert only(world.ask("m", 0, 3, 4, agg="mean")) == [1, 1, 1, 1]


def test_the_top_lines_are_those_with_the_greatest_mean(world: World) -> None:
    for i in range(6):
        world.write("m", [i, i], {"i": str(i)})
    found = world.ask("m", 0, 1, 2, top=2, legend="{i}")
    assert [s.legend for s in found.series] == ["5", "4"]


def test_several_selectors_are_joined_each_series_once(world: World) -> None:
    world.write("m", [1], {"i": "a"})
    world.write("m", [2], {"i": "b"})
    query = RangeQuery(('m{i="a"}', "m", 'm{i="b"}'))
    result = evaluate_range(world.store, world.levels, query, T, T + 1000, 2)
    assert sorted(s.legend for s in result.series) == ["a", "b"]


def test_series_without_a_value_in_the_range_are_no_lines(world: World) -> None:
    world.write("m", [1, 2], {"i": "old"})
    world.write("m", [1, 2], {"i": "new"}, start=1000)
    assert [s.legend for s in world.ask("m", 990, 1010).series] == ["new"]
    assert world.ask("none", 0, 10).series == []


HOSTILE = ['<img src=x onerror="alert(1)">', '"}\n# HELP', "{i}", "\\1 \\g<0>", "=cmd()", "é\u202e"]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_labels_come_through_as_they_are(world: World, value: str) -> None:
    world.write("m", [1, 2], {"i": value})
    result = world.ask("m", 0, 1, 2, legend="x {i} y {none}")
    assert result.series[0].labels["i"] == value
    assert result.series[0].legend == f"x {value} y".strip()
    assert legend_of(RangeQuery(("m",)), {"__name__": "m", "i": value}) == value


@given(
    st.sampled_from(["sum", "mean", "min", "max"]),
    st.lists(
        st.lists(st.floats(-1e6, 1e6) | st.just(NAN), min_size=4, max_size=4),
        min_size=1,
        max_size=5,
    ),
)
def test_aggregates_leave_out_what_is_missing(agg: Any, rows: list[list[float]]) -> None:
    found = aggregated(RangeQuery(("m",), agg=agg), np.array(rows))
    naive = {"sum": sum, "mean": lambda v: sum(v) / len(v), "min": min, "max": max}[agg]
    for i in range(4):
        there = [row[i] for row in rows if not math.isnan(row[i])]
        wanted = naive(there) if there else NAN  # type: ignore[operator]
        assert found[i] == pytest.approx(wanted, nan_ok=True, rel=1e-9, abs=1e-6)


# --- live -----------------------------------------------------------------------------------------


def live(world: World, query: RangeQuery, now: float) -> dict[str, float]:
    one = LiveQuery(query)
    one.resolve(world.store, T + round(now * 1000))
    lines, values = one.evaluate(world.latest, T + round(now * 1000))
    return {legend: value for (_, legend), value in zip(lines, values.tolist(), strict=True)}


@pytest.mark.parametrize(
    "query",
    [
        RangeQuery(("c_total",), legend="{i}"),
        RangeQuery(("c_total",), "rate", legend="{i}"),
        RangeQuery(("c_total",), "increase", legend="{i}", scale=3.0),
        RangeQuery(("c_total",), "rate", "sum"),
        RangeQuery(("c_total",), "value", "mean", legend="all"),
        RangeQuery(("c_total",), "rate", "max", ("i",), legend="{i}"),
        RangeQuery(("c_total",), "value", legend="{i}", top=1),
    ],
)
def test_live_values_equal_the_newest_point_of_the_range(world: World, query: RangeQuery) -> None:
    world.write("c_total", [0, 5, 7, 2, 9], {"i": "a"})
    world.write("c_total", [0, 1, 1, 1, 4], {"i": "b"})
    result = evaluate_range(world.store, world.levels, query, T, T + 4000, 5)
    newest = {s.legend: s.values[-1] for s in result.series}
    assert live(world, query, 4.5) == pytest.approx(newest)


def test_a_live_value_is_not_shown_when_it_is_old_or_its_series_has_ended(world: World) -> None:
    world.write("m", [1, 2], {"i": "second"})
    world.write("m", [1, 2], {"i": "minute"}, every=60, start=-60)
    world.write("m", [1, STALE_NAN], {"i": "ended"})
    query = RangeQuery(("m",), legend="{i}")
    assert live(world, query, 2) == {"second": 2, "minute": 2}
    assert live(world, query, 30) == {"minute": 2}
    assert live(world, query, 400) == {}


def test_a_series_that_comes_back_after_a_while_is_seen_again(world: World) -> None:
    world.write("m", [1, 2], {"i": "a"})
    query = LiveQuery(RangeQuery(("m",)))
    query.resolve(world.store, T + 3_600_000)  # an hour later: nothing
    assert query.evaluate(world.latest, T + 3_600_000)[0] == []
    world.write("m", [7, 8], {"i": "a"}, start=3601)
    query.resolve(world.store, T + 3_600_000 + 61_000)
    lines, values = query.evaluate(world.latest, T + 3_603_000)
    assert ([legend for _, legend in lines], values.tolist()) == (["a"], [8.0])


def test_new_series_are_seen_at_once(world: World) -> None:
    query = LiveQuery(RangeQuery(("m",)))
    query.resolve(world.store, T)
    world.write("m", [1])
    query.resolve(world.store, T)
    assert query.evaluate(world.latest, T)[1].tolist() == [1.0]


def test_after_the_clock_was_set_back_old_samples_are_readable_and_new_ones_live(
    world: World,
) -> None:
    ref = world.write("m", [1, 2, 3, 4])
    back = T - 3_600_000
    for i in range(4):
        batch = Batch(np.array([ref]), back + i * 1000, np.array([10.0 + i]))
        world.store.append([batch])
        world.latest.update(batch, back + i * 1000)
    assert only(world.ask("m", 0, 3, 4)) == [1, 2, 3, 4]
    assert only(world.ask("m", -3600, -3597, 4)) == [10, 11, 12, 13]
    assert live(world, RangeQuery(("m",)), -3597) == {"m": 13.0}
