"""Correlation: what moves together, which first, and what only seems to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph_analytics.methods.correlation import correlations

STEP_MS = 60_000
N = 400


def times(n: int = N) -> np.ndarray:
    return STEP_MS * np.arange(n, dtype=np.int64)


def walks(seed: int, rows: int, n: int = N) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).standard_normal((rows, n)), axis=1)


def follower(leader: np.ndarray, lag: int, seed: int) -> np.ndarray:
    own = np.random.default_rng(seed).standard_normal(len(leader))
    return -3 * np.roll(leader, lag) + 1.5 * own


def test_a_follower_is_told_with_lag_sign_and_direction() -> None:
    table = walks(1, 6)
    table[1] = follower(table[4], 7, 2)
    table[:, :7] = np.nan
    (found,) = correlations(times(), table)
    assert (found.first, found.second, found.lag_ms) == (4, 1, 7 * STEP_MS)
    assert found.coefficient < -0.3
    assert found.p <= found.q <= 0.05


def test_what_moves_at_once_has_no_lag() -> None:
    table = walks(3, 4)
    table[3] = follower(table[0], 0, 4)
    (found,) = correlations(times(), table)
    assert (found.first, found.second, found.lag_ms) == (0, 3, 0)


@pytest.mark.parametrize("method", ["by", "bh"])
def test_independent_random_walks_do_not_correlate(method: str) -> None:
    told = [bool(correlations(times(), walks(s, 12), method=method)) for s in range(30)]
    assert sum(told) <= 4


def test_a_shared_season_is_no_correlation() -> None:
    season = 8 * np.sin(2 * np.pi * np.arange(N) / 80)
    told = 0
    for seed in range(20):
        own = np.random.default_rng(seed).standard_normal((10, N))
        told += bool(correlations(times(), own + season * np.linspace(0.5, 2, 10)[:, None]))
    assert told <= 2


def test_a_shared_trend_is_no_correlation() -> None:
    own = np.random.default_rng(5).standard_normal((10, N))
    assert correlations(times(), own + np.linspace(0, 30, N)) == []


def test_one_shared_spike_is_no_correlation() -> None:
    table = np.random.default_rng(6).standard_normal((10, N))
    table[:, 200] += 500
    assert correlations(times(), table) == []


def test_flat_missing_and_few_samples_are_left_out() -> None:
    table = walks(7, 5)
    table[0], table[1] = 3.0, np.nan
    table[4] = follower(table[3], 2, 8)
    found = correlations(times(), table)
    assert {(one.first, one.second) for one in found} == {(3, 4)}
    assert correlations(times(10), table[:, :10]) == []
    assert correlations(times(), table[:1]) == []


def test_the_same_row_twice_is_told_as_one() -> None:
    table = walks(9, 3)
    table[2] = table[0]
    found = correlations(times(), table)[0]
    assert (found.first, found.second, found.lag_ms) == (0, 2, 0)
    assert found.coefficient > 0.99


def test_arguments_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="float64\\[series"):
        correlations(times(5), walks(1, 2))
    with pytest.raises(ValueError, match="rise"):
        correlations(times()[::-1], walks(1, 2))
    with pytest.raises(ValueError, match="between 0 and 1"):
        correlations(times(), walks(1, 2), level=2.0)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from((1e-6, 3.0, 1e9)),
    offset=st.sampled_from((0.0, 1e4, -50.0)),
)
def test_scale_and_offset_change_nothing(seed: int, scale: float, offset: float) -> None:
    table = walks(seed, 4, 200)
    table[1] = follower(table[0], 3, seed + 1)
    one = correlations(times(200), table)
    other = correlations(times(200), scale * (table + offset))
    assert [(c.first, c.second, c.lag_ms) for c in one] == [
        (c.first, c.second, c.lag_ms) for c in other
    ]
    assert [c.coefficient for c in other] == pytest.approx([c.coefficient for c in one], rel=1e-3)
