"""One look at all processes, by /proc where there is one (a tenth of psutil's time)."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs
import psutil

from barograph.model import MetricKind, Sample

if TYPE_CHECKING:
    from barograph_process import Config

MAX_WATCHED = 50
"""Watched processes at one time: bounds the series."""

STAY_TICKS = 6
"""A name stays among the top for so many looks after it fell out, so that series last."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@attrs.frozen
class Seen:
    """A process at one look: CPU seconds since its start, resident bytes, threads."""

    pid: int
    name: str
    cpu_s: float
    rss: int
    threads: int


class ProcessSource:
    """Sums by process name for the top N; details for watched processes and for this one."""

    name = "process"

    def __init__(self, config: Config) -> None:
        self.interval_s = float(config.interval)
        self._config = config
        self._before: dict[int, float] = {}
        self._before_ms = 0
        self._staying: dict[str, dict[str, int]] = {"cpu": {}, "memory": {}}

    def collect(self, now_ms: int) -> Iterable[Sample]:
        seen = list(look())
        seconds = (now_ms - self._before_ms) / 1000
        cpu: dict[str, float] = {}
        memory: dict[str, float] = {}
        for process in seen:
            spent = process.cpu_s - self._before.get(process.pid, process.cpu_s)
            cpu[process.name] = cpu.get(process.name, 0.0) + max(spent, 0.0)
            memory[process.name] = memory.get(process.name, 0.0) + process.rss
        yield Sample("system_processes", len(seen), {}, MetricKind.GAUGE, "", "Processes")
        if self._before_ms and seconds > 0:
            for name in self._top("cpu", cpu):
                yield Sample("process_top_cpu_ratio", cpu[name] / seconds, {"process": name},
                             MetricKind.GAUGE, "ratio", "CPU of the top process names")  # fmt: skip
        for name in self._top("memory", memory):
            yield Sample("process_top_memory_bytes", memory[name], {"process": name},
                         MetricKind.GAUGE, "bytes", "Memory of the top process names")  # fmt: skip
        self._before = {process.pid: process.cpu_s for process in seen}
        self._before_ms = now_ms
        yield from self._watched(seen)

    def _top(self, what: str, sizes: dict[str, float]) -> list[str]:
        staying = self._staying[what]
        top = self._config.top
        for name in sorted(sizes, key=lambda n: -sizes[n])[:top]:
            if sizes[name] > 0:
                staying[name] = STAY_TICKS
        for name in list(staying):
            staying[name] -= 1
            if staying[name] < 0 or name not in sizes:
                del staying[name]
        return sorted(staying, key=lambda n: -sizes[n])[: 2 * top]

    def _watched(self, seen: list[Seen]) -> Iterable[Sample]:
        own = os.getpid()
        chosen = [p for p in seen if p.pid == own or self._wanted(p)][:MAX_WATCHED]
        for process in chosen:
            labels = {"process": process.name, "pid": str(process.pid)}
            for name, value, kind, unit, text in (
                ("process_cpu_time_seconds_total", process.cpu_s, MetricKind.COUNTER, "seconds",
                 "CPU time of a watched process"),
                ("process_memory_rss_bytes", process.rss, MetricKind.GAUGE, "bytes",
                 "Resident memory of a watched process"),
                ("process_threads", process.threads, MetricKind.GAUGE, "",
                 "Threads of a watched process"),
            ):  # fmt: skip
                yield Sample(name, value, labels, kind, unit, text)
            files = open_files(process.pid)
            if files is not None:
                yield Sample("process_open_file_descriptors", files, labels, MetricKind.GAUGE, "",
                             "Open files of a watched process")  # fmt: skip

    def _wanted(self, process: Seen) -> bool:
        return any(
            str(process.pid) == pattern or fnmatch.fnmatchcase(process.name, pattern)
            for pattern in self._config.watch
        )


def look() -> Iterable[Seen]:
    """All processes that can be seen."""
    if os.path.isdir("/proc/self"):  # noqa: PTH112 — a hot path
        return _look_proc()
    return _look_psutil()


def _look_proc() -> Iterable[Seen]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 — a hot path
        if not entry.isdigit():
            continue
        try:
            fd = os.open(f"/proc/{entry}/stat", os.O_RDONLY)
        except OSError:
            continue  # it has ended
        try:
            line = os.read(fd, 1024)
        except OSError:
            continue
        finally:
            os.close(fd)
        # The name stands in parentheses and may hold any character, ")" too.
        end = line.rindex(b")")
        name = line[line.index(b"(") + 1 : end].decode("utf-8", "replace")
        fields = line[end + 2 :].split()
        if fields[0] == b"Z" or (fields[6] == b"-1" and fields[20] == b"0"):
            continue
        cpu = (int(fields[11]) + int(fields[12])) * _TICK_S
        yield Seen(int(entry), name.split("/")[0], cpu, int(fields[21]) * _PAGE, int(fields[17]))


def _look_psutil() -> Iterable[Seen]:
    wanted = ["pid", "name", "cpu_times", "memory_info", "num_threads"]
    for process in psutil.process_iter(wanted):
        info = process.info
        if info["cpu_times"] is None or info["memory_info"] is None:
            continue  # not ours to see
        cpu = info["cpu_times"].user + info["cpu_times"].system
        rss = info["memory_info"].rss
        yield Seen(info["pid"], info["name"] or "?", cpu, rss, info["num_threads"] or 0)


def open_files(pid: int) -> int | None:
    """Open file descriptors, None where they cannot be seen."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return None
