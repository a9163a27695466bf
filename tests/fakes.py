"""Fakes for time and for faults; everything else in the tests is real."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from barograph import Batch, Labels, Metric, Sample

REAL_DEADLINE_S = 10.0
"""Real seconds after which a test that waits has failed."""


class FakeClock:
    """Time that moves only when it is told; threads that wait on it wake when it has come.

    ``advance`` moves both clocks; ``set_wall`` only the wall clock, as an administrator, NTP or
    (forward) a sleeping machine would.
    """

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._wall, self._mono = now_ms / 1000, 1000.0
        self._moved = threading.Condition()
        self._waiting: dict[int, float] = {}  # thread -> monotonic time that it waits for

    def now_ms(self) -> int:
        return round(self._wall * 1000)

    def monotonic(self) -> float:
        return self._mono

    def wait(self, event: threading.Event, seconds: float) -> bool:
        me = threading.get_ident()
        with self._moved:
            until = self._mono + max(seconds, 0.0)
            self._waiting[me] = until
            self._moved.notify_all()
            try:
                while not event.is_set() and self._mono < until - 1e-9:
                    self._moved.wait(0.005)  # an event may be set without a word to this clock
                return event.is_set()
            finally:
                del self._waiting[me]
                self._moved.notify_all()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._moved:
            self._wall += seconds
            self._mono += seconds
            self._moved.notify_all()

    def set_wall(self, seconds: float) -> None:
        """Move the wall clock alone by ``seconds``."""
        with self._moved:
            self._wall += seconds
            self._moved.notify_all()

    def waiting(self) -> int:
        """How many threads wait for a time that has not come."""
        return sum(until > self._mono + 1e-9 for until in list(self._waiting.values()))

    def settle(self, threads: int) -> None:
        """Wait (in real time) until ``threads`` threads wait for a time that has not come."""

        with self._moved:
            assert self._moved.wait_for(lambda: self.waiting() >= threads, REAL_DEADLINE_S), (
                f"{len(self._waiting)} of {threads} threads wait on the clock"
            )

    def run(self, seconds: float, threads: int, step: float = 0.1) -> None:
        """Let time pass in steps; after each the ``threads`` that tick have done their work."""
        for _ in range(round(seconds / step)):
            self.advance(step)
            self.settle(threads)


class Interner:
    """Refs for labels, as a store gives them."""

    def __init__(self) -> None:
        self.refs: dict[Labels, int] = {}
        self.metrics: dict[str, Metric] = {}
        self._lock = threading.Lock()

    def __call__(self, series: Sequence[tuple[Labels, Metric]]) -> Any:
        with self._lock:
            for labels, metric in series:
                self.refs.setdefault(labels, len(self.refs) + 1)
                self.metrics.setdefault(metric.name, metric)
            return np.array([self.refs[labels] for labels, _ in series], np.int64)

    def names(self) -> dict[int, str]:
        return {ref: str(labels) for labels, ref in self.refs.items()}


def flat(batches: Iterable[Batch], interner: Interner) -> list[tuple[int, str, float]]:
    """(time, series, value) of every sample, in order."""
    names = interner.names()
    out: list[tuple[int, str, float]] = []
    for batch in batches:
        times = np.broadcast_to(np.asarray(batch.t_ms), len(batch))
        out += zip(
            times.tolist(), [names[r] for r in batch.refs.tolist()], batch.values.tolist(),
            strict=True,
        )  # fmt: skip
    return out


class FunctionSource:
    """A metric source over a function of the tick."""

    def __init__(
        self, name: str, collect: Callable[[int], Any], interval_s: float | None = 1.0
    ) -> None:
        self.name, self.interval_s = name, interval_s
        self._collect = collect

    def collect(self, now_ms: int) -> Any:
        return self._collect(now_ms)


class VectorSource:
    """A columnar source whose series and values a test sets."""

    def __init__(
        self, name: str, series: Sequence[Any], values: Any = None, interval_s: float | None = 1.0
    ) -> None:
        self.name, self.interval_s = name, interval_s
        self.declared, self.values = list(series), values

    def series(self) -> Any:
        return list(self.declared)

    def collect_vector(self, now_ms: int) -> Any:
        return self.values(now_ms) if callable(self.values) else self.values


class Hang:
    """A source that hangs in its n-th collections until it is let go."""

    def __init__(self, name: str, interval_s: float = 1.0, from_tick: int = 1) -> None:
        self.name, self.interval_s = name, interval_s
        self.hanging, self.release = threading.Event(), threading.Event()
        self._ticks, self._from = 0, from_tick

    def collect(self, now_ms: int) -> Iterable[Sample]:
        self._ticks += 1
        if self._ticks >= self._from and not self.release.is_set():
            self.hanging.set()
            self.release.wait(REAL_DEADLINE_S * 3)
        return [Sample(f"{self.name}_value", float(self._ticks))]


def eventually(condition: Callable[[], Any], seconds: float = REAL_DEADLINE_S) -> Any:
    """What ``condition`` gives as soon as it is true; AssertionError after ``seconds``."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.005)
