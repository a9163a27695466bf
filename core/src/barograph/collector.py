"""MetricsCollector: every source in a thread of its own, on aligned ticks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from barograph.clock import Clock
from barograph.contracts import ColumnarSource, MetricSource
from barograph.model import Batch
from barograph.selfmetrics import Cell, Meter
from barograph.sources import Intake, Intern

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BACKOFF_S = 60.0
MAX_DEADLINE_S = 10.0

Source = MetricSource | ColumnarSource
Offer = Callable[[list[Batch]], None]


@attrs.define(eq=False)
class Runner:
    """One source at work. ``state``: waiting, collecting, failing, hung or stopped."""

    plugin: str
    source: Source
    intake: Intake
    state: str = "waiting"
    last_ms: int = 0
    duration_s: float = 0.0
    errors: int = 0
    failures: int = 0
    last_error: str = ""
    busy_since: float | None = None
    stop: threading.Event = attrs.field(factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def deadline_s(self) -> float:
        return min(max(self.source.interval_s, 1.0), MAX_DEADLINE_S)


class MetricsCollector:
    """Collects sources and offers their batches to ``offer``.

    Ticks fall on whole multiples of a source's interval since the epoch; a tick that comes too
    late is left out and counted. A source that raises is asked less and less often (up to a
    minute apart); one that hangs delays nobody, and what it gives after its deadline is dropped.
    """

    def __init__(
        self, offer: Offer, intern: Intern, meter: Meter, clock: Clock, *,
        ceiling: int = 20_000, labels: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._offer, self._intern, self._meter, self._clock = offer, intern, meter, clock
        self._ceiling, self._labels = ceiling, labels or {}
        self.runners: dict[str, Runner] = {}

    def add(self, plugin: str, source: Source) -> Runner:
        """Make a source known. Raises ValueError for a name that is taken."""
        if source.name in self.runners:
            raise ValueError(f"two sources are named {source.name!r}")
        if not source.interval_s > 0:
            raise ValueError(f"source {source.name!r} has interval {source.interval_s!r}")
        intake = Intake(source.name, self._intern, self._meter, self._ceiling, self._labels)
        runner = Runner(plugin, source, intake)
        self.runners[source.name] = runner
        return runner

    def start(self, runner: Runner) -> None:
        runner.thread = threading.Thread(
            target=self._run, args=(runner,), name=f"barograph-{runner.name}", daemon=True
        )
        runner.thread.start()

    def remove(self, name: str) -> None:
        """Stop one source; a tick under way is dropped."""
        runner = self.runners.pop(name, None)
        if runner is not None:
            runner.stop.set()

    def stop(self, deadline_s: float) -> None:
        """Stop all sources; those that hang are left behind (their threads are daemons)."""
        for runner in self.runners.values():
            runner.stop.set()
        until = self._clock.monotonic() + deadline_s
        for runner in self.runners.values():
            if runner.thread is not None:
                runner.thread.join(max(0.0, until - self._clock.monotonic()))

    def tick(self, runner: Runner, now_ms: int) -> bool:
        """Collect one tick in this thread; whether it went well."""
        started = self._clock.monotonic()
        runner.busy_since, runner.state = started, "collecting"
        try:
            batches = self._collect(runner, now_ms)
            failed = ""
        except Exception as error:  # noqa: BLE001 — a stranger's code; counted and shown
            batches, failed = [], f"{type(error).__name__}: {error}"
        took = self._clock.monotonic() - started
        runner.busy_since, runner.duration_s = None, took
        self._cell("duration", runner).set(took)
        if took > runner.deadline_s and not failed:
            failed = f"took {took:.1f} s, its deadline is {runner.deadline_s:g} s"
            batches = []
            if runner.state != "hung":
                self._cell("timeouts", runner).add()
        if failed:
            runner.errors += 1
            runner.failures += 1
            runner.last_error, runner.state = failed, "failing"
            self._cell("errors", runner).add()
            return False
        runner.failures, runner.state, runner.last_ms = 0, "waiting", now_ms
        self._cell("series", runner).set(runner.intake.series)
        if batches and not runner.stop.is_set():
            self._offer(batches)
        return True

    def _collect(self, runner: Runner, now_ms: int) -> list[Batch]:
        source = runner.source
        if isinstance(source, ColumnarSource):
            return runner.intake.vector(source, now_ms)
        found: Iterable[object] = source.collect(now_ms)
        return runner.intake.samples(found, now_ms)  # type: ignore[arg-type]

    def watch(self) -> None:
        """Notice sources that hang; called about once a second."""
        now = self._clock.monotonic()
        for runner in list(self.runners.values()):
            since = runner.busy_since
            if since is not None and now - since > runner.deadline_s and runner.state != "hung":
                runner.state = "hung"
                runner.last_error = f"has not come back for {now - since:.1f} s"
                self._cell("timeouts", runner).add()

    def _run(self, runner: Runner) -> None:
        clock = self._clock
        step = max(1, round(runner.source.interval_s * 1000))
        due = clock.now_ms() // step * step  # the first tick at once
        while not runner.stop.is_set():
            now = clock.now_ms()
            if now < due - 2 * step:
                due = now // step * step  # the clock was set back: go on from there
                self._cell("clock_jumps", runner).add()
            if now < due:
                if clock.wait(runner.stop, (due - now) / 1000):
                    break
                continue
            if now - due >= step:
                missed = (now - due) // step
                if runner.last_ms:
                    self._cell("missed", runner).add(missed)
                due = now // step * step
            elif runner.last_ms:
                self._cell("lateness", runner).set((now - due) / 1000)
            if not self.tick(runner, due):
                pause = min(runner.source.interval_s * 2 ** min(runner.failures, 10), MAX_BACKOFF_S)
                due += max(step, round(pause * 1000) // step * step)
            else:
                due += step
        runner.state = "stopped"

    _HELP = {
        "duration": ("gauge", "barograph_source_duration_seconds", "Time of the last collection"),
        "lateness": ("gauge", "barograph_source_lateness_seconds", "How late the last tick began"),
        "series": ("gauge", "barograph_source_series", "Series of the last tick"),
        "errors": ("counter", "barograph_source_errors_total", "Ticks that failed"),
        "timeouts": ("counter", "barograph_source_timeouts_total", "Ticks over their deadline"),
        "missed": ("counter", "barograph_source_missed_ticks_total", "Ticks left out"),
        "clock_jumps": ("counter", "barograph_clock_jumps_total", "Times the clock was set back"),
    }

    def _cell(self, what: str, runner: Runner) -> Cell:
        kind, name, text = self._HELP[what]
        unit = "seconds" if name.endswith("_seconds") else ""
        make = self._meter.counter if kind == "counter" else self._meter.gauge
        return make(name, text, unit, source=runner.name)
