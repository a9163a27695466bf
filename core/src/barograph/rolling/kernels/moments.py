"""Moving variance, deviation, z-score, slope, skewness and kurtosis: windows by count.

Spread of long rows goes by differences (``differences``) where those are good. All else: sums of
powers of x - x[pivot]; see ``scans`` for the walk and why nothing is lost, ``sums`` for the layout
of ``left``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph.rolling.kernels.differences import (
    GAPS,
    LONGEST_DOUBT,
    NOT_GOOD,
    SHORTEST,
    first_stretch,
    spread_stretch,
    spread_stretch_with_gaps,
    stretch_end,
)
from barograph.rolling.kernels.scans import MARGIN, first_pivot, padded, region_after
from barograph.rolling.kernels.shape import complete_shape, gaps_shape
from barograph.rolling.kernels.slope import complete_slope, gaps_slope
from barograph.rolling.kernels.spread import complete_spread, gaps_spread

if TYPE_CHECKING:
    from numpy.typing import NDArray

VAR, STD, ZSCORE, SLOPE, SKEW, KURT = range(6)


@kernel
def moments(
    x: NDArray[np.float64],
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    out: NDArray[np.float64],
) -> None:
    """One statistic of moving windows over rows x[rows, n]; O(1) a value."""
    left = np.zeros(5 * (window + 2 * MARGIN))
    for row in range(len(x)):
        _row(x[row], window, min_count, ddof, what, left, out[row])


@piece
def _row(x: Any, window: int, min_count: int, ddof: int, what: int, left: Any, out: Any) -> None:
    """Spread by differences where that is good; else, and all others, by two scans."""
    n = len(x)
    differences = what <= ZSCORE and window >= SHORTEST
    at = min(first_stretch(out, window) if differences else n, n)
    _walk(x, 0, at, window, min_count, ddof, what, left, out)
    deviation, score = what != VAR, what == ZSCORE
    gaps = False
    doubt = skip = 0
    while at < n:
        stop = stretch_end(at, n, window)
        if stop > at and skip == 0:
            said = GAPS
            if not gaps:
                said = spread_stretch(x, at, stop, window, ddof, deviation, score, out)
            if said == GAPS:
                said = spread_stretch_with_gaps(
                    x, at, stop, window, min_count, ddof, deviation, score, out
                )
            if said != NOT_GOOD:
                gaps = said == GAPS
                doubt = 0
                at = stop
                continue
            skip = doubt
            doubt = min(2 * doubt + 1, LONGEST_DOUBT)
        else:
            skip = max(skip - 1, 0)
        stop = stop if stop > at else n
        _walk(x, at, stop, window, min_count, ddof, what, left, out)
        at = stop


@piece
def _walk(
    x: Any,
    begin: int,
    end: int,
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    left: Any,
    out: Any,
) -> None:
    """Windows that end in [begin, end) by two scans; some beside them may be done as well."""
    n = len(x)
    p = first_pivot(x, begin, window)
    out[begin:p] = np.nan
    nan_at = p - 1
    while p < end:
        stop, following = region_after(x, p, window)
        if stop > end:
            stop = following = end
        if p - window - MARGIN < 0 or stop + MARGIN > n:
            start = p - window - MARGIN
            part = padded(x, start, stop + MARGIN)
            result = np.empty(len(part), out.dtype)
            if not _gaps(
                part, p - start, stop - start, window, min_count, ddof, what, left, result
            ):
                nan_at = stop - 1
            out[p:stop] = result[p - start : stop - start]
        elif (
            nan_at > p - window or not _complete(x, p, stop, window, ddof, what, left, out)
        ) and not _gaps(x, p, stop, window, min_count, ddof, what, left, out):
            nan_at = stop - 1
        out[stop:following] = np.nan
        nan_at = following - 1 if following > stop else nan_at
        p = following


@piece
def _complete(
    x: Any, p: int, stop: int, window: int, ddof: int, what: int, left: Any, out: Any
) -> bool:
    """The region when no value is NaN; False, and its results wrong, if one is."""
    if what == SLOPE:
        return complete_slope(x, p, stop, window, left, out)
    if what >= SKEW:
        return complete_shape(x, p, stop, window, ddof, what == KURT, left, out)
    return complete_spread(x, p, stop, window, ddof, what != VAR, what == ZSCORE, left, out)


@piece
def _gaps(
    x: Any,
    p: int,
    stop: int,
    window: int,
    min_count: int,
    ddof: int,
    what: int,
    left: Any,
    out: Any,
) -> bool:
    if what == SLOPE:
        return gaps_slope(x, p, stop, window, min_count, left, out)
    if what >= SKEW:
        return gaps_shape(x, p, stop, window, min_count, ddof, what == KURT, left, out)
    return gaps_spread(x, p, stop, window, min_count, ddof, what != VAR, what == ZSCORE, left, out)
