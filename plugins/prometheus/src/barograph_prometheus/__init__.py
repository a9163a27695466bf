"""Prometheus's protocols: scraping, remote write in and out, /metrics, recording rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl
from barograph_prometheus.destination import Destination
from barograph_prometheus.scrape_config import Scrape

if TYPE_CHECKING:
    from barograph.contracts import Lifecycle, Route


@options
class Config:
    """Options of ``[plugins.prometheus]``."""

    write: bool = option(True, help="Accept remote write at /api/v1/write")
    write_oldest: Duration = option(
        "1d", help="Older samples of remote write are refused", minimum=1
    )
    write_max_series: int = option(
        200_000, help="Series of all remote write senders together", minimum=1
    )
    public_metrics: bool = option(
        False, help="No token needed for /metrics, while the server is on a loopback address"
    )
    scrape: tuple[Scrape, ...] = option((), help="What is scraped: a table for each job")
    max_targets: int = option(
        500, help="Targets of all jobs together; more are left out", minimum=1
    )
    remote_write: tuple[Destination, ...] = option(
        (), help="Where all that is stored is sent: a table for each storage"
    )
    rule_files: tuple[str, ...] = option(
        (), help="Files with recording rules (.yml, .yaml or .toml); * in the last part"
    )
    rule_interval: Duration = option(
        "1m", help="Time between evaluations of a group that names none", minimum=0.1
    )
    rule_engine: str = option("promql", help="Which query engine evaluates the rules")
    max_labels: int = option(64, help="Labels of one series, its name too", minimum=1)
    max_label_chars: int = option(1024, help="Characters of a label's name or value", minimum=1)


@hookimpl
def barograph_routes(config: Config) -> Sequence[Route]:
    from barograph.contracts import Route
    from barograph_prometheus.exposition import metrics
    from barograph_prometheus.scraper import told_targets

    found = [
        Route("/metrics", metrics, ("GET",), "The monitor's own metrics", absolute=True,
              local=config.public_metrics),
        Route("/targets", told_targets, ("GET",), "Targets and their last scrapes"),
    ]  # fmt: skip
    if config.rule_files:
        from barograph_prometheus.recording import told_rules

        summary = "Groups of recording rules, and how they do"
        found.append(Route("/api/v1/rules", told_rules, ("GET",), summary, absolute=True))
    if config.write:
        from barograph_prometheus.receiver import MAX_BODY, PATH, Receiver

        found.append(
            Route(
                PATH,
                Receiver(config),
                ("POST",),
                "Remote write 1.0 and 2.0",
                absolute=True,
                max_body=MAX_BODY,
                ingest=True,
            )
        )
    return found


@hookimpl
def barograph_lifecycle(config: Config) -> Sequence[Lifecycle]:
    found: list[Lifecycle] = []
    if config.scrape:
        from barograph_prometheus.scraper import Scraper

        found.append(Scraper(config.scrape, config.max_targets))
    if config.remote_write:
        from barograph_prometheus.sender import Sender

        found += [Sender(destination) for destination in config.remote_write]
    if config.rule_files:
        from barograph_prometheus.recording import Recorder

        found.append(Recorder(config.rule_files, float(config.rule_interval), config.rule_engine))
    return found
