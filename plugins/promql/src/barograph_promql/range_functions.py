"""Functions of a range vector: which kernel, which windows, which arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import numpy as np

from barograph_promql import over_time, rates
from barograph_promql.grids import GRID_FUNCTIONS, GridCells
from barograph_promql.labelsets import without_names
from barograph_promql.limits import Budget
from barograph_promql.rows import Floats, Ints, Rows, unique
from barograph_promql.selection import Windows, blocks

MOST_SAMPLES = 2**22
"""Samples of all windows that a kernel works on at once."""


@attrs.frozen(eq=False)
class Cells:
    """Some windows, one after another: samples, their ranges, the windows' times, the arguments
    (float64[C] each) and the evaluation time."""

    t: Ints
    v: Floats
    low: Ints
    high: Ints
    start: Ints
    end: Ints
    now: Ints
    args: list[Floats]
    range_ms: int


@attrs.frozen
class RangeFunction:
    """``needs``: samples without which a window gives nothing. ``sees``: samples from which the
    kernel is run all the same, to judge the arguments. ``matrix``: the place of the range vector
    among the arguments."""

    kernel: Callable[[Cells], Floats]
    needs: int = 1
    sees: int = 2
    matrix: int = 0
    keeps_name: bool = False


def _plain(kernel: Callable[[Floats, Ints, Ints], Floats]) -> RangeFunction:
    return RangeFunction(lambda c: kernel(c.v, c.low, c.high))


def _rate(counter: bool, per_second: bool) -> RangeFunction:
    return RangeFunction(
        lambda c: rates.extrapolated(
            c.t, c.v, c.low, c.high, c.start, c.end,
            counter=counter, per_second_of_ms=c.range_ms if per_second else 0,
        ),
        needs=2,
    )  # fmt: skip


def _predicted(c: Cells) -> Floats:
    slope, intercept = rates.regression(c.t, c.v, c.low, c.high, c.now)
    return slope * c.args[0] + intercept


def _smoothed(c: Cells) -> Floats:
    return rates.smoothed(c.v, c.low, c.high, c.args[0], c.args[1])


def _median_deviation(c: Cells) -> Floats:
    half = np.full(len(c.low), 0.5)
    middle = over_time.quantile(c.v, c.low, c.high, half)
    lengths = c.high - c.low
    ends = np.cumsum(lengths)
    starts = ends - lengths
    flat = np.arange(int(lengths.sum())) + np.repeat(c.low - starts, lengths)
    away = np.abs(c.v[flat] - np.repeat(middle, lengths))
    return over_time.quantile(away, starts, ends, half)


def _moment(place: Callable[[Cells], Ints]) -> RangeFunction:
    return RangeFunction(lambda c: c.t[place(c)] / 1000)


def _place(kernel: Callable[[Floats, Ints, Ints], Floats]) -> Callable[[Cells], Ints]:
    return lambda c: over_time.place_of(kernel(c.v, c.low, c.high), c.v, c.low, c.high)


RANGE_FUNCTIONS: dict[str, RangeFunction] = {
    "avg_over_time": _plain(over_time.mean),
    "changes": _plain(rates.changes),
    "count_over_time": RangeFunction(lambda c: (c.high - c.low).astype(np.float64)),
    "delta": _rate(counter=False, per_second=False),
    "deriv": RangeFunction(
        lambda c: rates.regression(c.t, c.v, c.low, c.high, c.t[c.low])[0], needs=2
    ),
    "first_over_time": RangeFunction(lambda c: c.v[c.low], keeps_name=True),
    "holt_winters": RangeFunction(_smoothed, needs=2, sees=1),
    "double_exponential_smoothing": RangeFunction(_smoothed, needs=2, sees=1),
    "idelta": RangeFunction(
        lambda c: rates.last_change(c.t, c.v, c.low, c.high, rate=False), needs=2
    ),
    "increase": _rate(counter=True, per_second=False),
    "irate": RangeFunction(
        lambda c: rates.last_change(c.t, c.v, c.low, c.high, rate=True), needs=2
    ),
    "last_over_time": RangeFunction(lambda c: c.v[c.high - 1], keeps_name=True),
    "mad_over_time": RangeFunction(_median_deviation),
    "max_over_time": _plain(over_time.greatest),
    "min_over_time": _plain(over_time.least),
    "predict_linear": RangeFunction(_predicted, needs=2),
    "present_over_time": RangeFunction(lambda c: np.ones(len(c.low))),
    "quantile_over_time": RangeFunction(
        lambda c: over_time.quantile(c.v, c.low, c.high, c.args[0]), matrix=1
    ),
    "rate": _rate(counter=True, per_second=True),
    "resets": _plain(rates.resets),
    "stddev_over_time": _plain(over_time.deviation),
    "stdvar_over_time": _plain(over_time.variance),
    "sum_over_time": _plain(over_time.total),
    "ts_of_first_over_time": _moment(lambda c: c.low),
    "ts_of_last_over_time": _moment(lambda c: c.high - 1),
    "ts_of_max_over_time": _moment(_place(over_time.greatest)),
    "ts_of_min_over_time": _moment(_place(over_time.least)),
}


def apply(name: str, windows: Windows, now: Ints, args: list[Floats], budget: Budget) -> Rows:
    """The function of each series and step; ``now`` and each of ``args`` are for the T steps."""
    function = RANGE_FUNCTIONS[name]
    shape = (len(windows.samples.labels), len(now))
    budget.spend(shape[0] * shape[1])
    rows = _on_grid(name, function, windows, budget)
    if rows is not None:
        return rows
    values, there = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    for first, last in blocks(*shape):
        low, high = windows.places(first, last)
        there[first:last] = high - low >= function.needs
        part = values[first:last].reshape(-1)  # a view: the rows lie one after another
        for cells in _pieces(low, high, min(function.needs, function.sees)):
            budget.check()
            step = cells % shape[1]
            with np.errstate(all="ignore"):
                part[cells] = function.kernel(
                    Cells(
                        windows.samples.t_ms, windows.samples.values,
                        low.ravel()[cells], high.ravel()[cells],
                        windows.start[step], windows.end[step], now[step],
                        [arg[step] for arg in args], windows.range_ms,
                    )
                )  # fmt: skip
    return _named(function, Rows(windows.samples.labels, values, there))


def _named(function: RangeFunction, rows: Rows) -> Rows:
    labels = rows.labels if function.keeps_name else without_names(rows.labels)
    return unique(Rows(labels, rows.values, rows.there).present())


def _on_grid(name: str, function: RangeFunction, windows: Windows, budget: Budget) -> Rows | None:
    """By a kernel for series that have the same times, where it has one that will do."""
    kernel, samples = GRID_FUNCTIONS.get(name), windows.samples
    if kernel is None or samples.grid is None or samples.shared is None:
        return None
    low = np.searchsorted(samples.shared, windows.start)
    high = np.searchsorted(samples.shared, windows.end, "right")
    steps = np.flatnonzero(high - low >= function.needs)
    budget.check()
    values = None
    if len(steps):
        with np.errstate(all="ignore"):
            values = kernel(
                GridCells(
                    samples.shared, samples.grid, low[steps], high[steps],
                    windows.start[steps], windows.end[steps], windows.range_ms,
                )
            )  # fmt: skip
        if values is None:
            return None
    count = len(samples.labels)
    if values is None or len(steps) < len(low):
        out = np.full((len(low), count), np.nan)
        if values is not None:
            out[steps] = values
        values = out
    there = np.zeros((len(low), count), np.bool_)
    there[steps] = True
    return _named(function, Rows(samples.labels, values.T, there.T))


def _pieces(low: Ints, high: Ints, needs: int) -> Iterator[Ints]:
    """The cells with ``needs`` samples, so many at a time that a kernel has room for all theirs."""
    lengths = (high - low).ravel()
    cells = np.flatnonzero(lengths >= needs)
    size = max(MOST_SAMPLES // int(lengths.max(initial=1)), 1)
    for first in range(0, len(cells), size):
        yield cells[first : first + size]
