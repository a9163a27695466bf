"""Finds trends, changes, recurring problems and what moves together; each is a finding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, Size, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from barograph.contracts import Analyser, Lifecycle, Route
    from barograph_analytics.agent import AnalyticsAgent as AnalyticsAgent

WATCH = (
    "system_cpu_utilization_ratio",
    'system_load_average{period="5m"}',
    'system_memory_usage_bytes{state="used"}',
    "system_memory_utilization_ratio",
    "system_paging_usage_bytes",
    "system_disk_io_bytes_total",
    "system_disk_io_time_seconds_total",
    "system_network_io_bytes_total",
    "system_network_errors_total",
    "system_pressure_stalled_seconds_total",
    "system_filesystem_utilization_ratio",
    "system_filesystem_usage_bytes",
    "system_filesystem_inodes_utilization_ratio",
    "system_temperature_celsius",
    "container_memory_usage_bytes",
    "container_cpu_throttled_seconds_total",
    "process_memory_usage_bytes",
    "process_cpu_time_seconds_total",
    "process_unix_file_descriptor_count",
    "process_thread_count",
    "python_event_loop_lag_seconds",
    "http_server_request_duration_seconds_count",
    "http_server_request_duration_seconds_sum",
    "http_server_active_requests",
)
"""What is looked at without a word: what a person would look at on a host, and in its services."""


@options
class Config:
    """Options of ``[plugins.analytics]``."""

    watch: tuple[str, ...] = option(WATCH, help="PromQL of what is looked at; of a plain selector "
                                    "counters are taken as rates, and gauges as means")  # fmt: skip
    max_series: int = option(200, help="Series of these that are looked at, at most", minimum=1,
                             maximum=10_000)  # fmt: skip
    schedule: bool = option(True, help="Look by itself; else only when asked")
    trend_window: Duration = option("7d", help="How far back trends are looked for",
                                    minimum=3600)  # fmt: skip
    trend_interval: Duration = option("1h", help="Time between two looks for trends", minimum=60)
    change_window: Duration = option("24h", help="How far back changes are looked for",
                                     minimum=1800)  # fmt: skip
    change_interval: Duration = option("15m", help="Time between two looks for changes",
                                       minimum=60)  # fmt: skip
    correlation_window: Duration = option("6h", help="How far back correlations are looked for",
                                          minimum=1800)  # fmt: skip
    correlation_interval: Duration = option("1h", help="Time between two looks for correlations",
                                            minimum=60)  # fmt: skip
    recurrence_window: Duration = option("30d", help="How far back recurring problems are looked "
                                         "for", minimum=86400)  # fmt: skip
    recurrence_interval: Duration = option("1h", help="Time between two looks for recurring "
                                           "problems", minimum=60)  # fmt: skip
    moved_window: Duration = option("1h", help="How long ago an incident may have begun of which "
                                    "is told what else moved", minimum=600)  # fmt: skip
    moved_interval: Duration = option("15m", help="Time between two looks for incidents",
                                      minimum=60)  # fmt: skip
    significance: float = option(0.001, help="Chance at which a trend, a change or a pattern is "
                                 "found where there is none",
                                 minimum=1e-9, maximum=0.2)  # fmt: skip
    false_discovery: float = option(0.01, help="Share of told correlations that may be chance",
                                    minimum=1e-6, maximum=0.2)  # fmt: skip
    least_change: float = option(0.1, help="Smallest trend or change that is told, as a share of "
                                 "the value", minimum=0, maximum=100)  # fmt: skip
    least_strength: float = option(3.0, help="Smallest trend or change that is told, in usual "
                                   "spreads of the series", minimum=0, maximum=1000)  # fmt: skip
    least_correlation: float = option(0.7, help="Smallest correlation that is told", minimum=0,
                                      maximum=1)  # fmt: skip
    correlate: str = option("problems", help="Correlations that are told: of series with an open "
                            "finding, or of all", choices=("problems", "all"))  # fmt: skip
    max_findings: int = option(20, help="Findings that one look may tell; the strongest are kept",
                               minimum=1, maximum=1000)  # fmt: skip
    settle: Duration = option("2h", help="A finding that is not seen for so long is over",
                              minimum=60)  # fmt: skip
    deadline: Duration = option("2m", help="Time that one analyser may take", minimum=1)
    process: bool = option(True, help="Look in a process of its own, which ends after it")
    memory: Size = option("1GiB", help="Memory that this process may take", minimum=256 * 2**20)


@hookimpl
def barograph_analysers(config: Config) -> Sequence[Analyser]:
    from barograph_analytics.analysers import built_in  # numpy: only when it looks

    return built_in(config)


@hookimpl
def barograph_lifecycle(config: Config) -> Sequence[Lifecycle]:
    from barograph_analytics.agent import AnalyticsAgent

    return [AnalyticsAgent(config)]


@hookimpl
def barograph_routes() -> Sequence[Route]:
    from barograph.contracts import Route
    from barograph_analytics.routes import analyse, moved

    return [
        Route("/analyze", analyse, methods=("POST",),
              summary="Look now: ?last=24h, ?query= (several), ?analyser= (several)"),
        Route("/moved", moved,
              summary="What else moved from ?start= to ?end= (ms); ?match= a selector, ?limit="),
    ]  # fmt: skip


@hookimpl
def barograph_commands() -> Sequence[click.Command]:
    from barograph_analytics.command import analyze

    return [analyze]


def __getattr__(name: str) -> object:
    # `barograph --help` imports every plugin and has no time for what the agent needs.
    if name == "AnalyticsAgent":
        from barograph_analytics.agent import AnalyticsAgent

        return AnalyticsAgent
    raise AttributeError(f"module 'barograph_analytics' has no attribute {name!r}")
