"""Trends: what rises, since when, and what only looks like it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph_analytics.methods.season import without_season
from barograph_analytics.methods.trend import trend

MINUTE_MS = 60_000
N = 600


def times(n: int) -> np.ndarray:
    return 1_700_000_000_000 + MINUTE_MS * np.arange(n, dtype=np.int64)


def noise(seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def test_a_drift_is_told_with_its_slope_and_size() -> None:
    found = trend(times(N), 100 + noise(1) + np.linspace(0, 6, N))
    per_second = 6 / ((N - 1) * 60)
    assert found.significant
    assert found.direction == "rising"
    assert found.low <= per_second <= found.high
    assert found.change == pytest.approx(6, abs=0.6)
    assert found.before == pytest.approx(100, abs=0.5)
    assert found.after == pytest.approx(106, abs=0.5)
    assert found.reason == ""


def test_a_drift_that_began_later_is_told_with_its_start() -> None:
    found = trend(times(N), noise(2) - 8 * np.maximum(np.arange(N) - 300, 0) / 300)
    assert found.direction == "falling"
    assert abs(found.start_ms - int(times(N)[300])) < 40 * MINUTE_MS
    assert found.change == pytest.approx(-8, abs=1.5)


def test_a_level_that_jumped_is_no_trend() -> None:
    for seed, size in enumerate((2, 5, 50)):
        found = trend(times(N), noise(seed) + size * (np.arange(N) >= 250))
        assert not found.significant
        assert found.direction == "none"
        assert found.reason


def test_random_walks_are_seldom_trends() -> None:
    told = [trend(times(N), np.cumsum(noise(seed))).significant for seed in range(100)]
    assert sum(told) <= 6


def test_slow_noise_is_seldom_a_trend() -> None:
    told = 0
    for seed in range(100):
        steps = noise(seed, N + 200)
        for i in range(1, len(steps)):
            steps[i] += 0.95 * steps[i - 1]
        told += trend(times(N), steps[200:]).significant
    assert told <= 4


def test_a_season_is_taken_out_and_a_drift_stays() -> None:
    season = 5 * np.sin(2 * np.pi * np.arange(N) / 100)
    flat, drifting = season + noise(3), season + noise(3) + np.linspace(0, 3, N)
    assert not trend(times(N), flat).significant
    found = trend(times(N), drifting)
    assert found.significant
    assert found.period_ms == pytest.approx(100 * MINUTE_MS, rel=0.03)
    assert found.change == pytest.approx(3, abs=0.6)


def test_without_season_leaves_noise_and_jumps_alone() -> None:
    x = noise(4) + 4 * (np.arange(N) >= 300)
    rest, period_ms = without_season(times(N), x)
    assert period_ms == 0
    assert (rest == x).all()


def test_gaps_and_nan_do_not_hide_a_drift() -> None:
    x = noise(5) + np.linspace(0, 6, N)
    x[::3] = np.nan
    keep = np.ones(N, bool)
    keep[200:300] = False
    assert trend(times(N)[keep], x[keep]).direction == "rising"


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [1.0, 2.0], [np.nan] * 50, [7.0] * 50, [np.nan, 1.0] * 10, [np.inf] * 40],
)
def test_what_is_too_little_says_why_it_says_nothing(values: list[float]) -> None:
    found = trend(times(len(values)), np.array(values))
    assert not found.significant
    assert found.reason


def test_samples_of_one_time_are_one() -> None:
    t = np.repeat(times(N), 2)
    x = np.repeat(noise(6) + np.linspace(0, 6, N), 2)
    assert trend(t, x).n == N


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        trend(times(4), np.zeros(5))
    with pytest.raises(ValueError, match="order of their times"):
        trend(times(4)[::-1], np.zeros(4))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from((1e-6, 0.5, 1e9)),
    offset=st.sampled_from((0.0, 1e3, -1e4)),
    drift=st.sampled_from((0.0, 1.0, -4.0)),
)
def test_scale_and_offset_do_not_change_the_verdict(
    seed: int, scale: float, offset: float, drift: float
) -> None:
    x = noise(seed, 200) + drift * np.linspace(0, 1, 200)
    one, other = trend(times(200), x), trend(times(200), scale * (x + offset))
    assert one.significant == other.significant
    assert other.p == pytest.approx(one.p, rel=1e-3, abs=1e-9)
    assert other.slope == pytest.approx(one.slope * scale, rel=1e-3, abs=1e-9 * scale)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), max_size=80))
def test_any_series_gets_numbers(values: list[float]) -> None:
    found = trend(times(len(values)), np.array(values))
    assert 0.0 <= found.p <= 1.0
    assert found.low <= found.slope <= found.high
    assert np.isfinite([found.slope, found.change, found.strength]).all()
