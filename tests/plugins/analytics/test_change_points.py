"""Change points: levels and spreads that changed and stayed changed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph_analytics.methods.change_points import change_points
from barograph_analytics.methods.noise import noise as measured

MINUTE_MS = 60_000
N = 800


def times(n: int) -> np.ndarray:
    return 1_700_000_000_000 + MINUTE_MS * np.arange(n, dtype=np.int64)


def noise(seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def step(at: int, n: int = N) -> np.ndarray:
    return (np.arange(n) >= at).astype(float)


def slow(seed: int, r: float, n: int = N) -> np.ndarray:
    x = noise(seed, n + 300)
    for i in range(1, len(x)):
        x[i] += r * x[i - 1]
    return x[300:]


def test_a_shift_is_told_with_place_and_levels() -> None:
    (found,) = change_points(times(N), 50 + noise(1) + 4 * step(500))
    assert found.kind == "level"
    assert abs(found.index - 500) <= 3
    assert found.t_ms == times(N)[found.index]
    assert found.before == pytest.approx(50, abs=0.3)
    assert found.after == pytest.approx(54, abs=0.3)
    assert found.size == pytest.approx(4, abs=0.6)
    assert found.confidence > 0.99
    assert (found.start_ms, found.end_ms) == (times(N)[0], times(N)[-1])


def test_several_shifts_are_told_in_order() -> None:
    x = noise(2) + 5 * step(200) - 8 * step(420) + 4 * step(600)
    found = change_points(times(N), x)
    assert [abs(one.index - at) <= 5 for one, at in zip(found, (200, 420, 600), strict=True)]
    assert [one.size > 0 for one in found] == [True, False, True]
    assert found[0].end_ms < found[1].t_ms <= found[2].start_ms + 600 * MINUTE_MS


def test_a_spread_that_grew_is_told_as_such() -> None:
    (found,) = change_points(times(N), noise(3) * (1 + 3 * step(400)))
    assert found.kind == "spread"
    assert abs(found.index - 400) <= 16
    assert found.after / found.before == pytest.approx(4, rel=0.3)
    assert found.size == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.8, 0.95, 1.0])
def test_noise_however_slow_has_seldom_a_change(r: float) -> None:
    told = [bool(change_points(times(N), slow(seed, r))) for seed in range(60)]
    assert sum(told) <= 3


def test_a_season_has_no_change() -> None:
    season = 6 * np.sin(2 * np.pi * np.arange(N) / 100)
    assert sum(bool(change_points(times(N), season + noise(s))) for s in range(30)) <= 1


def test_a_shift_below_a_season_is_told() -> None:
    season = 6 * np.sin(2 * np.pi * np.arange(N) / 100)
    found = change_points(times(N), season + noise(5) + 4 * step(450))
    assert any(abs(one.index - 450) <= 16 and one.kind == "level" for one in found)


def test_a_drift_is_no_change() -> None:
    told = [bool(change_points(times(N), noise(s) + np.linspace(0, 10, N))) for s in range(30)]
    assert sum(told) <= 1


def test_lone_spikes_are_no_change() -> None:
    x = noise(6)
    x[::97] += 40
    assert change_points(times(N), x) == []


def test_a_step_of_a_noiseless_series_is_told() -> None:
    (found,) = change_points(times(N), 3.0 + 2 * step(300))
    assert (found.index, found.before, found.after) == (300, 3.0, 5.0)


def test_the_index_is_into_what_was_given() -> None:
    x = noise(7) + 6 * step(500)
    x[::4] = np.nan
    (found,) = change_points(times(N), x)
    assert abs(found.index - 500) <= 4
    assert np.isfinite(x[found.index])


def test_most_keeps_the_strongest() -> None:
    x = noise(8) + 3 * step(200) + 30 * step(500)
    (found,) = change_points(times(N), x, most=1)
    assert abs(found.index - 500) <= 3


@pytest.mark.parametrize("values", [[], [1.0], [np.nan] * 60, [5.0] * 60, [1.0, np.nan] * 6])
def test_what_is_too_little_has_no_change(values: list[float]) -> None:
    assert change_points(times(len(values)), np.array(values)) == []


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    scale=st.sampled_from((1e-6, 0.5, 1e9)),
    offset=st.sampled_from((0.0, 1e3, -1e4)),
    size=st.sampled_from((0.0, 5.0)),
)
def test_scale_and_offset_do_not_move_a_change(
    seed: int, scale: float, offset: float, size: float
) -> None:
    x = noise(seed, 300) + size * step(150, 300)
    one, other = change_points(times(300), x), change_points(times(300), scale * (x + offset))
    assert [c.index for c in one] == [c.index for c in other]
    assert [c.size for c in other] == pytest.approx([c.size for c in one], rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), max_size=120))
def test_any_series_gets_numbers(values: list[float]) -> None:
    for one in change_points(times(len(values)), np.array(values)):
        assert np.isfinite([one.before, one.after, one.size]).all()
        assert 0.0 <= one.p <= 1.0


def test_the_yardstick_is_that_of_the_noise() -> None:
    white, walk = measured(noise(9, 4000)), measured(np.cumsum(noise(9, 4000)))
    assert white is not None
    assert walk is not None
    assert white.at(100.0) == pytest.approx(np.sqrt(2 / 100), rel=0.3)
    assert walk.at(100.0) == pytest.approx(np.sqrt(2 / 3 * 100), rel=0.3)
    assert measured(np.zeros(100)) is None
