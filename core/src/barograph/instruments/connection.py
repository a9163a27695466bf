"""Sending a process's readings to a Barograph.

Each message holds what was recorded since the last one that was acknowledged, and has a number: a
message that may or may not have arrived is sent again as it was, and counted once. While the server
is away nothing queues up, since what is not acknowledged stays in the instruments themselves.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from barograph.instruments.lines import HttpLine, Line, SocketLine, socket_path
from barograph.instruments.registry import REGISTRY, Description, Pairs, Reading, Registry

TIMEOUT_S = 2.0
CLOSING_S = 1.0
"""Time that the last message may take when the process ends."""

MAX_PAUSE_S = 10.0
"""Longest pause between attempts while the server is away."""

Key = tuple[str, Pairs]


class Deltas:
    """Messages of what was recorded since the last acknowledged one."""

    def __init__(self, registry: Registry, service: str) -> None:
        self._registry, self._service = registry, service
        self.process = uuid.uuid4().hex
        self._number = 0
        self._acknowledged: dict[Key, Reading] = {}
        self._pending: tuple[bytes, dict[Key, Reading]] | None = None

    def message(self, *, last: bool = False) -> bytes:
        """The message that waits for its acknowledgement, else a new one."""
        if self._pending is not None and not last:
            return self._pending[0]
        base = self._acknowledged
        if self._pending is not None:
            base = self._pending[1]  # after the one that waits
        found = self._registry.read()
        readings = [
            encoded
            for described, pairs, reading in found
            if (encoded := _encoded(described, pairs, reading, base)) is not None
        ]
        self._number += 1
        body = {
            "process": self.process, "pid": os.getpid(), "service": self._service,
            "number": self._number, "last": last, "readings": readings,
        }  # fmt: skip
        text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        after = {(d.name, pairs): reading for d, pairs, reading in found}
        if self._pending is None or not last:
            self._pending = (text, after)
        return text

    @property
    def waiting(self) -> bool:
        """Whether a message waits for its acknowledgement."""
        return self._pending is not None

    def acknowledge(self) -> None:
        """The server has the message that waited."""
        if self._pending is not None:
            self._acknowledged, self._pending = self._pending[1], None


def _encoded(
    described: Description, pairs: Pairs, reading: Reading, base: Mapping[Key, Reading]
) -> dict[str, Any] | None:
    """A reading as JSON, None if it says nothing new."""
    value, counts = reading.value, dict(reading.counts)
    before = base.get((described.name, pairs))
    if described.form != "gauge" and before is not None:
        value -= before.value
        counts = {k: n - before.counts.get(k, 0) for k, n in counts.items()}
        counts = {k: n for k, n in counts.items() if n}
        if not value and not counts:
            return None
    if not math.isfinite(value):
        return None
    out: dict[str, Any] = {"name": described.name, "form": described.form, "value": value}
    optional = {
        "unit": described.unit, "help": described.help, "labels": dict(pairs),
        "bounds": described.bounds, "counts": counts,
    }  # fmt: skip
    out |= {key: content for key, content in optional.items() if content}
    if described.form == "gauge":
        out["across"] = described.across
    return out


@attrs.define(eq=False)
class Connection:
    """A process's line to the server. ``sent``, ``failed``, ``refused``: messages so far."""

    service: str
    line: Line
    interval_s: float
    registry: Registry
    sent: int = 0
    failed: int = 0
    refused: int = 0
    last_error: str = ""
    _deltas: Deltas = attrs.field(init=False)
    _stop: threading.Event = attrs.field(init=False, factory=threading.Event)
    _lock: threading.Lock = attrs.field(init=False, factory=threading.Lock)
    _thread: threading.Thread | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._deltas = Deltas(self.registry, self.service)

    def start(self) -> None:
        """Begin to send, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="barograph-connection", daemon=True)
        self._thread.start()

    def flush(self, timeout_s: float = TIMEOUT_S) -> bool:
        """Send now what is new; whether the server has it."""
        with self._lock:
            again = self._deltas.waiting
            done = self._send(self._deltas.message(), timeout_s)
            return self._send(self._deltas.message(), timeout_s) if done and again else done

    def close(self) -> None:
        """Send what is left, within a second, and stop."""
        if self._stop.is_set():
            return
        self._stop.set()
        with self._lock:
            if not self._deltas.waiting or self._send(self._deltas.message(), CLOSING_S / 2):
                self._send(self._deltas.message(last=True), CLOSING_S / 2)
            self.line.hang_up()

    def _run(self) -> None:
        pause = self.interval_s
        while not self._stop.wait(pause):
            done = self.flush()
            pause = self.interval_s if done else min(2 * pause, MAX_PAUSE_S)

    def _send(self, message: bytes, timeout_s: float) -> bool:
        try:
            answer = self.line.exchange(message, timeout_s)
        except OSError as error:
            self.line.hang_up()
            self.failed += 1
            self.last_error = f"{self.line}: {error}"
            return False
        if answer.get("error"):
            self.refused += 1  # sending it again would not help
            self.last_error = str(answer["error"])
        else:
            self.sent += 1
        self._deltas.acknowledge()
        return True

    def renew(self) -> None:
        """In a forked child: a process of its own, with a line and a thread of its own."""
        self._lock = threading.Lock()
        self._deltas = Deltas(self.registry, self.service)
        self.line.hang_up()  # this process's copy of the descriptor
        if not self._stop.is_set():
            self._stop = threading.Event()
            self.start()
            _at_exit_of_a_worker(self)


_connection: Connection | None = None


def connect(
    service: str = "", *, socket: str | Path | None = None, url: str = "", token: str = "",
    interval_s: float = 1.0, registry: Registry | None = None,
) -> Connection:  # fmt: skip
    """Send this process's instruments to a Barograph; all that an application calls.

    ``service``: the application's name, by default that of its program. ``socket``: where this
    machine's server listens, by default $BAROGRAPH_SOCKET or the data folder's. ``url`` and
    ``token`` (or $BAROGRAPH_URL and $BAROGRAPH_INGEST_TOKEN): the address of a server on another
    machine, and an ingest token of it. It never blocks and never raises because the server is away:
    it tries again, and then sends everything that was counted meanwhile. Forked workers connect by
    themselves. Calling it again gives the same connection. Raises ValueError for a ``url`` that is
    none, or one without a token.
    """
    global _connection
    if _connection is None:
        name = service or Path(sys.argv[0] if sys.argv else "python").stem or "python"
        line = _line(socket, url, token)
        _connection = Connection(name, line, interval_s, registry or REGISTRY)
        _connection.start()
        atexit.register(_connection.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_connection.renew)
    return _connection


def flush() -> bool:
    """Send now what this process has recorded, if it is connected; whether the server has it.

    For servers that end a process without Python's own end (as uvicorn does at SIGTERM); a second
    at most.
    """
    return _connection is not None and _connection.flush(CLOSING_S)


def _line(socket: str | Path | None, url: str, token: str) -> Line:
    address = url or ("" if socket else os.environ.get("BAROGRAPH_URL", ""))
    if address:
        return HttpLine(address, token or os.environ.get("BAROGRAPH_INGEST_TOKEN", ""))
    return SocketLine(socket_path(socket))


def _at_exit_of_a_worker(connection: Connection) -> None:
    # Workers of multiprocessing end without atexit, but run their own finalizers, which they
    # forget right after the fork: so ask again once that has happened.
    # Celery's children end by os._exit, but tell that before; some live less than a second.
    celery = sys.modules.get("celery.signals")
    if celery is not None:
        celery.worker_process_shutdown.connect(lambda **_: connection.close(), weak=False)
    if "multiprocessing.util" in sys.modules:
        from multiprocessing import util

        util.register_after_fork(
            connection, lambda c: util.Finalize(None, c.close, exitpriority=10)
        )
