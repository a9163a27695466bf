"""The metric source over what applications have recorded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.instruments.registry import REGISTRY
from barograph_application.totals import TOTALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.model import Labels, Metric
    from barograph_application import Config

TIDY_S = 5.0


class ApplicationSource:
    """One vector a tick: this process's instruments, and those of all that send."""

    name = "application"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.interval)
        self._version = -1
        self._tidied_s = 0.0
        TOTALS.max_series = config.max_series
        TOTALS.forget_after_s = float(config.forget_after)

    def series(self) -> Sequence[tuple[Labels, Metric]]:
        self._version, declared = TOTALS.declared()
        return declared

    def collect_vector(self, now_ms: int) -> NDArray[np.float64] | None:
        now_s = time.monotonic()
        if len(REGISTRY):
            TOTALS.own(REGISTRY.read(), now_s)
        if now_s - self._tidied_s >= TIDY_S:
            self._tidied_s = now_s
            TOTALS.tidy(now_s)
        values = TOTALS.values(self._version)
        return None if values is None else np.array(values, np.float64)
