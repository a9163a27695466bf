"""Relabelling: a table of rules, labels before and after."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph_prometheus.relabel import ACTIONS, Relabel, relabeller

BEFORE = {"a": "foo", "b": "bar", "c": "baz"}

CASES: list[tuple[dict[str, Any], dict[str, str] | None]] = [
    ({"source_labels": ("a",), "regex": "f(.*)", "target_label": "d",
      "replacement": "ch${1}-ch${1}"}, {**BEFORE, "d": "choo-choo"}),
    ({"source_labels": ("a", "b"), "regex": "f(.*);(.*)r", "target_label": "a",
      "replacement": "b${1}${2}m"}, {**BEFORE, "a": "boobam"}),
    ({"source_labels": ("a",), "regex": "o", "target_label": "d"}, BEFORE),
    ({"source_labels": ("a",), "regex": ".*o.*", "action": "drop"}, None),
    ({"source_labels": ("a",), "regex": "f|o", "action": "drop"}, BEFORE),
    ({"source_labels": ("a",), "regex": "no-match", "action": "keep"}, None),
    ({"source_labels": ("a",), "regex": "f.*", "action": "keep"}, BEFORE),
    ({"source_labels": ("absent",), "regex": "", "action": "drop"}, None),
    ({"target_label": "a", "replacement": ""}, {"b": "bar", "c": "baz"}),
    ({"source_labels": ("a",), "regex": "(f).*", "target_label": "${1}oo", "replacement": "x"},
     {**BEFORE, "foo": "x"}),
    ({"source_labels": ("a",), "regex": "(.*)", "target_label": "$1-x", "replacement": "x"},
     BEFORE),
    ({"source_labels": ("a",), "regex": "(?P<n>.)(.*)", "target_label": "d",
      "replacement": "$$${n}$2x$9"}, {**BEFORE, "d": "$f"}),
    ({"regex": "(b|c)", "action": "labeldrop"}, {"a": "foo"}),
    ({"regex": "a|c", "action": "labelkeep"}, {"a": "foo", "c": "baz"}),
    ({"regex": "(b|c)", "replacement": "x_$1", "action": "labelmap"},
     {**BEFORE, "x_b": "bar", "x_c": "baz"}),
    ({"source_labels": ("a",), "target_label": "d", "action": "uppercase"}, {**BEFORE, "d": "FOO"}),
    ({"source_labels": ("a", "b"), "separator": "Ü", "target_label": "d", "action": "lowercase"},
     {**BEFORE, "d": "fooübar"}),
    ({"source_labels": ("a",), "target_label": "b", "action": "keepequal"}, None),
    ({"source_labels": ("a",), "target_label": "b", "action": "dropequal"}, BEFORE),
    ({"source_labels": ("c",), "target_label": "d", "modulus": 1000, "action": "hashmod"},
     {**BEFORE, "d": "976"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "after"), CASES)
def test_a_rule(rule: dict[str, Any], after: dict[str, str] | None) -> None:
    assert relabeller([Relabel(**rule)])(BEFORE) == after


@given(st.text(max_size=20), st.integers(1, 2**40))
def test_a_hash_is_the_end_of_md5_modulo(value: str, modulus: int) -> None:
    rule = Relabel(source_labels=("a",), target_label="d", modulus=modulus, action="hashmod")
    found = relabeller([rule])({"a": value, "e": "x"})
    assert found is not None
    whole = int(hashlib.md5(value.encode()).hexdigest(), 16)
    assert int(found["d"]) == (whole & (2**64 - 1)) % modulus


def test_rules_are_applied_in_order_until_one_drops() -> None:
    rules = [
        Relabel(source_labels=("a",), target_label="d"),
        Relabel(source_labels=("d",), regex="foo", target_label="e", replacement="seen"),
        Relabel(regex="a|d", action="labeldrop"),
    ]
    assert relabeller(rules)(BEFORE) == {"b": "bar", "c": "baz", "e": "seen"}
    drop = Relabel(source_labels=("d",), regex="foo", action="drop")
    assert relabeller([rules[0], drop, rules[1]])(BEFORE) is None


@pytest.mark.parametrize(("rule", "told"), [
    ({"action": "hashmod", "target_label": "a"}, "modulus"),
    ({"action": "replace"}, "target_label"),
    ({"action": "uppercase", "target_label": "no-label"}, "no label name"),
])  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Relabel(**rule)


@given(st.sampled_from(ACTIONS), st.sampled_from(["(.*)", "a|b", "(?P<n>f).*", "", "x"]),
       st.sampled_from(["$1", "${n}", "$", "$$", "${", "x", ""]), st.dictionaries(
           st.sampled_from("abc"), st.text(max_size=5)))  # fmt: skip
def test_no_rule_leaves_an_empty_value(
    action: str, regex: str, replacement: str, labels: dict[str, str]
) -> None:
    rule = Relabel(("a", "b"), ";", regex, 7, "t", replacement, action)
    found = relabeller([rule])(labels)
    assert found is None or all(found.values())
