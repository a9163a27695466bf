"""The kernel of all classic detectors, for a tick of many series or a history of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from barograph_anomaly.classic.running import (
    ewma,
    flatline,
    level_shift,
    rate_of_change,
    variance_shift,
)
from barograph_anomaly.classic.seasonal import seasonal
from barograph_anomaly.classic.windowed import iqr, robust_zscore, spike, zscore
from barograph_anomaly.kernels import Kernel, piece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

(ZSCORE, ROBUST_ZSCORE, IQR, SPIKE, EWMA, LEVEL_SHIFT, VARIANCE_SHIFT, FLATLINE, RATE_OF_CHANGE,
 SEASONAL) = range(10)  # fmt: skip

LARGEST = 1e150
"""Values beyond it are taken as this: their squares must be finite."""


def run(
    kind: int, limit: float, rows: NDArray[np.float64], t_ms: NDArray[np.int64],
    table: NDArray[np.float64], out: NDArray[np.float64],
) -> None:  # fmt: skip
    """Scores of ``table`` float64[ticks, series] into ``out``, tick by tick."""
    for i in range(table.shape[0]):
        for j in range(table.shape[1]):
            out[i, j] = scored(kind, limit, rows[j], t_ms[i], table[i, j])


RUN = Kernel(run)


@piece
def scored(kind: int, limit: float, f: NDArray[np.float64], t_ms: int, x: float) -> float:
    """0.5 at the detector's limit."""
    if not math.isfinite(x):
        return 0.0
    z = statistic(kind, f, t_ms, min(max(x, -LARGEST), LARGEST))
    return z / (z + limit)


@piece
def statistic(kind: int, f: NDArray[np.float64], t_ms: int, x: float) -> float:
    if kind == ZSCORE:
        return zscore(f, x)
    if kind == ROBUST_ZSCORE:
        return robust_zscore(f, x)
    if kind == IQR:
        return iqr(f, x)
    if kind == SPIKE:
        return spike(f, x)
    if kind == EWMA:
        return ewma(f, x)
    if kind == LEVEL_SHIFT:
        return level_shift(f, x)
    if kind == VARIANCE_SHIFT:
        return variance_shift(f, x)
    if kind == FLATLINE:
        return flatline(f, x)
    if kind == RATE_OF_CHANGE:
        return rate_of_change(f, x, t_ms)
    return seasonal(f, x, t_ms)
