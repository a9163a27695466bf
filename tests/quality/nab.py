"""The Numenta Anomaly Benchmark's scorer (Lavin and Ahmad, 2015), from its published rules.

Every detection inside a labelled window earns what a sigmoid of its place in the window says, only
the earliest counts; every detection outside costs, less if it comes shortly after a window; every
window without a detection costs. The first 15 % of a file (at most of 5,000 rows) are for learning
and do not count. One threshold for the whole corpus, the best for the profile; 0 is what silence
gets, 100 what a perfect detector gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBATION = 0.15
PROBATION_ROWS = 5_000


@attrs.frozen
class Profile:
    """What a hit earns, what a false detection and a missed window cost."""

    name: str
    hit: float
    false: float
    miss: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward low FP", 1.0, 0.22, 1.0),
    Profile("reward low FN", 1.0, 0.11, 2.0),
)


@attrs.frozen(eq=False)
class File:
    """A scored file: scores float64[n], windows as (first, last) row, both included."""

    name: str
    scores: NDArray[np.float64]
    windows: Sequence[tuple[int, int]]


def sigmoid(place: float) -> float:
    """What a detection is worth: near 1 at a window's start (-1), 0 at its end (0), then negative,
    and -1 from three window widths past its end."""
    return -1.0 if place > 3.0 else 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def probation(rows: int) -> int:
    """Rows at the start of a file that do not count."""
    return math.floor(PROBATION * min(rows, PROBATION_ROWS))


def worths(rows: int, windows: Sequence[tuple[int, int]], profile: Profile) -> NDArray[np.float64]:
    """float64[rows]: what a detection at each row adds (inside a window: the most it may)."""
    out = np.full(rows, -profile.false)
    ended: tuple[int, int] | None = None
    for first, last in windows:
        if ended is not None:
            _after(out, ended, first, profile)
        width = last - first + 1
        for row in range(first, last + 1):
            out[row] = sigmoid(-(last - row + 1) / width) * profile.hit / sigmoid(-1.0)
        ended = first, last
    if ended is not None:
        _after(out, ended, rows, profile)
    return out


def _after(out: NDArray[np.float64], window: tuple[int, int], until: int, profile: Profile) -> None:
    first, last = window
    for row in range(last + 1, until):
        out[row] = sigmoid((row - last) / max(last - first, 1)) * profile.false


@attrs.frozen
class Result:
    """The best normalised score of a corpus and its threshold."""

    profile: Profile
    score: float
    threshold: float


def best(files: Sequence[File], profile: Profile) -> Result:
    """The score at the one threshold that is best for the corpus; O(n log n)."""
    scores, gains, owners = [], [], []
    windows = 0
    for file in files:
        rows = len(file.scores)
        owner = np.full(rows, -1)
        for first, last in file.windows:
            owner[first : last + 1] = windows
            windows += 1
        start = probation(rows)
        scores.append(file.scores[start:])
        gains.append(worths(rows, file.windows, profile)[start:])
        owners.append(owner[start:])
    score, gain, owner = map(np.concatenate, (scores, gains, owners))
    order = np.argsort(-score, kind="stable")
    score, gain, owner = score[order], gain[order], owner[order]
    earned = np.full(windows, -profile.miss)
    total = top = -profile.miss * windows
    threshold = math.inf
    for i in range(len(score)):
        if owner[i] < 0:
            total += gain[i]
        elif gain[i] > earned[owner[i]]:
            total += gain[i] - earned[owner[i]]
            earned[owner[i]] = gain[i]
        if (i + 1 == len(score) or score[i + 1] != score[i]) and total > top:
            top, threshold = total, float(score[i])
    return Result(profile, normalised(top, windows, profile), threshold)


def at(files: Sequence[File], profile: Profile, threshold: float) -> float:
    """The normalised score at a given threshold."""
    windows = sum(len(file.windows) for file in files)
    return normalised(sum(raw(file, profile, threshold) for file in files), windows, profile)


def raw(file: File, profile: Profile, threshold: float) -> float:
    """One file's score before normalisation."""
    rows = len(file.scores)
    worth = worths(rows, file.windows, profile)
    hit = (file.scores >= threshold) & (np.arange(rows) >= probation(rows))
    outside = np.ones(rows, bool)
    total = 0.0
    for first, last in file.windows:
        outside[first : last + 1] = False
        inside = worth[first : last + 1][hit[first : last + 1]]
        total += max(float(inside.max()), -profile.miss) if len(inside) else -profile.miss
    return total + float(worth[hit & outside].sum())


def normalised(total: float, windows: int, profile: Profile) -> float:
    """0 for silence, 100 for a detection at the start of each window and no other."""
    silent = -profile.miss * windows
    perfect = profile.hit * windows
    return 100.0 * (total - silent) / (perfect - silent)
