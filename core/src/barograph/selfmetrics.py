"""The monitor's metrics of itself: ``barograph_...``."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable

from barograph.model import MetricKind, Sample


class Cell:
    """One number of one series; ``add`` and ``set`` take no lock (one writer a cell, or benign)."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, n: float = 1.0) -> None:
        self.value += n

    def set(self, value: float) -> None:
        self.value = value


class Meter:
    """Counters and gauges by name and labels; asking twice gives the same cell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Cell, Sample]] = {}
        self._readers: list[Callable[[], Iterable[Sample]]] = []

    def counter(self, name: str, help: str = "", unit: str = "", **labels: str) -> Cell:
        return self._cell(name, MetricKind.COUNTER, unit, help, labels)

    def gauge(self, name: str, help: str = "", unit: str = "", **labels: str) -> Cell:
        return self._cell(name, MetricKind.GAUGE, unit, help, labels)

    def _cell(
        self, name: str, kind: MetricKind, unit: str, help: str, labels: dict[str, str]
    ) -> Cell:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            found = self._cells.get(key)
            if found is None:
                found = (Cell(), Sample(name, 0.0, labels, kind, unit, help))
                self._cells[key] = found
            return found[0]

    def reader(self, read: Callable[[], Iterable[Sample]]) -> None:
        """Ask ``read`` for samples at each collection."""
        self._readers.append(read)

    def value(self, name: str, **labels: str) -> float:
        """A cell's value; 0 if there is none."""
        found = self._cells.get((name, tuple(sorted(labels.items()))))
        return found[0].value if found else 0.0

    def samples(self) -> list[Sample]:
        with self._lock:
            cells = list(self._cells.values())
        out = [Sample(s.name, cell.value, s.labels, s.kind, s.unit, s.help) for cell, s in cells]
        for read in self._readers:
            out.extend(read())
        return out


class SelfSource:
    """A metric source over a Meter, with the process's own time and memory."""

    name = "barograph"

    def __init__(self, meter: Meter, interval_s: float = 5.0) -> None:
        self.interval_s = interval_s
        self._meter = meter

    def collect(self, now_ms: int) -> Iterable[Sample]:
        cpu = time.process_time()
        yield Sample("barograph_process_cpu_seconds_total", cpu, {}, MetricKind.COUNTER,
                     "seconds", "CPU time of the monitor's process")  # fmt: skip
        yield Sample("barograph_process_memory_rss_bytes", float(rss_bytes()), {},
                     MetricKind.GAUGE, "bytes", "Resident memory of the monitor's process")  # fmt: skip
        yield from self._meter.samples()


def rss_bytes() -> int:
    """Resident memory of this process, bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 — a hot path
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import psutil

        return int(psutil.Process().memory_info().rss)
