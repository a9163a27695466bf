"""What else moved: the cause before its symptoms, and what moves anyway not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph_analytics.methods.moved import moved

FINE = 360
PAST = 720
START_MS = 1_700_000_000_000
T = START_MS + 10_000 * np.arange(FINE, dtype=np.int64)
PAST_T = START_MS - 60_000 * np.arange(PAST, 0, -1, dtype=np.int64)
BEGIN = 270


def quiet(seed: int, rows: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 100 + rng.standard_normal((rows, FINE)), 100 + rng.standard_normal((rows, PAST))


def ranked(table: np.ndarray, past: np.ndarray | None, **more: object) -> list[int]:
    found = moved(
        T, table, int(T[BEGIN]), int(T[-1]),
        history_t_ms=None if past is None else PAST_T, history=past, **more,  # type: ignore[arg-type]
    )  # fmt: skip
    return [one.index for one in found]


def test_the_earliest_is_first_though_symptoms_are_larger() -> None:
    table, past = quiet(1)
    table[7, 280:] += 8
    for i, row in enumerate((3, 12, 20, 30, 41)):
        table[row, 284 + 2 * i :] -= 15
    found = moved(T, table, int(T[BEGIN]), int(T[-1]), history_t_ms=PAST_T, history=past)
    assert found[0].index == 7
    assert {one.index for one in found} == {3, 7, 12, 20, 30, 41}
    assert abs(found[0].onset_ms - int(T[280])) <= 20_000
    assert found[0].direction == "up"
    assert found[0].before == pytest.approx(100, abs=0.5)
    assert found[0].during == pytest.approx(108, abs=0.5)
    assert found[0].share > 0.9
    assert all(one.direction == "down" for one in found[1:])
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert 0.0 <= scores[-1] <= scores[0] <= 1.0


def test_a_quiet_window_has_nothing() -> None:
    assert sum(len(ranked(*quiet(seed))) for seed in range(20)) <= 5


def test_what_moves_so_every_hour_is_not_told() -> None:
    table, past = quiet(2)
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.standard_normal(PAST * 6 + FINE)) * 0.3
    past[5], table[5] = walk[: PAST * 6 : 6], walk[PAST * 6 :]
    past[6] += 20 * (np.arange(PAST) % 60 > 40)
    table[6] += 20 * (np.arange(FINE) >= 290)
    table[9, 300:] += 10
    assert ranked(table, past) == [9]


def test_a_counter_is_taken_by_its_rate_and_a_restart_is_no_move() -> None:
    rng = np.random.default_rng(4)
    table, past = quiet(5)
    for row in (1, 2):
        table[row] = np.cumsum(rng.uniform(8, 12, FINE))
        past[row] = np.cumsum(rng.uniform(48, 72, PAST))
    table[1, 300:] += np.cumsum(np.full(60, 30.0))
    table[2, 310:] -= table[2, 310]
    found = moved(T, table, int(T[BEGIN]), int(T[-1]), history_t_ms=PAST_T, history=past)
    assert [one.index for one in found] == [1]
    assert found[0].before == pytest.approx(1.0, rel=0.1)
    assert found[0].during == pytest.approx(4.0, rel=0.1)


def test_a_series_that_never_moved_is_told_when_it_does() -> None:
    table, past = quiet(6)
    table[8], past[8] = 0.0, 0.0
    table[8, 300:] = 1.0
    assert ranked(table, past) == [8]
    assert ranked(table, None) == [8]


def test_missing_samples_and_rows_of_nothing_do_no_harm() -> None:
    table, past = quiet(7)
    table[::2, ::3] = np.nan
    table[4], past[4] = np.nan, np.nan
    past[11] = np.nan
    table[11, 290:] += 12
    assert ranked(table, past)[:1] == [11]


def test_without_time_before_or_rows_there_is_nothing() -> None:
    table, _ = quiet(8)
    assert moved(T, table, int(T[0]), int(T[-1])) == []
    assert moved(T, table, int(T[-1]) + 1, int(T[-1]) + 10**6) == []
    assert moved(T, np.zeros((0, FINE)), int(T[BEGIN]), int(T[-1])) == []


def test_shapes_that_do_not_fit_are_refused() -> None:
    table, past = quiet(9)
    with pytest.raises(ValueError, match="table must be"):
        moved(T[:5], table, 0, 1)
    with pytest.raises(ValueError, match="go together"):
        moved(T, table, 0, 1, history=past)
    with pytest.raises(ValueError, match="history must be"):
        moved(T, table, 0, 1, history_t_ms=PAST_T, history=past[:3])
    with pytest.raises(ValueError, match="counters must be"):
        moved(T, table, 0, 1, counters=np.zeros(3, bool))


def test_limit_keeps_the_likeliest() -> None:
    table, past = quiet(10)
    table[:10, 300:] += 20
    table[17, 295:] += 20
    assert ranked(table, past, limit=1) == [17]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from((1e-6, 7.0, 1e9)),
    shuffle=st.integers(0, 1000),
)
def test_units_and_the_order_of_rows_change_nothing(seed: int, scale: float, shuffle: int) -> None:
    table, past = quiet(seed, 20)
    table[3, 280:] += 9
    table[5, 290:] -= 12
    order = np.random.default_rng(shuffle).permutation(20)
    one = ranked(table, past)
    other = [int(order[i]) for i in ranked(scale * table[order], scale * past[order])]
    assert one[:2] == other[:2] == [3, 5]
