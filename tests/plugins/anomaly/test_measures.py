"""The scorer and the measures, against cases worked by hand."""

from __future__ import annotations

import math
from typing import Any

import nab
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measures import alarms, auc_pr, events, labels, softened, vus_pr

STANDARD, LOW_FALSE, LOW_MISS = nab.PROFILES
WINDOW = ((50, 59),)
FULL = 2 / (1 + math.exp(-5)) - 1  # the sigmoid at a window's start


def file(*rows: int, n: int = 100, windows: Any = WINDOW, score: float = 0.9) -> nab.File:
    scores = np.zeros(n)
    scores[list(rows)] = score
    return nab.File("f", scores, windows)


# Raw scores of one window (a miss costs 1), by hand from the published rules.
RAW = [
    ((), -1.0),
    ((50,), 1.0),
    ((50, 51, 52), 1.0),  # only the earliest counts
    ((59,), (2 / (1 + math.exp(-0.5)) - 1) / FULL),
    ((54,), (2 / (1 + math.exp(-3.0)) - 1) / FULL),
    ((30,), -1.0 - 0.11),
    ((30, 31), -1.0 - 0.22),
    ((50, 30), 1.0 - 0.11),
    ((50, 64), 1.0 + 0.11 * (2 / (1 + math.exp(25 / 9)) - 1)),  # 5 rows past, of 9
    ((50, 90), 1.0 - 0.11),  # more than three widths past
    ((3,), -1.0),  # probation: 15 rows
]


@pytest.mark.parametrize(("rows", "wanted"), RAW)
def test_a_files_score_is_what_the_rules_say(rows: tuple[int, ...], wanted: float) -> None:
    assert nab.raw(file(*rows), STANDARD, 0.5) == pytest.approx(wanted)
    normalised = 100 * (wanted + 1) / 2
    assert nab.at([file(*rows)], STANDARD, 0.5) == pytest.approx(normalised)


def test_profiles_weigh_false_alarms_and_misses() -> None:
    assert nab.raw(file(30), LOW_FALSE, 0.5) == pytest.approx(-1.22)
    assert nab.raw(file(30), LOW_MISS, 0.5) == pytest.approx(-2.11)


def test_silence_gets_nothing_and_perfection_a_hundred() -> None:
    assert nab.best([file()], STANDARD).score == 0
    assert nab.best([file(50)], STANDARD).score == pytest.approx(100)


def test_the_probationary_period_ends_with_row_750() -> None:
    assert [nab.probation(n) for n in (100, 4032, 5000, 22_000)] == [15, 604, 750, 750]


def test_a_false_detection_between_two_windows_is_weighed_by_the_one_before() -> None:
    windows = ((30, 39), (60, 69))
    worth = nab.worths(100, windows, STANDARD)
    assert worth[20] == pytest.approx(-0.11)
    assert worth[41] == pytest.approx(0.11 * (2 / (1 + math.exp(10 / 9)) - 1))
    assert worth[60] == pytest.approx(1.0)
    assert worth[71] == pytest.approx(worth[41])


@given(st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=200, max_size=200))
def test_the_best_threshold_is_the_best_of_all(scores: list[float]) -> None:
    parts = [
        nab.File("a", np.array(scores[:100]), WINDOW),
        nab.File("b", np.array(scores[100:]), ((20, 39), (60, 79))),
    ]
    for profile in nab.PROFILES:
        found = nab.best(parts, profile)
        tried = [nab.at(parts, profile, t) for t in (0.0, 0.2, 0.5, 0.7, 1.0)]
        assert found.score == pytest.approx(max([0.0, *tried]))
        if found.score > 0:
            assert nab.at(parts, profile, found.threshold) == pytest.approx(found.score)


def test_average_precision_by_hand() -> None:
    truth = np.array([1.0, 0, 1, 0])
    assert auc_pr(np.array([0.9, 0.8, 0.7, 0.1]), truth) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert auc_pr(np.zeros(4), truth) == pytest.approx(0.5)  # ties are taken together
    assert auc_pr(truth, truth) == 1.0


def test_labels_fall_off_beside_a_window() -> None:
    assert labels(5, ((2, 3),)).tolist() == [0, 0, 1, 1, 0]
    soft = softened(12, ((5, 6),), 4)
    assert soft[4] == pytest.approx(math.sqrt(3 / 4))
    assert soft[8] == pytest.approx(math.sqrt(2 / 4))
    assert soft[1] == soft[10] == 0


def test_the_volume_forgives_a_near_miss_and_nothing_else() -> None:
    window = ((50, 59),)
    perfect, near, far = np.zeros((3, 100))
    perfect[50:60] = 1
    near[46:50] = 1
    far[10:14] = 1
    volumes = [vus_pr([s], [window], 12) for s in (perfect, near, far)]
    assert volumes[0] > 0.7
    assert volumes[0] > volumes[1] > volumes[2]
    assert auc_pr(near, labels(100, window)) == pytest.approx(auc_pr(far, labels(100, window)))


def test_alarms_close_together_are_one() -> None:
    scores = np.zeros(200)
    scores[[10, 11, 30, 100, 150]] = 0.8
    assert alarms(scores, 0.5) == [10, 100, 150]


def test_events_count_windows_once_and_delays_from_their_start() -> None:
    scores = np.zeros(200)
    scores[[20, 104, 110, 180]] = 0.8
    found = events(scores, ((100, 120), (150, 160)), 0.5)
    assert (found.found, found.windows, found.alarms, found.false_alarms) == (1, 2, 3, 2)
    assert found.delays == (4,)
    assert found.precision == pytest.approx(1 / 3)
    assert found.recall == 0.5
    assert events(scores, ((100, 120),), 0.5, start=50).alarms == 2
