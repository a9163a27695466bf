"""Aggregation over series: sum, avg, topk, quantile and the like, by groups of labels.

Values are added in the order of the rows, each group's first row, then its second and so on, as
Prometheus does; the mean is a running one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from barograph.answer import QueryFailed
from barograph.promql_text import quoted
from barograph_promql.labelsets import group_labels, grouped
from barograph_promql.limits import Budget
from barograph_promql.numbers import number_text
from barograph_promql.over_time import interpolated
from barograph_promql.parsing import is_label_name
from barograph_promql.plan import Aggregate
from barograph_promql.rows import (
    Bools,
    Floats,
    Ints,
    LabelSet,
    Rows,
    changed,
    empty,
    groups_of,
    members_of,
    present_in,
    text_of,
)

_MAX_K = 9_223_372_036_854_774_784.0


def aggregate(node: Aggregate, rows: Rows, param: Floats | str | None, budget: Budget) -> Rows:
    """``param``: float64[T] of topk, bottomk and quantile; the label of count_values."""
    if node.op == "count_values":
        return _count_values(node, rows, str(param), budget)
    if node.op in ("topk", "bottomk", "limitk"):
        assert isinstance(param, np.ndarray)
        return _extremes(node, rows, param)
    if node.op == "limit_ratio":
        assert isinstance(param, np.ndarray)
        return _share(rows, param)
    if not len(rows):
        return empty(rows.there.shape[1])
    labels, ids = grouped(rows.labels, node.labels, node.without)
    budget.spend(len(labels) * rows.there.shape[1])
    there = present_in(rows.there, ids, len(labels))
    with np.errstate(all="ignore"):
        if node.op == "quantile":
            assert isinstance(param, np.ndarray)
            values = _quantile(rows, ids, len(labels), param, budget)
        elif node.op == "group":
            values = np.ones(there.shape)
        elif node.op in ("count", "min", "max"):
            values = _reduced(node.op, rows, ids, len(labels))
        elif node.op == "sum":
            values = _sums(rows, ids, len(labels), budget)
        else:
            values = _moments(node.op, rows, ids, len(labels), budget)
    return Rows(labels, values, there)


def _reduced(op: str, rows: Rows, ids: Ints, count: int) -> Floats:
    order, offsets = members_of(ids, count)
    there, starts = rows.there[order], offsets[:-1]
    if op == "count":
        return np.add.reduceat(there, starts, axis=0, dtype=np.float64)
    # NaN loses against every number, and so does what is not there.
    better = np.fmax if op == "max" else np.fmin
    values = np.where(there, rows.values[order], np.nan)
    return better.reduceat(values, starts, axis=0)


def _sums(rows: Rows, ids: Ints, count: int, budget: Budget) -> Floats:
    """Not by reduceat, which adds in pairs."""
    sums = np.zeros((count, rows.there.shape[1]))
    for who, x, there in _each_member(rows, ids, count, budget):
        sums[who] += np.where(there, x, 0.0)
    return sums


def _each_member(
    rows: Rows, ids: Ints, count: int, budget: Budget
) -> Iterator[tuple[Ints | slice, Floats, Bools]]:
    """For k = 0, 1, ...: the groups that have a k-th row, its values and what is there."""
    order, offsets = members_of(ids, count)
    sizes = np.diff(offsets)
    smallest = int(sizes.min())
    for k in range(int(sizes.max())):
        if k % 256 == 0:
            budget.check()
        if k < smallest:
            at = order[offsets[:-1] + k]
            yield slice(None), rows.values[at], rows.there[at]
        else:
            who = np.flatnonzero(sizes > k)
            at = order[offsets[who] + k]
            yield who, rows.values[at], rows.there[at]


def _moments(op: str, rows: Rows, ids: Ints, count: int, budget: Budget) -> Floats:
    """avg, stdvar, stddev: running (Welford 1962). O(S T)."""
    shape = (count, rows.there.shape[1])
    seen, means, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    infinite = op == "avg" and bool(np.isinf(rows.values[rows.there]).any())
    for who, x, there in _each_member(rows, ids, count, budget):
        old = means[who]
        n = seen[who] + there
        if op == "avg":
            new = old + (x / n - old / n)
            if infinite:
                # An infinite mean stays, unless the other infinity or a NaN comes.
                new = np.where(np.isinf(old) & (np.isfinite(x) | (x == old)), old, new)
        else:
            delta = x - old
            new = old + delta / n
            grown = squares[who] + delta * (x - new)
            # A group's first value deviates from nothing, be it infinite or NaN.
            grown = np.where(n == 1, 0.0, grown)
            squares[who] = np.where(there, grown, squares[who])
        new = np.where(n == 1, x, new)
        means[who] = np.where(there, new, old)
        seen[who] = n
    if op == "avg":
        return means
    variance = squares / np.maximum(seen, 1)
    return variance if op == "stdvar" else np.sqrt(variance)


def _quantile(rows: Rows, ids: Ints, count: int, q: Floats, budget: Budget) -> Floats:
    order, offsets = members_of(ids, count)
    steps = rows.there.shape[1]
    out = np.empty((count, steps))
    for group in range(count):
        budget.check()
        members = order[offsets[group] : offsets[group + 1]]
        values, there = rows.values[members].T, rows.there[members].T
        missing = np.isnan(values) & there
        ranked = np.where(there, np.where(missing, -np.inf, values), np.inf)
        ranked.sort(axis=1)
        counts = np.maximum(there.sum(axis=1), 1)
        out[group] = interpolated(ranked, counts, missing.sum(axis=1), q)
    return out


def _extremes(node: Aggregate, rows: Rows, param: Floats) -> Rows:
    """topk, bottomk and limitk (any k, here the first by labels): rows keep their labels; the
    first two are sorted by value at a single step, NaN last."""
    bad = ~((param <= _MAX_K) & (param >= -(2.0**63)))
    if bad.any():
        first = float(param[np.argmax(bad)])
        text = repr(first) if np.isfinite(first) else number_text(first)
        raise QueryFailed(f"Scalar value {text} overflows int64")
    steps = rows.there.shape[1]
    if not len(rows) or (param < 1).all():
        return empty(steps)
    wanted = np.minimum(param, len(rows)).astype(np.int64)
    labels, ids = grouped(rows.labels, node.labels, node.without)
    order, offsets = members_of(ids, len(labels))
    kept = np.zeros(rows.there.shape, np.bool_)
    sequence: list[Ints] = []
    for group in range(len(labels)):
        members = order[offsets[group] : offsets[group + 1]]
        values, there = rows.values[members], rows.there[members]
        if node.op == "limitk":
            kept[members] = there & (np.cumsum(there, axis=0) <= wanted)
            sequence.append(members)
            continue
        keys = -values if node.op == "topk" else values
        near = _near_top(keys, there, int(wanted.max()))
        if near is not None:
            members, keys, there = members[near], keys[near], there[near]
        ranking = _ranking(keys, there)
        rank = np.empty_like(ranking)
        np.put_along_axis(rank, ranking, np.arange(len(members))[None, :], axis=1)
        kept[members] = there & np.less(rank.T, wanted)
        if steps == 1:
            sequence.append(members[ranking[0]])
    chosen = Rows(rows.labels, rows.values, kept)
    return (chosen.take(np.concatenate(sequence)) if steps == 1 else chosen).present()


def _near_top(keys: Floats, there: Bools, k: int) -> Ints | None:
    """The rows that are among the ``k`` least at any step, or equal to the last of them; ``None``
    if few would be left out, or values are missing."""
    if len(keys) < 8 * max(k, 8) or k < 1 or not there.all() or np.isnan(keys).any():
        return None
    bound = np.partition(keys, k - 1, axis=0)[k - 1]
    near: Ints = np.flatnonzero((keys <= bound).any(axis=1))
    return near


def _share(rows: Rows, ratio: Floats) -> Rows:
    """limit_ratio: about so large a share of the series, chosen by a hash of their labels; those of
    ``r - 1`` are the ones that ``r`` leaves out."""
    if np.isnan(ratio).any():
        raise QueryFailed("Ratio value is NaN")
    ratio = np.clip(ratio, -1, 1)
    digests = [
        hashlib.blake2b(text_of(one).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for one in rows.labels
    ]
    place = np.frombuffer(b"".join(digests), ">u8").astype(np.float64)[:, None] / 2.0**64
    chosen = np.where(ratio >= 0, place < ratio, place >= 1 + ratio)
    return rows.masked(rows.there & chosen)


def _ranking(values: Floats, there: Bools) -> Ints:
    """int64[T, n]: the rows of each step by value, then NaN, then what is not there; earlier rows
    first where equal."""
    if there.all() or not np.isnan(values[there]).any():
        keys = np.ascontiguousarray(np.where(there, values, np.nan).T)
        return np.argsort(keys, axis=1, kind="stable")  # NaN last
    return np.lexsort((values.T, np.isnan(values).T, ~there.T), axis=1)


def _count_values(node: Aggregate, rows: Rows, name: str, budget: Budget) -> Rows:
    """How many series of a group have each value; the value is a label of the result."""
    if not is_label_name(name):
        raise QueryFailed(f"invalid label name {quoted(name)}")
    steps = rows.there.shape[1]
    row, step = np.nonzero(rows.there)
    bits = rows.values[row, step].view(np.int64)
    distinct, which = np.unique(bits, return_inverse=True)
    texts = [number_text(x) for x in distinct.view(np.float64).tolist()]
    pairs, pair = np.unique(row * max(len(texts), 1) + which, return_inverse=True)
    keyed = node if node.without else _with_label(node, name)
    keys: list[LabelSet] = []
    for n, at in enumerate(pairs.tolist()):
        if n % 4096 == 0:
            budget.check()
        i, text = divmod(at, len(texts))
        grown = changed(rows.labels[i], {name: texts[text]})
        keys.append(group_labels(grown, keyed.labels, keyed.without))
    labels, ids = groups_of(keys)
    budget.series(len(labels))
    budget.spend(len(labels) * steps)
    cells = ids[pair] * steps + step if len(pair) else pair
    counts = np.bincount(cells, minlength=len(labels) * steps).reshape(len(labels), steps)
    return Rows(labels, counts.astype(np.float64), counts > 0)


def _with_label(node: Aggregate, name: str) -> Aggregate:
    return Aggregate(node.op, node.expr, node.param, (*node.labels, name))
