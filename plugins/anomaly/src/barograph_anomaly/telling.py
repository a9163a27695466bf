"""From alarms to findings: what a person reads of an event, and when it is over."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import attrs

from barograph.findings import Evidence, Observation
from barograph.model import Labels, Series
from barograph_anomaly.wording import digits, quantity

if TYPE_CHECKING:
    from barograph.findings import FindingBook

KIND = "anomaly"

QUIET_MS = 600_000
"""An event is over when its series has been quiet for so long."""

TELL_MS = 60_000
"""Time between two reports of an event that lasts, unless it gets louder."""

LOUDER = 0.1
"""Score by which it must."""

SETTLE_MS = 60_000
"""Time between two looks for events that are over."""

MAX_TOLD = 200
"""Events told at one time; of more, those with the greatest scores."""

AROUND_MS = 1_800_000
"""Time before an event that its evidence shows."""

AFTER_MS = 300_000

STRONG = 0.75
"""Score from which on an event is a warning."""

MAX_NAME = 70
"""Characters of a series' name in a title."""

MAX_VALUE = 30
"""Characters of a value in a title: who sends a series names its unit, too."""

MAX_FINGERPRINT = 1000
MAX_QUERY = 10_000
MAX_TEXT = 3500


@attrs.frozen
class Event:
    """What is known of a series' newest event: first and newest alarm, how many there were, the
    greatest score, the newest value (of a counter: its rate), and a sentence, or ""."""

    series: Series
    counter: bool
    start_ms: int
    end_ms: int
    alarms: int
    score: float
    value: float
    text: str


class Teller:
    """Reports events to the book of findings, and settles what is over.

    ``source``: the detector that watches; ``others``: detectors that may have watched before.
    ``teachable``: the detector learns what is dismissed, so that what it tells later is new.
    """

    def __init__(
        self, book: FindingBook, source: str, others: Collection[str], interval_s: float,
        *, teachable: bool,
    ) -> None:  # fmt: skip
        self._book, self._source = book, source
        self._others = [name for name in others if name != source]
        self._interval_s, self._teachable = interval_s, teachable
        self._settled_ms = 0

    def tell(self, events: Sequence[Event]) -> None:
        """Report events that have begun, or have changed since they were told."""
        given = [observation(one, self._source, self._interval_s) for one in events]
        found = self._book.report(self._source, given) if given else []
        for event, finding in zip(events, found, strict=True):
            fresh = event.start_ms > finding.history[-1].t_ms
            if self._teachable and finding.state == "dismissed" and fresh:
                note = "another event, though the dismissed one has been learnt"
                self._book.change(finding.id, "open", self._source, note)

    def settles(self, now_ms: int) -> bool:
        """Whether it is time to look for events that are over."""
        return abs(now_ms - self._settled_ms) >= SETTLE_MS

    def settle(self, lasting: Collection[str], now_ms: int) -> None:
        """Resolve the findings of events that are over: all but those of the series ``lasting``
        (fingerprints)."""
        self._settled_ms = now_ms
        self._book.settle(self._source, KIND, lasting, QUIET_MS)
        for name in self._others:
            self._book.settle(name, KIND, (), QUIET_MS)


def fingerprint(labels: Labels) -> str:
    """What tells the findings of one series from those of others."""
    text = str(labels)
    if len(text) <= MAX_FINGERPRINT:
        return text
    return f"{text[:100]}… {hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}"


def observation(event: Event, detector: str, interval_s: float) -> Observation:
    """An event as a person reads it, with the queries that show it."""
    labels = event.series.labels
    unit = event.series.metric.unit + ("/s" if event.counter else "")
    value = quantity(event.value, unit)
    return Observation(
        kind=KIND,
        fingerprint=fingerprint(labels),
        title=f"{_cut(str(labels), MAX_NAME)}: {_cut(value, MAX_VALUE)} (score {event.score:.2f})",
        text=_cut(event.text or _sentence(event, value, detector), MAX_TEXT) + ".",
        severity="warning" if event.score >= STRONG else "info",
        confidence=min(max(event.score, 0.0), 1.0),
        start_ms=event.start_ms,
        end_ms=event.end_ms,
        evidence=_evidence(event, interval_s),
        labels=labels,
        details={"score": event.score, "value": event.value, "unit": unit, "alarms": event.alarms},
    )


def _sentence(event: Event, value: str, detector: str) -> str:
    times = "" if event.alarms == 1 else f", {event.alarms} times within this event"
    return f"{event.series.labels} {value}; {detector} scores it {digits(event.score)}{times}"


def _evidence(event: Event, interval_s: float) -> tuple[Evidence, ...]:
    """The series as it is watched, and its score."""
    labels = event.series.labels
    query = str(labels)
    if len(query) > MAX_QUERY:
        query = labels.name  # all series of the metric, this one among them
    scores = Labels.of(SCORE, {**labels.without_name(), "metric": labels.name})
    start, end = event.start_ms - AROUND_MS, event.end_ms + AFTER_MS
    if event.counter:
        query = f"rate({query}[{max(round(5 * interval_s), 60)}s])"
    out = [Evidence(query, start, end, "what is watched")]
    if len(str(scores)) <= MAX_QUERY:
        out.append(Evidence(str(scores), start, end, "its score; 0.5 and more is an alarm"))
    return tuple(out)


SCORE = "barograph_anomaly_score"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
