"""Series as text, and rows of files gathered into pieces for the store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from barograph.contracts import StoreError
from barograph.model import NAME, Labels, Metric, MetricKind
from barograph.query import parse_selector
from barograph_sqlite.index import to_text

Gathered = tuple[list[Labels], list[Metric], Any, Any, Any]
"""Labels and metrics of series; for each sample int64 position of its series, int64 time in ms,
float64 value."""


def series_text(labels: Labels) -> str:
    """A series as a PromQL selector, or as JSON where a selector cannot say it."""
    text = str(labels)
    if text.isascii() or text.encode("utf-8", "replace").decode() == text:
        try:
            if _from_selector(text) == labels:
                return text
        except ValueError:
            pass  # a name that PromQL does not have: JSON says it
    return to_text(labels)


def labels_of(text: str, where: str) -> Labels:
    """What ``series_text`` wrote. Raises StoreError with ``where``."""
    try:
        labels = _from_json(text) if text.startswith("[") else _from_selector(text)
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from None
    if not labels.name:
        raise StoreError(f"{where}: series {text!r} has no metric name")
    return labels


def _from_selector(text: str) -> Labels:
    pairs: dict[str, str] = {}
    for matcher in parse_selector(text):
        if matcher.op != "=":
            raise ValueError(f"{text!r} is no series: {matcher.label} has no plain value")
        pairs[matcher.label] = matcher.value
    return Labels.of(pairs.pop(NAME, ""), pairs)


def _from_json(text: str) -> Labels:
    pairs = json.loads(text)
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(x, str) for x in p) for p in pairs
    ):
        raise ValueError(f"{text!r} is no list of label names and values")
    named = dict(pairs)
    return Labels.of(named.pop(NAME, ""), named)


class Gather:
    """Collects rows into pieces."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.labels: list[Labels] = []
        self.metrics: list[Metric] = []
        self._at: dict[str, int] = {}
        self._which: list[int] = []
        self._t_ms: list[int] = []
        self._values: list[float] = []

    def __len__(self) -> int:
        return len(self._which)

    def series(self, text: str, kind: str, unit: str, help: str, where: str) -> int:
        """The position of a series in the piece. Raises StoreError with ``where``."""
        at = self._at.get(text)
        if at is None:
            labels = labels_of(text, where)
            if kind not in tuple(MetricKind):
                raise StoreError(f"{where}: kind {kind!r} is neither gauge nor counter")
            at = self._at[text] = len(self.labels)
            self.labels.append(labels)
            self.metrics.append(Metric(labels.name, MetricKind(kind), unit, help))
        return at

    def add(self, which: int, t_ms: int, value: float) -> None:
        """One sample of the series at ``which``."""
        self._which.append(which)
        self._t_ms.append(t_ms)
        self._values.append(value)

    def piece(self) -> Gathered:
        """All that was gathered since the last piece."""
        out = (
            self.labels, self.metrics, np.array(self._which, np.int64),
            np.array(self._t_ms, np.int64), np.array(self._values, np.float64),
        )  # fmt: skip
        self.clear()
        return out
