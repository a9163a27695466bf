"""Turning what a source gives into batches: checked, interned, with ends of series marked."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.model import NAME, STALE_NAN, STALE_NAN_BITS, Batch, Labels, Metric, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import ColumnarSource
    from barograph.selfmetrics import Meter

Intern = Callable[[Sequence[tuple[Labels, Metric]]], "NDArray[np.int64]"]

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_NUMBERS = frozenset({float, int, np.float64, np.float32, np.int64, np.int32})

MAX_LABEL_CHARS = 1024
"""Characters of a label's value."""

OVER_CEILING = 1000
"""Samples beyond the ceiling that are looked at (to count them) before a flood is cut off."""

CHURN_MS = 3_600_000
"""Time in which a source may bring as many new series as its ceiling allows in one tick: the
bound on a source whose labels never come back (request ids, say)."""

REASONS = ("ceiling", "churn", "not_a_number", "bad_name", "duplicate")
"""Why samples are dropped: label ``reason`` of ``barograph_samples_dropped_total``."""

_EMPTY = np.empty(0, np.int64)


class Intake:
    """One source's series and what they were in the last tick.

    ``complaint``: what was dropped of the last tick, by reason and with an example; "" if nothing.
    """

    def __init__(
        self, source: str, intern: Intern, meter: Meter, ceiling: int, labels: Mapping[str, str]
    ) -> None:
        self._intern = intern
        self._ceiling = ceiling
        self._extra = dict(labels)
        self._dropped = {
            why: meter.counter(
                "barograph_samples_dropped_total", "Samples that were not stored, by reason",
                source=source, reason=why,
            )
            for why in REASONS
        }  # fmt: skip
        self._nans = meter.counter("barograph_samples_nan_total", "Samples whose value was NaN",
                                   source=source)  # fmt: skip
        self.complaint = ""
        self._keys: list[Any] = []
        self._refs = _EMPTY
        self._good: list[int] | None = None  # positions kept of the last tick's samples
        self._refused = _Refused()  # of the last sequence of series that was learnt
        self._declared = -1  # series that a columnar source has declared; -1: none yet
        self._ended = _EMPTY  # series whose end is not told yet
        self._known: set[Labels] = set()
        self._allowance, self._allowed_at = float(ceiling), 0

    @property
    def series(self) -> int:
        """Series of the last tick."""
        return len(self._refs)

    def accepted(self) -> None:
        """The batches of the last call have been handed on: the ends of series are told."""
        self._ended = _EMPTY

    def adopt(self, before: Intake) -> None:
        """Go on after another intake of the same source: series it had and this has not, end."""
        self._refs, self._ended, self._known = before._refs, before._ended, before._known
        self._allowance, self._allowed_at = before._allowance, before._allowed_at

    def end(self, now_ms: int) -> list[Batch]:
        """Markers for all series: the source is gone."""
        refs = np.union1d(self._refs, self._ended)
        self._refs, self._ended, self._keys, self._declared = _EMPTY, _EMPTY, [], -1
        self._known = set()
        return [Batch(refs, now_ms, np.full(len(refs), STALE_NAN))] if len(refs) else []

    # --- simple path --------------------------------------------------------------------------

    def samples(self, found: Iterable[Sample], now_ms: int) -> list[Batch]:
        """Batches of one tick of a MetricSource; a marker for each series that has ended.

        Raises TypeError if ``found`` is no iterable.
        """
        if not isinstance(found, Iterable):
            raise TypeError(f"collect must give samples, not {type(found).__name__}")
        taken = list(itertools.islice(found, self._ceiling + OVER_CEILING))
        same = len(taken) == len(self._keys) and all(map(_same, taken, self._keys))
        if not same or self._refused.counts["churn"]:  # there may be room for these by now
            self._learn(taken, now_ms)
        refused = self._refused.copy()
        kept = taken if self._good is None else [taken[i] for i in self._good]
        values, bad = numbers([s.value for s in kept])
        batches: list[Batch] = []
        if len(bad):
            for i in bad:
                refused.add("not_a_number", f"{kept[i].name}: {kept[i].value!r:.60}")
            keep = np.ones(len(kept), bool)
            keep[bad] = False
            batches.append(Batch(self._refs[keep], now_ms, values[keep]))
        elif len(kept):
            batches.append(Batch(self._refs, now_ms, values))
        self._tell(refused, values)
        return batches + self._ends(now_ms)

    def _learn(self, taken: list[Any], now_ms: int) -> None:
        """Take in a new sequence of series."""
        refused = _Refused()
        proper: list[tuple[int, Labels, Metric]] = []
        keys: list[Any] = []
        for i, sample in enumerate(taken):
            wrong = _wrong(sample)
            if wrong:
                refused.add("bad_name", wrong)
                keys.append(None)  # never the same as what comes next
                continue
            keys.append((sample.name, dict(sample.labels)))
            labels = Labels.of(sample.name, {**self._extra, **sample.labels})
            metric = Metric(sample.name, sample.kind, sample.unit, sample.help)
            proper.append((i, labels, metric))
        good, refs = self._admit(proper, refused, now_ms)
        self._replace(refs)
        self._keys, self._refused = keys, refused
        self._good = None if len(good) == len(taken) else good

    # --- columnar path --------------------------------------------------------------------------

    def vector(self, source: ColumnarSource, now_ms: int) -> list[Batch]:
        """Batches of one tick of a ColumnarSource. Raises ValueError for a wrong shape."""
        if self._declared < 0 or self._refused.counts["churn"]:
            self._declare(source, now_ms)
        values = source.collect_vector(now_ms)
        if values is None:
            self._declare(source, now_ms)
            values = source.collect_vector(now_ms)
        if values is None:
            raise ValueError("collect_vector returned None twice in one tick")
        values = _vector(values)
        if values.shape != (self._declared,):
            shape = "x".join(map(str, values.shape)) or "one bare"
            told = f"collect_vector gave {shape} values for {self._declared} declared series"
            self._declared = -1  # perhaps the set has changed without a word
            raise ValueError(told)
        if self._good is not None:
            values = values[self._good]
        self._tell(self._refused, values)
        batches = [Batch(self._refs, now_ms, _quiet(values))] if len(values) else []
        return batches + self._ends(now_ms)

    def _declare(self, source: ColumnarSource, now_ms: int) -> None:
        self._declared = -1  # asked again next time, should this fail
        refused = _Refused()
        declared = list(source.series())
        proper: list[tuple[int, Labels, Metric]] = []
        for i, one in enumerate(declared):
            labels, metric = one if isinstance(one, tuple) and len(one) == 2 else (None, None)
            if not isinstance(labels, Labels) or not isinstance(metric, Metric):
                raise ValueError(f"series() must give (Labels, Metric), not {one!r:.80}")
            given = labels.without_name()
            wrong = _wrong(Sample(labels.name, 0.0, given))
            if wrong:
                refused.add("bad_name", wrong)
            else:
                proper.append((i, Labels.of(labels.name, {**self._extra, **given}), metric))
        good, refs = self._admit(proper, refused, now_ms)
        self._replace(refs)
        self._declared, self._refused = len(declared), refused
        self._good = None if len(good) == len(declared) else good

    # --- both -------------------------------------------------------------------------------------

    def _admit(
        self, proper: list[tuple[int, Labels, Metric]], refused: _Refused, now_ms: int
    ) -> tuple[list[int], NDArray[np.int64]]:
        """Positions and refs of the series that may be stored."""
        self._refill(now_ms)
        taken: dict[Labels, tuple[int, Metric]] = {}
        new = 0
        for i, labels, metric in proper:
            if labels in taken:
                refused.add("duplicate", str(labels))
            elif len(taken) >= self._ceiling:
                refused.add("ceiling", str(labels))
            elif labels not in self._known and new >= int(self._allowance):
                refused.add("churn", str(labels))
            else:
                new += labels not in self._known
                taken[labels] = (i, metric)
        series = [(labels, metric) for labels, (_, metric) in taken.items()]
        refs = self._intern(series) if series else _EMPTY
        self._allowance -= new
        self._known = set(taken)
        return [i for i, _ in taken.values()], refs

    def _refill(self, now_ms: int) -> None:
        passed = now_ms - self._allowed_at
        self._allowed_at = now_ms
        if passed > 0:  # a clock that was set back gives nothing
            more = self._ceiling * passed / CHURN_MS
            self._allowance = min(float(self._ceiling), self._allowance + more)

    def _replace(self, refs: NDArray[np.int64]) -> None:
        gone = np.union1d(self._ended, self._refs)
        self._ended = np.setdiff1d(gone, refs)
        self._refs = refs

    def _ends(self, now_ms: int) -> list[Batch]:
        if not len(self._ended):
            return []
        return [Batch(self._ended, now_ms, np.full(len(self._ended), STALE_NAN))]

    def _tell(self, refused: _Refused, values: NDArray[np.float64]) -> None:
        for why, n in refused.counts.items():
            self._dropped[why].add(n)
        nans = int(np.isnan(values).sum())
        if nans:
            self._nans.add(nans)
        self.complaint = str(refused)


