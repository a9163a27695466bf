"""A host whose samples a test puts in by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fakes import FakeClock
from histories import START

from barograph import Batch, Labels, Metric, MetricKind, PluginManager
from barograph.config import Config as KernelConfig
from barograph.findings import FindingBook
from barograph.live import Latest
from barograph.selfmetrics import Meter
from barograph_anomaly import Config
from barograph_sqlite.store import SqliteStore

STEP = 10_000
CONFIG = Config(watch=("load", "requests_total"), interval=10.0)  # type: ignore[arg-type]


class Host:
    """A monitor's store, newest values and clock, fed by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "barograph.db")
        self.store.open()
        self.latest, self.meter, self.clock = Latest(), Meter(), FakeClock(START)
        self.findings = FindingBook(self.store, self.clock, self.meter)
        self.plugins = PluginManager()
        self.plugins.load(KernelConfig())
        self.config = SimpleNamespace(monitor=SimpleNamespace(directory=folder))
        self.refs: dict[Labels, int] = {}

    def series(self, name: str, kind: Any = MetricKind.GAUGE, **labels: str) -> Labels:
        one = Labels.of(name, labels)
        unit = "seconds" if name == "load" else ""
        self.refs[one] = int(self.store.intern([(one, Metric(name, kind, unit, "x"))])[0])
        return one

    def put(self, now_ms: int, values: dict[Labels, float]) -> None:
        refs = np.array([self.refs[one] for one in values], np.int64)
        batch = Batch(refs, now_ms, np.array(list(values.values())))
        self.store.append([batch])
        self.latest.update(batch, now_ms)
