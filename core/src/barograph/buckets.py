"""Quantiles of classic histograms, for charts: from counts up to each bound ``le``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOUND = "le"
"""The label with a bucket's upper bound."""


def bound_of(text: str) -> float:
    """The bound that a label's value says; NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def quantile_of(
    q: float, bounds: Sequence[float], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles float64[t] of histograms: ``counts`` float64[b, t] up to each of ``bounds``.

    A value is linear between the bounds of its bucket, and the last finite bound beyond it, as in
    PromQL's ``histogram_quantile``. NaN where nothing was counted, or no bound is +Inf. Bounds may
    come in any order and several times (histograms of different bounds, joined).
    """
    rising = sorted({b for b in bounds if not math.isnan(b)})
    if len(rising) < 2 or rising[-1] != math.inf:
        return np.full(counts.shape[1], np.nan)
    at = {bound: i for i, bound in enumerate(rising)}
    joined = np.zeros((len(rising), counts.shape[1]))
    for bound, row in zip(bounds, np.nan_to_num(counts, posinf=0, neginf=0), strict=True):
        if not math.isnan(bound):
            joined[at[bound]] += row
    joined = np.maximum.accumulate(joined, axis=0)  # rates of one moment may not quite rise
    upper = np.array([*rising[:-1], rising[-2]])  # beyond the last finite bound: that one
    lower = np.array([min(0.0, rising[0]), *rising[:-1]])
    before = np.vstack([np.zeros(joined.shape[1]), joined[:-1]])
    rank = q * joined[-1]
    i = (joined >= rank).argmax(axis=0)
    steps = np.arange(joined.shape[1])
    inside = joined[i, steps] - before[i, steps]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(inside > 0, (rank - before[i, steps]) / inside, 0.0)
    found = lower[i] + (upper[i] - lower[i]) * part
    return np.where(joined[-1] > 0, found, np.nan)
