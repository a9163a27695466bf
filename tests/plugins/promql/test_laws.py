"""What holds for every expression, at random."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promql_compare import ours, same
from promql_data import EVERY_MS, Data, generate
from promql_queries import BY_HAND, REFUSED, Queries, by_hand

from barograph.answer import Answer, Matrix, QueryInvalid, Scalar, Vector
from barograph.model import Labels
from barograph_promql.engine import PromqlEngine
from barograph_promql.parsing import parse
from barograph_sqlite.store import SqliteStore

END = 1_700_000_000_000
STEPS = 5


@pytest.fixture(scope="module")
def data() -> Data:
    return generate(END)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path_factory.mktemp("laws"))
    store.open()
    data.fill(store)
    yield store
    store.close()


def points(answer: Matrix | Vector | Scalar) -> dict[tuple[Labels, int], float]:
    if isinstance(answer, Scalar):
        return {(Labels(()), answer.t_ms): answer.value}
    if isinstance(answer, Vector):
        return {
            (labels, answer.t_ms): value
            for labels, value in zip(answer.labels, answer.values.tolist(), strict=True)
        }
    return {
        (labels, t): v
        for labels, column in answer
        for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
    }


@settings(max_examples=200)
@given(seed=st.integers(0, 10**9))
def test_a_range_gives_at_each_step_what_an_instant_does(
    seed: int, store: SqliteStore, data: Data
) -> None:
    expr = Queries(seed).expression().replace("AT", str(data.start_ms // 1000 + 600))
    # start() and end() are other times in a range; a fixed one is the same.
    expr = re.sub(r"(?i)start\(\)", "1699999000", expr)
    expr = re.sub(r"(?i)end\(\)", "1699999500.5", expr)
    engine = PromqlEngine()
    step = 97_003
    start = data.start_ms + random.Random(seed).randrange(200) * EVERY_MS
    end = start + step * (STEPS - 1)
    want: dict[tuple[Labels, int], float] = {}
    failed = ""
    for t_ms in range(start, end + 1, step):
        answer = ours(engine, store, expr, (t_ms,))
        if isinstance(answer, str):
            failed = answer
            break
        assert isinstance(answer, Scalar | Vector)
        want |= points(answer)
    answer = ours(engine, store, expr, (start, end, step))
    if isinstance(answer, str):
        # Two series that have no step in common are refused by some functions all the same.
        assert failed or "same labelset" in answer, expr
        return
    assert isinstance(answer, Matrix)
    got = points(answer)
    assert not failed, f"{expr}: {failed}"
    assert set(got) == set(want), expr
    for key, value in want.items():
        assert same(got[key], value, 1e-12), f"{expr}: {key}: {got[key]} for {value}"


TEXTS = [*by_hand(BY_HAND, END), *by_hand(REFUSED, END)]
PIECES = ["(", ")", "[", "]", "{", "}", "@", "-", "=~", "!~", '"', "'", "`", "\\", "#", "\n", "\0",
          "é", "offset", "by", "1e999", "0x", "5m", ":", ",", "bool", "or", "NaN",
          "\ud800"]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A query with pieces cut out, put in or doubled."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        a = draw(st.integers(0, len(text)))
        b = draw(st.integers(a, min(a + 5, len(text))))
        text = text[:a] + draw(st.sampled_from(["", *PIECES])) + text[b:]
    return text


@settings(max_examples=500)
@given(damaged())
def test_text_of_any_kind_is_answered_or_refused(store: SqliteStore, text: str) -> None:
    answer = ours(PromqlEngine(), store, text, (END - 1_000_000,))
    assert isinstance(answer, Answer) or len(answer) > len("bad_data: ")


@given(st.text(max_size=40))
def test_a_string_is_read_back(store: SqliteStore, text: str) -> None:
    literal = '"' + "".join(f"\\U{ord(c):08x}" for c in text) + '"'
    answer = PromqlEngine().instant(store, literal, END)
    assert answer.value == text  # type: ignore[union-attr]


@given(st.text(st.characters(exclude_characters="`", exclude_categories=["Cs"]), max_size=40))
def test_a_raw_string_is_read_as_it_is(store: SqliteStore, text: str) -> None:
    answer = PromqlEngine().instant(store, f"`{text}`", END)
    assert answer.value == text  # type: ignore[union-attr]


@given(st.floats(-1e12, 1e12))
def test_a_time_after_at_is_kept_to_the_millisecond(seconds: float) -> None:
    node = parse(f"m @ {seconds:f}")
    assert abs(node.at - float(f"{seconds:f}") * 1000) <= 0.5  # type: ignore[operator, union-attr]


def test_what_a_plan_says_is_what_was_written() -> None:
    with pytest.raises(QueryInvalid):
        parse("m @ 1e300")
    node = parse('m{a=~"x.*", b!~`y\\d`, c="z"}[5m] @ end() offset -1m')
    assert node.selector.at == "end"  # type: ignore[union-attr]
    assert node.selector.offset_ms == -60_000  # type: ignore[union-attr]
    values = [matcher.value for matcher in node.selector.matchers]  # type: ignore[union-attr]
    assert sorted(values) == ["m", "x.*", "y\\d", "z"]


def test_the_data_has_what_queries_stumble_over(data: Data) -> None:
    values = np.concatenate([v for _, _, v in data.series])
    assert np.isnan(values).any()
    assert np.isinf(values).any()
    assert {math.copysign(1, v) for v in values[values == 0].tolist()} == {1, -1}
