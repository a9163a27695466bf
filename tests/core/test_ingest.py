"""Samples past the collector: offered, stored at once, and handed on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import eventually

from barograph import Batch, Labels, Metric, PerformanceMonitor, PluginManager
from barograph.config import Config, MonitorConfig, PluginSettings
from barograph.contracts import StoreError, StoreFull

OFF = ("application", "otlp", "process", "prometheus", "runtime", "system", "template")


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[PerformanceMonitor]:
    config = Config(
        monitor=MonitorConfig(data_dir=tmp_path),
        plugins={name: PluginSettings(False) for name in OFF},
    )
    with PerformanceMonitor(config, plugins=PluginManager()) as running:
        yield running


def batch(monitor: PerformanceMonitor, value: float) -> Batch:
    refs = monitor.store.intern([(Labels.of("m"), Metric("m"))])
    return Batch(refs, monitor.clock.now_ms(), np.array([value]))


def newest(monitor: PerformanceMonitor, refs: np.ndarray) -> list[float]:
    return [
        float(v) for column in monitor.store.read(refs.tolist(), 0, 2**61) for v in column.values
    ]


def test_what_is_ingested_is_stored_counted_and_live_at_once(monitor: PerformanceMonitor) -> None:
    before = monitor.meter.value("barograph_samples_stored_total")
    one = batch(monitor, 7.0)
    monitor.ingest([one])
    assert newest(monitor, one.refs) == [7.0]
    assert monitor.latest.get(one.refs)[1].tolist() == [7.0]
    assert monitor.meter.value("barograph_samples_stored_total") >= before + 1


def test_what_is_offered_is_stored_with_the_next_commit(monitor: PerformanceMonitor) -> None:
    one = batch(monitor, 8.0)
    monitor.offer([one])
    eventually(lambda: newest(monitor, one.refs) == [8.0])


def test_all_that_is_stored_is_handed_on_until_the_end(monitor: PerformanceMonitor) -> None:
    taken: list[float] = []

    def take(batches: list[Batch]) -> None:
        taken.extend(float(b.values[0]) for b in batches if len(b.values) == 1 and b.values[0] < 0)

    forget = monitor.on_stored(take)
    monitor.ingest([batch(monitor, -1.0)])
    monitor.offer([batch(monitor, -2.0)])
    eventually(lambda: taken == [-1.0, -2.0])
    forget()
    forget()
    monitor.ingest([batch(monitor, -3.0)])
    assert taken == [-1.0, -2.0]


def test_a_taker_that_raises_is_counted_and_stops_nobody(monitor: PerformanceMonitor) -> None:
    def fail(_: list[Batch]) -> None:
        raise KeyError("mine")

    monitor.on_stored(fail)
    one = batch(monitor, 1.0)
    monitor.ingest([one])
    assert newest(monitor, one.refs) == [1.0]
    assert monitor.meter.value("barograph_listener_errors_total") >= 1


def test_what_the_store_refuses_is_told_to_who_ingests(
    monitor: PerformanceMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StoreFull("no space")

    taken: list[object] = []
    one = batch(monitor, 1.0)
    with monkeypatch.context() as broken:
        broken.setattr(monitor.store, "append", full)
        monitor.on_stored(taken.append)
        with pytest.raises(StoreFull):
            monitor.ingest([one])
        assert taken == []


def test_a_monitor_that_does_not_run_ingests_nothing(monitor: PerformanceMonitor) -> None:
    one = batch(monitor, 1.0)
    monitor.stop()
    with pytest.raises(StoreError, match="stopped"):
        monitor.ingest([one])
