"""What operators work on: a row of values for each series, a column for each step.

Label sets are sorted tuples of (name, value); NaN is a value, so a mask tells what is there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from barograph.answer import QueryFailed
from barograph.columns import Columns
from barograph.promql_text import quoted as quoted
from barograph_promql.labelsets import LabelSet as LabelSet
from barograph_promql.labelsets import are_distinct, without_names
from barograph_promql.labelsets import without_name as without_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_Key = TypeVar("_Key")

SAME_LABELS = "vector cannot contain metrics with the same labelset"


@attrs.frozen(eq=False)
class Rows:
    """An instant vector over T steps.

    ``values`` float64[S, T] and ``there`` bool[S, T] for the S ``labels``. Arrays may be shared
    or read-only views: nobody writes to them.
    """

    labels: list[LabelSet]
    values: Floats
    there: Bools

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Ints | Bools) -> Rows:
        """The given rows, in that order."""
        at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Rows([self.labels[i] for i in at.tolist()], self.values[at], self.there[at])

    def present(self) -> Rows:
        """Without the rows that have no value at any step."""
        full = np.any(self.there, axis=1)
        return self if full.all() else self.take(full)

    def masked(self, there: Bools) -> Rows:
        return Rows(self.labels, self.values, there).present()

    def valued(self, values: Floats) -> Rows:
        return Rows(self.labels, values, self.there)


@attrs.frozen(eq=False)
class Samples:
    """Samples of S series, one after another: series i owns ``offsets[i]:offsets[i+1]``.

    Given as they are, or as ``columns``.
    """

    labels: list[LabelSet]
    offsets: Ints
    _t_ms: Ints | None = None
    _values: Floats | None = None
    columns: Columns | None = None

    @property
    def t_ms(self) -> Ints:
        """int64[N]."""
        if self._t_ms is not None:
            return self._t_ms
        assert self.columns is not None
        return self.columns.t_ms

    @property
    def values(self) -> Floats:
        """float64[N]."""
        if self._values is not None:
            return self._values
        assert self.columns is not None
        return self.columns.values

    @property
    def grid(self) -> Floats | None:
        """float64[n, S]: the values as a row for each time, where they were read so."""
        return None if self.columns is None else self.columns.grid

    @functools.cached_property
    def shared(self) -> Ints | None:
        """The times of every series, int64[n], if all have the same, as those of one source."""
        if self.columns is not None and self.columns.times is not None:
            return self.columns.times
        count = len(self.labels)
        lengths = np.diff(self.offsets)
        if count == 0 or lengths[0] == 0 or (lengths != lengths[0]).any():
            return None
        grid = self.t_ms.reshape(count, int(lengths[0]))
        return grid[0] if (grid == grid[0]).all() else None


def empty(steps: int) -> Rows:
    return Rows([], np.empty((0, steps)), np.empty((0, steps), np.bool_))


def nameless(rows: Rows) -> Rows:
    return Rows(without_names(rows.labels), rows.values, rows.there)


def label(labels: LabelSet, name: str) -> str:
    """The value of a label, "" if it is not there."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def changed(labels: LabelSet, changes: dict[str, str]) -> LabelSet:
    """With labels set, or left out where the new value is empty."""
    kept = [pair for pair in labels if pair[0] not in changes]
    kept += [pair for pair in changes.items() if pair[1]]
    kept.sort()
    return tuple(kept)


def groups_of(keys: Sequence[_Key]) -> tuple[list[_Key], Ints]:
    """The distinct keys by first appearance, and int64[n]: the number of each one's."""
    numbers: dict[_Key, int] = {}
    ids = [numbers.setdefault(key, len(numbers)) for key in keys]
    return list(numbers), np.array(ids, np.int64)


def members_of(ids: Ints, count: int) -> tuple[Ints, Ints]:
    """Positions sorted by group (in order within one), and int64[count + 1] offsets of groups."""
    order = np.argsort(ids, kind="stable")
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(ids, minlength=count), out=offsets[1:])
    return order, offsets


def present_in(there: Bools, ids: Ints, count: int) -> Bools:
    """bool[count, T]: whether any row of the group is there. Every group has a row."""
    if count == len(there):
        return there[np.argsort(ids)]
    order, offsets = members_of(ids, count)
    return np.logical_or.reduceat(there[order], offsets[:-1], axis=0)


def unique_per_step(rows: Rows) -> Rows:
    """One row for each label set: rows with the same labels are joined.

    Raises QueryFailed if two have a value at the same step.
    """

    def overlapping() -> None:
        raise QueryFailed(SAME_LABELS)

    return rows if are_distinct(rows.labels) else joined(rows, rows.labels, overlapping)


def joined(rows: Rows, keys: Sequence[object], overlapping: Callable[[], None]) -> Rows:
    """Rows with equal keys as one, with the labels of the first; ``overlapping`` is called if
    two of them have a value at the same step."""
    distinct, ids = groups_of(keys)
    if len(distinct) == len(rows):
        return rows
    order, offsets = members_of(ids, len(distinct))
    there = rows.there[order]
    total = np.add.reduceat(there, offsets[:-1], axis=0, dtype=np.int64)
    if (total > 1).any():
        overlapping()
    # At most one of a group is there, so that the last one's index is the one.
    at = np.maximum.reduceat(np.where(there, order[:, None], -1), offsets[:-1], axis=0)
    values = np.take_along_axis(rows.values, np.maximum(at, 0), axis=0)
    return Rows([rows.labels[i] for i in order[offsets[:-1]].tolist()], values, at >= 0)


def unique(rows: Rows) -> Rows:
    """Raises QueryFailed if two rows have the same labels, at whatever steps."""
    if not are_distinct(rows.labels):
        raise QueryFailed(SAME_LABELS)
    return rows


def text_of(labels: LabelSet) -> str:
    """Labels as Prometheus writes them in an error: ``{__name__="a", b="c"}``."""
    inner = ", ".join(f"{name}={quoted(value)}" for name, value in labels)
    return f"{{{inner}}}"
