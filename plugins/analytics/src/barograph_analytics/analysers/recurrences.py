"""Problems that come again: how often, by the clock or at an interval, when next, with what."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.findings import Evidence, Finding, Observation, Severity
from barograph.model import Labels
from barograph_analytics import wording
from barograph_analytics.reading import plain_selector, read

if TYPE_CHECKING:
    from barograph.inquiry import Inquiry
    from barograph_analytics import Config
    from barograph_analytics.methods.recurrence import Episode, Recurrence, Together

NOT_PROBLEMS = frozenset({"recurrence", "correlation", "trend", "moved"})
"""Findings of these kinds do not come and go as problems do."""

JOIN_MS = 600_000
"""A problem that comes again so soon has not been away."""

LEAST_TIMES = 3
LEAST_WITHOUT_PATTERN = 5
"""What comes by no clock is told once it has come so often."""

MOST_PRESENT = 0.9
"""An expression that has a value for more of the time tells no episodes."""

MARGIN_MS = 1_800_000
"""Of an episode's surroundings, in the evidence."""


@attrs.frozen
class _Problem:
    """What came again, in words, and what shows it."""

    labels: Labels
    expr: str
    words: str
    severity: Severity


@attrs.frozen
class Recurrences:
    """Episodes of earlier findings, and of watched expressions that have a value only at times
    (``latency > 1``), searched for patterns (``methods.recurrence``)."""

    config: Config

    name = "recurrences"

    @property
    def interval_s(self) -> float:
        return float(self.config.recurrence_interval)

    @property
    def window_s(self) -> float:
        return float(self.config.recurrence_window)

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterator[Observation]:
        """A finding for each problem that comes again, and each pair that comes together."""
        from barograph_analytics.methods.recurrence import recurrences, together  # scipy

        problems: dict[str, _Problem] = {}
        found = [*self._of_findings(data, start_ms, end_ms, problems),
                 *self._of_expressions(data, start_ms, end_ms, problems)]  # fmt: skip
        found = [one for one in found if one.end_ms >= start_ms and one.start_ms <= end_ms]
        if not found:
            return
        offset_ms = time.localtime(end_ms / 1000).tm_gmtoff * 1000
        alpha = self.config.significance
        for one in recurrences(found, start_ms, end_ms, alpha=alpha, offset_ms=offset_ms):
            least = LEAST_TIMES if one.pattern != "none" else LEAST_WITHOUT_PATTERN
            if one.times >= least:
                yield _observed(one, problems[one.fingerprint], found, start_ms, end_ms, offset_ms)
        for pair in together(found, start_ms, end_ms, alpha=alpha):
            if pair.times >= LEAST_TIMES:
                first, second = problems[pair.first], problems[pair.second]
                yield _paired(pair, first, second, found, start_ms, end_ms)

    def _of_findings(
        self, data: Inquiry, start_ms: int, end_ms: int, problems: dict[str, _Problem]
    ) -> list[Episode]:
        out: list[Episode] = []
        for one in data.findings(("open", "acknowledged", "resolved"), limit=10_000):
            seen = one.observation
            if seen.kind in NOT_PROBLEMS or one.last_ms < start_ms:
                continue
            what = wording.spoken(seen.labels) if seen.labels.pairs else seen.title
            words = f"{seen.kind.replace('_', ' ')} of {what}"
            problems[one.id] = _Problem(seen.labels, seen.evidence[0].query, words, seen.severity)
            out += _episodes_of(one)
        return out

    def _of_expressions(
        self, data: Inquiry, start_ms: int, end_ms: int, problems: dict[str, _Problem]
    ) -> list[Episode]:
        from barograph_analytics.methods.recurrence import episodes

        texts = [text for text in self.config.watch if plain_selector(text) is None]
        if not texts:
            return []
        lines = read(data, texts, start_ms, end_ms, points=10_000,
                     max_series=self.config.max_series)  # fmt: skip
        out: list[Episode] = []
        join_ms = max(JOIN_MS, 2 * lines.step_ms)
        for line in lines.lines:
            there = np.isfinite(line.values)
            if there.mean() <= MOST_PRESENT:
                what = line.expr if not line.labels.name else wording.spoken(line.labels)
                problems[line.key] = _Problem(line.labels, line.expr, what, "info")
                out += episodes(lines.t_ms, there, line.key, join_ms=join_ms)
        return out


def _episodes_of(one: Finding) -> list[Episode]:
    """When a finding was open, from its history; near ones are one."""
    from barograph_analytics.methods.recurrence import Episode

    spans: list[tuple[int, int]] = []
    began: int | None = None
    for change in one.history:
        if change.state in ("open", "acknowledged"):
            began = change.t_ms if began is None else began
        elif began is not None:
            spans.append((began, change.t_ms))
            began = None
    if began is not None:
        spans.append((began, max(one.last_ms, began)))
    if spans:
        # The data know better than the report when the newest one was.
        first, last = spans[-1]
        seen = one.observation
        spans[-1] = (
            min(seen.start_ms, first),
            max(min(seen.end_ms, last), min(seen.start_ms, first)),
        )
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first - joined[-1][1] <= JOIN_MS:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return [Episode(first, last, one.id) for first, last in joined]


