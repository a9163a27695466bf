"""Instruments against prometheus_client's: counter, histogram, timed block; one thread and four.

Repeat alone: ``python tests/benchmarks/run.py instruments``
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import prometheus_client
from barograph.instruments import Counter, Histogram, Registry

ROUNDS = 9
CALLS = 100_000
THREADS = (1, 4)


def nanoseconds(step: Callable[[int], None], threads: int) -> float:
    """Wall time of one call in each of ``threads`` threads, over all calls made."""
    barrier = threading.Barrier(threads + 1)

    def work() -> None:
        barrier.wait()
        step(CALLS)
        barrier.wait()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    barrier.wait()
    took = time.perf_counter() - started
    for worker in workers:
        worker.join()
    return took / (CALLS * threads) * 1e9


def calls(function: Callable[..., None], *arguments: float) -> Callable[[int], None]:
    def step(n: int) -> None:
        for _ in range(n):
            function(*arguments)

    return step


def blocks(timed: Callable[[], object]) -> Callable[[int], None]:
    def step(n: int) -> None:
        for _ in range(n):
            with timed():  # type: ignore[attr-defined]
                pass

    return step


def compare(
    ours: Callable[[int], None], theirs: Callable[[int], None], threads: int
) -> tuple[float, float]:
    """Medians of alternating rounds, ns a call."""
    mine, peer = [], []
    for _ in range(ROUNDS):
        mine.append(nanoseconds(ours, threads))
        peer.append(nanoseconds(theirs, threads))
    return statistics.median(mine), statistics.median(peer)


def main() -> None:
    registry, other = Registry(), prometheus_client.CollectorRegistry()
    counter = Counter("bench_total", registry=registry)
    histogram = Histogram("bench_seconds", registry=registry)
    peer_counter = prometheus_client.Counter("bench", "-", registry=other)
    peer_histogram = prometheus_client.Histogram("bench_seconds", "-", registry=other)
    cases = {
        "counter increment": (calls(counter.inc), calls(peer_counter.inc)),
        "histogram observe": (calls(histogram.observe, 0.3), calls(peer_histogram.observe, 0.3)),
        "timed block": (blocks(histogram.timed), blocks(peer_histogram.time)),
    }
    print(f"{'':22}{'threads':>8}{'ours ns':>10}{'peer ns':>10}{'ratio':>8}   wanted 0.5, aim 0.25")
    for name, (ours, theirs) in cases.items():
        for threads in THREADS:
            mine, peer = compare(ours, theirs, threads)
            print(f"{name:22}{threads:8}{mine:10.0f}{peer:10.0f}{mine / peer:8.2f}")


if __name__ == "__main__":
    main()
