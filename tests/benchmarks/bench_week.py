"""A simulated week of 5,000 series, with processes that come and go: memory and CPU time a tick.

The kernel's own collector, writer and aggregator over a real store, driven in this thread with an
injected clock: ticks every 10 s, housekeeping every second, as the threads would do it. Half of
the series is the host's (one columnar source); the other half are 100 processes of 25 metrics,
of which ten an hour end and are followed by new ones: 5 % of all series. A viewer's live queries
are evaluated each tick. Memory is the process's resident memory after each tick: the mean of an
hour, and its peak, for while a block of samples is sealed there is more for some seconds, each half
hour. Both are held against the second half of the first hour, which has one such peak. CPU time is
also told in units of a fixed piece of work that is timed each hour: on a machine that others use
as well, the same work takes more or less CPU time from one minute to the next.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from measuring import Figure, main, tell
from numpy.typing import NDArray
from samples import Columns, gauge_series, gauges

from barograph.aggregator import DataAggregator
from barograph.collector import MetricsCollector
from barograph.config import Config
from barograph.live import Latest
from barograph.model import MetricKind, Sample
from barograph.query import RangeQuery
from barograph.range import LiveQuery
from barograph.selfmetrics import Meter, SelfSource, rss_bytes
from barograph.writer import Writer
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import Config as StoreConfig
from barograph_sqlite.store import SqliteStore

START_MS = 1_800_000_000_000
TICK_MS = 10_000
HOUR_MS = 3_600_000
HOST_SERIES = 2500
PROCESSES = 100
METRICS = 25
ENDING_AN_HOUR = 10


class SimulatedClock:
    """Time that only goes on when it is told to."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("nothing waits in this thread")


