"""Problems that come again: at which time, how often, when next, and with what.

Episodes that begin within an hour of each other are one *visit*, so that a bad hour with ten alarms
is no evidence of ten. Visits are held against a process without memory:

- *time of day*, *time of week*: how many begin within a stretch of 20 minutes to 3 hours of the
  cycle, seen from the first of them, against the binomial chance of so many there (a scan
  statistic; J. Naus, JASA 60, 1965), corrected for each stretch that was tried;
- *interval*: whether the times between visits are as equal as they are, from the volume of the
  simplex on which the intervals of such a process lie (R. Pyke, "Spacings", JRSS B 27, 1965).

The patterns share ``alpha`` with all fingerprints (Bonferroni). Two fingerprints belong together if
one begins near the other more often than by the binomial chance, and in most of its visits.

Cost: O(visits^2) for each fingerprint; pairs are found from neighbours in time. Fails: a pattern
seen fewer than three times; local time that changes in summer moves a pattern by an hour (the
longest stretch still holds it); times of the month.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS

VISIT_MS = HOUR_MS
"""Episodes of a fingerprint that begin within so long of a visit's first belong to it."""

LEAST = 3
"""Rounds in which a pattern must have been seen."""

_STRETCHES = (20 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS)
_EQUAL = (0.02, 0.05, 0.1, 0.2)  # of an interval, by which intervals may differ
_MOST_OF = 0.6
_THURSDAY = 3 * DAY_MS  # the epoch began on a Thursday, weeks on Monday


@attrs.frozen
class Episode:
    """A stretch of trouble; the same trouble has the same fingerprint."""

    start_ms: int
    end_ms: int
    fingerprint: str


@attrs.frozen
class Recurrence:
    """How a fingerprint comes again."""

    fingerprint: str
    times: int
    """Episodes."""
    pattern: Literal["time_of_day", "time_of_week", "interval", "none"]
    period_ms: int
    """A day, a week, the interval, or 0."""
    phase_ms: int
    """Local time since midnight or Monday 0:00 at which it begins; 0 for other patterns."""
    spread_ms: int
    """Half the stretch in which it begins; for an interval, its median deviation."""
    fitting: int
    """Visits that fit."""
    expected: int
    """How often the pattern came round from the first fit to the end of what was watched."""
    p: float
    """Corrected for all that was tried."""
    every_ms: int
    """Median time between visits."""
    next_ms: int | None
    """When it should begin next; None without a pattern."""
    length_ms: int
    """Median of the episodes."""
    confidence: float
    last_ms: int
    """Start of the last."""


@attrs.frozen
class Together:
    """Two fingerprints that come together; ``first`` begins first, or at the same time."""

    first: str
    second: str
    times: int
    of_first: int
    of_second: int
    """Visits of each."""
    lag_ms: int
    """Median of second's start less first's."""
    p: float
    confidence: float


@attrs.frozen
class _Pattern:
    kind: Literal["time_of_day", "time_of_week", "interval", "none"]
    p: float
    period_ms: int = 0
    phase_ms: int = 0
    spread_ms: int = 0
    fitting: int = 0
    rounds: tuple[int, ...] = ()


def episodes(
    t_ms: NDArray[np.int64],
    abnormal: NDArray[np.bool_],
    fingerprint: str,
    *,
    join_ms: int = 600_000,
) -> list[Episode]:
    """Stretches of abnormal bool[n] at t_ms int64[n]; those ``join_ms`` or less apart are one."""
    t, here = np.asarray(t_ms, np.int64), np.asarray(abnormal, bool)
    if t.ndim != 1 or t.shape != here.shape:
        raise ValueError(
            f"t_ms and abnormal must be one row each of one length: {t.shape}, {here.shape}"
        )
    at = np.sort(t[here])
    if not len(at):
        return []
    starts = np.concatenate(([True], np.diff(at) > join_ms))
    ends = np.append(starts[1:], True)
    return [
        Episode(start, end, fingerprint)
        for start, end in zip(at[starts].tolist(), at[ends].tolist(), strict=True)
    ]


