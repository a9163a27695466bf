"""What all processes have recorded together."""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

import attrs
import numpy as np

from barograph.instruments.registry import Description, Pairs, Reading
from barograph.model import Labels, Metric, MetricKind
from barograph.sketch import is_key, quantile

if TYPE_CHECKING:
    from barograph.senders import Sender

QUANTILES = (0.5, 0.9, 0.95, 0.99)
"""Quantiles that a sketch becomes, of what was observed since the sample before."""

SILENT_S = 15.0
"""A process that has said nothing for so long no longer holds its gauges."""

FORGET_PROCESS_S = 3600.0
"""After so long the number of a process's last message is forgotten."""

MAX_PROCESSES = 10_000
MAX_LABELS = 32
MAX_LABEL_CHARACTERS = 1024
MAX_BUCKETS = 200
MAX_COUNT = 2**40
"""Of one bucket in one message; a sum of many stays within 64 bits."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_FORMS = ("counter", "gauge", "histogram", "sketch")

Key = tuple[str, Pairs]


@attrs.frozen
class Limits:
    """Labels of a reading, and characters of a label's name or value."""

    labels: int = MAX_LABELS
    characters: int = MAX_LABEL_CHARACTERS


class BadMessage(ValueError):
    """A message that is not as it should be; the text says what is wrong."""


@attrs.define(eq=False)
class Series:
    """One instrument's child, summed over processes. ``values``: of a gauge, by process."""

    described: Description
    pairs: Pairs
    value: float = 0.0
    counts: dict[int, int] = attrs.field(factory=dict)
    fresh: dict[int, int] = attrs.field(factory=dict)  # a sketch's counts since the last sample
    values: dict[str, float] = attrs.field(factory=dict)
    newest: str = ""
    touched_s: float = 0.0
    owner: Sender | None = None  # whose limit of series it counts towards


@attrs.define(eq=False)
class Process:
    """A process that sends: the number of its last message, and when it was last heard."""

    number: int
    heard_s: float
    silent: bool = False
    gauges: set[Key] = attrs.field(factory=set)


