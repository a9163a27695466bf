"""The metric source of scores and shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.model import Labels, Metric
from barograph_anomaly.watching import PLACE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph_anomaly import Config

SCORE = Metric("barograph_anomaly_score", help="How abnormal the newest sample is; 0.5: look at it")
RATIO = Metric(
    "barograph_anomaly_ratio", unit="ratio",
    help="Share of a group's watched series with an alarm in the last 10 minutes",
)  # fmt: skip


class ScoreSource:
    """Looks at the watched series at each tick. Its thread is its own: collecting does not wait."""

    name = "anomaly"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.interval)
        self._config = config
        self._generation = -1

    def series(self) -> Sequence[tuple[Labels, Metric]]:
        watcher = PLACE.watcher
        if watcher is None:
            self._generation = -1
            return []
        self._generation = watcher.generation
        scores = [
            Labels.of(SCORE.name, {**one.labels.without_name(), "metric": one.labels.name})
            for one in watcher.series
        ]
        shares = [Labels.of(RATIO.name, {"group": name}) for name in watcher.groups]
        return [(one, SCORE) for one in scores] + [(one, RATIO) for one in shares]

    def collect_vector(self, now_ms: int) -> NDArray[np.float64] | None:
        watcher = PLACE.watcher
        if watcher is None:
            return np.empty(0) if self._generation == -1 else None
        watcher.follow(self._config)  # options may have changed while running
        values = watcher.look(now_ms)
        return values if watcher.generation == self._generation else None
