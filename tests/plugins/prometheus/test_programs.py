"""With the real programs: Prometheus as sender and as receiver, node_exporter as a target."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cramjam
import pytest
from answering import Answer, Site
from naive_wire import decode
from serving import Server, running_server, wait_for
from written import packed, series

from barograph_prometheus import wire

CACHE = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
OFF = "".join(
    f"[plugins.{name}]\nenabled = false\n"
    for name in ("application", "process", "runtime", "system")
)

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="the program prometheus is not installed"
)
needs_exporter = pytest.mark.skipif(
    shutil.which("prometheus-node-exporter") is None,
    reason="the program prometheus-node-exporter is not installed",
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def running(*command: str, ready: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: urllib.request.urlopen(ready, timeout=5).status == 200)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def prometheus(folder: Path, config: str, port: int | None = None) -> Iterator[str]:
    """Its base address."""
    folder.mkdir(exist_ok=True)
    (folder / "prometheus.yml").write_text(config)
    base = f"http://127.0.0.1:{port or free_port()}"
    with running(
        "prometheus", f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}", "--web.enable-remote-write-receiver",
        f"--web.listen-address={base.removeprefix('http://')}", ready=f"{base}/-/ready",
    ):  # fmt: skip
        yield base


@contextlib.contextmanager
def node_exporter() -> Iterator[str]:
    """Its address."""
    address = f"127.0.0.1:{free_port()}"
    with running("prometheus-node-exporter", f"--web.listen-address={address}",
                 ready=f"http://{address}/metrics"):  # fmt: skip
        yield address


def asked(server: Server, selector: str) -> dict[str, list[float]]:
    """Values of the series that fit, by their labels as text."""
    status, body = server.get(f"/api/barograph/v1/series?limit=9000&match={quote(selector)}")
    assert status == 200, body
    out: dict[str, list[float]] = {}
    for one in json.loads(body)["series"]:
        path = f"/api/barograph/v1/samples?ref={one['ref']}&start=0&end=9999999999999"
        out[json.dumps(one["labels"], sort_keys=True)] = json.loads(server.get(path)[1])["v"]
    return out


def names(server: Server, selector: str) -> set[str]:
    return {json.loads(labels)["__name__"] for labels in asked_series(server, selector)}


def asked_series(server: Server, selector: str) -> list[str]:
    body = server.get(f"/api/barograph/v1/series?limit=9000&match={quote(selector)}")[1]
    return [json.dumps(one["labels"], sort_keys=True) for one in json.loads(body)["series"]]


def query(base: str, expr: str) -> list[Any]:
    with urllib.request.urlopen(f"{base}/api/v1/query?query={quote(expr)}", timeout=10) as answer:
        return list(json.load(answer)["data"]["result"])


def post(server: Server, body: bytes, **headers: str) -> tuple[int, bytes]:
    given = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
             **server.headers, **headers}  # fmt: skip
    address = server.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", "/api/v1/write", body, given)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def announced(server: Server, size: int) -> int:
    """The answer to a request that only says how large it will be."""
    address = server.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.putrequest("POST", "/api/v1/write")
        for name, value in {**server.headers, "Content-Length": str(size)}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@needs_prometheus
def test_prometheus_writes_to_us_what_it_scrapes(tmp_path: Path) -> None:
    with running_server(tmp_path, config=OFF, env=CACHE) as server:
        config = f"""
global: {{scrape_interval: 1s, external_labels: {{region: eu}}}}
scrape_configs: [{{job_name: self, static_configs: [{{targets: ["127.0.0.1:{{port}}"]}}]}}]
remote_write:
  - url: {server.base_url}/api/v1/write
    authorization: {{credentials: {server.token}}}
    queue_config: {{batch_send_deadline: 500ms}}
    metadata_config: {{send_interval: 1s}}
"""
        port = free_port()
        config = config.replace("{port}", str(port))
        with prometheus(tmp_path / "peer", config, port) as base:
            selector = 'up{job="self"}'
            wait_for(lambda: len(next(iter(asked(server, selector).values()), [])) >= 4, 60)
            (labels,) = asked(server, selector)
            assert json.loads(labels) == {"__name__": "up", "job": "self", "region": "eu",
                                          "instance": f"127.0.0.1:{port}"}  # fmt: skip
            theirs = {
                r["metric"]["__name__"] for r in query(base, 'group by (__name__) ({job="self"})')
            }
            wait_for(lambda: names(server, '{job="self"}') >= theirs, 30)
            failed = query(base, "sum(prometheus_remote_storage_samples_failed_total)")
            assert failed[0]["value"][1] == "0"


@needs_prometheus
def test_we_write_to_prometheus_over_an_outage_of_its(tmp_path: Path) -> None:
    port = free_port()
    config = f"""
[monitor]
interval = "500ms"
[[plugins.prometheus.remote_write]]
url = "http://127.0.0.1:{port}/api/v1/write"
external_labels = {{ region = "eu" }}
batch_deadline = "200ms"
"""
    with running_server(tmp_path, config=config + OFF, env=CACHE) as server:
        own = "barograph_store_series"
        wait_for(lambda: asked(server, own))  # the storage is away, and samples wait
        with prometheus(tmp_path / "peer", "global: {}", port) as base:
            found = wait_for(lambda: query(base, f"{own}[10m]"), 60)
            assert found[0]["metric"] == {"__name__": own, "region": "eu"}
            first = float(found[0]["values"][0][1])
            assert first == next(iter(asked(server, own).values()))[0], "from before it was there"


@needs_exporter
def test_node_exporter_is_scraped(tmp_path: Path) -> None:
    with node_exporter() as address:
        config = f"""
