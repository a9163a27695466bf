"""Range data for charts: pick series, take values or rates, aggregate over labels."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from barograph.model import Matcher

Fn = Literal["value", "rate", "increase"]
Agg = Literal["none", "sum", "mean", "min", "max"]


@attrs.frozen
class RangeQuery:
    """What one chart shows.

    ``match``: PromQL series selectors (``system_cpu_time_seconds_total{mode!="idle"}``), joined.
    ``fn``: ``value`` (mean of a window), ``rate`` (per second, counter resets taken out) or
    ``increase`` (per step). ``agg`` over all labels but those in ``by``. ``scale`` multiplies
    the result. ``legend``: text with ``{label}`` parts. ``top``: keep the N series with the
    greatest mean (0: all). ``quantile``: the series are buckets of classic histograms (label
    ``le``); each line is this quantile of what a group counts. ``over``: selectors of a whole, of
    which each group is shown as its share (with ``fn`` and ``agg`` of the query; 0 if it has none).
    """

    match: tuple[str, ...]
    fn: Fn = "value"
    agg: Agg = "none"
    by: tuple[str, ...] = ()
    scale: float = 1.0
    legend: str = ""
    top: int = 0
    quantile: float | None = None
    over: tuple[str, ...] = ()


MAX_SELECTOR = 20_000
_QUOTED = re.compile(r"""\"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`""", re.DOTALL)
_MORE = re.compile(r"[()@+*/%^\[\]-]")
"""What stands in expressions that are more than a selector."""


@functools.lru_cache(1024)
def parse_selector(text: str) -> list[Matcher]:
    """Matchers of a PromQL series selector. Raises ValueError with what is wrong and where."""
    import promql_parser  # heavy: only when a selector is parsed

    from barograph.answer import QueryInvalid
    from barograph.model import NAME, Matcher, MatchOp
    from barograph.promql_place import placed
    from barograph.promql_text import mask, quoted

    if len(text) > MAX_SELECTOR:
        raise ValueError(f"a series selector has at most {MAX_SELECTOR:,} characters")
    if _MORE.search(_QUOTED.sub("", text)):
        # What can nest goes no further: the parser has no bound of its own on its stack.
        raise ValueError(f'bad series selector {text[:200]!r}: write name{{label="value"}}')
    try:
        masked = mask(text)
        expr = promql_parser.parse(masked.text)
    except QueryInvalid as error:
        raise ValueError(f"bad series selector {text!r}: {error}") from None
    except ValueError as error:
        raise ValueError(f"bad series selector {text!r}: {placed(text, str(error))}") from None
    if not isinstance(expr, promql_parser.VectorSelector) or (
        expr.offset or expr.at or expr.matchers.or_matchers
    ):
        raise ValueError(f'bad series selector {text!r}: write name{{label="value"}}')
    theirs = promql_parser.MatchOp
    ops = [
        (theirs.Equal, MatchOp.EQUAL), (theirs.NotEqual, MatchOp.NOT_EQUAL),
        (theirs.Re, MatchOp.REGEX), (theirs.NotRe, MatchOp.NOT_REGEX),
    ]  # fmt: skip
    matchers = [Matcher.equal(NAME, expr.name)] if expr.name else []
    empty = []
    for matcher in expr.matchers.matchers:
        op = next(mine for their, mine in ops if their == matcher.op)
        plain = op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL)
        value = matcher.value if plain else masked.pattern(matcher.value)
        matchers.append(Matcher(matcher.name, op, value))
        try:
            promql_parser.parse(f"{{x{op.value}{quoted(value)}}}")
        except ValueError as error:
            if "non-empty matcher" not in str(error):
                raise ValueError(f"bad series selector {text!r}: {error}") from None
            empty.append(matcher)
    if not expr.name and len(empty) == len(expr.matchers.matchers):
        raise ValueError(
            f"bad series selector {text!r}: it must contain at least one non-empty matcher"
        )
    return matchers
