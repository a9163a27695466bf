"""The real Prometheus on loopback: started, filled by remote write, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import struct
import subprocess
import time
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cramjam
import numpy as np

Pairs = Sequence[tuple[str, str]]


class Prometheus:
    """A Prometheus with an empty database and nothing to scrape."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("prometheus")
        assert program is not None
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address=127.0.0.1:{self.port}", "--web.enable-remote-write-receiver",
             "--log.level=warn"],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._connection: http.client.HTTPConnection | None = None
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                if self._request("GET", "/-/ready")[0] == 200:
                    return
            except OSError:
                self._connection = None
            assert time.monotonic() < deadline, "prometheus does not get ready"
            assert self._process.poll() is None, "prometheus ended"
            time.sleep(0.05)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: Any = None
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        return response.status, response.read()

    def write(self, series: Iterable[tuple[Pairs, np.ndarray, np.ndarray]]) -> None:
        """Remote write: (labels, times in ms, values) of each series."""
        body = cramjam.snappy.compress_raw(write_request(series))
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        status, text = self._request("POST", "/api/v1/write", bytes(body), headers)
        assert status in (200, 204), text

    def get(self, path: str, query: Sequence[tuple[str, str]]) -> tuple[int, Any]:
        """Status and JSON of an answer below ``/api/v1``."""
        status, text = self._request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(query)}")
        return status, json.loads(text)

    def instant(self, expr: str, t_ms: int) -> dict[str, Any]:
        """The answer's JSON, with ``status`` "success" or "error"."""
        return self._ask("/api/v1/query", {"query": expr, "time": f"{t_ms / 1000:.3f}"})

    def range(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> dict[str, Any]:
        times = {"start": start_ms, "end": end_ms, "step": step_ms}
        texts = {name: f"{t / 1000:.3f}" for name, t in times.items()}
        return self._ask("/api/v1/query_range", {"query": expr, **texts})

    def _ask(self, path: str, form: dict[str, str]) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        _, text = self._request("POST", path, urllib.parse.urlencode(form).encode(), headers)
        answer: dict[str, Any] = json.loads(text)
        return answer


def write_request(series: Iterable[tuple[Pairs, np.ndarray, np.ndarray]]) -> bytes:
    """The protobuf message ``prometheus.WriteRequest``."""
    out = bytearray()
    for labels, t_ms, values in series:
        body = bytearray()
        for name, value in labels:
            body += _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for t, v in zip(t_ms.tolist(), values.view(np.int64).tolist(), strict=True):
            body += _field(2, b"\x09" + struct.pack("<q", v) + b"\x10" + _varint(t))
        out += _field(1, bytes(body))
    return bytes(out)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
