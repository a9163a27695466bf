"""Numbers that CPython keeps, or that cost next to nothing to keep."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from barograph.loops import watched_loops
from barograph.model import MetricKind, Sample

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

LAG_EVERY_S = 0.5
"""How often a loop's timer is measured."""

GENERATIONS = 3


class GcWatch:
    """Seconds that the garbage collector took, by generation, since ``start``."""

    def __init__(self) -> None:
        self.pauses = [0.0] * GENERATIONS
        self._began = 0.0

    def start(self) -> None:
        """Begin to measure; once is enough."""
        if self._on_gc not in gc.callbacks:
            gc.callbacks.append(self._on_gc)

    def stop(self) -> None:
        if self._on_gc in gc.callbacks:
            gc.callbacks.remove(self._on_gc)

    def _on_gc(self, phase: str, info: Mapping[str, Any]) -> None:
        # One collection runs at a time, and not within another.
        if phase == "start":
            self._began = time.perf_counter()
        elif self._began:
            self.pauses[info["generation"]] += time.perf_counter() - self._began
            self._began = 0.0


GC = GcWatch()
"""The process has one collector, so there is one watch, however often sources are made."""


class LoopWatch:
    """How late an event loop runs its timers; all but ``lag`` runs in the loop's thread."""

    def __init__(self, loop: AbstractEventLoop, name: str) -> None:
        self.loop, self.name = loop, name
        self.stopped = False
        self._due: float | None = None
        self._worst = 0.0

    def begin(self) -> None:
        """Let the measuring begin, from any thread. Raises RuntimeError if the loop is closed."""
        self._due = self.loop.time() + LAG_EVERY_S
        self.loop.call_soon_threadsafe(self._next)

    def _next(self) -> None:
        self._due = self.loop.time() + LAG_EVERY_S
        self.loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._due is not None
        self._worst = max(self._worst, self.loop.time() - self._due)
        if not self.stopped:
            self._next()

    def lag(self) -> float:
        """The greatest delay since the last call, that of a timer still overdue too; seconds."""
        overdue = 0.0 if self._due is None else self.loop.time() - self._due
        worst, self._worst = max(self._worst, overdue, 0.0), 0.0
        return worst


class RuntimeSource:
    """GC pauses and counts, blocks, threads, event-loop lag."""

    name = "runtime"

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._loops: dict[str, LoopWatch] = {}
        weakref.finalize(self, _stop_all, self._loops)

    def collect(self, now_ms: int) -> Iterable[Sample]:
        counter, gauge = MetricKind.COUNTER, MetricKind.GAUGE
        GC.start()
        for generation, stats in enumerate(gc.get_stats()):
            labels = {"generation": str(generation)}
            yield Sample("cpython_gc_pause_seconds_total", GC.pauses[generation], labels, counter,
                         "seconds", "Time spent collecting garbage")  # fmt: skip
            yield Sample("cpython_gc_collections_total", stats["collections"], labels, counter, "",
                         "Garbage collections")  # fmt: skip
            yield Sample("cpython_gc_collected_objects_total", stats["collected"], labels, counter,
                         "", "Objects that the collector freed")  # fmt: skip
            yield Sample("cpython_gc_uncollectable_objects_total", stats["uncollectable"], labels,
                         counter, "", "Objects that the collector could not free")  # fmt: skip
        yield Sample("python_threads", threading.active_count(), {}, gauge, "", "Python threads")
        yield Sample("python_allocated_blocks", sys.getallocatedblocks(), {}, gauge, "",
                     "Memory blocks in use by Python")  # fmt: skip
        yield from self._lags()

    def _lags(self) -> Iterator[Sample]:
        alive = watched_loops()
        for name, watch in list(self._loops.items()):
            if alive.get(name) is not watch.loop:
                watch.stopped = True
                del self._loops[name]
        for name, loop in alive.items():
            if name in self._loops or not loop.is_running():
                continue
            watch = LoopWatch(loop, name)
            try:
                watch.begin()
            except RuntimeError:
                continue  # it was closed a moment ago
            self._loops[name] = watch
        for name, watch in self._loops.items():
            if watch.loop.is_running():
                yield Sample("python_event_loop_lag_seconds", watch.lag(), {"loop": name},
                             MetricKind.GAUGE, "seconds",
                             "Greatest delay of a timer since the last sample")  # fmt: skip


def _stop_all(loops: dict[str, LoopWatch]) -> None:
    for watch in loops.values():
        watch.stopped = True
