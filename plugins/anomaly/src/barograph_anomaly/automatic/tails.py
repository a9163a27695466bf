"""How surprising a view is: its excess over the largest excesses that were there before.

Each view has two tails. Of each the ``PEAKS`` largest separate excesses over the centre are kept;
the smallest of them is the tail's threshold, and what lies above it is taken as exponential, the
peaks-over-threshold method (Pickands 1975; streaming: Siffer et al., KDD 2017). The chance of an
excess is predictive, not fitted: with m peaks it is Lomax with shape m, so few peaks surprise less.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from barograph_anomaly.automatic.layout import (
    BAND_LOW,
    CENTRES,
    MEAN_LONG,
    MEAN_SHORT,
    PEAK,
    PEAK_AT,
    PEAK_COUNT,
    PEAK_FROM,
    PEAK_NEWEST,
    PEAKS,
    SAMPLES,
    SCALES,
    SEEN,
    VALUE,
    VIEWS,
)
from barograph_anomaly.automatic.views import centre
from barograph_anomaly.kernels import piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUIET = 3.0
"""An excess below so many scales is no peak, while there are few peaks."""

MEMORY = 2000.0
"""Samples that centres and scales remember: a week of 5-minute samples."""

SCALE_SHARE, THRESHOLD_SHARE = 0.5, 0.05
"""What the tail's spread is at least, in scales and in thresholds: peaks that happen to be equal
must not make the next one seem impossible."""

LONGEST_PEAK = 48
"""Samples after which an excess that lasts counts as another: a new level becomes usual."""

AGREEING = 0.5
"""What a weaker voice counts among the value and its means: they see much of the same."""

_APART = (12, 12, 12, 24, 96, 48, 96, 24, 12, 48, 24)
"""Samples between two excesses that count as two, by view: what the view itself remembers."""

APART = np.array(_APART, np.int32)

STRONGEST, WHICH, RECORD = 0, 1, 2
FOUND = 3

_INV_LN10 = 1.0 / math.log(10.0)


@piece
def surprise(
    f: NDArray[np.float64], k: NDArray[np.int32], looks: NDArray[np.float64], usual: bool,
    allowed: float, found: NDArray[np.float64],
) -> float:  # fmt: skip
    """Evidence of all views together: for each tail log10(allowed / chance) where positive, added
    up. O(VIEWS).

    ``found`` float64[FOUND] gets what spoke loudest: ``STRONGEST`` evidence, ``WHICH`` tail, and
    the ``RECORD`` excess of that tail until now.

    ``allowed``: chance for each sample of an excess that says nothing. ``usual``: the sample is
    what this time of day always does: its value, step and means say nothing.
    """
    total = level = 0.0
    found[:] = 0.0
    for view in range(VIEWS):
        x = looks[view]
        if math.isnan(x):
            continue
        f[SEEN + view] += 1.0
        seen = f[SEEN + view]
        centre(f, view, seen, x, MEMORY)
        away = x - f[CENTRES + view]
        for side in range(2):
            excess = away if side == 0 else -away
            if excess <= 0.0:
                continue
            which = 2 * view + side
            most = largest(f, k, which)
            unlikely = tail(f, k, view, side, excess, seen)
            if unlikely > 0.0 and not (usual and view <= MEAN_LONG):
                evidence = unlikely + math.log10(allowed)
                if evidence > 0.0:
                    total += evidence
                    if view == VALUE or MEAN_SHORT <= view <= MEAN_LONG:
                        total -= (1.0 - AGREEING) * min(evidence, level)
                        level = max(level, evidence)
                    if evidence > found[STRONGEST]:
                        found[STRONGEST], found[WHICH], found[RECORD] = evidence, which, most
    return total


@piece
def largest(f: NDArray[np.float64], k: NDArray[np.int32], which: int) -> float:
    """The largest excess of a tail so far."""
    most = 0.0
    for i in range(k[PEAK_COUNT + which]):
        most = max(most, f[PEAK + which * PEAKS + i])
    return most


@piece
def tail(
    f: NDArray[np.float64], k: NDArray[np.int32], view: int, side: int, excess: float,
    seen: float,
) -> float:  # fmt: skip
    """-log10 of the chance of this excess, 0 below the threshold; the excess is then kept."""
    which = 2 * view + side
    peaks = f[PEAK + which * PEAKS : PEAK + (which + 1) * PEAKS]
    m = k[PEAK_COUNT + which]
    scale = f[SCALES + view]
    threshold = QUIET * scale
    if m == PEAKS:
        threshold = peaks[0]
        for i in range(1, PEAKS):
            threshold = min(threshold, peaks[i])
    if excess <= threshold:
        return 0.0
    above = 0.0
    for i in range(m):
        above += max(peaks[i] - threshold, 0.0)
    spread = above / max(m - 1, 1) + SCALE_SHARE * scale + THRESHOLD_SHARE * threshold
    spread += 1e-9 * abs(f[CENTRES + view]) + 1e-12
    known = max(m, 1)
    beyond = (excess - threshold) / spread
    keep(k, which, peaks, excess, APART[view])
    return float((math.log(seen / known) + known * math.log1p(beyond / known)) * _INV_LN10)


@piece
def keep(
    k: NDArray[np.int32], which: int, peaks: NDArray[np.float64], excess: float, apart: int
) -> None:
    """An excess over the threshold: part of the newest peak, or a new one for the smallest."""
    now, newest = k[SAMPLES], k[PEAK_NEWEST + which]
    near = now - k[PEAK_AT + which] < apart and now - k[PEAK_FROM + which] < LONGEST_PEAK
    k[PEAK_AT + which] = now
    if newest >= 0 and near:
        peaks[newest] = max(peaks[newest], excess)
        return
    place = k[PEAK_COUNT + which]
    if place < PEAKS:
        k[PEAK_COUNT + which] = place + 1
    else:
        place = 0
        for i in range(1, PEAKS):
            if peaks[i] < peaks[place]:
                place = i
    peaks[place] = excess
    k[PEAK_NEWEST + which] = place
    k[PEAK_FROM + which] = now


@piece
def forget(f: NDArray[np.float64], share: float) -> None:
    """Let ``share`` of what the tails know go: old peaks shrink, old samples count less."""
    for i in range(PEAK, BAND_LOW):
        f[i] *= 1.0 - share
    for i in range(SEEN, PEAK):
        f[i] = max(f[i] * (1.0 - share), min(f[i], 1.0))
