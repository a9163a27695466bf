"""What a query did: its plan, what it read, and where the time went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from barograph.answer import Answer
    from barograph.contracts import Store


@attrs.define
class PlanNode:
    """A part of the expression: how many ``series`` it gave, and the ``seconds`` it took with all
    that is below it. ``series`` -1: it gave a scalar."""

    text: str
    series: int = 0
    seconds: float = 0.0
    parts: list[PlanNode] = attrs.field(factory=list)

    def lines(self, depth: int = 0) -> Iterator[tuple[int, PlanNode]]:
        """This and all below it, each with its depth."""
        yield depth, self
        for part in self.parts:
            yield from part.lines(depth + 1)


@attrs.define
class ReadStage:
    """What one selector read in [start_ms, end_ms].

    ``found``: series that fit; ``series``: those with samples. ``level_ms``: 0 for raw samples,
    else the coarsest rollup level that stood in for them. ``chunks``: sealed ones in the range, -1
    where the store does not tell. ``shared_times``: all series have the same times, which is
    evaluated faster.
    """

    selector: str
    start_ms: int
    end_ms: int
    found: int = 0
    series: int = 0
    samples: int = 0
    chunks: int = -1
    level_ms: int = 0
    shared_times: bool = False
    select_seconds: float = 0.0
    read_seconds: float = 0.0


@attrs.define
class Explanation:
    """``answer`` is what the query gives. ``stages``: seconds by name, in order: parse, wait (for a
    turn), select, read, evaluate, total."""

    expr: str
    start_ms: int
    end_ms: int
    step_ms: int
    answer: Answer
    plan: PlanNode
    reads: list[ReadStage]
    stages: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without the answer."""
        return attrs.asdict(self, filter=lambda attribute, _: attribute.name != "answer")


@runtime_checkable
class ExplainingEngine(Protocol):
    """What a query engine can do besides: say what a query did."""

    def explain(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Explanation:  # fmt: skip
        """Evaluate over the range (``step_ms`` 0: at ``end_ms`` only), and tell."""
        ...