class Totals:
    """Sums messages, each once; bounded in series and in processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[Key, Series] = {}
        self._processes: dict[str, Process] = {}
        self._claimed: dict[Sender, int] = {}  # stored series by whose they are
        self.max_series = 20_000
        self.forget_after_s = 86400.0
        self.version = 0  # changes when the set of series does
        self.dropped = 0  # readings beyond ``max_series``
        self.refused = 0
        self.messages = 0

    @property
    def processes(self) -> int:
        """Those that send; not those that have been silent for long."""
        with self._lock:
            return sum(not one.silent for one in self._processes.values())

    # --- what comes in ------------------------------------------------------------------------

    def accept(self, message: Any, now_s: float, sender: Sender | None = None) -> None:
        """Add a message of a process. Raises BadMessage; then nothing of it is added.

        ``sender``: whose ingest token came with it; series beyond its limit are dropped.
        """
        try:
            process, number, last, readings = _understood(message, limits_of(sender))
        except BadMessage:
            self.refused += 1
            raise
        with self._lock:
            self.messages += 1
            known = self._processes.get(process)
            if known is not None and number <= known.number:
                known.heard_s, known.silent = now_s, False  # it did not hear that this had come
                return
            if known is None:
                known = self._processes[process] = Process(number, now_s)
                while len(self._processes) > MAX_PROCESSES:
                    self._leave(next(iter(self._processes)))
            known.number, known.heard_s, known.silent = number, now_s, False
            for described, pairs, reading in readings:
                self._add(process, known, described, pairs, reading, now_s, sender)
            if last:
                self._leave(process)

    def own(self, readings: Iterable[tuple[Description, Pairs, Reading]], now_s: float) -> None:
        """Take in what this process's own instruments hold: totals, not what is new."""
        with self._lock:
            for described, pairs, reading in readings:
                series = self._find(described, pairs)
                if series is None:
                    continue
                if described.form == "sketch":
                    _grow(series.fresh, reading.counts, series.counts)
                series.value, series.counts = reading.value, dict(reading.counts)
                if described.form == "gauge":
                    series.values["own"] = reading.value
                    series.newest = "own"
                series.touched_s = now_s

    def _add(
        self, process: str, known: Process, described: Description, pairs: Pairs,
        reading: Reading, now_s: float, sender: Sender | None,
    ) -> None:  # fmt: skip
        series = self._find(described, pairs, sender)
        if series is None:
            return
        series.touched_s = now_s
        if described.form == "gauge":
            series.values[process] = reading.value
            series.newest = process
            known.gauges.add((described.name, pairs))
            return
        series.value += reading.value
        _grow(series.counts, reading.counts)
        if described.form == "sketch":
            _grow(series.fresh, reading.counts)

    def _find(
        self, described: Description, pairs: Pairs, sender: Sender | None = None
    ) -> Series | None:
        key = (described.name, pairs)
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= self.max_series or not self._claim(sender, described):
                self.dropped += 1
                return None
            series = self._series[key] = Series(described, pairs, owner=sender)
            self.version += 1
        elif (series.described.form, series.described.bounds) != (
            described.form,
            described.bounds,
        ):
            self.dropped += 1  # another application means something else by the same series
            return None
        return series

    def _claim(self, sender: Sender | None, described: Description, sign: int = 1) -> bool:
        """Count the stored series of one more child (``sign`` -1: one less) to its sender."""
        if sender is None:
            return True
        rows = row_count(described)
        if sign > 0 and sender.room(time.time_ns() // 1_000_000) < rows:
            return False
        self._claimed[sender] = self._claimed.get(sender, 0) + sign * rows
        sender.set_aside("application", self._claimed[sender])
        if not self._claimed[sender]:
            del self._claimed[sender]
        return True

    def _delete(self, key: Key) -> None:
        series = self._series.pop(key)
        self._claim(series.owner, series.described, -1)
        self.version += 1

    def _leave(self, process: str) -> None:
        """A process has ended: its gauges go, what it counted stays."""
        known = self._processes.pop(process, None)
        if known is not None:
            self._let_go(process, known)

    def _let_go(self, process: str, known: Process) -> None:
        for key in known.gauges:
            series = self._series.get(key)
            if series is not None:
                series.values.pop(process, None)
                if not series.values:
                    self._delete(key)
        known.gauges.clear()

    def tidy(self, now_s: float) -> None:
        """Let go of silent processes and of series that nobody has touched for long."""
        with self._lock:
            for name, known in list(self._processes.items()):
                silent = now_s - known.heard_s
                if silent > FORGET_PROCESS_S:
                    self._leave(name)
                elif silent > SILENT_S:
                    known.silent = True
                    self._let_go(name, known)
            old = [
                key for key, series in self._series.items()
                if now_s - series.touched_s > self.forget_after_s
            ]  # fmt: skip
            for key in old:
                self._delete(key)

    # --- what goes out ------------------------------------------------------------------------

    def declared(self) -> tuple[int, list[tuple[Labels, Metric]]]:
        """The version, and every stored series in the order of ``values``."""
        with self._lock:
            out: list[tuple[Labels, Metric]] = []
            for series in self._series.values():
                out += _rows(series)
            return self.version, out

    def values(self, version: int) -> list[float] | None:
        """Values for the series declared at ``version``; None if the set has changed."""
        with self._lock:
            if version != self.version:
                return None
            out: list[float] = []
            for series in self._series.values():
                _append_values(series, out)
            return out


TOTALS = Totals()
"""This process's; a monitor's source reads it, its receiver adds to it."""


def limits_of(sender: Sender | None) -> Limits:
    """What a message's labels may have."""
    if sender is None:
        return Limits()
    token = sender.token
    return Limits(
        max(min(MAX_LABELS, token.max_labels - 2), 0),  # the name, and le or quantile, come too
        min(MAX_LABEL_CHARACTERS, token.max_label_chars),
    )


def row_count(described: Description) -> int:
    """How many stored series a child of an instrument becomes."""
    if described.form == "histogram":
        return len(described.bounds) + 3
    return len(QUANTILES) + 2 if described.form == "sketch" else 1


def _understood(
    message: Any, limits: Limits
) -> tuple[str, int, bool, list[tuple[Description, Pairs, Reading]]]:
    if not isinstance(message, dict):
        raise BadMessage("a message must be a JSON object")
    process, number = message.get("process"), message.get("number")
    service, readings = message.get("service"), message.get("readings")
    if not isinstance(process, str) or not 8 <= len(process) <= 64:
        raise BadMessage('"process" must be a text of 8 to 64 characters')
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise BadMessage('"number" must be a positive integer')
    if not isinstance(service, str) or len(service) > limits.characters:
        raise BadMessage(f'"service" must be a text of at most {limits.characters} characters')
    if not isinstance(readings, list):
        raise BadMessage('"readings" must be a list')
    found = [_reading(reading, service, limits) for reading in readings]
    return process, number, message.get("last") is True, found


def _reading(given: Any, service: str, limits: Limits) -> tuple[Description, Pairs, Reading]:
    if not isinstance(given, dict):
        raise BadMessage("a reading must be a JSON object")
    name, form, value = given.get("name"), given.get("form"), given.get("value")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 256:
        raise BadMessage(f"{name!r} is no metric name")
    if form not in _FORMS:
        raise BadMessage(f"{name}: form must be one of {', '.join(_FORMS)}, not {form!r}")
    if not _is_finite(value):
        raise BadMessage(f"{name}: {value!r:.80} is no finite number")
    if form == "counter" and value < 0:
        raise BadMessage(f"{name}: a counter only grows, not by {value!r}")
    labels = given.get("labels", {})
    if not isinstance(labels, dict) or len(labels) + bool(service) > limits.labels:
        raise BadMessage(f"{name}: at most {limits.labels} labels")
    for key, text in labels.items():
        if not _LABEL.fullmatch(key) or key.startswith("__") or len(key) > limits.characters:
            raise BadMessage(f"{name}: {key[:200]!r} is no label name")
        if not isinstance(text, str) or len(text) > limits.characters:
            raise BadMessage(
                f"{name}: label {key} must be a text of at most {limits.characters} characters"
            )
    if service:
        labels = {**labels, "service": service}
    pairs = tuple(sorted((k, v) for k, v in labels.items() if v))
    bounds = _bounds(name, given.get("bounds", [])) if form == "histogram" else ()
    counts = _counts(name, given.get("counts", {}))
    if form == "histogram" and any(not 0 <= k <= len(bounds) for k in counts):
        raise BadMessage(f"{name}: a bucket beyond its {len(bounds)} bounds")
    if form == "sketch" and not all(map(is_key, counts)):
        raise BadMessage(f"{name}: a bucket that no sketch has")
    if form in ("counter", "gauge") and counts:
        raise BadMessage(f"{name}: a {form} has no buckets")
    unit, text, across = given.get("unit", ""), given.get("help", ""), given.get("across", "sum")
    if not isinstance(unit, str) or not isinstance(text, str) or len(unit) + len(text) > 2000:
        raise BadMessage(f"{name}: unit and help must be short texts")
    if across not in ("sum", "max", "min", "last"):
        raise BadMessage(f"{name}: across must be sum, max, min or last, not {across!r}")
    described = Description(name, form, unit, text, bounds, across)
    return described, pairs, Reading(float(value), counts)


def _is_finite(given: Any) -> TypeGuard[int | float]:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    try:
        return math.isfinite(given)
    except OverflowError:  # JSON knows whole numbers that no float holds
        return False


def _bounds(name: str, given: Any) -> tuple[float, ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= MAX_BUCKETS:
        raise BadMessage(f"{name}: a histogram has 1 to {MAX_BUCKETS} bounds")
    if not all(map(_is_finite, given)):
        raise BadMessage(f"{name}: bounds must be finite numbers")
    if any(a >= b for a, b in itertools.pairwise(given)):
        raise BadMessage(f"{name}: bounds must rise")
    return tuple(float(b) for b in given)


def _counts(name: str, given: Any) -> dict[int, int]:
    if not isinstance(given, dict):
        raise BadMessage(f"{name}: counts must be an object")
    out: dict[int, int] = {}
    for key, n in given.items():
        try:
            bucket = int(key)
        except ValueError:
            raise BadMessage(f"{name}: {key!r} is no bucket") from None
        if not isinstance(n, int) or isinstance(n, bool) or not 0 <= n <= MAX_COUNT:
            raise BadMessage(f"{name}: {n!r:.80} in bucket {key:.80} is no count")
        out[bucket] = n
    return out


def _grow(
    into: dict[int, int], counts: Mapping[int, int], less: Mapping[int, int] | None = None
) -> None:
    for key, n in counts.items():
        more = n - (less.get(key, 0) if less else 0)
        if more:
            into[key] = into.get(key, 0) + more


def _bound_text(bound: float) -> str:
    if bound == math.inf:
        return "+Inf"
    return f"{bound:.1f}" if bound == int(bound) else repr(bound)  # no two bounds alike


def _rows(series: Series) -> list[tuple[Labels, Metric]]:
    """The stored series that one instrument's child becomes."""
    described, labels = series.described, dict(series.pairs)
    name, unit, text = described.name, described.unit, described.help
    counter, gauge = MetricKind.COUNTER, MetricKind.GAUGE
    if described.form == "counter":
        return [(Labels.of(name, labels), Metric(name, counter, unit, text))]
    if described.form == "gauge":
        return [(Labels.of(name, labels), Metric(name, gauge, unit, text))]
    total = f"{name}_sum", f"{name}_count"
    out = [
        (Labels.of(total[0], labels), Metric(total[0], counter, unit, f"Sum of: {text}")),
        (Labels.of(total[1], labels), Metric(total[1], counter, "", f"Count of: {text}")),
    ]
    if described.form == "histogram":
        bucket = f"{name}_bucket"
        for bound in (*described.bounds, math.inf):
            own = {**labels, "le": _bound_text(bound)}
            metric = Metric(bucket, counter, "", f"Count up to the bound le of: {text}")
            out.append((Labels.of(bucket, own), metric))
    else:
        for q in QUANTILES:
            own = {**labels, "quantile": f"{q:g}"}
            out.append((Labels.of(name, own), Metric(name, gauge, unit, text)))
    return out


def _append_values(series: Series, out: list[float]) -> None:
    form = series.described.form
    if form == "counter":
        out.append(series.value)
        return
    if form == "gauge":
        out.append(_together(series))
        return
    out += (series.value, float(sum(series.counts.values())))
    if form == "histogram":
        total = 0
        for bucket in range(len(series.described.bounds) + 1):
            total += series.counts.get(bucket, 0)
            out.append(float(total))
        return
    keys = np.array(sorted(series.fresh), np.int32)
    counts = np.array([series.fresh[k] for k in keys.tolist()], np.int64)
    out += (quantile(keys, counts, q) for q in QUANTILES)
    series.fresh.clear()


def _together(series: Series) -> float:
    values = series.values
    if not values:
        return math.nan
    across = series.described.across
    if across == "last":
        return values.get(series.newest, next(reversed(values.values())))
    if across == "sum":
        try:
            return math.fsum(values.values())
        except OverflowError:  # more than a float can hold
            return sum(values.values())
    return max(values.values()) if across == "max" else min(values.values())
