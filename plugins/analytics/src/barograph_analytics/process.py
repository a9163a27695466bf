"""The worker process from its parent's side: started, heard, and ended in any case."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from barograph.config import Config

MODULE = "barograph_analytics.worker"
LOOK_S = 0.1
"""Time between two looks at whether the run is still wanted."""

LAST_WORDS = 2000
"""Characters of what a process wrote to stderr that are kept."""

END_S = 0.5
"""A process whose input was closed may take so long before it is killed."""


class WorkerFailed(Exception):
    """The process ended, or could not be started; the message says why."""


class WorkerLate(Exception):
    """The process took too long."""


class WorkerStopped(Exception):
    """The run is not wanted any more."""


class Worker:
    """A process that works on one order; a context manager, at whose end the process is gone."""

    def __init__(self, order: Mapping[str, Any], stopped: Callable[[], bool]) -> None:
        """Raises WorkerFailed if it cannot be started."""
        self._stopped = stopped
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._words = ""
        self._order = json.dumps(order, default=str).encode() + b"\n"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise WorkerFailed(f"no process can be started: {error}") from None
        self._sent = threading.Event()
        for work in (self._hear, self._listen, self._send):
            threading.Thread(target=work, name="barograph-analytics-io", daemon=True).start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        process = self._process
        if self._sent.is_set() and not self._stopped():
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
        self.kill()
        process.wait()

    def kill(self) -> None:
        """End it at once, with what it has started; may be called from any thread."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it leads a group of its own
        self._lines.put(None)  # wakes `messages`

    @property
    def pid(self) -> int:
        return self._process.pid

    def messages(self, seconds: float) -> Iterator[dict[str, Any]]:
        """What it tells, until it is done; at most ``seconds`` from one message to the next.

        Raises WorkerFailed, WorkerLate, WorkerStopped.
        """
        until = time.monotonic() + seconds
        while not self._stopped():
            try:
                line = self._lines.get(timeout=LOOK_S)
            except queue.Empty:
                if time.monotonic() > until:
                    raise WorkerLate from None
                continue
            if self._stopped():
                raise WorkerStopped
            if line is None:
                code = self._process.wait()
                last = self._words.strip().rsplit("\n", 1)[-1]
                raise WorkerFailed(f"its process ended with {code}" + (f": {last}" if last else ""))
            message = json.loads(line)
            if "failed" in message:
                raise WorkerFailed(message["failed"])
            yield message
            if "done" in message:
                return
            until = time.monotonic() + seconds
        raise WorkerStopped

    def _send(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: told by `messages`
            self._process.stdin.write(self._order)
            self._process.stdin.flush()
        self._sent.set()

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.decode("utf-8", "replace"))
        self._lines.put(None)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._words = (self._words + line.decode("utf-8", "replace"))[-LAST_WORDS:]


def config_tables(
    config: Config, installed: set[str], own: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A configuration as the tables of a file: what another process needs to open the store and
    to make the objects of the plugins in ``installed``. ``own``: options that some of them run
    with, whatever the configuration says now."""
    monitor, storage = config.monitor, config.storage
    plugins: dict[str, Any] = {}
    for name, settings in config.plugins.items():
        if name in installed:
            given = {} if settings.options is None else _plain(settings.options)
            plugins[name] = {**given, "enabled": settings.enabled}
    for name, options in (own or {}).items():
        plugins[name] = {**_plain(options), "enabled": True}
    return {
        "monitor": {"data_dir": str(monitor.directory.absolute()),
                    "plugin_order": [n for n in monitor.plugin_order if n in installed]},
        "storage": {"store": storage.store},
        "plugins": plugins,
    }  # fmt: skip


def _plain(options: Any) -> dict[str, Any]:
    fields = {field.name for field in attrs.fields(type(options)) if field.init}

    def told(_: Any, __: Any, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    out = attrs.asdict(options, value_serializer=told)
    return {name: value for name, value in out.items() if name in fields}


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BAROGRAPH_")}
    kept["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    # One core is enough for what nobody waits for.
    return kept | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
