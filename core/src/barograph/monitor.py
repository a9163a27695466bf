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
from barograph.contracts import Problem, Route, Store, StoreError, Widget
from barograph.health import Check, Health
from barograph.model import MetricKind, Sample
from barograph.plugins import PluginManager
from barograph.selfmetrics import Meter, SelfSource

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    ``async with`` works too. All work is done in threads of its own.
    """

    def __init__(
        self, config: Config | None = None, *, plugins: PluginManager | None = None,
        clock: Clock | None = None, store: Store | None = None,
    ) -> None:  # fmt: skip
        self.config = config or Config()
        self.plugins = plugins or PluginManager()
        self.clock: Clock = clock or SystemClock()
        self.state = State.NEW
        self.meter = Meter()
        self.started_at = 0.0
        self._given_store = store
        self._own_problems: list[Problem] = []
        self._lifecycles: list[Any] = []
        self._widgets: list[tuple[str, Widget]] = []
        self._stop = threading.Event()

    # --- lifecycle ------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the store and begin to collect. Raises StoreError; the state is then ``failed``."""
        if self.state not in (State.NEW, State.STOPPED):
            raise RuntimeError(
                f"the monitor is {self.state}; it can start when it is new or stopped"
            )
        self.state = State.STARTING
        try:
            self._start()
        except BaseException:
            self.state = State.FAILED
            raise
        self.state = State.RUNNING

    def _start(self) -> None:
        from barograph.aggregator import DataAggregator
        from barograph.collector import MetricsCollector
        from barograph.live import Latest
        from barograph.writer import Writer

        self._stop.clear()
        config = self.config
        self.plugins.load(config)
        self.store = self._given_store or self._pick_store()
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
            )  # fmt: skip
            self.collector = MetricsCollector(
                self.writer.offer, self.store.intern, self.meter, self.clock,
                ceiling=config.monitor.max_series_per_source, labels=config.monitor.labels,
            )  # fmt: skip
            self.meter.reader(self._store_samples)
            self._lifecycles = [x for _, x in self.plugins.call("barograph_lifecycle")]
            for lifecycle in self._lifecycles:
                lifecycle.start(self)
            self._widgets = self.plugins.call("barograph_widgets")
            self._add_source("barograph", SelfSource(self.meter))
            for plugin, source in self.plugins.call("barograph_metric_sources"):
                self._add_source(plugin, source)
        except BaseException:
            self.store.close()
            raise
        self.writer.start()
        for runner in list(self.collector.runners.values()):
            self.collector.start(runner)
        self.started_at = time.time()

    def _add_source(self, plugin: str, source: Any) -> Any:
        try:
            if getattr(source, "interval_s", None) is None:
                source.interval_s = self.config.monitor.interval_s
            return self.collector.add(plugin, source)
        except (ValueError, AttributeError, TypeError) as error:
            remedy = "the plugin's author can test it with barograph.testing.check_metric_source"
            self._own_problems.append(Problem(str(error), f"plugin {plugin}", remedy))
            return None

    def _pick_store(self) -> Store:
        wanted = self.config.storage.store
        found = self.plugins.call("barograph_stores", data_dir=self.config.monitor.directory)
        for _, store in found:
            if store.name == wanted:
                return store  # type: ignore[no-any-return]
        names = ", ".join(sorted(s.name for _, s in found)) or "none"
        why = "; ".join(f"{p.where}: {p.what}" for p in self.plugins.problems)
        raise StoreError(
            f'no store is named "{wanted}"; installed: {names}' + (f" ({why})" if why else "")
        )

    def stop(self) -> None:
        """Stop within ``shutdown_deadline``: sources, then the queue, then the store."""
        if self.state is not State.RUNNING:
            return
        self.state = State.STOPPING
        deadline = float(self.config.monitor.shutdown_deadline)
        self.collector.stop(deadline / 4)
        for lifecycle in reversed(self._lifecycles):
            try:
                lifecycle.stop(deadline / 4)
            except Exception as error:  # noqa: BLE001 — a stranger's code; told
                self._own_problems.append(Problem(f"stopping failed: {error}", lifecycle.name))
        self.writer.stop(deadline / 2)
        self.store.close()
        self.state = State.STOPPED
        self._stop.set()

    def __enter__(self) -> PerformanceMonitor:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.stop()

    async def __aenter__(self) -> PerformanceMonitor:
        import asyncio

        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *error: object) -> None:
        import asyncio

        await asyncio.to_thread(self.stop)

    def install_signals(self, on_reload: Callable[[], None] | None = None) -> None:
        """SIGTERM and SIGINT end ``wait``; SIGHUP calls ``on_reload``. Main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        if on_reload is not None and hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: on_reload())

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until a signal (or ``stop``) asks for the end."""
        return self._stop.wait(seconds)

    def reload(self, config: Config) -> list[str]:
        """Take over what can change while running; sentences about what cannot.

        Sources of plugins whose options changed start anew; all others miss no tick.
        """
        told: list[str] = []
        for section, key in (("monitor", "data_dir"), ("monitor", "queue_batches"),
                             ("monitor", "labels"), ("storage", "store"), ("rollup", "levels"),
                             ("server", "host"), ("server", "port"), ("server", "no_auth")):  # fmt: skip
            old = getattr(getattr(self.config, section), key)
            new = getattr(getattr(config, section), key)
            if old != new:
                told.append(f"[{section}] {key} changes from {old} to {new} with the next start")
        before = {name: (s.enabled, s.options) for name, s in self.config.plugins.items()}
        after = {name: (s.enabled, s.options) for name, s in config.plugins.items()}
        changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
        if self.config.monitor.interval != config.monitor.interval:
            changed |= {
                r.plugin for r in self.collector.runners.values() if r.plugin != "barograph"
            }
        self.config = config
        self.plugins.load(config)
        for name, runner in list(self.collector.runners.items()):
            if runner.plugin in changed:
                self.collector.remove(name)
        for plugin, source in self.plugins.call("barograph_metric_sources"):
            if plugin in changed:
                runner = self._add_source(plugin, source)
                if runner is not None:
                    self.collector.start(runner)
        self._widgets = self.plugins.call("barograph_widgets")
        told += [f"plugin {name}: options taken over" for name in sorted(changed)]
        return told or ["nothing has changed"]

    # --- what can be asked ------------------------------------------------------------------------

    @property
    def problems(self) -> list[Problem]:
        """Everything that a person should know."""
        out = [*self.plugins.problems, *self._own_problems, *getattr(self.store, "problems", [])]
        if self.writer.problem is not None:
            out.append(self.writer.problem)
        for runner in list(self.collector.runners.values()):
            if runner.state in ("failing", "hung"):
                out.append(
                    Problem(
                        runner.last_error,
                        f"source {runner.name}",
                        "it is asked less often until it works again",
                        "warning",
                    )  # fmt: skip
                )
        return out

    def health(self) -> Health:
        """For /healthz, /readyz and ``barograph status``."""
        if self.state is not State.RUNNING:
            return Health(False, False, [Check("monitor", False, str(self.state))])
        thread = self.writer.thread
        live = thread is not None and thread.is_alive()
        age = (self.clock.now_ms() - self.writer.last_stored_ms) / 1000
        limit = max(READY_S, 3 * self.config.monitor.interval_s)
        flowing = self.writer.last_stored_ms > 0 and age < limit
        detail = f"last stored {age:.1f} s ago" if self.writer.last_stored_ms else "none stored yet"
        problem = self.writer.problem
        checks = [
            Check("writer", live, "running" if live else "the writer's thread has ended"),
            Check("samples", flowing, detail),
            Check("store", problem is None, problem.what if problem else "accepts samples"),
        ]
        return Health(live, live and flowing and problem is None, checks)

    def widgets(self) -> list[tuple[str, Widget]]:
        """(plugin, widget), by section and order as the page shows them."""
        return sorted(self._widgets, key=lambda pair: pair[1].spec().order)

    def routes(self) -> list[tuple[str, Route]]:
        return self.plugins.call("barograph_routes")

    def range(self, query: RangeQuery, start_ms: int, end_ms: int, points: int) -> RangeResult:
        """Data of a chart. Raises ValueError for a bad query."""
        from barograph.range import evaluate_range

        return evaluate_range(self.store, self.aggregator, query, start_ms, end_ms, points)

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback(now_ms)`` after each commit (in the writer's thread: be quick)."""
        return self.writer.subscribe(callback)

    def _store_samples(self) -> Iterable[Sample]:
        stats = self.store.stats()
        for name, value, unit, text in (
            ("barograph_store_disk_bytes", stats.bytes_on_disk, "bytes", "Size of the store"),
            ("barograph_store_samples", stats.samples, "", "Samples in the store"),
            ("barograph_store_series", stats.series, "", "Series in the store"),
            ("barograph_store_chunks", stats.chunks, "", "Sealed chunks in the store"),
            ("barograph_store_head_samples", stats.head_samples, "", "Samples not sealed yet"),
            ("barograph_store_log_bytes", stats.log_bytes, "bytes", "Size of the write-ahead log"),
        ):
            yield Sample(name, float(value), {}, MetricKind.GAUGE, unit, text)
        damaged = stats.extra.get("damaged_records", 0)
        yield Sample("barograph_store_damaged_total", float(damaged), {}, MetricKind.COUNTER, "",
                     "Damaged records met while reading")  # fmt: skip
