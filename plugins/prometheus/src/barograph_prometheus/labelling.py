"""Which labels are accepted, from whoever sends them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from barograph.model import NAME, Labels, Metric, MetricKind

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)

_COUNTERS = ("_total", "_count", "_sum", "_bucket")


class BadLabels(ValueError):
    """Labels that are not accepted. ``reason``: one word of ``REASONS``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


REASONS = ("name", "label_name", "label_value", "duplicate_label", "too_many_labels", "too_long")


@attrs.frozen
class LabelLimits:
    """0: no limit. ``name`` and ``value`` in characters."""

    labels: int = 64
    name: int = 256
    value: int = 1024


def checked(pairs: Iterable[tuple[str, str]], limits: LabelLimits) -> Labels:
    """Labels of a series: sorted, empty values left out. Raises BadLabels."""
    found = sorted((k, v) for k, v in pairs if v != "")
    if limits.labels and len(found) > limits.labels:
        raise BadLabels("too_many_labels", f"{len(found)} labels; at most {limits.labels}")
    before, metric = "", ""
    for key, value in found:
        if key == before:
            raise BadLabels("duplicate_label", f"the label {key[:80]!r} comes twice")
        before = key
        if limits.name and len(key) > limits.name:
            raise BadLabels("too_long", f"a label name of {len(key)} characters: {key[:60]}...")
        if limits.value and len(value) > limits.value:
            raise BadLabels("too_long", f"the label {key} has {len(value)} characters")
        if key == NAME:
            metric = value
            if not _METRIC.fullmatch(value):
                raise BadLabels("name", f"{value[:80]!r} is no metric name")
        elif not _LABEL.fullmatch(key):
            raise BadLabels("label_name", f"{key[:80]!r} is no label name")
        if not value.isprintable() and "\0" in value:
            raise BadLabels("label_value", f"the label {key} holds a zero byte")
    if not metric:
        raise BadLabels("name", "a series without a metric name")
    return Labels(tuple(found))


def is_label_name(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def is_metric_name(text: str) -> bool:
    return _METRIC.fullmatch(text) is not None


def metric_of(name: str, type: str = "", help: str = "", unit: str = "") -> Metric:
    """What is known of the metric of a series, by its family's ``type`` or, without, its name."""
    counter = name.endswith(_COUNTERS)
    if type in ("gauge", "info", "stateset", "gaugehistogram"):
        counter = False
    elif type == "counter":
        counter = True
    elif type == "summary":
        counter = name.endswith(("_count", "_sum"))
    if type in ("histogram", "summary", "gaugehistogram") and name.endswith(("_bucket", "_count")):
        unit = ""
    return Metric(name, MetricKind.COUNTER if counter else MetricKind.GAUGE, unit, help)
