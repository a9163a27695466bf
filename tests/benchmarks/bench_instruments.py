"""Instruments against prometheus_client's, and what the ASGI middleware costs a web application.

Counter, histogram and timed block, in one thread and in four: wall time of a call, alternating.
The application is a FastAPI route behind uvicorn, with and without the middleware, loaded by wrk;
without wrk that part is left out.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import prometheus_client
from measuring import Figure, main, tell

from barograph.instruments import Counter, Histogram, Registry

THREADS = (1, 4)
APPLICATION = """
import sys
import uvicorn
from fastapi import FastAPI

app = FastAPI()

@app.get("/users/{user}")
async def user(user: int):
    return {"user": user, "name": "somebody", "roles": ["reader", "writer"]}

if sys.argv[2] == "measured":
    from barograph_application.asgi import MetricsMiddleware
    app.add_middleware(MetricsMiddleware)
uvicorn.run(app, port=int(sys.argv[1]), log_level="error", access_log=False)
"""

Step = Callable[[int], None]


def nanoseconds(step: Step, threads: int, calls: int) -> float:
    """Wall time of one call when each of ``threads`` threads makes ``calls``."""
    barrier = threading.Barrier(threads + 1)

    def work() -> None:
        barrier.wait()
        step(calls)
        barrier.wait()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.perf_counter()
    barrier.wait()
    took = time.perf_counter() - began
    for worker in workers:
        worker.join()
    return took / (calls * threads) * 1e9


def calling(function: Callable[..., None], *arguments: float) -> Step:
    def step(n: int) -> None:
        for _ in range(n):
            function(*arguments)

    return step


def timing(timed: Callable[[], Any]) -> Step:
    def step(n: int) -> None:
        for _ in range(n):
            with timed():
                pass

    return step


@contextlib.contextmanager
def serving(kind: str) -> Iterator[str]:
    """The application in a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", APPLICATION, str(port), kind])
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > until:
                raise RuntimeError("the application does not answer")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/users/7"
    finally:
        process.terminate()
        process.wait(10)


def requests_per_second(address: str, seconds: int) -> float:
    told = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", address], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    assert found is not None, told
    return float(found[1])


def middleware(rounds: int, seconds: int) -> list[Figure]:
    if shutil.which("wrk") is None:
        tell("instruments: wrk is not installed: the middleware is not measured")
        return []
    with serving("bare") as bare, serving("measured") as measured:
        requests_per_second(bare, 1), requests_per_second(measured, 1)  # warm
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(requests_per_second(measured, seconds))
            theirs.append(requests_per_second(bare, seconds))
    return [
        Figure(
            "FastAPI with the ASGI middleware",
            "requests/s",
            ours,
            "more",
            None,
            "without",
            theirs,
            wanted_ratio=0.97,
        )
    ]


def measure(quick: bool, rounds: int) -> list[Figure]:
    registry, other = Registry(), prometheus_client.CollectorRegistry()
    counter = Counter("bench_total", registry=registry)
    histogram = Histogram("bench_seconds", registry=registry)
    peer_counter = prometheus_client.Counter("bench", "-", registry=other)
    peer_histogram = prometheus_client.Histogram("bench_seconds", "-", registry=other)
    cases = {
        "counter increment": (calling(counter.inc), calling(peer_counter.inc)),
        "histogram observe": (
            calling(histogram.observe, 0.3),
            calling(peer_histogram.observe, 0.3),
        ),
        "timed block": (timing(histogram.timed), timing(peer_histogram.time)),
    }
    calls = 20_000 if quick else 100_000
    figures: list[Figure] = []
    for name, (ours, theirs) in cases.items():
        for threads in THREADS:
            mine, peer = [], []
            for _ in range(rounds):
                mine.append(nanoseconds(ours, threads, calls))
                peer.append(nanoseconds(theirs, threads, calls))
            shown = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
            figures.append(Figure(shown, "ns", mine, "less", None, "prometheus_client", peer, 0.5))
    return [*figures, *middleware(3 if quick else rounds, 2 if quick else 5)]


if __name__ == "__main__":
    main(measure, rounds=7)
