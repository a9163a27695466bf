"""/metrics: both formats, read back by prometheus_client's parsers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from barograph import PerformanceMonitor
from barograph.contracts import Request
from barograph.instruments import Counter, Gauge, Histogram, Registry
from barograph.model import MetricKind, Sample
from barograph_prometheus.exposition import (
    families,
    metrics,
    prefers_openmetrics,
    render,
)

texts = st.text(st.characters(codec="utf-8"), max_size=12)


def instruments() -> Registry:
    registry = Registry()
    Counter("shop_orders_total", "Orders", labels=("land",), registry=registry).labels(
        land='q"\\\n'
    ).inc(3)
    Gauge("shop_size_bytes", "Size", unit="bytes", registry=registry).set(-1.5)
    Histogram("shop_wait_seconds", "Wait", buckets=(0.1, 1), unit="seconds",
              registry=registry).observe(0.5)  # fmt: skip
    return registry


def test_instruments_are_read_back_from_the_text_format() -> None:
    text = render(families([], instruments().read()), openmetrics=False)
    found = {s.name + str(sorted(s.labels.items())): s.value
             for f in read_text(text) for s in f.samples}  # fmt: skip
    assert found["shop_orders_total[('land', 'q\"\\\\\\n')]"] == 3
    assert found["shop_size_bytes[]"] == -1.5
    assert found["shop_wait_seconds_bucket[('le', '0.1')]"] == 0
    assert found["shop_wait_seconds_bucket[('le', '1.0')]"] == 1
    assert found["shop_wait_seconds_bucket[('le', '+Inf')]"] == 1
    assert found["shop_wait_seconds_count[]"] == 1
    assert found["shop_wait_seconds_sum[]"] == 0.5


def test_openmetrics_is_strict_and_right() -> None:
    odd = Sample("odd_count_of_things", 2.0, {}, MetricKind.COUNTER, "", "No _total")
    text = render(families([odd], instruments().read()), openmetrics=True)
    found = {f.name: f for f in read_openmetrics(text)}
    assert found["shop_orders"].type == "counter"
    assert found["odd_count_of_things"].type == "unknown"
    assert (found["shop_size_bytes"].type, found["shop_size_bytes"].unit) == ("gauge", "bytes")
    assert found["shop_wait_seconds"].type == "histogram"


@given(st.lists(st.tuples(texts, st.floats(allow_nan=False), texts), max_size=5))
def test_any_label_help_and_value_is_read_back(given_: list[tuple[str, float, str]]) -> None:
    samples = [
        Sample(f"m{i}", value, {"l": label}, MetricKind.GAUGE, "", help_.strip())
        for i, (label, value, help_) in enumerate(given_)
    ]
    text = render(families(samples, []), openmetrics=True)
    back = [(s.name, s.labels["l"], s.value) for f in read_openmetrics(text) for s in f.samples]
    assert back == [(f"m{i}", label, value) for i, (label, value, _) in enumerate(given_)]


@pytest.mark.parametrize(("accept", "openmetrics"), [
    ("", False), ("*/*", False), ("text/plain", False),
    ("application/openmetrics-text; version=1.0.0", True),
    ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    ("application/openmetrics-text;q=0.1,text/plain", False),
    ("application/openmetrics-text;q=zero", False),
])  # fmt: skip
def test_the_format_that_the_asker_prefers(accept: str, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) == openmetrics


def test_a_running_monitor_tells_of_itself_in_both_formats(monitor: PerformanceMonitor) -> None:
    for accept, read in (("", read_text), ("application/openmetrics-text", read_openmetrics)):
        answer = metrics(Request(monitor, "GET", "/metrics", {}, headers={"accept": accept}))
        found = {f.name: f for f in read(answer.body.decode())}
        stored = found["barograph_store_series"]
        assert stored.documentation
        assert all(not math.isnan(s.value) for s in stored.samples)
        cpu = "barograph_process_cpu_seconds"
        assert found[cpu].type == "counter"
