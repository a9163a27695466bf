"""HTTP: events with their sentences, and the mark "this was fine"."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from barograph.contracts import Response
from barograph.findings import MAX_FINDINGS
from barograph_anomaly.telling import KIND
from barograph_anomaly.watching import PLACE

if TYPE_CHECKING:
    from barograph.contracts import Request
    from barograph.monitor import PerformanceMonitor


def newest(request: Request) -> dict[str, Any]:
    """``{"events": [{series, t_ms, score, text}]}``, the newest first."""
    watcher = PLACE.watcher
    found = [] if watcher is None else watcher.events()
    return {
        "events": [
            {"series": str(e.series.labels), "t_ms": e.end_ms, "score": e.score, "text": e.text}
            for e in found
        ]
    }


def accept(request: Request) -> Response:
    """204 when it was learnt, 404 when the series has no event."""
    series = (request.query.get("series") or [""])[0]
    watcher = PLACE.watcher
    if watcher is None:
        return _told(503, "the detector is not ready yet; try again in a few seconds")
    try:
        learnt = watcher.accept(series)
    except ValueError as error:
        return _told(409, str(error))
    if not learnt:
        return _told(404, f"{series or 'a series without a name'} has had no event; see /events")
    dismiss(request.monitor, watcher.detector, series)
    return Response(b"", status=204)


def dismiss(monitor: PerformanceMonitor, detector: str, series: str) -> None:
    """The finding of a series says so, too."""
    for one in monitor.findings.list(("open", "acknowledged"), (KIND,), limit=MAX_FINDINGS):
        if one.source == detector and str(one.observation.labels) == series:
            monitor.findings.change(one.id, "dismissed", "api", "this was fine")


def _told(status: int, detail: str) -> Response:
    body = json.dumps({"status": status, "detail": detail}).encode()
    return Response(body, "application/problem+json", status)
