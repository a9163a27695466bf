"""Turning what a source gives into batches: checked, interned, with ends of series marked."""

from __future__ import annotations

import itertools
import math
import re
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
MAX_LABEL_BYTES = 1024
OVER_CEILING = 1000
"""Samples beyond the ceiling that are looked at (to count them) before a flood is cut off."""


class Intake:
    """One source's series and what they were in the last tick."""

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
            for why in ("ceiling", "not_a_number", "bad_name", "duplicate")
        }  # fmt: skip
        self._keys: list[tuple[str, Mapping[str, str]]] = []
        self._refs = np.empty(0, np.int64)
        self._good: list[int] | None = None  # positions kept of the last tick's samples
        self._declared: NDArray[np.int64] | None = None

    @property
    def series(self) -> int:
        return len(self._refs)

    # --- simple path --------------------------------------------------------------------------

    def samples(self, found: Iterable[Sample], now_ms: int) -> list[Batch]:
        """Batches of one tick of a MetricSource; a marker for each series that has ended."""
        taken = list(itertools.islice(found, self._ceiling + OVER_CEILING))
        same = len(taken) == len(self._keys) and all(
            s.name == key[0] and s.labels == key[1]
            for s, key in zip(taken, self._keys, strict=True)
        )
        ended = np.empty(0, np.int64)
        if not same:
            ended = self._learn(taken)
        kept = taken if self._good is None else [taken[i] for i in self._good]
        values, bad = numbers([s.value for s in kept])
        batches: list[Batch] = []
        if len(bad):
            self._dropped["not_a_number"].add(len(bad))
            keep = np.ones(len(kept), bool)
            keep[bad] = False
            batches.append(Batch(self._refs[keep], now_ms, values[keep]))
        elif len(kept):
            batches.append(Batch(self._refs, now_ms, values))
        if len(ended):
            batches.append(Batch(ended, now_ms, np.full(len(ended), STALE_NAN)))
        return batches

    def _learn(self, taken: list[Sample]) -> NDArray[np.int64]:
        """Take in a new sequence of series; refs of those that are gone."""
        good: list[int] = []
        series: list[tuple[Labels, Metric]] = []
        seen: set[Labels] = set()
        for i, sample in enumerate(taken):
            if not _named(sample):
                self._dropped["bad_name"].add()
                continue
            labels = Labels.of(sample.name, {**self._extra, **sample.labels})
            if labels in seen:
                self._dropped["duplicate"].add()
            elif len(series) >= self._ceiling:
                self._dropped["ceiling"].add()
            else:
                seen.add(labels)
                good.append(i)
                metric = Metric(sample.name, sample.kind, sample.unit, sample.help)
                series.append((labels, metric))
        refs = self._intern(series) if series else np.empty(0, np.int64)
        ended = np.setdiff1d(self._refs, refs)
        self._keys = [
            (s.name, dict(s.labels) if isinstance(s.labels, Mapping) else {}) for s in taken
        ]
        self._refs = refs
        self._good = None if len(good) == len(taken) else good
        return ended

    # --- columnar path --------------------------------------------------------------------------

    def vector(self, source: ColumnarSource, now_ms: int) -> list[Batch]:
        """Batches of one tick of a ColumnarSource. Raises ValueError for a wrong shape."""
        ended = np.empty(0, np.int64)
        if self._declared is None:
            self._declare(source)
        values = source.collect_vector(now_ms)
        if values is None:
            before = self._refs
            self._declare(source)
            ended = np.setdiff1d(before, self._refs)
            values = source.collect_vector(now_ms)
        if values is None:
            raise ValueError("collect_vector returned None twice in one tick")
        values = np.asarray(values, np.float64)
        assert self._declared is not None
        if values.shape != self._declared.shape:
            raise ValueError(
                f"collect_vector gave {values.shape} values for {len(self._declared)} series"
            )
        if len(values) > self._ceiling:
            self._dropped["ceiling"].add(len(values) - self._ceiling)
            values = values[: self._ceiling]
        batches = [Batch(self._refs, now_ms, _quiet(values))] if len(values) else []
        if len(ended):
            batches.append(Batch(ended, now_ms, np.full(len(ended), STALE_NAN)))
        return batches

    def _declare(self, source: ColumnarSource) -> None:
        declared = list(source.series())
        self._declared = np.empty(len(declared))
        series = declared[: self._ceiling]
        if self._extra:
            series = [
                (Labels.of(l.name, {**self._extra, **l.without_name()}), m) for l, m in series
            ]
        self._refs = self._intern(series) if series else np.empty(0, np.int64)


def _named(sample: Any) -> bool:
    if not isinstance(sample, Sample) or not isinstance(sample.name, str):
        return False
    if not _METRIC_NAME.fullmatch(sample.name) or not isinstance(sample.labels, Mapping):
        return False
    return all(
        isinstance(k, str) and isinstance(v, str) and _LABEL_NAME.fullmatch(k) and k != NAME
        and len(v) <= MAX_LABEL_BYTES
        for k, v in sample.labels.items()
    )  # fmt: skip


def numbers(values: list[Any]) -> tuple[NDArray[np.float64], list[int]]:
    """float64[n], and the positions of what is no number (their values are 0)."""
    try:
        return _quiet(np.array(values, np.float64)), []
    except (TypeError, ValueError, OverflowError):
        out, bad = np.zeros(len(values)), []
        for i, value in enumerate(values):
            try:
                if isinstance(value, str | bytes):
                    raise TypeError("text")
                out[i] = float(value)
            except (TypeError, ValueError, OverflowError):
                bad.append(i)
        return _quiet(out), bad


def _quiet(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A source's NaN must not look like the marker of a series' end."""
    stale = values.view(np.int64) == STALE_NAN_BITS
    if stale.any():
        values = values.copy()
        values[stale] = math.nan
    return values
