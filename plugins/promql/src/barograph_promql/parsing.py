"""From text to a plan: the parser library, and what it leaves to us.

The library parses and checks types. Before it sees the text: what nests too deep is refused, for
its parser recurses, and a thread's stack is finite. Regular expressions, which it reads with
another engine than RE2, and times after ``@``, of which it keeps only those after 1970, are
replaced by stand-ins, and put back into the plan. Raw strings, in which it looks for escapes, are
quoted; numbers are written the way it reads them.
"""

from __future__ import annotations

import functools
import math
import re
import threading
from datetime import timedelta
from typing import Any

import attrs
import promql_parser as pp

from barograph.answer import QueryInvalid
from barograph.model import NAME, Matcher, MatchOp
from barograph_promql import plan
from barograph_promql.catalogue import FUNCTIONS
from barograph_promql.patterns import compiled, matches_empty
from barograph_promql.plan import Card, Kind, Matching, Node
from barograph_promql.rows import quoted

MAX_LENGTH = 65_536
"""Characters of an expression."""

MAX_NESTING = 1000
"""Operators and brackets of an expression; the parser's stack holds some four times as many."""

MAX_DEPTH = 120
"""Operands within operands; a chain such as ``a or b or c`` counts once."""

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<regex>=~|!~)
    |(?P<at>@[\s]*(?P<time>[+-]?\s*(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?
        |nan\b|inf\b))(?![\w.:]))
    |(?P<bound>@\s*(?:start|end)\b)
    |(?P<nesting>[(\[{]|[-+*/%^<>]|[=!]=?|\b(?:and|or|unless|atan2|offset|bool)\b)
    |(?P<number>(?:\d+\.?\d*|\.\d+)e[+-]?\d+(?![\w.]))
    |(?P<word>[\w:.]+)
    |(?P<space>\s+)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII | re.IGNORECASE,
)
_STAND_IN = "barograph.{0}|.+"
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_MAX_TIME_S = 2.0**63

_registering = threading.Lock()
_registered = False


@functools.lru_cache(512)
def parse(text: str) -> Node:
    """The plan of an expression. Raises QueryInvalid."""
    _register()
    masked = _mask(text)
    try:
        return _Converter(masked).convert(pp.parse(masked.text), 0)
    except QueryInvalid:
        raise
    except (ValueError, OverflowError) as error:
        raise QueryInvalid(f"parse error: {error}") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise QueryInvalid(f"parse error: the parser gave up: {error}") from None


@attrs.frozen
class _Masked:
    """The text for the library, with the stand-ins' meanings."""

    text: str
    patterns: list[str]
    times: list[int]


def _mask(text: str) -> _Masked:
    if len(text) > MAX_LENGTH:
        raise QueryInvalid(f"the expression has more than {MAX_LENGTH:,} characters")
    out: list[str] = []
    patterns: list[str] = []
    times: list[int] = []
    nesting = 0
    after_regex = False
    for token in _TOKEN.finditer(text):
        kind, part = token.lastgroup, token[0]
        if kind == "string" and part.startswith("`"):
            part = quoted(part[1:-1])
        if token["at"] is not None:
            times.append(_time(re.sub(r"\s", "", token["time"])))
            part = f"@ {len(times) - 1}"
        elif kind == "string" and after_regex:
            patterns.append(_unquoted(part))
            part = f'"{_STAND_IN.format(len(patterns) - 1)}"'
        elif kind == "nesting":
            nesting += 1
        elif kind == "number":
            part = _number(part)
        elif part == "@":
            raise QueryInvalid("parse error: expected a time in seconds, start() or end() after @")
        if kind not in ("space", "comment"):
            after_regex = kind == "regex"
        out.append(part)
    if nesting > MAX_NESTING:
        raise QueryInvalid(f"the expression has more than {MAX_NESTING:,} operators and brackets")
    return _Masked("".join(out), patterns, times)


def _unquoted(literal: str) -> str:
    try:
        tree: Any = pp.parse(literal)
        return str(tree.val)
    except ValueError as error:
        raise QueryInvalid(f"parse error: {error}") from None


def _number(text: str) -> str:
    """A number with an exponent, as the library reads it: without zeros in front."""
    value = float(text)
    if math.isinf(value):
        raise QueryInvalid(f"parse error: error parsing number: {text}: value out of range")
    return repr(value)


def _time(text: str) -> int:
    """Seconds as written after ``@``, in ms."""
    digits = text.lstrip("+-")
    seconds = float(int(digits, 16)) if digits[:2] in ("0x", "0X") else float(digits)
    if text.startswith("-"):
        seconds = -seconds
    if not abs(seconds) < _MAX_TIME_S:
        raise QueryInvalid(f"parse error: timestamp out of bounds for @ modifier: {seconds}")
    ms = math.copysign(math.floor(abs(seconds) * 1000 + 0.5), seconds)
    return max(-(2**62), min(2**62, int(ms)))


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

    def __init__(self, masked: _Masked) -> None:
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
        number = int(matcher.value.removeprefix("barograph.").partition("|")[0])
        pattern = self._masked.patterns[number]
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
     "limitk", "quantile", "count_values")
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
    return 0 if duration is None else duration // timedelta(milliseconds=1)


def is_label_name(text: str) -> bool:
    """Whether ``text`` may name a label, as PromQL writes them."""
    return _LABEL.fullmatch(text) is not None
