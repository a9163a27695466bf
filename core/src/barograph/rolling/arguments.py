"""What all moving statistics do with their arguments: shapes, types, windows, mistakes."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Result = Any
"""An array of floats with the shape of the input: float32 for float32, else float64."""


@attrs.frozen(eq=False)
class Rows:
    """An array as rows along the wanted axis, and the way back."""

    values: NDArray[np.float64]
    """float64[rows, n], contiguous; float32 if the input is and was wanted as it is."""
    shape: tuple[int, ...]
    axis: int
    dtype: np.dtype[Any]

    def empty(self) -> NDArray[np.float64]:
        """Uninitialised room for a result."""
        return np.empty(self.values.shape, self.values.dtype)

    def back(self, result: NDArray[np.float64]) -> Result:
        """A result [rows, n] in the shape and type of the input."""
        out = result.reshape(self.shape)
        if self.axis != len(self.shape) - 1:
            out = np.moveaxis(out, -1, self.axis)
        return out if self.dtype == out.dtype else out.astype(self.dtype)


@attrs.frozen(eq=False)
class TimeWindows:
    """Windows by time: where each starts, and the times as float64 since the first one."""

    starts: NDArray[np.int64]
    elapsed: NDArray[np.float64]
    duration: float


def as_rows(a: ArrayLike, axis: int, *, narrow: bool = False) -> Rows:
    """``a`` as float64 rows; real numbers only, at least one axis.

    ``narrow``: float32 stays so, for a kernel that reads and writes it (and computes in float64).
    """
    array = np.asarray(a)
    if array.ndim == 0:
        raise ValueError("a moving window needs an array with at least one axis, not a number")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"moving statistics are of real numbers, not of dtype {array.dtype}")
    try:
        axis = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis must be an integer, not {axis!r}") from None
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis {axis} is out of bounds for an array of {array.ndim} dimensions")
    axis %= array.ndim
    moved = array if axis == array.ndim - 1 else np.moveaxis(array, axis, -1)
    n = moved.shape[-1]
    rows = moved.reshape(-1, n) if n else np.empty((0, 0))
    dtype = array.dtype if array.dtype == np.float32 else np.dtype(np.float64)
    wanted = dtype if narrow else np.float64
    values: NDArray[np.float64] = np.require(rows, wanted, ["C", "A", "W"])
    return Rows(values, moved.shape, axis, dtype)


def counted(window: int, min_count: int | None, n: int) -> tuple[int, int]:
    """``window`` and ``min_count`` (default: the window) of windows by count, checked."""
    try:
        window = operator.index(window)
    except TypeError:
        raise TypeError(
            f"window must be a number of values, not {window!r}; a window by time needs t as well"
        ) from None
    if not 1 <= window <= n:
        raise ValueError(f"window is {window}, but must be from 1 to {n}, the length of the axis")
    return window, _checked_count(min_count, window, window)


def timed(t: ArrayLike, window: Any, min_count: int | None, n: int) -> tuple[TimeWindows, int]:
    """Windows (t[i] - window, t[i]] and ``min_count`` (default: 1), checked.

    ``t`` int64, float64 or datetime64[n], never falling; ``window`` in t's unit or timedelta64.
    """
    times = np.asarray(t)
    if times.shape != (n,):
        raise ValueError(f"t has shape {times.shape}, but must have one time a value: ({n},)")
    if times.dtype.kind == "M":
        if np.isnat(times).any():
            raise ValueError("t has a time that is NaT")
        window = np.timedelta64(window).astype(times.dtype.str.replace("M8", "m8")).astype(np.int64)
        times = times.astype(np.int64)
    elif times.dtype.kind == "f":
        times = np.require(times, np.float64, ["C", "A", "W"])
        if not np.isfinite(times).all():
            raise ValueError("t has a time that is not finite")
    elif times.dtype.kind in "iu":
        times = np.require(times, np.int64, ["C", "A", "W"])
        if isinstance(window, float) and not window.is_integer():
            times = times.astype(np.float64)
    else:
        raise TypeError(f"t must be integers, floats or datetime64, not dtype {times.dtype}")
    if n and (times[1:] < times[:-1]).any():
        at = int(np.flatnonzero(times[1:] < times[:-1])[0]) + 1
        raise ValueError(f"t must not fall, but t[{at}] is less than t[{at - 1}]")
    if not window > 0:
        raise ValueError(f"window is {window}, but a duration must be greater than 0")
    from barograph.rolling.kernels.timed import window_starts

    duration = int(window) if times.dtype == np.int64 else float(window)
    starts = window_starts(times, duration)  # type: ignore[arg-type]
    elapsed = (times - times[0]).astype(np.float64) if n else np.empty(0)
    return TimeWindows(starts, elapsed, float(window)), _checked_count(min_count, 1, max(n, 1))


def _checked_count(min_count: int | None, default: int, most: int) -> int:
    if min_count is None:
        return default
    try:
        min_count = operator.index(min_count)
    except TypeError:
        raise TypeError(f"min_count must be an integer or None, not {min_count!r}") from None
    if min_count < 1:
        raise ValueError(f"min_count is {min_count}, but must be at least 1")
    if min_count > most:
        raise ValueError(f"min_count is {min_count}, but a window holds at most {most} values")
    return min_count


def checked_ddof(ddof: int) -> int:
    """``ddof``, which must be a whole number from 0 on."""
    try:
        ddof = operator.index(ddof)
    except TypeError:
        raise TypeError(f"ddof must be an integer, not {ddof!r}") from None
    if ddof < 0:
        raise ValueError(f"ddof is {ddof}, but must be at least 0")
    return ddof
