"""Remote write: samples ingested per CPU second of the server, against Prometheus.

2,000 series at 10 s over an hour, in requests of 500 samples as Prometheus sends them, one after
another over one connection; both servers get the same bytes. Each round begins both anew, in turn.
CPU time is the process's (all threads, from /proc) from the second tick on until 2 s after the last
answer, so that what is put off (sealing, compaction) counts as far as it has come by then.
Barograph runs with what it needs to store and roll up; its own sources of the host are off, as
Prometheus has none.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import cramjam
from measuring import Figure, main, tell
from processes import running_server, used, wait_for

from barograph.model import Labels
from barograph_prometheus import wire

SERIES, PER_REQUEST, STEP_MS = 2000, 500, 10_000
SETTLE_S = 2.0
OFF = "".join(
    f"[plugins.{name}]\nenabled = false\n"
    for name in ("application", "process", "runtime", "system")
)
HEADERS = {
    "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}  # fmt: skip


def labels() -> list[bytes]:
    """Label fields of 2,000 series: 20 hosts with 100 network devices each."""
    return [
        wire.encode_labels(
            Labels.of(
                "node_network_receive_bytes_total",
                {
                    "cluster": "production-eu-1",
                    "device": f"eth{i % 100}",
                    "instance": f"10.0.{i // 100}.7:9100",
                    "job": "node",
                },
            )
        )
        for i in range(SERIES)
    ]


def requests(start_ms: int, ticks: int, size: int) -> list[bytes]:
    """The bodies of all requests, in order of time: counters that grow by uneven steps."""
    known = labels()
    out = []
    for tick in range(ticks):
        t_ms = start_ms + tick * STEP_MS
        for first in range(0, SERIES, size):
            series = (
                wire.encode_series(known[i], [t_ms], [float((i + 1) * (1000 * tick + tick % 7))])
                for i in range(first, first + size)
            )
            out.append(bytes(cramjam.snappy.compress_raw(wire.encode(series))))
    return out


def ingest(
    pid: int, address: str, bodies: list[bytes], warm: int, headers: dict[str, str]
) -> float:
    """CPU seconds that the server spends on ``bodies`` but for the first ``warm``."""
    connection = http.client.HTTPConnection(address, timeout=60)

    def send(body: bytes) -> None:
        while True:
            connection.request("POST", "/api/v1/write", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 204:
                return
            assert answer.status == 503, (answer.status, text)

    for body in bodies[:warm]:
        send(body)
    before = used(pid).cpu_s
    for body in bodies[warm:]:
        send(body)
    time.sleep(SETTLE_S)
    spent = used(pid).cpu_s - before
    connection.close()
    return spent


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[tuple[int, str]]:
    """Debian's Prometheus with its remote write receiver; its pid and address."""
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
         f"--web.listen-address={address}", "--web.enable-remote-write-receiver"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: urllib.request.urlopen(f"http://{address}/-/ready").status == 200)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait(20)


def measure(quick: bool, rounds: int) -> list[Figure]:
    ticks = 60 if quick else 360
    there = shutil.which("prometheus") is not None
    cache = {"XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))}
    figures = []
    for size in (PER_REQUEST, SERIES):
        ours: list[float] = []
        theirs: list[float] = []
        for i in range(rounds):
            bodies = requests(int(time.time() * 1000) - ticks * STEP_MS, ticks, size)
            samples = SERIES * (ticks - 1)
            with (
                tempfile.TemporaryDirectory() as folder,
                running_server(Path(folder), config=OFF, env=cache) as server,
            ):
                address = server.base_url.removeprefix("http://")
                headers = HEADERS | server.headers
                ours.append(samples / ingest(server.pid, address, bodies, SERIES // size, headers))
            if there:
                with tempfile.TemporaryDirectory() as folder, prometheus(Path(folder)) as peer:
                    theirs.append(samples / ingest(*peer, bodies, SERIES // size, HEADERS))
            tell(f"remote_write: {size} a request, round {i + 1} of {rounds}: {ours[-1]:,.0f}"
                 + (f" against {theirs[-1]:,.0f}" if there else ""))  # fmt: skip
        figures.append(
            Figure(
                f"remote write, {size:,} samples a request",
                "samples/CPU s",
                ours,
                "more",
                None,
                "Prometheus" if there else "",
                theirs,
                1.0 if there else None,
                "" if there else "prometheus is not installed: no peer",
            )
        )
    return figures


if __name__ == "__main__":
    main(measure, rounds=3)
