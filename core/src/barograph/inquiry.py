"""Inquiry: what an analyser may ask of a monitor's data, within limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from barograph.answer import Answer, Matrix, QueryFailed, QueryInvalid, QueryTimeout, QueryTooLarge
from barograph.clock import Clock, SystemClock
from barograph.model import Labels
from barograph.query import parse_selector

if TYPE_CHECKING:
    from collections.abc import Collection

    from barograph.contracts import QueryEngine, Store
    from barograph.findings import Finding, FindingBook

SECONDS = 120.0
"""Time that one analysis may take."""

MAX_QUERIES = 100_000
"""Questions that one analysis may ask."""

MAX_STEPS = 50_000
"""Steps of one range: 34 days at one a minute."""

MAX_SERIES = 100_000
"""Series that one selector may find."""

MAX_VALUES = 200_000_000
"""Values that one analysis may be given in all."""


class Inquiry:
    """Read-only questions to a store by way of its query engine; one object for one analysis.

    Methods may be called from several threads. ``seconds``: time that the analysis may take, from
    now on. ``stopped``: asked now and then whether who wanted the analysis has gone. Every method
    may raise ``barograph.answer.QueryError`` and what the store raises; an analyser lets that pass.
    """

    def __init__(
        self, store: Store, engine: QueryEngine | None, *, seconds: float = SECONDS,
        stopped: Callable[[], bool] | None = None, clock: Clock | None = None,
        max_queries: int = MAX_QUERIES, max_values: int = MAX_VALUES,
        book: FindingBook | None = None,
    ) -> None:  # fmt: skip
        self._store, self._engine, self._stopped = store, engine, stopped
        self._book = book
        self._clock = clock or SystemClock()
        self._seconds = seconds
        self._until = self._clock.monotonic() + seconds
        self._max_queries, self._max_values = max_queries, max_values
        self.queries = self.values = 0

    def query(self, expr: str, t_ms: int) -> Answer:
        """The value of ``expr`` at ``t_ms``: a Scalar, a Vector, or the Matrix of a range."""
        answer = self._asked().instant(self._store, expr, t_ms, cancelled=self.cancelled)
        self._count(len(answer.values) if hasattr(answer, "values") else 1)
        return answer

    def query_range(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> Matrix:
        """The values of ``expr`` at start, start + step, ... up to end (inclusive)."""
        if step_ms > 0 and (end_ms - start_ms) // step_ms >= MAX_STEPS:
            raise QueryTooLarge(
                f"{(end_ms - start_ms) // step_ms + 1:,} steps; at most {MAX_STEPS:,}: take a "
                "longer step or a shorter range"
            )
        matrix = self._asked().range(
            self._store, expr, start_ms, end_ms, step_ms, cancelled=self.cancelled
        )
        self._count(len(matrix.values))
        return matrix

    def series(
        self, selector: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> list[Labels]:
        """Labels of the series that fit a selector (and may have samples in the range)."""
        self._asking()
        try:
            matchers = parse_selector(selector)
        except ValueError as error:
            raise QueryInvalid(str(error)) from None
        found = self._store.select(matchers, start_ms, end_ms, MAX_SERIES + 1)
        if len(found) > MAX_SERIES:
            raise QueryTooLarge(f"{selector} finds over {MAX_SERIES:,} series: name more labels")
        return [one.labels for one in found]

    def findings(
        self, states: Collection[str] | None = None, kinds: Collection[str] | None = None,
        start_ms: int | None = None, end_ms: int | None = None, limit: int = 1000,
    ) -> list[Finding]:  # fmt: skip
        """What was found before, with its history; as ``FindingBook.list``."""
        self._asking()
        if self._book is None:
            return []
        return self._book.list(states, kinds, start_ms, end_ms, limit)

    def cancelled(self) -> bool:
        """Whether to give up: nobody waits any more, or the time is over."""
        gone = self._stopped is not None and self._stopped()
        return gone or self._clock.monotonic() > self._until

    def _asked(self) -> QueryEngine:
        self._asking()
        if self._engine is None:
            raise QueryFailed(
                "no query engine runs; install one with: pip install barograph-promql"
            )
        return self._engine

    def _asking(self) -> None:
        if self._clock.monotonic() > self._until:
            raise QueryTimeout(f"the analysis took longer than {self._seconds:g} s")
        self.queries += 1
        if self.queries > self._max_queries:
            raise QueryTooLarge(f"more than {self._max_queries:,} queries in one analysis")

    def _count(self, values: int) -> None:
        self.values += values
        if self.values > self._max_values:
            raise QueryTooLarge(f"more than {self._max_values:,} values in one analysis")
