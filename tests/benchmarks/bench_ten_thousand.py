"""10,000 series at 1 s: CPU share, and how late the latest tick began.

A monitor with the built-in plugins and, beside them, one columnar source of 10,000 series, or ten
of 1,000. A third run, three times as long, starts with a store whose head is nearly full, so that
sealing and rollups of all series fall into it: the worst minutes of many. Lateness is what the
source sees: wall time at the call of ``collect_vector`` less the tick's time.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from measuring import Figure, main, spending, tell
from numpy.typing import NDArray
from samples import Columns, gauge_series, gauges

from barograph.config import Config
from barograph.config.schema import MonitorConfig
from barograph.contracts import ColumnarSource
from barograph.hookspecs import hookimpl
from barograph.model import Batch
from barograph.monitor import PerformanceMonitor
from barograph.plugins import PluginManager
from barograph_sqlite.store import SqliteStore

SERIES = 10_000
SETTLE_S = 5
PREFILLED = 830
"""Ticks in the head beforehand: sealing of 10,000 series begins at about 840 (64 MiB)."""


class Source:
    """A columnar source that notes how late it was called."""

    interval_s = 1.0

    def __init__(self, name: str, n: int) -> None:
        self.name = name
        self.late_s: list[float] = []
        self._series = gauge_series(n, name)
        self._values = gauges(n, 120)

    def series(self) -> Columns:
        return self._series

    def collect_vector(self, now_ms: int) -> NDArray[np.float64]:
        self.late_s.append(time.time() - now_ms / 1000)
        return self._values[now_ms // 1000 % len(self._values)]


@attrs.frozen
class Sources:
    """A plugin of these sources."""

    sources: Sequence[ColumnarSource]

    @hookimpl
    def barograph_metric_sources(self) -> Sequence[ColumnarSource]:
        return self.sources


def prefill(folder: Path, source: Source) -> None:
    """Ticks of the last minutes, as if the monitor had run before."""
    store = SqliteStore(folder)
    store.open()
    refs = store.intern(source.series())
    now = int(time.time())
    for second in range(now - PREFILLED, now):
        store.append([Batch(refs, 1000 * second, source.collect_vector(1000 * second))])
    store.close()
    source.late_s.clear()


def run(sources: list[Source], seconds: float, full_head: bool) -> tuple[float, float, float]:
    """Percent of a core, the greatest lateness in ms, chunks that were sealed meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        if full_head:
            prefill(Path(folder), sources[0])
        plugins = PluginManager()
        plugins.register(Sources(sources), "bench")
        config = Config(monitor=MonitorConfig(data_dir=Path(folder)))
        with PerformanceMonitor(config, plugins=plugins) as monitor:
            assert not monitor.problems, monitor.problems
            time.sleep(SETTLE_S)
            for source in sources:
                source.late_s.clear()
            before = monitor.store.stats()
            with spending() as spent:
                threading.Event().wait(seconds)
            after = monitor.store.stats()
            late = max(max(source.late_s) for source in sources)
            ticks = min(len(source.late_s) for source in sources)
            assert ticks >= seconds - 1, f"{ticks} ticks in {seconds} s"
            stored = after.samples - before.samples
            assert stored >= SERIES * (seconds - 2), f"{stored} samples in {seconds} s"
            return 100 * spent.cpu / spent.wall, 1000 * late, after.chunks - before.chunks


def measure(quick: bool, rounds: int) -> list[Figure]:
    seconds = 10.0 if quick else 60.0
    figures: list[Figure] = []
    for text, n, full_head in (
        ("one source", 1, False),
        ("ten sources", 10, False),
        ("one source, while all is sealed", 1, True),
    ):
        if quick and full_head:
            continue
        shares: list[float] = []
        lates: list[float] = []
        for i in range(rounds):
            sources = [Source(f"bench_{j}", SERIES // n) for j in range(n)]
            share, late, chunks = run(sources, 3 * seconds if full_head else seconds, full_head)
            tell(f"ten_thousand: {text}, round {i + 1} of {rounds}: {share:.1f} % of a core, "
                 f"{late:.1f} ms late, {chunks:.0f} chunks sealed")  # fmt: skip
            shares.append(share)
            lates.append(late)
        figures += [
            Figure(f"10,000 series at 1 s: CPU, {text}", "% of a core", shares, "less", 25.0),
            Figure(f"10,000 series at 1 s: latest tick, {text}", "ms", lates, "less", 100.0),
        ]
    return figures


if __name__ == "__main__":
    main(measure, rounds=1)
