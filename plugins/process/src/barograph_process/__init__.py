"""Processes: this one, chosen ones, and the top by CPU and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import MetricSource, Widget


@options
class Config:
    """Options of ``[plugins.process]``."""

    interval: Duration = option("5s", help="Time between looks at all processes", minimum=1)
    top: int = option(10, help="How many process names to show by CPU, and by memory", minimum=1,
                      maximum=100)  # fmt: skip
    watch: tuple[str, ...] = option((), help="Processes to follow closely: names (globs), each "
                                    "summed as one, or pids")  # fmt: skip


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[MetricSource]:
    from barograph_process.source import ProcessSource

    return [ProcessSource(config)]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph.widgets import chart, query

    return [
        chart(
            "top-cpu",
            "Top processes by CPU",
            query("process_top_cpu_ratio", legend="{process}", top=10),
            section="Processes",
            order=10,
            unit="cores",
            minimum=0,
            drill_by=("process",),
            help="CPU time of all processes of one name, in CPUs.",
            bad="A program that uses more than it should, or one you do not know.",
        ),
        chart(
            "top-memory",
            "Top processes by memory",
            query("process_top_memory_bytes", legend="{process}", top=10),
            section="Processes",
            order=20,
            unit="bytes",
            minimum=0,
            drill_by=("process",),
            help="Resident memory of all processes of one name.",
            bad="Steady growth: a leak.",
        ),
        chart(
            "processes",
            "Processes",
            query("system_process_count", legend="processes"),
            section="Processes",
            order=30,
            minimum=0,
            help="How many processes there are.",
            bad="Growth without end: children left behind.",
        ),
    ]
