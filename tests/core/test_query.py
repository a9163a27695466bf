"""Series selectors."""

from __future__ import annotations

import pytest

from barograph.model import Matcher, MatchOp
from barograph.query import parse_selector


def test_a_selector_becomes_matchers() -> None:
    assert parse_selector('cpu{mode!="idle",cpu=~"0|1",x!~"a.*",y="\\"q\\""}') == [
        Matcher("__name__", MatchOp.EQUAL, "cpu"), Matcher("mode", MatchOp.NOT_EQUAL, "idle"),
        Matcher("cpu", MatchOp.REGEX, "0|1"), Matcher("x", MatchOp.NOT_REGEX, "a.*"),
        Matcher("y", MatchOp.EQUAL, '"q"'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{a=~".*"}', '{a=""}', '{a!~".+",b=~`x?`}', '{a="\\q"}', 'a{b="c}',
     "sum(a)", "a[5m]", "a offset 5m", "a @ 5", "1", '"x"', "a{", 'a{b=~"("}', 'a{b=""',
     '{a="b" or c="d"}', "<script>", "a" * 10 + "{" * 10],
)  # fmt: skip
def test_what_is_no_plain_selector_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        parse_selector(text)


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "a" * 30_000, "-" * 9000 + "x", "x @ -1", "f(" * 5000, "x[5m]", "a + b"]
)
def test_what_is_more_than_a_selector_is_refused_before_it_is_parsed(text: str) -> None:
    with pytest.raises(ValueError, match="selector"):
        parse_selector(text)


def test_quoted_values_may_hold_anything() -> None:
    found = parse_selector("""x{a="(@[-", b='it\\'s (', c=~`(a|b)+`}""")
    assert [m.value for m in found] == ["x", "(@[-", "it's (", "(a|b)+"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"{a=~`\d+\.x|\w`}", r"\d+\.x|\w"),
        (r"{a=`back\slash\n`}", r"back\slash\n"),
        (r'{a=~"\x41\101|é"}', "AA|é"),
        (r'{a="\xc3\xa9\303\251"}', "éé"),
        (r'{a="\\xc3"}', r"\xc3"),
        (r'{a="\xff"}', "\ufffd"),
        ('{a!~".*"}', ".*"),
    ],
)
def test_strings_are_read_as_promql_writes_them(text: str, value: str) -> None:
    (matcher,) = parse_selector(text)
    assert matcher.value == value
