"""What changes slowly: uptime and frequency, file systems, sensors, a container's limits.

Each is a source of its own: one that hangs (a file system whose server is away) delays no other.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from barograph.model import MetricKind, Sample
from barograph_system.activity import left_out

if TYPE_CHECKING:
    from barograph_system import Config

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE

UNLIMITED = 2.0**60
"""cgroup v1 writes a number above this for "no limit"."""


class HostSource:
    """Uptime, and the CPUs' clock frequency."""

    name = "system.host"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.slow_interval)

    def collect(self, now_ms: int) -> Iterable[Sample]:
        yield Sample("system_uptime_seconds", time.time() - psutil.boot_time(), {}, GAUGE,
                     "seconds", "Time since the machine started")  # fmt: skip
        try:
            frequency = psutil.cpu_freq()
        except (OSError, NotImplementedError, RuntimeError):  # not on every machine
            frequency = None
        if frequency is not None and frequency.current:
            yield Sample("system_cpu_frequency_hertz", frequency.current * 1e6, {}, GAUGE, "hertz",
                         "Mean clock frequency of the CPUs")  # fmt: skip


class FilesystemSource:
    """Space and files (inodes) of the file systems that hold data."""

    name = "system.filesystems"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.slow_interval)
        self._config = config

    def collect(self, now_ms: int) -> Iterable[Sample]:
        seen: set[str] = set()
        for device, mount, kind in self._mounts():
            if device in seen:
                continue  # the same file system at another place
            try:
                usage = os.statvfs(mount)
            except OSError:
                continue  # vanished, or not ours to see
            if not usage.f_blocks or not os.path.isdir(mount):  # noqa: PTH112 — text, not a Path
                continue
            seen.add(device)
            labels = {"device": plain(device), "mountpoint": plain(mount), "type": plain(kind)}
            yield from _space(labels, usage)

    def _mounts(self) -> Iterator[tuple[str, str, str]]:
        found = [(p.device, p.mountpoint, p.fstype) for p in psutil.disk_partitions(all=False)]
        if not any(mount == "/" for _, mount, _ in found):
            found.append(("rootfs", "/", "rootfs"))
        for device, mount, kind in found:
            if mount == "/" or not left_out(kind, self._config.exclude_filesystems):
                yield device, mount, kind


def _space(labels: dict[str, str], usage: os.statvfs_result) -> Iterator[Sample]:
    used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
    free = usage.f_bavail * usage.f_frsize  # what is not kept for root
    for state, value in (("used", used), ("free", free)):
        yield Sample("system_filesystem_usage_bytes", value, {**labels, "state": state},
                     GAUGE, "bytes", "Space on each file system")  # fmt: skip
    if used + free:
        yield Sample("system_filesystem_utilization_ratio", used / (used + free), labels, GAUGE,
                     "ratio", "Share of a file system's space that is used")  # fmt: skip
    if usage.f_files:  # some file systems have no fixed number
        yield Sample("system_filesystem_inodes_utilization_ratio",
                     1 - usage.f_ffree / usage.f_files, labels, GAUGE,
                     "ratio", "Share of a file system's inodes that is used")  # fmt: skip


class SensorSource:
    """Temperatures and fans, where the machine tells them."""

    name = "system.sensors"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.slow_interval)

    def collect(self, now_ms: int) -> Iterable[Sample]:
        for name, value in _readings(getattr(psutil, "sensors_temperatures", dict)()):
            yield Sample("system_temperature_celsius", value, {"sensor": name}, GAUGE,
                         "celsius", "Temperatures")  # fmt: skip
        for name, value in _readings(getattr(psutil, "sensors_fans", dict)()):
            yield Sample("system_fan_speed_rpm", value, {"fan": name}, GAUGE, "rpm", "Fan speed")


def _readings(chips: Any) -> Iterator[tuple[str, float]]:
    """(name, value) of each sensor; alike ones (two disks of a kind) are numbered."""
    seen: Counter[str] = Counter()
    for chip, readings in chips.items():
        for i, reading in enumerate(readings):
            name = plain(f"{chip} {reading.label or i}")
            seen[name] += 1
            if reading.current is not None:
                yield (name if seen[name] == 1 else f"{name} {seen[name]}"), reading.current


class ContainerSource:
    """A container's memory and CPU, and their limits (cgroup v2, else v1)."""

    name = "system.container"

    def __init__(self, config: Config, root: Path = Path("/sys/fs/cgroup")) -> None:
        self.interval_s = float(config.slow_interval)
        self._root = root

    def collect(self, now_ms: int) -> Iterable[Sample]:
        limit = self._first("memory.max", "memory/memory.limit_in_bytes")
        if limit is not None and limit < UNLIMITED:
            yield Sample("container_memory_limit_bytes", limit, {}, GAUGE, "bytes",
                         "Memory that this container may use")  # fmt: skip
            used = self._first("memory.current", "memory/memory.usage_in_bytes")
            if used is not None:
                yield Sample("container_memory_usage_bytes", used, {}, GAUGE, "bytes",
                             "Memory that this container uses, caches too")  # fmt: skip
        cores = self._cores()
        if cores is not None:
            yield Sample("container_cpu_limit_cores", cores, {}, GAUGE, "cores",
                         "CPUs that this container may use")  # fmt: skip
            stalled = self._throttled_s()
            if stalled is not None:
                yield Sample("container_cpu_throttled_seconds_total", stalled, {}, COUNTER,
                             "seconds", "Time in which this container had used up its CPU "
                             "limit")  # fmt: skip

    def _first(self, *names: str) -> float | None:
        found = (_number(self._root / name) for name in names)
        return next((value for value in found if value is not None), None)

    def _cores(self) -> float | None:
        try:
            quota, period = (self._root / "cpu.max").read_text().split()
            return None if quota == "max" else float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):
            v1 = [_number(self._root / f"cpu/cpu.cfs_{what}_us") for what in ("quota", "period")]
            quota_us, period_us = v1
            return quota_us / period_us if quota_us and period_us and quota_us > 0 else None

    def _throttled_s(self) -> float | None:
        for name, key, scale in (("cpu.stat", "throttled_usec", 1e-6),
                                 ("cpu/cpu.stat", "throttled_time", 1e-9)):  # fmt: skip
            try:
                lines = (self._root / name).read_text().splitlines()
            except OSError:
                continue  # no such controller
            pairs = dict(line.split(None, 1) for line in lines if " " in line)
            if key in pairs:
                return float(pairs[key]) * scale
        return None


def plain(text: str) -> str:
    """Text of the system's as a label: what is no UTF-8 becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None  # no such controller, or "max"
