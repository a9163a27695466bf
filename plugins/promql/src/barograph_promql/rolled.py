"""Rollup windows in the place of raw samples, where these have aged out or may be approximated.

A window of a rollup level becomes one sample at its end, of the column that the function asks for:
``sum_over_time`` adds the windows' sums, ``max_over_time`` takes the greatest of their maxima. So
where the windows of a query begin and end with those of the level, the value is the one of the raw
samples, but for a sample exactly at the beginning (PromQL counts it, the level has it in the window
before) and for NaN (which rollups leave out). Elsewhere an edge is off by less than a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from barograph.model import Column, Windows
from barograph_promql.rows import Floats, Ints, Rows

LAST = "last"

COLUMNS: dict[str, tuple[str, str]] = {
    "count_over_time": ("count", "sum_over_time"),
    "increase": ("increase", "increase"),
    "last_over_time": (LAST, "last_over_time"),
    "max_over_time": ("max", "max_over_time"),
    "min_over_time": ("min", "min_over_time"),
    "present_over_time": (LAST, "present_over_time"),
    "rate": ("increase", "rate"),
    "sum_over_time": ("sum", "sum_over_time"),
}
"""The column of a window that a function needs, and the function of it; of any other function the
last value, and itself. (A mean is the ratio of the sum and the count.)"""

WITH_RANGE = frozenset(("count_over_time", "increase", "sum_over_time"))
"""Functions whose value grows with the range: of one shorter than a window, its share."""


@attrs.frozen(eq=False)
class Level:
    """Windows of one series at one level, all of them whole."""

    ms: int
    windows: Windows

    @classmethod
    def of(cls, parts: Sequence[Windows], ms: int) -> Level:
        """Stored parts in time order, without their sketches."""
        nothing = np.empty(0, np.int64)

        def whole(name: str) -> Any:
            arrays = [getattr(part, name) for part in parts]
            return np.concatenate(arrays) if arrays else nothing

        return cls(
            ms,
            Windows(
                level_ms=ms, sketch_offsets=nothing, sketch_keys=nothing.astype(np.int32),
                sketch_counts=nothing, start_ms=whole("start_ms"), count=whole("count"),
                sum=whole("sum"), min=whole("min"), max=whole("max"), first=whole("first"),
                last=whole("last"), increase=whole("increase"),
            ),
        )  # fmt: skip

    @property
    def ends(self) -> Ints:
        return self.windows.start_ms + self.ms

    def since(self, t_ms: int) -> Level:
        """The windows that begin at ``t_ms`` or later."""
        return self.cut(int(np.searchsorted(self.windows.start_ms, t_ms)), len(self.windows))

    def cut(self, first: int, last: int) -> Level:
        w = self.windows
        kept = slice(first, last)
        return Level(
            self.ms,
            attrs.evolve(
                w, start_ms=w.start_ms[kept], count=w.count[kept], sum=w.sum[kept],
                min=w.min[kept], max=w.max[kept], first=w.first[kept], last=w.last[kept],
                increase=w.increase[kept],
            ),
        )  # fmt: skip


def stand_in(
    raw: Column, levels: Sequence[Level], column: str, hold_ms: int = 0
) -> tuple[Column, int]:
    """Raw samples, and before them windows of the finest level that there is (``levels``: finest
    first) as samples; and the coarsest level taken, 0 for none.

    ``hold_ms``: a sample of a longer window is repeated so often that none of a window's time is
    further from one.
    """
    t_ms, values = raw.t_ms, raw.values
    taken: list[Level] = []
    for level in levels:
        if not len(level.windows):
            continue
        ends, count = level.ends, level.windows.count
        bound = int(taken[0].windows.start_ms[0]) if taken else _begin(t_ms)
        n = int(np.searchsorted(ends, bound, "right"))
        if n < len(ends) and level.windows.start_ms[n] < bound:
            # A window that what is finer only has the end of: the one that counted more is right.
            end = int(ends[n])
            if taken:
                inner = [one.since(end) for one in taken]
                taken = [one for one in inner if len(one.windows)]
                if not taken:
                    inside = int(np.searchsorted(t_ms, end))
                    t_ms, values = t_ms[inside:], values[inside:]
                n += 1
            else:
                inside = int(np.searchsorted(t_ms, end))
                if count[n] > np.count_nonzero(~np.isnan(values[:inside])):
                    t_ms, values = t_ms[inside:], values[inside:]
                    n += 1
        if n:
            taken.insert(0, level.cut(0, n))
    if column == "count":
        values = np.ones(len(values))
    if not taken:
        return Column(t_ms, values), 0
    times = np.concatenate([one.ends - 1 for one in taken])
    rolled = _values(taken, column, values)
    if column == "increase":
        start = int(taken[0].windows.start_ms[0])
        times = np.append(start, times)
    if hold_ms:
        lengths = np.concatenate([np.full(len(one.windows), one.ms) for one in taken])
        times, rolled = _held(times, rolled, lengths, _begin(t_ms), hold_ms)
    return (
        Column(np.concatenate([times, t_ms]), np.concatenate([rolled, values])),
        max(one.ms for one in taken),
    )


def _begin(t_ms: Ints) -> int:
    return int(t_ms[0]) if len(t_ms) else 2**62


def _values(taken: list[Level], column: str, after: Floats) -> Floats:
    windows = [one.windows for one in taken]
    if column != "increase":
        return np.concatenate([getattr(w, column) for w in windows]).astype(np.float64)
    # A counter without resets, which ends where the raw samples begin.
    first, last, grown = (
        np.concatenate([getattr(w, name) for w in windows])
        for name in ("first", "last", "increase")
    )
    between = np.where(first[1:] >= last[:-1], first[1:] - last[:-1], first[1:])
    steps = grown.copy()
    steps[1:] += between
    counter: Floats = np.append(0.0, np.cumsum(steps))
    real = after[~np.isnan(after)]
    if len(real):
        to_raw = real[0] - last[-1] if real[0] >= last[-1] else real[0]
        counter += real[0] - to_raw - counter[-1]
    else:
        counter += first[0]
    return counter


def _held(
    times: Ints, values: Floats, lengths: Ints, begin: int, hold_ms: int
) -> tuple[Ints, Floats]:
    """Each sample again every ``hold_ms``, until the next one or a window's length has passed."""
    until = np.minimum(np.append(times[1:], begin), times + lengths)
    counts = np.maximum(-(-(until - times) // hold_ms), 1)
    offsets = np.append(0, np.cumsum(counts)[:-1])
    turn = np.arange(int(counts.sum())) - np.repeat(offsets, counts)
    return np.repeat(times, counts) + turn * hold_ms, np.repeat(values, counts)


def side_by_side(parts: Sequence[tuple[Ints, Rows]], steps: int) -> Rows:
    """Rows over some of the steps each (their numbers int64) as rows over all of them."""
    numbers: dict[object, int] = {}
    labels = []
    for _, rows in parts:
        for one in rows.labels:
            if one not in numbers:
                numbers[one] = len(numbers)
                labels.append(one)
    values = np.full((len(labels), steps), np.nan)
    there = np.zeros(values.shape, np.bool_)
    for at, rows in parts:
        if len(rows):
            own = np.array([numbers[one] for one in rows.labels], np.int64)
            values[own[:, None], at] = rows.values
            there[own[:, None], at] = rows.there
    return Rows(labels, values, there)
