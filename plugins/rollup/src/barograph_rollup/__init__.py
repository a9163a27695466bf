"""Rollup windows: count, sum, min, max, first, last, increase and a quantile sketch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import Aggregator


@hookimpl
def barograph_aggregators() -> Sequence[Aggregator]:
    from barograph_rollup.rollup import RollupAggregator  # numpy: only when it is needed

    return [RollupAggregator()]
