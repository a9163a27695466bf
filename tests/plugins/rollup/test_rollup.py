"""The fold of the rollup plugin: against its naive twin, and the laws that let parts merge."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from core import naive
from hypothesis import given
from hypothesis import strategies as st

from barograph.model import STALE_NAN, Column
from barograph.sketch import quantile_of
from barograph.testing import check_aggregator
from barograph_rollup import barograph_aggregators
from barograph_rollup.rollup import RollupAggregator

T0 = 1_700_000_000_000
ROLLUP = RollupAggregator()
LEVELS = (5_000, 60_000, 300_000, 3_600_000)

numbers = st.one_of(
    st.integers(-1000, 1000).map(float),
    st.floats(-1e12, 1e12, allow_subnormal=False),
    st.sampled_from([float("nan"), STALE_NAN, -0.0, 0.0]),
)


@st.composite
def columns(draw: st.DrawFn) -> Column:
    gaps = draw(st.lists(st.integers(1, 40_000), max_size=60))
    values = draw(st.lists(numbers, min_size=len(gaps), max_size=len(gaps)))
    times = T0 + np.cumsum(np.array(gaps, np.int64))
    return Column(times.astype(np.int64), np.array(values, np.float64))


def pairs(column: Column) -> list[tuple[int, float]]:
    return list(zip(column.t_ms.tolist(), column.values.tolist(), strict=True))


def test_the_plugin_gives_an_aggregator_that_keeps_the_contract() -> None:
    (aggregator,) = barograph_aggregators()
    for seed in range(20):
        check_aggregator(aggregator, seed)


@given(columns(), st.sampled_from(LEVELS))
def test_a_fold_is_what_its_naive_twin_gives(column: Column, level: int) -> None:
    naive.assert_same(ROLLUP.fold(column, level), naive.fold(pairs(column), level))


@given(columns())
def test_coarsening_equals_folding_the_raw_samples(column: Column) -> None:
    fine = ROLLUP.fold(column, LEVELS[0])
    for level in LEVELS:
        coarse = ROLLUP.coarsen(fine, level)
        naive.same_bits(coarse, ROLLUP.fold(column, level))
        naive.assert_same(coarse, naive.fold(pairs(column), level))
        fine = coarse


@given(columns(), st.lists(st.integers(0, 60), max_size=4), st.sampled_from(LEVELS))
def test_merged_parts_equal_the_whole(column: Column, cuts: list[int], level: int) -> None:
    bounds = [0, *sorted(min(cut, len(column)) for cut in cuts), len(column)]
    parts = [
        ROLLUP.fold(Column(column.t_ms[a:b], column.values[a:b]), level)
        for a, b in itertools.pairwise(bounds)
    ]
    merged = ROLLUP.merge(parts)
    naive.same_bits(merged, ROLLUP.fold(column, level))
    naive.assert_same(merged, naive.fold(pairs(column), level))


def test_infinities_are_kept_and_break_nothing() -> None:
    values = np.array([1.0, np.inf, 2.0, -np.inf, 3.0])
    windows = ROLLUP.fold(Column(T0 + np.arange(5) * 1000, values), 60_000)
    assert (windows.min[0], windows.max[0], windows.last[0]) == (-np.inf, np.inf, 3.0)
    assert [float(quantile_of(windows, q)[0]) for q in (0.0, 1.0)] == [-np.inf, np.inf]


def test_a_counter_that_starts_anew_has_grown_by_what_it_counted_before_and_after() -> None:
    times = T0 // 60_000 * 60_000 + np.arange(6) * 1000
    windows = ROLLUP.fold(Column(times, np.array([10.0, 15, 18, 2, 5, 9])), 60_000)
    assert windows.increase.tolist() == [5 + 3 + 2 + 3 + 4]


def test_a_reset_at_the_edge_of_two_windows_is_counted_once_when_they_join() -> None:
    base = T0 // 60_000 * 60_000
    times = np.array([base + 58_000, base + 59_000, base + 60_000, base + 61_000])
    fine = ROLLUP.fold(Column(times, np.array([7.0, 9, 3, 4])), 5_000)
    assert fine.increase.tolist() == [2.0, 1.0]
    assert ROLLUP.coarsen(fine, 3_600_000).increase.tolist() == [2.0 + 3.0 + 1.0]


def test_windows_of_nothing_but_markers_are_absent() -> None:
    windows = ROLLUP.fold(Column(T0 + np.arange(3), np.array([np.nan, STALE_NAN, np.nan])), 1000)
    assert len(windows) == 0
    assert len(ROLLUP.coarsen(windows, 60_000)) == 0
    assert len(ROLLUP.merge([windows, windows])) == 0


def test_a_level_that_is_no_multiple_is_refused() -> None:
    windows = ROLLUP.fold(Column(np.array([T0]), np.array([1.0])), 5_000)
    with pytest.raises(ValueError, match="7000 ms is no multiple of 5000 ms"):
        ROLLUP.coarsen(windows, 7_000)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.lognormal(3, 2, n),
        lambda rng, n: rng.normal(0, 50, n),
        lambda rng, n: rng.exponential(0.01, n),
        lambda rng, n: rng.pareto(1.2, n),
        lambda rng, n: rng.uniform(0.999, 1.001, n),
        lambda rng, n: np.where(rng.random(n) < 0.9, rng.normal(10, 1, n), rng.normal(1e6, 1, n)),
        lambda rng, n: rng.integers(0, 3, n).astype(float),
    ],
    ids=["lognormal", "normal", "exponential", "pareto", "narrow", "two peaks", "few values"],
)
def test_quantiles_of_coarse_windows_are_within_one_percent(draw, seed: int) -> None:  # type: ignore[no-untyped-def]
    values = draw(np.random.default_rng(seed), 20_000)
    column = Column(T0 + np.arange(20_000) * 1000, values)
    windows = ROLLUP.coarsen(ROLLUP.coarsen(ROLLUP.fold(column, 5_000), 60_000), 3_600_000)
    wanted = naive.fold(pairs(column), 3_600_000)
    for q in (0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1):
        for found, start in zip(quantile_of(windows, q).tolist(), sorted(wanted), strict=True):
            naive.near(found, wanted[start].quantile(q))
