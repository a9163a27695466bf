"""Quantiles of classic histograms and shares, over a real store, raw and from rollups, and live."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph import Batch, Labels, Metric, MetricKind, RangeQuery
from barograph.aggregator import DataAggregator
from barograph.buckets import bound_of, quantile_of
from barograph.live import Latest
from barograph.range import LiveQuery, RangeResult, evaluate_range
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite.store import SqliteStore

T = 1_700_000_040_000
BOUNDS = (0.1, 0.5, 1.0, math.inf)


def naive(q: float, bounds: list[float], counts: list[float]) -> float:
    """One histogram, its counts by bucket (not cumulative), as PromQL has it."""
    total = sum(counts)
    if len(bounds) < 2 or bounds[-1] != math.inf or total <= 0:
        return math.nan
    seen = 0.0
    for i, (bound, count) in enumerate(zip(bounds, counts, strict=True)):
        if seen + count >= q * total:
            if i == len(bounds) - 1:
                return bounds[-2]
            if i == 0 and bound <= 0:
                return bound
            below = bounds[i - 1] if i else 0.0
            return below + (bound - below) * ((q * total - seen) / count if count else 0.0)
        seen += count
    return bounds[-2]


@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0, 8.0]), max_size=5, unique=True),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    st.data(),
)
def test_a_quantile_is_that_of_a_naive_twin(
    finite: list[float], end: bool, q: float, data: st.DataObject
) -> None:
    bounds = sorted(finite) + [math.inf] * end
    counts = data.draw(st.lists(st.integers(0, 8), min_size=len(bounds), max_size=len(bounds)))
    order = data.draw(st.permutations(range(len(bounds))))
    rising = np.cumsum([0.0, *counts])[1:, None]
    found = quantile_of(q, [bounds[i] for i in order], rising[list(order)])
    wanted = naive(q, bounds, [float(n) for n in counts])
    assert found.tolist() == pytest.approx([wanted], nan_ok=True)


def test_bounds_that_are_none_are_left_out_and_gaps_count_nothing() -> None:
    assert math.isnan(bound_of("fast"))
    counts = np.array([[5.0, math.nan], [9.0, 9.0], [4.0, 4.0]])
    found = quantile_of(0.5, [1.0, math.nan, math.inf], counts)
    assert found.tolist() == [pytest.approx(0.5), 1.0]
    assert np.isnan(quantile_of(0.5, [1.0, math.inf], np.full((2, 3), np.nan))).all()


class World:
    """Two services' request durations, counted for ten minutes at 1 s."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder)
        self.store.open()
        self.levels = DataAggregator(self.store, RollupAggregator(), (60_000,))
        self.latest = Latest()
        # Each second: 8 requests up to 0.1 s, 1 up to 0.5 s, 1 up to 1 s; the other is slow.
        for service, each in (("shop", (8, 9, 10, 10)), ("slow", (0, 0, 0, 4))):
            for bound, n in zip(BOUNDS, each, strict=True):
                le = "+Inf" if math.isinf(bound) else f"{bound:g}"
                self.count("took_bucket", n, service=service, le=le)
        for service, status, n in (("shop", "200", 9), ("shop", "500", 1), ("slow", "200", 4)):
            self.count("took_count", n, service=service, status=status)

    def count(self, name: str, each: float, **labels: str) -> None:
        metric = Metric(name, MetricKind.COUNTER)
        refs = self.store.intern([(Labels.of(name, labels), metric)])
        t = T + 1000 * np.arange(600)
        values = each * np.arange(600, dtype=float)
        self.store.append([Batch(np.repeat(refs, 600), t, values)])
        for i in (598, 599):
            self.latest.update(Batch(refs, int(t[i]), values[i : i + 1]), int(t[i]))

    def ask(self, query: RangeQuery, points: int) -> RangeResult:
        return evaluate_range(self.store, self.levels, query, T + 60_000, T + 599_000, points)

    def live(self, query: RangeQuery) -> dict[str, float]:
        live = LiveQuery(query)
        live.resolve(self.store, T + 599_000)
        lines, values = live.evaluate(self.latest, T + 599_000)
        return {legend: float(v) for (_, legend), v in zip(lines, values, strict=True)}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("buckets"))
    yield world
    world.store.close()


def quantile(q: float, by: tuple[str, ...] = ("service",)) -> RangeQuery:
    return RangeQuery(("took_bucket",), "rate", "sum", by, legend="{service}", quantile=q)


@pytest.mark.parametrize(("points", "level"), [(600, 0), (9, 60_000)])
@pytest.mark.parametrize(("q", "shop"), [(0.5, 0.0625), (0.85, 0.3), (0.95, 0.75), (0.99, 0.95)])
def test_each_group_has_its_quantile(
    world: World, points: int, level: int, q: float, shop: float
) -> None:
    found = world.ask(quantile(q), points)
    assert found.level_ms == level
    lines = {one.legend: one.values for one in found.series}
    assert sorted(lines) == ["shop", "slow"]
    inner = slice(1, -1)
    assert lines["shop"][inner] == pytest.approx(shop, rel=1e-6)
    assert lines["slow"][inner] == pytest.approx(1.0)  # beyond the last bound there is no more
    assert world.live(quantile(q)) == {"shop": pytest.approx(shop), "slow": 1.0}


def test_groups_together_have_the_quantile_of_all(world: World) -> None:
    # 14 a second: 8 up to 0.1 s, so that the median, 7 of 14, is 7/8 of the way to it.
    found = world.ask(quantile(0.5, ()), 600)
    assert [one.values[5] for one in found.series] == [pytest.approx(0.1 * 7 / 8)]


def shares(**more: Any) -> RangeQuery:
    query = RangeQuery(("took_count{status=~'5..'}",), "rate", "sum", ("service",),
                       legend="{service}", over=("took_count",))  # fmt: skip
    return attrs.evolve(query, **more)


@pytest.mark.parametrize("points", [600, 9])
def test_a_share_is_of_its_groups_whole_and_zero_where_there_is_no_part(
    world: World, points: int
) -> None:
    lines = {one.legend: one.values for one in world.ask(shares(), points).series}
    assert lines["shop"][1:-1] == pytest.approx(0.1)
    assert (lines["slow"][1:-1] == 0).all()
    assert world.live(shares()) == {"shop": pytest.approx(0.1), "slow": 0.0}
    assert [one.legend for one in world.ask(shares(top=1), points).series] == ["shop"]


def test_no_part_at_all_is_a_share_of_zero_and_no_whole_is_none(world: World) -> None:
    nothing = shares(match=("took_count{status='418'}",))
    assert world.live(nothing) == {"shop": 0.0, "slow": 0.0}
    assert {one.legend for one in world.ask(nothing, 600).series} == {"shop", "slow"}
    assert world.ask(shares(over=("absent",)), 600).series == []
    assert world.live(shares(over=("absent",))) == {}
