"""The book of findings: a life for what was seen, kept over a restart, and bounded."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes import FakeClock, eventually
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from barograph.contracts import Records, StoreError
from barograph.findings import (
    Change,
    Evidence,
    Finding,
    FindingBook,
    Observation,
    as_json,
    from_json,
)
from barograph.findings.book import NEXT
from barograph.findings.observed import MAX_HISTORY
from barograph.model import Labels
from barograph.selfmetrics import Meter
from barograph.testing import check_records
from barograph_sqlite.store import SqliteStore

T0 = 1_700_000_000_000


def seen(fingerprint: str = "load", kind: str = "anomaly", **more: Any) -> Observation:
    given: dict[str, Any] = {
        "kind": kind, "fingerprint": fingerprint, "title": f"{fingerprint} 840 ms",
        "text": "840 ms, 6.2 times its usual spread.", "severity": "warning", "confidence": 0.8,
        "start_ms": T0, "end_ms": T0 + 60_000, "evidence": (Evidence("load", T0, T0 + 60_000),),
        "labels": Labels.of("load", {"host": "a"}),
    }  # fmt: skip
    return Observation(**given | more)


class Memory:
    """Records in dicts; the store refuses while ``full``."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], tuple[int, str]] = {}
        self.full = False
        self.written = 0

    def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
        if self.full:
            raise StoreError("no space left")
        self.written += len(rows)
        self.rows.update({(kind, id): (at, body) for id, at, body in rows})

    def records(self, kind: str) -> Iterator[tuple[str, int, str]]:
        for (of, id), (at, body) in sorted(self.rows.items()):
            if of == kind:
                yield id, at, body

    def remove_records(self, kind: str, ids: Sequence[str]) -> None:
        if self.full:
            raise StoreError("no space left")
        for id in ids:
            self.rows.pop((kind, id), None)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(T0)


# What can be observed.


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"confidence": math.nan}, r"confidence nan is not in \[0, 1\]"),
        ({"confidence": 1.2}, r"confidence 1.2 is not in \[0, 1\]"),
        ({"evidence": ()}, "no evidence: give a query and a range"),
        ({"evidence": ("load",)}, "holds a str, not an Evidence"),
        ({"title": "x" * 121}, "the title has 121 characters; at most 120"),
        ({"title": " "}, "the title is empty"),
        ({"text": ""}, "the text is empty"),
        ({"end_ms": T0 - 1}, rf"ends \({T0 - 1}\) before it starts \({T0}\)"),
        ({"kind": "Not plain"}, "kind 'Not plain' is not plain"),
        ({"kind": ""}, "kind '' is not plain"),
        ({"fingerprint": ""}, "the fingerprint is empty"),
        ({"severity": "fatal"}, "'fatal' is none of info, warning, critical"),
        ({"labels": {"a": "b"}}, "labels is a dict; make them with Labels.of"),
        ({"details": {"slope": math.inf}}, "the detail slope is inf; leave out"),
        ({"details": {"a": object()}}, "the detail a is a object; it must be a number"),
        ({"details": {"a": ((1, 2),)}}, "the detail a is a tuple"),
        ({"details": {str(i): i for i in range(101)}}, "101 details; at most 100"),
        ({"evidence": (Evidence("load", 0, 1),) * 51}, "51 pieces of evidence"),
    ],
)  # fmt: skip
def test_an_observation_that_makes_no_sense_is_refused_with_the_reason(
    wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        seen(**wrong)


def test_evidence_that_makes_no_sense_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="the query of the evidence is empty"):
        Evidence("", 0, 1)
    with pytest.raises(ValueError, match=r"ends \(1\) before it starts \(2\)"):
        Evidence("load", 2, 1)


def test_numbers_of_numpy_become_plain_ones() -> None:
    one = seen(
        confidence=np.float32(0.5), start_ms=np.int64(T0), end_ms=np.int64(T0 + 1),
        details={"slope": np.float64(2.5), "n": np.int64(3), "many": [np.int32(1), 2.0], "up": "x"},
    )  # fmt: skip
    assert [type(x) for x in (one.confidence, one.start_ms, one.end_ms)] == [float, int, int]
    assert one.details == {"slope": 2.5, "n": 3, "many": (1, 2.0), "up": "x"}
    assert type(one.details["n"]) is int
    json.dumps(as_json(FindingBook(None, FakeClock()).report("x", [one])[0]))


