"""The receiver with the real OpenTelemetry SDK, and with what is no request."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import eventually
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from serving import Server, running_server

from barograph import PerformanceMonitor, PluginManager
from barograph.config import Config as Whole
from barograph.config import MonitorConfig, PluginSettings
from barograph.contracts import Request, Response, StoreFull
from barograph.model import Matcher
from barograph_otlp import Config
from barograph_otlp.receiver import MAX_UNPACKED, Receiver

OFF = ("application", "otlp", "process", "prometheus", "runtime", "system", "template")


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PerformanceMonitor]:
    config = Whole(monitor=MonitorConfig(data_dir=tmp_path_factory.mktemp("otlp")),
                   plugins={name: PluginSettings(False) for name in OFF})  # fmt: skip
    with PerformanceMonitor(config, plugins=PluginManager()) as running:
        yield running


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(Config())


def send(
    receiver: Receiver, monitor: PerformanceMonitor, body: bytes,
    kind: str = "application/x-protobuf", encoding: str = "",
) -> Response:  # fmt: skip
    headers = {"content-encoding": encoding} if encoding else {}
    return receiver(Request(monitor, "POST", "/v1/metrics", {}, body, kind, headers))


def values(monitor: PerformanceMonitor, name: str) -> dict[str, float]:
    found = monitor.store.select([Matcher.equal("__name__", name)])
    columns = monitor.store.read([s.ref for s in found], 0, 2**61)
    return {str(s.labels): float(c.values[-1]) for s, c in zip(found, columns, strict=True)}


def gauge(name: str, value: float, t_ms: int = 0) -> ExportMetricsServiceRequest:
    out = ExportMetricsServiceRequest()
    metric = out.resource_metrics.add().scope_metrics.add().metrics.add(name=name)
    metric.gauge.data_points.add(as_double=value, time_unix_nano=t_ms * 10**6)
    return out


def test_protobuf_json_and_gzip_are_all_stored(
    receiver: Receiver, monitor: PerformanceMonitor
) -> None:
    plain = gauge("plain", 1).SerializeToString()
    assert send(receiver, monitor, plain).status == 200
    packed = gzip.compress(gauge("packed", 2).SerializeToString())
    assert send(receiver, monitor, packed, encoding="gzip").status == 200
    text = json_format.MessageToJson(gauge("text", 3)).encode()
    answer = send(receiver, monitor, text, "application/json")
    assert (answer.status, answer.content_type, json.loads(answer.body)) == (
        200, "application/json", {}
    )  # fmt: skip
    for name, value in (("plain", 1.0), ("packed", 2.0), ("text", 3.0)):
        assert values(monitor, name) == {name: value}


def test_json_as_the_protocol_writes_it(receiver: Receiver, monitor: PerformanceMonitor) -> None:
    now = monitor.clock.now_ms()
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{
        "name": "by.hand", "unit": "s", "newField": 1,
        "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [{
            "asInt": "7", "timeUnixNano": str(now * 10**6),
            "exemplars": [{"asDouble": 1, "spanId": "eee19b7ec3c1b174",
                           "traceId": "5b8efff798038103d269b633813fc60c"}],
        }]},
    }]}]}]}  # fmt: skip
    assert send(receiver, monitor, json.dumps(body).encode(), "application/json").status == 200
    assert values(monitor, "by_hand_seconds_total") == {"by_hand_seconds_total": 7.0}


def test_what_is_refused_is_told_and_the_rest_stored(
    receiver: Receiver, monitor: PerformanceMonitor
) -> None:
    both = gauge("kept", 1)
    metric = both.resource_metrics[0].scope_metrics[0].metrics.add(name="old")
    metric.gauge.data_points.add(as_double=1, time_unix_nano=10**9)
    answer = send(receiver, monitor, both.SerializeToString())
    told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert (answer.status, told.rejected_data_points) == (200, 1)
    assert "too old" in told.error_message
    assert values(monitor, "kept") == {"kept": 1.0}


def test_more_series_than_allowed_are_refused(monitor: PerformanceMonitor) -> None:
    receiver = Receiver(Config(max_series=2))
    for name in ("s1", "s2", "s3"):
        answer = send(receiver, monitor, gauge(name, 1).SerializeToString())
    told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    assert told.rejected_data_points == 1
    assert (values(monitor, "s2"), values(monitor, "s3")) == ({"s2": 1.0}, {})


@pytest.mark.parametrize(("status", "body", "kind", "encoding"), [
    (415, b"", "text/plain", ""), (415, b"", "application/x-protobuf", "br"),
    (400, b"\xff\xff", "application/x-protobuf", ""), (400, b"{", "application/json", ""),
    (400, b"[]", "application/json", ""), (400, b"\xff", "application/json", ""),
    (400, b'{"resourceMetrics": 1}', "application/json", ""),
    (400, b"no gzip", "application/x-protobuf", "gzip"),
    (400, gzip.compress(b"abc" * 100)[:-9], "application/x-protobuf", "gzip"),
    (413, gzip.compress(bytes(MAX_UNPACKED + 1)), "application/x-protobuf", "gzip"),
])  # fmt: skip
def test_what_is_no_request_is_refused_with_a_reason(
    receiver: Receiver, monitor: PerformanceMonitor, status: int, body: bytes, kind: str,
    encoding: str,
) -> None:  # fmt: skip
    answer = send(receiver, monitor, body, kind, encoding)
    assert answer.status == status
    if kind == "application/json":
        assert json.loads(answer.body)["message"]
    else:
        assert answer.body[:1] == b"\x12"  # google.rpc.Status, field 2
        assert len(answer.body) > 10


def test_a_store_that_is_full_asks_to_send_again(
    receiver: Receiver, monitor: PerformanceMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StoreFull("no space left")

    monkeypatch.setattr(monitor.store, "append", full)
    answer = send(receiver, monitor, gauge("later", 1).SerializeToString())
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@given(st.binary(max_size=80), st.sampled_from(["application/x-protobuf", "application/json"]))
def test_no_bytes_are_a_defect(monitor: PerformanceMonitor, body: bytes, kind: str) -> None:
    assert send(Receiver(Config()), monitor, body, kind).status in (200, 400)


KEYS = st.sampled_from([
    "resourceMetrics", "scopeMetrics", "metrics", "name", "gauge", "sum", "histogram",
    "dataPoints", "asInt", "asDouble", "timeUnixNano", "attributes", "key", "value", "stringValue",
    "explicitBounds", "bucketCounts", "aggregationTemporality", "resource", "scope",
])  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@given(TREES)
def test_no_json_of_any_shape_is_a_defect(monitor: PerformanceMonitor, tree: object) -> None:
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": tree}]}]}).encode()
    for one in (body, json.dumps(tree).encode()):
        assert send(Receiver(Config()), monitor, one, "application/json").status in (200, 400)


# --- the real SDK against a real server -----------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("served")) as running:
        yield running


def asked(server: Server, selector: str) -> dict[str, list[float]]:
    """Values by labels, as the server's data API tells them."""
    from urllib.parse import quote

    status, body = server.get(f"/api/barograph/v1/series?match={quote(selector)}")
    assert status == 200
    out: dict[str, list[float]] = {}
    for one in json.loads(body)["series"]:
        path = f"/api/barograph/v1/samples?ref={one['ref']}&start=0&end=9999999999999"
        samples = json.loads(server.get(path)[1])
        labels = {k: v for k, v in one["labels"].items() if k not in ("job", "instance")}
        out[json.dumps(labels, sort_keys=True)] = samples["v"]
    return out


