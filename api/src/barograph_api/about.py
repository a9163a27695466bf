"""What the Prometheus HTTP API tells of the server itself: version, run, store, rules, alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph_api.parameters import Parameters, bad, first, limit_of

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor

SPOKEN_VERSION = "2.42.0"
"""Version of Prometheus whose behaviour this follows; clients decide by it what to ask."""

MOST_COUNTS = 100
"""Entries of each list of ``status/tsdb``."""

RULE_TYPES = ("", "alert", "record")


class About:
    """Answers over one monitor."""

    def __init__(self, monitor: PerformanceMonitor) -> None:
        self._monitor = monitor

    def build(self, _given: Parameters, _: Callable[[], bool]) -> dict[str, str]:
        """Which Prometheus this behaves like, and what it is."""
        from barograph import __version__

        return {
            "version": SPOKEN_VERSION, "revision": f"barograph-{__version__}", "branch": "",
            "buildUser": "", "buildDate": "", "goVersion": "",
        }  # fmt: skip

    def running(self, _given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        """Since when it runs, and where."""
        began = datetime.fromtimestamp(self._monitor.started_at, UTC)
        return {"startTime": began.isoformat().replace("+00:00", "Z"), "CWD": str(Path.cwd())}

    def rules(self, given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        """No groups: a plugin that has rules answers here itself."""
        kind = first(given, "type").lower()
        if kind not in RULE_TYPES:
            raise bad("type", f'not supported value "{kind}"')
        return {"groups": []}

    def alerts(self, _given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        """None: a plugin that raises alerts answers here itself."""
        return {"alerts": []}

    def store(self, given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        """Sizes of the store, and what makes them: the longest lists of labels come first."""
        stats = self._monitor.store.stats()
        names: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for series in self._monitor.store.select([]):
            names[series.labels.name] += 1
            pairs.update(series.labels.pairs)
        values: Counter[str] = Counter(name for name, _ in pairs)
        room: Counter[str] = Counter()
        for (name, value), n in pairs.items():
            room[name] += n * len(value.encode())
        top = min(limit_of(given) or 10, MOST_COUNTS)

        def listed(counts: Counter[Any]) -> list[dict[str, Any]]:
            return [{"name": str(name), "value": n} for name, n in counts.most_common(top)]

        return {
            "headStats": {
                "numSeries": stats.series, "numLabelPairs": len(pairs), "chunkCount": stats.chunks,
                "minTime": stats.t_min or 0, "maxTime": stats.t_max or 0,
            },
            "seriesCountByMetricName": listed(names),
            "labelValueCountByLabelName": listed(values),
            "memoryInBytesByLabelName": listed(room),
            "seriesCountByLabelValuePair": listed(
                Counter({f"{name}={value}": n for (name, value), n in pairs.items()})
            ),
        }  # fmt: skip
