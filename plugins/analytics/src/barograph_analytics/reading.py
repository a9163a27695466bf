"""From what is to be looked at to lines of numbers on an even grid, read in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.answer import Vector
from barograph.model import NAME, Labels, Matcher, MatchOp, escape_label_value
from barograph.query import parse_selector
from barograph_analytics.wording import is_counter, unit_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.inquiry import Inquiry

PIECE_SAMPLES = 4_000_000
"""Samples that one query reads, about; more are read by several."""

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
"""Steps that grids may have."""

UNKNOWN_S = 15.0
"""Time between samples where it cannot be told."""

LONGEST_S = 600.0
"""Time between samples is looked for over so long."""


@attrs.frozen(eq=False)
class Line:
    """One series, or what an expression made of series: float64[n] on the grid, NaN for gaps.

    ``labels``: of the series, with ``__name__`` where it is one. ``expr``: a query that shows the
    line. ``unit``: of the values, as in ``wording.amount``.
    """

    labels: Labels
    expr: str
    unit: str
    values: NDArray[np.float64]

    @property
    def key(self) -> str:
        """What names it for good, whatever the step."""
        return str(self.labels) if self.labels.name else f"{self.expr} {self.labels}"


@attrs.frozen(eq=False)
class Lines:
    """Lines over one grid ``t_ms`` int64[n]; ``left_out``: how many more there are."""

    t_ms: NDArray[np.int64]
    step_ms: int
    lines: list[Line]
    left_out: int = 0

    def table(self) -> NDArray[np.float64]:
        """float64[lines, n]."""
        if not self.lines:
            return np.empty((0, len(self.t_ms)))
        return np.stack([line.values for line in self.lines])


def step_for(span_ms: int, points: int) -> int:
    """The least round step (ms) that gives at most ``points`` points."""
    wanted = span_ms / 1000 / max(points, 1)
    return 1000 * next((step for step in STEPS_S if step >= wanted), STEPS_S[-1])


def grid(start_ms: int, end_ms: int, step_ms: int) -> NDArray[np.int64]:
    """Times on whole multiples of the step: the same whenever it is asked."""
    first, last = -(-start_ms // step_ms), end_ms // step_ms
    return np.arange(first, max(last, first) + 1, dtype=np.int64) * step_ms


def read(
    data: Inquiry, watch: Sequence[str], start_ms: int, end_ms: int, *,
    points: int = 1000, max_series: int = 200, step_ms: int | None = None,
) -> Lines:  # fmt: skip
    """The lines of all of ``watch``, at most ``max_series``, each once.

    Of a plain selector, counters are rates and gauges means over a step. What lies before the
    first sample of a line or after its last is NaN. Raises QueryError.
    """
    step = step_ms or step_for(end_ms - start_ms, points)
    t_ms = grid(start_ms, end_ms, step)
    found: dict[str, Line] = {}
    left_out = 0
    for text in watch:
        for line in _lines(data, text, t_ms, step, start_ms, max_series - len(found) + 1):
            if line.key in found:
                continue
            if len(found) < max_series:
                found[line.key] = line
            else:
                left_out += 1
        if data.cancelled():
            break
    return Lines(t_ms, step, list(found.values()), left_out)


def _lines(
    data: Inquiry, text: str, t_ms: NDArray[np.int64], step_ms: int, start_ms: int, room: int
) -> Iterator[Line]:
    matchers = plain_selector(text)
    if matchers is None:
        values = _ranged(data, text, t_ms, step_ms, 1)
        for labels, row in sorted(values.items(), key=lambda one: str(one[0]))[: max(room, 1)]:
            yield Line(labels, text, unit_of(labels.name), row)
        return
    names: dict[str, list[Labels]] = {}
    for labels in data.series(text, start_ms, int(t_ms[-1])):
        names.setdefault(labels.name, []).append(labels)
    others = [one for one in matchers if one.label != NAME]
    for name in sorted(names):
        if room <= 0:
            return
        lines = named_lines(data, name, others, names[name], t_ms, step_ms)
        yield from lines
        room -= len(lines)


def named_lines(
    data: Inquiry, name: str, others: Sequence[Matcher], series: Sequence[Labels],
    t_ms: NDArray[np.int64], step_ms: int,
) -> list[Line]:  # fmt: skip
    """The lines of one metric's ``series``, of which all fit the matchers ``others``."""
    selector = selector_text(name, others)
    every_s = sampled_every(data, selector, int(t_ms[-1]))
    counter = is_counter(name)
    width = window_text(max(step_ms / 1000, rate_window(every_s) if counter else every_s))
    function = "rate" if counter else "avg_over_time"
    expr = f"{function}({selector}[{width}])"
    per_step = len(series) * max(step_ms / 1000 / every_s, 1.0)
    rows = _ranged(data, expr, t_ms, step_ms, per_step)
    unit = unit_of(name) + ("/s" if counter else "")
    by_rest = {_rest(one): one for one in series}
    out = []
    for labels, row in rows.items():
        one = by_rest.get(_rest(labels))
        if one is not None:
            shown = f"rate({series_text(one)}[{width}])" if counter else series_text(one)
            out.append(Line(one, shown, unit, row))
    return sorted(out, key=lambda line: line.key)


