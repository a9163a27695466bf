"""From OpenTelemetry's names and units to Prometheus's.

See "Prometheus and OpenMetrics Compatibility" in the OpenTelemetry specification, sections "Metric
Metadata" and "Metric Attributes".
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

_NOT_METRIC = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_ANNOTATION = re.compile(r"\{[^}]*\}")

UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "kBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters",
    "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius",
    "Hz": "hertz", "%": "percent", "$": "dollars",
}  # fmt: skip
"""UCUM codes and their words."""

PER = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day", "w": "week",
       "mo": "month", "y": "year"}  # fmt: skip


def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> tuple[str, str]:
    """The metric's name with its unit's words, and those words ("" for none).

    ``counter``: a monotonic sum, which ends with _total. ``gauge``: a "1" becomes ratio.
    """
    words = [word for word in _NOT_METRIC.split(name) if word]
    top, bottom = unit_words(unit, gauge=gauge)
    if counter:
        words = [word for word in words if word != "total"]
    if top == "ratio":  # it stands at the end
        words = [word for word in words if word != top]
    if top and top not in words:
        words.append(top)
    if bottom and bottom not in words:
        words += ["per", bottom]
    if counter:
        words.append("total")
    text = "_".join(words)
    if not text:
        return "", ""
    both = f"{top}_per_{bottom}".removeprefix("_") if bottom else top
    return (f"_{text}" if text[0].isdigit() else text), both


def unit_words(unit: str, *, gauge: bool) -> tuple[str, str]:
    """A UCUM unit in words: ``By/s`` is (bytes, second), ``{request}`` is nothing."""
    plain = _ANNOTATION.sub("", unit).strip()
    if plain == "1":
        return ("ratio" if gauge else ""), ""
    main, _, per = (part.strip() for part in plain.partition("/"))
    return _unit_word(UNITS.get(main, main)), _unit_word(PER.get(per, per))


def _unit_word(text: str) -> str:
    return "" if text.strip() == "1" else "_".join(w for w in _NOT_METRIC.split(text) if w)


def label_name(key: str) -> str:
    """An attribute's key as a label's name."""
    name = _NOT_LABEL.sub("_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    return f"key{name}" if name.startswith("__") else name


def labels_of(attributes: Iterable[Any]) -> dict[str, str]:
    """Attributes (KeyValue messages) as labels; keys that become one are joined with ";"."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in attributes:
        if one.key:
            found.setdefault(label_name(one.key), []).append((one.key, text_of(one.value)))
    return {
        name: ";".join(value for _, value in sorted(values)) for name, values in found.items()
    }  # fmt: skip


def text_of(value: Any) -> str:
    """An AnyValue as text."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    found = _plain(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    found = getattr(value, kind)
    if kind == "array_value":
        return [_plain(one) for one in found.values]
    if kind == "kvlist_value":
        return {one.key: _plain(one.value) for one in found.values}
    if kind == "bytes_value":
        return base64.b64encode(found).decode()
    if kind == "double_value" and not math.isfinite(found):
        return bound_text(found)
    return found


def bound_text(value: float) -> str:
    """A bucket's bound, or another number in a label, as Prometheus writes it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value)) if not math.isnan(value) else "NaN"


def resource_labels(attributes: Mapping[str, str], raw: Iterable[str]) -> dict[str, str]:
    """job and instance of a resource, and of its other attributes those in ``raw``."""
    out: dict[str, str] = {}
    service, space = attributes.get("service_name", ""), attributes.get("service_namespace", "")
    if service:
        out["job"] = f"{space}/{service}" if space else service
    if attributes.get("service_instance_id"):
        out["instance"] = attributes["service_instance_id"]
    for key in raw:
        value = attributes.get(label_name(key), "")
        if value:
            out.setdefault(label_name(key), value)
    return out
