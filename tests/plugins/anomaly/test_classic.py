"""The classic detectors: each finds what it is for, and is what its few-line twin is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from histories import DAY, HOUR, daily, noise, times
from hypothesis import given
from hypothesis import strategies as st

from barograph.detection import Watch
from barograph.testing import check_detector
from barograph_anomaly import score
from barograph_anomaly.catalog import detectors
from barograph_anomaly.classic.windowed import LEAST, NEAR, NORMAL_MAD, WINDOW

DETECTORS = {one.name: one for one in detectors()}
CLASSIC = sorted(set(DETECTORS) - {"auto", "multivariate"})


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_detector_keeps_its_contract(name: str) -> None:
    check_detector(DETECTORS[name], joint=name == "multivariate")


def with_spike(v: Any) -> Any:
    v[1500] += 60
    return v


def with_shift(v: Any) -> Any:
    v[1500:] += 12
    return v


def with_wider_noise(v: Any) -> Any:
    v[1500:] = 100 + 6 * (v[1500:] - 100)
    return v


def with_flat_part(v: Any) -> Any:
    v[1500:1540] = v[1499]
    return v


def with_ramp(v: Any) -> Any:
    v[1500:1503] += (0, 40, 80)
    return v


def with_quiet_day(v: Any) -> Any:
    hour = times(len(v)) % DAY / HOUR
    day = np.arange(len(v)) // 288
    v[(day == 8) & (hour >= 9) & (hour < 17)] -= 40
    return v


FINDS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "zscore": (with_spike, 1500),
    "robust_zscore": (with_spike, 1500),
    "iqr": (with_spike, 1500),
    "spike": (with_spike, 1500),
    "ewma": (with_shift, 1500),
    "level_shift": (with_shift, 1500),
    "variance_shift": (with_wider_noise, 1500),
    "flatline": (with_flat_part, 1500),
    "rate_of_change": (with_ramp, 1500),
    "seasonal": (with_quiet_day, 8 * 288 + 108),
}


@pytest.mark.parametrize("name", sorted(FINDS))
def test_it_finds_what_it_is_for_and_nothing_before(name: str) -> None:
    change, at = FINDS[name]
    plain = daily(3000) if name == "seasonal" else noise(3000)
    found = score(times(3000), change(plain.copy()), name)
    assert found[at : at + 40].max() >= 0.5
    learnt = 5 * 288 if name == "seasonal" else 300
    assert found[learnt:at].max() < 0.5


@pytest.mark.parametrize("name", ["level_shift", "variance_shift", "flatline", "seasonal"])
def test_a_lone_spike_is_not_what_it_looks_for(name: str) -> None:
    found = score(times(3000), with_spike(noise(3000)), name)
    assert found[1500:1520].max() < 0.5 or name in ("variance_shift", "seasonal")
    assert found[1560:].max() < 0.5


def test_a_spike_is_over_when_the_level_stays() -> None:
    found = score(times(3000), with_shift(noise(3000)) + 0.0, "spike")
    assert found[1502:].max() < 0.5


def test_a_weekly_season_is_found_where_the_days_differ() -> None:
    n = 288 * 7 * 6
    t = times(n)
    weekend = (t // DAY + 3) % 7 >= 5
    values = noise(n) + 60.0 * ~weekend
    found = score(t, values, "seasonal")
    last = slice(288 * 7 * 5, None)
    assert found[last].max() < 0.5
    quiet = values.copy()
    monday = (t // DAY + 3) % 7 == 0
    quiet[last][monday[last]] -= 60  # a holiday
    assert score(t, quiet, "seasonal")[last].max() >= 0.5


def naive_window(values: list[float], statistic: Any, window: int) -> list[float]:
    out = []
    for i, x in enumerate(values):
        before = np.array(values[max(i - window, 0) : i])
        out.append(statistic(before, x) if len(before) >= LEAST else 0.0)
    return out


def unit_of(unit: float, level: float) -> float:
    return 1e-3 * abs(level) if unit <= 1e-9 * abs(level) else unit


def in_units(away: float, unit: float, level: float) -> float:
    unit = unit_of(unit, level)
    if unit <= 0:
        return 0.0 if away <= 0 else 1e9
    return min(away / unit, 1e9)


def naive_zscore(before: Any, x: float) -> float:
    return in_units(abs(x - before.mean()), before.std(ddof=1), before.mean())


def naive_robust(before: Any, x: float) -> float:
    middle = np.median(before)
    return in_units(abs(x - middle), NORMAL_MAD * float(np.median(np.abs(before - middle))), middle)


def naive_iqr(before: Any, x: float) -> float:
    low, high = np.quantile(before, [0.25, 0.75])
    return in_units(max(low - x, x - high, 0.0), high - low, (low + high) / 2)


def naive_spike(before: Any, x: float) -> float:
    middle = np.median(before)
    away = min(abs(x - middle), abs(x - before[-1]))
    return in_units(away, NORMAL_MAD * float(np.median(np.abs(before - middle))), middle)


TWINS = {
    "zscore": (naive_zscore, WINDOW),
    "robust_zscore": (naive_robust, WINDOW),
    "iqr": (naive_iqr, WINDOW),
    "spike": (naive_spike, NEAR),
}


@pytest.mark.parametrize("name", sorted(TWINS))
@given(steps=st.lists(st.integers(-1000, 1000), min_size=1, max_size=12), repeat=st.integers(1, 40))
def test_windowed_statistics_are_what_numpy_says(name: str, steps: list[int], repeat: int) -> None:
    # Quarters are exact in floats, so that equal samples are equal in both.
    values = [x / 4 + (i % 7) for i, x in enumerate(steps * repeat)]
    statistic, window = TWINS[name]
    wanted = np.array(naive_window(values, statistic, window))
    limit = DETECTORS[name].limit  # type: ignore[attr-defined]
    found = score(times(len(values)), values, name)
    assert np.allclose(found, wanted / (wanted + limit), atol=1e-6)


samples = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0, np.nan])
)


@pytest.mark.parametrize("name", sorted(DETECTORS))
@given(values=st.lists(samples, max_size=150), step=st.sampled_from([1, 1000, 3_600_000]))
def test_whatever_comes_scores_are_scores(name: str, values: list[float], step: int) -> None:
    given_values = np.array(values)
    found = score(times(len(values), step), given_values, name)
    assert found.shape == given_values.shape
    assert ((found >= 0) & (found <= 1)).all()
    assert not found[~np.isfinite(given_values)].any()


def test_multivariate_points_at_the_series_that_leaves_the_others() -> None:
    rng = np.random.default_rng(3)
    n, hosts = 1500, 12
    load = np.sin(np.arange(n) / 40) * 10
    table = np.array([50 + (1 + i / 10) * load + rng.normal(0, 0.5, n) for i in range(hosts)])
    table[4, 1300:1320] = 50 - (1 + 4 / 10) * load[1300:1320]  # within its range, but alone
    watch = Watch(DETECTORS["multivariate"], hosts)
    scores = np.array([watch.update(int(t), table[:, i]) for i, t in enumerate(times(n))])
    assert scores[1300:1320, 4].max() >= 0.5
    others = np.delete(scores[600:], 4, axis=1)
    assert others.max() < 0.5
    assert scores[600:1300, 4].max() < 0.5
    alone = score(times(n), table[4], "multivariate")
    assert alone[1300:1320].max() < 0.5  # by itself it shows nothing
