"""What moves together: with the series that have a problem, or all with all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.findings import Evidence, Observation
from barograph.model import Labels
from barograph_analytics import wording
from barograph_analytics.reading import Line, Lines, read

if TYPE_CHECKING:
    from barograph.inquiry import Inquiry
    from barograph_analytics import Config
    from barograph_analytics.methods.correlation import Correlation

LEAST_POINTS = 60
LEAST_SHARE = 0.5
"""A line is compared if it has values in so much of the time."""

MAX_LINES = 300
"""Lines that are compared with each other."""

PROBLEMS = ("anomaly", "change_point", "trend")


@attrs.frozen
class Correlations:
    """Pairs of lines that move together, with lag (``methods.correlation``).

    Pairs that belong together by their names, such as used and free memory, are no news and left
    out.
    """

    config: Config

    name = "correlations"

    @property
    def interval_s(self) -> float:
        return float(self.config.correlation_interval)

    @property
    def window_s(self) -> float:
        return float(self.config.correlation_window)

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterator[Observation]:
        """A finding for each pair, the strongest evidence first."""
        wanted: set[str] | None = None
        if self.config.correlate == "problems":
            open_ones = data.findings(("open", "acknowledged"), PROBLEMS)
            wanted = {str(one.observation.labels) for one in open_ones}
            if not wanted:
                return
        from barograph_analytics.methods.correlation import correlations  # scipy

        config = self.config
        lines = read(data, config.watch, start_ms, end_ms, points=720,
                     max_series=min(config.max_series, MAX_LINES))  # fmt: skip
        table = lines.table()
        there = np.isfinite(table).mean(axis=1) >= LEAST_SHARE if len(table) else np.zeros(0, bool)
        rows = [i for i in np.flatnonzero(there).tolist() if np.nanstd(table[i]) > 0]
        if len(rows) < 2 or len(lines.t_ms) < LEAST_POINTS:
            return
        kept = [lines.lines[i] for i in rows]
        for one in correlations(lines.t_ms, table[rows], level=config.false_discovery):
            if data.cancelled():
                return
            first, second = kept[one.first], kept[one.second]
            if abs(one.coefficient) < config.least_correlation or _of_a_kind(first, second):
                continue
            if wanted is None or {str(first.labels), str(second.labels)} & wanted:
                yield _observed(one, first, second, lines)


def _of_a_kind(first: Line, second: Line) -> bool:
    """Whether two lines are parts of one thing: ``system_memory_...`` and ``system_memory_...``."""
    a, b = first.labels.name, second.labels.name
    if not a or not b:
        return False
    return a == b or a.split("_")[:2] == b.split("_")[:2]


def _observed(one: Correlation, first: Line, second: Line, lines: Lines) -> Observation:
    a, b = wording.spoken(first.labels), wording.spoken(second.labels)
    lag_s = one.lag_ms / 1000
    later = f", {wording.lasting(lag_s)} later" if lag_s else ""
    how = "with" if one.coefficient > 0 else "against"
    start_ms, end_ms = int(lines.t_ms[0]), int(lines.t_ms[-1])
    title = f"{b} moves {how} {a}{later} (r = {one.coefficient:.2f})"
    text = (
        f"{b} moves {how} {a}{later}: correlation {one.coefficient:.2f} over "
        f"{wording.lasting((end_ms - start_ms) / 1000)}, trends and seasons taken out, at "
        f"{one.effective:.0f} independent points. After correction for all pairs that were "
        f"compared, {wording.chance(one.q)}."
    )
    pair = sorted((first.key, second.key))
    shared = dict(
        set(first.labels.without_name().items()) & set(second.labels.without_name().items())
    )
    details = {"coefficient": one.coefficient, "lag_s": lag_s, "p": one.p, "q": one.q,
               "first": str(first.labels), "second": str(second.labels)}  # fmt: skip
    return Observation(
        "correlation", f"correlation {pair[0]} | {pair[1]}", wording.title(title), text, "info",
        wording.sure(min(abs(one.coefficient), 1 - one.q)), start_ms, end_ms,
        (Evidence(first.expr, start_ms, end_ms, "the first to move" if lag_s else "one of the two"),
         Evidence(second.expr, start_ms, end_ms, "what follows" if lag_s else "the other")),
        Labels(tuple(sorted(shared.items()))), details,
    )  # fmt: skip
