"""Range data for charts, from raw samples or from the level that fits, and live values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from barograph.buckets import BOUND, bound_of, quantile_of
from barograph.model import STALE_NAN_BITS, Column, Labels, Series, Windows
from barograph.query import RangeQuery, parse_selector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.aggregator import DataAggregator
    from barograph.contracts import Store
    from barograph.live import Latest

STEPS_MS = tuple(
    s * 1000
    for s in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
              86400, 604800)
)  # fmt: skip
MAX_SERIES = 2000
"""Series that one query may read."""

MAX_BUCKETS = 20_000
"""Series of buckets that a query for a quantile may read."""

AT_ONCE = 256
"""Series whose samples are in memory at once."""

MAX_STEPS = 11_000
"""Points of one line; a longer range needs fewer points."""

LEAD_MS = 120_000
"""Samples are read from so long before a range, for rates and for values that still hold."""

MAX_HELD = 600
"""Steps over which a value holds at most."""

REFRESH_MS = 60_000
"""A live query looks for its series again after so long, for those that have come back."""

_NONE = np.empty(0, np.int64)

LIVE_MS = 15_000
"""A live value that is older (and older than five intervals) is not shown."""


@attrs.frozen(eq=False)
class RangeSeries:
    """One line of a chart; NaN where there is a gap."""

    labels: dict[str, str]
    legend: str
    values: NDArray[np.float64]
    minimum: NDArray[np.float64] | None = None
    maximum: NDArray[np.float64] | None = None


@attrs.frozen(eq=False)
class RangeResult:
    """``t_ms`` int64[n]: start of each step. ``level_ms`` 0: from raw samples."""

    step_ms: int
    level_ms: int
    t_ms: NDArray[np.int64]
    series: list[RangeSeries]
    truncated: bool = False


def step_for(span_ms: int, points: int) -> int:
    """The least round step that gives at most ``points`` points."""
    wanted = span_ms / max(points, 1)
    return next((step for step in STEPS_MS if step >= wanted), STEPS_MS[-1])


def most_series(query: RangeQuery) -> int:
    """How many series a query may read."""
    return MAX_SERIES if query.quantile is None else MAX_BUCKETS


def find(store: Store, query: RangeQuery, t_min: int | None, t_max: int | None) -> list[Series]:
    """The series of a query, each once."""
    found: dict[int, Series] = {}
    for text in query.match:
        for series in store.select(parse_selector(text), t_min, t_max, most_series(query) + 1):
            found.setdefault(series.ref, series)
    return list(found.values())


def evaluate_range(
    store: Store,
    aggregator: DataAggregator,
    query: RangeQuery,
    start_ms: int,
    end_ms: int,
    points: int,
) -> RangeResult:
    """Evaluate ``query`` over [start, end] at about ``points`` points. Raises ValueError."""
    if query.over:
        whole = evaluate_range(store, aggregator, whole_of(query), start_ms, end_ms, points)
        part = attrs.evolve(query, over=(), top=0)
        shown = evaluate_range(store, aggregator, part, start_ms, end_ms, points)
        return _shares(query, shown, whole)
    if end_ms <= start_ms:
        raise ValueError("the range's end must come after its start")
    step = step_for(end_ms - start_ms, points)
    first = start_ms // step * step
    n = (end_ms - first) // step + 1
    if n > MAX_STEPS:
        raise ValueError(f"the range has {n} points; at most {MAX_STEPS}: ask for a shorter one")
    grid = first + step * np.arange(n, dtype=np.int64)
    found = find(store, query, start_ms, end_ms)
    truncated = len(found) > most_series(query)
    found = found[: most_series(query)]
    fits = [lv for lv in aggregator.levels if lv <= step and step % lv == 0 and lv >= 60_000]
    level = max(fits, default=0)
    refs = [series.ref for series in found]
    end = first + step * n - 1
    lines: list[tuple[Any, Any, Any]] = []
    lead = -(-LEAD_MS // step)  # steps, computed like the others and then cut off
    for i in range(0, len(refs), AT_ONCE):
        some = refs[i : i + AT_ONCE]
        if level:
            wins = aggregator.windows(some, level, first - level, end)
            lines += [_from_windows(w, query, first, step, n) for w in wins]
        else:
            columns = store.read(some, first - lead * step, end)
            lines += [_from_column(c, query, first, step, n, lead) for c in columns]
    return RangeResult(step, level, grid, _combine(query, found, lines), truncated)


def _from_column(
    column: Column, query: RangeQuery, first: int, step: int, n: int, lead: int
) -> Any:
    first, n = first - lead * step, n + lead
    t, v = column.t_ms, column.values
    real = ~np.isnan(v)
    ends = _end_bins(t[real], t[v.view(np.int64) == STALE_NAN_BITS], first, step)
    make = _means if query.fn == "value" else _rates
    lines = make(t, v, real, query, first, step, n)
    if query.fn == "increase":
        return tuple(None if line is None else line[lead:] for line in lines)
    gap = _bridge(t[real], step)
    return tuple(None if line is None else _held(line, gap, ends)[lead:] for line in lines)


def _means(
    t: NDArray[np.int64], v: NDArray[np.float64], real: NDArray[np.bool_],
    query: RangeQuery, first: int, step: int, n: int,
) -> Any:  # fmt: skip
    """Mean, least and greatest value of each step."""
    t, v = t[real], v[real]
    mean, low, high = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    if not len(t):
        return mean, low, high
    bins = (t - first) // step
    starts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
    at = bins[starts]
    with np.errstate(invalid="ignore", over="ignore"):
        mean[at] = np.add.reduceat(v, starts) / np.diff(np.append(starts, len(bins)))
    low[at], high[at] = np.minimum.reduceat(v, starts), np.maximum.reduceat(v, starts)
    return mean, low, high


def _end_bins(
    t: NDArray[np.int64], ended: NDArray[np.int64], first: int, step: int
) -> NDArray[np.int64]:
    """Steps in which a series ended and did not come back at once."""
    after = np.searchsorted(t, ended)
    back = np.append((t - first) // step, np.iinfo(np.int64).max)[after]
    bins = (ended - first) // step
    return bins[back > bins]


def _bridge(t: NDArray[np.int64], step: int) -> int:
    """Steps over which a value holds when samples come more seldom than steps."""
    if len(t) < 2:
        return 0
    return min(int(float(np.median(np.diff(t))) * 1.5 // step), MAX_HELD)


def _held(values: NDArray[np.float64], steps: int, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values, each held for ``steps`` steps, but not past the end of its series."""
    if steps <= 0:
        return values
    at = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, at))
    held = (last >= 0) & (at - last <= steps)
    if len(ends):
        end = np.append(-1, ends)[np.searchsorted(ends, at, "right")]
        held &= (end < last) | (at == last)
    return np.where(held, values[np.maximum(last, 0)], np.nan)


