"""PerformanceMonitor: the lifecycle of everything, in any Python program."""

from __future__ import annotations

import enum
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from barograph.clock import Clock, SystemClock
from barograph.config import Config
from barograph.contracts import Problem, Records, Route, Store, StoreError, Widget, WidgetSpec
from barograph.health import Check, Health
from barograph.lifecycles import Lifecycles
from barograph.loops import forget_loop, running_loop, watch_loop
from barograph.plugins import PluginManager
from barograph.reloading import changed_plugins, plugin_sentences, with_next_start
from barograph.selfmetrics import Meter, SelfSource, store_samples
from barograph.widgets import section_rank

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barograph.collector import MetricsCollector, Runner
    from barograph.findings import FindingBook
    from barograph.inquiry import Inquiry
    from barograph.model import Batch, Sample
    from barograph.query import RangeQuery
    from barograph.range import RangeResult

READY_S = 10.0
"""Samples must have been stored within so many seconds (or three intervals)."""


class State(enum.StrEnum):
    """Where a monitor is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


class PerformanceMonitor:
    """Collects, stores and rolls up until it is stopped.

    ``with PerformanceMonitor(): ...`` watches the host and this process with the defaults;
    ``async with`` works too. All work is done in threads of its own. Methods may be called from
    any thread. ``own_process``: nothing else runs in this process, so its memory may be tidied.
    """

    store: Store
    collector: MetricsCollector
    findings: FindingBook

    def __init__(
        self, config: Config | None = None, *, plugins: PluginManager | None = None,
        clock: Clock | None = None, store: Store | None = None, own_process: bool = False,
    ) -> None:  # fmt: skip
        self.config = config or Config()
        self.plugins = plugins or PluginManager()
        self.clock: Clock = clock or SystemClock()
        self.state = State.NEW
        self.meter = Meter()
        self.started_at = 0.0
        self._given_store, self._own_process = store, own_process
        self._own_problems: list[Problem] = []
        self._lifecycles = Lifecycles()
        self._widgets: list[tuple[str, Widget]] = []
        self._stop = threading.Event()
        self._changing = threading.RLock()

    # --- lifecycle ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the store and begin to collect. Raises StoreError; the state is then ``failed``."""
        with self._changing:
            if self.state not in (State.NEW, State.STOPPED, State.FAILED):
                raise RuntimeError(
                    f"the monitor is {self.state}; it can start when it is new, stopped or failed"
                )
            self.state = State.STARTING
            self._own_problems.clear()
            try:
                self._start()
            except BaseException:
                self.state = State.FAILED
                raise
            self.state = State.RUNNING
        loop = running_loop()
        if loop is not None:
            watch_loop(loop)

    def _start(self) -> None:
        from barograph.aggregator import DataAggregator
        from barograph.collector import MetricsCollector
        from barograph.findings import FindingBook
        from barograph.live import Latest
        from barograph.stores import find_store
        from barograph.writer import Writer

        self._stop.clear()
        config = self.config
        self.plugins.load(config)
        self.store = self._given_store or find_store(config, self.plugins)
        self.store.open()
        try:
            folds = [a for _, a in self.plugins.call("barograph_aggregators")]
            wanted = config.rollup.aggregator
            fold = next((a for a in folds if a.name == wanted), None)
            if fold is None:
                names = ", ".join(sorted(a.name for a in folds)) or "none"
                raise StoreError(f'no aggregator is named "{wanted}"; installed: {names}')
            self.aggregator = DataAggregator(self.store, fold, config.rollup.levels_ms)
            self.latest = Latest()
            self.writer = Writer(
                self.store, self.aggregator, self.latest, self.meter, self.clock,
                config.monitor.queue_batches, lambda: self.collector.watch(),
                own_process=self._own_process,
            )  # fmt: skip
            self.collector = MetricsCollector(
                self.writer.offer, self.store.intern, self.meter, self.clock,
                ceiling=config.monitor.max_series_per_source, labels=config.monitor.labels,
            )  # fmt: skip
            self.meter.reader(self._store_samples)
            records = self.store if isinstance(self.store, Records) else None
            self.findings = FindingBook(records, self.clock, self.meter)
            self.meter.reader(self.findings.samples)
            self._tell(self._lifecycles.start(self.plugins.call("barograph_lifecycle"), self))
            self._widgets = self.plugins.call("barograph_widgets")
            self._add_source("barograph", SelfSource(self.meter))
            for plugin, source in self.plugins.call("barograph_metric_sources"):
                self._add_source(plugin, source)
            self.writer.start()
            for runner in list(self.collector.runners.values()):
                self.collector.start(runner)
        except BaseException:
            self._lifecycles.stop(float(config.monitor.shutdown_deadline) / 2)
            if hasattr(self, "writer"):
                self.writer.stop(0.0)
            self.meter.forget_readers()
            self.store.close()
            raise
        self.started_at = time.time()

    def _tell(self, problems: Iterable[Problem]) -> None:
        self._own_problems += [p for p in problems if p not in self._own_problems]

    def _add_source(self, plugin: str, source: Any) -> Runner | None:
        try:
            return self.collector.add(plugin, source, self.config.monitor.interval_s)
        except (ValueError, AttributeError, TypeError) as error:
            remedy = "the plugin's author can test it with barograph.testing.check_metric_source"
            self._tell([Problem(str(error), f"plugin {plugin}", remedy)])
            return None

    def stop(self) -> None:
        """Stop within ``shutdown_deadline``: sources, then the queue, then the store.

        What hangs is left behind and told in ``problems``. Does nothing unless running.
        """
        deadline = float(self.config.monitor.shutdown_deadline)
        until = time.monotonic() + deadline
        held = self._changing.acquire(timeout=deadline / 8)  # a reload may hang in a plugin
        try:
            if self.state is not State.RUNNING:
                return
            self.state = State.STOPPING
            self.collector.stop(deadline / 4)
            self._tell(self._lifecycles.stop(deadline / 8))
            if not self.writer.stop(max(until - time.monotonic() - deadline / 8, 0.0)):
                lost = f"{self.writer.queued} ticks were not stored before the end"
                self._tell([Problem(lost, "store", "see why the store did not take them")])
            self._close_store(max(until - time.monotonic(), 0.0))
            self.meter.forget_readers()
            self.state = State.STOPPED
            self._stop.set()
        finally:
            if held:
                self._changing.release()

    def _close_store(self, deadline_s: float) -> None:
        told: list[Problem] = []

        def close() -> None:
            try:
                self.store.close()
            except Exception as error:  # noqa: BLE001 — a store of any plugin; told
                told.append(Problem(f"closing failed: {error}", "store"))

        thread = threading.Thread(target=close, name="barograph-close", daemon=True)
        thread.start()
        thread.join(deadline_s)
        if thread.is_alive():
            told.append(Problem("closing takes longer than the shutdown deadline", "store"))
        self._tell(told)

    def __enter__(self) -> PerformanceMonitor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()
        loop = running_loop()
        if loop is not None:
            forget_loop(loop)

    async def __aenter__(self) -> PerformanceMonitor:
        import asyncio

        await asyncio.to_thread(self.start)
        watch_loop(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *error: object) -> None:
        import asyncio

        forget_loop(asyncio.get_running_loop())
        await asyncio.to_thread(self.stop)

    def install_signals(
        self, on_reload: Callable[[], None] | None = None
    ) -> Callable[[], None]:  # fmt: skip
        """SIGTERM and SIGINT end ``wait``; SIGHUP calls ``on_reload``. Main thread only.

        Gives a function that puts the handlers of before back.
        """
        before: dict[int, Any] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, lambda *_: self._stop.set())
        if on_reload is not None and hasattr(signal, "SIGHUP"):
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: on_reload())

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until a signal (or ``stop``) asks for the end."""
        return self._stop.wait(seconds)

    def reload(self, config: Config) -> list[str]:
        """Take over what can change while running; sentences about what changed, and what cannot.

        Sources of plugins whose options changed start anew; all others miss no tick. A plugin
        that fails with its new options goes on with its old ones.
        """
        with self._changing:
            if self.state is not State.RUNNING:
                raise RuntimeError(f"the monitor is {self.state}; only a running one reloads")
            old = self.config
            told = with_next_start(old, config)
            changed = changed_plugins(old, config)
            runners = self.collector.runners
            paced: set[str] = set()
            if old.monitor.interval != config.monitor.interval:
                paced = {n for n, r in runners.items() if r.inherits_interval}
                told.append(f"[monitor] interval: {len(paced)} sources have it and take it over")
            self.config = config
            self.plugins.load(config)
            owners = {runners[name].plugin for name in paced}
            found = self.plugins.call("barograph_metric_sources", only=changed | owners)
            self._replace_sources(found, changed, paced)
            self._widgets = self.plugins.call("barograph_widgets")
            infos = {info.name: info for info in self.plugins.discover()}
            for name in sorted(changed & set(infos)):
                before = old.plugins.get(name)
                told += plugin_sentences(infos[name], before is None or before.enabled)
            return told or ["nothing has changed"]

    def _replace_sources(
        self, found: list[tuple[str, Any]], changed: set[str], paced: set[str]
    ) -> None:
        """Put ``found`` in the place of the sources of ``changed`` plugins, and of ``paced``."""
        told = {f"plugin {name}" for name in changed}
        self._own_problems = [p for p in self._own_problems if p.where not in told]
        failed = {info.name for info in self.plugins.discover() if info.error and info.enabled}
        gone: dict[str, Runner] = {}
        for name, runner in list(self.collector.runners.items()):
            if runner.plugin not in failed and (runner.plugin in changed or name in paced):
                self.collector.remove(name)
                gone[name] = runner
        for plugin, source in found:
            if plugin in changed or getattr(source, "name", "") in paced:
                new = self._add_source(plugin, source)
                if new is not None:
                    before = gone.pop(new.name, None)
                    if before is not None:
                        new.intake.adopt(before.intake)
                    self.collector.start(new)
        for runner in gone.values():
            self.collector.end(runner)

    # --- what can be asked ------------------------------------------------------------------------

    @property
    def problems(self) -> list[Problem]:
        """Everything that a person should know."""
        out = [*self.plugins.problems, *self._own_problems]
        if self.state in (State.NEW, State.STARTING, State.FAILED):
            return out
        out += [*getattr(self.store, "problems", []), *self._lifecycles.problems]
        told = (self.writer.problem, self.writer.housekeeping_problem, self.findings.problem)
        out += [problem for problem in told if problem]
        for runner in list(self.collector.runners.values()):
            where = f"source {runner.name}"
            if runner.state in ("failing", "hung"):
                remedy = "it is asked less often until it works again"
                out.append(Problem(runner.last_error, where, remedy, "warning"))
            elif runner.intake.complaint:
                remedy = "what it measures is not complete; see the reason"
                out.append(Problem(runner.intake.complaint, where, remedy, "warning"))
        return out

    def health(self) -> Health:
        """For /healthz, /readyz and ``barograph status``."""
        if self.state is not State.RUNNING:
            return Health(False, False, [Check("monitor", False, str(self.state))])
        thread = self.writer.thread
        live = thread is not None and thread.is_alive()
        age = self.writer.stored_age_s
        flowing = age is not None and age < max(READY_S, 3 * self.config.monitor.interval_s)
        detail = "none stored yet" if age is None else f"last stored {age:.1f} s ago"
        problem = self.writer.problem
        checks = [
            Check("writer", live, "running" if live else "the writer's thread has ended"),
            Check("samples", flowing, detail),
            Check("store", problem is None, problem.what if problem else "accepts samples"),
        ]
        return Health(live, live and flowing and problem is None, checks)

    def widgets(self) -> list[tuple[str, Widget]]:
        """(plugin, widget), by section and order as the page shows them.

        A widget that cannot describe itself is left out, and told.
        """
        found: list[tuple[tuple[Any, ...], str, Widget]] = []
        for plugin, widget in self._widgets:
            try:
                spec = widget.spec()
                if not isinstance(spec, WidgetSpec):
                    raise TypeError(f"spec() gave {type(spec).__name__}")
                place = (section_rank(spec.section), spec.section, spec.order, spec.title)
            except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
                what = f"a widget cannot be shown: {type(error).__name__}: {error}"
                self._tell([Problem(what, f"plugin {plugin}", "update the plugin", "warning")])
            else:
                found.append((place, plugin, widget))
        found.sort(key=lambda one: one[0])
        return [(plugin, widget) for _, plugin, widget in found]

    @property
    def store_is_configured(self) -> bool:
        """Whether the configuration tells another process how to open the same store."""
        return self._given_store is None

    def routes(self) -> list[tuple[str, Route]]:
        return self.plugins.call("barograph_routes")

    def inquiry(
        self, seconds: float | None = None, stopped: Callable[[], bool] | None = None
    ) -> Inquiry:
        """Questions to what is stored, for one analysis; see ``barograph.inquiry``.

        Raises QueryFailed if no query engine runs.
        """
        from barograph import inquiry
        from barograph.engines import find_engine

        return inquiry.Inquiry(
            self.store, find_engine(self.plugins), stopped=stopped, clock=self.clock,
            book=self.findings,
            seconds=inquiry.SECONDS if seconds is None else seconds,
        )  # fmt: skip

    def range(self, query: RangeQuery, start_ms: int, end_ms: int, points: int) -> RangeResult:
        """Data of a chart. Raises ValueError for a bad query."""
        from barograph.range import evaluate_range

        return evaluate_range(self.store, self.aggregator, query, start_ms, end_ms, points)

    def on_stored(self, callback: Callable[[list[Batch]], None]) -> Callable[[], None]:
        """Call ``callback(batches)`` with all samples once they are stored; gives the way to end.

        It runs in the thread that stored them: be quick, and write to no array.
        """
        return self.writer.on_stored(callback)

    def offer(self, batches: list[Batch]) -> None:
        """Queue samples for the next commit; refs are the store's. A full queue drops the oldest.

        For those who do not wait: samples of a plugin's own threads.
        """
        self.writer.offer(batches)

    def ingest(self, batches: list[Batch]) -> None:
        """Store samples that come with times of their own; refs are the store's.

        They survive ``kill -9`` from the moment this returns. Raises StoreError.
        """
        if self.state is not State.RUNNING:
            raise StoreError(f"the monitor is {self.state}; only a running one takes samples")
        self.writer.write_now(batches)

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback(now_ms)`` after each commit (in the writer's thread: be quick)."""
        return self.writer.subscribe(callback)

    def _store_samples(self) -> Iterable[Sample]:
        return store_samples(self.store.stats())