def recurrences(
    episodes: Iterable[Episode],
    start_ms: int,
    end_ms: int,
    *,
    alpha: float = 0.01,
    offset_ms: int = 0,
) -> list[Recurrence]:
    """Each fingerprint with at least two visits in [start_ms, end_ms], clearest pattern first.

    ``offset_ms``: local time less UTC. A pattern is told where its corrected p is below ``alpha``
    and it holds for most visits.
    """
    groups: dict[str, list[Episode]] = defaultdict(list)
    for one in episodes:
        if start_ms <= one.start_ms <= end_ms:
            groups[one.fingerprint].append(one)
    visits = {
        name: _visits(np.array([one.start_ms for one in group], np.int64))
        for name, group in groups.items()
    }
    tested = sum(len(v) >= LEAST for v in visits.values())
    out = []
    for name in sorted(groups):
        group, starts = groups[name], visits[name]
        if len(starts) < 2:
            continue
        found = _pattern(starts + offset_ms, start_ms + offset_ms, end_ms + offset_ms)
        p = min(found.p * max(tested, 1), 1.0)
        if p >= alpha:
            found = _Pattern("none", found.p)
        expected, next_ms = _expected(found, starts, end_ms, offset_ms)
        held = min(found.fitting / max(expected, 1), 1.0)
        out.append(
            Recurrence(
                fingerprint=name,
                times=len(group),
                pattern=found.kind,
                period_ms=found.period_ms,
                phase_ms=found.phase_ms,
                spread_ms=found.spread_ms,
                fitting=found.fitting,
                expected=expected,
                p=p,
                every_ms=int(np.median(np.diff(starts))),
                next_ms=next_ms,
                length_ms=int(np.median([one.end_ms - one.start_ms for one in group])),
                confidence=0.0 if found.kind == "none" else (1.0 - p) * held,
                last_ms=int(starts[-1]),
            )
        )
    return sorted(out, key=lambda one: (one.pattern == "none", one.p, one.fingerprint))


