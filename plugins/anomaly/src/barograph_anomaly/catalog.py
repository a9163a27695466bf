"""All detectors of this package by name, and scores of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from barograph.config.errors import nearest
from barograph_anomaly.automatic.detector import AutoDetector
from barograph_anomaly.classic.detector import classic_detectors
from barograph_anomaly.multivariate import MultivariateDetector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from barograph.contracts import Detector


def detectors(budget: float = 0.1, memory_days: float = 120.0) -> list[Detector]:
    """One of each; ``budget`` and ``memory_days`` are those of ``auto``."""
    auto = AutoDetector(budget, memory_days)
    return [auto, *classic_detectors(), MultivariateDetector()]


def score(
    t_ms: ArrayLike, values: ArrayLike, detector: str = "auto", *, budget: float = 0.1
) -> NDArray[np.float64]:
    """How abnormal each sample is, from what came before it: float64[n] in [0, 1].

    ``t_ms``: rising times in ms since the epoch, n of them; ``values``: n numbers (NaN: missing).
    0.5 and more is worth a look; ``auto`` then keeps within ``budget`` false alarms a day. The
    same numbers as a running monitor gives. Raises ValueError for an unknown detector, for arrays
    of different lengths and for times that fall.
    """
    found = {one.name: one for one in detectors(budget)}
    if detector not in found:
        raise ValueError(f'there is no detector "{detector}"{nearest(detector, sorted(found))}')
    times = np.ascontiguousarray(t_ms, np.int64)
    samples = np.ascontiguousarray(values, np.float64)
    if times.ndim != 1 or times.shape != samples.shape:
        raise ValueError(
            f"t_ms {times.shape} and values {samples.shape} must be two lists of one length"
        )
    if len(times) and (np.diff(times) < 0).any():
        at = int(np.flatnonzero(np.diff(times) < 0)[0]) + 1
        raise ValueError(f"t_ms falls at {at}: {times[at - 1]} is followed by {times[at]}")
    return found[detector].score(times, samples)
