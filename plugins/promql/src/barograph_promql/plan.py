"""An expression as the evaluator sees it: parsed, checked, without parentheses.

Times are ms. ``offset_ms`` looks back when positive. ``at`` is an absolute time, or ``"start"`` or
``"end"`` of the query, or ``None``.
"""

from __future__ import annotations

from typing import Literal

import attrs

from barograph.model import Matcher

Kind = Literal["scalar", "vector", "matrix", "string"]
At = int | Literal["start", "end"] | None
Card = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]

COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
SETS = frozenset(("and", "or", "unless"))


@attrs.frozen
class Number:
    """A literal."""

    value: float
    kind: Kind = "scalar"


@attrs.frozen
class Text:
    """A string literal."""

    value: str
    kind: Kind = "string"


@attrs.frozen
class Selector:
    """The newest sample of each series that fits."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at: At = None
    kind: Kind = "vector"


@attrs.frozen
class RangeSelector:
    """The samples of a window before each step."""

    selector: Selector
    range_ms: int
    kind: Kind = "matrix"


@attrs.frozen
class Subquery:
    """A window over an expression that is evaluated at steps of its own.

    ``step_ms`` 0: the engine's default.
    """

    expr: Node
    range_ms: int
    step_ms: int = 0
    offset_ms: int = 0
    at: At = None
    kind: Kind = "matrix"


@attrs.frozen
class Call:
    """A function call; ``kind`` is what the function gives."""

    function: str
    args: tuple[Node, ...]
    kind: Kind


@attrs.frozen
class Aggregate:
    """``op`` over all series that agree in the labels (``without``: in all other labels)."""

    op: str
    expr: Node
    param: Node | None = None
    labels: tuple[str, ...] = ()
    without: bool = False
    kind: Kind = "vector"


@attrs.frozen
class Matching:
    """How a binary operator pairs two vectors."""

    card: Card = "one-to-one"
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()


@attrs.frozen
class Binary:
    """Two operands; ``matching`` is used when both are vectors."""

    op: str
    lhs: Node
    rhs: Node
    matching: Matching
    as_bool: bool = False

    @property
    def kind(self) -> Kind:
        scalar = self.lhs.kind == "scalar" and self.rhs.kind == "scalar"
        return "scalar" if scalar else "vector"


@attrs.frozen
class Negate:
    """Unary minus."""

    expr: Node

    @property
    def kind(self) -> Kind:
        return self.expr.kind


Node = Number | Text | Selector | RangeSelector | Subquery | Call | Aggregate | Binary | Negate


def drops_name(op: str) -> bool:
    """Whether an operator's result is a new quantity, so that the metric name goes."""
    return op in ("+", "-", "*", "/", "%", "^")
