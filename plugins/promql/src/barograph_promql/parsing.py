"""From text to a plan: the parser library, and what it leaves to us.

The library parses and checks types, of the text that ``barograph.promql_text`` makes for it.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import promql_parser as pp

from barograph.answer import QueryInvalid
from barograph.model import NAME, Matcher, MatchOp
from barograph.promql_place import placed
from barograph.promql_text import Masked, mask
from barograph_promql import plan
from barograph_promql.catalogue import FUNCTIONS
from barograph_promql.patterns import compiled, matches_empty
from barograph_promql.plan import Card, Kind, Matching, Node

MAX_DEPTH = 120
"""Operands within operands; a chain such as ``a or b or c`` counts once."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_MAX_DURATION_MS = 2**63 // 1_000_000  # 292 years

_registering = threading.Lock()
_registered = False


@functools.lru_cache(512)
def parse(text: str) -> Node:
    """The plan of an expression. Raises QueryInvalid."""
    masked = mask(text)
    with _refusing():
        return _Converter(masked).convert(tree_of(masked), 0)


def tree_of(masked: Masked) -> Any:
    """The library's tree, with stand-ins. Raises QueryInvalid."""
    _register()
    with _refusing():
        try:
            return pp.parse(masked.text)
        except ValueError as error:
            raise QueryInvalid(placed(masked.given, str(error))) from None


