"""Moving variance, deviation, z-score, slope, skewness and kurtosis.

Sums of powers about a value of the window itself (see ``barograph.rolling.kernels.scans``): taking
the mean out loses at most log2(n + 1) bits for a window of n values, at any offset, after any jump.
A flat window has a variance of exactly 0.

Arguments and errors: see ``barograph.rolling.sums``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barograph.rolling.arguments import Result, as_rows, checked_ddof, counted, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def move_var(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Variance of each window, in the unit of ``a`` squared; O(1) a value.

    NaN where the count is not greater than ``ddof``.
    """
    return _moments("VAR", a, window, min_count, axis, ddof, t)


def move_std(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Standard deviation of each window, in the unit of ``a``; the root of ``move_var``."""
    return _moments("STD", a, window, min_count, axis, ddof, t)


def move_zscore(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """(newest value - mean) / deviation of each window, its newest value among them; no unit.

    NaN where the newest value is NaN or the window is flat. O(1) a value.
    """
    return _moments("ZSCORE", a, window, min_count, axis, ddof, t)


def move_slope(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Least-squares slope of each window, in the unit of ``a`` per step, or per unit of ``t``.

    NaN with fewer than two values. Missing values leave a gap: the others keep their places. O(1) a
    value.
    """
    return _moments("SLOPE", a, window, min_count, axis, ddof, t)


def move_skew(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Skewness of each window, no unit: g1 with ``ddof=0``, bias-adjusted G1 with ``ddof=1``.

    NaN for a flat window, for G1 also with fewer than three values. (D. Joanes and C. Gill, The
    Statistician 47, 1998.) O(1) a value.
    """
    return _moments("SKEW", a, window, min_count, axis, ddof, t)


def move_kurt(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Excess kurtosis of each window, no unit: g2 with ``ddof=0``, adjusted G2 with ``ddof=1``.

    NaN for a flat window, for G2 also with fewer than four values. O(1) a value.
    """
    return _moments("KURT", a, window, min_count, axis, ddof, t)


def _moments(
    what: str,
    a: ArrayLike,
    window: Any,
    min_count: int | None,
    axis: int,
    ddof: int,
    t: ArrayLike | None,
) -> Result:
    rows = as_rows(a, axis, narrow=t is None)
    n = rows.values.shape[1]
    ddof = checked_ddof(ddof)
    out = rows.empty()
    if t is not None:
        from barograph.rolling.kernels import timed as timed_kernels

        windows, least = timed(t, window, min_count, n)
        code = getattr(timed_kernels, what)
        timed_kernels.timed_moments(
            rows.values, windows.elapsed, windows.starts, least, ddof, code, out
        )
        return rows.back(out)
    from barograph.rolling.kernels import moments as kernels

    window, least = counted(window, min_count, n)
    kernels.moments(rows.values, window, least, ddof, getattr(kernels, what), out)
    return rows.back(out)
