"""What is accepted and sent as JSON. Times are in ms since the epoch, UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from barograph.query import RangeQuery, parse_selector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.range import RangeResult

MAX_SELECTORS = 16
"""Selectors, or labels to group by, of one query."""

MAX_TEXT = 1000
MAX_TIME = 253_402_300_800_000
"""The year 10000."""

MAX_SPAN_MS = 30 * 366 * 86_400_000
MAX_QUERIES = 64
MAX_POINTS = 2000
MAX_VALUES = 1_000_000
"""Values in one answer, over all charts and lines."""

DIGITS = 7
"""Significant digits of a chart's values behind the point; whole numbers are never rounded."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME)]


class QueryIn(msgspec.Struct):
    """What one chart shows.

    ``match``: series selectors as in PromQL. ``fn``: value, rate or increase. ``agg``: none, sum,
    mean, min or max, over all labels but those in ``by``. ``legend``: text with {label} parts.
    ``top``: only the N lines with the greatest mean (0: all). ``quantile``: of the buckets of
    classic histograms. ``over``: selectors of a whole, of which each line is shown as its share.
    """

    match: Annotated[list[Text], msgspec.Meta(max_length=MAX_SELECTORS)]
    fn: Text = "value"
    agg: Text = "none"
    by: Annotated[list[Text], msgspec.Meta(max_length=MAX_SELECTORS)] = []
    scale: float = 1.0
    legend: Text = ""
    top: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0
    quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    over: Annotated[list[Text], msgspec.Meta(max_length=MAX_SELECTORS)] = []

    def query(self) -> RangeQuery:
        """Raises ValueError with what is wrong."""
        if self.fn not in ("value", "rate", "increase"):
            raise ValueError(f"fn must be value, rate or increase, not {self.fn!r}")
        if self.agg not in ("none", "sum", "mean", "min", "max"):
            raise ValueError(f"agg must be none, sum, mean, min or max, not {self.agg!r}")
        for text in (*self.match, *self.over):
            parse_selector(text)
        return RangeQuery(
            tuple(self.match), self.fn, self.agg, tuple(self.by), self.scale, self.legend, self.top,  # type: ignore[arg-type]
            self.quantile, tuple(self.over),
        )  # fmt: skip


class PanelIn(msgspec.Struct):
    """A chart or tile to be kept up to date."""

    id: Text
    query: QueryIn


class MessageIn(msgspec.Struct):
    """What a viewer may say: ``subscribe`` (replaces what it watched before) or ``ping``."""

    type: Text
    panels: list[PanelIn] = []


class RangeIn(msgspec.Struct):
    """Several charts over one time range, at about ``points`` points each (2 to 2000)."""

    start: Time
    end: Time
    queries: Annotated[list[QueryIn], msgspec.Meta(max_length=MAX_QUERIES)]
    points: int = 300


class LineOut(msgspec.Struct):
    """One line: a value for each time of its chart, null in a gap. ``min`` and ``max`` within each
    step where the values are means."""

    labels: dict[str, str]
    legend: str
    values: list[float | None]
    min: list[float | None] | None
    max: list[float | None] | None


class ChartOut(msgspec.Struct):
    """``t``: start of each step. ``level_ms``: the rollup level read; 0: raw samples."""

    step_ms: int
    level_ms: int
    t: list[int]
    truncated: bool
    series: list[LineOut]


class RangeOut(msgspec.Struct):
    """A chart for each query, in order."""

    results: list[ChartOut]


class SeriesOut(msgspec.Struct):
    """A series of the store."""

    ref: int
    labels: dict[str, str]
    kind: str
    unit: str
    help: str


class FoundOut(msgspec.Struct):
    """``truncated``: there are more than ``limit``."""

    series: list[SeriesOut]
    truncated: bool


class SamplesOut(msgspec.Struct):
    """Raw samples in time order; ``total`` counts all in the range."""

    t: list[int]
    v: list[float | None]
    total: int


class MetricOut(msgspec.Struct):
    """What is known of a metric."""

    name: str
    kind: str
    unit: str
    help: str


class CheckOut(msgspec.Struct):
    """One thing that must hold. ``detail`` is for those who need no token only."""

    name: str
    ok: bool
    detail: str = ""


class HealthOut(msgspec.Struct):
    """``status``: ok, or not ready."""

    status: str
    checks: list[CheckOut]


class DashboardOut(msgspec.Struct):
    """What the page shows. ``csrf``: the header X-CSRF-Token of requests that change something.
    ``now_ms``: the server's clock."""

    title: str
    version: str
    interval_ms: int
    now_ms: int
    csrf: str
    sections: list[dict[str, Any]]
    problems: list[dict[str, Any]]


def chart_json(result: RangeResult) -> tuple[bytes, int]:
    """A RangeResult as the JSON of ChartOut (NaN and infinities as null), and its values' count."""
    count = 0

    def numbers(values: NDArray[np.float64] | None) -> list[float | None] | None:
        nonlocal count
        if values is None:
            return None
        count += len(values)
        listed: list[float | None] = rounded(values).tolist()
        for i in np.flatnonzero(~np.isfinite(values)).tolist():
            listed[i] = None
        return listed

    lines = [
        LineOut(s.labels, s.legend, numbers(s.values) or [], numbers(s.minimum), numbers(s.maximum))
        for s in result.series
    ]
    chart = ChartOut(result.step_ms, result.level_ms, result.t_ms.tolist(), result.truncated, lines)
    return msgspec.json.encode(chart), count


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[n] with ``DIGITS`` significant digits, but whole parts exact: a chart cannot show
    more, and the JSON is half as long."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        places = DIGITS - 1 - np.floor(np.log10(np.abs(values)))
        places = np.clip(np.nan_to_num(places, posinf=0, neginf=0), 0, 300)
        scale = 10.0**places
        out = np.rint(values * scale) / scale
    return np.where((places > 0) & np.isfinite(out), out, values)
