"""Moving covariance and correlation of two arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.arguments import Result, as_rows, checked_ddof, counted, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def move_cov(
    a: ArrayLike,
    b: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Covariance of each window of ``a`` and ``b`` (same shape), in the product of their units.

    A pair counts if neither is NaN; NaN where the count is not greater than ``ddof``. O(1) a pair.
    Other arguments and errors: see ``barograph.rolling.sums``.
    """
    return _pairs(a, b, window, min_count, axis, ddof, t, correlate=False)


def move_corr(
    a: ArrayLike,
    b: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Pearson correlation of each window of ``a`` and ``b``, in [-1, 1].

    NaN where one of them is flat; ``ddof`` cancels. As ``move_cov``.
    """
    return _pairs(a, b, window, min_count, axis, ddof, t, correlate=True)


def _pairs(
    a: ArrayLike,
    b: ArrayLike,
    window: Any,
    min_count: int | None,
    axis: int,
    ddof: int,
    t: ArrayLike | None,
    *,
    correlate: bool,
) -> Result:
    shape_a, shape_b = np.shape(a), np.shape(b)
    if shape_a != shape_b:
        raise ValueError(f"a and b must have the same shape, but have {shape_a} and {shape_b}")
    rows, others = as_rows(a, axis), as_rows(b, axis)
    n = rows.values.shape[1]
    ddof = checked_ddof(ddof)
    out = rows.empty()
    if t is not None:
        from barograph.rolling.kernels.timed import timed_pairs

        windows, least = timed(t, window, min_count, n)
        timed_pairs(rows.values, others.values, windows.starts, least, ddof, correlate, out)
    else:
        from barograph.rolling.kernels.pairs import pairs

        window, least = counted(window, min_count, n)
        pairs(rows.values, others.values, window, least, ddof, correlate, out)
    if rows.dtype != others.dtype:  # float32 only if both are
        return np.asarray(rows.back(out), np.float64)
    return rows.back(out)
