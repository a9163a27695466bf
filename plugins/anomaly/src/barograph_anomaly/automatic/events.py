"""From evidence to a score: what recurs counts less, events are told once, alarms have a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barograph_anomaly.automatic.layout import (
    AFTERGLOW,
    ALARM_PART,
    ALARM_PART_MOST,
    ALARM_PARTS,
    DAYS,
    EVENT_AT,
    EVENT_MOST,
    EVENTS,
    HELD,
    HELD_AT,
    LAST_ALARM,
    PAST,
    REMEMBERED_DAYS,
    SAMPLES,
    SPENT,
    WATCHED_MS,
)
from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECURRENT_SHARE = 0.7
"""Share of what two of the last three days had at this hour that is taken off the evidence."""

RECORD_SHARE = 0.25
"""Share of the third largest past event that is taken off the evidence."""

EVENT_APART = 50
"""Samples without more evidence after which a past event enters the record."""

YOUNG = 200.0
"""Samples at which evidence counts half: what is known of a series is not much by then."""

YOUNG_MS = 900_000.0
"""The same in time: what happens once in a quarter of an hour may happen all the time."""

SILENT = 48
"""Samples before which nothing is said."""

HOLD = 100
"""Samples for which an event that has been told is not told again unless it gets worse: a working
day of 5-minute samples."""

WORSE = 0.5
"""Evidence by which it must get worse."""

STILL = 0.5
"""While the evidence is above this share of what was told, the event lasts."""

LET_GO = 0.95
"""What is left, sample by sample, of a told event once it is over."""

ALARM = 2.2
"""Evidence that scores 0.5: 160 times rarer, in one view, than what says nothing."""

ONGOING = 0.2
"""An event that lasts scores at most this: below every onset that matters, above quiet."""

FREE_ALARMS = 3.0
"""Alarms that a series may have at once before the budget makes the next one dearer."""

NEW_DEBT = 1.0
"""Alarms of those that a new series has spent already: most of what is first seen is usual."""

DEARER = 3.0
"""Factor to the evidence that each further alarm needs."""

DAY_MS = 86_400_000


@piece
def judge(
    f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int, evidence: float, days: float,
    budget: float,
) -> float:  # fmt: skip
    """The score of a sample with this evidence. ``days``: since the sample before; ``budget``:
    alarms a day. O(1)."""
    n = k[SAMPLES]
    watched = f[WATCHED_MS]
    evidence *= n / (n + YOUNG) * watched / (watched + YOUNG_MS)
    evidence = rare(f, k, t_ms, evidence)
    if n < SILENT:
        evidence = 0.0
    if n == 0:
        f[SPENT] = NEW_DEBT
    f[SPENT] = max(f[SPENT] - budget * days, 0.0)
    told = onset(f, k, evidence)
    bar = ALARM * DEARER ** max(f[SPENT] - FREE_ALARMS, 0.0)
    score = told / (told + bar)
    if score >= 0.5 and n - k[LAST_ALARM] > SILENT:
        f[SPENT] += 1.0
        k[LAST_ALARM] = n
    if score > 0.0:
        f[AFTERGLOW] = max(ONGOING * score, f[AFTERGLOW])
        return float(score)
    f[AFTERGLOW] *= 1.0 - 1.0 / HOLD
    return float(f[AFTERGLOW]) if f[AFTERGLOW] > 1e-3 else 0.0


@piece
def rare(f: NDArray[np.float64], k: NDArray[np.int32], t_ms: int, evidence: float) -> float:
    """Evidence less what this hour usually has, and less what this series often has."""
    part = int(t_ms % DAY_MS) // (DAY_MS // ALARM_PARTS)
    if part != k[ALARM_PART]:
        if k[ALARM_PART] >= 0:
            row = DAYS + k[ALARM_PART] * REMEMBERED_DAYS
            f[row + 2], f[row + 1], f[row] = f[row + 1], f[row], f[ALARM_PART_MOST]
        k[ALARM_PART], f[ALARM_PART_MOST] = part, 0.0
    f[ALARM_PART_MOST] = max(f[ALARM_PART_MOST], evidence)
    here = DAYS + part * REMEMBERED_DAYS
    after = DAYS + (part + 1) % ALARM_PARTS * REMEMBERED_DAYS
    before = DAYS + (part + ALARM_PARTS - 1) % ALARM_PARTS * REMEMBERED_DAYS
    # The part before has already seen today: its days lie one place further back.
    one = max(f[here], f[after], f[before + 1])
    two = max(f[here + 1], f[after + 1], f[before + 2])
    three = max(f[here + 2], f[after + 2])
    second = max(min(one, two), min(max(one, two), three))
    left = max(evidence - RECURRENT_SHARE * second, 0.0)
    return record(f, k, left)


@piece
def record(f: NDArray[np.float64], k: NDArray[np.int32], evidence: float) -> float:
    """Evidence less a share of the smallest of the ``EVENTS`` largest past events."""
    least = f[PAST]
    for i in range(1, EVENTS):
        least = min(least, f[PAST + i])
    if evidence > 0.0:
        if k[SAMPLES] - k[EVENT_AT] > EVENT_APART:
            close_event(f)
        if evidence > f[EVENT_MOST]:
            f[EVENT_MOST], k[EVENT_AT] = evidence, k[SAMPLES]
    return float(max(evidence - RECORD_SHARE * least, 0.0))


@piece
def close_event(f: NDArray[np.float64]) -> None:
    place = 0
    for i in range(1, EVENTS):
        if f[PAST + i] < f[PAST + place]:
            place = i
    f[PAST + place] = max(f[PAST + place], f[EVENT_MOST])
    f[EVENT_MOST] = 0.0


@piece
def onset(f: NDArray[np.float64], k: NDArray[np.int32], evidence: float) -> float:
    """The evidence if an event begins or gets worse with it, else 0."""
    n = k[SAMPLES]
    if n - k[HELD_AT] > HOLD:
        f[HELD] *= LET_GO
    if evidence > 0.0 and evidence > f[HELD] + (WORSE if f[HELD] > 0.0 else 0.0):
        f[HELD], k[HELD_AT] = evidence, n
        return evidence
    if evidence > STILL * f[HELD]:
        k[HELD_AT] = n
    return 0.0
