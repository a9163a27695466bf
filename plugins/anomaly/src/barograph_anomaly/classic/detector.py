"""The classic detectors: one statistic each, a fixed limit, and no memory of what was told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@attrs.frozen
class ClassicDetector:
    """One statistic of a series, divided by itself plus ``limit``: 0.5 at the limit.

    ``kind``: which, as ``classic.steps`` counts them. ``width``: float64 that a series needs.
    """

    name: str
    kind: int
    width: int
    limit: float

    def state(self, n: int) -> dict[str, NDArray[Any]]:
        """``rows`` float64[n, width]."""
        return {"rows": np.zeros((n, self.width))}

    def update(
        self, state: dict[str, NDArray[Any]], t_ms: int, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores float64[n]."""
        now = np.array([t_ms], np.int64)
        return self._run(state["rows"], now, values[np.newaxis, :]).ravel()

    def score(self, t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of one series' history, the same as from ``update``."""
        rows = self.state(1)["rows"]
        return self._run(rows, t_ms, values[:, np.newaxis]).ravel()

    def _run(
        self, rows: NDArray[np.float64], t_ms: NDArray[np.int64], table: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        from barograph_anomaly.classic.steps import RUN

        out = np.empty(table.shape)
        RUN(*table.shape, self.kind, self.limit, rows, t_ms, np.ascontiguousarray(table), out)
        return out


def classic_detectors() -> list[ClassicDetector]:
    """All of them. The limits are where normal noise comes about once in a hundred thousand
    samples, or what the sources of the methods advise where noise is seldom normal."""
    from barograph_anomaly.classic import steps
    from barograph_anomaly.classic.running import RUNNING_WIDTH
    from barograph_anomaly.classic.seasonal import SEASONAL_WIDTH
    from barograph_anomaly.classic.windowed import WINDOWED_WIDTH

    return [
        ClassicDetector("zscore", steps.ZSCORE, WINDOWED_WIDTH, 4.5),
        ClassicDetector("robust_zscore", steps.ROBUST_ZSCORE, WINDOWED_WIDTH, 6.0),
        ClassicDetector("iqr", steps.IQR, WINDOWED_WIDTH, 3.0),
        ClassicDetector("spike", steps.SPIKE, WINDOWED_WIDTH, 8.0),
        ClassicDetector("ewma", steps.EWMA, RUNNING_WIDTH, 6.0),
        ClassicDetector("level_shift", steps.LEVEL_SHIFT, RUNNING_WIDTH, 15.0),
        ClassicDetector("variance_shift", steps.VARIANCE_SHIFT, RUNNING_WIDTH, 6.0),
        ClassicDetector("flatline", steps.FLATLINE, RUNNING_WIDTH, 14.0),
        ClassicDetector("rate_of_change", steps.RATE_OF_CHANGE, RUNNING_WIDTH, 8.0),
        ClassicDetector("seasonal", steps.SEASONAL, SEASONAL_WIDTH, 6.0),
    ]
