"""OpenTelemetry metrics over OTLP/HTTP, as Prometheus names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import Route


@options
class Config:
    """Options of ``[plugins.otlp]``."""

    exponential_histograms: str = option(
        "convert", help="Exponential histograms: convert them to classic buckets (powers of two), "
        "or drop and count them", choices=("convert", "drop"),
    )  # fmt: skip
    scope_labels: bool = option(True, help="Labels otel_scope_name and otel_scope_version")
    resource_labels: tuple[str, ...] = option(
        (), help="Resource attributes that every series gets as labels, as well as target_info"
    )
    max_series: int = option(
        100_000, help="Series of all senders together; more are refused", minimum=1
    )
    forget_after: Duration = option(
        "1d", help="Series that nobody has sent for so long make room for others", minimum=60
    )
    oldest: Duration = option("1d", help="Older points are refused", minimum=1)
    max_label_chars: int = option(1024, help="Characters of a label's name or value", minimum=1)


@hookimpl
def barograph_routes(config: Config) -> Sequence[Route]:
    from barograph.contracts import Route
    from barograph_otlp.receiver import MAX_BODY, PATH, Receiver

    summary = "OTLP/HTTP metrics"
    return [
        Route(PATH, Receiver(config), ("POST",), summary, absolute=True, max_body=MAX_BODY,
              ingest=True)
    ]  # fmt: skip
