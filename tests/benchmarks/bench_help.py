"""barograph --help: time of the whole process, beside python -c pass for scale."""

from __future__ import annotations

import resource
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from measuring import Figure, main

SCRIPT = Path(sysconfig.get_path("scripts")) / "barograph"


def seconds(*command: str | Path) -> tuple[float, float]:
    """Wall and CPU time of a process."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(quick: bool, rounds: int) -> list[Figure]:
    for command in ((SCRIPT, "--help"), (sys.executable, "-c", "pass")):
        seconds(*command)  # warm: the system's cache
    found: list[tuple[float, float]] = []
    scale: list[tuple[float, float]] = []
    for _ in range(5 if quick else rounds):
        found.append(seconds(SCRIPT, "--help"))
        scale.append(seconds(sys.executable, "-c", "pass"))
    return [
        Figure(f"help: barograph --help, {clock} time", "s", [x[i] for x in found], "less", 0.2,
               "python -c pass", [x[i] for x in scale])
        for i, clock in enumerate(("wall", "CPU"))
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure, rounds=20)
