"""From OTLP metrics to samples of series, as the compatibility specification says."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from barograph.model import STALE_NAN, Labels, Metric, MetricKind
from barograph_otlp.accumulating import Accumulator
from barograph_otlp.exponential import NotConvertible, classic
from barograph_otlp.names import (
    bound_text,
    label_name,
    labels_of,
    metric_name,
    resource_labels,
)

DELTA, CUMULATIVE = 1, 2
NO_VALUE = 1
"""The flag of a point that says: this series has ended."""

MAX_HELP = 1024
MAX_BOUNDS = 400
NS = 1_000_000

COUNTER, GAUGE = MetricKind.COUNTER, MetricKind.GAUGE

Row = tuple[Labels, Metric, int, float]
"""Series, its metric, time in ms, value."""


class BadPoint(ValueError):
    """A data point is not stored. ``reason``: one word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@attrs.frozen
class Limits:
    """What is accepted of points; times in ms. ``room``: new series of differences in a request."""

    oldest_ms: int
    latest_ms: int
    now_ms: int
    label_chars: int = 1024
    labels: int = 64
    room: int = 2**31


@attrs.define
class Converted:
    """Rows of one request, and what was not converted, by reason, with an example of each."""

    rows: list[Row] = attrs.field(factory=list)
    refused: Counter[str] = attrs.field(factory=Counter)
    examples: dict[str, str] = attrs.field(factory=dict)
    points: int = 0

    def refuse(self, error: BadPoint, n: int = 1) -> None:
        self.refused[error.reason] += n
        self.examples.setdefault(error.reason, str(error)[:200])


@attrs.frozen
class _Place:
    """What the points of one metric have in common."""

    name: str
    unit: str
    help: str
    common: Mapping[str, str]
    limits: Limits


