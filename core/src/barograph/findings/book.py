"""FindingBook: all findings of a monitor, their states, and who wants to hear of them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from barograph.clock import Clock
from barograph.contracts import Problem, Records, StoreError
from barograph.findings.observed import (
    MAX_TEXT,
    STATES,
    Change,
    Finding,
    Observation,
    State,
    as_json,
    finding_id,
    from_json,
)
from barograph.model import MetricKind, Sample
from barograph.selfmetrics import Meter

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND = "finding"
"""The kind of record that a finding is in the store."""

MAX_FINDINGS = 10_000
"""Findings that are kept; of more, the oldest that are over go first."""

BAROGRAPH = "barograph"
"""Who changes a finding when no person does."""

NEXT: Mapping[str, frozenset[str]] = {
    "open": frozenset({"acknowledged", "dismissed", "resolved"}),
    "acknowledged": frozenset({"open", "dismissed", "resolved"}),
    "dismissed": frozenset({"open"}),
    "resolved": frozenset({"open", "dismissed"}),
}
"""States that a person can give to a finding in each state."""

Findings = list[Finding]
Listener = Callable[[Finding], None]


class FindingBook:
    """Findings by id, kept in ``records`` if there are any, else in memory only.

    Methods may be called from any thread. What the store refuses stays in memory, is tried again
    with the next change, and is told in ``problem``.
    """

    def __init__(
        self, records: Records | None, clock: Clock, meter: Meter | None = None,
        most: int = MAX_FINDINGS,
    ) -> None:  # fmt: skip
        self._records, self._clock, self._most = records, clock, most
        meter = meter or Meter()
        self._listener_errors = meter.counter(
            "barograph_findings_listener_errors_total", "Listeners to findings that raised"
        )
        self._write_errors = meter.counter(
            "barograph_findings_write_errors_total", "Findings that the store did not take at once"
        )
        self._unreadable = meter.counter(
            "barograph_findings_unreadable_total", "Kept findings that could not be read"
        )
        self._lock = threading.RLock()
        self._saving = threading.Lock()
        self._listeners: list[Listener] = []
        self._found: dict[str, Finding] = {}
        self._unsaved: set[str] = set()  # ids; of what is gone, too
        self.problem: Problem | None = None
        if records is not None:
            self._load(records)

    def _load(self, records: Records) -> None:
        try:
            for _, _, body in records.records(KIND):
                self._load_one(body)
        except StoreError as error:
            remedy = "run: barograph doctor --store; what could be read is there"
            self.problem = Problem(f"findings cannot be read: {error}", "store", remedy)

    def _load_one(self, body: str) -> None:
        try:
            finding = from_json(json.loads(body))
        except (KeyError, TypeError, ValueError, AttributeError):
            self._unreadable.add()  # of another version; its row stays as it is
        else:
            self._found[finding.id] = finding

    # --- what was seen ----------------------------------------------------------------------------

    def report(self, source: str, observations: Iterable[Observation]) -> Findings:
        """Take in what ``source`` saw; the findings that came of it, in order.

        What is new is open. What is known and open or acknowledged gets the newest observation,
        with the start of the whole episode. What was dismissed stays so; what was resolved opens
        again. Raises ValueError, and takes in nothing, if ``source`` is empty or something is no
        Observation.
        """
        if not source:
            raise ValueError("who saw it? source is empty")
        given = list(observations)
        for one in given:
            if not isinstance(one, Observation):
                raise ValueError(f"{source} reported a {type(one).__name__}, not an Observation")
        with self._lock:
            now = self._clock.now_ms()
            out = [self._take(source, one, now) for one in given]
            self._keep(out)
        self._save()
        self._tell(out)
        return out

    def _take(self, source: str, seen: Observation, now: int) -> Finding:
        id = finding_id(source, seen.kind, seen.fingerprint)
        known = self._found.get(id)
        if known is None:
            return Finding(id, source, seen, "open", now, now, 1, (Change(now, "open", source),))
        if known.live and known.observation.start_ms < seen.start_ms:
            seen = attrs.evolve(seen, start_ms=known.observation.start_ms)
        again = attrs.evolve(known, observation=seen, last_ms=now, times=known.times + 1)
        if known.state == "resolved":
            again = again.changed(Change(now, "open", source, "seen again"))
        return again

    def settle(
        self, source: str, kind: str, seen: Collection[str], after_ms: int
    ) -> Findings:  # fmt: skip
        """Resolve what ``source`` no longer sees: findings of ``kind`` that ask for attention,
        whose fingerprint is not in ``seen``, last reported more than ``after_ms`` ago."""
        with self._lock:
            now = self._clock.now_ms()
            over = Change(now, "resolved", BAROGRAPH, "not seen any more")
            out = [
                one.changed(over) for one in self._found.values()
                if one.live and one.source == source and one.observation.kind == kind
                and one.observation.fingerprint not in seen and now - one.last_ms > after_ms
            ]  # fmt: skip
            self._keep(out)
        self._save()
        self._tell(out)
        return out

    def change(self, id: str, state: State, by: str, note: str = "") -> Finding:
        """Give a finding another state. Raises LookupError; ValueError if that makes no sense."""
        if state not in STATES:
            raise ValueError(f"there is no state {state!r}; there are {', '.join(STATES)}")
        if not by:
            raise ValueError("who changes it? by is empty")
        if len(note) > MAX_TEXT:
            raise ValueError(f"the note has {len(note)} characters; at most {MAX_TEXT}")
        with self._lock:
            known = self.get(id)
            if state == known.state:
                raise ValueError(f"the finding is {state} already")
            if state not in NEXT[known.state]:
                allowed = " or ".join(sorted(NEXT[known.state]))
                raise ValueError(f"what is {known.state} cannot become {state}, only {allowed}")
            found = known.changed(Change(self._clock.now_ms(), state, by, note))
            self._keep([found])
        self._save()
        self._tell([found])
        return found

    # --- what can be asked ------------------------------------------------------------------------

    def get(self, id: str) -> Finding:
        """Raises LookupError."""
        with self._lock:
            found = self._found.get(id)
        if found is None:
            raise LookupError(f"there is no finding {id!r}; it may be so old that it was dropped")
        return found

    def list(
        self, states: Collection[str] | None = None, kinds: Collection[str] | None = None,
        start_ms: int | None = None, end_ms: int | None = None, limit: int = 200,
    ) -> Findings:  # fmt: skip
        """Findings, the last reported first; of these states and kinds, and that lie (in the data)
        at least partly in [start_ms, end_ms]."""
        with self._lock:
            found = [
                one for one in self._found.values()
                if (states is None or one.state in states)
                and (kinds is None or one.observation.kind in kinds)
                and (start_ms is None or one.observation.end_ms >= start_ms)
                and (end_ms is None or one.observation.start_ms <= end_ms)
            ]  # fmt: skip
        found.sort(key=lambda one: (-one.last_ms, -one.observation.start_ms, one.id))
        return found[: max(limit, 0)]

    def counts(self) -> dict[str, int]:
        """How many findings are in each state."""
        with self._lock:
            counted = Counter(one.state for one in self._found.values())
        return {state: counted[state] for state in STATES}  # type: ignore[index]

    def samples(self) -> Iterable[Sample]:
        """``barograph_findings{state}``."""
        for state, n in self.counts().items():
            yield Sample("barograph_findings", float(n), {"state": state}, MetricKind.GAUGE, "",
                         "Findings in each state")  # fmt: skip

    def listen(self, callback: Listener) -> Callable[[], None]:
        """Call ``callback(finding)`` with each new or changed one; gives the way to end.

        It runs in the thread that made the change: be quick. What it raises is counted. Changes
        that two threads make to one finding may be told in either order; ``get`` tells what holds.
        """
        with self._lock:
            self._listeners.append(callback)

        def end() -> None:
            with self._lock:
                if callback in self._listeners:
                    self._listeners.remove(callback)

        return end

    def _tell(self, changed: Sequence[Finding]) -> None:
        with self._lock:
            listeners = tuple(self._listeners)
        for finding in changed:
            for callback in listeners:
                try:
                    callback(finding)
                except Exception:  # noqa: BLE001 — a stranger's code; counted
                    self._listener_errors.add()

    # --- keeping ----------------------------------------------------------------------------------

    def _keep(self, changed: Sequence[Finding]) -> None:
        """Take them in, and let go of what is too much. The caller holds the lock."""
        for one in changed:
            self._found[one.id] = one
        self._unsaved.update(one.id for one in changed)
        over = len(self._found) - self._most
        if over > 0:
            oldest = sorted(self._found.values(), key=lambda one: (one.live, one.last_ms))
            for one in oldest[:over]:
                del self._found[one.id]
                self._unsaved.add(one.id)

    def _save(self) -> None:
        """Write what is not written yet; who reads the book does not wait for the store."""
        if self._records is None:
            return
        with self._saving:
            with self._lock:
                ids, self._unsaved = self._unsaved, set()
                put = [self._found[id] for id in ids if id in self._found]
                gone = [id for id in ids if id not in self._found]
            try:
                if put:
                    rows = [(one.id, one.last_ms, json.dumps(as_json(one))) for one in put]
                    self._records.put_records(KIND, rows)
                if gone:
                    self._records.remove_records(KIND, gone)
            except StoreError as error:
                with self._lock:
                    self._unsaved |= ids
                self._write_errors.add()
                remedy = "they are kept in memory, and written once the store takes them"
                self.problem = Problem(f"findings cannot be stored: {error}", "store", remedy)
            else:
                self.problem = None
