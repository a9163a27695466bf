"""Made-up series for the tests of detectors."""

from __future__ import annotations

from typing import Any

import numpy as np

START = 1_700_006_400_000  # a midnight, UTC
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def times(n: int, step_ms: int = 5 * MINUTE) -> Any:
    """int64[n]: a sample each ``step_ms``."""
    return START + np.arange(n, dtype=np.int64) * step_ms


def noise(n: int, seed: int = 1, level: float = 100.0, spread: float = 3.0) -> Any:
    return np.random.default_rng(seed).normal(level, spread, n)


def daily(n: int, seed: int = 1, height: float = 40.0) -> Any:
    """Busy from 9 to 17 o'clock, with noise."""
    hour = times(n) % DAY / HOUR
    return noise(n, seed) + height * ((hour >= 9) & (hour < 17))
