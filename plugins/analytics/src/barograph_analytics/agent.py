"""AnalyticsAgent: runs the analysers of all plugins by schedule and on demand, and keeps the book.

Analyses run in a process of its own (``worker``): compiled kernels and a week of samples would
otherwise stay in the memory of the monitor, and hold its interpreter while others wait for it. The
process opens the store read-only, is nice to all others, and ends when it is done; one that hangs
or takes too much is ended, by its parent or its limits. What cannot be run there (a store or a
plugin that the program itself brought) runs in the agent's thread, in small pieces with pauses
between them: a thread that is only nice would keep the interpreter from others while it waits for
the processor.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from barograph.contracts import Problem
from barograph_analytics.asked import Asked
from barograph_analytics.pacing import Pace
from barograph_analytics.process import (
    Worker,
    WorkerFailed,
    WorkerLate,
    WorkerStopped,
    config_tables,
)
from barograph_analytics.running import Outcome, outcome_from, run
from barograph_analytics.worker import analysers_of

if TYPE_CHECKING:
    from barograph.contracts import Analyser
    from barograph.monitor import PerformanceMonitor
    from barograph_analytics import Config

FIRST_S = 120.0
"""The first look is so long after the start: then there is something to look at."""

START_S = 20.0
"""Starting the process, and compiling what it needs, may add so much to an analyser's deadline."""

BACK_OFF = 8
"""An analyser that fails is asked less often, down to one time of so many."""

NICE, ASKED = 19, 5
"""Niceness of the process by schedule, and while a person waits."""

WAIT_S = 30.0
"""A person waits so long for a look that is under way."""

_agents: dict[int, AnalyticsAgent] = {}


class Busy(Exception):
    """Another look is under way; the message says so."""


class NoAgent(LookupError):
    """The monitor has no agent that runs."""


@attrs.frozen
class Task:
    """One analyser of a plugin, and the time that it looks at."""

    plugin: str
    analyser: Analyser
    start_ms: int
    end_ms: int


@attrs.define
class _State:
    """What is known of an analyser from its runs."""

    plugin: str
    analyser: Analyser
    due_ms: int
    failures: int = 0
    error: str = ""