TEXT = st.text(min_size=1, max_size=40).filter(lambda text: bool(text.strip()))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=9)
OBSERVATIONS = st.builds(
    lambda start, length, labels, **rest: Observation(
        start_ms=start, end_ms=start + length,
        labels=Labels(tuple(sorted(labels.items()))), **rest
    ),
    start=st.integers(0, 2**45), length=st.integers(0, 2**40),
    labels=st.dictionaries(TEXT, TEXT, max_size=4),
    kind=st.from_regex(r"[a-z0-9_]{1,64}", fullmatch=True), fingerprint=TEXT, title=TEXT, text=TEXT,
    severity=st.sampled_from(["info", "warning", "critical"]), confidence=st.floats(0, 1),
    evidence=st.lists(
        st.builds(Evidence, TEXT, st.integers(0, 99), st.integers(99, 200), st.text(max_size=9)),
        min_size=1, max_size=3,
    ),
    details=st.dictionaries(st.text(max_size=9), NUMBERS | st.lists(NUMBERS, max_size=3),
                            max_size=3),
)  # fmt: skip


@given(OBSERVATIONS, st.text(max_size=20))
def test_a_finding_survives_json(one: Observation, note: str) -> None:
    book = FindingBook(None, FakeClock(T0))
    (found,) = book.report("me", [one])
    found = book.change(found.id, "dismissed", "page", note)
    assert from_json(json.loads(json.dumps(as_json(found)))) == found


# Its life.


