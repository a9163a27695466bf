"""How much the mean of a stretch of a series wavers by itself, at each length of the stretch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 16
"""Lengths up to this part of the series are measured (twice it below 256 values); longer ones
follow from the last."""

_MAD = 1.4826


@attrs.frozen(eq=False)
class Noise:
    """Standard deviations of the difference of two neighbouring means: ``sizes`` int64[k] values in
    each, ``deviations`` float64[k]; beyond the last size they go as size ** ``power``."""

    sizes: NDArray[np.int64]
    deviations: NDArray[np.float64]
    power: float

    def at(self, size: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """For two means of ``size`` values each."""
        size = np.asarray(size, np.float64)
        logs = np.log(self.deviations)
        inside = np.exp(np.interp(np.log(size), np.log(self.sizes), logs))
        beyond = self.deviations[-1] * (size / self.sizes[-1]) ** self.power
        return np.where(size > self.sizes[-1], beyond, inside)


def noise(x: NDArray[np.float64]) -> Noise | None:
    """The noise of x[n], by the Allan variance with medians for means (D. Allan, Proc. IEEE 54,
    1966): for white noise the deviations fall as size ** -0.5, for a random walk they grow as
    size ** 0.5, for a drift as size. A level that jumps a few times does not count. None if nothing
    moves. O(n log n)."""
    n = len(x)
    sums = np.concatenate(([0.0], np.cumsum(x - np.median(x))))
    sizes, deviations = [], []
    size = 1
    while size == 1 or size <= n // (LONGEST if n >= 256 else LONGEST // 2):
        means = (sums[size:] - sums[:-size]) / size
        steps = np.abs(means[size:] - means[:-size])
        sizes.append(size)
        deviations.append(_deviation(steps))
        size *= 2
    found = np.array(deviations)
    if not found.any():
        return None
    # Where most steps are 0, a longer stretch tells.
    for i in range(len(found) - 2, -1, -1):
        if found[i] == 0.0:
            found[i] = found[i + 1]
    for i in range(1, len(found)):
        if found[i] == 0.0:
            found[i] = found[i - 1] / np.sqrt(2)
    power = -0.5
    if len(found) >= 2:
        tail = slice(-4, None)
        power = float(np.polyfit(np.log(sizes[tail]), np.log(found[tail]), 1)[0])
    return Noise(np.array(sizes), found, min(max(power, -0.5), 1.0))


def _deviation(steps: NDArray[np.float64]) -> float:
    middle = float(np.median(steps))
    if middle > 0.0:
        return _MAD * middle
    kept = np.sort(steps)[: max(len(steps) * 9 // 10, 1)]
    return float(np.sqrt(np.mean(kept**2)))
