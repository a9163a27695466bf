"""What analysers and detectors see, the finding that becomes of it, and both as JSON."""

from __future__ import annotations

import base64
import hashlib
import math
import numbers
import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import attrs

from barograph.model import Labels

Severity = Literal["info", "warning", "critical"]
State = Literal["open", "acknowledged", "dismissed", "resolved"]

SEVERITIES: tuple[str, ...] = get_args(Severity)
STATES: tuple[str, ...] = get_args(State)

MAX_TITLE = 120
MAX_TEXT = 4000
"""Characters of a text, a fingerprint or a note."""

MAX_QUERY = 20_000
MAX_EVIDENCE = 50
MAX_DETAILS = 100
MAX_DETAIL_VALUES = 1000
"""Values of one detail that is a tuple."""

MAX_HISTORY = 100
"""Changes that a finding remembers; the first one always stays."""

Number = float | int | str
Detail = Number | tuple[Number, ...]


@attrs.frozen
class Evidence:
    """What a person can open: a PromQL query and the range (ms) in which to look at it.

    Raises ValueError for an empty query, or an end before the start.
    """

    query: str
    start_ms: int = attrs.field(converter=operator.index)
    end_ms: int = attrs.field(converter=operator.index)
    note: str = ""

    def __attrs_post_init__(self) -> None:
        _check_text("the query of the evidence", self.query, MAX_QUERY)
        _check_text("the note of the evidence", self.note, MAX_TEXT, empty=True)
        if self.end_ms < self.start_ms:
            raise ValueError(
                f"the evidence ends ({self.end_ms}) before it starts ({self.start_ms})"
            )


def _evidence(given: Iterable[Evidence]) -> tuple[Evidence, ...]:
    return tuple(given)


def _details(given: Mapping[str, Any]) -> dict[str, Detail]:
    """Plain numbers and texts of what may hold numpy's."""
    if len(given) > MAX_DETAILS:
        raise ValueError(f"{len(given)} details; at most {MAX_DETAILS}")
    return {str(name): _detail(str(name), value) for name, value in given.items()}


def _detail(name: str, value: Any, nested: bool = False) -> Any:
    if isinstance(value, str):
        _check_text(f"the detail {name}", value, MAX_TEXT, empty=True)
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise ValueError(f"the detail {name} is {value}; leave out what is not known")
        return float(value)
    if isinstance(value, list | tuple) and not nested:
        if len(value) > MAX_DETAIL_VALUES:
            raise ValueError(f"the detail {name} has {len(value)} values; at most "
                             f"{MAX_DETAIL_VALUES}")  # fmt: skip
        return tuple(_detail(name, one, nested=True) for one in value)
    raise ValueError(
        f"the detail {name} is a {type(value).__name__}; it must be a number, a text, or a tuple "
        "of them"
    )


@attrs.frozen
class Observation:
    """What an analyser or a detector saw, once.

    ``kind``: "anomaly", "trend", "change_point", "recurrence", "correlation", "moved", or a
    stranger's own ``[a-z0-9_]+``. ``fingerprint``: the same problem, seen again, has the same one.
    ``title``: at most 120 characters, ``text``: sentences; both with numbers. ``confidence``: in
    [0, 1]. ``start_ms``, ``end_ms``: when, in the data. ``evidence``: at least one. ``labels``: the
    series or group concerned, with ``__name__`` if it is one series. ``details``: numbers for
    machines (slope, lag_s, period_s, ...).

    Raises ValueError with what is wrong.
    """

    kind: str
    fingerprint: str
    title: str
    text: str
    severity: Severity
    confidence: float = attrs.field(converter=float)
    start_ms: int = attrs.field(converter=operator.index)
    end_ms: int = attrs.field(converter=operator.index)
    evidence: tuple[Evidence, ...] = attrs.field(converter=_evidence)
    labels: Labels
    details: Mapping[str, Detail] = attrs.field(factory=dict, converter=_details)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.kind, str) or not re.fullmatch(r"[a-z0-9_]{1,64}", self.kind):
            raise ValueError(
                f"the kind {self.kind!r} is not plain: a-z, 0-9 and _, at most 64 of them"
            )
        _check_text("the fingerprint", self.fingerprint, MAX_TEXT)
        _check_text("the title", self.title, MAX_TITLE)
        _check_text("the text", self.text, MAX_TEXT)
        if self.severity not in SEVERITIES:
            raise ValueError(f"the severity {self.severity!r} is none of {', '.join(SEVERITIES)}")
        if not 0.0 <= self.confidence <= 1.0:  # NaN is not, either
            raise ValueError(f"the confidence {self.confidence} is not in [0, 1]")
        if self.end_ms < self.start_ms:
            raise ValueError(f"it ends ({self.end_ms}) before it starts ({self.start_ms})")
        if not self.evidence:
            raise ValueError("it has no evidence: give a query and a range that show it")
        if len(self.evidence) > MAX_EVIDENCE:
            raise ValueError(f"{len(self.evidence)} pieces of evidence; at most {MAX_EVIDENCE}")
        for one in self.evidence:
            if not isinstance(one, Evidence):
                raise ValueError(f"the evidence holds a {type(one).__name__}, not an Evidence")
        if not isinstance(self.labels, Labels):
            raise ValueError(f"labels is a {type(self.labels).__name__}; make them with Labels.of")


