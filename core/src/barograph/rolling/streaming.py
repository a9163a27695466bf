"""Moving statistics of many series, one call a tick.

``MovingState`` holds the windows of all series as arrays. A series has a slot; a tick hands in one
value a slot, NaN where there is none, and all series move on together. The figures are those of the
batch functions with ``min_count`` as given (to a relative 1e-9), order statistics and extremes
exactly those.
"""

from __future__ import annotations

import io
import json
import operator
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

_FORMAT = 1
_FENCE = 32  # as in kernels.windows, which is imported late
_SUMS, _ORDER, _EWM = "sums", "order", "ewm"
_PARTS = (_SUMS, _ORDER, _EWM)


class MovingState:
    """Windows of ``window`` ticks over many series.

    ``parts`` says what is kept: "sums" (sum, mean, variance, deviation, z-score), "order" (min,
    max, median, quantile, MAD), "ewm" (weighted mean and deviation over a span of ``span`` ticks,
    by default the window). Memory: 8 window bytes a series, twice that with "order". Not for use by
    two threads at once.
    """

    def __init__(
        self,
        window: int,
        series: int = 0,
        *,
        min_count: int | None = None,
        span: float | None = None,
        parts: Iterable[str] = _PARTS,
    ) -> None:
        self.window = operator.index(window)
        if self.window < 1:
            raise ValueError(f"window is {window}, but must be at least 1 tick")
        self.min_count = self.window if min_count is None else operator.index(min_count)
        if not 1 <= self.min_count <= self.window:
            raise ValueError(f"min_count is {min_count}, but must be from 1 to {self.window}")
        self.span = float(self.window if span is None else span)
        if not 1.0 <= self.span < np.inf:
            raise ValueError(f"span is {span}, but must be at least 1 and finite")
        self.parts = tuple(part for part in _PARTS if part in set(parts))
        if unknown := set(parts) - set(_PARTS):
            raise ValueError(f"unknown parts {sorted(unknown)}; known are {list(_PARTS)}")
        self._at = 0
        self._ring = np.empty((self.window, 0))
        self._newest = np.empty(0)
        self._count = np.empty(0)
        self._sums = np.empty((6, 0))
        self._members = np.empty(0, np.int64)
        self._nearest = np.empty(0, np.int64)
        self._ordered = np.empty((0, self.window))
        self._fences = np.empty((0, -(-self.window // _FENCE)))
        self._ewm_count = np.empty(0)
        self._ewm = np.empty((5, 0))
        self._free: list[int] = []
        self._slots = 0
        self.add(series)

    def __len__(self) -> int:
        """How many slots there are, free ones among them: the length of a tick's values."""
        return self._slots

    def add(self, series: int = 1) -> NDArray[np.int64]:
        """int64[series] slots for new series, freed ones first; their windows are empty."""
        reused, self._free = self._free[:series], self._free[series:]
        fresh = series - len(reused)
        if fresh > 0:
            start, self._slots = self._slots, self._slots + fresh
            reused = [*reused, *range(start, self._slots)]
            if self._slots > self._ring.shape[1]:
                self._grow(max(self._slots, self._ring.shape[1] * 3 // 2))
        return np.array(reused, np.int64)

    def remove(self, slots: ArrayLike) -> None:
        """Empties the windows of ``slots`` and frees them for series to come.

        A free slot still takes a value in a tick; give NaN.
        """
        gone = np.unique(np.asarray(slots, np.int64))
        if len(gone) and (gone[0] < 0 or gone[-1] >= self._slots):
            raise IndexError(f"slots must be from 0 to {self._slots - 1}")
        if doubled := set(gone.tolist()) & set(self._free):
            raise ValueError(f"slots {sorted(doubled)} are free already")
        self._clear(gone)
        self._free.extend(gone.tolist())

    def update(self, values: ArrayLike) -> None:
        """One tick: float64[len(self)], one value a slot; O(1) a series, O(w) copied with order."""
        new = np.require(values, np.float64, ["C", "A", "W"])
        if new.shape != (self._slots,):
            raise ValueError(
                f"values have shape {new.shape}, but there are {self._slots} slots, one value each"
            )
        from barograph.rolling.kernels import streaming as kernels

        n, at = self._slots, self._at
        if _ORDER in self.parts:
            from barograph.rolling.kernels.windows import tick_order

            tick_order(
                self._ring[at, :n], new, self._members[:n], self._ordered[:n], self._fences[:n]
            )
        if _EWM in self.parts:
            keep = 1.0 - 2.0 / (self.span + 1.0)
            kernels.tick_ewm(new, keep, self._ewm_count[:n], self._ewm[:, :n])
        if _SUMS in self.parts:
            kernels.tick_sums(self._ring[:, :n], at, new, self._count[:n], self._sums[:, :n])
        else:
            self._ring[at, :n] = new
        self._newest[:n] = new
        self._at = (at + 1) % self.window

    def sum(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_sum``."""
        self._need(_SUMS)
        shift, total = self._sums[0, : self._slots], self._sums[1, : self._slots]
        count = self._count[: self._slots]
        return self._enough(total + (self._sums[2, : self._slots] + count * shift))

    def mean(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_mean``."""
        self._need(_SUMS)
        return self._enough(self._sums[0, : self._slots] + self._shifted_mean())

    def var(self, ddof: int = 0) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_var``."""
        self._need(_SUMS)
        n = self._slots
        count, mean = self._count[:n], self._shifted_mean()
        high1, low1, high2, low2 = self._sums[1:5, :n]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            squares = high2 - high1 * mean + (low2 - low1 * mean)
            value = np.maximum(squares, 0.0) / (count - ddof)
        value[count <= ddof] = np.nan
        return self._enough(value)

    def std(self, ddof: int = 0) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_std``."""
        return np.sqrt(self.var(ddof))

    def zscore(self, ddof: int = 0) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_zscore``."""
        std = self.std(ddof)
        with np.errstate(invalid="ignore", divide="ignore"):
            distance = self._newest[: self._slots] - self._sums[0, : self._slots]
            out: NDArray[np.float64] = (distance - self._shifted_mean()) / std
        return out

    def min(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_min``."""
        return self.quantile(0.0)

    def max(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_max``."""
        return self.quantile(1.0)

    def median(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_median``."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_quantile``."""
        self._need(_ORDER)
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q is {q}, but must be from 0 to 1")
        from barograph.rolling.kernels.windows import read_quantile

        n, out = self._slots, np.empty(self._slots)
        read_quantile(self._ordered[:n], self._members[:n], self.min_count, float(q), out)
        return out

    def mad(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``move_mad``; O(log w) a series."""
        self._need(_ORDER)
        from barograph.rolling.kernels.windows import read_mad

        n, out = self._slots, np.empty(self._slots)
        read_mad(self._ordered[:n], self._members[:n], self._nearest[:n], self.min_count, out)
        return out

    def ewm_mean(self) -> NDArray[np.float64]:
        """float64[len(self)]: as ``ewm_mean`` with window ``span`` and min_count 1."""
        self._need(_EWM)
        n = self._slots
        return np.where(self._ewm_count[:n] > 0, self._ewm[2, :n] + self._ewm[3, :n], np.nan)

    def ewm_std(self, ddof: int = 0) -> NDArray[np.float64]:
        """float64[len(self)]: as ``ewm_std`` with window ``span`` and min_count 1; ddof 0 or 1."""
        self._need(_EWM)
        if ddof not in (0, 1):
            raise ValueError(f"ddof is {ddof}, but weighted deviations know 0 and 1 only")
        weight, pairs, _, _, squares = self._ewm[:, : self._slots]
        with np.errstate(invalid="ignore", divide="ignore"):
            free = pairs / weight if ddof else weight
            out: NDArray[np.float64] = np.sqrt(squares / free)
        out[~(free > 0)] = np.nan
        return out

    def to_bytes(self) -> bytes:
        """The whole state, as an uncompressed npz archive."""
        n = self._slots
        meta = {
            "format": _FORMAT,
            "window": self.window,
            "min_count": self.min_count,
            "span": self.span,
            "parts": self.parts,
            "at": self._at,
            "free": self._free,
        }
        out = io.BytesIO()
        arrays: dict[str, Any] = {name: array[..., :n] for name, array in self._by_series().items()}
        if _ORDER in self.parts:
            arrays |= {"ordered": self._ordered[:n], "fences": self._fences[:n]}
        np.savez(out, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> MovingState:
        """What ``to_bytes`` gave; ``ValueError`` for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            meta: dict[str, Any] = json.loads(arrays.pop("meta").tobytes())
            if meta["format"] != _FORMAT:
                raise ValueError(f"is of format {meta['format']}, this reads {_FORMAT}")
            state = cls(
                meta["window"], min_count=meta["min_count"], span=meta["span"], parts=meta["parts"]
            )
            n = arrays["newest"].shape[0]
            state.add(n)
            wanted: dict[str, NDArray[Any]] = {
                name: array[..., :n] for name, array in state._by_series().items()
            }
            if _ORDER in state.parts:
                wanted |= {"ordered": state._ordered[:n], "fences": state._fences[:n]}
            for name, array in wanted.items():
                if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                    raise ValueError(f"its {name!r} has the wrong shape or type")
                array[...] = arrays[name]
            state._at = int(meta["at"]) % state.window
            state._free = [int(slot) for slot in meta["free"]]
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a saved MovingState: {error}") from error
        return state

    def _by_series(self) -> dict[str, NDArray[Any]]:
        """Arrays whose last axis is the slot."""
        arrays: dict[str, NDArray[Any]] = {"ring": self._ring, "newest": self._newest}
        if _SUMS in self.parts:
            arrays |= {"count": self._count, "sums": self._sums}
        if _ORDER in self.parts:
            arrays |= {"members": self._members, "nearest": self._nearest}
        if _EWM in self.parts:
            arrays |= {"ewm_count": self._ewm_count, "ewm": self._ewm}
        return arrays

    def _grow(self, room: int) -> None:
        fresh = np.arange(self._ring.shape[1], room)
        for name, array in self._by_series().items():
            larger = np.zeros((*array.shape[:-1], room), array.dtype)
            larger[..., : array.shape[-1]] = array
            setattr(self, f"_{name}", larger)
        if _ORDER in self.parts:
            for name in ("_ordered", "_fences"):
                array = getattr(self, name)
                larger = np.zeros((room, array.shape[1]))
                larger[: len(array)] = array
                setattr(self, name, larger)
        self._clear(fresh)

    def _clear(self, slots: NDArray[Any]) -> None:
        for array in self._by_series().values():
            array[..., slots] = 0
        self._ring[:, slots] = np.nan
        if _ORDER in self.parts:
            self._fences[slots] = np.inf
        self._newest[slots] = np.nan

    def _need(self, part: str) -> None:
        if part not in self.parts:
            raise ValueError(f'this state keeps {list(self.parts)}; add "{part}" to its parts')

    def _shifted_mean(self) -> NDArray[np.float64]:
        n = self._slots
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: NDArray[np.float64] = (self._sums[1, :n] + self._sums[2, :n]) / self._count[:n]
        return mean

    def _enough(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(self._count[: self._slots] >= self.min_count, value, np.nan)
