"""A mergeable quantile sketch with a relative error of at most 1 %.

Values go to buckets whose bounds grow by the factor gamma = (1 + a) / (1 - a) with a = 0.01; a
bucket's middle is within a of all its values (C. Masson et al., "DDSketch", VLDB 2019). A sketch is
its sorted int32 bucket keys and their counts; merging adds counts, so it is exact.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.model import Windows

ACCURACY = 0.01
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = float(np.log(_GAMMA))
_ZERO_AT = 40_000  # above the greatest |bucket| of a float64
_INFINITY = 2**30


def keys_of(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """int32[n] bucket keys of float64[n] (no NaN); keys are ordered as the values are."""
    size = np.abs(values)
    keys = np.zeros(len(values), np.int64)
    inside = (size > 0) & np.isfinite(size)
    keys[inside] = np.ceil(np.log(size[inside]) / _LOG_GAMMA).astype(np.int64) + _ZERO_AT
    keys[np.isinf(size)] = _INFINITY
    keys[values < 0] *= -1
    return keys.astype(np.int32)


def is_key(key: int) -> bool:
    """Whether ``keys_of`` can give it: there are fewer than 160,000 of them."""
    return abs(key) <= 2 * _ZERO_AT or abs(key) == _INFINITY


def value_of(keys: NDArray[np.int32]) -> NDArray[np.float64]:
    """The middle of each bucket."""
    size = np.abs(keys.astype(np.float64))
    with np.errstate(over="ignore"):
        middle = np.exp((size - _ZERO_AT) * _LOG_GAMMA) * (2 / (_GAMMA + 1))
    middle = np.minimum(middle, np.finfo(np.float64).max)
    middle = np.where(size >= _INFINITY, np.inf, middle)
    return np.where(keys == 0, 0.0, np.copysign(middle, keys))


def quantile(keys: NDArray[np.int32], counts: NDArray[np.int64], q: float) -> float:
    """The q-quantile of what was counted; NaN for an empty sketch."""
    if not len(keys):
        return float("nan")
    total = np.cumsum(counts)
    at = int(np.searchsorted(total, q * (int(total[-1]) - 1), side="right"))
    return float(value_of(keys[min(at, len(keys) - 1)][None])[0])


def quantile_of(windows: Windows, q: float) -> NDArray[np.float64]:
    """float64[n]: the q-quantile of each window."""
    bounds = windows.sketch_offsets.tolist()
    out: list[float] = [
        quantile(windows.sketch_keys[a:b], windows.sketch_counts[a:b], q)
        for a, b in itertools.pairwise(bounds)
    ]
    return np.array(out, np.float64)


def count_runs(
    groups: NDArray[np.int64], keys: NDArray[np.int32], counts: NDArray[Any], n_groups: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Sketches of ``n_groups`` groups: offsets int64[n_groups + 1], keys, counts."""
    order = np.lexsort((keys, groups))
    groups, keys, counts = groups[order], keys[order], counts[order]
    if not len(keys):
        return np.zeros(n_groups + 1, np.int64), keys, counts.astype(np.int64)
    new = np.append(True, (groups[1:] != groups[:-1]) | (keys[1:] != keys[:-1]))
    starts = np.flatnonzero(new)
    offsets = np.searchsorted(groups[starts], np.arange(n_groups + 1)).astype(np.int64)
    return offsets, keys[starts], np.add.reduceat(counts.astype(np.int64), starts)