def _rates(
    t: NDArray[np.int64], v: NDArray[np.float64], real: NDArray[np.bool_],
    query: RangeQuery, first: int, step: int, n: int,
) -> Any:  # fmt: skip
    """Growth of each step, by the second or as it is; not over gaps and ends of the series."""
    out = np.full(n, np.nan)
    breaks = t[v.view(np.int64) == STALE_NAN_BITS]
    t, v = t[real], v[real]
    if len(t) < 2:
        return out, None, None
    dt = np.diff(t)
    with np.errstate(invalid="ignore", over="ignore"):
        dv = np.diff(v)
    dv = np.where(dv < 0, v[1:], dv)
    whole = dt <= max(5 * float(np.median(dt)), 10_000)
    if len(breaks):
        whole &= np.searchsorted(breaks, t[:-1]) == np.searchsorted(breaks, t[1:])
    inside = whole & (t[1:] >= first)
    bins = (t[1:][inside] - first) // step
    grown = np.bincount(bins, dv[inside], n)[:n]
    seconds = np.bincount(bins, dt[inside], n)[:n] / 1000
    there = seconds > 0
    out[there] = grown[there] / (seconds[there] if query.fn == "rate" else 1)
    return out, None, None


def _from_windows(w: Windows, query: RangeQuery, first: int, step: int, n: int) -> Any:
    mean, low, high = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    bins = (w.start_ms - first) // step
    inside = (bins >= 0) & (bins < n)
    if not inside.any():
        return mean, low, high
    at = bins[inside]
    if query.fn != "value":
        with np.errstate(invalid="ignore"):
            between = w.first[1:] - w.last[:-1]
        between = np.where(between < 0, w.first[1:], between)
        spacing = np.diff(w.start_ms)
        # A window or two without samples is a gap, unless samples come more seldom than windows.
        seldom = len(w) > 1 and float(np.median(w.count)) < 2
        near = spacing <= (5 * float(np.median(spacing)) if seldom else w.level_ms)
        grown = w.increase.copy()
        grown[1:] += np.where(near, between, 0)
        # The time that a window's growth took: from the last sample before it to its own last. A
        # window that nothing follows may have begun only now: its samples tell how far it is.
        usual = max(float(np.median(w.count)), 1.0)
        seconds = w.level_ms / 1000 * np.minimum((w.count - 1) / usual, 1.0)
        seconds[1:] = np.where(near, spacing / 1000, seconds[1:])
        if not seldom:
            partly = np.append(~near, True) & np.append(False, near)
            seconds = np.where(partly, seconds * np.minimum(w.count / usual, 1.0), seconds)
        amount = np.bincount(at, grown[inside], n)[:n]
        spent = np.bincount(at, seconds[inside], n)[:n]
        there = spent > 0
        mean[there] = amount[there] / (spent[there] if query.fn == "rate" else 1)
        held = seldom and query.fn == "rate"
        return _held(mean, _bridge(w.start_ms, step), _NONE) if held else mean, None, None
    gap = _bridge(w.start_ms, step)
    counts = np.bincount(at, w.count[inside], n)[:n]
    sums = np.bincount(at, w.sum[inside], n)[:n]
    there = counts > 0
    mean[there] = sums[there] / counts[there]
    starts = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
    low[at[starts]] = np.minimum.reduceat(w.min[inside], starts)
    high[at[starts]] = np.maximum.reduceat(w.max[inside], starts)
    return tuple(_held(line, gap, _NONE) if gap > 1 else line for line in (mean, low, high))


