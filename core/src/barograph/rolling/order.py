"""Moving order statistics: median, quantile, interquartile range, MAD, rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.arguments import Result, as_rows, counted, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def move_median(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Median of each window, in the unit of ``a``; exact.

    Chunks of a few windows are sorted ahead and a pointer follows the middle rank: O(log w) a value
    at worst, O(1) where values are spread. Arguments and errors: see ``barograph.rolling.sums``.
    """
    return _order("MEDIAN", a, window, min_count, axis, t, 0.5)


def move_quantile(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    q: float = 0.5,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """The ``q``-quantile of each window, 0 <= q <= 1, linear between neighbours (numpy's default).

    Cost and arguments as ``move_median``. A wild ``q`` is a ``ValueError``.
    """
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"q is {q}, but must be from 0 to 1")
    return _order("QUANTILE", a, window, min_count, axis, t, float(q))


def move_iqr(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Interquartile range of each window: its 0.75-quantile less its 0.25-quantile.

    Cost and arguments as ``move_median``.
    """
    return _order("SPREAD", a, window, min_count, axis, t, 0.25)


def move_mad(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Median distance from the median of each window, in the unit of ``a``, not scaled.

    The half that is nearest to the median is a run of sorted values; two pointers follow its ends.
    Cost as ``move_median``, plus O(n log n) bit counts for a step in which the median jumps between
    two far modes. NaN where the median is infinite. Arguments as ``move_median``.
    """
    return _order("MAD", a, window, min_count, axis, t, 0.0)


def move_rank(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Rank of the newest value in its window, from -1 (least) to 1 (greatest); ties share the mean.

    0 for a value alone, NaN where the newest is NaN. Counting members of a bit set below a rank:
    O(w / 64) a value. Arguments as ``move_median``.
    """
    return _order("RANK", a, window, min_count, axis, t, 0.0)


def _order(
    what: str,
    a: ArrayLike,
    window: Any,
    min_count: int | None,
    axis: int,
    t: ArrayLike | None,
    q: float,
) -> Result:
    from barograph.rolling.kernels import order as kernels

    rows = as_rows(a, axis)
    n = rows.values.shape[1]
    if t is not None:
        windows, least = timed(t, window, min_count, n)
        starts = windows.starts
    else:
        window, least = counted(window, min_count, n)
        starts = np.maximum(np.arange(1 - window, n - window + 1), 0)
    out = rows.empty()
    kernels.order(rows.values, starts, least, getattr(kernels, what), q, out)
    return rows.back(out)
