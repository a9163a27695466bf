"""The one thread that writes: batches of all sources into the store, a commit for each burst."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from barograph.clock import Clock
from barograph.contracts import Problem, Store, StoreError
from barograph.live import Latest
from barograph.model import Batch
from barograph.selfmetrics import Meter

if TYPE_CHECKING:
    from barograph.aggregator import DataAggregator

GATHER_S = 0.03
"""Time in which batches of several sources join one commit."""

HOUSEKEEPING_S = 1.0
MAX_RETRY_S = 10.0


class Writer:
    """A bounded queue and its consumer; what overflows is the oldest, and is counted."""

    def __init__(
        self, store: Store, aggregator: DataAggregator | None, latest: Latest, meter: Meter,
        clock: Clock, queue_batches: int, watch: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store, self._aggregator, self._latest = store, aggregator, latest
        self._clock, self._limit, self._watch = clock, queue_batches, watch
        self._queue: deque[list[Batch]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._listeners: list[Callable[[int], None]] = []
        self._kept_at = 0.0
        self._retry_s = 0.0
        self.problem: Problem | None = None
        self.last_stored_ms = 0
        self.thread: threading.Thread | None = None
        self._depth = meter.gauge("barograph_queue_batches", "Ticks that wait for the store")
        self._overflow = meter.counter("barograph_queue_dropped_total", "Ticks lost: queue full")
        self._stored = meter.counter("barograph_samples_stored_total", "Samples stored")
        self._commits = meter.counter("barograph_commits_total", "Commits to the store")
        self._took = meter.gauge("barograph_append_duration_seconds", "Time of the last commit",
                                 "seconds")  # fmt: skip
        self._errors = meter.counter("barograph_store_errors_total", "Writes that failed")
        self._listener_errors = meter.counter("barograph_listener_errors_total",
                                              "Live listeners that raised")  # fmt: skip

    def offer(self, batches: list[Batch]) -> None:
        """Queue one tick of one source."""
        with self._wake:
            while len(self._queue) >= self._limit:
                self._queue.popleft()
                self._overflow.add()
            self._queue.append(batches)
            self._wake.notify()

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call ``callback(now_ms)`` after each commit, from the writer's thread."""
        self._listeners.append(callback)

        def unsubscribe() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return unsubscribe

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="barograph-writer", daemon=True)
        self.thread.start()

    def stop(self, deadline_s: float) -> None:
        """Write what is queued, then stop."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self.thread is not None:
            self.thread.join(deadline_s)

    def _run(self) -> None:
        idle = threading.Event()  # never set: only to wait on the injected clock
        while True:
            with self._wake:
                if not self._queue and not self._stopping:
                    self._wake.wait(HOUSEKEEPING_S)
                stopping = self._stopping
                waiting = bool(self._queue)
            if stopping:
                self.write_once()
                return
            if waiting:
                self._clock.wait(idle, GATHER_S)
                if not self.write_once():
                    self._retry_s = min(max(2 * self._retry_s, 0.5), MAX_RETRY_S)
                    with self._wake:
                        if not self._stopping:
                            self._wake.wait(self._retry_s)
            if self._clock.monotonic() - self._kept_at >= HOUSEKEEPING_S:
                self._kept_at = self._clock.monotonic()
                self.housekeeping()

    def write_once(self) -> bool:
        """Store all that is queued as one commit; False if the store refused (it stays queued)."""
        with self._wake:
            taken = list(self._queue)
        if not taken:
            return True
        batches = [batch for tick in taken for batch in tick]
        started = self._clock.monotonic()
        try:
            self._store.append(batches)
        except StoreError as error:
            self._refused(str(error))
            return False
        except Exception as error:  # noqa: BLE001 — a store of any plugin; told, and retried
            self._refused(f"{type(error).__name__}: {error}")
            return False
        with self._wake:
            for tick in taken:
                if self._queue and self._queue[0] is tick:
                    self._queue.popleft()
            self._depth.set(len(self._queue))
        self._took.set(self._clock.monotonic() - started)
        self._stored.add(sum(len(batch) for batch in batches))
        self._commits.add()
        self._retry_s, self.problem = 0.0, None
        self.last_stored_ms = self._clock.now_ms()
        for batch in batches:
            self._latest.update(batch)
        for listener in list(self._listeners):
            try:
                listener(self.last_stored_ms)
            except Exception:  # noqa: BLE001 — counted; the writer goes on
                self._listener_errors.add()
        return True

    def _refused(self, why: str) -> None:
        self._errors.add()
        self.problem = Problem(
            why, "store", "samples wait in memory meanwhile; the oldest go first"
        )

    def housekeeping(self) -> None:
        """Sealing, rollups and watching the sources."""
        self._watch()
        now_ms = self._clock.now_ms()
        try:
            self._store.maintain(now_ms)
            if self._aggregator is not None:
                self._aggregator.maintain(now_ms)
        except Exception as error:  # noqa: BLE001 — told and counted; collecting goes on
            self._errors.add()
            self.problem = Problem(
                f"housekeeping failed: {error}", "store", "see the store's message"
            )
