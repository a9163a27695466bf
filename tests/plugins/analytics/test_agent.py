"""The agent: what is due, one run at a time, each analyser by itself, and findings with a life."""

from __future__ import annotations

import os
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes import eventually
from hosting import Host, install, outcome_of
from made import DAY, END, HOUR, MEMORY, a_day, fill, put, times

from barograph import Labels, hookimpl
from barograph.findings import Evidence, Observation
from barograph.testing import check_lifecycle
from barograph_analytics import Config, agent
from barograph_analytics.agent import AnalyticsAgent, Busy, NoAgent, agent_of
from barograph_analytics.process import WorkerFailed

QUIETLY = Config(schedule=False, deadline=60.0, settle=3600.0)  # type: ignore[arg-type]
HERE = attrs.evolve(QUIETLY, process=False)


class Scripted:
    """An analyser that sees what a test says."""

    def __init__(self, name: str = "scripted", interval_s: float = 600.0) -> None:
        self.name, self.interval_s, self.window_s = name, interval_s, 3600.0
        self.sees: list[str] = []
        self.error: Exception | None = None
        self.spans: list[tuple[int, int]] = []
        self.during: Any = None

    def analyse(self, data: Any, start_ms: int, end_ms: int) -> Iterator[Observation]:
        self.spans.append((start_ms, end_ms))
        if self.during is not None:
            self.during(data)
        if self.error is not None:
            raise self.error
        for name in self.sees:
            yield observation(name, start_ms, end_ms)


def observation(name: str, start_ms: int, end_ms: int, confidence: float = 0.5) -> Observation:
    shown = (Evidence(name, start_ms, end_ms),)
    return Observation("custom", name, f"{name} is odd", f"{name} is odd.", "info", confidence,
                       start_ms, end_ms, shown, Labels.of(name))  # fmt: skip


def started(host: Host, options: Config, *analysers: Scripted) -> AnalyticsAgent:
    if analysers:
        module = types.ModuleType("mine")

        @hookimpl
        def barograph_analysers() -> Any:
            return list(analysers)

        module.barograph_analysers = barograph_analysers  # type: ignore[attr-defined]
        host.plugins.register(module, "mine")
    host.load()
    one = AnalyticsAgent(options)
    one.start(host)  # type: ignore[arg-type]
    return one


def advance(host: Host, seconds: float) -> None:
    host.clock.advance(seconds)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    one = Host(tmp_path / "data", HERE)
    yield one
    one.store.close()


def states(host: Host) -> dict[str, str]:
    return {f.observation.fingerprint: f.state for f in host.findings.list(limit=1000)
            if f.source == "scripted"}  # fmt: skip


def test_an_analyser_runs_when_it_is_due_and_looks_back_over_its_window(host: Host) -> None:
    mine = Scripted()
    one = started(host, HERE, mine)
    assert one.look() == []  # not yet: there is nothing to look at
    advance(host, agent.FIRST_S)
    one.look()
    now = host.clock.now_ms()
    assert mine.spans == [(now - 3_600_000, now)]
    one.look()
    assert len(mine.spans) == 1
    advance(host, 600)
    one.look()
    assert len(mine.spans) == 2
    one.stop(1.0)


def test_a_finding_opens_goes_on_and_is_over_when_it_is_seen_no_more(host: Host) -> None:
    mine = Scripted()
    one = started(host, HERE, mine)
    mine.sees = ["a", "b"]
    advance(host, agent.FIRST_S)
    one.look()
    assert states(host) == {"a": "open", "b": "open"}
    mine.sees = ["a"]
    for _ in range(5):
        advance(host, 600)
        one.look()
    assert states(host) == {"a": "open", "b": "open"}  # not for so long yet
    for _ in range(3):
        advance(host, 600)
        one.look()
    assert states(host) == {"a": "open", "b": "resolved"}
    kept = {f.observation.fingerprint: f for f in host.findings.list()}
    assert kept["a"].times == 9
    mine.sees = ["b"]
    advance(host, 600)
    one.look()
    again = {f.observation.fingerprint: f for f in host.findings.list()}["b"]
    assert [change.state for change in again.history] == ["open", "resolved", "open"]
    one.stop(1.0)


