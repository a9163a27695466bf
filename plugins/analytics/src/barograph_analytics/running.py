"""One analyser, run once: what it saw, or why it failed. Nothing that it does harms another."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from barograph.answer import QueryCancelled, QueryTimeout
from barograph.clock import SystemClock
from barograph.contracts import Records
from barograph.findings import (
    SEVERITIES,
    Finding,
    FindingBook,
    Observation,
    as_json,
    from_json,
)

if TYPE_CHECKING:
    from barograph.contracts import Analyser, Store
    from barograph.inquiry import Inquiry

MAX_SEEN = 10_000
"""Observations that are taken of one analyser in one run; after them it is ended."""

MAX_ERROR = 500
"""Characters of an error."""


@attrs.frozen
class Outcome:
    """What one run of one analyser gave.

    ``observations``: the strongest, each fingerprint once. ``seen``: kind -> all fingerprints, also
    of those left out. ``complete``: whether it came to its end. ``error``: why not, or "".
    """

    analyser: str
    observations: tuple[Observation, ...] = ()
    seen: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    left_out: int = 0
    seconds: float = 0.0
    complete: bool = True
    error: str = ""


def run(analyser: Analyser, data: Inquiry, start_ms: int, end_ms: int, most: int) -> Outcome:
    """Run it over [start, end]; at most ``most`` observations are kept. Raises nothing of its."""
    began = time.perf_counter()
    found: dict[tuple[str, str], Observation] = {}
    error, complete = "", True
    try:
        for one in analyser.analyse(data, start_ms, end_ms):
            if not isinstance(one, Observation):
                raise TypeError(f"it gave a {type(one).__name__}, not an Observation")
            key = one.kind, one.fingerprint
            if key not in found or _weight(one) > _weight(found[key]):
                found[key] = one
            if len(found) >= MAX_SEEN:
                raise ValueError(f"it gave over {MAX_SEEN:,} observations")
            if data.cancelled():
                break
    except (QueryTimeout, QueryCancelled) as late:
        error, complete = str(late), False
    except (Exception, SystemExit) as failure:  # noqa: BLE001 — a stranger's code; told by name
        error, complete = f"{type(failure).__name__}: {failure}", False
    if not error and data.cancelled():
        error, complete = "it was ended before it was done", False
    chosen = strongest(list(found.values()), most)
    seen: dict[str, list[str]] = {}
    for kind, fingerprint in found:
        seen.setdefault(kind, []).append(fingerprint)
    return Outcome(
        analyser.name, chosen, {kind: tuple(names) for kind, names in seen.items()},
        len(found) - len(chosen), time.perf_counter() - began, complete, error[:MAX_ERROR],
    )  # fmt: skip


def strongest(found: Sequence[Observation], most: int) -> tuple[Observation, ...]:
    """The gravest and surest ``most``, in that order."""
    ordered = sorted(found, key=lambda one: one.fingerprint)
    return tuple(sorted(ordered, key=_weight, reverse=True)[:most])


def _weight(one: Observation) -> tuple[int, float]:
    return SEVERITIES.index(one.severity), one.confidence


class _Aside:
    """A store's records, to which nothing is written: changes stay in memory."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
        """Does nothing."""

    def records(self, kind: str) -> Iterator[tuple[str, int, str]]:
        """Those of the store."""
        return self._records.records(kind)

    def remove_records(self, kind: str, ids: Sequence[str]) -> None:
        """Does nothing."""


def book_over(store: Store) -> FindingBook:
    """The findings that a store keeps, in a book that changes nothing in the store."""
    return FindingBook(_Aside(store) if isinstance(store, Records) else None, SystemClock())


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """For another process."""
    out = attrs.asdict(outcome, recurse=False)
    out["observations"] = [observation_json(one) for one in outcome.observations]
    out["seen"] = {kind: list(names) for kind, names in outcome.seen.items()}
    return out


def outcome_from(data: Mapping[str, Any]) -> Outcome:
    """What ``outcome_json`` gave. Raises KeyError, TypeError, ValueError if it is none."""
    given = dict(data)
    given["observations"] = tuple(from_json(one).observation for one in data["observations"])
    given["seen"] = {kind: tuple(names) for kind, names in data["seen"].items()}
    return Outcome(**given)


def observation_json(one: Observation) -> dict[str, Any]:
    """An observation as a finding that nobody has reported yet."""
    return as_json(Finding("", "", one, "open", 0, 0, 1, ()))


def told(outcomes: Sequence[Outcome], start_ms: int, end_ms: int) -> dict[str, Any]:
    """What was seen, the strongest first, and how each analyser did, as JSON."""
    source = {id(seen): one.analyser for one in outcomes for seen in one.observations}
    unborn = ("id", "state", "first_ms", "last_ms", "times", "history")
    seen = [
        {k: v for k, v in observation_json(one).items() if k not in unborn}
        | {"source": source[id(one)]}
        for one in strongest([o for one in outcomes for o in one.observations], len(source))
    ]
    runs = [
        {"analyser": one.analyser, "seconds": round(one.seconds, 3), "error": one.error,
         "left_out": one.left_out}
        for one in outcomes
    ]  # fmt: skip
    return {"start_ms": start_ms, "end_ms": end_ms, "observations": seen, "runs": runs}