class AnalyticsAgent:
    """A lifecycle object with one thread; one run at a time.

    ``clock`` of the monitor says when analysers are due; deadlines of a run are real time.
    """

    name = "analytics"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._monitor: PerformanceMonitor | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._states: dict[str, _State] = {}
        self._clashes: list[Problem] = []
        self._trouble: Problem | None = None
        self._worker: Worker | None = None
        self.asked = Asked()

    # --- lifecycle ------------------------------------------------------------------------------

    def start(self, monitor: PerformanceMonitor) -> None:
        """Find the analysers, and begin to look if the schedule is on."""
        self._monitor = monitor
        self._stopping.clear()
        self._states.clear()
        self._clashes.clear()
        first_ms = monitor.clock.now_ms() + round(FIRST_S * 1000)
        for plugin, one in monitor.plugins.call("barograph_analysers"):
            if one.name in self._states:
                what = f"another plugin brings an analyser {one.name!r} already; it is left out"
                self._clashes.append(Problem(what, f"plugin {plugin}", "rename it", "warning"))
            else:
                self._states[one.name] = _State(plugin, one, first_ms)
        _agents[id(monitor)] = self
        if self._config.schedule:
            self._thread = threading.Thread(
                target=self._loop, name="barograph-analytics", daemon=True
            )
            self._thread.start()

    def stop(self, deadline_s: float) -> None:
        """End the run that is under way."""
        self._stopping.set()
        worker = self._worker
        if worker is not None:
            worker.kill()
        if self._monitor is not None:
            _agents.pop(id(self._monitor), None)
        if self._thread is not None:
            self._thread.join(deadline_s)
            if self._thread.is_alive():
                raise RuntimeError("an analyser did not end; it goes with the process")
            self._thread = None

    @property
    def analysers(self) -> dict[str, str]:
        """Name of each analyser, and the plugin that brings it."""
        return {name: state.plugin for name, state in self._states.items()}

    @property
    def problems(self) -> list[Problem]:
        """Analysers that fail, and names that clash."""
        told = self._clashes + ([self._trouble] if self._trouble else [])
        return told + [
            Problem(f"the analyser {name} failed: {state.error}", f"plugin {state.plugin}",
                    "it is asked less often until it works again", "warning")
            for name, state in list(self._states.items()) if state.error
        ]  # fmt: skip

    # --- by schedule ----------------------------------------------------------------------------

    def _loop(self) -> None:
        monitor = self._running()
        while not self._stopping.is_set():
            now = monitor.clock.now_ms()
            for state in self._states.values():
                # A clock that was set back shall not keep anything waiting.
                state.due_ms = min(state.due_ms, now + round(FIRST_S * 1000) + self._every(state))
            due = min((state.due_ms for state in self._states.values()), default=now + 60_000)
            if monitor.clock.wait(self._stopping, max((due - now) / 1000, 0.0)):
                return
            try:
                self.look()
                self._trouble = None
            except Exception as error:  # noqa: BLE001 — told; the next look may go well
                what = f"a look at the data failed: {type(error).__name__}: {error}"
                self._trouble = Problem(what, "plugin analytics", "see the monitor's own problems")
                monitor.clock.wait(self._stopping, 60.0)

    def look(self) -> list[Outcome]:
        """Run what is due now, tell the book, and say when it is due again."""
        monitor = self._running()
        now = monitor.clock.now_ms()
        due = [state for state in self._states.values() if state.due_ms <= now]
        tasks = [
            Task(state.plugin, state.analyser, now - round(state.analyser.window_s * 1000), now)
            for state in due
        ]  # fmt: skip
        with self._turn:
            outcomes = self._run(tasks, NICE)
        for one in outcomes:
            self._take(one, settle=True)
        for state in due:
            every_ms = self._every(state)
            # On whole multiples: what is due together needs one process only.
            state.due_ms = (now // every_ms + 1) * every_ms
        return outcomes

    def _every(self, state: _State) -> int:
        """Milliseconds between two runs of an analyser; longer while it fails."""
        every_ms = max(round(state.analyser.interval_s * 1000), 1000)
        return every_ms * BACK_OFF if state.failures > 2 else every_ms << state.failures

    def _take(self, one: Outcome, *, settle: bool) -> None:
        monitor, state = self._running(), self._states[one.analyser]
        meter, name = monitor.meter, one.analyser
        meter.counter("barograph_analytics_runs_total", "Runs of each analyser",
                      analyser=name).add()  # fmt: skip
        meter.gauge("barograph_analytics_run_seconds", "Time that the newest run took", "seconds",
                    analyser=name).set(one.seconds)  # fmt: skip
        meter.gauge("barograph_analytics_observations", "What the newest run saw",
                    analyser=name).set(len(one.observations) + one.left_out)  # fmt: skip
        failed = meter.counter("barograph_analytics_errors_total", "Runs that failed",
                               analyser=name)  # fmt: skip
        state.error = one.error
        state.failures = state.failures + 1 if one.error else 0
        if one.error:
            failed.add()
        monitor.findings.report(name, one.observations)
        if settle and one.complete:
            after_ms = round(1000 * max(self._config.settle, 1.5 * state.analyser.interval_s))
            live = monitor.findings.list(("open", "acknowledged"), limit=10_000)
            for kind in {f.observation.kind for f in live if f.source == name}:
                monitor.findings.settle(name, kind, one.seen.get(kind, ()), after_ms)

    # --- on demand ------------------------------------------------------------------------------

    def analyse(
        self, start_ms: int, end_ms: int, *, queries: Sequence[str] = (), names: Iterable[str] = (),
    ) -> list[Outcome]:  # fmt: skip
        """Run analysers (of these ``names``; else all) over [start, end] now, and report what
        they see. With ``queries`` those of this plugin look at them, and no other runs.

        Raises Busy; ValueError for the name of another plugin's analyser with ``queries``.
        """
        wanted = set(names) or set(self._states)
        for name in wanted if queries and names else ():
            if self._states[name].plugin != self.name:
                raise ValueError(f"the analyser {name} looks at what it likes; it takes no queries")
        chosen = [
            Task(state.plugin, state.analyser, start_ms, end_ms)
            for name, state in self._states.items()
            if name in wanted and (not queries or state.plugin == self.name)
        ]
        with self._waited():
            outcomes = self._run(chosen, ASKED, queries)
        for one in outcomes:
            self._take(one, settle=False)
        return outcomes

    def moved(self, start_ms: int, end_ms: int, match: str, limit: int) -> dict[str, Any]:
        """What else moved in [start, end], as JSON. Raises Busy, WorkerFailed, QueryError."""
        from barograph.answer import QueryFailed, QueryInvalid

        with self._waited():
            if not self._elsewhere(self.name):
                from barograph_analytics.ranking import rank

                data = self._running().inquiry(self._config.deadline, self._stopping.is_set)
                ranking = rank(data, start_ms, end_ms, match=match, limit=limit)
                movers = [one.as_json() for one in ranking.movers]
                return {"moved": movers, "series": ranking.series}
            order = self._order([], ASKED) | {
                "ranking": {"start_ms": start_ms, "end_ms": end_ms, "match": match, "limit": limit}
            }
            with self._working(order) as worker:
                try:
                    for message in worker.messages(float(self._config.deadline) + START_S):
                        if "ranking" in message:
                            found: dict[str, Any] = message["ranking"]
                            return found
                        if "wrong" in message:
                            bad = message["wrong"] == QueryInvalid.kind
                            raise (QueryInvalid if bad else QueryFailed)(message["why"])
                except WorkerLate:
                    raise WorkerFailed("it took longer than [plugins.analytics] deadline") from None
                except WorkerStopped:
                    raise WorkerFailed("the monitor stops") from None
        raise WorkerFailed("its process told nothing")

    @contextlib.contextmanager
    def _waited(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=WAIT_S):
            raise Busy("another look at the data is under way; ask again in a minute")
        try:
            yield
        finally:
            self._turn.release()

    # --- running --------------------------------------------------------------------------------

    def _running(self) -> PerformanceMonitor:
        if self._monitor is None:
            raise NoAgent("the agent was not started")
        return self._monitor

    def _elsewhere(self, plugin: str) -> bool:
        """Whether a plugin's analysers can run in another process."""
        monitor = self._running()
        if not (self._config.process and monitor.store_is_configured):
            return False
        return plugin in _installed(monitor)

    def _run(
        self, tasks: Sequence[Task], niceness: int, queries: Sequence[str] = ()
    ) -> list[Outcome]:
        outcomes: list[Outcome] = []
        away = [task for task in tasks if self._elsewhere(task.plugin)]
        while away and not self._stopping.is_set():
            done = self._run_away(away, niceness, queries)
            outcomes += done
            ended = {one.analyser for one in done}
            away = [task for task in away if task.analyser.name not in ended]
            if not done:
                break
        here = [task for task in tasks if not self._elsewhere(task.plugin)]
        outcomes += self._run_here(here, queries, paced=niceness == NICE)
        return outcomes

    @contextlib.contextmanager
    def _working(self, order: dict[str, Any]) -> Iterator[Worker]:
        with Worker(order, self._stopping.is_set) as worker:
            self._worker = worker
            try:
                yield worker
            finally:
                self._worker = None

    def _run_away(
        self, tasks: Sequence[Task], niceness: int, queries: Sequence[str]
    ) -> list[Outcome]:  # fmt: skip
        """Outcomes from one process, up to the first task that ended it."""
        out: list[Outcome] = []
        now_with = tasks[0].analyser.name
        error = ""
        deadline_s = float(self._config.deadline)
        began = time.monotonic()
        try:
            with self._working(self._order(tasks, niceness, queries)) as worker:
                for message in worker.messages(deadline_s + START_S):
                    if "begins" in message:
                        now_with, began = message["begins"], time.monotonic()
                    elif "outcome" in message:
                        out.append(outcome_from(message["outcome"]))
                    elif "memory_bytes" in message:
                        self._running().meter.gauge(
                            "barograph_analytics_memory_bytes",
                            "The most memory that the newest process had", "bytes",
                        ).set(message["memory_bytes"])  # fmt: skip
        except WorkerStopped:
            return out
        except WorkerLate:
            error = f"it took longer than {deadline_s:g} s and was ended"
        except WorkerFailed as failure:
            error = str(failure)
        if error:
            seconds = time.monotonic() - began
            out.append(Outcome(now_with, seconds=seconds, complete=False, error=error))
        return out

    def _run_here(
        self, tasks: Sequence[Task], queries: Sequence[str], *, paced: bool
    ) -> list[Outcome]:  # fmt: skip
        if not tasks:
            return []
        monitor = self._running()
        own = analysers_of(monitor.plugins, queries, "all") if queries else {}
        out = []
        for task in tasks:
            if self._stopping.is_set():
                break
            stopped = Pace(self._stopping) if paced else self._stopping.is_set
            data = monitor.inquiry(float(self._config.deadline), stopped)
            analyser = own.get((task.plugin, task.analyser.name), task.analyser)
            out.append(run(analyser, data, task.start_ms, task.end_ms, self._config.max_findings))
        return out

    def _order(
        self, tasks: Sequence[Task], niceness: int, queries: Sequence[str] = ()
    ) -> dict[str, Any]:  # fmt: skip
        monitor, config = self._running(), self._config
        return {
            "config": config_tables(monitor.config, _installed(monitor), {self.name: config}),
            "tasks": [
                {"plugin": task.plugin, "analyser": task.analyser.name,
                 "start_ms": task.start_ms, "end_ms": task.end_ms}
                for task in tasks
            ],
            "watch": list(queries), "correlate": "all" if queries else None,
            "seconds": float(config.deadline), "most": config.max_findings,
            "niceness": niceness, "memory": int(config.memory),
        }  # fmt: skip


def agent_of(monitor: PerformanceMonitor) -> AnalyticsAgent:
    """The agent that runs in a monitor. Raises NoAgent."""
    found = _agents.get(id(monitor))
    if found is None:
        raise NoAgent("the monitor has no agent: it stops, or the plugin did not start")
    return found


def _installed(monitor: PerformanceMonitor) -> set[str]:
    """Plugins that another process finds by their entry points."""
    return {info.name for info in monitor.plugins.discover() if info.dist and not info.error}
