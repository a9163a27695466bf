"""What else moved when several series had an anomaly at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from barograph.findings import Evidence, Observation
from barograph.model import Labels
from barograph_analytics import wording
from barograph_analytics.ranking import Mover, rank

if TYPE_CHECKING:
    from barograph.findings import Finding
    from barograph.inquiry import Inquiry
    from barograph_analytics import Config

JOIN_MS = 600_000
"""Anomalies that lie so near are one incident."""

LEAST_SERIES = 2
"""An incident is more than one series."""

LEAST_MS, MOST_MS = 300_000, 3_600_000
TOLD = 5
"""Movers that are named."""

LIMIT = 20


@attrs.frozen
class Incidents:
    """The newest incident in the window: anomalies of several series, and the ranking of all
    series by how they moved in it (``methods.moved``)."""

    config: Config

    name = "moved"

    @property
    def interval_s(self) -> float:
        return float(self.config.moved_interval)

    @property
    def window_s(self) -> float:
        return float(self.config.moved_window)

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterator[Observation]:
        """One finding, if there was an incident and something moved."""
        found = data.findings(("open", "acknowledged", "resolved"), ("anomaly",), start_ms, end_ms)
        span = incident(found, start_ms, end_ms)
        if span is None:
            return
        ranking = rank(data, *span, limit=LIMIT)
        if ranking.movers:
            yield observed(ranking.movers, ranking.series, *span)


def incident(found: list[Finding], start_ms: int, end_ms: int) -> tuple[int, int] | None:
    """[start, end] of the newest group of anomalies that lie near and are of several series."""
    seen = sorted((one.observation for one in found), key=lambda one: one.start_ms)
    groups: list[tuple[int, int, set[str]]] = []
    for one in seen:
        first, last = max(one.start_ms, start_ms), min(one.end_ms, end_ms)
        if groups and first - groups[-1][1] <= JOIN_MS:
            begun, ended, names = groups[-1]
            groups[-1] = (begun, max(ended, last), names | {str(one.labels)})
        else:
            groups.append((first, last, {str(one.labels)}))
    for first, last, names in reversed(groups):
        if len(names) >= LEAST_SERIES:
            last = min(max(last, first + LEAST_MS), first + MOST_MS, end_ms)
            return (first, last) if last > first else None
    return None


def observed(movers: list[Mover], series: int, start_ms: int, end_ms: int) -> Observation:
    """The finding about an incident: its likely cause names it."""
    first = movers[0]
    what, at = wording.spoken(first.labels), wording.moment(start_ms)
    lines = " ".join(f"({i}) {one.text}" for i, one in enumerate(movers[:TOLD], 1))
    text = (
        f"Of {series:,} series that were looked at, "
        f"{len(movers)} moved between {at} and {wording.moment(end_ms)}. {lines}"
    )
    common = set(first.labels.without_name().items())
    for one in movers[:TOLD]:
        common &= set(one.labels.without_name().items())
    return Observation(
        "moved", f"moved {first.labels}",
        wording.title(f"{len(movers)} series moved at {at}; most likely first: {what}"), text,
        "warning", wording.sure(first.score), start_ms, end_ms,
        tuple(Evidence(one.evidence.query, one.evidence.start_ms, one.evidence.end_ms, one.text)
              for one in movers[:TOLD]),
        Labels(tuple(sorted(common))),
        {"series": series, "moved": tuple(str(one.labels) for one in movers),
         "scores": tuple(one.score for one in movers)},
    )  # fmt: skip
