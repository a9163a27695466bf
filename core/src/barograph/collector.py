"""MetricsCollector: every source in a thread of its own, on aligned ticks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from barograph.clock import Clock
from barograph.contracts import ColumnarSource, MetricSource
from barograph.model import Batch
from barograph.selfmetrics import Cell, Meter
from barograph.sources import Intake, Intern

MIN_INTERVAL_S, MAX_INTERVAL_S = 0.01, 7 * 86400.0

MAX_BACKOFF_S = 60.0
MAX_DEADLINE_S = 10.0

JUMP_MS = 1500
"""Difference between the wall clock's way and the monotonic clock's that counts as a jump."""

_HELP = {
    "duration": ("gauge", "barograph_source_duration_seconds", "Time of the last collection"),
    "lateness": ("gauge", "barograph_source_lateness_seconds", "How late the last tick began"),
    "series": ("gauge", "barograph_source_series", "Series of the last tick"),
    "errors": ("counter", "barograph_source_errors_total", "Ticks that failed"),
    "timeouts": ("counter", "barograph_source_timeouts_total", "Ticks over their deadline"),
    "missed": ("counter", "barograph_source_missed_ticks_total", "Ticks left out"),
}

Source = MetricSource | ColumnarSource
Offer = Callable[[list[Batch]], None]


@attrs.define(eq=False)
class Runner:
    """One source at work. ``state``: waiting, collecting, failing, hung or stopped.

    ``last_ms``: its last good tick. ``failures``: bad ticks since then.
    """

    plugin: str
    source: Source
    intake: Intake
    interval_s: float
    inherits_interval: bool = False
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
        """A collection that takes longer is dropped: its interval, at least 1 s, at most 10 s."""
        return min(max(self.interval_s, 1.0), MAX_DEADLINE_S)


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
        self._pace = Pace(clock)
        self.runners: dict[str, Runner] = {}
        self._stopped = False

    def add(self, plugin: str, source: Source, interval_s: float = 1.0) -> Runner:
        """Make a source known; ``interval_s`` is for one that has none of its own.

        Raises ValueError for a name that is taken or not plain, or an interval that cannot be.
        """
        name, own = source.name, source.interval_s
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_.-]+", name):
            raise ValueError(
                f"source name {name!r} is not plain: use small letters, digits, '_', '.' and '-'"
            )
        if name in self.runners:
            raise ValueError(
                f"two sources are named {name!r}: that of plugin {self.runners[name].plugin} runs"
            )
        chosen = interval_s if own is None else own
        if not isinstance(chosen, int | float) or not MIN_INTERVAL_S <= chosen <= MAX_INTERVAL_S:
            raise ValueError(f"source {name!r} has interval {chosen!r}; seconds, 0.01 to a week")
        intake = Intake(name, self._intern, self._meter, self._ceiling, self._labels)
        runner = Runner(plugin, source, intake, float(chosen), own is None)
        self.runners[name] = runner
        return runner

    def start(self, runner: Runner) -> None:
        """Let a source tick in a thread of its own; its first tick comes at once.

        Does nothing once the collector has stopped.
        """
        if self._stopped:
            return
        runner.thread = threading.Thread(
            target=self._run, args=(runner,), name=f"barograph-{runner.name}", daemon=True
        )
        runner.thread.start()

    def remove(self, name: str) -> Runner | None:
        """Stop one source; a tick under way is dropped. It is no longer known when this ends."""
        runner = self.runners.pop(name, None)
        if runner is not None:
            runner.stop.set()
        return runner

    def end(self, runner: Runner) -> None:
        """Tell that a removed source's series have ended, and forget its own metrics."""
        batches = runner.intake.end(self._clock.now_ms())
        if batches:
            self._offer(batches)
        self._meter.forget(source=runner.name)

    def stop(self, deadline_s: float) -> None:
        """Stop all sources; those that hang are left behind (their threads are daemons)."""
        self._stopped = True
        runners = list(self.runners.values())
        for runner in runners:
            runner.stop.set()
        until = time.monotonic() + deadline_s  # threads end in real time
        for runner in runners:
            if runner.thread is not None:
                runner.thread.join(max(0.0, until - time.monotonic()))

    def tick(self, runner: Runner, now_ms: int) -> bool:
        """Collect one tick in this thread; whether it went well."""
        started = self._clock.monotonic()
        runner.busy_since, runner.state = started, "collecting"
        batches: list[Batch] = []
        failed = ""
        try:
            batches = self._collect(runner, now_ms)
        except (Exception, SystemExit) as error:  # noqa: BLE001 — a stranger's; counted and shown
            failed = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        took = self._clock.monotonic() - started
        told, runner.busy_since = runner.state == "hung", None
        runner.duration_s = took
        if runner.stop.is_set():
            return not failed  # removed meanwhile: what it gave is nobody's
        self._cell("duration", runner).set(took)
        if took > runner.deadline_s:
            if not told:
                self._cell("timeouts", runner).add()
            failed = failed or f"took {took:.1f} s; its deadline is {runner.deadline_s:g} s"
        if failed:
            runner.errors += 1
            runner.failures += 1
            runner.last_error, runner.state = failed, "failing"
            self._cell("errors", runner).add()
            return False
        runner.failures, runner.state, runner.last_ms = 0, "waiting", now_ms
        self._cell("series", runner).set(runner.intake.series)
        if batches:
            self._offer(batches)
        runner.intake.accepted()
        return True

    def _collect(self, runner: Runner, now_ms: int) -> list[Batch]:
        source = runner.source
        if isinstance(source, ColumnarSource):
            return runner.intake.vector(source, now_ms)
        found: Iterable[Any] = source.collect(now_ms)
        return runner.intake.samples(found, now_ms)

    def watch(self) -> None:
        """Notice sources that hang, and jumps of the clock; called about once a second."""
        now = self._clock.monotonic()
        for runner in list(self.runners.values()):
            since = runner.busy_since
            if since is not None and now - since > runner.deadline_s:
                if runner.state != "hung":
                    runner.state = "hung"
                    self._cell("timeouts", runner).add()
                runner.last_error = f"has not come back for {now - since:.1f} s"
        slip = self._pace.slip()
        if slip:
            self._meter.counter(
                "barograph_clock_jumps_total",
                "Times the wall clock was set, or the machine slept",
                direction="forward" if slip > 0 else "back",
            ).add()  # fmt: skip

    def _run(self, runner: Runner) -> None:
        clock, pace = self._clock, Pace(self._clock)
        step = max(1, round(runner.interval_s * 1000))
        due = clock.now_ms() // step * step  # the first tick at once
        while not runner.stop.is_set():
            slip, now = pace.slip(), clock.now_ms()
            if slip:
                due = now // step * step  # the clock was set, or the machine slept: go on from here
            if now < due:
                if clock.wait(runner.stop, (due - now) / 1000):
                    break
                continue
            due += self._left_out(runner, (now - due) // step) * step
            if runner.last_ms:
                self._cell("lateness", runner).set((now - due) / 1000)
            if self.tick(runner, due):
                due += step
                continue
            if not pace.slip():
                self._left_out(runner, (clock.now_ms() - due) // step)  # while it collected
            # Ask again after 1, 3, 7, ... intervals, by the clock that nobody sets.
            pause = runner.interval_s * (2.0 ** min(runner.failures, 16) - 1)
            if clock.wait(runner.stop, min(pause, MAX_BACKOFF_S) - runner.interval_s / 2):
                break
            due = (clock.now_ms() // step + 1) * step
        runner.state = "stopped"

    def _left_out(self, runner: Runner, ticks: int) -> int:
        if ticks > 0:
            self._cell("missed", runner).add(ticks)
        return max(ticks, 0)

    def _cell(self, what: str, runner: Runner) -> Cell:
        kind, name, text = _HELP[what]
        unit = "seconds" if name.endswith("_seconds") else ""
        make = self._meter.counter if kind == "counter" else self._meter.gauge
        return make(name, text, unit, source=runner.name)


class Pace:
    """How the wall clock goes against the monotonic one, since it was last asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = self._now()

    def _now(self) -> float:
        for _ in range(3):  # again if this thread was held up between the two clocks
            before = self._clock.monotonic()
            wall = self._clock.now_ms()
            if self._clock.monotonic() - before < 0.05:
                break
        return wall - 1000 * before

    def slip(self) -> float:
        """Ms that the wall clock jumped (back: negative) since the last call; 0: it did not."""
        offset = self._now()
        slipped, self._offset = offset - self._offset, offset
        return slipped if abs(slipped) > JUMP_MS else 0.0
