"""The engine as its users meet it: answers, limits, errors, and what hostile text does."""

from __future__ import annotations

import math
import re
import threading
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from barograph.answer import (
    Answer,
    Matrix,
    QueryCancelled,
    QueryFailed,
    QueryInvalid,
    QueryTimeout,
    QueryTooLarge,
    Scalar,
    Vector,
)
from barograph.contracts import QueryEngine, Store
from barograph.model import Batch, Labels, Metric
from barograph.plugins import PluginManager
from barograph.promql_text import MAX_LENGTH, MAX_NESTING
from barograph.testing import check_query_engine
from barograph_promql import Config, barograph_query_engines
from barograph_promql.catalogue import FUNCTIONS
from barograph_promql.engine import PromqlEngine
from barograph_promql.parsing import AGGREGATIONS, MAX_DEPTH
from barograph_sqlite.store import SqliteStore

T = 1_700_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path)
    store.open()
    return store


def fill(store: SqliteStore, series: int = 10, samples: int = 30) -> None:
    labels = [Labels.of("m", {"i": str(i)}) for i in range(series)]
    refs = store.intern([(one, Metric("m")) for one in labels])
    for k in range(samples):
        store.append([Batch(refs, T + k * 1000, np.arange(float(series)) + k)])


class SteppingClock:
    """Each look at the clock takes ``step`` seconds."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def now_ms(self) -> int:
        return T

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("the engine waits for nothing")


def test_the_engine_keeps_its_contract(store: SqliteStore) -> None:
    check_query_engine(PromqlEngine(), store)


@attrs.define
class Late:
    """An engine whose range queries are a millisecond late."""

    engine: PromqlEngine
    name: str = "late"

    def check(self, expr: str) -> None:
        self.engine.check(expr)

    def format(self, expr: str) -> str:
        return self.engine.format(expr)

    def instant(self, store: Store, expr: str, t_ms: int, **rest: Any) -> Answer:
        return self.engine.instant(store, expr, t_ms, **rest)

    def range(
        self, store: Store, expr: str, start_ms: int, end_ms: int, step_ms: int, **rest: Any
    ) -> Matrix:
        return self.engine.range(store, expr, start_ms + 1, end_ms + 1, step_ms, **rest)


def test_the_conformance_check_finds_a_wrong_engine(store: SqliteStore) -> None:
    with pytest.raises(AssertionError, match="other series or steps"):
        check_query_engine(Late(PromqlEngine()), store)


def test_sealed_samples_are_as_good_as_fresh_ones(store: SqliteStore) -> None:
    fill(store, series=3, samples=200)
    engine = PromqlEngine()
    expr = "sum(rate(m[20s])) + avg(m)"
    before = engine.range(store, expr, T, T + 199_000, 5000)
    store.seal()
    after = engine.range(store, expr, T, T + 199_000, 5000)
    assert before.values.tolist() == after.values.tolist()
    assert len(before.values) == 39  # the first step has one sample, which is no rate


def test_the_plugin_gives_the_engine() -> None:
    (engine,) = barograph_query_engines(None)
    assert isinstance(engine, QueryEngine)
    assert engine.name == "promql"
    infos = {info.name: info for info in PluginManager().discover()}
    assert infos["promql"].hooks == ("barograph_query_engines",)
    assert infos["promql"].error == ""


def test_the_readme_names_every_function_and_option() -> None:
    readme = (Path(__file__).parents[3] / "plugins" / "promql" / "README.md").read_text()
    words = set(re.findall(r"\w+", readme))
    assert not (FUNCTIONS | AGGREGATIONS) - words
    assert not {field.name for field in attrs.fields(Config)} - words


def test_options_bound_the_lookback(store: SqliteStore) -> None:
    fill(store, 1, 1)
    short = PromqlEngine(Config(lookback=2.0))  # type: ignore[arg-type]
    assert len(short.instant(store, "m", T + 2000)) == 1  # type: ignore[arg-type]
    assert len(short.instant(store, "m", T + 2001)) == 0  # type: ignore[arg-type]


def test_a_subquery_without_a_step_takes_the_option(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine(Config(subquery_step=10.0))  # type: ignore[arg-type]
    answer = engine.instant(store, 'm{i="0"}[20s:]', T + 20_000)
    assert isinstance(answer, Matrix)
    assert answer.column(0).t_ms.tolist() == [T, T + 10_000, T + 20_000]


def test_too_many_samples_are_refused_by_name(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine(Config(max_samples=250))
    assert len(engine.instant(store, "m", T + 9000)) == 10  # type: ignore[arg-type]
    for expr in ("sum_over_time(m[30s])", "m"):
        with pytest.raises(QueryTooLarge, match="max_samples"):
            engine.range(store, expr, T, T + 29_000, 1000)


def test_an_endless_range_is_refused_before_it_is_made(store: SqliteStore) -> None:
    with pytest.raises(QueryTooLarge, match="max_samples"):
        PromqlEngine().range(store, "1", 0, 2**53, 1)
    with pytest.raises(QueryTooLarge, match="max_samples"):
        PromqlEngine().instant(store, "max_over_time(vector(1)[100y:1ms])", T)


def test_too_many_series_are_refused_by_name(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine(Config(max_series=9))
    assert len(engine.instant(store, 'm{i!="0"}', T)) == 9  # type: ignore[arg-type]
    for expr in ("m", 'm{i=~".+"}', 'm{i=~"[0-9]"}'):
        with pytest.raises(QueryTooLarge, match="max_series"):
            engine.instant(store, expr, T)


def test_made_series_are_counted_too(store: SqliteStore) -> None:
    fill(store, series=4, samples=30)
    engine = PromqlEngine(Config(max_series=20))
    with pytest.raises(QueryTooLarge, match="max_series"):
        engine.range(store, 'count_values("v", m)', T, T + 29_000, 1000)


def test_a_slow_query_times_out(store: SqliteStore) -> None:
    fill(store)
    config = Config(timeout=5.0)  # type: ignore[arg-type]
    assert PromqlEngine(config, SteppingClock(0.01)).instant(store, "sum(m)", T)
    with pytest.raises(QueryTimeout, match="timeout"):
        PromqlEngine(config, SteppingClock(2.0)).instant(store, "sum(m)", T)


def test_a_query_ends_when_who_asked_has_gone(store: SqliteStore) -> None:
    fill(store)
    asked = 0

    def gone() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with pytest.raises(QueryCancelled):
        PromqlEngine().instant(store, "sum(m + m + m + m)", T, cancelled=gone)
    assert asked == 4


class Gate:
    """A store that is slow: a selection waits until the gate is open."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()

    def select(self, *arguments: Any) -> Any:
        self.entered.release()
        assert self.open.wait(60)
        return self._store.select(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_queries_beyond_the_concurrency_wait_for_their_turn(store: SqliteStore) -> None:
    fill(store)
    gate = Gate(store)
    engine = PromqlEngine(Config(concurrency=2))
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(engine.instant(gate, "count(m)", T))  # type: ignore[arg-type]

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert gate.entered.acquire(timeout=60)
    with pytest.raises(QueryCancelled, match="query queue"):
        engine.instant(store, "m", T, cancelled=lambda: True)
    hasty = PromqlEngine(Config(concurrency=2), SteppingClock(100.0))
    hasty._places = engine._places
    with pytest.raises(QueryTimeout, match="concurrency"):
        hasty.instant(store, "m", T)
    threads.append(threading.Thread(target=ask))
    threads[-1].start()
    gate.open.set()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 3
    assert engine._places._value == 2


def test_a_failed_query_gives_its_place_back(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine(Config(concurrency=1))
    for _ in range(3):
        with pytest.raises(QueryFailed):
            engine.instant(store, "m + on () m", T)
    assert engine.instant(store, "1 + 1", T) == Scalar(T, 2.0)


@pytest.mark.parametrize(
    "expr",
    [
        "(" * 100_000 + "1" + ")" * 100_000,
        "-" * 100_000 + "m",
        "+".join(["m"] * 50_000),
        "m" + " or m" * 20_000,
        "abs(" * 5000 + "m" + ")" * 5000,
        "1" + " ^ 1" * 5000,
        "m[1m:]" * 3000,
        "x" * (MAX_LENGTH + 1),
        "{" * 70_000,
    ],
    ids=lambda text: text[:10],
)
def test_what_would_overflow_the_parser_is_refused(expr: str) -> None:
    with pytest.raises(QueryInvalid):
        PromqlEngine().check(expr)


def test_what_nests_as_deep_as_allowed_is_evaluated(store: SqliteStore) -> None:
    fill(store, 1)
    engine = PromqlEngine()
    deep = "abs(" * (MAX_DEPTH - 1) + "m" + ")" * (MAX_DEPTH - 1)
    answer = engine.instant(store, deep, T)
    assert isinstance(answer, Vector)
    assert answer.values.tolist() == [0.0]
    with pytest.raises(QueryInvalid, match="deeper"):
        engine.instant(store, f"abs(abs({deep}))", T)
    chain = " + ".join(["1"] * (MAX_NESTING // 2))
    assert engine.instant(store, chain, T) == Scalar(T, MAX_NESTING // 2)
    chain = " or ".join(["m"] * (MAX_NESTING // 2))
    assert len(engine.instant(store, chain, T)) == 1  # type: ignore[arg-type]


def test_a_costly_pattern_takes_no_time(store: SqliteStore) -> None:
    labels = Labels.of("m", {"i": "a" * 5000 + "!"})
    refs = store.intern([(labels, Metric("m"))])
    store.append([Batch(refs, T, np.ones(1))])
    engine = PromqlEngine(Config(timeout=30.0))  # type: ignore[arg-type]
    for pattern in ("(a+)+", "(a|a)*b", "(.*)(.*)(.*)(.*)(.*)x"):
        assert not len(engine.instant(store, f'm{{i=~"{pattern}"}}', T))  # type: ignore[arg-type]
        expr = f'label_replace(m, "j", "$1", "i", "{pattern}")'
        assert len(engine.instant(store, expr, T)) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expr", "told"),
    [
        ("", "no expression found"),
        ("m{", "unexpected end of input"),
        ("rate(m)", "expected type matrix"),
        ("1 > 2", "must use BOOL modifier"),
        ('m{i=~"("}', "missing )"),
        ('m{i=~"\\\\C"}', "invalid escape"),
        ('m{a="b" or c="d"}', 'unexpected "or"'),
        ("m @ NaN", "timestamp out of bounds"),
        ("info(m)", "unknown function"),
    ],
)
def test_an_error_says_what_is_wrong(store: SqliteStore, expr: str, told: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        PromqlEngine().instant(store, expr, T)
    assert told in str(caught.value)


def test_times_that_make_no_range_are_refused(store: SqliteStore) -> None:
    engine = PromqlEngine()
    with pytest.raises(QueryInvalid, match="step"):
        engine.range(store, "1", T, T, 0)
    with pytest.raises(QueryInvalid, match="before its start"):
        engine.range(store, "1", T, T - 1, 1000)
    with pytest.raises(QueryInvalid, match="out of range"):
        engine.instant(store, "m", 2**60)
    for expr, kind in (("m[1m]", "range vector"), ('"a"', "string")):
        with pytest.raises(QueryInvalid, match=f'invalid expression type "{kind}"'):
            engine.range(store, expr, T, T, 1000)


def test_a_failed_query_has_the_kind_of_the_api(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine()
    with pytest.raises(QueryFailed) as caught:
        engine.instant(store, "m + on () m", T)
    assert caught.value.kind == "execution"
    with pytest.raises(QueryInvalid) as invalid:
        engine.instant(store, "m +", T)
    assert invalid.value.kind == "bad_data"


def test_far_times_are_empty_not_an_error(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine()
    for expr in ("m @ 1e15", "m @ -1e15", "m offset 290y", "m offset -290y", "rate(m[290y])"):
        answer = engine.instant(store, expr, T)
        assert isinstance(answer, Vector)


@pytest.mark.parametrize("expr", ["m offset 300y", "m offset -300y", "rate(m[300y])"])
def test_a_duration_that_64_bits_of_nanoseconds_cannot_hold_is_refused(expr: str) -> None:
    with pytest.raises(QueryInvalid, match="duration out of range"):
        PromqlEngine().check(expr)


def test_late_samples_take_their_place(store: SqliteStore) -> None:
    (ref,) = store.intern([(Labels.of("m", {}), Metric("m"))])
    for t, v in ((0, 1.0), (4000, 5.0), (2000, 3.0)):
        store.append([Batch(np.array([ref]), T + t, np.array([v]))])
    answer = PromqlEngine().instant(store, "m[10s]", T + 5000)
    assert isinstance(answer, Matrix)
    assert answer.column(0).values.tolist() == [1.0, 3.0, 5.0]


def test_many_threads_share_an_engine(store: SqliteStore) -> None:
    fill(store)
    engine = PromqlEngine()
    failures: list[str] = []

    def ask(n: int) -> None:
        for k in range(20):
            answer = engine.instant(store, f'sum(m{{i!="{n}"}}) + {k}', T)
            assert isinstance(answer, Vector)
            if answer.values.tolist() != [45.0 - n + k]:
                failures.append(f"{n} {k}: {answer.values}")

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)


def test_nan_of_a_label_value_is_text(store: SqliteStore) -> None:
    fill(store, 2)
    answer = PromqlEngine().instant(store, 'count_values("v", m / 0 )', T)
    assert isinstance(answer, Vector)
    assert sorted(str(one) for one in answer.labels) == ['{v="+Inf"}', '{v="NaN"}']
    assert math.isclose(float(answer.values.sum()), 2)