class Converter:
    """Converts requests one after another; keeps the totals of what comes as differences."""

    def __init__(
        self, *, most: int, exponential: bool, scope_labels: bool, promoted: tuple[str, ...]
    ) -> None:
        self.totals = Accumulator(most)
        self._exponential, self._scope, self._promoted = exponential, scope_labels, promoted
        self._room = 0

    def convert(self, request: Any, limits: Limits) -> Converted:
        """All points of an ExportMetricsServiceRequest; one that is bad spoils no other."""
        out = Converted()
        self._room = limits.room
        for resource in request.resource_metrics:
            attributes = labels_of(resource.resource.attributes)
            common = resource_labels(attributes, self._promoted)
            newest = 0
            for scope in resource.scope_metrics:
                labels = {**common, **self._scope_labels(scope.scope)}
                for metric in scope.metrics:
                    newest = max(newest, self._metric(metric, labels, limits, out))
            if newest and common:
                self._target_info(attributes, common, newest, limits, out)
        return out

    def _scope_labels(self, scope: Any) -> dict[str, str]:
        if not self._scope or not scope.name:
            return {}
        named = {f"otel_scope_{label_name(k)}": v for k, v in labels_of(scope.attributes).items()}
        named |= {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
        return {k: v for k, v in named.items() if v}

    def _target_info(
        self, attributes: Mapping[str, str], common: Mapping[str, str], t_ms: int, limits: Limits,
        out: Converted,
    ) -> None:  # fmt: skip
        own = ("service_name", "service_namespace", "service_instance_id")
        rest = {k: v for k, v in attributes.items() if k not in own and v}
        if not rest:
            return
        place = _Place("target_info", "", "Attributes of the resource", common, limits)
        try:
            labels = _labels(place, "target_info", rest)
        except BadPoint as error:
            out.refuse(error, 0)
        else:
            out.rows.append((labels, Metric("target_info", GAUGE, "", place.help), t_ms, 1.0))

    # --- metrics --------------------------------------------------------------------------------

    def _metric(
        self, metric: Any, common: Mapping[str, str], limits: Limits, out: Converted
    ) -> int:
        """Convert one metric's points; the newest time of what was converted."""
        kind = metric.WhichOneof("data")
        if kind is None:
            return 0
        data = getattr(metric, kind)
        points = data.data_points
        out.points += len(points)
        counter = kind == "sum" and data.is_monotonic
        gauge = kind == "gauge" or (kind == "sum" and not counter)
        name, unit = metric_name(metric.name, metric.unit, counter=counter, gauge=gauge)
        if not name:
            out.refuse(BadPoint("name", f"{metric.name[:60]!r} is no metric name"), len(points))
            return 0
        temporality = getattr(data, "aggregation_temporality", CUMULATIVE)
        if temporality not in (DELTA, CUMULATIVE):
            error = BadPoint("temporality", f"{name}: neither delta nor cumulative")
            out.refuse(error, len(points))
            return 0
        place = _Place(name, unit, metric.description[:MAX_HELP], common, limits)
        newest = 0
        for point in points:
            try:
                t_ms = _time(point, limits, name)
                made = list(self._point(kind, place, point, t_ms, temporality, counter=counter))
            except BadPoint as error:
                out.refuse(error)
                continue
            out.rows += made
            newest = max(newest, t_ms)
        return newest

    def _point(
        self, kind: str, place: _Place, point: Any, t_ms: int, temporality: int, *, counter: bool
    ) -> Iterator[Row]:
        attributes = labels_of(point.attributes)
        if kind in ("gauge", "sum"):
            value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
            parts = {"": float(value)}
        elif kind == "histogram":
            parts = _histogram(place, point)
        elif kind == "exponential_histogram":
            parts = self._exponential_parts(place, point)
        else:
            yield from _summary(place, attributes, point, t_ms)
            return
        gone = bool(point.flags & NO_VALUE)
        if temporality == DELTA and kind != "gauge" and not gone:
            identity = _labels(place, place.name, attributes)
            if identity not in self.totals:
                if self._room <= 0:
                    raise BadPoint("too_many_series", f"{place.name}: no room for a new series")
                self._room -= 1
            total = self.totals.add(identity, t_ms, parts, place.limits.now_ms)
            if total is None:
                raise BadPoint("out_of_order", f"{place.name}: a difference that came before")
            parts = total
        if kind in ("gauge", "sum"):
            metric = Metric(place.name, COUNTER if counter else GAUGE, place.unit, place.help)
            value = STALE_NAN if gone else parts[""]
            yield _labels(place, place.name, attributes), metric, t_ms, value
            return
        yield from _buckets(place, attributes, parts, t_ms, gone=gone)

    def _exponential_parts(self, place: _Place, point: Any) -> dict[str, float]:
        if not self._exponential:
            raise BadPoint("exponential", f"{place.name}: exponential histograms are dropped")
        try:
            counts = classic(point)
        except NotConvertible as error:
            raise BadPoint("exponential", f"{place.name}: {error}") from None
        parts = {bound_text(bound): count for bound, count in counts.items()}
        return parts | {"+Inf": parts.get("+Inf", 0.0)} | _ends(point)


def _histogram(place: _Place, point: Any) -> dict[str, float]:
    """Counts (not cumulative) by bound, with sum and count."""
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if len(bounds) > MAX_BOUNDS:
        raise BadPoint("buckets", f"{place.name}: {len(bounds)} bounds; at most {MAX_BOUNDS}")
    if any(not a < b for a, b in itertools.pairwise(bounds)) or any(map(math.isnan, bounds)):
        raise BadPoint("buckets", f"{place.name}: the bounds of its buckets do not rise")
    if not counts and not bounds:
        counts = [point.count]
    if len(counts) != len(bounds) + 1:
        told = f"{place.name}: {len(counts)} buckets for {len(bounds)} bounds"
        raise BadPoint("buckets", told)
    parts: dict[str, float] = {}
    for bound, count in zip([*bounds, math.inf], counts, strict=True):
        text = bound_text(bound)
        parts[text] = parts.get(text, 0.0) + float(count)
    return parts | _ends(point)


def _ends(point: Any) -> dict[str, float]:
    out = {"count": float(point.count)}
    if point.HasField("sum"):
        out["sum"] = float(point.sum)
    return out


def _buckets(
    place: _Place, attributes: Mapping[str, str], parts: dict[str, float], t_ms: int, *, gone: bool
) -> Iterator[Row]:
    """Classic histogram series; counts become cumulative over the bounds."""
    name, unit, text = place.name, place.unit, place.help
    bucket = Metric(f"{name}_bucket", COUNTER, "", text)
    total = 0.0
    for bound in sorted((b for b in parts if b not in ("sum", "count")), key=float):
        total += parts[bound]
        labels = _labels(place, bucket.name, attributes, le=bound)
        yield labels, bucket, t_ms, STALE_NAN if gone else total
    for end, end_unit in (("sum", unit), ("count", "")):
        if end in parts:
            metric = Metric(f"{name}_{end}", COUNTER, end_unit, text)
            value = STALE_NAN if gone else parts[end]
            yield _labels(place, metric.name, attributes), metric, t_ms, value


def _summary(place: _Place, attributes: Mapping[str, str], point: Any, t_ms: int) -> Iterator[Row]:
    gone = bool(point.flags & NO_VALUE)
    name, text = place.name, place.help
    gauge = Metric(name, GAUGE, place.unit, text)
    for one in point.quantile_values:
        labels = _labels(place, name, attributes, quantile=bound_text(one.quantile))
        yield labels, gauge, t_ms, STALE_NAN if gone else float(one.value)
    for end, value, unit in (("sum", point.sum, place.unit), ("count", point.count, "")):
        metric = Metric(f"{name}_{end}", COUNTER, unit, text)
        yield (
            _labels(place, metric.name, attributes), metric, t_ms,
            STALE_NAN if gone else float(value),
        )  # fmt: skip


def _labels(place: _Place, name: str, attributes: Mapping[str, str], **more: str) -> Labels:
    """Raises BadPoint. An attribute never takes the place of job, instance or a bucket's bound."""
    labels = {**attributes, **place.common, **more}
    if len(labels) >= place.limits.labels:
        raise BadPoint("too_many_labels", f"{place.name}: {len(labels)} labels")
    for key, value in labels.items():
        if len(value) > place.limits.label_chars or len(key) > place.limits.label_chars:
            raise BadPoint("too_long", f"{place.name}: the label {key[:60]} is too long")
    return Labels.of(name, labels)


def _time(point: Any, limits: Limits, name: str) -> int:
    t_ms = int(point.time_unix_nano) // NS or limits.now_ms
    if t_ms < limits.oldest_ms:
        raise BadPoint("too_old", f"{name}: a point that is too old")
    if t_ms > limits.latest_ms:
        raise BadPoint("too_new", f"{name}: a point in the future")
    return t_ms
