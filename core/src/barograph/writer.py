"""The one thread that writes: batches of all sources into the store, a commit for each burst."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from barograph.clock import Clock
from barograph.contracts import Problem, Store, StoreError
from barograph.live import Latest
from barograph.memory import give_back
from barograph.model import Batch
from barograph.selfmetrics import Meter

if TYPE_CHECKING:
    from barograph.aggregator import DataAggregator

GATHER_S = 0.03
"""Time in which batches of several sources join one commit."""

HOUSEKEEPING_S = 1.0
GIVE_BACK_S = 1.0
"""Time between two turns of giving free memory back to the system, in a process of our own: in a
process with a large heap of its own it takes long, and is the owner's business. Here it takes
0.2 ms; what a round of sealing leaves behind would stay, and lie between what comes."""

MIN_RETRY_S, MAX_RETRY_S = 0.5, 10.0
"""Time between attempts at a store that refuses."""


class Writer:
    """A bounded queue and its consumer; what overflows is the oldest, and is counted.

    ``problem``: why the store refuses samples; ``housekeeping_problem``: why it cannot seal, roll
    up or retain. Both are None when the last attempt went well.
    """

    def __init__(
        self, store: Store, aggregator: DataAggregator | None, latest: Latest, meter: Meter,
        clock: Clock, queue_batches: int, watch: Callable[[], None],
        *, own_process: bool = False,
    ) -> None:  # fmt: skip
        self._store, self._aggregator, self._latest = store, aggregator, latest
        self._clock, self._limit, self._watch = clock, queue_batches, watch
        self._queue: deque[list[Batch]] = deque()
        self._queued = 0  # samples
        self._wake = threading.Condition()
        self._ending = threading.Event()
        self._listeners: list[Callable[[int], None]] = []
        self._takers: list[Callable[[list[Batch]], None]] = []
        self._kept_at: float | None = None
        self._own_process, self._gave_back_at = own_process, 0.0
        self._retry_s, self._retry_at = 0.0, 0.0
        self.problem: Problem | None = None
        self.housekeeping_problem: Problem | None = None
        self.last_stored_ms = 0
        self._stored_at = 0.0
        self.thread: threading.Thread | None = None
        self._depth = meter.gauge("barograph_queue_batches", "Ticks that wait for the store")
        self._waiting = meter.gauge("barograph_queue_samples", "Samples that wait for the store")
        self._overflow = meter.counter("barograph_queue_dropped_total", "Ticks lost: queue full")
        self._stored = meter.counter("barograph_samples_stored_total", "Samples stored")
        self._commits = meter.counter("barograph_commits_total", "Commits to the store")
        self._took = meter.gauge("barograph_append_duration_seconds", "Time of the last commit",
                                 "seconds")  # fmt: skip
        self._errors = meter.counter("barograph_store_errors_total", "Writes that failed")
        self._kept = meter.gauge("barograph_housekeeping_duration_seconds",
                                 "Time of the last round of sealing, rollups and retention",
                                 "seconds")  # fmt: skip
        self._keeping_errors = meter.counter("barograph_housekeeping_errors_total",
                                             "Rounds of housekeeping that failed")  # fmt: skip
        self._live = meter.gauge("barograph_live_series", "Series whose newest value is in memory")
        self._listener_errors = meter.counter("barograph_listener_errors_total",
                                              "Live listeners that raised")  # fmt: skip

    @property
    def queued(self) -> int:
        """Ticks that wait for the store."""
        return len(self._queue)

    @property
    def stored_age_s(self) -> float | None:
        """Seconds since samples were stored last, by the monotonic clock; None: never yet."""
        return self._clock.monotonic() - self._stored_at if self.last_stored_ms else None

    def offer(self, batches: list[Batch]) -> None:
        """Queue one tick of one source."""
        with self._wake:
            while len(self._queue) >= self._limit:
                self._queued -= _size(self._queue.popleft())
                self._overflow.add()
            self._queue.append(batches)
            self._queued += _size(batches)
            self._show_depth()
            self._wake.notify()

    def write_now(self, batches: list[Batch]) -> None:
        """Store samples in the caller's thread, past the queue. Raises what the store raises.

        For samples whose sender waits for an answer: what was given survives ``kill -9`` from the
        moment this returns.
        """
        self._store.append(batches)
        now_ms = self._clock.now_ms()
        for batch in batches:
            self._latest.update(batch, now_ms)
        with self._wake:
            self._stored.add(_size(batches))
            self._commits.add()
        self._hand_on(batches)

    def on_stored(self, callback: Callable[[list[Batch]], None]) -> Callable[[], None]:
        """Call ``callback(batches)`` with all that was stored, in the thread that stored it."""
        self._takers.append(callback)
        return lambda: self._takers.remove(callback) if callback in self._takers else None

    def _hand_on(self, batches: list[Batch]) -> None:
        for taker in list(self._takers):
            try:
                taker(batches)
            except Exception:  # noqa: BLE001 — counted; the writer goes on
                self._listener_errors.add()

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

    def stop(self, deadline_s: float) -> bool:
        """Write what is queued, then stop; whether that was done within the deadline."""
        with self._wake:
            self._ending.set()
            self._wake.notify()
        if self.thread is not None:
            self.thread.join(deadline_s)
            return not self.thread.is_alive() and not self._queue
        return self.write_once()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._ending.is_set() and not self._may_write():
                    self._wake.wait(HOUSEKEEPING_S)
                stopping, waiting = self._ending.is_set(), self._may_write()
            if stopping:
                self.write_once()
                return
            if waiting:
                self._clock.wait(self._ending, GATHER_S)
                self.write_once()
            now = self._clock.monotonic()
            if self._kept_at is None or now - self._kept_at >= HOUSEKEEPING_S:
                self._kept_at = now
                self.housekeeping()

    def _may_write(self) -> bool:
        return bool(self._queue) and self._clock.monotonic() >= self._retry_at

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
        except Exception as error:  # noqa: BLE001 — a store of any plugin; told, and retried
            self._refused(error)
            return False
        with self._wake:
            for tick in taken:
                # What overflowed meanwhile has left the queue already.
                if self._queue and self._queue[0] is tick:
                    self._queued -= _size(self._queue.popleft())
            self._show_depth()
        self._stored_at = self._clock.monotonic()
        self._took.set(self._stored_at - started)
        with self._wake:
            self._stored.add(_size(batches))
            self._commits.add()
        self._retry_s, self._retry_at, self.problem = 0.0, 0.0, None
        self.last_stored_ms = self._clock.now_ms()
        for batch in batches:
            self._latest.update(batch, self.last_stored_ms)
        self._live.set(len(self._latest))
        self._hand_on(batches)
        for listener in list(self._listeners):
            try:
                listener(self.last_stored_ms)
            except Exception:  # noqa: BLE001 — counted; the writer goes on
                self._listener_errors.add()
        return True

    def _refused(self, error: Exception) -> None:
        self._errors.add()
        self._retry_s = min(max(2 * self._retry_s, MIN_RETRY_S), MAX_RETRY_S)
        self._retry_at = self._clock.monotonic() + self._retry_s
        remedy = "samples wait in memory meanwhile; the oldest go first"
        self.problem = Problem(_why(error), "store", remedy)

    def _show_depth(self) -> None:
        self._depth.set(len(self._queue))
        self._waiting.set(self._queued)

    def housekeeping(self) -> None:
        """Sealing, rollups and watching the sources."""
        started = self._clock.monotonic()
        try:
            self._watch()
            now_ms = self._clock.now_ms()
            self._store.maintain(now_ms)
            if self._aggregator is not None:
                self._aggregator.maintain(now_ms)
        except Exception as error:  # noqa: BLE001 — told and counted; collecting goes on
            self._keeping_errors.add()
            self.housekeeping_problem = Problem(
                f"housekeeping failed: {_why(error)}", "store",
                "samples are stored all the same; sealing, rollups and retention wait",
            )  # fmt: skip
        else:
            self.housekeeping_problem = None
        if self._own_process and abs(started - self._gave_back_at) >= GIVE_BACK_S:
            self._gave_back_at = started
            give_back()
        self._kept.set(self._clock.monotonic() - started)


def _size(batches: list[Batch]) -> int:
    return sum(len(batch) for batch in batches)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