def _observed(
    one: Recurrence, problem: _Problem, found: list[Episode], start_ms: int, end_ms: int,
    offset_ms: int,
) -> Observation:  # fmt: skip
    last = max((e for e in found if e.fingerprint == one.fingerprint), key=lambda e: e.start_ms)
    when = _when(one, offset_ms)
    length = f", for {wording.lasting(one.length_ms / 1000)}" if one.length_ms else ""
    text = (
        f"{problem.words} came {wording.many(one.times, 'time')} in "
        f"{wording.lasting((end_ms - start_ms) / 1000)}: {when}{length}."
    )
    if one.pattern != "none":
        text += (
            f" {one.fitting} of them fit, of {one.expected} that the pattern would bring; chance "
            f"would show such a pattern with {wording.chance(one.p)}."
        )
    if one.next_ms is not None:
        text += f" The next one is expected at {wording.moment(one.next_ms)}."
    details: dict[str, float | int | str] = {
        "times": one.times, "pattern": one.pattern, "period_s": one.period_ms / 1000,
        "phase_s": one.phase_ms / 1000, "every_s": one.every_ms / 1000,
        "length_s": one.length_ms / 1000, "p": one.p, "fitting": one.fitting,
        "expected": one.expected,
    }  # fmt: skip
    if one.next_ms is not None:
        details["next_ms"] = one.next_ms
    until = max(last.end_ms, last.start_ms)
    return Observation(
        "recurrence", f"recurrence {one.fingerprint}",
        wording.title(f"{problem.words} comes again: {wording.many(one.times, 'time')}, {when}"),
        text, problem.severity, wording.sure(one.confidence), start_ms, max(until, start_ms),
        (Evidence(problem.expr, last.start_ms - MARGIN_MS, until + MARGIN_MS, "the last time"),
         Evidence(problem.expr, start_ms, end_ms, "the whole time that was looked at")),
        problem.labels, details,
    )  # fmt: skip


def _when(one: Recurrence, offset_ms: int) -> str:
    zone = "UTC" if not offset_ms else "local time"
    spread = f" (± {wording.lasting(one.spread_ms / 1000)})" if one.spread_ms >= 60_000 else ""
    if one.pattern == "time_of_day":
        return f"every day at {_clock(one.phase_ms)} {zone}{spread}"
    if one.pattern == "time_of_week":
        days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        day = days[int(one.phase_ms // 86_400_000) % 7]
        return f"every {day} at {_clock(one.phase_ms % 86_400_000)} {zone}{spread}"
    if one.pattern == "interval":
        return f"every {wording.lasting(one.period_ms / 1000)}{spread}"
    return f"about every {wording.lasting(one.every_ms / 1000)}, by no clock"


def _clock(since_midnight_ms: int) -> str:
    minutes = round(since_midnight_ms / 60_000) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _paired(
    pair: Together, first: _Problem, second: _Problem, found: list[Episode], start_ms: int,
    end_ms: int,
) -> Observation:  # fmt: skip
    lag = f", {wording.lasting(pair.lag_ms / 1000)} later" if pair.lag_ms >= 1000 else ""
    text = (
        f"{second.words} comes with {first.words}{lag}: {wording.many(pair.times, 'time')} in "
        f"{wording.lasting((end_ms - start_ms) / 1000)}, of {pair.of_first} and {pair.of_second} "
        f"times that each came. Chance would bring them together so often with "
        f"{wording.chance(pair.p)}."
    )
    last = max((e for e in found if e.fingerprint == pair.first), key=lambda e: e.start_ms)
    around = last.start_ms - MARGIN_MS, max(last.end_ms, last.start_ms) + MARGIN_MS
    return Observation(
        "recurrence", f"together {pair.first} {pair.second}",
        wording.title(f"{second.words} comes with {first.words}{lag}"), text,
        max(first.severity, second.severity, key=("info", "warning", "critical").index),
        wording.sure(pair.confidence), start_ms, max(last.end_ms, start_ms),
        (Evidence(first.expr, *around, "what comes first"),
         Evidence(second.expr, *around, "what comes with it")),
        Labels(tuple(sorted(set(first.labels.pairs) & set(second.labels.pairs)))),
        {"times": pair.times, "lag_s": pair.lag_ms / 1000, "p": pair.p,
         "of_first": pair.of_first, "of_second": pair.of_second},
    )  # fmt: skip
