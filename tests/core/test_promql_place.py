"""Where an expression goes wrong."""

from __future__ import annotations

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.promql_place import MAX_TOKENS, placed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("foo bar", '1:5: parse error: unexpected "bar"'),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("sum(a) +\n  * b", '2:3: parse error: unexpected "*"'),
        ("sum by a (b)", '1:8: parse error: unexpected "a"'),
        ("rate(a[5m)", '1:10: parse error: unexpected ")"'),
        ("a[5m:1m:1m]", '1:8: parse error: unexpected ":"'),
        ('a{b="c" d="e"}', '1:9: parse error: unexpected "d"'),
        ('a{="b"}', '1:3: parse error: unexpected "="'),
        ('a{b="}") + ) # c', '1:8: parse error: unexpected ")"'),
        ("a # why\n b", '2:2: parse error: unexpected "b"'),
        ("a offset b", '1:10: parse error: unexpected "b"'),
        ("a + on (b c) d", '1:11: parse error: unexpected "c"'),
        ('"a" "b\\"c"', '1:5: parse error: unexpected "\\"b\\\\\\"c\\""'),
        ("a ]", '1:3: parse error: unexpected "]"'),
        ("a[5m", "1:5: parse error: unexpected end of input inside brackets"),
        ("sum(a", "1:6: parse error: unclosed left parenthesis"),
        ("rate(a)", "parse error: expected type matrix in call to function 'rate', got vector"),
        ("a " * (MAX_TOKENS + 1), "parse error: invalid promql query"),
    ],
)
def test_the_first_token_that_cannot_stand_there_is_named(text: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:
        promql_parser.parse(text)
    assert placed(text, str(caught.value)) == told


PIECES = [
    "a",
    "sum",
    "by",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "5m",
    "1",
    '"s"',
    "=",
    ",",
    "+",
    "on",
    ":",
]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12))
def test_what_stands_before_the_place_can_be_gone_on_with(pieces: list[str]) -> None:
    """Cut off there, the text is never said to go wrong any earlier."""
    text = " ".join(pieces)
    try:
        promql_parser.parse(text)
    except ValueError as error:
        if "parse error: " + str(error) == placed(text, str(error)):
            return  # about types, or what no selector is
        line, column, _ = placed(text, str(error)).split(":", 2)
        assert line == "1"
        before = text[: int(column) - 1]
        again = placed(f"{before} ~", "unexpected")
        assert again.startswith(f"1:{len(before) + 2}:") or not before
