"""Instruments against prometheus_client's, and what the ASGI middleware costs a web application.

Counter, histogram and timed block, in one thread and in four: wall time of a call, alternating.

The applications are a FastAPI route and a bare ASGI function that answers one word, behind uvicorn,
each with and without the middleware, loaded by wrk; without wrk that part is left out. The servers
run on one core and wrk on another. Short rounds alternate between the two servers, so that what
else the machine does meets both alike; each round gives one ratio of throughput and one of CPU time
a request, and the figure is the median of the ratios with its 95 % interval. CPU time is the
steadier one: it does not count the time that others take.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import prometheus_client
from measuring import Figure, main, tell

from barograph.instruments import Counter, Histogram, Registry

THREADS = (1, 4)
MOST_LOST = 0.03
"""Share of an application's throughput that the middleware may take."""

LEAST_REQUESTS = 100
"""A round with fewer says nothing: the server did not get to run."""

SERVER_CORE, LOAD_CORE = "0", "1"
APPLICATIONS = {
    "FastAPI": """
from fastapi import FastAPI

app = FastAPI()

@app.get("/users/{user}")
async def user(user: int):
    return {"user": user, "name": "somebody", "roles": ["reader", "writer"]}
""",
    "bare ASGI": """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"text/plain"), (b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})
""",
}
SERVE = """
import sys
import uvicorn

if sys.argv[2] == "measured":
    from barograph_application.asgi import MetricsMiddleware
    app = MetricsMiddleware(app)
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


@attrs.frozen
class Served:
    """An application in a process of its own."""

    address: str
    pid: int

    def cpu_seconds(self) -> float:
        """CPU time that the process has used, by the clock that the system keeps of it."""
        return time.clock_gettime_ns(~self.pid << 3 | 2) / 1e9


@contextlib.contextmanager
def serving(application: str, kind: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = APPLICATIONS[application] + SERVE
    command = [*pinned(SERVER_CORE), sys.executable, "-c", code, str(port), kind]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > until:
                raise RuntimeError("the application does not answer")
            time.sleep(0.05)
        yield Served(f"http://127.0.0.1:{port}/users/7", process.pid)
    finally:
        process.terminate()
        process.wait(10)


def pinned(core: str) -> list[str]:
    """What keeps a command on one core, where there are two."""
    there = shutil.which("taskset") is not None and (os.cpu_count() or 1) > 1
    return ["taskset", "-c", core] if there else []


def load(served: Served, seconds: float) -> tuple[float, float]:
    """(requests a second, CPU seconds of the server a request)."""
    command = [*pinned(LOAD_CORE), "wrk", "-t1", "-c16", f"-d{seconds:g}s", served.address]
    for _ in range(5):
        before = served.cpu_seconds()
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        used = served.cpu_seconds() - before
        rate = re.search(r"Requests/sec:\s+([\d.]+)", told)
        count = re.search(r"(\d+) requests in", told)
        assert rate is not None, told
        assert count is not None, told
        if int(count[1]) >= LEAST_REQUESTS:
            return float(rate[1]), used / int(count[1])
    raise RuntimeError(f"the machine is too busy to measure on: {told}")


def middleware(application: str, rounds: int, seconds: int) -> list[Figure]:
    with serving(application, "bare") as bare, serving(application, "measured") as measured:
        load(bare, 1), load(measured, 1)  # warm
        throughput, cpu, took = [], [], []
        for number in range(rounds):
            pair = [bare, measured]
            order = pair if number % 2 else pair[::-1]
            found = {served.pid: load(served, seconds) for served in order}
            (rate, own), (with_it, its) = found[bare.pid], found[measured.pid]
            throughput.append(with_it / rate)
            cpu.append(its / own)
            took.append(own * 1e6)
    added = statistics.median(took) * (statistics.median(cpu) - 1)
    name = f"{application} with the middleware"
    return [
        Figure(
            f"{name}, throughput", "of that without", throughput, "more", 1 - MOST_LOST,
            note=interval(throughput),
        ),
        Figure(
            f"{name}, CPU time a request", "of that without", cpu, "less", 1 / (1 - MOST_LOST),
            note=f"{interval(cpu)}; {statistics.median(took):.0f} us without, {added:+.1f} us",
        ),
    ]  # fmt: skip


def interval(ratios: list[float]) -> str:
    """The 95 % interval of the median, by order statistics (the sign test's)."""
    ordered, n = sorted(ratios), len(ratios)
    outside, k = 0.0, 0
    while k < n // 2:
        outside += 2 * math.comb(n, k) / 2**n
        if outside > 0.05:
            break
        k += 1
    if k == 0:
        return f"{n} rounds are too few for a 95 % interval"
    return f"median {statistics.median(ratios):.3f}, 95 %: {ordered[k - 1]:.3f}..{ordered[-k]:.3f}"


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
    if shutil.which("wrk") is None:
        tell("instruments: wrk is not installed: the middleware is not measured")
        return figures
    for application in APPLICATIONS:
        figures += middleware(application, 6 if quick else 3 * rounds, 1)
    return figures


if __name__ == "__main__":
    main(measure, rounds=7)
