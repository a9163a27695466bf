"""Moving sums and means.

All moving statistics take ``(a, window, min_count=None, *, axis=-1, ddof=0, t=None)``:

- ``a``: real numbers of any shape; NaN is a missing value. The result has its shape, float32 for
  float32 and float64 for all else; it is computed in float64.
- ``window``: how many values along ``axis``, the newest among them, 1 to the length. With ``t``
  (int64, float64 or datetime64[n], never falling), a duration in its unit: values at times in
  (t[i] - window, t[i]] up to index i.
- ``min_count``: where a window has fewer values that are not NaN, the result is NaN. By default the
  window; with ``t``, 1.
- ``ddof``: what is taken off the count in a variance; functions without a variance ignore it.

Errors: ``ValueError`` for a window, min_count, axis or t that cannot be; ``TypeError`` for what is
not a real number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barograph.rolling.arguments import Result, as_rows, counted, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def move_sum(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Sum of each window, in the unit of ``a``; O(1) a value.

    Two scans a value, nothing is subtracted (van Herk 1992): the error is that of adding up the
    window alone, whatever came before it. Arguments and errors: see ``barograph.rolling.sums``.
    """
    return _sums(a, window, min_count, axis, t, mean=False)


def move_mean(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Mean of each window, in the unit of ``a``; O(1) a value. As ``move_sum``."""
    return _sums(a, window, min_count, axis, t, mean=True)


def _sums(
    a: ArrayLike, window: Any, min_count: int | None, axis: int, t: ArrayLike | None, *, mean: bool
) -> Result:
    rows = as_rows(a, axis, narrow=t is None)
    n = rows.values.shape[1]
    out = rows.empty()
    if t is not None:
        from barograph.rolling.kernels.timed import MEAN, SUM, timed_moments

        windows, least = timed(t, window, min_count, n)
        what = MEAN if mean else SUM
        timed_moments(rows.values, windows.elapsed, windows.starts, least, 0, what, out)
        return rows.back(out)
    from barograph.rolling.kernels.sums import sums

    window, least = counted(window, min_count, n)
    sums(rows.values, window, least, mean, out)
    return rows.back(out)