def test_what_is_new_is_open_and_seen_again_it_is_the_same(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    (first,) = book.report("auto", [seen(start_ms=T0 - 5000)])
    assert (first.state, first.times, first.first_ms, first.last_ms) == ("open", 1, T0, T0)
    assert first.history == (Change(T0, "open", "auto"),)
    clock.advance(60)
    (again,) = book.report("auto", [seen(title="load 900 ms", end_ms=T0 + 120_000)])
    assert again.id == first.id
    assert again.id.isalnum()
    assert len(again.id) == 16
    assert (again.times, again.first_ms, again.last_ms) == (2, T0, T0 + 60_000)
    assert again.observation.title == "load 900 ms"
    assert again.observation.start_ms == T0 - 5000, "the episode's start stays"
    assert again.observation.end_ms == T0 + 120_000
    assert again.history == first.history
    assert book.list() == [again]


def test_source_kind_and_fingerprint_tell_findings_apart(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    book.report("auto", [seen("a"), seen("b"), seen("a", "trend")])
    book.report("mine", [seen("a")])
    assert len({one.id for one in book.list()}) == 4


def test_what_was_dismissed_stays_so_and_what_was_resolved_opens_again(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    a, b, c = book.report("auto", [seen("a"), seen("b"), seen("c")])
    book.change(a.id, "dismissed", "page", "nightly job")
    book.change(b.id, "resolved", "page")
    book.change(c.id, "acknowledged", "page")
    clock.advance(10)
    a, b, c = book.report("auto", [seen(x, start_ms=T0 + 9000) for x in "abc"])
    assert [one.state for one in (a, b, c)] == ["dismissed", "open", "acknowledged"]
    assert [one.times for one in (a, b, c)] == [2, 2, 2]
    assert [one.observation.start_ms for one in (a, b, c)] == [T0 + 9000, T0 + 9000, T0]
    assert [change.state for change in b.history] == ["open", "resolved", "open"]
    assert b.history[-1] == Change(T0 + 10_000, "open", "auto", "seen again")
    assert a.history[-1].note == "nightly job"


def test_what_is_not_seen_any_more_settles_after_a_time(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    book.report("auto", [seen("a"), seen("b"), seen("c"), seen("t", "trend")])
    book.report("mine", [seen("a")])
    acknowledged = book.report("auto", [seen("c")])[0]
    book.change(acknowledged.id, "acknowledged", "page")
    clock.advance(600)
    assert book.settle("auto", "anomaly", ["b"], 600_000) == [], "not more than after_ms yet"
    clock.advance(1)
    over = book.settle("auto", "anomaly", ["b"], 600_000)
    assert sorted(one.observation.fingerprint for one in over) == ["a", "c"]
    assert {one.state for one in over} == {"resolved"}
    last = over[0].history[-1]
    assert (last.state, last.by, last.t_ms) == ("resolved", "barograph", T0 + 601_000)
    assert book.counts() == {"open": 3, "acknowledged": 0, "dismissed": 0, "resolved": 2}


def test_a_change_that_makes_no_sense_is_refused(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    (one,) = book.report("auto", [seen()])
    with pytest.raises(ValueError, match="the finding is open already"):
        book.change(one.id, "open", "page")
    with pytest.raises(ValueError, match="there is no state 'closed'; there are open, ack"):
        book.change(one.id, "closed", "page")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="who changes it"):
        book.change(one.id, "resolved", "")
    with pytest.raises(ValueError, match="the note has 5000 characters"):
        book.change(one.id, "resolved", "page", "x" * 5000)
    book.change(one.id, "dismissed", "page")
    with pytest.raises(ValueError, match="what is dismissed cannot become resolved, only open"):
        book.change(one.id, "resolved", "page")
    with pytest.raises(LookupError, match="there is no finding 'nothing'"):
        book.change("nothing", "open", "page")
    with pytest.raises(LookupError):
        book.get("nothing")
    assert len(book.get(one.id).history) == 2


def test_a_report_with_something_else_in_it_takes_in_nothing(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    with pytest.raises(ValueError, match="auto reported a str, not an Observation"):
        book.report("auto", [seen(), "load is high"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="source is empty"):
        book.report("", [seen()])
    assert book.list() == []


def test_the_history_is_bounded_and_keeps_its_beginning(clock: FakeClock) -> None:
    book = FindingBook(None, clock)
    (one,) = book.report("auto", [seen()])
    for i in range(MAX_HISTORY):
        clock.advance(1)
        book.change(one.id, "acknowledged" if i % 2 == 0 else "open", "page", str(i))
    history = book.get(one.id).history
    assert len(history) == MAX_HISTORY
    assert history[0] == Change(T0, "open", "auto")
    assert history[-1].note == str(MAX_HISTORY - 1)


def test_findings_are_listed_by_state_kind_and_time_the_last_reported_first(
    clock: FakeClock,
) -> None:
    book = FindingBook(None, clock)
    for i, (name, kind) in enumerate([("a", "anomaly"), ("b", "trend"), ("c", "anomaly")]):
        clock.advance(1)
        start = T0 + i * 100_000
        book.report("auto", [seen(name, kind, start_ms=start, end_ms=start + 50_000)])

    def names(**asked: Any) -> str:
        return "".join(one.observation.fingerprint for one in book.list(**asked))

    assert names() == "cba"
    assert names(limit=2) == "cb"
    assert names(kinds=["anomaly"]) == "ca"
    book.change(book.list()[0].id, "acknowledged", "page")
    assert names(states=["open"]) == "ba"
    assert names(states=["open", "acknowledged"], kinds=["anomaly"]) == "ca"
    assert names(states=[]) == ""
    assert names(start_ms=T0 + 150_000) == "cb", "what lies partly in the range counts"
    assert names(end_ms=T0 + 100_000) == "ba"
    assert names(start_ms=T0 + 60_000, end_ms=T0 + 90_000) == ""


# Who hears of it.


def test_listeners_hear_of_each_change_and_one_that_raises_is_counted(clock: FakeClock) -> None:
    meter = Meter()
    book = FindingBook(None, clock, meter)
    heard: list[tuple[str, str]] = []

    def fail(finding: Finding) -> None:
        raise KeyError("broken")

    book.listen(fail)
    end = book.listen(lambda one: heard.append((one.observation.fingerprint, one.state)))
    a, _ = book.report("auto", [seen("a"), seen("b")])
    book.change(a.id, "acknowledged", "page")
    clock.advance(1)
    book.settle("auto", "anomaly", ["a"], 0)
    assert heard == [("a", "open"), ("b", "open"), ("a", "acknowledged"), ("b", "resolved")]
    assert meter.value("barograph_findings_listener_errors_total") == 4
    end()
    end()
    book.report("auto", [seen("a")])
    assert len(heard) == 4
    samples = {one.labels["state"]: one.value for one in book.samples()}
    assert samples == {"open": 0, "acknowledged": 1, "dismissed": 0, "resolved": 1}
    assert {one.name for one in book.samples()} == {"barograph_findings"}


def test_a_listener_may_ask_and_change_the_book(clock: FakeClock) -> None:
    book = FindingBook(None, clock)

    def tidy(finding: Finding) -> None:
        if finding.state == "open":
            book.change(finding.id, "acknowledged", "robot")

    book.listen(tidy)
    (one,) = book.report("auto", [seen()])
    assert book.get(one.id).state == "acknowledged"


# Kept, and bounded.


def test_findings_survive_a_restart_in_a_real_store(tmp_path: Path, clock: FakeClock) -> None:
    store = SqliteStore(tmp_path)
    assert isinstance(store, Records)
    store.open()
    book = FindingBook(store, clock)
    a, b = book.report("auto", [seen("a", labels=Labels.of("m", {"x": 'ü"\\\n'})), seen("b")])
    b = book.change(b.id, "dismissed", "page", "fine")
    store.close()
    store.open()
    again = FindingBook(store, clock)
    assert {one.id: one for one in again.list()} == {a.id: a, b.id: b}
    clock.advance(1)
    assert again.report("auto", [seen("b")])[0].state == "dismissed"
    store.close()


def test_what_the_store_refuses_stays_in_memory_and_is_written_later(clock: FakeClock) -> None:
    memory, meter = Memory(), Meter()
    book = FindingBook(memory, clock, meter, most=3)
    memory.full = True
    a, _ = book.report("auto", [seen("a"), seen("b")])
    assert book.problem is not None
    assert "findings cannot be stored: no space left" in book.problem.what
    assert meter.value("barograph_findings_write_errors_total") == 1
    assert len(book.list()) == 2
    memory.full = False
    book.change(a.id, "resolved", "page")
    assert book.problem is None
    assert FindingBook(memory, clock).list() == book.list()


def test_a_kept_finding_that_cannot_be_read_is_counted_and_left(clock: FakeClock) -> None:
    memory, meter = Memory(), Meter()
    FindingBook(memory, clock).report("auto", [seen("a")])
    for i, body in enumerate(("{", "[]", "{}", '{"id": 3}', "null")):
        memory.put_records("finding", [(f"bad{i}", T0, body)])
    memory.put_records("other", [("x", T0, "{}")])
    book = FindingBook(memory, clock, meter)
    assert [one.observation.fingerprint for one in book.list()] == ["a"]
    assert meter.value("barograph_findings_unreadable_total") == 5
    assert ("finding", "bad0") in memory.rows


def test_a_store_that_cannot_be_read_is_told_and_the_book_works(clock: FakeClock) -> None:
    class Damaged(Memory):
        def records(self, kind: str) -> Iterator[tuple[str, int, str]]:
            yield from super().records(kind)
            raise StoreError("page 3 is damaged")

    memory = Damaged()
    FindingBook(Memory(), clock).report("auto", [seen("a")])
    book = FindingBook(memory, clock)
    assert book.problem is not None
    assert "page 3 is damaged" in book.problem.what
    book.report("auto", [seen("b")])
    assert len(book.list()) == 1


def test_of_too_many_the_oldest_that_are_over_go_first(clock: FakeClock) -> None:
    memory = Memory()
    book = FindingBook(memory, clock, most=4)
    ids = {}
    for name in "abcd":
        clock.advance(1)
        ids[name] = book.report("auto", [seen(name)])[0].id
    book.change(ids["c"], "resolved", "page")
    book.change(ids["d"], "dismissed", "page")

    def kept() -> str:
        return "".join(sorted(one.observation.fingerprint for one in book.list()))

    for name, left in (("e", "abde"), ("f", "abef"), ("g", "befg")):
        clock.advance(1)
        book.report("auto", [seen(name)])
        assert kept() == left
        assert len(memory.rows) == 4
    assert FindingBook(memory, clock).list() == book.list()


def test_many_threads_lose_nothing(clock: FakeClock) -> None:
    memory = Memory()
    book = FindingBook(memory, clock)

    def work(name: str) -> None:
        for i in range(50):
            book.report("auto", [seen(name), seen("shared"), seen(f"{name}{i}")])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    by = {one.observation.fingerprint: one for one in book.list(limit=1000)}
    assert by["shared"].times == 200
    assert [by[name].times for name in "abcd"] == [50] * 4
    assert len(by) == 205
    assert {one.id: one for one in FindingBook(memory, clock).list(limit=1000)} == {
        one.id: one for one in by.values()
    }


def test_who_reads_does_not_wait_for_the_store(clock: FakeClock) -> None:
    writing, release = threading.Event(), threading.Event()

    class Slow(Memory):
        def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
            writing.set()
            release.wait(20)
            super().put_records(kind, rows)

    memory = Slow()
    book = FindingBook(memory, clock)
    thread = threading.Thread(target=book.report, args=("auto", [seen()]))
    thread.start()
    assert writing.wait(10)
    assert [one.state for one in book.list()] == ["open"]
    assert book.counts()["open"] == 1
    assert not memory.rows
    release.set()
    eventually(lambda: memory.rows)
    thread.join(10)


# The book beside a model of plain dicts.


class Book(RuleBasedStateMachine):
    """Every sequence of reports, changes and restarts, beside a model of a few lines."""

    @initialize()
    def begin(self) -> None:
        self.clock, self.memory = FakeClock(T0), Memory()
        self.book = FindingBook(self.memory, self.clock)
        self.model: dict[tuple[str, str], dict[str, Any]] = {}

    def _one(self, key: tuple[str, str]) -> Finding:
        (found,) = [
            one for one in self.book.list(limit=1000)
            if (one.source, one.observation.fingerprint) == key
        ]  # fmt: skip
        return found

    @rule(source=st.sampled_from("xy"), name=st.sampled_from("abc"), start=st.integers(0, 9))
    def report(self, source: str, name: str, start: int) -> None:
        now = self.clock.now_ms()
        self.book.report(source, [seen(name, start_ms=T0 + start)])
        one = self.model.setdefault(
            (source, name), {"state": "open", "times": 0, "start": start, "changes": 1}
        )
        ongoing = one["state"] in ("open", "acknowledged")
        one["start"] = min(one["start"], start) if ongoing else start
        if one["state"] == "resolved":
            one["state"], one["changes"] = "open", one["changes"] + 1
        one |= {"times": one["times"] + 1, "last": now}

    @rule(
        source=st.sampled_from("xy"), name=st.sampled_from("abc"), state=st.sampled_from(list(NEXT))
    )
    def change(self, source: str, name: str, state: Any) -> None:
        one = self.model.get((source, name))
        if one is None:
            return
        id = self._one((source, name)).id
        if state in NEXT[one["state"]]:
            self.book.change(id, state, "page")
            one |= {"state": state, "changes": one["changes"] + 1}
        else:
            with pytest.raises(ValueError, match=r"already|cannot become"):
                self.book.change(id, state, "page")

    @rule(source=st.sampled_from("xy"), kept=st.sets(st.sampled_from("abc")))
    def settle(self, source: str, kept: set[str]) -> None:
        self.book.settle(source, "anomaly", kept, 5000)
        for (of, name), one in self.model.items():
            late = self.clock.now_ms() - one["last"] > 5000
            if (of == source and name not in kept and late
                    and one["state"] in ("open", "acknowledged")):  # fmt: skip
                one |= {"state": "resolved", "changes": one["changes"] + 1}

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.book = FindingBook(self.memory, self.clock)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "book"):
            return
        found = {
            (one.source, one.observation.fingerprint): {
                "state": one.state, "times": one.times, "changes": len(one.history),
                "start": one.observation.start_ms - T0, "last": one.last_ms,
            }
            for one in self.book.list(limit=1000)
        }  # fmt: skip
        assert found == self.model
        for one in self.book.list(limit=1000):
            assert one.history[-1].state == one.state
            assert one.history[0].state == "open"
            assert attrs.evolve(one) == self.book.get(one.id)


TestBook = Book.TestCase
TestBook.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# The conformance check of records.


def test_the_check_of_records_lets_a_good_store_pass_and_tells_a_bad_one(tmp_path: Path) -> None:
    check_records(Memory())

    class Appending(Memory):
        def put_records(self, kind: str, rows: Sequence[tuple[str, int, str]]) -> None:
            self.rows |= {
                (kind, id): self.rows.get((kind, id), (at, body)) for id, at, body in rows
            }

    class Keeping(Memory):
        def remove_records(self, kind: str, ids: Sequence[str]) -> None:
            pass

    for bad, told in (
        (Appending(), "after a row was written again"), (Keeping(), "after a row was removed"),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match=told):
            check_records(bad)
