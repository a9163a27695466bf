"""The Python runtime of this process: garbage collection, threads, event-loop lag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import MetricSource, Widget


@options
class Config:
    """Options of ``[plugins.runtime]``."""

    interval: Duration = option("5s", help="Time between samples", minimum=0.5)


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[MetricSource]:
    from barograph_runtime.source import RuntimeSource

    return [RuntimeSource(float(config.interval))]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph.widgets import chart, query

    app, own = "Application", "Barograph"
    return [
        chart(
            "gc-pause",
            "GC pauses",
            query("cpython_gc_pause_seconds_total", fn="rate", legend="generation {generation}"),
            section=app,
            order=10,
            unit="ratio",
            minimum=0,
            help="Share of time this Python process stood still to collect garbage.",
            bad="Above 5 %: too many objects live and die.",
        ),
        chart(
            "python-threads",
            "Threads",
            query("python_threads", legend="threads"),
            section=app,
            order=20,
            minimum=0,
            help="Threads of this Python process.",
            bad="Growth without end: threads are left behind.",
        ),
        chart(
            "python-blocks",
            "Allocated blocks",
            query("python_allocated_blocks", legend="blocks"),
            section=app,
            order=30,
            help="Memory blocks that Python objects hold.",
            bad="Steady growth: something keeps references.",
        ),
        chart(
            "loop-lag",
            "Event-loop lag",
            query("python_event_loop_lag_seconds", legend="{loop}"),
            section=app,
            order=25,
            unit="seconds",
            minimum=0,
            help="How late each asyncio event loop of this process ran its timers.",
            bad="Above 0.1 s: a coroutine blocks the loop, and every other waits.",
        ),
        chart(
            "own-cpu",
            "Barograph's CPU",
            query("barograph_process_cpu_seconds_total", fn="rate", legend="CPU"),
            section=own,
            order=10,
            unit="ratio",
            minimum=0,
            help="What watching costs: share of one CPU.",
            bad="Above 5 % on an idle machine.",
        ),
        chart(
            "own-memory",
            "Barograph's memory",
            query("barograph_process_memory_rss_bytes", legend="RSS"),
            section=own,
            order=20,
            unit="bytes",
            minimum=0,
            help="Resident memory of the monitor.",
            bad="Steady growth over days.",
        ),
        chart(
            "own-samples",
            "Samples stored",
            query("barograph_samples_stored_total", fn="rate", legend="samples"),
            section=own,
            order=30,
            unit="samples/s",
            minimum=0,
            help="Samples a second that went into the store.",
            bad="Zero: nothing is stored.",
        ),
        chart(
            "own-disk",
            "Store on disk",
            query("barograph_store_disk_bytes", legend="size"),
            section=own,
            order=40,
            unit="bytes",
            minimum=0,
            help="Size of the store's file.",
            bad="More than you planned: lower max_size.",
        ),
        chart(
            "own-late",
            "Tick lateness",
            query("barograph_source_lateness_seconds", legend="{source}"),
            section=own,
            order=50,
            unit="seconds",
            minimum=0,
            help="How late each source's last tick began.",
            bad="Above 0.1 s: the machine is overloaded.",
        ),
    ]
