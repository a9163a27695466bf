"""Moving minimum and maximum, and where they are.

Arguments and errors: see ``barograph.rolling.sums``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barograph.rolling.arguments import Result, as_rows, counted, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def move_min(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Least value of each window, in the unit of ``a``; exact, O(1) a value (van Herk 1992; Gil and
    Werman 1993; by time, a monotonic queue).
    """
    return _extremes(a, window, min_count, axis, t, sign=1.0, where=False)


def move_max(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Greatest value of each window; as ``move_min``."""
    return _extremes(a, window, min_count, axis, t, sign=-1.0, where=False)


def move_argmin(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """How many values ago the least value of each window was: 0 is the newest. Of equal values
    the newest counts. Floats, as NaN says too few values.
    """
    return _extremes(a, window, min_count, axis, t, sign=1.0, where=True)


def move_argmax(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """How many values ago the greatest value of each window was; as ``move_argmin``."""
    return _extremes(a, window, min_count, axis, t, sign=-1.0, where=True)


def _extremes(
    a: ArrayLike,
    window: Any,
    min_count: int | None,
    axis: int,
    t: ArrayLike | None,
    *,
    sign: float,
    where: bool,
) -> Result:
    rows = as_rows(a, axis, narrow=t is None)
    n = rows.values.shape[1]
    out = rows.empty()
    if t is not None:
        from barograph.rolling.kernels.timed import timed_extremes

        windows, least = timed(t, window, min_count, n)
        timed_extremes(rows.values, windows.starts, least, sign, where, out)
        return rows.back(out)
    from barograph.rolling.kernels.extremes import extremes

    window, least = counted(window, min_count, n)
    extremes(rows.values, window, least, sign, where, out)
    return rows.back(out)
