"""The monitor's metrics of itself: ``barograph_...``."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from barograph.model import MetricKind, Sample

if TYPE_CHECKING:
    from barograph.contracts import StoreStats


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
        """Ask ``read`` for samples at each collection; the same reader counts once.

        One that raises is left out and counted.
        """
        with self._lock:
            if read not in self._readers:
                self._readers.append(read)

    def forget_readers(self) -> None:
        """Ask no reader any more: what they read has stopped."""
        with self._lock:
            self._readers.clear()

    def forget(self, **labels: str) -> None:
        """Drop the cells that have all of ``labels``: what they measured is gone."""
        wanted = set(labels.items())
        with self._lock:
            for key in [key for key in self._cells if wanted <= set(key[1])]:
                del self._cells[key]

    def value(self, name: str, **labels: str) -> float:
        """A cell's value; 0 if there is none."""
        found = self._cells.get((name, tuple(sorted(labels.items()))))
        return found[0].value if found else 0.0

    def samples(self) -> list[Sample]:
        """All cells' values, and what the readers give."""
        failed = self.counter("barograph_meter_errors_total", "Readings of own metrics that failed")
        with self._lock:
            readers = list(self._readers)
        read_out: list[Sample] = []
        for read in readers:
            try:
                read_out += list(read())
            except Exception:  # noqa: BLE001 — counted; the other metrics go on
                failed.add()
        with self._lock:
            cells = list(self._cells.values())
        out = [Sample(s.name, cell.value, s.labels, s.kind, s.unit, s.help) for cell, s in cells]
        return out + read_out


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
        rss = float(rss_bytes())
        yield Sample("barograph_process_memory_rss_bytes", rss, {}, MetricKind.GAUGE, "bytes",
                     "Resident memory of the monitor's process")  # fmt: skip
        yield from self._meter.samples()


def store_samples(stats: StoreStats) -> Iterable[Sample]:
    """What a store tells of itself, as samples."""
    for name, value, unit, text in (
        ("barograph_store_disk_bytes", stats.bytes_on_disk, "bytes", "Size of the store"),
        ("barograph_store_samples", stats.samples, "", "Samples in the store"),
        ("barograph_store_series", stats.series, "", "Series in the store"),
        ("barograph_store_chunks", stats.chunks, "", "Sealed chunks in the store"),
        ("barograph_store_head_samples", stats.head_samples, "", "Samples not sealed yet"),
        ("barograph_store_head_bytes", stats.extra.get("head_bytes"), "bytes",
         "Memory of the samples not sealed yet"),
        ("barograph_store_log_bytes", stats.log_bytes, "bytes", "Size of the write-ahead log"),
    ):  # fmt: skip
        if value is not None:
            yield Sample(name, float(value), {}, MetricKind.GAUGE, unit, text)
    damaged = stats.extra.get("damaged_records", 0)
    yield Sample("barograph_store_damaged_total", float(damaged), {}, MetricKind.COUNTER, "",
                 "Damaged records met while reading")  # fmt: skip


def rss_bytes() -> int:
    """Resident memory of this process, bytes; its peak where the system tells no more."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 — a hot path
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
