"""Range queries over 2,000 series and an hour at 10 s, 60 steps: the engine against its peers.

The engine reads an SQLite store, in process; a peer is asked over HTTP on loopback with its cache
of results switched off, and its answer is read but not decoded. Peers are what is installed of
VictoriaMetrics and Prometheus.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from measuring import ROOT, Figure, main, tell

from barograph.model import Batch, Labels, Metric, MetricKind
from barograph_promql.engine import PromqlEngine
from barograph_sqlite.store import SqliteStore

sys.path.insert(0, str(ROOT / "tests" / "plugins" / "promql"))
from promql_peer import write_request

QUERIES = {
    "sum by host of rate": "sum by (host) (rate(bench_total[5m]))",
    "max by host of max_over_time": "max by (host) (max_over_time(bench_gauge[5m]))",
    "quantile across hosts": "quantile(0.9, bench_gauge)",
    "topk of avg_over_time": "topk(5, avg_over_time(bench_gauge[5m]))",
    "one series": 'bench_gauge{n="7"}',
}
EVERY_MS, TICKS, STEP_MS = 10_000, 420, 60_000


def labels_of(name: str, count: int) -> list[Labels]:
    return [Labels.of(name, {"n": str(i), "host": f"h{i % 50}"}) for i in range(count)]


class Samples:
    """A gauge and a counter of each of ``count`` things, up to now."""

    def __init__(self, count: int) -> None:
        random = np.random.default_rng(1)
        self.labels = labels_of("bench_gauge", count) + labels_of("bench_total", count)
        gauges = np.round(random.normal(50, 9, (TICKS, count)), 2)
        counters = np.cumsum(random.poisson(3, (TICKS, count)), axis=0).astype(np.float64)
        self.values = np.concatenate([gauges, counters], axis=1)
        end = time.time_ns() // 1_000_000 // STEP_MS * STEP_MS - STEP_MS
        self.t_ms = end - EVERY_MS * np.arange(TICKS - 1, -1, -1, dtype=np.int64)

    @property
    def range(self) -> tuple[int, int]:
        end = int(self.t_ms[-1])
        return end - 59 * STEP_MS, end


def filled(folder: Path, samples: Samples) -> SqliteStore:
    store = SqliteStore(folder)
    store.open()
    kinds = (MetricKind.GAUGE, MetricKind.COUNTER)
    refs = store.intern(
        [(one, Metric(one.name, kinds[one.name.endswith("_total")])) for one in samples.labels]
    )
    for t_ms, row in zip(samples.t_ms.tolist(), samples.values, strict=True):
        store.append([Batch(refs, t_ms, row)])
    return store


class Peer:
    """A program with Prometheus's HTTP interface."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def request(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        self._http.request("POST", path, body, headers)
        response = self._http.getresponse()
        response.read()
        return response.status

    def fill(self, samples: Samples) -> None:
        import cramjam

        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        for first in range(0, TICKS, 60):
            part = slice(first, first + 60)
            message = write_request(
                (one.pairs, samples.t_ms[part], np.ascontiguousarray(column[part]))
                for one, column in zip(samples.labels, samples.values.T, strict=True)
            )
            body = bytes(cramjam.snappy.compress_raw(message))
            assert self.request("/api/v1/write", body, headers) in (200, 204)

    def ask(self, expr: str, start: int, end: int) -> None:
        form = {"query": expr, "start": start / 1000, "end": end / 1000, "step": STEP_MS // 1000,
                "nocache": 1}  # fmt: skip
        body = urllib.parse.urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        assert self.request("/api/v1/query_range", body, headers) == 200


@contextmanager
def running(name: str, folder: Path) -> Iterator[Peer | None]:
    """The peer with an empty database, or None if it is not installed."""
    program = shutil.which(name)
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    listen = f"127.0.0.1:{port}"
    flags = {
        "prometheus": [f"--config.file={config}", f"--storage.tsdb.path={folder / name}",
                       f"--web.listen-address={listen}", "--web.enable-remote-write-receiver"],
        "victoria-metrics": [f"-storageDataPath={folder / name}", f"-httpListenAddr={listen}",
                             "-search.latencyOffset=0s"],
    }[name]  # fmt: skip
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen([program, *flags], stdout=log, stderr=log)
        try:
            peer = Peer(name, port)
            _wait(peer, process)
            yield peer
        finally:
            process.terminate()
            process.wait(30)


def _wait(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            peer.ask("1", 0, 60_000)
            return
        except (OSError, AssertionError, http.client.HTTPException):
            peer._http.close()
        assert time.monotonic() < deadline, f"{peer.name} does not get ready"
        assert process.poll() is None, f"{peer.name} ended"
        time.sleep(0.1)


def measure(quick: bool, rounds: int) -> list[Figure]:
    samples = Samples(200 if quick else 2000)
    start, end = samples.range
    engine = PromqlEngine()
    took: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tell("promql: writing")
        store = filled(folder / "store", samples)
        stack.callback(store.close)
        peers = [
            stack.enter_context(running(n, folder)) for n in ("victoria-metrics", "prometheus")
        ]
        there = [peer for peer in peers if peer is not None]
        for peer in there:
            peer.fill(samples)
        time.sleep(2)  # until VictoriaMetrics shows what it was given
        for i in range(rounds + 1):
            tell(f"promql: round {i} of {rounds}")
            for title, expr in QUERIES.items():
                figures = took.setdefault(title, {})
                began = time.perf_counter()
                matrix = engine.range(store, expr, start, end, STEP_MS)
                figures.setdefault("", []).append(1000 * (time.perf_counter() - began))
                assert len(matrix)
                for peer in there:
                    began = time.perf_counter()
                    peer.ask(expr, start, end)
                    figures.setdefault(peer.name, []).append(1000 * (time.perf_counter() - began))
    out = []
    for title, by_name in took.items():
        mine = by_name.pop("")[1:]  # the first round warms up
        others = {name: values[1:] for name, values in by_name.items()}
        peer_name = next(iter(others), "")
        note = "; ".join(
            f"{name} {statistics.median(values):.1f} ms"
            for name, values in list(others.items())[1:]
        )
        wanted = 1.0 if peer_name == "victoria-metrics" and title != "one series" else None
        out.append(
            Figure(f"promql: {title}", "ms", mine, "less", 2.0 if title == "one series" else None,
                   peer_name, others.get(peer_name, ()), wanted, note)
        )  # fmt: skip
    return out


if __name__ == "__main__":
    main(measure)
