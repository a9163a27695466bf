"""Where applications send to: a Unix socket with a line of JSON for each message and each answer,
or HTTP with a message as the body."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph.contracts import Request, Response
from barograph.instruments.lines import SOCKET_NAME
from barograph.model import MetricKind, Sample
from barograph_application.totals import TOTALS, BadMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from barograph.monitor import PerformanceMonitor
    from barograph.senders import Sender
    from barograph_application import Config

MAX_MESSAGE = 4 * 2**20
MAX_CONNECTIONS = 1000
IDLE_S = 120.0
"""A connection that says nothing for so long is closed; the application connects again."""

MAX_PATH = 100
"""Characters of a Unix socket's path that every system allows."""


class Receiver:
    """Listens in a thread of its own from the monitor's start to its stop."""

    name = "application"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: set[asyncio.Task[Any]] = set()
        self.path = Path()

    def start(self, monitor: PerformanceMonitor) -> None:
        """Raises OSError or ValueError with what is wrong and what to do."""
        given = self._config.socket
        self.path = Path(given) if given else monitor.config.monitor.directory / SOCKET_NAME
        listener = listen(self.path, self._config.socket_mode)
        monitor.meter.reader(self._samples)
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(listener, ready), name="barograph-application", daemon=True
        )
        self._thread.start()
        ready.wait(5.0)

    def stop(self, deadline_s: float) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(deadline_s)
        self.path.unlink(missing_ok=True)

    def _run(self, listener: socket.socket, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_MESSAGE)
        )
        self._loop = loop
        loop.call_soon(ready.set)
        loop.run_forever()
        server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:  # of nothing, gather would look for a loop of its own
            loop.run_until_complete(asyncio.gather(*self._connections, return_exceptions=True))
        loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if len(self._connections) > MAX_CONNECTIONS:
                return
            while True:
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readline()
                if not line:
                    return
                writer.write(json.dumps(answer(line)).encode() + b"\n")
                await writer.drain()
        except (OSError, TimeoutError, asyncio.CancelledError):
            return  # the other side is gone, silent, or we stop
        except ValueError:
            TOTALS.refused += 1
            told = {"error": f"a message is longer than {MAX_MESSAGE} bytes"}
            writer.write(json.dumps(told).encode() + b"\n")
        finally:
            self._connections.discard(task)
            writer.close()

    def _samples(self) -> Iterable[Sample]:
        counter = MetricKind.COUNTER
        for name, value, kind, text in (
            ("processes", TOTALS.processes, MetricKind.GAUGE, "Processes that send"),
            ("messages_total", TOTALS.messages, counter, "Messages of applications"),
            ("refused_total", TOTALS.refused, counter, "Messages that were not as they should be"),
            ("dropped_total", TOTALS.dropped, counter, "Readings beyond max_series, or that clash"),
        ):
            yield Sample(f"barograph_application_{name}", value, {}, kind, "", text)


def pushed(request: Request) -> Response:
    """The answer to a message that came by HTTP. 400: it is not to be sent again."""
    told = answer(request.body, request.sender)
    status = 400 if "error" in told else 200
    return Response(json.dumps(told).encode(), "application/json", status)


def answer(line: bytes, sender: Sender | None = None) -> dict[str, Any]:
    """Take in one message; what to answer."""
    try:
        TOTALS.accept(json.loads(line), time.monotonic(), sender)
    except BadMessage as error:
        return {"error": str(error)}
    except (ValueError, RecursionError) as error:
        TOTALS.refused += 1
        return {"error": f"not JSON: {error}"}
    return {"ok": True}


def listen(path: Path, mode: str) -> socket.socket:
    """A listening socket with the given rights. Raises OSError or ValueError."""
    if len(str(path)) > MAX_PATH:
        raise ValueError(
            f"the path of a Unix socket may have {MAX_PATH} characters, and {path} has "
            f"{len(str(path))}; set [plugins.application] socket to a shorter one"
        )
    try:
        rights = int(mode, 8)
    except ValueError:
        raise ValueError(
            f'"socket_mode" in [plugins.application] must be octal such as "0660", not {mode!r}'
        ) from None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(f"{path} is there already and is no socket; move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink()  # left behind by a process that was killed
            else:
                raise OSError(
                    f"another Barograph listens on {path}; set [plugins.application] socket to "
                    "another path"
                )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~rights)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(128)
    listener.setblocking(False)
    return listener
