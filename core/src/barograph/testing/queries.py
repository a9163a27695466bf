"""What ``barograph.contracts.QueryEngine`` promises, tried on a real engine and store."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from barograph.answer import Matrix, QueryCancelled, QueryInvalid, Scalar, String, Vector
from barograph.contracts import QueryEngine, Store
from barograph.model import Batch, Labels, Metric, MetricKind

_START = 1_700_000_000_000 // 60_000 * 60_000
_EVERY_MS = 10_000
_COUNT = 60

# Each over the samples that the check writes.
_EXPRESSIONS = (
    "engine_check",
    "engine_check_total",
    'engine_check{n="1"} * 2',
    "rate(engine_check_total[1m])",
    "sum by (half) (rate(engine_check_total[1m]))",
    "max_over_time(engine_check[2m])",
    "engine_check / on (n) engine_check_total",
    "topk(1, engine_check)",
    "engine_check > 0",
    "time()",
    "scalar(sum(engine_check))",
)


def check_query_engine(engine: QueryEngine, store: Store) -> None:
    """Types of answers, errors, cancellation; and the law that a range query gives at each step
    what an instant query gives there. ``store``: open and empty."""
    name = engine.name
    assert re.fullmatch(r"[a-z0-9_.-]+", name), f"engine name {name!r} is not plain"
    _fill(store)
    end = _START + _EVERY_MS * (_COUNT - 1)
    _check_types(engine, store, end)
    for expr in ("1 +", "engine_check{", "no_such_function(engine_check)"):
        for ask in (
            lambda expr=expr: engine.check(expr),
            lambda expr=expr: engine.format(expr),
            lambda expr=expr: engine.instant(store, expr, end),
            lambda expr=expr: engine.range(store, expr, _START, end, _EVERY_MS),
        ):
            assert _refusal(ask), (
                f"{name}: {expr!r} is no expression; it must be refused, with a message"
            )
    for expr in _EXPRESSIONS:
        engine.check(expr)
        laid_out = engine.format(expr)
        assert engine.format(laid_out) == laid_out, f"{name}: {expr!r} is laid out in two ways"
        _check_range(engine, store, expr, _START + 125_000, end, 37_000)
    try:
        engine.instant(store, "sum(engine_check)", end, cancelled=lambda: True)
    except QueryCancelled:
        return
    raise AssertionError(f"{name}: a cancelled query was answered")


def _refusal(ask: Callable[[], object]) -> str:
    """The message with which ``ask`` is refused, "" if it is not."""
    try:
        ask()
    except QueryInvalid as error:
        return str(error)
    return ""


def _fill(store: Store) -> None:
    series = []
    for n in range(4):
        labels = {"n": str(n), "half": str(n // 2)}
        series += [
            (Labels.of("engine_check", labels), Metric("engine_check")),
            (
                Labels.of("engine_check_total", labels),
                Metric("engine_check_total", MetricKind.COUNTER),
            ),
        ]
    refs = store.intern(series)
    for i in range(_COUNT):
        values = [x for n in range(4) for x in (np.sin(i / 7 + n), float((i * (n + 1)) % (50 + n)))]
        store.append([Batch(refs, _START + i * _EVERY_MS, np.array(values))])


def _check_types(engine: QueryEngine, store: Store, end: int) -> None:
    kinds = {
        "1 + 1": Scalar, '"text"': String, "engine_check": Vector, "engine_check[1m]": Matrix
    }  # fmt: skip
    for expr, kind in kinds.items():
        answer = engine.instant(store, expr, end)
        assert isinstance(answer, kind), (
            f"{engine.name}: {expr} gives a {type(answer).__name__}, not a {kind.__name__}"
        )
    samples = engine.instant(store, 'engine_check{n="0"}[1m]', end)
    assert isinstance(samples, Matrix)
    ((_, column),) = list(samples)
    assert column.t_ms.tolist() == [end - i * _EVERY_MS for i in range(6, -1, -1)], (
        f"{engine.name}: a window holds the samples at both its ends"
    )


def _check_range(
    engine: QueryEngine, store: Store, expr: str, start: int, end: int, step: int
) -> None:
    where = f"{engine.name}: {expr}"
    matrix = engine.range(store, expr, start, end, step)
    assert list(matrix.labels) == sorted(matrix.labels, key=lambda labels: labels.pairs), (
        f"{where}: series are not sorted by labels"
    )
    got: dict[tuple[Labels, int], float] = {}
    for labels, column in matrix:
        for t_ms, value in zip(column.t_ms.tolist(), column.values.tolist(), strict=True):
            got[labels, t_ms] = value
    want: dict[tuple[Labels, int], float] = {}
    for t_ms in range(start, end + 1, step):
        answer = engine.instant(store, expr, t_ms)
        if isinstance(answer, Scalar):
            want[Labels(()), t_ms] = answer.value
        else:
            assert isinstance(answer, Vector), f"{where}: gives no vector"
            for labels, value in zip(answer.labels, answer.values.tolist(), strict=True):
                want[labels, t_ms] = value
    assert set(got) == set(want), f"{where}: other series or steps than at each instant"
    for key, value in want.items():
        assert np.isclose(got[key], value, rtol=1e-12, equal_nan=True), (
            f"{where}: {key[0]} at {key[1]} is {got[key]}, at the instant {value}"
        )
