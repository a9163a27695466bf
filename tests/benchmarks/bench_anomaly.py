"""Detectors: points a second on one core, streaming a batch of series; the cost of watching 200.

Repeat alone: ``python tests/benchmarks/run.py anomaly``
"""

from __future__ import annotations

import numpy as np
from measuring import Figure, main, spending, tell

from barograph.contracts import Detector
from barograph.detection import Watch
from barograph_anomaly.catalog import detectors

STEP_MS = 10_000
START = 1_700_000_000_000
WANTED = 200_000


def streamed(detector: Detector, series: int, ticks: int) -> float:
    """Points a second of CPU time, series with noise, a season and now and then an event."""
    rng = np.random.default_rng(1)
    table = rng.normal(100, 5, (ticks, series))
    table += 30 * np.sin(np.arange(ticks) / 60)[:, np.newaxis]
    table[rng.random(table.shape) < 1e-4] += 400
    watch = Watch(detector, series)
    watch.update(START, table[0])  # compiled by now
    with spending() as spent:
        for i in range(1, ticks):
            watch.update(START + i * STEP_MS, table[i])
    return series * (ticks - 1) / spent.cpu


def share_of_a_core(detector: Detector, series: int, ticks: int) -> float:
    """Percent of a core for one look each 10 s."""
    return 100 * series / streamed(detector, series, ticks) / (STEP_MS / 1000)


def measure(quick: bool, rounds: int) -> list[Figure]:
    ticks = 200 if quick else 1000
    found = {one.name: one for one in detectors()}
    auto = found["auto"]
    figures = []
    # First of all: once something is compiled in a process, few series run compiled, too.
    alone = [share_of_a_core(auto, 200, ticks) for _ in range(rounds)]
    for name, detector in found.items():
        tell(f"  {name}")
        reached = [streamed(detector, 1000, ticks) for _ in range(rounds)]
        figures.append(
            Figure(f"{name}, streaming, 1,000 series", "points/s", reached,
                   wanted=WANTED if name == "auto" else None)
        )  # fmt: skip
    figures.append(
        Figure("auto, streaming, 100,000 series", "points/s",
               [streamed(auto, 100_000, 12) for _ in range(rounds)], wanted=WANTED)
    )  # fmt: skip
    figures.append(
        Figure("auto, 200 series each 10 s, not compiled", "% of a core", alone, better="less",
               wanted=0.3, note="the detector alone; choosing and storing come on top")
    )  # fmt: skip
    return figures


if __name__ == "__main__":
    main(measure, rounds=3)
