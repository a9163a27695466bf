"""The kernel of ``auto``, for a tick of many series or a history of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from barograph_anomaly.automatic.events import HOLD, ONGOING, judge
from barograph_anomaly.automatic.layout import (
    CENTRES,
    COUNTER,
    EVENT_CENTRE,
    EVENT_MS,
    EVENT_NUMBER,
    EVENT_RECORD,
    EVENT_SAMPLE,
    EVENT_SCALE,
    EVENT_SCORE,
    EVENT_VALUE,
    EVENT_WHICH,
    FALLS,
    FORGOT_MS,
    FRESH,
    GAUGE,
    KIND,
    LAST_MS,
    LAST_RAW,
    RISES,
    SAMPLES,
    SCALES,
    STEP_MS,
    UNDECIDED,
    VIEWS,
    WATCHED_MS,
)
from barograph_anomaly.automatic.tails import (
    FOUND,
    RECORD,
    STRONGEST,
    WHICH,
    forget,
    surprise,
)
from barograph_anomaly.automatic.views import look
from barograph_anomaly.kernels import Kernel, piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1e150
"""Values beyond it are taken as this: their squares must be finite."""

DAY_MS = 86_400_000.0

DAY_AT_LEAST = 288.0
"""A day of coarser samples than 5 minutes is taken as so many samples: the views count samples, so
the budget of a day is one of 288 looks."""

SAYS_NOTHING = 30.0
"""A view's excess that is expected so often within the budget says nothing yet: at the default of
0.1 a day, three times a day."""

DECIDED_AT = 32
"""Samples after which a series that only rose is taken as a counter."""

FORGET_MS = 3_600_000.0
"""Time between two rounds of forgetting."""

LONG_GAP = 10.0
"""Steps without a sample that count in full; the rest of a gap is not time seen."""


def run(
    floats: NDArray[np.float64], ints: NDArray[np.int32], t_ms: NDArray[np.int64],
    table: NDArray[np.float64], budget: float, memory_ms: float, out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Scores of ``table`` float64[ticks, series] into ``out``, tick by tick. O(ticks · series)."""
    looks = np.empty(VIEWS)
    found = np.zeros(FOUND)
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[i, j] = sample(floats[j], ints[j], t_ms[i], table[i, j], budget, memory_ms, looks,
                               found)  # fmt: skip


RUN = Kernel(run)


@piece
def sample(
    f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int, raw: float,
    budget: float, memory_ms: float, looks: NDArray[np.float64],
    found: NDArray[np.float64],
) -> float:  # fmt: skip
    """The score of a series' next sample. O(1)."""
    if not math.isfinite(raw):
        return 0.0
    raw = min(max(raw, -LARGEST), LARGEST)
    passed = advance(f, k, t_ms)
    x = reading(f, k, raw, passed)
    if math.isnan(x):
        return 0.0
    usual = look(f, k, t_ms, x, looks)
    if t_ms - f[FORGOT_MS] >= FORGET_MS:
        if f[FORGOT_MS] > 0.0:
            forget(f, min((t_ms - f[FORGOT_MS]) / memory_ms, 0.1))
        f[FORGOT_MS] = t_ms
    daily, days = DAY_AT_LEAST, 0.0
    if f[STEP_MS] > 0.0:
        daily = max(DAY_MS / f[STEP_MS], DAY_AT_LEAST)
        days = passed / f[STEP_MS] / daily
    allowed = min(SAYS_NOTHING * budget / daily, 1.0)
    evidence = surprise(f, k, looks, usual, allowed, found)
    score = judge(f, k, t_ms, evidence, days, budget)
    if found[STRONGEST] > 0.0 and score > ONGOING:
        note(f, k[SAMPLES], t_ms, x, looks, score, found)
    k[SAMPLES] += 1
    return score


@piece
def note(
    f: NDArray[np.float64], number: int, t_ms: int, x: float, looks: NDArray[np.float64],
    score: float, found: NDArray[np.float64],
) -> None:  # fmt: skip
    """Keep what made this score, for explanations and for being told that it was fine."""
    which = int(found[WHICH])
    if f[EVENT_MS] == 0.0 or number - f[EVENT_NUMBER] > HOLD:
        f[EVENT_NUMBER] = number  # a new event, not the same getting worse
    f[EVENT_MS], f[EVENT_SCORE], f[EVENT_WHICH] = t_ms, score, which
    f[EVENT_SAMPLE] = x
    f[EVENT_VALUE], f[EVENT_RECORD] = looks[which // 2], found[RECORD]
    f[EVENT_CENTRE], f[EVENT_SCALE] = f[CENTRES + which // 2], f[SCALES + which // 2]


@piece
def advance(f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int) -> float:
    """Milliseconds since the sample before; gaps hardly change the mean step."""
    passed = t_ms - f[LAST_MS]
    f[LAST_MS] = t_ms
    seen = k[RISES] + k[FALLS]
    if k[SAMPLES] == 0 and seen == 0:
        return 0.0
    passed = max(passed, 0.0)
    if f[STEP_MS] <= 0.0:
        f[STEP_MS] = passed
    else:
        f[STEP_MS] += 0.01 * (min(passed, LONG_GAP * f[STEP_MS]) - f[STEP_MS])
    f[WATCHED_MS] += min(passed, LONG_GAP * f[STEP_MS])
    return float(passed)


@piece
def reading(f: NDArray[np.float64], k: NDArray[np.int32], raw: float, passed: float) -> float:
    """What is judged: the value, or a counter's rate in 1/s; NaN for nothing (a reset)."""
    before = f[LAST_RAW]
    f[LAST_RAW] = raw
    if k[KIND] == UNDECIDED:
        if k[SAMPLES] > 0:
            k[RISES] += raw > before
            k[FALLS] += raw < before
        if k[SAMPLES] == DECIDED_AT:
            only_up = k[FALLS] == 0 and 2 * k[RISES] > DECIDED_AT and raw > 0.0
            k[KIND] = COUNTER if only_up else GAUGE
            if only_up:
                restart(f, k)
    if k[KIND] != COUNTER:
        return raw
    if raw >= before:
        return (raw - before) / passed * 1000.0 if passed > 0.0 else np.nan
    if raw > 0.5 * before:  # no counter starts anew so high: it is a gauge after all
        k[KIND] = GAUGE
        restart(f, k)
        return raw
    return np.nan


@piece
def restart(f: NDArray[np.float64], k: NDArray[np.int32]) -> None:
    """Forget all but the time, the last value and the kind: what follows is another quantity."""
    last_ms, last, step, kind = f[LAST_MS], f[LAST_RAW], f[STEP_MS], k[KIND]
    watched = f[WATCHED_MS]
    rises, falls = k[RISES], k[FALLS]
    f[:] = 0.0
    k[:] = FRESH
    f[LAST_MS], f[LAST_RAW], f[STEP_MS], k[KIND] = last_ms, last, step, kind
    f[WATCHED_MS] = watched
    k[RISES], k[FALLS] = rises, falls
