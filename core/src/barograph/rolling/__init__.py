"""Rolling statistics: batch over arrays, streaming over many series, trends, periods, downsampling.

Kernels are compiled by numba at their first use and cached on disk; importing this package, or a
module of it, imports neither numba nor scipy.
"""

from __future__ import annotations

from importlib import import_module

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
