"""``stats=all``: an answer with what the query did, as Prometheus tells it, and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from barograph.answer import QueryInvalid
from barograph.explanation import ExplainingEngine
from barograph_api.query_json import data_json

if TYPE_CHECKING:
    from barograph.contracts import QueryEngine, Store

ALL = "all"
"""Value of the parameter ``stats`` that asks for it."""


def explained(
    engine: QueryEngine, store: Store, expr: str, steps: tuple[int, int, int],
    cancelled: Callable[[], bool],
) -> dict[str, Any]:  # fmt: skip
    """``data`` with ``stats``; ``steps``: start, end and step in ms, step 0 for an instant."""
    if not isinstance(engine, ExplainingEngine):
        raise QueryInvalid(f"the query engine {engine.name} does not explain: leave out stats")
    found = engine.explain(store, expr, *steps, cancelled=cancelled)
    took = found.stages
    samples = sum(one.samples for one in found.reads)
    stats = {
        "timings": {
            "evalTotalTime": took["select"] + took["read"] + took["evaluate"],
            "resultSortTime": 0.0,
            "queryPreparationTime": took["select"],
            "innerEvalTime": took["evaluate"],
            "execQueueTime": took["wait"],
            "execTotalTime": took["total"],
        },
        "samples": {"totalQueryableSamples": samples, "peakSamples": samples},
        "explanation": found.as_dict(),
    }
    return {**msgspec.json.decode(data_json(found.answer)), "stats": stats}
