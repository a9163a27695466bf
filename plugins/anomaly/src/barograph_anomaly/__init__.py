"""Finds what is abnormal: detectors over streams of many series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import ColumnarSource, Detector, Lifecycle, Route
    from barograph_anomaly.catalog import score as score

HOST = (
    "system_cpu_utilization_ratio",
    'system_load_average{period="1m"}',
    "system_memory_usage_bytes",
    "system_paging_io_bytes_total",
    "system_disk_io_bytes_total",
    "system_disk_io_time_seconds_total",
    "system_network_io_bytes_total",
    "system_network_errors_total",
    "system_pressure_stalled_seconds_total",
    "system_filesystem_utilization_ratio",
    "container_memory_usage_bytes",
    "http_server_request_duration_seconds_count",
    "http_server_active_requests",
)
"""What is watched without a word: few series a host, each of which a person would look at."""


def _selectors(watch: tuple[str, ...]) -> None:
    from barograph.query import parse_selector  # heavy: only for what is configured

    for text in watch:
        parse_selector(text)


@options
class Config:
    """Options of ``[plugins.anomaly]``."""

    budget: float = option(0.1, help="False alarms a day that each series may have, "
                           "from the next start on",
                           minimum=0.001, maximum=100)  # fmt: skip
    memory: Duration = option("120d", help="How long what was seen counts as seen, from the next "
                              "start on", minimum=86400)  # fmt: skip
    detector: str = option("auto", help="The detector that watches, from the next start on: "
                           "one of this plugin's, or of another")  # fmt: skip
    watch: tuple[str, ...] = option(HOST, help="Selectors of the series that are watched",
                                    check=_selectors)  # fmt: skip
    interval: Duration = option("10s", help="Time between two looks at them", minimum=1)
    max_series: int = option(200, help="Series that are watched at most", minimum=1,
                             maximum=100_000)  # fmt: skip


@hookimpl
def barograph_detectors(config: Config) -> Sequence[Detector]:
    from barograph_anomaly.catalog import detectors  # numpy: only when it runs

    return detectors(config.budget, float(config.memory) / 86_400)


@hookimpl
def barograph_lifecycle(config: Config) -> Sequence[Lifecycle]:
    from barograph_anomaly.watching import Watching

    return [Watching(config)]


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[ColumnarSource]:
    from barograph_anomaly.source import ScoreSource

    return [ScoreSource(config)]


@hookimpl
def barograph_routes() -> Sequence[Route]:
    from barograph.contracts import Route
    from barograph_anomaly.routes import accept, newest

    return [
        Route("/events", newest, summary="The newest event of each series that is watched"),
        Route("/accept", accept, methods=("POST",),
              summary="The newest event of ?series= was fine: learn it"),
    ]  # fmt: skip


def __getattr__(name: str) -> object:
    # `barograph --help` imports every plugin and has no time for numpy.
    if name == "score":
        from barograph_anomaly.catalog import score

        return score
    raise AttributeError(f"module 'barograph_anomaly' has no attribute {name!r}")
