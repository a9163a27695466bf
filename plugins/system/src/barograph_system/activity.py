"""What changes every second: CPU, load, memory, disks, network, pressure; one vector a tick."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from barograph.model import Labels, Metric, MetricKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph_system import Config

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

Column = tuple[Labels, Metric]


def _series(name: str, labels: dict[str, str], kind: MetricKind, unit: str, help: str) -> Column:
    return Labels.of(name, labels), Metric(name, kind, unit, help)


def left_out(name: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs)


class ActivitySource:
    """CPU, load, memory, disk and network activity: one vector a tick."""

    name = "system"

    def __init__(
        self, config: Config, *, pressure: Path = Path("/proc/pressure"),
        blocks: Path = Path("/sys/block"),
    ) -> None:  # fmt: skip
        self.interval_s = float(config.interval)
        self._config, self._blocks = config, blocks
        self._disks: tuple[str, ...] = ()
        self._links: tuple[str, ...] = ()
        self._cpus = 0
        self._busy: tuple[float, float] = (0.0, 0.0)
        self._pressure = _pressure_files(pressure)

    def series(self) -> Sequence[Column]:
        self._cpus = len(psutil.cpu_times(percpu=True))
        self._disks = tuple(self._disk_counters())
        self._links = tuple(self._link_counters())
        return [*self._cpu(), *self._memory(), *self._disk(), *self._network(), *self._stalls()]

    def collect_vector(self, now_ms: int) -> NDArray[np.float64] | None:
        times = psutil.cpu_times(percpu=True)
        disks, links = self._disk_counters(), self._link_counters()
        if len(times) != self._cpus or tuple(disks) != self._disks or tuple(links) != self._links:
            return None
        values: list[float] = []
        busy = total = 0.0
        for cpu in times:
            row = [float(getattr(cpu, mode, 0.0)) for mode in _MODES]
            busy += sum(row) - row[3] - row[4]
            total += sum(row)
            values += row
        before_busy, before_total = self._busy
        spent = total - before_total
        ratio = (busy - before_busy) / spent if before_total and spent > 0 else float("nan")
        self._busy = (busy, total)
        values += [min(max(ratio, 0.0), 1.0), float(self._cpus), *os.getloadavg()]
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        cached, buffers = getattr(memory, "cached", 0), getattr(memory, "buffers", 0)
        used = memory.total - memory.free - cached - buffers
        values += [
            used,
            memory.free,
            cached,
            buffers,
            memory.available,
            memory.total,
            1 - memory.available / memory.total if memory.total else float("nan"),
            swap.used,
            swap.free,
            swap.sin,
            swap.sout,
        ]
        for disk in disks.values():
            values += [disk.read_bytes, disk.write_bytes, disk.read_count, disk.write_count,
                       getattr(disk, "busy_time", 0) / 1000]  # fmt: skip
        for link in links.values():
            values += [link.bytes_recv, link.bytes_sent, link.packets_recv, link.packets_sent,
                       link.errin, link.errout, link.dropin, link.dropout]  # fmt: skip
        for path, kinds in self._pressure:
            values += _stalled(path, kinds)
        return np.array(values, np.float64)

    def _disk_counters(self) -> dict[str, Any]:
        try:
            found = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        except (OSError, RuntimeError):
            return {}
        globs = self._config.exclude_devices
        # A partition's traffic is its disk's too: keep whole disks where the system tells.
        whole = set(os.listdir(self._blocks)) if self._blocks.is_dir() else found.keys()  # noqa: PTH208
        return {
            name: counters for name, counters in sorted(found.items())
            if name in whole and not left_out(name, globs)
        }  # fmt: skip

    def _link_counters(self) -> dict[str, Any]:
        try:
            found = psutil.net_io_counters(pernic=True, nowrap=False) or {}
        except OSError:
            return {}
        globs = self._config.exclude_interfaces
        return {n: c for n, c in sorted(found.items()) if n != "lo" and not left_out(n, globs)}

    def _cpu(self) -> Iterable[Column]:
        for i in range(self._cpus):
            for mode in _MODES:
                labels = {"cpu": str(i), "mode": mode}
                yield _series("system_cpu_time_seconds_total", labels, COUNTER, "seconds",
                              "Time each CPU spent in each mode")  # fmt: skip
        yield _series("system_cpu_utilization_ratio", {}, GAUGE, "ratio",
                      "Share of all CPUs' time that was not idle")  # fmt: skip
        yield _series("system_cpu_logical_count", {}, GAUGE, "", "Logical CPUs")
        for period in ("1m", "5m", "15m"):
            yield _series("system_load_average", {"period": period}, GAUGE, "",
                          "Tasks that ran or waited, on average")  # fmt: skip

    def _memory(self) -> Iterable[Column]:
        for state in ("used", "free", "cached", "buffers"):
            yield _series("system_memory_usage_bytes", {"state": state}, GAUGE, "bytes",
                          "Memory by state")  # fmt: skip
        for name, unit, text in (
            ("system_memory_available_bytes", "bytes", "Memory that programs could get at once"),
            ("system_memory_limit_bytes", "bytes", "Memory of the machine"),
            ("system_memory_utilization_ratio", "ratio", "Share of memory that is not available"),
        ):
            yield _series(name, {}, GAUGE, unit, text)
        for state in ("used", "free"):
            yield _series(
                "system_paging_usage_bytes", {"state": state}, GAUGE, "bytes", "Swap space"
            )
        for direction in ("in", "out"):
            yield _series("system_paging_io_bytes_total", {"direction": direction}, COUNTER,
                          "bytes", "Bytes swapped in and out")  # fmt: skip

    def _disk(self) -> Iterable[Column]:
        for device in self._disks:
            for name, unit, text in (
                ("system_disk_io_bytes_total", "bytes", "Bytes read and written"),
                ("system_disk_operations_total", "", "Reads and writes"),
            ):
                for direction in ("read", "write"):
                    labels = {"device": device, "direction": direction}
                    yield _series(name, labels, COUNTER, unit, text)
            yield _series("system_disk_io_time_seconds_total", {"device": device}, COUNTER,
                          "seconds", "Time a disk had work to do")  # fmt: skip

    def _network(self) -> Iterable[Column]:
        for device in self._links:
            for name, unit, text in (
                ("system_network_io_bytes_total", "bytes", "Bytes received and sent"),
                ("system_network_packets_total", "", "Packets received and sent"),
                ("system_network_errors_total", "", "Packets with errors"),
                ("system_network_dropped_total", "", "Packets dropped"),
            ):
                for direction in ("receive", "transmit"):
                    labels = {"device": device, "direction": direction}
                    yield _series(name, labels, COUNTER, unit, text)

    def _stalls(self) -> Iterable[Column]:
        for path, kinds in self._pressure:
            for kind in kinds:
                labels = {"resource": path.name, "kind": kind}
                yield _series("system_pressure_stalled_seconds_total", labels, COUNTER, "seconds",
                              "Time in which some or all tasks waited for a resource")  # fmt: skip


def _pressure_files(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    out: list[tuple[Path, tuple[str, ...]]] = []
    for resource in ("cpu", "memory", "io"):
        path = folder / resource
        try:
            kinds = tuple(line.split()[0] for line in path.read_text().splitlines())
        except OSError:
            continue  # no such file, or a kernel with the feature switched off
        out.append((path, kinds))
    return out


def _stalled(path: Path, kinds: tuple[str, ...]) -> list[float]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return [float("nan")] * len(kinds)
    found = {
        line.split()[0].decode(): float(line.rsplit(b"=", 1)[1]) / 1e6
        for line in lines if b"total=" in line
    }  # fmt: skip
    return [found.get(kind, float("nan")) for kind in kinds]
