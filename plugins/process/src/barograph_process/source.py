"""The process source: top N by name, chosen processes, and this one."""

from __future__ import annotations

import fnmatch
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from barograph.model import MetricKind, Sample
from barograph_process.proc import PROC, Seen, look, open_files

if TYPE_CHECKING:
    from barograph_process import Config

MAX_WATCHED = 50
"""Names and pids that are followed at one time: bounds the series."""

MAX_OPEN_LOOKS = 200
"""Processes whose open files are counted in one look (each is a directory to read)."""

STAY_LOOKS = 6
"""A name stays among the top for so many looks after it fell out, so that series last."""

SELF = "self"
"""What this process is called in the label ``process``, whatever its name and pid."""

Group = tuple[str, str]  # labels process and pid


class ProcessSource:
    """Sums by process name for the top N; details for watched processes and for this one.

    Watched by name, processes are summed as one: their series stay when pids come and go. CPU time
    is summed from each process's growth, so that one that ends takes nothing away.
    """

    name = "process"

    def __init__(
        self, config: Config, *, proc: str = PROC, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.interval_s = float(config.interval)
        self._config, self._proc, self._now = config, proc, now
        self._before: dict[tuple[int, float], float] | None = None  # (pid, started): CPU seconds
        self._looked_at = 0.0
        self._staying: dict[str, dict[str, int]] = {"cpu": {}, "memory": {}}
        self._spent: dict[Group, float] = {}  # CPU seconds of watched groups

    def collect(self, now_ms: int) -> Iterable[Sample]:
        at = self._now()
        seen = list(look(self._proc))
        grown = self._growth(seen)
        cpu: dict[str, float] = defaultdict(float)
        memory: dict[str, float] = defaultdict(float)
        for process, seconds in zip(seen, grown, strict=True):
            cpu[process.name] += seconds
            memory[process.name] += process.rss
        yield Sample("system_process_count", len(seen), {}, MetricKind.GAUGE, "",
                     "Processes, without the kernel's threads")  # fmt: skip
        passed = at - self._looked_at
        if self._before is not None and passed > 0:
            for name in self._top("cpu", cpu):
                yield Sample("process_top_cpu_ratio", cpu[name] / passed, {"process": name},
                             MetricKind.GAUGE, "ratio",
                             "CPU of the top process names; 1 is a whole CPU")  # fmt: skip
        for name in self._top("memory", memory):
            yield Sample("process_top_memory_bytes", memory[name], {"process": name},
                         MetricKind.GAUGE, "bytes",
                         "Resident memory of the top process names")  # fmt: skip
        self._before = {(process.pid, process.started): process.cpu_s for process in seen}
        self._looked_at = at
        yield from self._watched(seen, grown)

    def _growth(self, seen: list[Seen]) -> list[float]:
        """CPU seconds that each process took since the last look; all of it if it is new."""
        before = self._before
        if before is None:
            return [0.0] * len(seen)
        return [max(p.cpu_s - before.get((p.pid, p.started), 0.0), 0.0) for p in seen]

    def _top(self, what: str, sizes: dict[str, float]) -> list[str]:
        staying = self._staying[what]
        top = self._config.top
        for name in sorted(sizes, key=lambda n: -sizes[n])[:top]:
            if sizes[name] > 0:
                staying[name] = STAY_LOOKS + 1
        for name in list(staying):
            staying[name] -= 1
            if staying[name] < 0 or name not in sizes:
                del staying[name]
        return sorted(staying, key=lambda n: -sizes[n])[: 2 * top]

    def _watched(self, seen: list[Seen], grown: list[float]) -> Iterator[Sample]:
        groups: dict[Group, list[int]] = {}
        for i, process in enumerate(seen):
            for group in self._groups_of(process):
                if group in groups:
                    groups[group].append(i)
                elif group in self._spent or len(groups) < MAX_WATCHED:
                    groups[group] = [i]
        # Those that were followed before come first, so that the chosen ones last.
        chosen = sorted(groups, key=lambda g: (g not in self._spent, g))[:MAX_WATCHED]
        spent: dict[Group, float] = {}
        looks = 0
        for group in chosen:
            members = [seen[i] for i in groups[group]]
            start = sum(p.cpu_s for p in members)
            more = sum(grown[i] for i in groups[group])
            spent[group] = self._spent[group] + more if group in self._spent else start
            files: int | None = None
            for process in members:
                looks += 1
                found = open_files(process.pid, self._proc) if looks <= MAX_OPEN_LOOKS else None
                files = files if found is None else (files or 0) + found
            yield from _details(group, members, spent[group], files)
        self._spent = spent

    def _groups_of(self, process: Seen) -> Iterator[Group]:
        if process.pid == os.getpid():
            yield (SELF, "")
        if str(process.pid) in self._config.watch:
            yield (process.name, str(process.pid))
        elif any(fnmatch.fnmatchcase(process.name, pattern) for pattern in self._config.watch):
            yield (process.name, "")


def _details(
    group: Group, members: list[Seen], cpu_s: float, files: int | None
) -> Iterator[Sample]:
    labels = {"process": group[0], "pid": group[1]}
    for name, value, kind, unit, text in (
        ("process_cpu_time_seconds_total", cpu_s, MetricKind.COUNTER, "seconds",
         "CPU time of the watched processes of one name"),
        ("process_memory_usage_bytes", sum(p.rss for p in members), MetricKind.GAUGE, "bytes",
         "Resident memory of the watched processes of one name"),
        ("process_thread_count", sum(p.threads for p in members), MetricKind.GAUGE, "",
         "Threads of the watched processes of one name"),
        ("process_count", len(members), MetricKind.GAUGE, "",
         "Watched processes of one name"),
        ("process_unix_file_descriptor_count", files, MetricKind.GAUGE, "",
         "Open files of the watched processes of one name, as far as they can be seen"),
    ):  # fmt: skip
        if value is not None:
            yield Sample(name, value, labels, kind, unit, text)