def test_what_a_person_dismissed_stays_dismissed(host: Host) -> None:
    mine = Scripted()
    mine.sees = ["a"]
    one = started(host, HERE, mine)
    advance(host, agent.FIRST_S)
    one.look()
    (finding,) = [f for f in host.findings.list() if f.source == "scripted"]
    host.findings.change(finding.id, "dismissed", "me")
    advance(host, 600)
    one.look()
    assert states(host) == {"a": "dismissed"}
    one.stop(1.0)


def test_a_run_that_failed_settles_nothing(host: Host) -> None:
    mine = Scripted()
    mine.sees = ["a"]
    one = started(host, HERE, mine)
    advance(host, agent.FIRST_S)
    one.look()
    mine.error = RuntimeError("no")
    for _ in range(20):
        advance(host, 3600)
        one.look()
    assert states(host) == {"a": "open"}
    one.stop(1.0)


def test_one_that_fails_harms_no_other_is_told_and_is_asked_less_often(host: Host) -> None:
    bad, good = Scripted("bad"), Scripted("good")
    bad.error, good.sees = ValueError("nonsense"), ["a"]
    one = started(host, HERE, bad, good)
    advance(host, agent.FIRST_S)
    one.look()
    for _ in range(12):
        advance(host, 600)
        one.look()
    assert len(good.spans) == 13
    assert 2 <= len(bad.spans) <= 5
    assert host.meter.value("barograph_analytics_errors_total", analyser="bad") == len(bad.spans)
    assert host.meter.value("barograph_analytics_errors_total", analyser="good") == 0
    assert host.meter.value("barograph_analytics_runs_total", analyser="good") == 13
    assert host.meter.value("barograph_analytics_observations", analyser="good") == 1
    (problem,) = [p for p in one.problems if "bad" in p.what]
    assert problem.what == "the analyser bad failed: ValueError: nonsense"
    assert problem.where == "plugin mine"
    bad.error = None
    advance(host, 600 * 8)
    one.look()
    assert [p for p in one.problems if "bad" in p.what] == []
    one.stop(1.0)


def test_only_the_strongest_are_told_and_no_more_than_allowed(host: Host) -> None:
    mine = Scripted()
    mine.sees = [f"s{i:03d}" for i in range(300)]
    one = started(host, attrs.evolve(HERE, max_findings=7), mine)
    advance(host, agent.FIRST_S)
    outcome = outcome_of(one.look(), "scripted")
    assert len(states(host)) == 7
    assert outcome.left_out == 293
    # What was left out still counts as seen: nothing is settled and opened in turns.
    assert len(outcome.seen["custom"]) == 300
    one.stop(1.0)


def test_of_two_analysers_with_one_name_the_first_runs_and_it_is_told(host: Host) -> None:
    first, second = Scripted(), Scripted()
    one = started(host, HERE, first, second)
    advance(host, agent.FIRST_S)
    one.look()
    assert (len(first.spans), len(second.spans)) == (1, 0)
    assert [p.what for p in one.problems] == [
        "another plugin brings an analyser 'scripted' already; it is left out"
    ]
    one.stop(1.0)


def test_the_schedule_runs_by_itself_and_ends_at_once(host: Host) -> None:
    mine = Scripted()
    mine.sees = ["a"]
    one = started(host, attrs.evolve(HERE, schedule=True), mine)
    host.clock.settle(1)
    advance(host, agent.FIRST_S)
    eventually(lambda: states(host) == {"a": "open"}, 60)
    one.stop(30.0)
    assert threading.active_count() >= 1
    with pytest.raises(NoAgent, match="no agent"):
        agent_of(host)  # type: ignore[arg-type]


def test_stopping_ends_an_analyser_that_asks_whether_it_is_wanted(host: Host) -> None:
    mine, going = Scripted(), threading.Event()

    def wait(data: Any) -> None:
        going.set()
        eventually(data.cancelled, 30)

    mine.during = wait
    one = started(host, attrs.evolve(HERE, schedule=True), mine)
    host.clock.settle(1)
    advance(host, agent.FIRST_S)
    assert going.wait(60)
    one.stop(10.0)


def test_it_keeps_the_contract_of_a_lifecycle(host: Host) -> None:
    host.load()
    check_lifecycle(AnalyticsAgent(Config()), host, deadline_s=5.0)


def test_one_run_at_a_time_and_who_waits_too_long_is_told(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "WAIT_S", 0.05)
    mine, going, end = Scripted(), threading.Event(), threading.Event()
    mine.during = lambda data: (going.set(), end.wait(30))
    one = started(host, HERE, mine)
    thread = threading.Thread(target=one.analyse, args=(END - HOUR, END))
    thread.start()
    assert going.wait(30)
    with pytest.raises(Busy, match="under way"):
        one.analyse(END - HOUR, END)
    end.set()
    thread.join(30)
    one.stop(1.0)


