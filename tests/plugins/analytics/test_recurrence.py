"""Recurrence: when trouble comes again, and with what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph_analytics.methods.recurrence import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    WEEK_MS,
    Episode,
    episodes,
    recurrences,
    together,
)

MONDAY_MS = 1_699_833_600_000
END_MS = MONDAY_MS + 4 * WEEK_MS


def row(starts: object, name: str = "disk") -> list[Episode]:
    return [Episode(int(s), int(s) + 5 * MINUTE_MS, name) for s in np.asarray(starts).tolist()]


def jitter(seed: int, n: int, minutes: float = 8.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, minutes * MINUTE_MS, n)


def test_a_nightly_job_has_its_time_of_day_and_its_next_time() -> None:
    days = MONDAY_MS + DAY_MS * np.arange(28) + 3 * HOUR_MS
    (found,) = recurrences(row(days + jitter(1, 28)), MONDAY_MS, END_MS)
    assert found.pattern == "time_of_day"
    assert abs(found.phase_ms - 3 * HOUR_MS) < 20 * MINUTE_MS
    assert found.next_ms is not None
    assert abs(found.next_ms - (END_MS + 3 * HOUR_MS)) < 20 * MINUTE_MS
    assert found.times == 28
    assert found.fitting >= 25
    assert found.length_ms == 5 * MINUTE_MS
    assert found.confidence > 0.85


def test_the_hour_is_that_of_local_time() -> None:
    days = MONDAY_MS + DAY_MS * np.arange(28) + 23 * HOUR_MS
    (found,) = recurrences(row(days), MONDAY_MS, END_MS, offset_ms=2 * HOUR_MS)
    assert abs(found.phase_ms - HOUR_MS) < 20 * MINUTE_MS
    assert found.next_ms is not None
    assert (found.next_ms - 23 * HOUR_MS) % DAY_MS == pytest.approx(0, abs=20 * MINUTE_MS)


def test_what_rests_at_weekends_is_due_on_monday() -> None:
    days = np.array([d for d in range(28) if d % 7 < 5])
    found = recurrences(
        row(MONDAY_MS + DAY_MS * days + 9 * HOUR_MS), MONDAY_MS, END_MS - 2 * DAY_MS
    )
    assert found[0].pattern == "time_of_day"
    assert found[0].next_ms == END_MS + 9 * HOUR_MS
    assert found[0].expected == 20


def test_a_weekly_report_has_its_day() -> None:
    weeks = MONDAY_MS + WEEK_MS * np.arange(4) + 2 * DAY_MS + 5 * HOUR_MS
    (found,) = recurrences(row(weeks + jitter(2, 4)), MONDAY_MS, END_MS)
    assert found.pattern == "time_of_week"
    assert abs(found.phase_ms - 2 * DAY_MS - 5 * HOUR_MS) < 30 * MINUTE_MS
    assert found.next_ms is not None
    assert abs(found.next_ms - END_MS - 2 * DAY_MS - 5 * HOUR_MS) < 30 * MINUTE_MS


def test_what_comes_every_seven_hours_has_an_interval() -> None:
    starts = MONDAY_MS + 7 * HOUR_MS * np.arange(96)
    (found,) = recurrences(row(starts + jitter(3, 96, 5)), MONDAY_MS, END_MS)
    assert found.pattern == "interval"
    assert found.period_ms == pytest.approx(7 * HOUR_MS, rel=0.01)
    assert found.next_ms is not None
    assert abs(found.next_ms - (MONDAY_MS + 96 * 7 * HOUR_MS)) < HOUR_MS


def test_what_comes_by_chance_has_no_pattern() -> None:
    told = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        starts = rng.uniform(MONDAY_MS, END_MS, int(rng.integers(3, 60)))
        told += any(
            one.pattern != "none" for one in recurrences(row(np.sort(starts)), MONDAY_MS, END_MS)
        )
    assert told <= 4


def test_one_bad_hour_with_many_alarms_is_one_visit() -> None:
    starts = MONDAY_MS + 3 * DAY_MS + MINUTE_MS * np.arange(0, 60, 5)
    assert recurrences(row(starts), MONDAY_MS, END_MS) == []


def test_what_always_comes_together_is_told_in_its_order() -> None:
    rng = np.random.default_rng(4)
    leads = rng.uniform(MONDAY_MS, END_MS, 12)
    others = [e for i in range(10) for e in row(rng.uniform(MONDAY_MS, END_MS, 30), f"other {i}")]
    (found,) = together(
        [*row(leads, "queue"), *row(leads + 2 * MINUTE_MS, "errors"), *others], MONDAY_MS, END_MS
    )
    assert (found.first, found.second) == ("queue", "errors")
    assert found.lag_ms == pytest.approx(2 * MINUTE_MS, abs=1000)
    assert found.times == found.of_first == found.of_second


def test_abnormal_samples_become_episodes() -> None:
    t = 60_000 * np.arange(100, dtype=np.int64)
    abnormal = np.zeros(100, bool)
    abnormal[[10, 11, 15, 60]] = True
    found = episodes(t, abnormal, "cpu")
    assert [(e.start_ms // 60_000, e.end_ms // 60_000) for e in found] == [(10, 15), (60, 60)]
    assert episodes(t, np.zeros(100, bool), "cpu") == []
    with pytest.raises(ValueError, match="one length"):
        episodes(t, np.zeros(3, bool), "cpu")


@settings(max_examples=40, deadline=None)
@given(
    starts=st.lists(st.integers(MONDAY_MS, END_MS), max_size=30),
    weeks=st.integers(1, 300),
    twice=st.booleans(),
)
def test_whole_weeks_later_and_duplicates_are_the_same_pattern(
    starts: list[int], weeks: int, twice: bool
) -> None:
    one = recurrences(row(starts), MONDAY_MS, END_MS)
    shift = weeks * WEEK_MS
    later = [s + shift for s in starts] * (2 if twice else 1)
    other = recurrences(row(later), MONDAY_MS + shift, END_MS + shift)
    assert [(a.pattern, a.phase_ms, a.p) for a in one] == [
        (b.pattern, b.phase_ms, b.p) for b in other
    ]
    assert [a.next_ms and a.next_ms + shift for a in one] == [b.next_ms for b in other]
    for found in one:
        if found.next_ms is not None:
            assert found.next_ms > found.last_ms
