"""What a running monitor tells in its output, which may be a log."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from barograph.cli.console import say, size_text, time_text

if TYPE_CHECKING:
    from barograph.contracts import Problem
    from barograph.monitor import PerformanceMonitor

EVERY_SECONDS = 5.0
MOST_LINES = 20
"""Lines told at one look; of more problems only the number."""


def tell_start(monitor: PerformanceMonitor) -> None:
    """Where the data is and what runs."""
    infos = monitor.plugins.discover()
    running = [info.name for info in infos if info.enabled and not info.error]
    off = [info.name for info in infos if not info.enabled]
    stats = monitor.store.stats()
    held = f"{size_text(stats.bytes_on_disk)}, since {time_text(stats.t_min)}"
    told = held if stats.t_min is not None else "no samples yet"
    say(f"data: {monitor.config.monitor.directory} ({told})")
    say(f"plugins: {', '.join(running)}" + (f"; switched off: {', '.join(off)}" if off else ""))


class Problems:
    """Tells each problem when it comes and when it is over; not while it lasts."""

    def __init__(self, ask: Callable[[], Sequence[Problem]]) -> None:
        self._ask = ask
        self._known: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()
        self._end = threading.Event()

    def tell(self) -> None:
        """Look now."""
        with self._lock:
            now = {(p.where, p.what): p for p in self._ask()}
            lines = [problem_line(p) for key, p in now.items() if key not in self._known]
            lines += [f"over: {where}: {what}" for where, what in self._known
                      if (where, what) not in now]  # fmt: skip
            self._known = dict.fromkeys(now)
        for line in lines[:MOST_LINES]:
            say(line)
        if len(lines) > MOST_LINES:
            say(f"and {len(lines) - MOST_LINES} more; see `barograph status`")

    def watch(self) -> None:
        """Look every few seconds in a thread, until ``end``."""

        def look() -> None:
            while not self._end.wait(EVERY_SECONDS):
                self.tell()

        threading.Thread(target=look, name="problems", daemon=True).start()

    def end(self) -> None:
        """Tell no more."""
        self._end.set()


def problem_line(problem: Problem) -> str:
    """``error: where: what; what to do``"""
    parts = [problem.severity, problem.where, problem.what]
    line = ": ".join(part for part in parts if part)
    return f"{line}; {problem.remedy}" if problem.remedy else line