class _Refused:
    """What was not taken, by reason, with the first example of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, why: str, example: str) -> None:
        self.counts[why] += 1
        self._examples.setdefault(why, example[:200])

    def copy(self) -> _Refused:
        out = _Refused()
        out.counts, out._examples = self.counts.copy(), dict(self._examples)
        return out

    def __str__(self) -> str:
        return "; ".join(
            f"{n} dropped ({why.replace('_', ' ')}: {self._examples[why]})"
            for why, n in sorted(self.counts.items())
        )


def _same(sample: Any, key: Any) -> bool:
    """Whether a sample is of the series ``key``, a name and labels."""
    return (
        isinstance(sample, Sample) and key is not None
        and sample.name == key[0] and sample.labels == key[1]
    )  # fmt: skip


def _wrong(sample: Any) -> str:
    """What is wrong with a sample's name and labels; "" if nothing."""
    if not isinstance(sample, Sample):
        return f"{type(sample).__name__} is no Sample"
    metric: Any = sample.name
    labels: Any = sample.labels
    if not isinstance(metric, str) or not _METRIC_NAME.fullmatch(metric):
        return f"metric name {metric!r:.60}"
    if not isinstance(labels, Mapping):
        return f"{metric}: labels are {type(labels).__name__}, not a mapping"
    for name, value in labels.items():
        if not isinstance(name, str) or not _LABEL_NAME.fullmatch(name) or name == NAME:
            return f"{metric}: label name {name!r:.60}"
        if not isinstance(value, str):
            return f"{metric}: label {name} is {type(value).__name__}, not text"
        if len(value) > MAX_LABEL_CHARS:
            return f"{metric}: label {name} has {len(value)} characters"
        if not value.isascii() and not _encodable(value):
            return f"{metric}: label {name} cannot be written as UTF-8"
    return ""


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def numbers(values: list[Any]) -> tuple[NDArray[np.float64], list[int]]:
    """float64[n], and the positions of what is no number (their values are 0)."""
    if set(map(type, values)) <= _NUMBERS:
        try:
            return _quiet(np.array(values, np.float64)), []
        except OverflowError:
            pass  # an integer that no float can hold: told below, one by one
    out, bad = np.zeros(len(values)), []
    for i, value in enumerate(values):
        try:
            if isinstance(value, str | bytes):
                raise TypeError("text")
            out[i] = float(value)
        except Exception:  # noqa: BLE001 — __float__ of a stranger's class; the caller counts it
            bad.append(i)
    return _quiet(out), bad


def _vector(values: Any) -> NDArray[np.float64]:
    """A source's vector as float64. Raises ValueError for what holds no numbers."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise ValueError(f"collect_vector must give numbers, not {found.dtype} values")
    return found.astype(np.float64, copy=False)


def _quiet(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A source's NaN must not look like the marker of a series' end."""
    stale = values.view(np.int64) == STALE_NAN_BITS
    if stale.any():
        values = values.copy()
        values[stale] = math.nan
    return values
