"""Detectors at work: finding one, series under watch, and history as a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.config.errors import nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Detector
    from barograph.plugins import PluginManager


def find_detector(plugins: PluginManager, name: str) -> Detector:
    """The detector of this name. Raises LookupError with the nearest name there is."""
    found: dict[str, Detector] = {}
    for _, detector in plugins.call("barograph_detectors"):
        found.setdefault(detector.name, detector)
    if name not in found:
        names = ", ".join(sorted(found)) or "none; pip install barograph-anomaly brings some"
        raise LookupError(
            f'there is no detector "{name}"{nearest(name, sorted(found))}; installed: {names}'
        )
    return found[name]


def replay(
    detector: Detector, t_ms: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores float64[n] of one series' history, by ``update`` sample by sample."""
    state = detector.state(1)
    out = np.empty(len(values))
    for i, t in enumerate(t_ms.tolist()):
        out[i] = detector.update(state, t, values[i : i + 1])[0]
    return out


class Watch:
    """Series under a detector's watch: their state, which grows, shrinks and can be kept.

    Series are positions, 0 to ``len(watch) - 1``. Not safe for several threads at once.
    """

    def __init__(self, detector: Detector, series: int = 0) -> None:
        self.detector = detector
        self.state = detector.state(series)
        self._n = series

    def __len__(self) -> int:
        return self._n

    def update(self, t_ms: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of one tick; ``values`` float64[n]. Raises ValueError for another n."""
        if values.shape != (self._n,):
            raise ValueError(f"{values.shape} values for {self._n} series under watch")
        return self.detector.update(self.state, t_ms, values)

    def add(self, series: int) -> None:
        """Watch so many more; they get the positions after all others."""
        fresh = self.detector.state(series)
        self.state = {
            name: np.concatenate([rows, fresh[name]]) for name, rows in self.state.items()
        }
        self._n += series

    def remove(self, series: Sequence[int]) -> None:
        """Forget these; the rest keep their order and close the gaps."""
        gone = np.asarray(series, np.int64)
        self.state = {name: np.delete(rows, gone, axis=0) for name, rows in self.state.items()}
        self._n -= len(np.unique(gone % self._n)) if len(gone) else 0

    def save(self) -> dict[str, NDArray[Any]]:
        """A copy of all that is known, as arrays that ``numpy.savez`` can write."""
        return {name: rows.copy() for name, rows in self.state.items()}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what ``save`` gave. Raises ValueError if it is of another detector, or of
        another version of this one."""
        fresh = self.detector.state(0)
        if set(saved) != set(fresh):
            raise ValueError(f"this is no state of {self.detector.name}: it has {sorted(saved)}")
        sizes = set()
        for name, rows in saved.items():
            wanted = fresh[name]
            if rows.ndim == 0 or rows.shape[1:] != wanted.shape[1:] or rows.dtype != wanted.dtype:
                raise ValueError(
                    f"{name} is {rows.dtype}{rows.shape}, but {self.detector.name} keeps "
                    f"{wanted.dtype}(n, {', '.join(map(str, wanted.shape[1:]))})"
                )
            sizes.add(len(rows))
        if len(sizes) > 1:
            raise ValueError(f"the saved arrays are of {sorted(sizes)} series")
        self.state = {name: rows.copy() for name, rows in saved.items()}
        self._n = sizes.pop() if sizes else 0
