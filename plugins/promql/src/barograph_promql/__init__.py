"""PromQL: the query engine, as Prometheus 2.42 evaluates it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import QueryEngine


@options
class Config:
    """Options of ``[plugins.promql]``."""

    lookback: Duration = option(
        "5m", help="How long a sample stands for its series", minimum=0.001, maximum=86400
    )
    subquery_step: Duration = option(
        "1m", help="Step of a subquery that names none", minimum=0.001, maximum=86400
    )
    timeout: Duration = option("2m", help="Time that one query may take", minimum=0.01)
    concurrency: int = option(
        8, help="Queries that are evaluated at once; others wait, within their timeout", minimum=1
    )
    max_samples: int = option(
        20_000_000, help="Samples that one query may read and make", minimum=1
    )
    approximate: bool = option(
        False, help="Whether rollup windows may stand for the raw samples of a range, where both "
        "the step and the range are as long as a window"
    )  # fmt: skip
    max_series: int = option(
        100_000, help="Series that one selector may find, and one operator may make", minimum=1
    )


@hookimpl
def barograph_query_engines(config: Config | None) -> Sequence[QueryEngine]:
    from barograph_promql.engine import PromqlEngine  # numpy and the parser: only when needed

    return [PromqlEngine(config)]
