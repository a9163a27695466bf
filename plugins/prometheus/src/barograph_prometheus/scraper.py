"""The scraper: a thread for each target, and one that looks for targets."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from barograph.contracts import StoreError
from barograph_prometheus.fetching import Fetcher, ScrapeFailed
from barograph_prometheus.scrape_config import Scrape
from barograph_prometheus.scraping import Scraping
from barograph_prometheus.targets import (
    BadTargets,
    Target,
    read_target_files,
    static_group,
    targets_of,
)

if TYPE_CHECKING:
    from barograph.clock import Clock
    from barograph.contracts import Request
    from barograph.monitor import PerformanceMonitor

LOOK_S = 5.0
"""Time between looks at the files with targets."""

_RUNNING: WeakKeyDictionary[PerformanceMonitor, Scraper] = WeakKeyDictionary()


def told_targets(request: Request) -> list[dict[str, Any]]:
    """GET /api/plugins/prometheus/targets."""
    scraper = _RUNNING.get(request.monitor)
    return [] if scraper is None else [loop.told() for loop in scraper.loops()]


class Scraper:
    """Keeps a loop for each target that the jobs have. A lifecycle object."""

    name = "prometheus-scraper"

    def __init__(self, jobs: Sequence[Scrape], most: int) -> None:
        self._jobs, self._most = tuple(jobs), most
        self._loops: dict[Target, Loop] = {}
        self._groups: dict[tuple[str, str], list[Target]] = {}  # last good, by job and file
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, monitor: PerformanceMonitor) -> None:
        """Raises BadTargets for a static target that is none."""
        self._monitor = monitor
        self._stop = threading.Event()
        meter = monitor.meter
        self._count = meter.gauge("barograph_scrape_targets", "Targets that are scraped")
        self._over = meter.gauge("barograph_scrape_targets_dropped", "Targets beyond max_targets")
        self._errors = meter.counter("barograph_scrape_target_files_failed_total",
                                     "Files of targets that could not be used")  # fmt: skip
        for job in self._jobs:
            targets_of(job, [static_group(job)])
        self._thread = threading.Thread(target=self._run, name="barograph-scraper", daemon=True)
        self._thread.start()
        _RUNNING[monitor] = self

    def loops(self) -> list[Loop]:
        """The loops of all targets, by job and address."""
        return sorted(self._loops.values(), key=lambda loop: loop.target.labels)

    def stop(self, deadline_s: float) -> None:
        """End all loops; one that waits for its target is left behind (threads are daemons)."""
        until = time.monotonic() + deadline_s
        self._stop.set()
        if self._thread is not None:
            self._thread.join(deadline_s)
        for loop in self._loops.values():
            loop.stopping.set()
        for loop in self._loops.values():
            loop.thread.join(max(0.0, until - time.monotonic()))
        self._loops.clear()

    def _run(self) -> None:
        while True:
            self.look()
            if self._monitor.clock.wait(self._stop, LOOK_S):
                return

    def look(self) -> None:
        """Find targets; begin and end loops accordingly."""
        found = list(dict.fromkeys(t for job in self._jobs for t in self._find(job)))
        self._over.set(max(len(found) - self._most, 0))
        wanted = set(found[: self._most])
        for target in [t for t in self._loops if t not in wanted]:
            self._loops.pop(target).end()
        for target in found[: self._most]:
            if target not in self._loops:
                self._loops[target] = Loop(target, self._monitor)
                self._loops[target].thread.start()
        self._count.set(len(self._loops))

    def _find(self, job: Scrape) -> list[Target]:
        out = targets_of(job, [static_group(job)])
        for pattern in job.target_files:
            key = (job.job_name, pattern)
            try:
                groups = [
                    {"targets": g["targets"], "labels": {**job.labels, **g["labels"]}}
                    for g in read_target_files(pattern)
                ]
                self._groups[key] = targets_of(job, groups)
            except BadTargets:
                self._errors.add()  # the targets of before stay
            out += self._groups.get(key, [])
        return out


class Loop:
    """Scrapes one target at its interval until it ends."""

    def __init__(self, target: Target, monitor: PerformanceMonitor) -> None:
        self.target = target
        self.stopping = threading.Event()
        self.error = ""
        self.last_ms = 0
        self.took_s = 0.0
        self._gone = False
        self._monitor = monitor
        self._clock: Clock = monitor.clock
        job = target.job.job_name
        meter = monitor.meter
        self._failed = meter.counter("barograph_scrapes_failed_total", "Scrapes that failed",
                                     job=job)  # fmt: skip
        self._missed = meter.counter("barograph_scrapes_missed_total",
                                     "Scrapes left out: the one before took too long",
                                     job=job)  # fmt: skip
        self._exemplars = meter.counter("barograph_scrape_exemplars_total",
                                        "Exemplars that targets gave; they are not stored",
                                        job=job)  # fmt: skip
        self._far = meter.counter("barograph_scrape_samples_far_total",
                                  "Samples whose own times are too old or in the future",
                                  job=job)  # fmt: skip
        self.thread = threading.Thread(target=self._run, name="barograph-scrape", daemon=True)

    def told(self) -> dict[str, Any]:
        """For a person: what is scraped, and how the last time went."""
        target = self.target
        return {
            "url": target.url, "labels": dict(target.labels), "last_ms": self.last_ms,
            "duration_seconds": round(self.took_s, 6), "error": self.error,
            "health": "down" if self.error else "up" if self.last_ms else "unknown",
        }  # fmt: skip

    def end(self) -> None:
        """The target is gone: its series end."""
        self._gone = True
        self.stopping.set()

    def _run(self) -> None:
        scraping: Scraping | None = None
        fetcher = Fetcher(self.target)
        step, offset = round(self.target.interval_s * 1000), self.target.offset_ms
        due = self._next(step, offset)
        while not self._clock.wait(self.stopping, (due - self._clock.now_ms()) / 1000):
            try:
                if scraping is None:
                    scraping = Scraping(self.target, self._monitor.store.intern)
                self._scrape(scraping, fetcher, due)
            except StoreError as error:
                self.error = str(error)
                self._failed.add()
            except Exception as error:  # noqa: BLE001 — told and counted; the next scrape comes
                self.error = f"{type(error).__name__}: {error}"
                self._failed.add()
            after = self._next(step, offset)
            left_out = (after - due) // step - 1
            if left_out > 0:
                self._missed.add(left_out)
            due = after
        fetcher.close()
        if self._gone and scraping is not None:
            self._monitor.offer(scraping.end(self._clock.now_ms()))

    def _next(self, step: int, offset: int) -> int:
        """The first time after now that is this target's."""
        now = self._clock.now_ms()
        return (now - offset) // step * step + step + offset

    def _scrape(self, scraping: Scraping, fetcher: Fetcher, due_ms: int) -> None:
        began = self._clock.monotonic()
        try:
            body, kind = fetcher.fetch()
        except ScrapeFailed as error:
            outcome = scraping.failed(str(error), due_ms)
        else:
            outcome = scraping.answered(body, kind, due_ms)
        took = self._clock.monotonic() - began
        self.error, self.last_ms, self.took_s = outcome.error, due_ms, took
        if outcome.error:
            self._failed.add()
        self._exemplars.add(outcome.exemplars)
        self._far.add(outcome.far)
        if not self.stopping.is_set() or self._gone:
            self._monitor.offer(scraping.report(outcome, took, due_ms))
