"""How good scores are: point by point, by volume, and by events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Windows = Sequence[tuple[int, int]]
"""Labelled windows as rows (first, last), both included."""

BUFFER = 24
"""Widest buffer of the volume, in samples on each side of a window."""

APART = 24
"""Alarms so many samples apart are two."""


def labels(rows: int, windows: Windows) -> NDArray[np.float64]:
    """1.0 inside a window, else 0.0."""
    out = np.zeros(rows)
    for first, last in windows:
        out[first : last + 1] = 1.0
    return out


def auc_pr(scores: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Average precision: the area under precision over recall, ties taken together."""
    return _area(scores, truth, np.ones(len(truth)), float(truth.sum()))


def vus_pr(
    scores: Sequence[NDArray[np.float64]], windows: Sequence[Windows], buffer: int = BUFFER
) -> float:
    """Volume under the range-based precision-recall surface (Paparrizos et al., VLDB 2022).

    For each buffer 0, 2, ... ``buffer``: labels fall off as a square root beside the windows, and
    recall counts only windows that were found at all; the mean of the areas.
    """
    joined = np.concatenate(list(scores))
    areas = []
    for width in range(0, buffer + 1, max(buffer // 6, 1)):
        soft, owner, windows_before = [], [], 0
        hard = 0.0
        for one, spans in zip(scores, windows, strict=True):
            soft.append(softened(len(one), spans, width))
            mine = np.full(len(one), -1)
            for n, (first, last) in enumerate(spans):
                mine[max(first - width, 0) : last + width + 1] = windows_before + n
            owner.append(mine)
            windows_before += len(spans)
            hard += float(labels(len(one), spans).sum())
        weight = np.concatenate(soft)
        positives = 0.5 * (hard + float(weight.sum()))
        found = _found(joined, np.concatenate(owner), windows_before)
        areas.append(_area(joined, weight, found, positives))
    return float(np.mean(areas))


def softened(rows: int, windows: Windows, width: int) -> NDArray[np.float64]:
    """Labels that fall from 1 at a window's edges to 0 ``width`` samples away."""
    out = labels(rows, windows)
    for first, last in windows:
        for away in range(1, width):
            share = np.sqrt(1.0 - away / width)
            for row in (first - away, last + away):
                if 0 <= row < rows:
                    out[row] = max(out[row], share)
    return out


def _found(
    scores: NDArray[np.float64], owner: NDArray[np.int64], windows: int
) -> NDArray[np.float64]:
    """float64[n]: at each score, the share of windows with a score at least as high."""
    highest = np.array([scores[owner == n].max() for n in range(windows)])
    order = np.sort(highest)
    return 1.0 - np.searchsorted(order, scores, side="left") / max(windows, 1)


def _area(
    scores: NDArray[np.float64], truth: NDArray[np.float64], share: NDArray[np.float64],
    positives: float,
) -> float:  # fmt: skip
    """Sum of precision times the growth of recall, from the highest score down; recall is
    multiplied by ``share`` at each score."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last = np.append(np.diff(scores[order]) != 0, True)  # of each run of equal scores
    hits, taken = hits[last], np.flatnonzero(last) + 1.0
    recall = np.minimum(hits / positives, 1.0) * share[order][last]
    precision = hits / taken
    growth = np.diff(np.append(0.0, recall))
    return float((precision * np.maximum(growth, 0.0)).sum())


@attrs.frozen
class Events:
    """Alarms against windows. ``delays``: samples from each found window's start to its alarm."""

    windows: int
    found: int
    alarms: int
    false_alarms: int
    delays: tuple[int, ...]

    @property
    def precision(self) -> float:
        return 1.0 - self.false_alarms / self.alarms if self.alarms else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.windows if self.windows else 1.0


def alarms(scores: NDArray[np.float64], threshold: float) -> list[int]:
    """Rows at which an alarm begins: at or above the threshold after ``APART`` samples below."""
    out: list[int] = []
    last = -APART - 1
    for row in np.flatnonzero(scores >= threshold).tolist():
        if row - last > APART:
            out.append(row)
        last = row
    return out


def events(
    scores: NDArray[np.float64], windows: Windows, threshold: float, start: int = 0
) -> Events:
    """Alarms from row ``start`` on; an alarm inside a window is a true one."""
    begun = [row for row in alarms(scores, threshold) if row >= start]
    above = np.flatnonzero(scores >= threshold)
    delays = []
    for first, last in windows:
        inside = above[(above >= max(first, start)) & (above <= last)]
        if len(inside):
            delays.append(int(inside[0]) - first)
    false = sum(not any(a <= row <= b for a, b in windows) for row in begun)
    return Events(len(windows), len(delays), len(begun), false, tuple(delays))