def provider(server: Server, temporality: AggregationTemporality, **more: Any) -> MeterProvider:
    exporter = OTLPMetricExporter(
        f"{server.base_url}/v1/metrics", headers=server.headers, compression=Compression.Gzip,
        preferred_temporality={Counter: temporality, Histogram: temporality},
    )  # fmt: skip
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    resource = Resource({"service.name": f"shop-{temporality.name.lower()}", "host.name": "h",
                         "service.instance.id": "1"})  # fmt: skip
    return MeterProvider([reader], resource, **more)


@pytest.mark.parametrize(
    "temporality", [AggregationTemporality.CUMULATIVE, AggregationTemporality.DELTA]
)
def test_the_sdk_exports_to_a_running_server(
    server: Server, temporality: AggregationTemporality
) -> None:
    found = provider(server, temporality)
    meter = found.get_meter("shop", "1.2")
    orders = meter.create_counter("orders", "{order}")
    wait = meter.create_histogram("wait", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
    size = meter.create_up_down_counter("queue.size")
    for _ in range(3):
        orders.add(2, {"land": "DE"})
        wait.record(0.5)
        size.add(-1)
        assert found.force_flush()
    found.shutdown()
    job = f'job="shop-{temporality.name.lower()}"'
    (counter,) = asked(server, f"orders_total{{{job}}}").items()
    labels = {"__name__": "orders_total", "land": "DE", "otel_scope_name": "shop",
              "otel_scope_version": "1.2"}  # fmt: skip
    assert (json.loads(counter[0]), sorted(set(counter[1]))) == (labels, [2.0, 4.0, 6.0])
    buckets = asked(server, f"wait_seconds_bucket{{{job}}}")
    by_bound = {json.loads(k)["le"]: v[-1] for k, v in buckets.items()}
    assert by_bound == {"0.1": 0.0, "1.0": 3.0, "+Inf": 3.0}
    (level,) = asked(server, f"queue_size{{{job}}}").values()
    assert level[-1] == -3.0
    (info,) = asked(server, f"target_info{{{job}}}")
    assert json.loads(info)["host_name"] == "h"


def test_the_sdk_exports_exponential_histograms(server: Server) -> None:
    views = [View(instrument_name="spread", aggregation=ExponentialBucketHistogramAggregation())]
    found = provider(server, AggregationTemporality.CUMULATIVE, views=views)
    spread = found.get_meter("shop").create_histogram("spread")
    for value in (0.0, 1.5, 3.0, 3.5, 100.0):
        spread.record(value)
    assert found.force_flush()
    found.shutdown()
    buckets = asked(server, "spread_bucket")
    by_bound = {json.loads(k)["le"]: v[-1] for k, v in buckets.items()}
    assert by_bound == {"0.0": 1, "2.0": 2, "4.0": 4, "128.0": 5, "+Inf": 5}


def test_without_a_token_nothing_is_taken(server: Server, tmp_path: Path) -> None:
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=10)
    body = gauge("stranger", 1).SerializeToString()
    connection.request("POST", "/v1/metrics", body, {"Content-Type": "application/x-protobuf"})
    assert connection.getresponse().status == 401
    connection.close()
    assert eventually(lambda: asked(server, "stranger") == {})
