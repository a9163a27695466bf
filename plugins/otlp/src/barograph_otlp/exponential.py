"""Exponential histograms as classic buckets whose bounds are powers of two."""

from __future__ import annotations

import math
from typing import Any

MAX_BUCKETS = 400
MAX_SCALE = 20
MIN_SCALE = -10


class NotConvertible(ValueError):
    """A histogram has no classic form; the message says why."""


def classic(point: Any) -> dict[float, float]:
    """Counts (not cumulative) by upper bound, of an ExponentialHistogramDataPoint.

    A bucket i at scale s covers (b^i, b^(i+1)] with b = 2^(2^-s). Buckets are merged down to
    scale 0, whose bounds every finer scale has too, so that the bounds of a series do not move
    when its scale does. Negative values are as exact as their buckets; a negative bucket's
    upper bound stands for values up to, but not at it. Raises NotConvertible.
    """
    scale = point.scale
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise NotConvertible(f"scale {scale} is beyond {MIN_SCALE} to {MAX_SCALE}")
    out: dict[float, float] = {}
    for side, buckets in ((1, point.positive), (-1, point.negative)):
        for place, count in enumerate(buckets.bucket_counts):
            if count:
                bound = _bound(buckets.offset + place, scale, side)
                out[bound] = out.get(bound, 0.0) + count
    if point.zero_count:
        threshold = max(getattr(point, "zero_threshold", 0.0), 0.0)
        out[threshold] = out.get(threshold, 0.0) + point.zero_count
    if len(out) > MAX_BUCKETS:
        raise NotConvertible(f"{len(out)} buckets; at most {MAX_BUCKETS}")
    return out


def _bound(index: int, scale: int, side: int) -> float:
    if scale > 0:
        index >>= scale
        scale = 0
    exponent = (index + (side > 0)) << -scale
    if exponent > 1023:
        return math.inf if side > 0 else -math.ldexp(1.0, 1023)
    return side * math.ldexp(1.0, max(exponent, -1074))
