"""From OTLP to Prometheus: names, labels, and each kind of metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from barograph.model import is_stale
from barograph_otlp import accumulating
from barograph_otlp.conversion import Converted, Converter, Limits
from barograph_otlp.exponential import classic
from barograph_otlp.names import label_name, metric_name

T = 1_700_000_000_000
LIMITS = Limits(T - 86_400_000, T + 600_000, T)
DELTA, CUMULATIVE = 1, 2


def converter(**more: Any) -> Converter:
    given_ = {"most": 1000, "exponential": True, "scope_labels": True, "promoted": (), **more}
    return Converter(**given_)


def request(
    build: Callable[[Any], None], resource: dict[str, str] | None = None, scope: str = ""
) -> ExportMetricsServiceRequest:
    """One metric, that ``build`` fills."""
    out = ExportMetricsServiceRequest()
    one = out.resource_metrics.add()
    for key, value in (resource or {}).items():
        one.resource.attributes.add(key=key).value.string_value = value
    inner = one.scope_metrics.add()
    inner.scope.name = scope
    build(inner.metrics.add())
    return out


def table(found: Converted) -> dict[str, float]:
    return {str(labels): value for labels, _, _, value in found.rows}


NAMES = [
    ("http.server.duration", "s", False, False, "http_server_duration_seconds"),
    ("http.server.duration.seconds", "s", False, False, "http_server_duration_seconds"),
    ("requests", "{request}", True, False, "requests_total"),
    ("requests.total", "1", True, False, "requests_total"),
    ("total.requests", "", True, False, "requests_total"),
    ("memory.usage", "By", False, True, "memory_usage_bytes"),
    ("cpu.utilization", "1", False, True, "cpu_utilization_ratio"),
    ("cpu.ratio.used", "1", False, True, "cpu_used_ratio"),
    ("disk.io", "By/s", False, True, "disk_io_bytes_per_second"),
    ("rate", "{packet}/s", False, True, "rate_per_second"),
    ("io", "By", True, False, "io_bytes_total"),
    ("speed", "m/s", False, True, "speed_meters_per_second"),
    ("temp", "Cel", False, True, "temp_celsius"),
    ("2xx--codes__seen", "", False, True, "_2xx_codes_seen"),
    ("a:b", "foo/bar", False, True, "a:b_foo_per_bar"),
    ("größe", "", False, True, "gr_e"),
    ("...", "", False, True, ""),
]


@pytest.mark.parametrize(("name", "unit", "counter", "gauge", "wanted"), NAMES)
def test_a_metric_gets_its_name(
    name: str, unit: str, counter: bool, gauge: bool, wanted: str
) -> None:
    assert metric_name(name, unit, counter=counter, gauge=gauge)[0] == wanted


@pytest.mark.parametrize(("key", "name"), [
    ("http.method", "http_method"), ("1st", "key_1st"), ("__x", "key__x"), ("größe", "gr__e"),
    ("a:b", "a_b"),
])  # fmt: skip
def test_an_attribute_gets_its_name(key: str, name: str) -> None:
    assert label_name(key) == name


@given(st.text(max_size=12), st.text(max_size=6), st.booleans(), st.booleans())
def test_every_name_is_one_or_none(name: str, unit: str, counter: bool, gauge: bool) -> None:
    import re

    found, _ = metric_name(name, unit, counter=counter, gauge=gauge)
    assert found == "" or re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", found, re.ASCII)
    label = label_name(name)
    assert name == "" or re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", label, re.ASCII)


def gauge_of(value: float, **attributes: str) -> Callable[[Any], None]:
    def build(metric: Any) -> None:
        metric.name, metric.unit, metric.description = "room.temperature", "Cel", "How warm"
        point = metric.gauge.data_points.add(time_unix_nano=T * 10**6, as_double=value)
        for key, text in attributes.items():
            point.attributes.add(key=key.replace("_", ".")).value.string_value = text

    return build


def test_a_gauge_with_its_resource_and_scope() -> None:
    resource = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i-1",
                "host.name": "h"}  # fmt: skip
    found = converter().convert(request(gauge_of(21.5, room_no="7"), resource, "lib"), LIMITS)
    common = 'instance="i-1",job="eu/shop"'
    assert table(found) == {
        f'room_temperature_celsius{{{common},otel_scope_name="lib",room_no="7"}}': 21.5,
        f'target_info{{host_name="h",{common}}}': 1.0,
    }
    (_, metric, t_ms, _) = found.rows[0]
    assert (metric.kind, metric.unit, metric.help, t_ms) == ("gauge", "celsius", "How warm", T)


def test_resource_attributes_can_become_labels_and_scopes_need_not() -> None:
    one = converter(promoted=("host.name", "absent"), scope_labels=False)
    found = one.convert(request(gauge_of(1.0), {"host.name": "h"}, "lib"), LIMITS)
    assert table(found)['room_temperature_celsius{host_name="h"}'] == 1.0


def test_an_attribute_does_not_take_the_place_of_job() -> None:
    found = converter().convert(request(gauge_of(1.0, job="mine"), {"service.name": "s"}), LIMITS)
    assert list(table(found)) == ['room_temperature_celsius{job="s"}']


def test_attributes_whose_names_become_one_are_joined() -> None:
    def build(metric: Any) -> None:
        metric.name = "m"
        point = metric.gauge.data_points.add(time_unix_nano=T * 10**6, as_int=3)
        for key in ("b_c", "b.c"):
            point.attributes.add(key=key).value.string_value = f"of {key}"

    found = converter().convert(request(build), LIMITS)
    assert table(found) == {'m{b_c="of b.c;of b_c"}': 3.0}


def test_attributes_of_any_type_become_text() -> None:
    def build(metric: Any) -> None:
        metric.name = "m"
        point = metric.gauge.data_points.add(time_unix_nano=T * 10**6, as_int=3)
        point.attributes.add(key="b").value.bool_value = True
        point.attributes.add(key="d").value.double_value = 1.5
        point.attributes.add(key="i").value.int_value = -2
        point.attributes.add(key="y").value.bytes_value = b"\xff"
        point.attributes.add(key="l").value.array_value.values.add(string_value="x")
        point.attributes.add(key="n").value.double_value = math.inf

    found = converter().convert(request(build), LIMITS)
    assert list(table(found)) == ['m{b="true",d="1.5",i="-2",l="[\\"x\\"]",n="+Inf",y="/w=="}']


def sum_of(
    value: float, t: int = T, temporality: int = CUMULATIVE, *, monotonic: bool = True
) -> Callable[[Any], None]:
    def build(metric: Any) -> None:
        metric.name = "requests"
        metric.sum.is_monotonic, metric.sum.aggregation_temporality = monotonic, temporality
        metric.sum.data_points.add(time_unix_nano=t * 10**6, as_double=value)

    return build


def test_sums_become_counters_or_gauges() -> None:
    assert table(converter().convert(request(sum_of(5)), LIMITS)) == {"requests_total": 5.0}
    up_and_down = request(sum_of(5, monotonic=False))
    assert table(converter().convert(up_and_down, LIMITS)) == {"requests": 5.0}


def test_differences_are_added_up() -> None:
    one = converter()
    got = [table(one.convert(request(sum_of(v, T + i, DELTA)), LIMITS))["requests_total"]
           for i, v in enumerate((5, 2, 0, 10))]  # fmt: skip
    assert got == [5, 7, 7, 17]


def test_a_difference_that_comes_twice_is_refused_and_counted() -> None:
    one = converter()
    one.convert(request(sum_of(5, T, DELTA)), LIMITS)
    again = one.convert(request(sum_of(5, T, DELTA)), LIMITS)
    assert again.refused == {"out_of_order": 1}
    assert table(one.convert(request(sum_of(1, T + 1, DELTA)), LIMITS))["requests_total"] == 6


def test_totals_are_bounded_and_forgotten() -> None:
    one = converter(most=10)
    for i in range(30):
        build = sum_of(1, T, DELTA)

        def named(metric: Any, i: int = i, build: Any = build) -> None:
            build(metric)
            metric.name = f"m{i}"

        one.convert(request(named), LIMITS)
    assert len(one.totals) == 10
    one.totals.forget(T + 1)
    assert len(one.totals) == 0


def histogram(
    bounds: list[float], counts: list[int], temporality: int = CUMULATIVE, t: int = T
) -> Callable[[Any], None]:
    def build(metric: Any) -> None:
        metric.name, metric.unit = "wait", "s"
        metric.histogram.aggregation_temporality = temporality
        metric.histogram.data_points.add(
            time_unix_nano=t * 10**6, explicit_bounds=bounds, bucket_counts=counts,
            count=sum(counts), sum=2.5,
        )  # fmt: skip

    return build


def test_a_histogram_becomes_cumulative_buckets() -> None:
    found = table(converter().convert(request(histogram([0.1, 1, 10], [1, 2, 0, 3])), LIMITS))
    assert found == {
        'wait_seconds_bucket{le="0.1"}': 1, 'wait_seconds_bucket{le="1.0"}': 3,
        'wait_seconds_bucket{le="10.0"}': 3, 'wait_seconds_bucket{le="+Inf"}': 6,
        "wait_seconds_count": 6, "wait_seconds_sum": 2.5,
    }  # fmt: skip


def test_histograms_of_differences_are_added_up() -> None:
    one = converter()
    one.convert(request(histogram([1.0], [1, 2], DELTA)), LIMITS)
    found = table(one.convert(request(histogram([1.0], [4, 0], DELTA, T + 1)), LIMITS))
    assert found == {'wait_seconds_bucket{le="1.0"}': 5, 'wait_seconds_bucket{le="+Inf"}': 7,
                     "wait_seconds_count": 7, "wait_seconds_sum": 5.0}  # fmt: skip


def test_bounds_that_are_others_each_time_do_not_add_up_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accumulating, "MAX_PARTS", 10)
    one = converter()
    sizes = [
        len(one.convert(request(histogram([i + 0.5], [1, 1], DELTA, T + i)), LIMITS).rows)
        for i in range(40)
    ]
    assert max(sizes) == 10
    assert sizes[-1] < 10


@pytest.mark.parametrize(("bounds", "counts"), [
    ([1.0], [1]), ([2.0, 1.0], [1, 1, 1]), ([1.0, 1.0], [1, 1, 1]), ([math.nan], [1, 1]),
    ([float(i) for i in range(500)], [1] * 501),
])  # fmt: skip
def test_a_histogram_that_makes_no_sense_is_refused(bounds: list[float], counts: list[int]) -> None:
    found = converter().convert(request(histogram(bounds, counts)), LIMITS)
    assert (found.rows, found.refused) == ([], {"buckets": 1})


def exponential(scale: int, offset: int, counts: list[int], zero: int = 0) -> Callable[[Any], None]:
    def build(metric: Any) -> None:
        metric.name = "wait"
        metric.exponential_histogram.aggregation_temporality = CUMULATIVE
        point = metric.exponential_histogram.data_points.add(
            time_unix_nano=T * 10**6, scale=scale, zero_count=zero, count=sum(counts) + zero
        )
        point.positive.offset = offset
        point.positive.bucket_counts.extend(counts)

    return build


def test_an_exponential_histogram_becomes_buckets_of_powers_of_two() -> None:
    # At scale 1 the bounds are 2^(1/2): indexes 0, 1 are (1, 2], 2, 3 are (2, 4].
    found = table(converter().convert(request(exponential(1, 0, [1, 2, 3, 4], zero=5)), LIMITS))
    assert found == {'wait_bucket{le="0.0"}': 5, 'wait_bucket{le="2.0"}': 8,
                     'wait_bucket{le="4.0"}': 15, 'wait_bucket{le="+Inf"}': 15,
                     "wait_count": 15}  # fmt: skip


def test_exponential_histograms_can_be_dropped() -> None:
    found = converter(exponential=False).convert(request(exponential(0, 0, [1])), LIMITS)
    assert found.refused == {"exponential": 1}


@given(st.lists(st.floats(1e-200, 1e200) | st.floats(-1e200, -1e-200), max_size=40),
       st.integers(-2, 6))  # fmt: skip
def test_each_value_is_within_the_buckets_bound_and_half_of_it(
    values: list[float], scale: int
) -> None:
    class Point:
        zero_count = 0

    class Side:
        def __init__(self, sizes: list[float]) -> None:
            # Far from a bound, where the logarithm's rounding does not matter.
            indexes = [math.ceil(math.log2(v) * 2.0**scale) - 1 for v in sizes]
            self.offset = min(indexes, default=0)
            self.bucket_counts = [0] * (max(indexes, default=-1) - self.offset + 1)
            for i in indexes:
                self.bucket_counts[i - self.offset] += 1

    point: Any = Point()
    point.scale = scale
    point.positive = Side([v for v in values if v > 0])
    point.negative = Side([-v for v in values if v < 0])
    found = classic(point)
    assert sum(found.values()) == len(values)
    for bound in (0.0, *found):
        total = sum(n for b, n in found.items() if b <= bound)
        step = 2.0 ** (2.0 ** -min(scale, 0)) * (1 + 1e-9)
        sure = sum(v <= (bound / step if bound > 0 else bound * step) for v in values)
        at_most = sum(v <= bound * (1 + 1e-9 * (1 if bound > 0 else -1)) for v in values)
        assert sure <= total <= at_most + 1e-9


def test_a_summary() -> None:
    def build(metric: Any) -> None:
        metric.name, metric.unit = "wait", "s"
        point = metric.summary.data_points.add(time_unix_nano=T * 10**6, count=7, sum=9.5)
        point.quantile_values.add(quantile=0.5, value=1.25)
        point.quantile_values.add(quantile=1, value=3)

    assert table(converter().convert(request(build), LIMITS)) == {
        'wait_seconds{quantile="0.5"}': 1.25, 'wait_seconds{quantile="1.0"}': 3,
        "wait_seconds_sum": 9.5, "wait_seconds_count": 7,
    }  # fmt: skip


def test_a_point_without_a_value_ends_its_series() -> None:
    def build(metric: Any) -> None:
        gauge_of(1.0)(metric)
        metric.gauge.data_points[0].flags = 1

    (row,) = converter().convert(request(build), LIMITS).rows
    assert is_stale(row[3])


@pytest.mark.parametrize(("away_ms", "reason"), [(-2 * 86_400_000, "too_old"), (10**7, "too_new")])
def test_points_of_another_age_are_refused(away_ms: int, reason: str) -> None:
    found = converter().convert(request(sum_of(1, T + away_ms)), LIMITS)
    assert found.refused == {reason: 1}


def test_labels_beyond_the_limits_are_refused_and_others_stored() -> None:
    both = request(gauge_of(1.0, a="x" * 2000))
    gauge_of(2.0, a="fine")(both.resource_metrics[0].scope_metrics[0].metrics.add())
    found = converter().convert(both, LIMITS)
    assert found.refused == {"too_long": 1}
    assert table(found) == {'room_temperature_celsius{a="fine"}': 2.0}


def test_a_metric_of_no_temporality_or_name_is_refused() -> None:
    found = converter().convert(request(sum_of(1, T, 0)), LIMITS)
    assert found.refused == {"temporality": 1}

    def nameless(metric: Any) -> None:
        metric.gauge.data_points.add(as_int=1)

    assert converter().convert(request(nameless), LIMITS).refused == {"name": 1}
