"""Numbers that CPython keeps, or that cost next to nothing to keep."""

from __future__ import annotations

import gc
import sys
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping
from typing import Any

from barograph.model import MetricKind, Sample

LAG_EVERY_S = 0.5

_lags: dict[str, float] = {}


def watch_loop(loop: AbstractEventLoop, name: str = "main") -> None:
    """Measure how late ``loop`` runs its timers, twice a second."""
    due = loop.time() + LAG_EVERY_S

    def tick() -> None:
        nonlocal due
        _lags[name] = max(_lags.get(name, 0.0), loop.time() - due)
        due = loop.time() + LAG_EVERY_S
        if not loop.is_closed():
            loop.call_at(due, tick)

    loop.call_at(due, tick)


class RuntimeSource:
    """GC pauses and counts, blocks, threads, event-loop lag."""

    name = "runtime"

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._pauses = [0.0, 0.0, 0.0]
        self._started = 0.0
        gc.callbacks.append(self._on_gc)

    def _on_gc(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self._pauses[info["generation"]] += time.perf_counter() - self._started

    def collect(self, now_ms: int) -> Iterable[Sample]:
        counter, gauge = MetricKind.COUNTER, MetricKind.GAUGE
        for generation, stats in enumerate(gc.get_stats()):
            labels = {"generation": str(generation)}
            yield Sample("python_gc_pause_seconds_total", self._pauses[generation], labels, counter,
                         "seconds", "Time spent collecting garbage")  # fmt: skip
            yield Sample("python_gc_collections_total", stats["collections"], labels, counter, "",
                         "Garbage collections")  # fmt: skip
            yield Sample("python_gc_objects_collected_total", stats["collected"], labels, counter,
                         "", "Objects that the collector freed")  # fmt: skip
        yield Sample("python_threads", threading.active_count(), {}, gauge, "", "Python threads")
        yield Sample("python_allocated_blocks", sys.getallocatedblocks(), {}, gauge, "",
                     "Memory blocks in use by Python")  # fmt: skip
        for loop, lag in list(_lags.items()):
            _lags[loop] = 0.0
            yield Sample("python_event_loop_lag_seconds", lag, {"loop": loop}, gauge, "seconds",
                         "Greatest delay of a timer since the last sample")  # fmt: skip