class Host:
    """Series that stay."""

    name, interval_s = "host", TICK_MS / 1000

    def __init__(self) -> None:
        self._values = gauges(HOST_SERIES, 1440)

    def series(self) -> Columns:
        return gauge_series(HOST_SERIES, "host_gauge")

    def collect_vector(self, now_ms: int) -> NDArray[np.float64]:
        return self._values[now_ms // TICK_MS % len(self._values)]


class Processes:
    """Processes that come and go, by the simple path."""

    name, interval_s = "process", TICK_MS / 1000

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        self._pids = list(range(1000, 1000 + PROCESSES))
        self._next = 1000 + PROCESSES
        self._names = [f"process_metric_{i}" for i in range(METRICS)]
        self._values = gauges(PROCESSES * METRICS, 360, seed=2)

    def collect(self, now_ms: int) -> Iterator[Sample]:
        # One process ends each 1 / ENDING_AN_HOUR of an hour, at ticks of its own.
        if now_ms // TICK_MS % (HOUR_MS // TICK_MS // ENDING_AN_HOUR) == 0:
            self._pids.pop(int(self._random.integers(PROCESSES)))
            self._pids.append(self._next)
            self._next += 1
        row = self._values[now_ms // TICK_MS % len(self._values)].tolist()
        at = 0
        for pid in self._pids:
            labels = {"pid": str(pid), "process": f"worker-{pid % 17}"}
            for name in self._names:
                yield Sample(name, row[at], labels, MetricKind.GAUGE, "", "Made up")
                at += 1


QUERIES = (
    RangeQuery(('host_gauge{host="h3"}',), agg="sum"),
    RangeQuery(("process_metric_3",), by=("process",), agg="sum"),
    RangeQuery(("process_metric_4",), legend="{pid}", top=10),
)


class Week:
    """Everything of a monitor but its threads."""

    def __init__(self, folder: Path) -> None:
        self.clock, meter = SimulatedClock(), Meter()
        self.store = SqliteStore(folder, StoreConfig())
        self.store.open()
        levels = Config().rollup.levels_ms
        self.aggregator = DataAggregator(self.store, RollupAggregator(), levels)
        self.latest = Latest()
        self.writer = Writer(self.store, self.aggregator, self.latest, meter, self.clock, 256,
                             lambda: self.collector.watch(), own_process=True)  # fmt: skip
        self.collector = MetricsCollector(self.writer.offer, self.store.intern, meter, self.clock)
        meter.reader(self._of_the_store)
        sources = (Host(), Processes(), SelfSource(meter, TICK_MS / 1000))
        self.runners = [self.collector.add("bench", source) for source in sources]
        self.queries = [LiveQuery(query) for query in QUERIES]

    def _of_the_store(self) -> Iterator[Sample]:
        stats = self.store.stats()
        yield Sample("barograph_store_disk_bytes", stats.bytes_on_disk)
        yield Sample("barograph_store_series", stats.series)

    def tick(self) -> None:
        """Ten seconds: a tick of each source, a commit, a frame, ten turns of housekeeping."""
        now_ms = self.clock.ms
        for runner in self.runners:
            if not self.collector.tick(runner, now_ms):
                raise AssertionError(runner.last_error)
        if not self.writer.write_once():
            raise AssertionError(self.writer.problem)
        for query in self.queries:
            query.resolve(self.store, now_ms)
            lines, _ = query.evaluate(self.latest, now_ms)
            assert lines, query.query
        for _ in range(TICK_MS // 1000):
            self.clock.ms += 1000
            self.writer.housekeeping()
        assert self.writer.problem is None, self.writer.problem


def fixed_work() -> float:
    """CPU seconds of some objects, sorting and copying; the least of three."""
    values = np.random.default_rng(1).random(100_000)
    took: list[float] = []
    for _ in range(3):
        began = time.process_time()
        for start in range(0, 20_000, 200):  # few objects at one time: memory is measured as well
            row = values[start : start + 200].tolist()
            samples = [Sample("fixed", value, {"n": "1"}) for value in row]
            sorted(samples, key=lambda sample: sample.value)
        np.sort(values).cumsum()
        took.append(time.process_time() - began)
    return min(took)


def measure(quick: bool, rounds: int) -> list[Figure]:
    hours = int(os.environ.get("BAROGRAPH_BENCH_HOURS", 26 if quick else 168))
    memory: list[float] = []  # mean and peak of each hour; of the first, of its second half
    peak: list[float] = []
    cpu: list[float] = []
    pure: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        week = Week(Path(folder))
        began = time.perf_counter()
        for hour in range(1, hours + 1):
            before = time.process_time()
            resident: list[float] = []
            for _ in range(HOUR_MS // TICK_MS):
                week.tick()
                resident.append(rss_bytes() / 2**20)
            ticks = HOUR_MS // TICK_MS
            cpu.append(1000 * (time.process_time() - before) / ticks)
            pure.append(cpu[-1] / 1000 / fixed_work())
            counted = resident[len(resident) // 2 :] if hour == 1 else resident
            memory.append(statistics.mean(counted))
            peak.append(max(counted))
            if hour in (1, 2, 3, 4, 6) or hour % 12 == 0:
                tell(f"week: hour {hour}: {memory[-1]:.1f} MiB, at most {peak[-1]:.1f}, "
                     f"{cpu[-1]:.2f} ms of CPU ({pure[-1]:.3f} x fixed work) a tick, "
                     f"{len(gc.get_objects())} objects, "
                     f"{week.store.stats().series} series, "
                     f"{time.perf_counter() - began:.0f} s passed")  # fmt: skip
        week.store.close()
    edge = min(24, (hours - 1) // 2)
    growth = 100 * (statistics.median(memory[-edge:]) / memory[0] - 1)
    most = 100 * (max(memory[1:]) / memory[0] - 1)
    peaks = 100 * (max(peak[1:]) / peak[0] - 1)
    ratio = statistics.mean(pure[-edge:]) / statistics.mean(pure[1 : edge + 1])
    raw = statistics.mean(cpu[-edge:]) / statistics.mean(cpu[1 : edge + 1])
    text = f"{hours} simulated hours"
    return [
        Figure(f"week: memory, highest hour of {text} over hour 1", "%", [most],
               "less", 5.0, note=f"growth; mean RSS of hours 1, 2, 12 and the last: "
               f"{memory[0]:.1f}, {memory[1]:.1f}, {memory[11]:.1f}, {memory[-1]:.1f} MiB"),
        Figure(f"week: memory, highest moment of {text} over that of hour 1", "%", [peaks],
               "less", note=f"{peak[0]:.1f} and {max(peak):.1f} MiB"),
        Figure(f"week: memory, median of the last {edge} hours over hour 1", "%", [growth], "less"),
        Figure(f"week: CPU time a tick, last {edge} hours over the first {edge}", "x", [ratio],
               "less", 1.1, note=f"measured in fixed work; by the clock of CPU time {raw:.2f}"),
        Figure("week: CPU time a tick (ten seconds)", "ms", cpu, "less"),
    ]  # fmt: skip


if __name__ == "__main__":
    main(measure, rounds=1)
