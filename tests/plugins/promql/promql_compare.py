"""Two answers to one query, Prometheus's and ours, and where they differ."""

from __future__ import annotations

import math
from typing import Any

from barograph.answer import Answer, Matrix, QueryError, Scalar, String, Vector
from barograph.contracts import QueryEngine, Store

RELATIVE = 1e-12
"""Go's mathematics differ from C's in the last digits; nearly all else is equal to the bit."""

Labels = tuple[tuple[str, str], ...]


def same(a: float, b: float, relative: float = RELATIVE) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= relative * max(abs(a), abs(b))


def ours(engine: QueryEngine, store: Store, expr: str, times: tuple[int, ...]) -> Answer | str:
    """The answer, or the error's text; ``times``: one of an instant, three of a range."""
    try:
        if len(times) == 1:
            return engine.instant(store, expr, times[0])
        return engine.range(store, expr, *times)
    except QueryError as error:
        return f"{error.kind}: {error}"


def difference(theirs: dict[str, Any], mine: Answer | str, ordered: bool = False) -> str:
    """What differs, "" if nothing does. ``ordered``: the order of values counts too."""
    if theirs["status"] == "error":
        if isinstance(mine, str):
            return ""
        return f"prometheus refuses: {theirs['error']}"
    if isinstance(mine, str):
        return f"refused: {mine}"
    data = theirs["data"]
    kinds: dict[str, type] = {
        "scalar": Scalar, "string": String, "vector": Vector, "matrix": Matrix
    }  # fmt: skip
    if type(mine) is not kinds[data["resultType"]]:
        return f"prometheus gives a {data['resultType']}, not a {type(mine).__name__}"
    result = data["result"]
    if isinstance(mine, String):
        return "" if mine.value == result[1] else f"{mine.value!r} for {result[1]!r}"
    if isinstance(mine, Scalar):
        return _points([(0, mine.value)], [(0, float(result[1]))])
    want: dict[Labels, list[tuple[int, float]]] = {}
    for series in result:
        points = series["values"] if "values" in series else [series["value"]]
        labels = tuple(sorted(series["metric"].items()))
        want[labels] = [(round(t * 1000), float(v)) for t, v in points]
    got: dict[Labels, list[tuple[int, float]]] = {}
    if isinstance(mine, Vector):
        for name, value in zip(mine.labels, mine.values.tolist(), strict=True):
            got[name.pairs] = [(mine.t_ms, value)]
    else:
        for name, column in mine:
            got[name.pairs] = list(zip(column.t_ms.tolist(), column.values.tolist(), strict=True))
    if len(got) != len(mine):
        return "two series with the same labels"
    if set(got) != set(want):
        missing, extra = sorted(set(want) - set(got)), sorted(set(got) - set(want))
        return f"missing {missing[:3]} ({len(missing)}), too many {extra[:3]} ({len(extra)})"
    for one, points in want.items():
        told = _points(got[one], points)
        if told:
            return f"{dict(one)}: {told}"
    if isinstance(mine, Matrix) and list(got) != list(want):
        return "the order of series differs"
    if ordered:
        return _points(
            [(0, points[0][1]) for points in got.values()],
            [(0, points[0][1]) for points in want.values()],
        )
    return ""


def _points(got: list[tuple[int, float]], want: list[tuple[int, float]]) -> str:
    if [t for t, _ in got] != [t for t, _ in want]:
        mine, theirs = {t for t, _ in got}, {t for t, _ in want}
        return f"times: missing {sorted(theirs - mine)[:5]}, too many {sorted(mine - theirs)[:5]}"
    for (t, a), (_, b) in zip(got, want, strict=True):
        if not same(a, b):
            return f"at {t}: {a!r} for {b!r}"
    return ""
