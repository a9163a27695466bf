"""What a tree of processes uses: CPU time and memory, from /proc; and servers to measure."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
from measuring import ROOT, tell
from websockets.sync.client import connect

sys.path.insert(0, str(ROOT / "tests"))
from serving import Server, running_server, wait_for

__all__ = ["Server", "Used", "Viewer", "peer_environment", "running_server", "used", "wait_for"]

_TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Used:
    """CPU seconds since the start (children that have ended too); memory now, in MB (2**20)."""

    cpu_s: float
    rss: float
    pss: float
    uss: float


def tree(pid: int) -> list[int]:
    """``pid`` and all that descends from it."""
    out = [pid]
    for one in out:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                out += [int(child) for child in task.read_text().split()]
    return out


def used(pid: int) -> Used:
    """Of the whole tree of ``pid``."""
    cpu = 0.0
    memory = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            if one == pid:
                raise
            continue  # a child that has ended: its time is its parent's now
        cpu += sum(int(fields[i]) for i in (11, 12, 13, 14)) / _TICKS
        for line in lines:
            name, _, rest = line.partition(":")
            if name in memory:
                memory[name] += int(rest.split()[0])
    own = memory["Private_Clean"] + memory["Private_Dirty"]
    return Used(cpu, memory["Rss"] / 1024, memory["Pss"] / 1024, own / 1024)


class Viewer:
    """A page's live connection: all the dashboard's queries, every frame read."""

    def __init__(self, server: Server) -> None:
        status, body = server.get("/api/barograph/v1/dashboard")
        assert status == 200, body
        panels = [
            {"id": f"{widget['id']}.{i}", "query": query}
            for section in json.loads(body)["sections"]
            for widget in section["widgets"]
            for i, query in enumerate(widget["queries"])
        ]
        self.panels, self.ticks, self.bytes = len(panels), 0, 0
        self._socket = connect(
            f"{server.base_url.replace('http', 'ws', 1)}/api/barograph/v1/live",
            origin=server.base_url, additional_headers={"Cookie": cookie(server)}, compression=None,
        )  # fmt: skip
        self._socket.send(json.dumps({"type": "subscribe", "panels": panels}))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for frame in self._socket:
            self.bytes += len(frame)
            self.ticks += '"type":"tick"' in frame[:20]

    def close(self) -> None:
        self._socket.close()
        self._thread.join(5)


def cookie(server: Server) -> str:
    """A session's cookie, for the token in the server's address."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    try:
        answer: Any = urllib.request.build_opener(Stay).open(server.url, timeout=10)
    except urllib.error.HTTPError as error:
        answer = error
    return str(answer.headers["set-cookie"]).partition(";")[0]


def peer_environment(requirement: str, folder: Path) -> Path:
    """The Python of a virtual environment in ``folder`` with ``requirement`` in it."""
    python = folder / "bin" / "python"
    if not python.exists():
        tell(f"installing {requirement}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", requirement], check=True)
    return python


@contextlib.contextmanager
def every_second(action: Callable[[], object]) -> Iterator[list[float]]:
    """Do ``action`` once a second in a thread; the seconds that each took."""
    ended = threading.Event()
    took: list[float] = []

    def work() -> None:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            began = time.monotonic()
            action()
            took.append(time.monotonic() - began)
            due = max(due + 1, time.monotonic())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield took
    finally:
        ended.set()
        thread.join(10)
