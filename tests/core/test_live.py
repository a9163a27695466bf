"""The newest value of each series, and the one before."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barograph import Batch
from barograph.live import AHEAD_MS, IDLE_MS, Latest

T = 1_700_000_000_000


def batch(t: Any, **values: float) -> Batch:
    refs = np.array([int(name[1:]) for name in values])
    return Batch(refs, t, np.array(list(values.values())))


def get(latest: Latest, *refs: int) -> list[tuple[float, ...]]:
    return list(zip(*(column.tolist() for column in latest.get(np.array(refs))), strict=True))


def test_a_series_has_its_newest_value_and_the_one_before() -> None:
    latest = Latest()
    latest.update(batch(T, r1=1.0, r2=2.0), T)
    latest.update(batch(T + 1000, r1=3.0), T + 1000)
    one, two, none = get(latest, 1, 2, 9)
    assert one == (T + 1000, 3.0, T, 1.0)
    assert two[:3] == (T, 2.0, 0)
    assert none[0] == 0
    assert all(math.isnan(x) for x in (two[3], none[1], none[3]))
    assert len(latest) == 2


def test_late_samples_change_nothing() -> None:
    latest = Latest()
    latest.update(batch(T, r1=1.0, r2=1.0), T)
    times = np.array([T - 5000, T + 5])
    latest.update(Batch(np.array([1, 2]), times, np.array([7.0, 8.0])), T)
    assert get(latest, 1)[0][:2] == (T, 1.0)
    assert get(latest, 2)[0] == (T + 5, 8.0, T, 1.0)


def test_after_the_clock_was_set_back_new_values_are_shown_at_once() -> None:
    latest = Latest()
    latest.update(batch(T, r1=1.0), T)
    back = T - 3_600_000
    latest.update(batch(back, r1=2.0), back)
    assert get(latest, 1)[0][:2] == (back, 2.0)
    latest.update(batch(back + 1000, r1=3.0), back + 1000)
    assert get(latest, 1)[0] == (back + 1000, 3.0, back, 2.0)
    assert AHEAD_MS < 3_600_000


def test_series_that_come_and_go_are_forgotten() -> None:
    latest = Latest()
    for minute in range(600):
        now = T + minute * 60_000
        refs = np.array([1, *range(1000 + minute * 50, 1050 + minute * 50)])
        latest.update(Batch(refs, now, np.ones(51)), now)
    assert len(latest) < 3 * 50 * IDLE_MS // 60_000
    assert get(latest, 1)[0][:2] == (now, 1.0)
    assert math.isnan(get(latest, 1000)[0][1])


updates = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.dictionaries(st.integers(1, 6), st.floats(allow_nan=False), min_size=1),
    ),
    max_size=30,
)


@given(updates)
def test_it_equals_a_dictionary_of_the_newest_two(
    steps: list[tuple[int, dict[int, float]]],
) -> None:
    latest = Latest()
    model: dict[int, list[tuple[int, float]]] = {}
    for second, values in steps:
        t = T + second * 10
        latest.update(batch(t, **{f"r{ref}": v for ref, v in values.items()}), T + 200)
        for ref, value in values.items():
            there = model.setdefault(ref, [])
            if not there or t > there[-1][0]:
                there.append((t, value))
    for ref, history in model.items():
        now_t, now_v, before_t, before_v = get(latest, ref)[0]
        assert (now_t, now_v) == history[-1]
        if len(history) > 1:
            assert (before_t, before_v) == history[-2]
        else:
            assert before_t == 0
