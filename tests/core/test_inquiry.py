"""What an analyser may ask: read-only, with a real store and engine, and within limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeClock

from barograph import Batch, Labels, Metric
from barograph.answer import (
    Matrix,
    QueryCancelled,
    QueryFailed,
    QueryInvalid,
    QueryTimeout,
    QueryTooLarge,
    Vector,
)
from barograph.config import Config, MonitorConfig
from barograph.findings import Evidence, Observation
from barograph.inquiry import MAX_STEPS, Inquiry
from barograph.monitor import PerformanceMonitor
from barograph_promql.engine import PromqlEngine
from barograph_sqlite.store import SqliteStore

T0 = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    one = SqliteStore(tmp_path)
    one.open()
    refs = one.intern([(Labels.of("load", {"i": str(i)}), Metric("load")) for i in range(3)])
    one.append([Batch(refs, T0 + i * 10_000, np.array([i, 2.0 * i, 3.0 * i])) for i in range(60)])
    yield one
    one.close()


def test_it_answers_at_a_time_over_a_range_and_which_series_there_are(store: SqliteStore) -> None:
    data = Inquiry(store, PromqlEngine())
    answer = data.query("sum(load)", T0 + 100_000)
    assert isinstance(answer, Vector)
    assert answer.values.tolist() == [60.0]
    samples = data.query('load{i="1"}[30s]', T0 + 100_000)
    assert isinstance(samples, Matrix)
    assert samples.values.tolist() == [14.0, 16.0, 18.0, 20.0]
    matrix = data.query_range("load", T0, T0 + 590_000, 10_000)
    assert matrix.values.sum() == sum(6 * i for i in range(60))
    assert data.series('load{i=~"0|2"}') == [Labels.of("load", {"i": x}) for x in "02"]
    assert data.series("nothing") == []
    assert (data.queries, data.values) == (5, 1 + 4 + 180)
    assert not data.cancelled()


def test_what_makes_no_sense_is_told(store: SqliteStore) -> None:
    data = Inquiry(store, PromqlEngine())
    with pytest.raises(QueryInvalid):
        data.query("sum(", T0)
    with pytest.raises(QueryInvalid, match="bad series selector"):
        data.series("load{")
    with pytest.raises(QueryInvalid):
        data.query_range("load", T0, T0 + 1000, 0)
    with pytest.raises(QueryFailed, match="pip install barograph-promql"):
        Inquiry(store, None).query("load", T0)


def test_its_time_its_questions_and_its_values_are_bounded(store: SqliteStore) -> None:
    clock = FakeClock()
    data = Inquiry(store, PromqlEngine(), seconds=30, clock=clock)
    data.series("load")
    clock.advance(30.5)
    assert data.cancelled()
    with pytest.raises(QueryTimeout, match="the analysis took longer than 30 s"):
        data.series("load")
    few = Inquiry(store, PromqlEngine(), max_queries=2)
    few.series("load")
    few.query("load", T0)
    with pytest.raises(QueryTooLarge, match="more than 2 queries"):
        few.query("load", T0)
    small = Inquiry(store, PromqlEngine(), max_values=100)
    with pytest.raises(QueryTooLarge, match="more than 100 values"):
        small.query_range("load", T0, T0 + 590_000, 10_000)
    with pytest.raises(QueryTooLarge, match="take a longer step or a shorter range"):
        Inquiry(store, PromqlEngine()).query_range("load", T0, T0 + MAX_STEPS * 1000, 1000)


def test_a_query_ends_when_nobody_waits(store: SqliteStore) -> None:
    data = Inquiry(store, PromqlEngine(), stopped=lambda: True)
    assert data.cancelled()
    with pytest.raises(QueryCancelled):
        data.query_range("load", T0, T0 + 590_000, 10_000)


def test_a_monitor_gives_an_inquiry_and_keeps_findings_over_a_restart(tmp_path: Path) -> None:
    config = Config(monitor=MonitorConfig(data_dir=tmp_path))
    seen = Observation("trend", "x", "x grows", "It grows by 2 a day.", "info", 0.9, 0, 1,
                       (Evidence("up", 0, 1),), Labels.of("up"))  # fmt: skip
    with PerformanceMonitor(config) as monitor:
        assert monitor.inquiry(5.0).series("nothing_like_it") == []
        (found,) = monitor.findings.report("me", [seen])
        assert monitor.inquiry().findings(kinds=["trend"]) == [found]
        assert monitor.inquiry().findings(states=["resolved"]) == []
        assert Inquiry(monitor.store, None).findings() == [], "a store without a book"
        names = {sample.name for sample in monitor.meter.samples()}
        assert {"barograph_findings", "barograph_findings_listener_errors_total"} <= names
    with PerformanceMonitor(config) as monitor:
        assert monitor.findings.list() == [found]
        assert monitor.problems == []
