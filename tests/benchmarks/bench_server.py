"""The server at rest with one viewer, against Glances' web server polled once a second.

Barograph runs with all its plugins at 1 s, and a viewer's live connection has every query of the
page. Glances is asked for all it has (/api/4/all) once a second. Both run all the time; windows
of measuring alternate, and only the one that is measured is being watched. CPU time and memory
are of the whole process tree, from /proc. Glances comes from PyPI into an environment of its own.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from measuring import Figure, main, tell
from processes import (
    Server,
    Used,
    Viewer,
    every_second,
    peer_environment,
    running_server,
    used,
    wait_for,
)

GLANCES = "glances[web]"
PEERS = Path(tempfile.gettempdir()) / "barograph-bench-glances"


def window(pid: int, seconds: float) -> tuple[float, Used]:
    """Percent of a core over ``seconds``, and what the tree holds at the end."""
    before, began = used(pid), time.monotonic()
    time.sleep(seconds)
    after, ended = used(pid), time.monotonic()
    return 100 * (after.cpu_s - before.cpu_s) / (ended - began), after


def watched(server: Server, seconds: float) -> tuple[float, Used]:
    """A window of Barograph with one viewer."""
    viewer = Viewer(server)
    wait_for(lambda: viewer.ticks >= 2)
    ticks, size = viewer.ticks, viewer.bytes
    found = window(server.pid, seconds)
    tell(f"  {viewer.panels} queries, {(viewer.ticks - ticks) / seconds:.2f} frames/s, "
         f"{(viewer.bytes - size) / seconds / 1024:.1f} KiB/s")  # fmt: skip
    viewer.close()
    return found


def polled(pid: int, address: str, seconds: float) -> tuple[float, Used]:
    """A window of Glances, asked once a second."""

    def ask() -> int:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return len(answer.read())

    wait_for(ask)
    with every_second(ask) as took:
        found = window(pid, seconds)
    tell(f"  {len(took) / seconds:.2f} answers/s")
    return found


def start_glances() -> tuple[subprocess.Popen[bytes], str]:
    python = peer_environment(GLANCES, PEERS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [python, "-m", "glances", "-w", "-B", "127.0.0.1", "-p", str(port), "-q",
         "--disable-autodiscover", "--disable-check-update"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return process, f"http://127.0.0.1:{port}/api/4/all"


def measure(quick: bool, rounds: int) -> list[Figure]:
    seconds = 15.0 if quick else 60.0
    ours: list[tuple[float, Used]] = []
    theirs: list[tuple[float, Used]] = []
    glances, address = start_glances()
    try:
        with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
            wait_for(lambda: urllib.request.urlopen(address, timeout=5).status == 200)
            tell("server: both run; half a minute to settle")
            time.sleep(5 if quick else 30)
            for i in range(rounds):
                tell(f"server: round {i + 1} of {rounds}, {seconds:g} s each")
                ours.append(watched(server, seconds))
                theirs.append(polled(glances.pid, address, seconds))
                tell(f"  CPU {ours[-1][0]:.2f} % against {theirs[-1][0]:.2f} %; "
                     f"{ours[-1][1]}; {theirs[-1][1]}")  # fmt: skip
    finally:
        glances.terminate()
        glances.wait(10)
    figures = [
        Figure("server: CPU, all plugins, 1 s, one viewer", "% of a core", [x for x, _ in ours],
               "less", 1.5, "Glances", [x for x, _ in theirs], 1.0)
    ]  # fmt: skip
    for kind, wanted in (("rss", 120.0), ("pss", None), ("uss", None)):
        own = [getattr(x, kind) for _, x in ours]
        peer = [getattr(x, kind) for _, x in theirs]
        figures.append(
            Figure(f"server: {kind.upper()}", "MiB", own, "less", wanted, "Glances", peer)
        )
    return figures


if __name__ == "__main__":
    main(measure, rounds=3)
