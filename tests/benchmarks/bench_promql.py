"""Range queries over 2,000 series and an hour at 10 s, 60 steps: the engine against its peers.

The engine reads an SQLite store: in process, with the samples in the store's head and once more
with all of them sealed; and over HTTP, asked of a running server that collects this host meanwhile.
Peers are what is installed of VictoriaMetrics and Prometheus, over HTTP on loopback, each with its
cache of results switched off. No round asks for the same times as another, so that nobody answers
from memory. Answers over HTTP are read but not decoded, on a connection that is kept.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from measuring import ROOT, Figure, main, tell
from processes import running_server

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
SHORT_TIMES = 25
"""How often a round asks what takes a millisecond; its figure is their median."""


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

    def __init__(self, name: str, port: int, headers: dict[str, str] | None = None) -> None:
        self.name = name
        self._headers = headers or {}
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._http.connect()
        self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        self._http.request("POST", path, body, {**headers, **self._headers})
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
            yield _ready(name, port, process)
        finally:
            process.terminate()
            process.wait(30)


def _ready(name: str, port: int, process: subprocess.Popen[bytes]) -> Peer:
    deadline = time.monotonic() + 60
    while True:
        try:
            peer = Peer(name, port)
            peer.ask("1", 0, 60_000)
            return peer
        except (OSError, AssertionError, http.client.HTTPException):
            pass
        assert time.monotonic() < deadline, f"{name} does not get ready"
        assert process.poll() is None, f"{name} ended"
        time.sleep(0.1)


@contextmanager
def served(folder: Path, samples: Samples) -> Iterator[Peer]:
    """`barograph run` over a store with the samples."""
    filled(folder / "data", samples).close()
    with running_server(folder) as server:
        port = int(server.base_url.rpartition(":")[2])
        yield Peer("", port, server.headers)


Ask = Callable[[str, int, int], object]


def measure(quick: bool, rounds: int) -> list[Figure]:
    samples = Samples(200 if quick else 2000)
    start, end = samples.range
    engine = PromqlEngine()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        tell("promql: writing")
        asked: dict[str, Ask] = {}
        for title in ("", "sealed"):
            store = filled(folder / f"store-{title}", samples)
            stack.callback(store.close)
            if title:
                store.seal()
            asked[title] = _in_process(engine, store)
        (folder / "served").mkdir()
        for program in ("victoria-metrics", "prometheus"):
            peer = stack.enter_context(running(program, folder))
            if peer is not None:
                peer.fill(samples)
                asked[program] = peer.ask
        time.sleep(2)  # until VictoriaMetrics shows what it was given
        asked["HTTP"] = stack.enter_context(served(folder / "served", samples)).ask
        took: dict[str, dict[str, list[float]]] = {}
        for i in range(rounds + 1):
            tell(f"promql: round {i} of {rounds}")
            for title, expr in QUERIES.items():
                times = SHORT_TIMES if title == "one series" else 1
                for who, ask in asked.items():
                    spent = []
                    for k in range(times):
                        earlier = i * times + k
                        began = time.perf_counter()
                        ask(expr, start - earlier, end - earlier)
                        spent.append(1000 * (time.perf_counter() - began))
                    if i:  # the first round warms up
                        median = statistics.median(spent)
                        took.setdefault(title, {}).setdefault(who, []).append(median)
    return [
        _figure(title, who, by_name) for who in ("", "sealed", "HTTP")
        for title, by_name in took.items()
    ]  # fmt: skip


def _in_process(engine: PromqlEngine, store: SqliteStore) -> Ask:
    def ask(expr: str, start: int, end: int) -> None:
        assert len(engine.range(store, expr, start, end, STEP_MS))

    return ask


def _figure(title: str, who: str, took: dict[str, list[float]]) -> Figure:
    peer, *others = [name for name in ("victoria-metrics", "prometheus") if name in took] or [""]
    note = "; ".join(f"{name} {statistics.median(took[name]):.1f} ms" for name in others)
    one = title == "one series"
    return Figure(
        f"promql: {title}" + (f", {who}" if who else ""), "ms", took[who], "less",
        2.0 if one else None, peer, took.get(peer, ()),
        1.0 if peer == "victoria-metrics" and not one else None, note,
    )  # fmt: skip


if __name__ == "__main__":
    main(measure)