def test_on_demand_over_queries_only_the_own_analysers_run(host: Host) -> None:
    t, rows = a_day()
    put(host.store, t, {MEMORY: rows[MEMORY]})
    mine = Scripted()
    one = started(host, HERE, mine)
    outcomes = one.analyse(END - DAY, END, queries=["system_memory_usage_bytes"])
    assert mine.spans == []
    (seen,) = outcome_of(outcomes, "change_points").observations
    assert seen.labels == MEMORY
    assert [f.observation.labels for f in host.findings.list(kinds=("change_point",))] == [MEMORY]
    one.stop(1.0)


# --- in a process of its own ---------------------------------------------------------------------


@pytest.fixture
def away(tmp_path: Path) -> Iterator[Host]:
    t, rows = a_day()
    fill(tmp_path / "data", t, rows)
    one = Host(tmp_path / "data", QUIETLY)
    yield one
    one.store.close()


def test_a_process_of_its_own_sees_what_this_one_would_see(away: Host) -> None:
    names = ("trends", "change_points")
    one = started(away, QUIETLY)
    elsewhere = one.analyse(END - DAY, END, names=names)
    one.stop(1.0)
    assert away.meter.value("barograph_analytics_memory_bytes") > 2**20
    here = AnalyticsAgent(HERE)
    here.start(away)  # type: ignore[arg-type]
    for name in names:
        first = outcome_of(elsewhere, name)
        again = outcome_of(here.analyse(END - DAY, END, names=[name]), name)
        assert first.observations == again.observations
        assert first.observations
        assert first.error == ""
    here.stop(1.0)


def test_what_the_process_finds_is_reported_once_and_goes_on(away: Host) -> None:
    one = started(away, QUIETLY)
    advance(away, agent.FIRST_S)
    one.look()
    found = {f.id for f in away.findings.list(kinds=("change_point",))}
    assert found
    advance(away, 900)
    one.look()
    again = away.findings.list(kinds=("change_point",))
    assert {f.id for f in again} == found
    assert {f.times for f in again} == {2}
    one.stop(1.0)


def test_a_strangers_analyser_that_dies_hangs_or_eats_memory_is_cut_off_by_name(
    away: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("dies", "eats", "fine", "hangs", "lies", "raises")
    install(tmp_path, monkeypatch, *names)
    monkeypatch.setattr(agent, "START_S", 8.0)
    options = attrs.evolve(QUIETLY, deadline=1.0, memory=2**29)
    one = started(away, options)
    outcomes = {o.analyser: o for o in one.analyse(END - HOUR, END, names=names)}
    assert outcomes["dies"].error == "its process ended with 3: it was the disk"
    assert "Memory" in outcomes["eats"].error
    assert outcomes["hangs"].error == "it took longer than 1 s and was ended"
    assert outcomes["lies"].error == "TypeError: it gave a str, not an Observation"
    assert outcomes["raises"].error == "KeyError: 'nothing here'"
    assert outcomes["fine"].error == ""
    (seen,) = outcomes["fine"].observations
    assert seen.details["pid"] != os.getpid()
    assert {p.where for p in one.problems} == {"plugin stranger"}
    assert len(one.problems) == 5
    one.stop(1.0)


def test_a_store_that_the_program_brought_is_looked_at_here(
    away: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "fine")
    away.store_is_configured = False
    one = started(away, QUIETLY)
    (outcome,) = one.analyse(END - HOUR, END, names=["fine"])
    assert outcome.observations[0].details["pid"] == os.getpid()
    one.stop(1.0)


def test_what_moved_is_ranked_in_the_process(away: Host) -> None:
    one = started(away, QUIETLY)
    t = times(2 * HOUR, 15_000)
    put(away.store, t, {Labels.of("queue", {"i": str(i)}): [100.0 + i] * len(t) for i in range(3)})
    found = one.moved(END - 1_200_000, END, "queue", 5)
    assert found == {"moved": [], "series": 3}
    with pytest.raises(WorkerFailed, match="stops"):
        stopping(one).moved(END - 1_200_000, END, "queue", 5)
    one.stop(1.0)


def stopping(one: AnalyticsAgent) -> AnalyticsAgent:
    one.stop(1.0)
    return one