def _rest(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in labels.pairs if pair[0] != NAME)


def _ranged(
    data: Inquiry, expr: str, t_ms: NDArray[np.int64], step_ms: int, per_step: float
) -> dict[Labels, NDArray[np.float64]]:
    """The values of an expression, asked in pieces that read about ``PIECE_SAMPLES`` each."""
    steps = max(int(PIECE_SAMPLES / max(per_step, 1.0)), 1)
    out: dict[Labels, NDArray[np.float64]] = {}
    for first in range(0, len(t_ms), steps):
        part = t_ms[first : first + steps]
        for labels, column in data.query_range(expr, int(part[0]), int(part[-1]), step_ms):
            row = out.get(labels)
            if row is None:
                row = out[labels] = np.full(len(t_ms), np.nan)
            finite = np.where(np.isfinite(column.values), column.values, np.nan)
            row[(column.t_ms - t_ms[0]) // step_ms] = finite
        if data.cancelled():
            break
    return out


def sampled_every(data: Inquiry, selector: str, t_ms: int) -> float:
    """Seconds between samples of what fits a selector, before ``t_ms``; a guess if none is."""
    asked = f"max(count_over_time({selector}[{LONGEST_S:.0f}s]))"
    answer = data.query(asked, t_ms)
    count = float(answer.values[0]) if isinstance(answer, Vector) and len(answer) else 0.0
    # One sample tells nothing but that they are far apart.
    return LONGEST_S / count if count else UNKNOWN_S


def rate_window(every_s: float) -> float:
    """Seconds over which rates are taken: four samples or a little less, a round number."""
    return next((step for step in STEPS_S if step >= 3.6 * every_s), STEPS_S[-1])


def plain_selector(text: str) -> list[Matcher] | None:
    """Matchers, if ``text`` is a plain series selector; None if it is another expression."""
    try:
        return parse_selector(text)
    except ValueError:
        return None


def selector_text(name: str, matchers: Sequence[Matcher]) -> str:
    """A PromQL selector."""
    inner = [f'{one.label}{one.op.value}"{escape_label_value(one.value)}"' for one in matchers]
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name):
        return f"{name}{{{','.join(inner)}}}" if inner else name
    named = Matcher(NAME, MatchOp.EQUAL, name)
    quoted = f'{named.label}="{escape_label_value(name)}"'
    return f"{{{','.join([quoted, *inner])}}}"


def series_text(labels: Labels) -> str:
    """A PromQL selector of one series (and of those with more labels)."""
    return selector_text(labels.name, [Matcher.equal(*pair) for pair in _rest(labels)])


def window_text(seconds: float) -> str:
    """A PromQL duration, whole seconds."""
    whole = max(round(seconds), 1)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole % size == 0:
            return f"{whole // size}{unit}"
    return f"{whole}s"