def _combine(query: RangeQuery, found: Sequence[Series], lines: Sequence[Any]) -> list[RangeSeries]:
    out: list[RangeSeries] = []
    kept = [(s.labels, line) for s, line in zip(found, lines, strict=True)
            if not np.isnan(line[0]).all()]  # fmt: skip
    if not is_grouped(query):
        for labels, (values, low, high) in kept:
            names = labels.as_dict()
            scaled = [None if x is None else x * query.scale for x in (low, high)]
            out.append(RangeSeries(names, legend_of(query, names), values * query.scale, *scaled))
    else:
        for names, members in grouped(query, [labels for labels, _ in kept]):
            stack = np.stack([kept[i][1][0] for i in members])
            values = aggregated(query, stack, [kept[i][0] for i in members])
            if query.quantile is None or not np.isnan(values).all():
                out.append(RangeSeries(names, legend_of(query, names), values * query.scale))
    return topped(query, out)


def topped(query: RangeQuery, lines: list[RangeSeries]) -> list[RangeSeries]:
    """The lines with the greatest mean, as many as a query wants."""
    if not query.top:
        return lines
    return sorted(lines, key=lambda s: -float(np.nanmean(s.values)))[: query.top]


def whole_of(query: RangeQuery) -> RangeQuery:
    """The query for what the lines of a query for shares are shares of."""
    return attrs.evolve(query, match=query.over, over=(), top=0, scale=1.0)


def _shares(query: RangeQuery, shown: RangeResult, whole: RangeResult) -> RangeResult:
    parts = {tuple(sorted(one.labels.items())): one.values for one in shown.series}
    lines = []
    for one in whole.series:
        part = parts.get(tuple(sorted(one.labels.items())))
        values = share(np.zeros_like(one.values) if part is None else part, one.values)
        if not np.isnan(values).all():
            lines.append(RangeSeries(one.labels, one.legend, values))
    return attrs.evolve(
        whole, series=topped(query, lines), truncated=shown.truncated or whole.truncated
    )


def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """part / whole; 0 where there is a whole and no part, NaN where there is no whole."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, np.nan_to_num(part) / whole, np.nan)


def grouped(query: RangeQuery, labels: Sequence[Labels]) -> list[tuple[dict[str, str], list[int]]]:
    """Groups by the labels in ``by``: their labels, and the members' positions."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, one in enumerate(labels):
        groups.setdefault(tuple(one.get(name) for name in query.by), []).append(i)
    return [
        ({k: v for k, v in zip(query.by, key, strict=True) if v}, members)
        for key, members in groups.items()
    ]