@contextmanager
def _refusing() -> Iterator[None]:
    """What the library raises as QueryInvalid."""
    try:
        yield
    except QueryInvalid:
        raise
    except (ValueError, OverflowError) as error:
        raise QueryInvalid(f"parse error: {error}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise QueryInvalid(f"parse error: the parser gave up: {error}") from None


def _register() -> None:
    """Teach the library the functions that it does not know."""
    global _registered
    with _registering:
        if not _registered:
            matrix, scalar, vector = (
                pp.ValueType.Matrix, pp.ValueType.Scalar, pp.ValueType.Vector
            )  # fmt: skip
            pp.register_extra_functions(
                [pp.Function("holt_winters", [matrix, scalar, scalar], vector)]
            )
            _registered = True


class _Converter:
    """The library's tree to ours. Recursive, but along the left side of a chain of operators."""

    def __init__(self, masked: Masked) -> None:
        self._masked = masked

    def convert(self, tree: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise QueryInvalid(f"the expression nests deeper than {MAX_DEPTH} levels")
        while isinstance(tree, pp.ParenExpr):
            tree = tree.expr
        if isinstance(tree, pp.NumberLiteral):
            return plan.Number(float(tree.val))
        if isinstance(tree, pp.StringLiteral):
            return plan.Text(tree.val)
        if isinstance(tree, pp.VectorSelector):
            return self._selector(tree)
        if isinstance(tree, pp.MatrixSelector):
            return plan.RangeSelector(self._selector(tree.vector_selector), _ms(tree.range))
        if isinstance(tree, pp.SubqueryExpr):
            return plan.Subquery(
                self.convert(tree.expr, depth + 1), _ms(tree.range), _ms(tree.step),
                _ms(tree.offset), self._at(tree.at),
            )  # fmt: skip
        if isinstance(tree, pp.UnaryExpr):
            return plan.Negate(self.convert(tree.expr, depth + 1))
        if isinstance(tree, pp.Call):
            return self._call(tree, depth)
        if isinstance(tree, pp.AggregateExpr):
            return self._aggregate(tree, depth)
        if isinstance(tree, pp.BinaryExpr):
            return self._binary(tree, depth)
        raise QueryInvalid(f"parse error: {type(tree).__name__} is not supported")

    def _selector(self, tree: Any) -> plan.Selector:
        if tree.matchers.or_matchers:
            raise QueryInvalid('parse error: unexpected "or" in label matching')
        matchers = [Matcher.equal(NAME, tree.name)] if tree.name else []
        matchers += [self._matcher(matcher) for matcher in tree.matchers.matchers]
        if all(matches_empty(m) for m in matchers):
            raise QueryInvalid(
                "parse error: vector selector must contain at least one non-empty matcher"
            )
        return plan.Selector(tuple(matchers), _ms(tree.offset), self._at(tree.at))

    def _matcher(self, matcher: Any) -> Matcher:
        if matcher.op == pp.MatchOp.Equal:
            return Matcher(matcher.name, MatchOp.EQUAL, matcher.value)
        if matcher.op == pp.MatchOp.NotEqual:
            return Matcher(matcher.name, MatchOp.NOT_EQUAL, matcher.value)
        pattern = self._masked.pattern(matcher.value)
        compiled(pattern)
        op = MatchOp.REGEX if matcher.op == pp.MatchOp.Re else MatchOp.NOT_REGEX
        return Matcher(matcher.name, op, pattern)

    def _at(self, at: Any) -> plan.At:
        if at is None:
            return None
        if at.type == pp.AtModifierType.Start:
            return "start"
        if at.type == pp.AtModifierType.End:
            return "end"
        number: int = round(at.at.timestamp())
        return self._masked.times[number]

    def _call(self, tree: Any, depth: int) -> Node:
        name = tree.func.name
        if name not in FUNCTIONS:
            raise QueryInvalid(f'parse error: unknown function with name "{name}"')
        args = tuple(self.convert(arg, depth + 1) for arg in tree.args)
        return plan.Call(name, args, _kind(tree.func.return_type))

    def _aggregate(self, tree: Any, depth: int) -> Node:
        labels: tuple[str, ...] = ()
        without = False
        if tree.modifier is not None:
            labels = tuple(sorted(set(tree.modifier.labels)))
            without = tree.modifier.type == pp.AggModifierType.Without
        param = None if tree.param is None else self.convert(tree.param, depth + 1)
        op = str(tree.op)
        if op not in AGGREGATIONS:
            raise QueryInvalid(f"parse error: aggregation {op} is not supported")
        return plan.Aggregate(op, self.convert(tree.expr, depth + 1), param, labels, without)

    def _binary(self, tree: Any, depth: int) -> Node:
        chain = []
        while isinstance(tree, pp.BinaryExpr):
            chain.append((str(tree.op), tree.rhs, tree.modifier))
            tree = tree.lhs
        left = self.convert(tree, depth + 1)
        for op, right, modifier in reversed(chain):
            left = _joined(op, left, self.convert(right, depth + 1), modifier)
        return left


AGGREGATIONS = frozenset(
    ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk",
     "limitk", "limit_ratio", "quantile", "count_values")
)  # fmt: skip


def _joined(op: str, left: Node, right: Node, modifier: Any) -> Node:
    matching = Matching("many-to-many" if op in plan.SETS else "one-to-one")
    as_bool = False
    if modifier is not None:
        cards: list[tuple[Any, Card]] = [
            (pp.VectorMatchCardinality.OneToOne, "one-to-one"),
            (pp.VectorMatchCardinality.ManyToOne, "many-to-one"),
            (pp.VectorMatchCardinality.OneToMany, "one-to-many"),
            (pp.VectorMatchCardinality.ManyToMany, "many-to-many"),
        ]
        card = next(mine for theirs, mine in cards if theirs == modifier.card)
        labels: tuple[str, ...] = ()
        on = False
        if modifier.matching is not None:
            labels = tuple(modifier.matching.labels)
            on = modifier.matching.type == pp.LabelModifierType.Include
        matching = Matching(card, on, labels, tuple(modifier.group_labels or ()))
        as_bool = modifier.return_bool
        fill = modifier.fill_values
        if fill is not None and (fill.lhs is not None or fill.rhs is not None):
            raise QueryInvalid("parse error: fill modifiers are not supported")
    return plan.Binary(op, left, right, matching, as_bool)


def _kind(theirs: Any) -> Kind:
    kinds: list[tuple[Any, Kind]] = [
        (pp.ValueType.Vector, "vector"), (pp.ValueType.Scalar, "scalar"),
        (pp.ValueType.Matrix, "matrix"), (pp.ValueType.String, "string"),
    ]  # fmt: skip
    return next(mine for value, mine in kinds if value == theirs)


def _ms(duration: timedelta | None) -> int:
    if duration is None:
        return 0
    ms = duration // timedelta(milliseconds=1)
    if abs(ms) > _MAX_DURATION_MS:
        raise QueryInvalid("parse error: duration out of range")
    return ms


def is_label_name(text: str) -> bool:
    """Whether ``text`` may name a label, as PromQL writes them."""
    return _LABEL.fullmatch(text) is not None