def together(
    episodes: Iterable[Episode],
    start_ms: int,
    end_ms: int,
    *,
    alpha: float = 0.01,
    tolerance_ms: int = 300_000,
) -> list[Together]:
    """Pairs of fingerprints that begin within ``tolerance_ms`` of each other in most visits of one
    of them, and at least three times; clearest first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for one in episodes:
        if start_ms <= one.start_ms <= end_ms:
            groups[one.fingerprint].append(one.start_ms)
    visits = {name: _visits(np.array(group, np.int64)) for name, group in groups.items()}
    met: Counter[tuple[str, str]] = Counter()
    lags: dict[tuple[str, str], list[int]] = defaultdict(list)
    row = sorted((int(t), name) for name, times in visits.items() for t in times)
    for i, (t, name) in enumerate(row):
        seen = set()
        for later, other in row[i + 1 :]:
            if later - t > tolerance_ms:
                break
            if other != name and other not in seen:
                seen.add(other)
                pair = (min(name, other), max(name, other))
                met[pair] += 1
                lags[pair].append(later - t if pair[0] == name else t - later)
    number = len(visits)
    tested = max(number * (number - 1) // 2, 1)
    span = max(end_ms - start_ms, 1)
    out = []
    for (a, b), times in met.items():
        of_a, of_b = len(visits[a]), len(visits[b])
        times = min(times, of_a, of_b)
        if times < LEAST or times < _MOST_OF * min(of_a, of_b):
            continue
        few, many = min(of_a, of_b), max(of_a, of_b)
        chance = min(many * (2.0 * tolerance_ms + 1) / span, 1.0)
        p = min(_at_least(times, few, chance) * tested, 1.0)
        if p >= alpha:
            continue
        lag = int(np.median(lags[a, b]))
        first, second = (a, b) if lag >= 0 else (b, a)
        out.append(
            Together(
                first, second, times, len(visits[first]), len(visits[second]), abs(lag), p,
                (1.0 - p) * times / few,
            )
        )  # fmt: skip
    return sorted(out, key=lambda one: (one.p, one.first, one.second))


def _visits(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    out: list[int] = []
    for t in np.sort(starts).tolist():
        if not out or t - out[-1] > VISIT_MS:
            out.append(t)
    return np.array(out, np.int64)


def _pattern(starts: NDArray[np.int64], start_ms: int, end_ms: int) -> _Pattern:
    """The pattern that fits most visits (local times), its p corrected for what was tried."""
    if len(starts) < LEAST:
        return _Pattern("none", 1.0)
    tried = [_interval(starts)]
    if end_ms - start_ms >= LEAST * DAY_MS - HOUR_MS:
        tried.append(_clock(starts, DAY_MS, "time_of_day"))
    if end_ms - start_ms >= LEAST * WEEK_MS - DAY_MS:
        tried.append(_clock(starts, WEEK_MS, "time_of_week"))
    clear = [
        one for one in tried
        if one.p * len(tried) < 0.05 and one.fitting >= _MOST_OF * len(starts)
    ]  # fmt: skip
    if not clear:
        return _Pattern("none", min(min(one.p for one in tried) * len(tried), 1.0))
    # An interval of a day is a time of day. A weekly one is a time of day too: the week says more.
    order = {"interval": 2, "time_of_day": 1, "time_of_week": 0, "none": 3}
    if any(one.kind != "interval" for one in clear):
        clear = [
            one for one in clear
            if one.kind != "interval" or not _near_days(one.period_ms)
        ]  # fmt: skip
    most = max(one.fitting for one in clear)
    close = [one for one in clear if one.fitting >= 0.9 * most]
    best = min(close, key=lambda one: (order[one.kind], one.p))
    if best.kind == "time_of_week" and len(close) > 1:
        daily = next((one for one in close if one.kind == "time_of_day"), None)
        if daily is not None and daily.p < best.p and len(set(best.rounds)) * 2 < len(daily.rounds):
            best = daily
    return attrs.evolve(best, p=min(best.p * len(tried), 1.0))


def _near_days(interval_ms: int) -> bool:
    days = max(round(interval_ms / DAY_MS), 1)
    return abs(interval_ms - days * DAY_MS) < 0.05 * DAY_MS


def _clock(
    starts: NDArray[np.int64], period: int, kind: Literal["time_of_day", "time_of_week"]
) -> _Pattern:
    """The stretch of the day or week that holds visits most improbably."""
    origin = _THURSDAY if period == WEEK_MS else 0
    phase = (starts + origin) % period
    rounds = (starts + origin) // period
    n = len(starts)
    best = _Pattern("none", 1.0)
    for stretch in _STRETCHES:
        for anchor in phase.tolist():
            inside = (phase - anchor) % period < stretch
            # One a round: what comes again within the stretch is no evidence.
            number = len(np.unique((starts[inside] - anchor + origin) // period))
            if number < LEAST:
                continue
            p = min(_at_least(number - 1, n - 1, stretch / period) * n * len(_STRETCHES), 1.0)
            if p < best.p:
                offs = (phase[inside] - anchor) % period
                middle = (anchor + int(np.median(offs))) % period
                best = _Pattern(
                    kind, p, period, middle, stretch // 2, number, tuple(rounds[inside].tolist())
                )  # fmt: skip
    return best


def _interval(starts: NDArray[np.int64]) -> _Pattern:
    """Whether the times between visits are equal."""
    gaps = np.diff(starts).astype(float)
    m = len(gaps)
    if m < LEAST:
        return _Pattern("none", 1.0)
    middle = float(np.median(gaps))
    best = _Pattern("none", 1.0)
    for within in _EQUAL:
        fits = np.abs(gaps - middle) <= within * middle
        k = int(fits.sum())
        if k < max(LEAST, math.ceil(0.8 * m)):
            continue
        # Choose which do not fit; the rest lie in a box of the simplex.
        log_p = (
            math.lgamma(k) + (k - 1) * math.log(2 * within / k)
            + math.lgamma(m + 1) - math.lgamma(k + 1) - math.lgamma(m - k + 1)
        )  # fmt: skip
        p = min(math.exp(min(log_p, 0.0)) * len(_EQUAL), 1.0)
        if p < best.p:
            usual = gaps[fits]
            period = round(float(usual.mean()))
            off = int(np.median(np.abs(usual - usual.mean())))
            best = _Pattern("interval", p, period, 0, off, k + 1)
    return best


def _at_least(k: int, n: int, chance: float) -> float:
    """That a binomial of n trials is k or more."""
    if k <= 0 or chance >= 1.0:
        return 1.0
    from scipy.special import betainc  # slow to import

    return float(betainc(k, n - k + 1, chance)) if k <= n else 0.0


def _expected(
    found: _Pattern, starts: NDArray[np.int64], end_ms: int, offset_ms: int
) -> tuple[int, int | None]:
    """(how often the pattern came round since its first, when next in UTC)."""
    if found.kind == "none":
        return 0, None
    last = int(starts[-1])
    if found.kind == "interval":
        rounds = (end_ms - int(starts[0])) // found.period_ms + 1
        # What should have come a moment ago may still come.
        waited = end_ms - last - max(3 * found.spread_ms, found.period_ms // 20)
        late = max(math.ceil(waited / found.period_ms), 1)
        return int(rounds), last + late * found.period_ms
    origin = _THURSDAY if found.kind == "time_of_week" else 0
    period, phase = found.period_ms, found.phase_ms
    weekdays = _weekdays(found)
    first_round = min(found.rounds)
    last_round = (end_ms + offset_ms - found.spread_ms + origin - phase) // period
    expected = sum(
        1 for r in range(first_round, last_round + 1) if weekdays is None or (r + 3) % 7 in weekdays
    )
    # It is still due while its stretch is not over, unless it has come.
    due = (end_ms + offset_ms + origin - phase + found.spread_ms) // period
    if due * period + phase - origin <= last + offset_ms + found.spread_ms * 2:
        due += 1
    while due * period + phase - origin - offset_ms < end_ms - found.spread_ms:
        due += 1
    if weekdays is not None:
        while (due + 3) % 7 not in weekdays:
            due += 1
    return max(expected, found.fitting), int(due * period + phase - origin - offset_ms)


def _weekdays(found: _Pattern) -> set[int] | None:
    """Days of the week (Monday 0) of a time of day that skips some in at least two weeks."""
    if found.kind != "time_of_day" or max(found.rounds) - min(found.rounds) < 13:
        return None
    days = {(r + 3) % 7 for r in found.rounds}
    return days if len(days) < 7 else None
