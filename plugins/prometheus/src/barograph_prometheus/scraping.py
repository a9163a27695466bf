"""One target's scrapes: from its answer to batches, with the ends of series told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.model import STALE_NAN, Batch, Labels, Metric
from barograph_prometheus.families import Families
from barograph_prometheus.fetching import ScrapeFailed
from barograph_prometheus.labelling import BadLabels, LabelLimits, checked, metric_of
from barograph_prometheus.relabel import relabeller
from barograph_prometheus.targets import Target
from barograph_prometheus.textformat import (
    BadExposition,
    Exposition,
    parse_key,
    read_exposition,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Intern = Callable[[Sequence[tuple[Labels, Metric]]], "NDArray[np.int64]"]

OLDEST_MS, AHEAD_MS = 86_400_000, 600_000
"""How far a target's own times may be from now."""

DROPPED = 0
"""The ref of a series that a rule drops."""

_OWN = (
    ("up", "", "Whether the last scrape of the target went well"),
    ("scrape_duration_seconds", "seconds", "Time of the last scrape"),
    ("scrape_samples_scraped", "", "Samples in the target's answer"),
    ("scrape_samples_post_metric_relabeling", "", "Samples that are left after relabelling"),
    ("scrape_series_added", "", "Series in the last scrape that were not in the one before"),
)


@attrs.define
class Outcome:
    """What one scrape came to; ``error`` is "" if it went well."""

    batches: list[Batch]
    error: str = ""
    scraped: int = 0
    kept: int = 0
    added: int = 0
    exemplars: int = 0
    far: int = 0
    """Samples with times of their own that are too old, or in the future; they are not stored."""


class Scraping:
    """The series of one target, and what they were in the last scrape."""

    def __init__(self, target: Target, intern: Intern) -> None:
        self._target, self._intern = target, intern
        job = target.job
        self._limits = LabelLimits(
            job.label_limit, job.label_name_length_limit, job.label_value_length_limit
        )
        self._relabel = relabeller(job.metric_relabel_configs)
        self._known: dict[str, int] = {}  # by key
        self._families = Families()
        self._refs = _EMPTY
        self._own = self._intern_own()

    def _intern_own(self) -> NDArray[np.int64]:
        labels = dict(self._target.labels)
        return self._intern(
            [
                (Labels.of(name, labels), metric_of(name, "gauge", text, unit))
                for name, unit, text in _OWN
            ]
        )

    def answered(self, body: bytes, content_type: str, now_ms: int) -> Outcome:
        """What a target's answer comes to. Only good answers are stored, and whole."""
        try:
            found = read_exposition(body, content_type)
            outcome = self._taken(found, now_ms)
        except (BadExposition, BadLabels, ScrapeFailed) as error:
            return self.failed(str(error), now_ms)
        return outcome

    def failed(self, why: str, now_ms: int) -> Outcome:
        """A scrape that came to nothing: all series of the last one have ended."""
        return Outcome(self._ends(_EMPTY, now_ms), why)

    def report(self, outcome: Outcome, seconds: float, now_ms: int) -> list[Batch]:
        """All batches of a scrape, with the series about the scrape itself."""
        values = np.array(
            [not outcome.error, seconds, outcome.scraped, outcome.kept, outcome.added], np.float64
        )
        return [*outcome.batches, Batch(self._own, now_ms, values)]

    def end(self, now_ms: int) -> list[Batch]:
        """Markers for all series: the target is gone."""
        own = Batch(self._own, now_ms, np.full(len(self._own), STALE_NAN))
        return [*self._ends(_EMPTY, now_ms), own]

    # --- samples --------------------------------------------------------------------------------

    def _taken(self, found: Exposition, now_ms: int) -> Outcome:
        keys, known = found.keys, self._known
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            for family in found.families.values():
                self._families.add(family)
            self._learn(new)
        refs = np.array([known[key] for key in keys], np.int64)
        values = np.array(found.values, np.float64)
        own_times = self._target.job.honor_timestamps and any(t is not None for t in found.times)
        kept = refs != DROPPED
        count = int(kept.sum())
        limit = self._target.job.sample_limit
        if limit and count > limit:
            self._forget(keys)
            raise ScrapeFailed(f"{count} samples; at most {limit} (sample_limit)")
        batches: list[Batch] = []
        far = 0
        timed = np.array([t is not None for t in found.times], bool) & kept
        if own_times and timed.any():
            t_ms = np.array([t or 0 for t in found.times], np.int64)
            kept &= ~timed
            near = timed & (t_ms >= now_ms - OLDEST_MS) & (t_ms <= now_ms + AHEAD_MS)
            far = int(timed.sum() - near.sum())
            if near.any():
                batches.append(Batch(refs[near], t_ms[near], values[near]))
        plain, plain_values = refs[kept], values[kept]
        if len(np.unique(plain)) != len(plain):
            _, first = np.unique(plain, return_index=True)  # the first of the same series counts
            first.sort()
            plain, plain_values = plain[first], plain_values[first]
        before = self._refs
        if np.array_equal(plain, before):
            plain = before  # the store knows the array by identity
        added = len(np.setdiff1d(plain, before)) if plain is not before else 0
        ends = self._ends(plain, now_ms)
        if len(plain):
            batches.append(Batch(plain, now_ms, plain_values))
        if len(known) > 2 * len(keys) + 1000:
            self._forget(keys)
        return Outcome(batches + ends, "", len(keys), count, added, found.exemplars, far)

    def _ends(self, now: NDArray[np.int64], now_ms: int) -> list[Batch]:
        """Markers for the series of the last scrape that are not in ``now``, which is the last
        from now on."""
        before, self._refs = self._refs, now
        if before is now or not len(before):
            return []
        gone = np.setdiff1d(before, now)
        return [Batch(gone, now_ms, np.full(len(gone), STALE_NAN))] if len(gone) else []

    def _forget(self, keys: list[str]) -> None:
        """Remember what is in ``keys`` only."""
        used = set(keys)
        self._known = {key: ref for key, ref in self._known.items() if key in used}

    def _learn(self, keys: list[str]) -> None:
        wanted: list[tuple[str, Labels]] = []
        dropped: list[str] = []
        for key in keys:
            labels = self._relabel(self._with_target(*parse_key(key)))
            if labels is None:
                dropped.append(key)
            else:
                wanted.append((key, checked(labels.items(), self._limits)))
        refs = self._intern([(labels, self._families.metric(labels.name)) for _, labels in wanted])
        self._known.update(zip((key for key, _ in wanted), refs.tolist(), strict=True))
        self._known.update(dict.fromkeys(dropped, DROPPED))

    def _with_target(self, name: str, own: dict[str, str]) -> dict[str, str]:
        """A sample's labels and its target's; where both have one, ``honor_labels`` says which."""
        labels = {"__name__": name, **own}
        if self._target.job.honor_labels:
            return {**dict(self._target.labels), **labels}
        for key, value in self._target.labels:
            if labels.get(key, "") != "":
                moved = f"exported_{key}"
                while moved in labels or moved in dict(self._target.labels):
                    moved = f"exported_{moved}"
                labels[moved] = labels[key]
            labels[key] = value
        return labels


_EMPTY = np.empty(0, np.int64)
