"""An expression that is laid out means what it meant."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from promql_corners import corners
from promql_queries import BY_HAND, Queries, by_hand

from barograph.answer import QueryInvalid
from barograph_promql.formatting import formatted
from barograph_promql.parsing import parse
from barograph_promql.plan import Selector


def meaning(text: str) -> str:
    """The plan as text, in which NaN equals NaN; the order of matchers does not count."""

    def plain(node: Any) -> Any:
        if isinstance(node, Selector):
            return attrs.evolve(node, matchers=tuple(sorted(node.matchers, key=repr)))
        if isinstance(node, tuple):
            return tuple(plain(one) for one in node)
        if not attrs.has(type(node)):
            return node
        parts = {a.name: plain(getattr(node, a.name)) for a in attrs.fields(type(node)) if a.init}
        return type(node)(**parts)

    return repr(plain(parse(text)))


@given(st.integers(0, 2**32))
def test_a_random_expression_keeps_its_meaning(seed: int) -> None:
    text = Queries(seed).expression().replace("AT", "1700000000")
    try:
        parse(text)
    except QueryInvalid:  # some are refused, e.g. for a label both in on and in group_left
        assume(False)
    laid_out = formatted(text)
    assert meaning(laid_out) == meaning(text)
    assert formatted(laid_out) == laid_out


def test_expressions_by_hand_keep_their_meaning() -> None:
    kept = 0
    for text in by_hand(BY_HAND + corners(), 1_700_000_000_000):
        try:
            plan = meaning(text)
        except QueryInvalid:
            with pytest.raises(QueryInvalid):
                formatted(text)
            continue
        kept += 1
        assert meaning(formatted(text)) == plan, text
    assert kept > 500


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_label_value_keeps_its_meaning(value: str, pattern: str) -> None:
    def literal(text: str) -> str:
        return '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'

    text = f"m{{a={literal(value)},b!={literal(pattern)}}}"
    try:
        plan = parse(text)
    except QueryInvalid:  # a character that is none by itself
        assert any(0xD800 <= ord(c) <= 0xDFFF for c in value + pattern)
        return
    assert parse(formatted(text)) == plan
    assert [m.value for m in plan.matchers[1:]] == [value, pattern]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "laid_out"),
    [
        ("sum(a)by(b)>1", "sum by (b) (a) > 1"),
        ("a{b=~`\\d|x`,c!~'y'}[5m:]", 'a{b=~"\\\\d|x",c!~"y"}[5m:]'),
        ("a[1h]@end() offset-1m", "a[1h] @ end() offset -1m"),
        ("inf-nan", "+Inf - NaN"),
        ("-inf", "-Inf"),
        ("0x1F*1e-9", "31 * 1e-09"),
        ("a @ 0x10", "a @ 16.000"),
        ("a # what\n+ b", "a + b"),
        ("a+ignoring()group_left(x)b", "a + ignoring () group_left (x) b"),
        ("a+on(x)group_left b", "a + on (x) group_left () b"),
        ('{a="barograph.0|.+",b=~"c"}', '{a="barograph.0|.+",b=~"c"}'),
    ],
)  # fmt: skip
def test_numbers_times_and_strings_are_written_as_prometheus_writes_them(
    text: str, laid_out: str
) -> None:
    assert formatted(text) == laid_out


def test_a_long_expression_takes_several_lines() -> None:
    text = " + ".join(f'sum by (job) (rate(requests_{n}_total{{code=~"5.."}}[5m]))' for n in "abc")
    lines = formatted(text).splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 100 for line in lines)
