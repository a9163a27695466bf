"""Exponentially weighted mean and deviation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barograph.rolling.arguments import Result, as_rows, checked_ddof, timed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def ewm_mean(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Mean of all values so far, the newest weighing most, in the unit of ``a``; O(1) a value.

    ``window`` is the span, a float from 1 on: the value j steps before the newest weighs
    (1 - 2 / (window + 1))^j, over the sum of all weights. With ``t``, ages are times and the weight
    is exp(-2 age / window), which a span comes to where values are dense. A NaN adds nothing and
    leaves the result as it is; ages go on. ``min_count`` (default 1) values are needed.

    The recursion is run eight values at a time as a scan. Other arguments and errors: see
    ``barograph.rolling.sums``.
    """
    return _ewm(a, window, min_count, axis, 0, t, deviation=False)


def ewm_std(
    a: ArrayLike,
    window: Any,
    min_count: int | None = None,
    *,
    axis: int = -1,
    ddof: int = 0,
    t: ArrayLike | None = None,
) -> Result:
    """Standard deviation with the weights of ``ewm_mean``, in the unit of ``a``; O(1) a value.

    ``ddof=1`` corrects for bias: over the sum of weights w less (sum of w^2 / sum of w), NaN for
    one value alone. Moments are about a mean that is at most a span old (D. West, CACM 22, 1979).
    """
    return _ewm(a, window, min_count, axis, checked_ddof(ddof), t, deviation=True)


def _ewm(
    a: ArrayLike,
    window: Any,
    min_count: int | None,
    axis: int,
    ddof: int,
    t: ArrayLike | None,
    *,
    deviation: bool,
) -> Result:
    rows = as_rows(a, axis)
    n = rows.values.shape[1]
    out = rows.empty()
    least = 1 if min_count is None else min_count
    if least < 1:
        raise ValueError(f"min_count is {least}, but must be at least 1")
    if ddof > 1:
        raise ValueError(f"ddof is {ddof}, but weighted deviations know 0 and 1 only")
    if t is not None:
        from barograph.rolling.kernels.timed import timed_ewm

        windows, _ = timed(t, window, None, n)
        timed_ewm(rows.values, windows.elapsed, windows.duration, least, ddof, deviation, out)
        return rows.back(out)
    from barograph.rolling.kernels.ewm import ewm

    if not 1.0 <= window < float("inf"):
        raise ValueError(f"window, a span, is {window}, but must be at least 1 and finite")
    ewm(rows.values, 2.0 / (window + 1.0), least, ddof, deviation, out)
    return rows.back(out)
