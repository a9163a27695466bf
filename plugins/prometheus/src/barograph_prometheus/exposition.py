"""The monitor's own metrics and this process's instruments, written as Prometheus reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import attrs
import numpy as np

from barograph.contracts import Request, Response
from barograph.instruments.registry import REGISTRY, Description, Pairs, Reading
from barograph.model import MetricKind, Sample, escape_label_value
from barograph.selfmetrics import SelfSource
from barograph.sketch import quantile

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@attrs.define
class Family:
    """All samples of one name: (suffix, labels, value)."""

    name: str
    type: str
    help: str = ""
    unit: str = ""
    samples: list[tuple[str, Mapping[str, str], float]] = attrs.field(factory=list)


def metrics(request: Request) -> Response:
    """GET /metrics, in the format that the asker prefers."""
    openmetrics = prefers_openmetrics(request.headers.get("accept", ""))
    now_ms = request.monitor.clock.now_ms()
    own = SelfSource(request.monitor.meter).collect(now_ms)
    body = render(families(own, REGISTRY.read()), openmetrics=openmetrics)
    return Response(body.encode(), OPENMETRICS if openmetrics else TEXT)


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header ranks OpenMetrics above the text format."""
    best = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if kind in best:
            best[kind] = max(best[kind], quality)
    wanted = best["application/openmetrics-text"]
    return wanted > 0 and wanted >= best["text/plain"]


def families(
    samples: Iterable[Sample], readings: Iterable[tuple[Description, Pairs, Reading]]
) -> list[Family]:
    """Samples and instruments by family, sorted by name."""
    found: dict[str, Family] = {}
    for sample in samples:
        kind = "counter" if sample.kind is MetricKind.COUNTER else "gauge"
        family = found.setdefault(sample.name, Family(sample.name, kind, sample.help, sample.unit))
        family.samples.append(("", sample.labels, sample.value))
    for described, pairs, reading in readings:
        family = found.get(described.name) or Family(
            described.name, _TYPES[described.form], described.help, described.unit
        )
        if family.type != _TYPES[described.form]:
            continue  # an instrument that took the name of a metric of the monitor's own
        found[described.name] = family
        family.samples += _points(described, dict(pairs), reading)
    return [found[name] for name in sorted(found)]


_TYPES = {"counter": "counter", "gauge": "gauge", "histogram": "histogram", "sketch": "summary"}


def _points(
    described: Description, labels: dict[str, str], reading: Reading
) -> list[tuple[str, Mapping[str, str], float]]:
    if described.form in ("counter", "gauge"):
        return [("", labels, reading.value)]
    counts = reading.counts
    out: list[tuple[str, Mapping[str, str], float]] = []
    if described.form == "histogram":
        total = 0
        for i, bound in enumerate((*described.bounds, math.inf)):
            total += counts.get(i, 0)
            out.append(("_bucket", {**labels, "le": number(bound)}, float(total)))
    else:
        keys = np.array(sorted(counts), np.int32)
        each = np.array([counts[k] for k in keys.tolist()], np.int64)
        out += [("", {**labels, "quantile": f"{q:g}"}, quantile(keys, each, q)) for q in QUANTILES]
    out.append(("_sum", labels, reading.value))
    out.append(("_count", labels, float(sum(counts.values()))))
    return out


def render(found: Iterable[Family], *, openmetrics: bool) -> str:
    """The text format 0.0.4, or OpenMetrics 1.0."""
    lines: list[str] = []
    for family in found:
        name, kind = family.name, family.type
        if openmetrics and kind == "counter":
            # There a counter's samples end with _total, and its family does not.
            name, kind = (name[:-6], kind) if name.endswith("_total") else (name, "unknown")
        if family.help:
            lines.append(f"# HELP {name} {_help(family.help, openmetrics=openmetrics)}")
        lines.append(f"# TYPE {name} {kind}")
        if openmetrics and family.unit and name.endswith(f"_{family.unit}"):
            lines.append(f"# UNIT {name} {family.unit}")
        for suffix, labels, value in family.samples:
            inner = ",".join(f'{k}="{escape_label_value(v)}"' for k, v in labels.items())
            block = f"{{{inner}}}" if inner else ""
            lines.append(f"{family.name}{suffix}{block} {number(value)}")
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


def _help(text: str, *, openmetrics: bool) -> str:
    if openmetrics:
        return escape_label_value(text)
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def number(value: float) -> str:
    """A value that reads back as itself."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
