"""Applications on this host: their instruments, from this process and from others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

    from barograph.contracts import ColumnarSource, Lifecycle, Route, Widget


@options
class Config:
    """Options of ``[plugins.application]``."""

    interval: Duration = option("1s", help="Time between samples", minimum=0.1)
    socket: str = option("", help="Unix socket that applications send to, from the next start on; "
                         "empty: application.sock in the data folder")  # fmt: skip
    socket_mode: str = option("0600", help="Who may send: 0600 this user, 0660 its group, 0666 all")
    max_series: int = option(20_000, help="Series of all applications together; more are dropped "
                             "and counted", minimum=1)  # fmt: skip
    forget_after: Duration = option("1d", help="Series that no process has added to for so long "
                                    "are forgotten", minimum=60)  # fmt: skip


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[ColumnarSource]:
    from barograph_application.source import ApplicationSource  # numpy: only when it runs

    return [ApplicationSource(config)]


@hookimpl
def barograph_lifecycle(config: Config) -> Sequence[Lifecycle]:
    from barograph_application.receiver import Receiver

    return [Receiver(config)]


@hookimpl
def barograph_commands() -> Sequence[click.Command]:
    from barograph_application.command import attach

    return [attach]


@hookimpl
def barograph_routes() -> Sequence[Route]:
    from barograph.contracts import Route
    from barograph_application.receiver import MAX_MESSAGE, pushed

    summary = "What applications on other machines have recorded"
    return [Route("/push", pushed, ("POST",), summary, max_body=MAX_MESSAGE, ingest=True)]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph.query import RangeQuery
    from barograph.widgets import chart, query

    section = "Application"
    duration = "http_server_request_duration_seconds"
    return [
        chart(
            "requests",
            "Requests",
            query(f"{duration}_count", fn="rate", agg="sum", by=("service",), legend="{service}"),
            section=section,
            order=1,
            unit="requests/s",
            minimum=0,
            drill_by=("service", "http_route", "http_response_status_code"),
            help="Requests a second that applications answered.",
            bad="A sudden drop: they cannot be reached, or wait for something.",
        ),
        chart(
            "errors",
            "Server errors",
            query(
                f'{duration}_count{{http_response_status_code=~"5.."}}',
                fn="rate",
                agg="sum",
                by=("service",),
                legend="{service}",
            ),
            section=section,
            order=2,
            unit="requests/s",
            minimum=0,
            drill_by=("service", "http_route", "http_response_status_code"),
            help="Requests a second that ended in a server error (5xx).",
            bad="Anything steadily above zero.",
        ),
        chart(
            "error-share",
            "Share of errors",
            query(
                f'{duration}_count{{http_response_status_code=~"5.."}}',
                fn="rate",
                agg="sum",
                by=("service",),
                over=(f"{duration}_count",),
                legend="{service}",
            ),
            section=section,
            order=3,
            unit="ratio",
            minimum=0,
            help="Share of all requests that ended in a server error (5xx).",
            bad="Above 1 %: one user in a hundred sees an error.",
        ),
        chart(
            "duration",
            "Request duration",
            tuple(
                RangeQuery(
                    (f"{duration}_bucket",),
                    "rate",
                    "sum",
                    ("service",),
                    quantile=share / 100,
                    legend=f"{{service}} p{share}",
                )
                for share in (50, 95, 99)
            ),
            section=section,
            order=0,
            unit="seconds",
            minimum=0,
            drill_by=("service", "http_route", "http_request_method"),
            help="Half, 95 and 99 of a hundred requests were answered within these times.",
            bad="p99 far above p50: some users wait long while most do not.",
        ),
        chart(
            "in-flight",
            "Requests in flight",
            query("http_server_active_requests", agg="sum", by=("service",), legend="{service}"),
            section=section,
            order=4,
            minimum=0,
            drill_by=("service", "http_request_method"),
            help="Requests that are being worked on.",
            bad="Steady growth: they come faster than they are answered.",
        ),
    ]
