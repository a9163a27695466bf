"""What one query may cost, and whether it should go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from barograph.answer import QueryCancelled, QueryTimeout, QueryTooLarge
from barograph.clock import Clock

WAIT_S = 0.02
"""Seconds between looks at whether a query that waits for its turn is still wanted."""


class Budget:
    """Counts samples and series of one query, and watches its time.

    A sample is counted when it is read, and a value when an operator makes room for it; so the
    count bounds the memory and the work of a query.
    """

    def __init__(
        self,
        clock: Clock,
        timeout_s: float,
        max_samples: int,
        max_series: int,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._deadline = clock.monotonic() + timeout_s
        self._max_samples = max_samples
        self.max_series = max_series
        self._cancelled = cancelled
        self.samples = 0

    def check(self) -> None:
        """Raises QueryTimeout, QueryCancelled."""
        self._go_on("expression evaluation", "ask for less, or raise [plugins.promql] timeout")

    @contextmanager
    def turn(self, places: threading.Semaphore) -> Iterator[None]:
        """Wait for a place among the queries that are evaluated at once, and hold it."""
        while not places.acquire(timeout=WAIT_S):
            self._go_on(
                "query queue", "ask again later, or raise [plugins.promql] concurrency or timeout"
            )
        try:
            yield
        finally:
            places.release()

    def _go_on(self, where: str, remedy: str) -> None:
        if self._cancelled is not None and self._cancelled():
            raise QueryCancelled(f"query was canceled in {where}")
        if self._clock.monotonic() > self._deadline:
            raise QueryTimeout(f"query timed out in {where} after {self._timeout_s:g} s; {remedy}")

    def spend(self, samples: int) -> None:
        """Count ``samples`` before they are read or made. Raises QueryTooLarge."""
        self.samples += samples
        if self.samples > self._max_samples:
            raise QueryTooLarge(
                "query processing would load too many samples into memory in query execution: "
                f"more than {self._max_samples:,}; ask for fewer series, a shorter range or a "
                "longer step, or raise [plugins.promql] max_samples"
            )
        self.check()

    def series(self, count: int) -> None:
        """Raises QueryTooLarge if ``count`` series are too many for one operator."""
        if count > self.max_series:
            raise QueryTooLarge(
                f"query selects more than {self.max_series:,} series; add label matchers, or "
                "raise [plugins.promql] max_series"
            )