[[plugins.prometheus.scrape]]
job_name = "node"
targets = ["{address}"]
scrape_interval = "1s"
scrape_timeout = "1s"
labels = {{ rack = "r1" }}
[[plugins.prometheus.scrape.metric_relabel_configs]]
source_labels = ["__name__"]
regex = "go_.*"
action = "drop"
"""
        with running_server(tmp_path, config=config + OFF, env=CACHE) as server:
            wait_for(lambda: len(next(iter(asked(server, "node_load1").values()), [])) >= 3, 60)
            (labels,) = asked(server, "node_load1")
            assert json.loads(labels) == {"__name__": "node_load1", "instance": address,
                                          "job": "node", "rack": "r1"}  # fmt: skip
            text = urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read().decode()
            theirs = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()
                      if line[:1] not in ("#", "")}  # fmt: skip
            ours = names(server, '{job="node"}')
            assert {n for n in theirs if not n.startswith("go_")} <= ours
            assert not any(n.startswith("go_") for n in ours)
            (one,) = json.loads(server.get("/api/plugins/prometheus/targets")[1])
            assert (one["health"], one["error"], one["labels"]["rack"]) == ("up", "", "r1")


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path, config=OFF, env=CACHE) as server:
        start = int(time.time() * 1000)
        for i in range(200):
            parts = [
                series({"__name__": "m", "i": str(k)}, (start + i, float(i))) for k in range(20)
            ]
            wait_for(lambda p=parts: post(server, packed(wire.encode(p)))[0] == 204)
        server.kill()
    with running_server(tmp_path, env=CACHE) as server:
        found = asked(server, "m")
        assert len(found) == 20
        assert all(values == [float(i) for i in range(200)] for values in found.values())


def test_metrics_are_public_only_if_that_is_wanted(tmp_path: Path) -> None:
    for public, status in ((False, 401), (True, 200)):
        config = f"[plugins.prometheus]\npublic_metrics = {str(public).lower()}\n"
        with running_server(tmp_path, config=config + OFF, env=CACHE) as server:
            try:
                found = urllib.request.urlopen(f"{server.base_url}/metrics", timeout=10).status
            except urllib.error.HTTPError as error:
                found = error.code
            assert found == status
            code, body = server.get("/metrics")
            assert (code, body[:6]) == (200, b"# HELP")
            assert post(server, b"\xff" * 2 * 2**20)[0] == 400, "larger than other routes take"
            assert announced(server, 9 * 2**20) == 413
            assert post(server, packed(b""), Authorization="Bearer wrong")[0] == 401


@pytest.mark.skipif(shutil.which("promtool") is None,
                    reason="the program promtool (of prometheus) is not installed")  # fmt: skip
def test_promtool_finds_nothing_wrong_with_metrics(tmp_path: Path) -> None:
    with running_server(tmp_path, env=CACHE) as server:
        body = server.get("/metrics")[1]
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert body.count(b"# TYPE") > 30


@needs_prometheus
def test_prometheus_scrapes_us(tmp_path: Path) -> None:
    with running_server(tmp_path, config=OFF, env=CACHE) as server:
        config = f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: barograph
    authorization: {{credentials: {server.token}}}
    static_configs: [{{targets: ["{server.base_url.removeprefix("http://")}"]}}]
"""
        with prometheus(tmp_path / "peer", config) as base:
            found = wait_for(lambda: query(base, 'barograph_commits_total{job="barograph"}'), 30)
            assert float(found[0]["value"][1]) > 0
            assert query(base, "up")[0]["value"][1] == "1"


def test_what_waits_for_a_storage_survives_a_kill(tmp_path: Path) -> None:
    samples: list[tuple[str, int]] = []

    def take(path: str, headers: Any, body: bytes) -> Answer:
        raw = bytes(cramjam.snappy.decompress_raw(body))
        found = decode(raw)
        for i, t in zip(found.series.tolist(), found.t_ms.tolist(), strict=True):
            labels = dict(wire.labels_at(raw, found.starts[i], found.ends[i]))
            samples.append((labels["__name__"], t))
        return 204, b"", {}

    port = free_port()
    config = f"""
[monitor]
interval = "500ms"
[[plugins.prometheus.remote_write]]
url = "http://127.0.0.1:{port}/api/v1/write"
batch_deadline = "200ms"
"""

    def waiting() -> bool:
        text = server.get("/metrics")[1].decode()
        (line,) = re.findall(r"^barograph_remote_write_queue_samples\S* (\S+)$", text, re.M)
        return float(line) > 200

    with running_server(tmp_path, config=config + OFF, env=CACHE) as server:
        wait_for(waiting, 60)
        killed_ms = round(time.time() * 1000)
        server.kill()
    site = Site(take, port)
    try:
        with running_server(tmp_path, env=CACHE) as server:
            wait_for(lambda: sum(t < killed_ms for _, t in samples) > 200)
    finally:
        site.close()
    of_one = [t for name, t in samples if name == "barograph_store_series"]
    assert of_one == sorted(of_one), "in the order of time"
