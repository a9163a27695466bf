"""The monitor's metrics of itself."""

from __future__ import annotations

import os

import psutil

from barograph import MetricKind, Sample
from barograph.contracts import StoreStats
from barograph.selfmetrics import Meter, SelfSource, rss_bytes, store_samples
from barograph.testing import check_metric_source


def test_asking_twice_for_a_cell_gives_the_same_one() -> None:
    meter = Meter()
    meter.counter("a_total", "Help", source="x").add(2)
    meter.counter("a_total", source="x").add()
    meter.gauge("b", "Help", "bytes").set(7)
    found = {(s.name, tuple(s.labels.items())): s for s in meter.samples()}
    assert found[("a_total", (("source", "x"),))].value == 3
    assert found[("a_total", (("source", "x"),))].kind is MetricKind.COUNTER
    assert found[("b", ())].unit == "bytes"
    assert meter.value("a_total", source="x") == 3
    assert meter.value("a_total", source="y") == 0


def test_a_reader_is_asked_once_however_often_it_is_named() -> None:
    meter = Meter()

    def read() -> list[Sample]:
        return [Sample("r", 1.0)]

    for _ in range(3):
        meter.reader(read)
    assert [s.name for s in meter.samples()].count("r") == 1


def test_a_reader_that_raises_is_counted_and_hides_no_other_metric() -> None:
    meter = Meter()
    meter.reader(lambda: [Sample("x", 1 / 0)])
    meter.reader(lambda: [Sample("y", 1.0)])
    meter.gauge("z", "Help").set(1)
    names = [s.name for s in meter.samples()]
    assert {"y", "z"} <= set(names)
    assert meter.value("barograph_meter_errors_total") == 1


def test_cells_of_what_is_gone_are_forgotten() -> None:
    meter = Meter()
    meter.gauge("a", "Help", source="x", reason="r").set(1)
    meter.gauge("a", "Help", source="y", reason="r").set(1)
    meter.forget(source="x")
    assert [s.labels["source"] for s in meter.samples() if s.name == "a"] == ["y"]


def test_the_self_source_keeps_the_contract_and_tells_cpu_and_memory() -> None:
    source = SelfSource(Meter())
    check_metric_source(source)
    found = {s.name: s for s in source.collect(0)}
    assert found["barograph_process_cpu_seconds_total"].value > 0
    assert found["barograph_process_memory_rss_bytes"].value > 1e6


def test_resident_memory_is_that_of_this_process() -> None:
    theirs = psutil.Process(os.getpid()).memory_info().rss
    assert abs(rss_bytes() - theirs) < 0.2 * theirs


def test_a_store_s_figures_become_samples() -> None:
    stats = StoreStats(3, 100, 5, 20, 4096, 0, 1, log_bytes=7, extra={"damaged_records": 2})
    found = {s.name: s.value for s in store_samples(stats)}
    assert found == {
        "barograph_store_disk_bytes": 4096, "barograph_store_samples": 100,
        "barograph_store_series": 3, "barograph_store_chunks": 5,
        "barograph_store_head_samples": 20, "barograph_store_log_bytes": 7,
        "barograph_store_damaged_total": 2,
    }  # fmt: skip