def _check_text(what: str, text: Any, most: int, *, empty: bool = False) -> None:
    if not isinstance(text, str):
        raise ValueError(f"{what} is a {type(text).__name__}, not a text")
    if not empty and not text.strip():
        raise ValueError(f"{what} is empty")
    if len(text) > most:
        raise ValueError(f"{what} has {len(text)} characters; at most {most}")


@attrs.frozen
class Change:
    """A finding got this state, by whom, and why."""

    t_ms: int
    state: State
    by: str
    note: str = ""


@attrs.frozen
class Finding:
    """An observation with a life.

    ``id``: short, safe in an address, the same whenever the same problem is seen. ``source``: the
    analyser or detector that saw it. ``observation``: the newest. ``first_ms``, ``last_ms``: when
    it was reported first and last; ``times``: how often. ``history``: from the oldest change on.
    """

    id: str
    source: str
    observation: Observation
    state: State
    first_ms: int
    last_ms: int
    times: int
    history: tuple[Change, ...]

    @property
    def live(self) -> bool:
        """Whether it still asks for attention: open or acknowledged."""
        return self.state in ("open", "acknowledged")

    def changed(self, change: Change) -> Finding:
        """The same with one more change; of many, the oldest but the first are dropped."""
        history = (*self.history, change)
        if len(history) > MAX_HISTORY:
            history = (history[0], *history[-(MAX_HISTORY - 1) :])
        return attrs.evolve(self, state=change.state, history=history)


def finding_id(source: str, kind: str, fingerprint: str) -> str:
    """The id of what ``source`` sees: 16 characters a-z, 2-7."""
    text = "\0".join((source, kind, fingerprint)).encode()
    return base64.b32encode(hashlib.blake2b(text, digest_size=10).digest()).decode().lower()


def as_json(finding: Finding) -> dict[str, Any]:
    """A finding as the HTTP API and the store write it."""
    seen = finding.observation
    return {
        "id": finding.id, "source": finding.source, "kind": seen.kind,
        "fingerprint": seen.fingerprint, "title": seen.title, "text": seen.text,
        "severity": seen.severity, "confidence": seen.confidence, "state": finding.state,
        "start_ms": seen.start_ms, "end_ms": seen.end_ms, "first_ms": finding.first_ms,
        "last_ms": finding.last_ms, "times": finding.times, "labels": seen.labels.as_dict(),
        "evidence": [attrs.asdict(one) for one in seen.evidence],
        "details": {k: list(v) if isinstance(v, tuple) else v for k, v in seen.details.items()},
        "history": [attrs.asdict(one) for one in finding.history],
    }  # fmt: skip


def from_json(data: Mapping[str, Any]) -> Finding:
    """What ``as_json`` gave. Raises KeyError, TypeError or ValueError if it is none."""
    seen = Observation(
        data["kind"], data["fingerprint"], data["title"], data["text"], data["severity"],
        data["confidence"], data["start_ms"], data["end_ms"],
        tuple(Evidence(**one) for one in data["evidence"]),
        Labels(tuple(sorted(data["labels"].items()))), data["details"],
    )  # fmt: skip
    if data["state"] not in STATES:
        raise ValueError(f"the state {data['state']!r} is none of {', '.join(STATES)}")
    return Finding(
        data["id"], data["source"], seen, data["state"], data["first_ms"], data["last_ms"],
        data["times"], tuple(Change(**one) for one in data["history"]),
    )  # fmt: skip
