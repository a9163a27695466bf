"""Functions of labels: label_replace, label_join, and the order of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from barograph.answer import QueryFailed, QueryInvalid
from barograph_promql.parsing import is_label_name
from barograph_promql.patterns import compiled, replaced
from barograph_promql.rows import Rows, changed, label


def label_replace(rows: Rows, target: str, template: str, source: str, pattern: str) -> Rows:
    """Set ``target`` to ``template``, with groups of ``pattern`` in ``source``, where it fits."""
    try:
        fits = compiled(pattern)
    except QueryInvalid:
        raise QueryFailed(f"invalid regular expression in label_replace(): {pattern}") from None
    if not is_label_name(target):
        raise QueryFailed(f"invalid destination label name in label_replace(): {target}")
    out = []
    for labels in rows.labels:
        value = replaced(fits, template, label(labels, source))
        out.append(labels if value is None else changed(labels, {target: value}))
    return Rows(out, rows.values, rows.there)


def label_join(rows: Rows, target: str, separator: str, sources: Sequence[str]) -> Rows:
    """Set ``target`` to the values of ``sources``, joined."""
    for name in sources:
        if not is_label_name(name):
            raise QueryFailed(f"invalid source label name in label_join(): {name}")
    if not is_label_name(target):
        raise QueryFailed(f"invalid destination label name in label_join(): {target}")
    out = [
        changed(labels, {target: separator.join(label(labels, name) for name in sources)})
        for labels in rows.labels
    ]
    return Rows(out, rows.values, rows.there)


def sorted_by_value(rows: Rows, *, descending: bool) -> Rows:
    """The rows of a single step by value, NaN last either way; of several steps as they are."""
    if rows.there.shape[1] != 1 or len(rows) < 2:
        return rows
    values = rows.values[:, 0]
    keys = -values if descending else values
    return rows.take(np.lexsort((keys, np.isnan(values))))


def sorted_by_label(rows: Rows, names: Sequence[str], *, descending: bool) -> Rows:
    """The rows of a single step by labels, in natural order: ``a2`` comes before ``a10``."""
    if rows.there.shape[1] != 1:
        return rows

    def key(i: int) -> object:
        labels = rows.labels[i]
        return ([_natural(label(labels, name)) for name in names], labels)

    order = sorted(range(len(rows)), key=key, reverse=descending)  # type: ignore[arg-type]
    return rows.take(np.array(order, np.int64))


def _natural(text: str) -> list[tuple[int, int, str]]:
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in parts]
