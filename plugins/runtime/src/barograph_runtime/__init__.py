"""The Python runtime of this process: garbage collection, threads, event-loop lag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from barograph.contracts import MetricSource, Widget


@options
class Config:
    """Options of ``[plugins.runtime]``."""

    interval: Duration = option("5s", help="Time between samples", minimum=0.5)


def watch_loop(loop: AbstractEventLoop, name: str = "main") -> None:
    """Measure the lag of an asyncio event loop; call it from the loop's thread."""
    from barograph_runtime.source import watch_loop as watch

    watch(loop, name)


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[MetricSource]:
    from barograph_runtime.source import RuntimeSource

    return [RuntimeSource(float(config.interval))]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph.contracts import WidgetSpec
    from barograph.query import RangeQuery

    class Shown:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._spec = WidgetSpec(*args, **kwargs)

        def spec(self) -> WidgetSpec:
            return self._spec

        def data(self, *_: object) -> Mapping[str, Any] | None:
            return None

    def q(match: str, **options: Any) -> tuple[RangeQuery, ...]:
        return (RangeQuery((match,), **options),)

    app, own = "Application", "Barograph"
    return [
        Shown("gc-pause", "GC pauses", q("python_gc_pause_seconds_total", fn="rate",
              legend="generation {generation}"), section=app, order=10, unit="ratio", minimum=0,
              help="Share of time this Python process stood still to collect garbage.",
              bad="Above 5 %: too many objects live and die."),
        Shown("python-threads", "Threads", q("python_threads", legend="threads"), section=app,
              order=20, minimum=0, help="Threads of this Python process.",
              bad="Growth without end: threads are left behind."),
        Shown("python-blocks", "Allocated blocks", q("python_allocated_blocks", legend="blocks"),
              section=app, order=30, help="Memory blocks that Python objects hold.",
              bad="Steady growth: something keeps references."),
        Shown("own-cpu", "Barograph's CPU", q("barograph_process_cpu_seconds_total", fn="rate",
              legend="CPU"), section=own, order=10, unit="ratio", minimum=0,
              help="What watching costs: share of one CPU.", bad="Above 5 % on an idle machine."),
        Shown("own-memory", "Barograph's memory", q("barograph_process_memory_rss_bytes",
              legend="RSS"), section=own, order=20, unit="bytes", minimum=0,
              help="Resident memory of the monitor.", bad="Steady growth over days."),
        Shown("own-samples", "Samples stored", q("barograph_samples_stored_total", fn="rate",
              legend="samples"), section=own, order=30, unit="samples/s", minimum=0,
              help="Samples a second that went into the store.", bad="Zero: nothing is stored."),
        Shown("own-disk", "Store on disk", q("barograph_store_disk_bytes", legend="size"),
              section=own, order=40, unit="bytes", minimum=0,
              help="Size of the store's file.", bad="More than you planned: lower max_size."),
        Shown("own-late", "Tick lateness", q("barograph_source_lateness_seconds",
              legend="{source}"), section=own, order=50, unit="seconds", minimum=0,
              help="How late each source's last tick began.",
              bad="Above 0.1 s: the machine is overloaded."),
    ]  # fmt: skip
