"""The default detector: what it tells, what it leaves alone, what it learns, what it says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from histories import DAY, HOUR, MINUTE, daily, noise, times
from hypothesis import given
from hypothesis import strategies as st

from barograph.detection import Watch
from barograph_anomaly import score
from barograph_anomaly.automatic.detector import AutoDetector

AUTO = AutoDetector()


def watched(t: Any, values: Any, detector: AutoDetector = AUTO) -> tuple[Watch, Any]:
    """A stream of one series, and its scores."""
    watch = Watch(detector, 1)
    return watch, np.array(
        [watch.update(int(now), values[i : i + 1])[0] for i, now in enumerate(t.tolist())]
    )


def alarms(scores: Any) -> Any:
    return np.flatnonzero(scores >= 0.5)


@pytest.mark.parametrize("lift", [60.0, -60.0])
def test_a_spike_is_told_at_once_in_both_directions(lift: float) -> None:
    values = noise(2000)
    values[1500] += lift
    assert 1500 in alarms(score(times(2000), values))


def test_an_event_that_lasts_is_told_once_and_stays_visible() -> None:
    values = noise(2000)
    values[1500:] += 60
    found = score(times(2000), values)
    told = alarms(found)
    assert told[told >= 1500][0] <= 1502
    assert len(told[told > 1510]) == 0
    assert (found[1510:1560] > 0.05).all()


def test_a_missing_busy_day_is_found_in_what_stays_within_the_usual_range() -> None:
    values = daily(12 * 288)
    hour = times(len(values)) % DAY / HOUR
    day = np.arange(len(values)) // 288
    busy = (hour >= 9) & (hour < 17)
    found = alarms(score(times(len(values)), values))
    assert not len(found[found >= 5 * 288])
    values[(day == 10) & busy] -= 40
    first = 10 * 288 + 9 * 12
    found = alarms(score(times(len(values)), values))
    assert first <= found[found >= 5 * 288][0] <= first + 12


def test_a_nightly_job_is_told_on_the_first_days_only() -> None:
    values = noise(21 * 288)
    for day in range(21):
        at = day * 288 + 24 + day % 3
        values[at : at + 3] += 80
    told = alarms(score(times(len(values)), values))
    nights = told[(told % 288 >= 24) & (told % 288 < 36)] // 288
    assert 1 <= len(nights) <= 3
    assert nights.max() < 4


def test_what_was_fine_is_not_told_again_and_what_is_worse_still_is() -> None:
    def history(second: float) -> Any:
        values = noise(4000)
        values[1500:1503] += 60
        values[3001:3004] += second
        return values

    def after(second: float, accept: bool) -> Any:
        values, t = history(second), times(4000)
        watch, before = watched(t[:1600], values[:1600])
        assert 1500 in alarms(before)
        if accept:
            AUTO.accept(watch.state, 0)
        rest = [watch.update(int(t[i]), values[i : i + 1])[0] for i in range(1600, 4000)]
        return 1600 + alarms(np.array(rest))

    assert len(after(60, accept=False)) > 0
    assert len(after(60, accept=True)) == 0
    assert 3001 in after(400, accept=True)


def test_a_larger_budget_tells_more() -> None:
    t = times(4000)
    counts = [
        sum(len(alarms(score(t, np.random.default_rng(s).lognormal(0, 1, 4000), budget=budget)))
            for s in range(5))
        for budget in (0.01, 0.1, 1.0)
    ]  # fmt: skip
    assert counts[0] < counts[1] < counts[2]


def test_false_alarms_in_plain_noise_stay_within_twice_the_budget() -> None:
    days, told = 0.0, 0
    for seed in range(20):
        for values in (noise(4032, seed), daily(4032, seed), np.cumsum(noise(4032, seed, 0.0))):
            told += len(alarms(score(times(4032), values)))
            days += 14
    assert told <= 2 * AUTO.budget * days


def test_a_series_that_is_never_quiet_spends_its_budget_and_is_then_judged_harder() -> None:
    rng = np.random.default_rng(5)
    n = 120 * 288
    values = rng.lognormal(0, 1.5, n)
    told = alarms(score(times(n), values))
    assert len(told[told >= 60 * 288]) <= 2 * AUTO.budget * 60


def test_a_counter_that_resets_is_no_anomaly_but_a_change_of_its_rate_is() -> None:
    rng = np.random.default_rng(2)
    counter = np.cumsum(rng.poisson(100, 3000)).astype(float)
    counter[1000:] -= counter[999]
    counter[2200:] += np.arange(800) * 400.0
    told = alarms(score(times(3000), counter))
    assert not np.isin(np.arange(995, 1010), told).any()
    assert np.isin(np.arange(2200, 2203), told).any()


def test_a_gauge_that_rose_at_first_is_a_gauge_after_all() -> None:
    values = noise(2000)
    values[:40] = np.linspace(50, 100, 40)
    values[1500] += 80
    told = alarms(score(times(2000), values))
    assert 1500 in told


@pytest.mark.parametrize("level", [0.0, 5.0, -1e12, 1e100])
def test_a_constant_series_scores_nothing_and_its_first_change_is_told(level: float) -> None:
    values = np.full(1000, level)
    assert not score(times(1000), values).any()
    values[800] = level * 1.5 + 1.0
    assert score(times(1000), values)[800] >= 0.5


def test_a_tiny_series_scores_nothing() -> None:
    for n in range(40):
        assert not score(times(n), noise(n) + 1000.0 * (np.arange(n) == n - 1)).any()


def test_gaps_are_no_anomaly() -> None:
    values = daily(14 * 288)
    values[np.random.default_rng(1).random(len(values)) < 0.3] = np.nan
    values[6 * 288 : 7 * 288] = np.nan
    t = times(len(values))
    assert len(alarms(score(t, values))) <= 1
    kept = np.isfinite(values)  # the same, said by leaving samples out
    assert np.array_equal(score(t, values)[kept], score(t[kept], values[kept]))


@given(
    seed=st.integers(0, 10_000), factor=st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**30]),
    spikes=st.lists(st.integers(60, 599), max_size=5),
)  # fmt: skip
def test_the_unit_of_a_metric_does_not_matter(seed: int, factor: float, spikes: list[int]) -> None:
    values = noise(600, seed)
    values[spikes] += 50
    plain, scaled = score(times(600), values), score(times(600), values * factor)
    assert np.allclose(plain, scaled, atol=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_each_series_of_a_batch_scores_as_if_alone(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(100, 3, (n, 120))
    table[:, 100] += rng.choice([0, 80], n)
    table[rng.random(table.shape) < 0.1] = np.nan
    t = times(120)
    watch = Watch(AUTO, n)
    streamed = np.array([watch.update(int(t[i]), table[:, i]) for i in range(120)]).T
    for row, found in zip(table, streamed, strict=True):
        assert np.array_equal(score(t, row), found)


def test_a_hundred_thousand_series_are_watched() -> None:
    n = 100_000
    watch = Watch(AUTO, n)
    rng = np.random.default_rng(0)
    bytes_each = sum(rows.nbytes for rows in watch.state.values()) / n
    assert bytes_each < 4096
    table, t = rng.normal(100, 3, (10, n)), times(10)
    for i in range(10):
        found = watch.update(int(t[i]), table[i])
        assert found.shape == (n,)
    watch.remove(range(0, n, 2))
    assert len(watch) == n // 2
    alone, _ = watched(t, table[:, 777].copy())
    for name, rows in watch.state.items():
        assert np.array_equal(rows[777 // 2], alone.state[name][0])


def test_of_a_hundred_thousand_series_the_one_that_leaps_is_told() -> None:
    n, t = 100_000, times(61)
    watch = Watch(AutoDetector(), n)
    base = np.random.default_rng(0).normal(100, 3, n)
    for i in range(60):
        found = watch.update(int(t[i]), base + i % 7)
    assert not found.any()
    base[777] += 1e6
    found = watch.update(int(t[60]), base)
    assert found.argmax() == 777


EVENTS = {
    "value": (lambda v: np.where(np.arange(len(v)) == 1500, 1.5, v), r"1\.5 s, .* above its usual"),
    "flat": (lambda v: np.where(np.arange(len(v)) >= 1500, v[1500], v), r"exactly .* ms for \d+ s"),
}


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_it_explains_itself_with_numbers(kind: str) -> None:
    change, pattern = EVENTS[kind]
    t, values = times(1600), change(noise(1600, level=0.2, spread=0.01))
    watch, found = watched(t, values)
    assert alarms(found)[-1] >= 1500
    text = AUTO.explain(watch.state, 0, "p95 latency", "seconds")
    assert text.startswith("p95 latency ")
    assert re.search(r"\d", text)
    assert re.search(pattern, text) or "times" in text, text


def test_without_an_event_there_is_nothing_to_explain() -> None:
    watch, _ = watched(times(100), noise(100))
    assert AUTO.explain(watch.state, 0, "x") == ""


def test_the_time_between_samples_sets_how_rare_an_event_must_be() -> None:
    """The budget is by the day: of samples each second, the same noise tells no more a day."""
    n = 20 * HOUR // 1000
    told = len(alarms(score(times(n, 1000), np.random.default_rng(1).lognormal(0, 0.5, n))))
    assert told <= 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (([1, 2], [1.0]), "one length"),
        (([2, 1], [1.0, 2.0]), "t_ms falls at 1: 2 is followed by 1"),
        (([1], [1.0], "atuo"), 'no detector "atuo"; did you mean "auto"'),
    ],
)
def test_wrong_arguments_are_told(arguments: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        score(*arguments)


def test_lists_do_as_well_as_arrays() -> None:
    assert score([0, MINUTE, 2 * MINUTE], [1, 2, 3]).tolist() == [0.0, 0.0, 0.0]
    assert score([], []).tolist() == []
