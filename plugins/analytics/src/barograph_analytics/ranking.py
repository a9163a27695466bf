"""What else moved: all series of a store ranked by how unusual they were in a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from barograph.answer import QueryInvalid
from barograph.findings import Evidence
from barograph.model import Labels
from barograph_analytics import wording
from barograph_analytics.reading import (
    PIECE_SAMPLES,
    grid,
    rate_window,
    sampled_every,
    selector_text,
    series_text,
    step_for,
    window_text,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Progress
    from barograph.inquiry import Inquiry
    from barograph_analytics.methods.moved import Moved

EVERYTHING = '{__name__=~".+",__name__!~"barograph_.*"}'
"""All series but the monitor's own."""

POINTS = 300
BEFORE = 6
"""So many times as long as the window is looked at before it, within ``LEAST_BEFORE_S`` and
``MOST_BEFORE_S``."""

LEAST_BEFORE_S, MOST_BEFORE_S = 3600.0, 6 * 3600.0

HISTORY_S = 86_400.0
LEAST_HISTORY_S = 7200.0
HISTORY_POINTS = 1440
HISTORY_SAMPLES = 40_000_000
"""The day before is read, or less if it has more samples than this; but never less than
``LEAST_HISTORY_S``."""

ASKED_NAMES = 5
"""Metrics that are asked for their time between samples."""

CLOCKS = (
    "_uptime_seconds", "_start_time_seconds", "_boot_time_seconds", "_timestamp_seconds",
)  # fmt: skip
"""Values of such metrics only tell the time."""

LEAST_WINDOW_S = 10.0
MOST_WINDOW_S = 7 * 86_400.0


@attrs.frozen
class Mover:
    """A series that moved. ``text``: a sentence with numbers."""

    labels: Labels
    score: float
    direction: str
    before: float
    during: float
    strength: float
    onset_ms: int
    unit: str
    text: str
    evidence: Evidence

    def as_json(self) -> dict[str, Any]:
        """As the HTTP API and ``--json`` write it."""
        return {
            "labels": self.labels.as_dict(), "score": self.score, "direction": self.direction,
            "before": _plain(self.before), "during": _plain(self.during),
            "strength": _plain(self.strength), "onset_ms": self.onset_ms, "unit": self.unit,
            "text": self.text, "evidence": attrs.asdict(self.evidence),
        }  # fmt: skip


@attrs.frozen
class Ranking:
    """Movers, the most likely cause first, of ``series`` that were looked at."""

    start_ms: int
    end_ms: int
    movers: list[Mover]
    series: int


def check_span(start_ms: int, end_ms: int) -> None:
    """Raises QueryInvalid if no ranking can be made of this time."""
    span_s = (end_ms - start_ms) / 1000
    if span_s < 0:
        raise QueryInvalid("the end must come after the start")
    if not LEAST_WINDOW_S <= span_s <= MOST_WINDOW_S:
        raise QueryInvalid(
            f"the window must last from {LEAST_WINDOW_S:g} s to "
            f"{wording.lasting(MOST_WINDOW_S)}, not {span_s:g} s"
        )


def rank(
    data: Inquiry, start_ms: int, end_ms: int, *, match: str = EVERYTHING, limit: int = 20,
    progress: Progress | None = None,
) -> Ranking:  # fmt: skip
    """Rank the series that fit ``match`` by how they moved in [start, end]. Raises QueryError."""
    check_span(start_ms, end_ms)
    span_s = (end_ms - start_ms) / 1000
    from barograph_analytics.methods.moved import moved  # scipy: only when it looks

    before_ms = round(1000 * min(max(BEFORE * span_s, LEAST_BEFORE_S), MOST_BEFORE_S))
    before_ms = max(before_ms, end_ms - start_ms)
    step = min(step_for(before_ms + end_ms - start_ms, POINTS), step_for(end_ms - start_ms, 10))
    t_ms = grid(start_ms - before_ms, end_ms, step)
    found_now = data.series(match, start_ms - before_ms, end_ms)
    series = [labels for labels in found_now if not labels.name.endswith(CLOCKS)]
    if not series:
        return Ranking(start_ms, end_ms, [], 0)
    row_of = {labels: i for i, labels in enumerate(series)}
    every_s = _sampled_every(data, series, end_ms)
    history_s = min(HISTORY_S, max(HISTORY_SAMPLES * every_s / len(series), LEAST_HISTORY_S))
    past_step = max(step_for(round(history_s * 1000), HISTORY_POINTS), step)
    past_ms = grid(int(t_ms[0]) - round(history_s * 1000), int(t_ms[0]) - 1, past_step)
    report = _steps(progress, len(t_ms) + len(past_ms))
    table = _table(data, match, row_of, t_ms, step, every_s, report)
    history = _table(data, match, row_of, past_ms, past_step, every_s, report)
    counters = np.array([wording.is_counter(labels.name) for labels in series])
    found = moved(
        t_ms, table, start_ms, end_ms, history_t_ms=past_ms, history=history, counters=counters,
        limit=limit,
    )  # fmt: skip
    first_ms = start_ms - before_ms // 3
    return Ranking(
        start_ms, end_ms,
        [_mover(data, one, series[one.index], first_ms, end_ms) for one in found], len(series),
    )  # fmt: skip


def _steps(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def report(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total)

    return report


def _table(
    data: Inquiry, match: str, row_of: dict[Labels, int], t_ms: NDArray[np.int64], step_ms: int,
    every_s: float, report: Callable[[int], None],
) -> NDArray[np.float64]:  # fmt: skip
    per_step = len(row_of) * max(step_ms / 1000 / every_s, 1.0)
    steps = max(int(PIECE_SAMPLES / per_step), 1)
    table = np.full((len(row_of), len(t_ms)), np.nan)
    for first in range(0, len(t_ms), steps):
        part = t_ms[first : first + steps]
        for labels, column in data.query_range(match, int(part[0]), int(part[-1]), step_ms):
            row = row_of.get(labels)
            if row is not None:
                table[row, (column.t_ms - t_ms[0]) // step_ms] = column.values
        report(len(part))
    return table


def _sampled_every(data: Inquiry, series: Sequence[Labels], t_ms: int) -> float:
    """Seconds between samples of those that come most often, of some metrics."""
    names = sorted({labels.name for labels in series})
    asked = names[:: -(-len(names) // ASKED_NAMES)]
    return min(sampled_every(data, selector_text(name, []), t_ms) for name in asked)


def _mover(data: Inquiry, one: Moved, labels: Labels, first_ms: int, end_ms: int) -> Mover:
    counter = wording.is_counter(labels.name)
    unit = wording.unit_of(labels.name) + ("/s" if counter else "")
    expr = series_text(labels)
    if counter:
        width = window_text(max(rate_window(sampled_every(data, expr, end_ms)), 60))
        expr = f"rate({expr}[{width}])"
    what, at = wording.spoken(labels), wording.moment(one.onset_ms, seconds=True)
    before, during = wording.amount(one.before, unit), wording.amount(one.during, unit)
    if one.direction == "spread":
        told = f"{what} swings far more widely since {at}, about {during}"
    else:
        told = f"{what} went {one.direction} from {before} to {during} at {at}"
    text = f"{told}: {one.strength:,.1f} times its usual spread, {one.share:.0%} of the time."
    return Mover(
        labels, round(one.score, 4), one.direction, one.before, one.during, one.strength,
        one.onset_ms, unit, text, Evidence(expr, first_ms, end_ms, told),
    )  # fmt: skip


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
