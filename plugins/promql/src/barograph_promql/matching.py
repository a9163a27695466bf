"""Binary operators between two vectors: series are paired by their labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from barograph.answer import QueryFailed
from barograph.model import NAME
from barograph_promql.elementwise import ARITHMETIC, COMPARE
from barograph_promql.limits import Budget
from barograph_promql.plan import SETS, Binary, Matching, drops_name
from barograph_promql.rows import (
    Bools,
    Floats,
    Ints,
    LabelSet,
    Rows,
    changed,
    empty,
    groups_of,
    joined,
    label,
    present_in,
    text_of,
    unique_per_step,
    without_name,
)

Signature = Callable[[LabelSet], LabelSet]


def signature_of(matching: Matching) -> Signature:
    """The labels that two series must agree in, with their values."""
    names = frozenset(matching.labels)
    if matching.on:
        return lambda labels: tuple(pair for pair in labels if pair[0] in names)
    return lambda labels: tuple(pair for pair in labels if pair[0] not in names and pair[0] != NAME)


def combine(node: Binary, left: Rows, right: Rows, budget: Budget) -> Rows:
    """``left op right`` over all steps."""
    if node.op in SETS:
        return _set_operation(node, left, right)
    steps = left.there.shape[1]
    if not len(left) or not len(right):
        return empty(steps)
    return _Pairing(node, left, right, budget).result()


def _set_operation(node: Binary, left: Rows, right: Rows) -> Rows:
    sign = signature_of(node.matching)
    signatures, ids = groups_of([sign(one) for one in left.labels + right.labels])
    mine, theirs = ids[: len(left)], ids[len(left) :]
    count = len(signatures)
    if node.op == "or":
        if not len(left) or not len(right):
            return left if len(left) else right
        taken = _any_of(left, mine, count)
        rest = right.there & ~taken[theirs]
        both = Rows(
            left.labels + right.labels,
            np.concatenate([left.values, right.values]),
            np.concatenate([left.there, rest]),
        )
        return unique_per_step(both.present())
    matched = _any_of(right, theirs, count)[mine]
    return left.masked(left.there & (matched if node.op == "and" else ~matched))


def _any_of(rows: Rows, ids: Ints, count: int) -> Bools:
    """bool[count, T]: whether a row of the group is there; groups may have no row."""
    out = np.zeros((count, rows.there.shape[1]), np.bool_)
    if len(rows):
        groups, compact = np.unique(ids, return_inverse=True)
        out[groups] = present_in(rows.there, compact, len(groups))
    return out


class _Pairing:
    """One operation of "many" rows, each with a row of the "one" side (group_right: the left)."""

    def __init__(self, node: Binary, left: Rows, right: Rows, budget: Budget) -> None:
        self._node = node
        self._matching = node.matching
        self._budget = budget
        self._swapped = self._matching.card == "one-to-many"
        self._many, self._one = (right, left) if self._swapped else (left, right)
        self._sign = signature_of(self._matching)

    def result(self) -> Rows:
        one, variants = self._one_side()
        signatures = [self._sign(labels) for labels in self._many.labels]
        many_at: list[int] = []
        one_at: list[int] = []
        for i, signature in enumerate(signatures):
            for j in variants.get(signature, ()):
                many_at.append(i)
                one_at.append(j)
        steps = one.there.shape[1]
        self._budget.series(len(many_at))
        self._budget.spend(len(many_at) * steps)
        if not many_at:
            return empty(steps)
        many_rows, one_rows = np.array(many_at), np.array(one_at)
        there = self._many.there[many_rows] & one.there[one_rows]
        many_values, one_values = self._many.values[many_rows], one.values[one_rows]
        pair = (one_values, many_values) if self._swapped else (many_values, one_values)
        values, kept = operate(self._node, *pair)
        if kept is not None:
            there &= kept
        labels = [
            self._labels(self._many.labels[a], one.labels[b])
            for a, b in zip(many_at, one_at, strict=True)
        ]
        rows = Rows(labels, values, there)
        self._refuse_repeated(rows, [signatures[a] for a in many_at])
        return unique_per_step(rows.present())

    def _one_side(self) -> tuple[Rows, dict[LabelSet, list[int]]]:
        """The "one" side with one row for each signature and set of included labels, and the
        rows of each signature. Raises QueryFailed if a signature has two rows at a step."""
        one = self._one
        signatures = [self._sign(labels) for labels in one.labels]
        if len(set(signatures)) < len(signatures):
            some = self._many.there.any(axis=0)
            joined(
                Rows(one.labels, one.values, one.there & some), signatures,
                lambda: self._refuse_many(signatures, one.there & some),
            )  # fmt: skip
            include = self._matching.include
            keys = [
                (signature, tuple(label(labels, name) for name in include))
                for signature, labels in zip(signatures, one.labels, strict=True)
            ]
            # Where the many side has nothing, two may be there; that step has no result.
            one = joined(Rows(one.labels, one.values, one.there & some), keys, _impossible)
            signatures = [self._sign(labels) for labels in one.labels]
        variants: dict[LabelSet, list[int]] = {}
        for j, signature in enumerate(signatures):
            variants.setdefault(signature, []).append(j)
        return one, variants

    def _refuse_many(self, signatures: list[LabelSet], there: Bools) -> None:
        for step in range(there.shape[1]):
            seen: dict[LabelSet, int] = {}
            for j in np.flatnonzero(there[:, step]).tolist():
                first = seen.setdefault(signatures[j], j)
                if first != j:
                    side = "left" if self._swapped else "right"
                    raise QueryFailed(
                        f"found duplicate series for the match group {text_of(signatures[j])} on "
                        f"the {side} hand-side of the operation: "
                        f"[{text_of(self._one.labels[j])}, {text_of(self._one.labels[first])}]"
                        ";many-to-many matching not allowed: matching labels must be unique on "
                        "one side"
                    )

    def _labels(self, many: LabelSet, one: LabelSet) -> LabelSet:
        """The labels of a result: those of the many side, changed as the modifiers say."""
        matching = self._matching
        labels = many
        if drops_name(self._node.op):
            labels = without_name(labels)
        if matching.card == "one-to-one":
            if matching.on:
                labels = tuple(pair for pair in labels if pair[0] in matching.labels)
            else:
                labels = tuple(pair for pair in labels if pair[0] not in matching.labels)
        if matching.include:
            labels = changed(labels, {name: label(one, name) for name in matching.include})
        return without_name(labels) if self._node.as_bool else labels

    def _refuse_repeated(self, rows: Rows, signatures: list[LabelSet]) -> None:
        """Raises QueryFailed if a signature gives one-to-one two results at a step, or else two
        with the same labels."""
        if self._matching.card == "one-to-one":
            keys: list[object] = list(signatures)
            why = "many-to-one matching must be explicit (group_left/group_right)"
        else:
            keys = list(zip(signatures, rows.labels, strict=True))
            why = "grouping labels must ensure unique matches"

        def refuse() -> None:
            raise QueryFailed(f"multiple matches for labels: {why}")

        joined(rows, keys, refuse)


def _impossible() -> None:
    raise AssertionError("a signature was found unique, and has two rows")


def operate(node: Binary, left: Floats, right: Floats) -> tuple[Floats, Bools | None]:
    """Values of the operation, and which are kept (``None``: all)."""
    with np.errstate(all="ignore"):
        if node.op in ARITHMETIC:
            return ARITHMETIC[node.op](left, right), None
        holds = COMPARE[node.op](left, right)
    if node.as_bool:
        return holds.astype(np.float64), None
    return np.broadcast_to(left, holds.shape), holds
