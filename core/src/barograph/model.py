"""The data model: samples, series, batches, windows.

A series is its labels, ``__name__`` among them, interned once to an integer ref. Hot paths carry
refs, times and values as arrays; a ``Sample`` is for the simple path only.
"""

from __future__ import annotations

import enum
import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NewType

import attrs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ref = NewType("Ref", int)
"""A series' integer id in a store; positive, stable for the life of the store."""

NAME = "__name__"

STALE_NAN_BITS = 0x7FF0000000000002
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))[0]
"""The NaN that says "this series ended here" (the same bits as in Prometheus)."""


def is_stale(value: float) -> bool:
    """Whether ``value`` is the staleness marker, by its bits."""
    return bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_NAN_BITS)


class MetricKind(enum.StrEnum):
    """What a series' values mean; decides how they roll up."""

    GAUGE = "gauge"
    COUNTER = "counter"


@attrs.frozen
class Metric:
    """What is known of a metric name: kind, unit, one sentence of help.

    ``unit`` is a base unit as OpenMetrics writes it: ``seconds``, ``bytes``, ``ratio``,
    ``celsius``, or "" for a plain count.
    """

    name: str
    kind: MetricKind = MetricKind.GAUGE
    unit: str = ""
    help: str = ""


@attrs.frozen
class Labels:
    """A series' identity: label names and values sorted by name, ``__name__`` among them."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str] | None = None) -> Labels:
        """Labels of metric ``name``; labels with an empty value are left out, as in Prometheus."""
        pairs = [(NAME, name)]
        if labels:
            pairs += [(k, v) for k, v in labels.items() if v != ""]
            pairs.sort()
        return cls(tuple(pairs))

    @property
    def name(self) -> str:
        """The metric name."""
        return self.get(NAME)

    def get(self, label: str, default: str = "") -> str:
        for key, value in self.pairs:
            if key == label:
                return value
        return default

    def as_dict(self) -> dict[str, str]:
        return dict(self.pairs)

    def without_name(self) -> dict[str, str]:
        return {k: v for k, v in self.pairs if k != NAME}

    def __str__(self) -> str:
        inner = ",".join(f'{k}="{escape_label_value(v)}"' for k, v in self.pairs if k != NAME)
        return f"{self.name}{{{inner}}}" if inner else self.name


def escape_label_value(value: str) -> str:
    """A label value as the Prometheus text format escapes it: backslash, quote, line feed."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


@attrs.frozen
class Sample:
    """One value of one series, as the simple path of a metric source yields it.

    ``kind``, ``unit`` and ``help`` may be given with any sample of a metric; the first wins.
    A sample has no time of its own: it gets the tick's.
    """

    name: str
    value: float
    labels: Mapping[str, str] = attrs.field(factory=dict)
    kind: MetricKind = MetricKind.GAUGE
    unit: str = ""
    help: str = ""


@attrs.frozen
class Series:
    """A stored series: its ref, labels and metric."""

    ref: Ref
    labels: Labels
    metric: Metric


@attrs.frozen(eq=False)
class Batch:
    """Samples on the hot path.

    refs: int64[n]; t_ms: one int for all, or int64[n]; values: float64[n].
    A batch whose ``refs`` is the *same array object* as an earlier batch's is cheapest: stores
    remember it. Arrays are not copied; who hands a batch on does not write to them again.
    """

    refs: NDArray[np.int64]
    t_ms: int | NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.refs)


@attrs.frozen(eq=False)
class Column:
    """One series' samples: ``t_ms`` int64[n] strictly rising, ``values`` float64[n]."""

    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.t_ms)


@attrs.frozen(eq=False)
class Windows:
    """One series' rollup at one level: arrays of equal length n, ``start_ms`` strictly rising.

    A window covers [start, start + level). ``count`` counts samples that are not NaN; a window
    without any is absent. ``first`` and ``last`` are the earliest and latest value in time;
    ``increase`` is the growth from first to last with counter resets taken out (meaningful for
    counters; for gauges it is computed the same way and ignored). ``sketch_keys`` /
    ``sketch_counts`` hold all windows' quantile sketches one after another; window i owns
    ``sketch_offsets[i]:sketch_offsets[i+1]``, keys rising within it. See ``barograph.sketch``.

    ``span_ms``: the time [start, end) that these windows speak for; ``None``: from the first
    window's start to the last one's end. Its end may lie within the last window, which then holds
    only what came before it.
    """

    level_ms: int
    start_ms: NDArray[np.int64]
    count: NDArray[np.int64]
    sum: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    increase: NDArray[np.float64]
    sketch_offsets: NDArray[np.int64]
    sketch_keys: NDArray[np.int32]
    sketch_counts: NDArray[np.int64]
    span_ms: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.start_ms)


class MatchOp(enum.StrEnum):
    """How a matcher compares, as PromQL writes it."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@attrs.frozen
class Matcher:
    """One label matcher; regular expressions are anchored at both ends, as in PromQL."""

    label: str
    op: MatchOp
    value: str

    @classmethod
    def equal(cls, label: str, value: str) -> Matcher:
        return cls(label, MatchOp.EQUAL, value)


def finite_or_none(value: float) -> float | None:
    """``value`` for JSON, which has no NaN or infinity."""
    return value if math.isfinite(value) else None


JSON = Mapping[str, Any]
