"""Rolling statistics: batch over arrays, streaming over many series, trends, periods, downsampling.

Kernels are compiled by numba at their first use and cached on disk; importing this package, or a
module of it, imports neither numba nor scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barograph.rolling.downsample import lttb as lttb
    from barograph.rolling.downsample import minmax_lttb as minmax_lttb
    from barograph.rolling.ewm import ewm_mean as ewm_mean
    from barograph.rolling.ewm import ewm_std as ewm_std
    from barograph.rolling.extremes import move_argmax as move_argmax
    from barograph.rolling.extremes import move_argmin as move_argmin
    from barograph.rolling.extremes import move_max as move_max
    from barograph.rolling.extremes import move_min as move_min
    from barograph.rolling.moments import move_kurt as move_kurt
    from barograph.rolling.moments import move_skew as move_skew
    from barograph.rolling.moments import move_slope as move_slope
    from barograph.rolling.moments import move_std as move_std
    from barograph.rolling.moments import move_var as move_var
    from barograph.rolling.moments import move_zscore as move_zscore
    from barograph.rolling.order import move_iqr as move_iqr
    from barograph.rolling.order import move_mad as move_mad
    from barograph.rolling.order import move_median as move_median
    from barograph.rolling.order import move_quantile as move_quantile
    from barograph.rolling.order import move_rank as move_rank
    from barograph.rolling.pairs import move_corr as move_corr
    from barograph.rolling.pairs import move_cov as move_cov
    from barograph.rolling.period import Period as Period
    from barograph.rolling.period import autocorrelation as autocorrelation
    from barograph.rolling.period import find_periods as find_periods
    from barograph.rolling.streaming import MovingState as MovingState
    from barograph.rolling.sums import move_mean as move_mean
    from barograph.rolling.sums import move_sum as move_sum
    from barograph.rolling.trend import MannKendall as MannKendall
    from barograph.rolling.trend import TheilSen as TheilSen
    from barograph.rolling.trend import mann_kendall as mann_kendall
    from barograph.rolling.trend import theil_sen as theil_sen
    from barograph.rolling.warming import warm_up as warm_up

_WHERE = {
    "move_sum": "sums",
    "move_mean": "sums",
    "move_var": "moments",
    "move_std": "moments",
    "move_zscore": "moments",
    "move_slope": "moments",
    "move_skew": "moments",
    "move_kurt": "moments",
    "move_cov": "pairs",
    "move_corr": "pairs",
    "move_min": "extremes",
    "move_max": "extremes",
    "move_argmin": "extremes",
    "move_argmax": "extremes",
    "move_median": "order",
    "move_quantile": "order",
    "move_iqr": "order",
    "move_mad": "order",
    "move_rank": "order",
    "ewm_mean": "ewm",
    "ewm_std": "ewm",
    "MovingState": "streaming",
    "minmax_lttb": "downsample",
    "lttb": "downsample",
    "MannKendall": "trend",
    "mann_kendall": "trend",
    "TheilSen": "trend",
    "theil_sen": "trend",
    "Period": "period",
    "autocorrelation": "period",
    "find_periods": "period",
    "warm_up": "warming",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(import_module(f"barograph.rolling.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'barograph.rolling' has no attribute {name!r}")
