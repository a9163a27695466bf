"""Label sets of many series, and what operators derive of them again and again.

A dashboard asks for the same series every few seconds: which of them form a group, and what they
are called without their metric's name, is worked out once.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from barograph.model import NAME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Store
    from barograph.model import Series

LabelSet = tuple[tuple[str, str], ...]
Groups = tuple[list[LabelSet], "NDArray[np.int64]"]
"""The labels of each group by first appearance, and int64[n]: the number of each series' group."""

MAX_GROUPINGS = 8
"""Groupings that are kept of one list."""

MAX_SERIES = 16_384
"""Series in kept lists of one store."""


class LabelList(list[LabelSet]):
    """A list of label sets that nobody writes to, with what was derived of it."""

    def __init__(self, labels: Sequence[LabelSet] = ()) -> None:
        super().__init__(labels)
        self._nameless: LabelList | None = None
        self._distinct: bool | None = None
        self._groups: OrderedDict[tuple[bool, tuple[str, ...]], Groups] = OrderedDict()

    @property
    def distinct(self) -> bool:
        """Whether no two are the same."""
        if self._distinct is None:
            self._distinct = len(set(self)) == len(self)
        return self._distinct

    def nameless(self) -> LabelList:
        if self._nameless is None:
            self._nameless = LabelList([without_name(one) for one in self])
        return self._nameless

    def groups(self, names: tuple[str, ...], without: bool) -> Groups:
        key = without, names
        found = self._groups.get(key)
        if found is None:
            found = _groups(self, names, without)
            if len(self._groups) < MAX_GROUPINGS:
                self._groups[key] = found
        return found


def without_name(labels: LabelSet) -> LabelSet:
    return tuple(pair for pair in labels if pair[0] != NAME)


def without_names(labels: list[LabelSet]) -> list[LabelSet]:
    """Each without its metric's name."""
    if isinstance(labels, LabelList):
        return labels.nameless()
    return [without_name(one) for one in labels]


def are_distinct(labels: list[LabelSet]) -> bool:
    """Whether no two are the same."""
    if isinstance(labels, LabelList):
        return labels.distinct
    return len(set(labels)) == len(labels)


def grouped(labels: list[LabelSet], names: tuple[str, ...], without: bool) -> Groups:
    """By the labels ``names``, or (``without``) by all others but the metric's name."""
    if isinstance(labels, LabelList):
        return labels.groups(names, without)
    return _groups(labels, names, without)


def group_labels(labels: LabelSet, names: tuple[str, ...], without: bool) -> LabelSet:
    """The labels of the group that a series belongs to."""
    if without:
        return tuple(pair for pair in labels if pair[0] not in names and pair[0] != NAME)
    return tuple(pair for pair in labels if pair[0] in names)


def _groups(labels: Sequence[LabelSet], names: tuple[str, ...], without: bool) -> Groups:
    numbers: dict[LabelSet, int] = {}
    ids = [numbers.setdefault(group_labels(one, names, without), len(numbers)) for one in labels]
    return list(numbers), np.array(ids, np.int64)


class LabelBook:
    """The lists of what is asked of a store, by the refs of their series: a ref is never another
    series'. May be asked by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: weakref.WeakKeyDictionary[Store, OrderedDict[bytes, LabelList]] = (
            weakref.WeakKeyDictionary()
        )

    def labels(self, store: Store, refs: NDArray[np.int64], found: Sequence[Series]) -> LabelList:
        """The labels of the series ``found``, whose refs are int64[n]."""
        if not isinstance(store, Hashable):  # such a store cannot be told from another
            return LabelList([series.labels.pairs for series in found])
        key = refs.tobytes()
        with self._lock:
            kept = self._stores.get(store)
            known = None if kept is None else kept.get(key)
            if kept is not None and known is not None:
                kept.move_to_end(key)
                return known
        labels = LabelList([series.labels.pairs for series in found])
        with self._lock:
            kept = self._stores.setdefault(store, OrderedDict())
            kept[key] = labels
            count = sum(len(one) for one in kept.values())
            while count > MAX_SERIES and kept:
                _, gone = kept.popitem(last=False)
                count -= len(gone)
        return labels