def is_grouped(query: RangeQuery) -> bool:
    """Whether a line is made of several series."""
    return query.agg != "none" or query.quantile is not None


def aggregated(
    query: RangeQuery, stack: NDArray[np.float64], labels: Sequence[Labels] = ()
) -> NDArray[np.float64]:
    """Aggregate over axis 0, the series with these labels; NaN only where all are, or where a
    histogram counts nothing."""
    if query.quantile is not None:
        return quantile_of(query.quantile, [bound_of(one.get(BOUND)) for one in labels], stack)
    empty = np.isnan(stack).all(axis=0)
    if query.agg == "sum":
        out = np.nansum(stack, axis=0)
    elif query.agg == "mean":
        out = np.nansum(stack, axis=0) / np.maximum((~np.isnan(stack)).sum(axis=0), 1)
    elif query.agg == "min":
        out = np.where(np.isnan(stack), np.inf, stack).min(axis=0)
    else:
        out = np.where(np.isnan(stack), -np.inf, stack).max(axis=0)
    out[empty] = np.nan
    return out  # type: ignore[no-any-return]


def legend_of(query: RangeQuery, labels: dict[str, str]) -> str:
    """The query's legend with its ``{label}`` parts filled in."""
    if query.legend:
        return re.sub(r"\{(\w+)\}", lambda m: labels.get(m[1], ""), query.legend).strip()
    rest = [v for k, v in sorted(labels.items()) if k != "__name__"]
    return " ".join(rest) or labels.get("__name__", "value")


class LiveQuery:
    """A query against the newest values: series and groups are found once, values each tick."""

    def __init__(self, query: RangeQuery) -> None:
        self.query = query
        self._version: object = object()
        self._resolved_ms = 0
        self._refs = np.empty(0, np.int64)
        self._labels: list[Labels] = []
        self._whole = LiveQuery(whole_of(query)) if query.over else None

    def resolve(self, store: Store, now_ms: int) -> None:
        """Find the series again if the store has new ones, and now and then."""
        if self._whole is not None:
            self._whole.resolve(store, now_ms)
        version = getattr(store, "series_version", None)
        due = abs(now_ms - self._resolved_ms) >= REFRESH_MS
        if due or version is None or version != self._version:
            self._version, self._resolved_ms = version, now_ms
            found = find(store, self.query, now_ms - 600_000, None)[: most_series(self.query)]
            self._refs = np.array([s.ref for s in found], np.int64)
            self._labels = [s.labels for s in found]

    def evaluate(
        self, latest: Latest, now_ms: int
    ) -> tuple[list[tuple[dict[str, str], str]], NDArray[np.float64]]:
        """(labels, legend) of each line, and float64[n] values."""
        query = self.query
        t, v, before_t, before_v = latest.get(self._refs)
        if query.fn == "value":
            values = v.copy()
        else:
            with np.errstate(invalid="ignore", divide="ignore"):
                grown = np.where(v < before_v, v, v - before_v)
                seconds = (t - before_t) / 1000
                values = grown / seconds if query.fn == "rate" else grown
            values[(before_t == 0) | (t <= before_t)] = np.nan
        usual = np.where(before_t > 0, t - before_t, 0)
        values[now_ms - t > np.maximum(5 * usual, LIVE_MS)] = np.nan
        there = np.flatnonzero(~np.isnan(values))
        labels = [self._labels[i] for i in there.tolist()]
        values = values[there]
        lines: list[tuple[dict[str, str], str]] = []
        if not is_grouped(query):
            for one in labels:
                names = one.as_dict()
                lines.append((names, legend_of(query, names)))
        else:
            groups = grouped(query, labels)
            lines = [(names, legend_of(query, names)) for names, _ in groups]
            values = np.array([
                aggregated(query, values[members][:, None], [labels[i] for i in members])[0]
                for _, members in groups
            ])  # fmt: skip
        values = values * query.scale
        if self._whole is not None:
            parts = dict(zip((tuple(sorted(n.items())) for n, _ in lines), values, strict=True))
            lines, whole = self._whole.evaluate(latest, now_ms)
            found = [parts.get(tuple(sorted(names.items())), 0.0) for names, _ in lines]
            values = share(np.array(found, np.float64), whole)
        if query.top and len(lines) > query.top:
            order = np.argsort(-values, kind="stable")[: query.top]
            lines, values = [lines[i] for i in order.tolist()], values[order]
        return lines, values
