"""Tables of cases: load samples, evaluate, expect. The form is that of Prometheus's own tables.

load 1m
  requests{path="/"} 0+10x100        a start, and a step so many times
  gauge              1 2 _ NaN stale 3x4

eval instant at 50m sum(requests)
  {} 500

eval range from 0 to 2m step 1m requests
  requests{path="/"} 0 10 20

eval_ordered instant at 50m sort(requests)
eval_fail instant at 50m 1 + requests + other
  expected_fail_message many-to-many       (a part of the message; may be left out)

clear
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
import promql_parser
from promql_compare import same
from promql_data import STALE

from barograph.answer import Answer, Matrix, QueryError, Scalar, String, Vector
from barograph.contracts import QueryEngine, Store
from barograph.model import NAME, Batch, Labels, Metric

_EVAL = re.compile(
    r"eval(?P<mode>_fail|_ordered)?\s+(?:instant\s+at\s+(?P<at>\S+)|range\s+from\s+(?P<start>\S+)"
    r"\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))\s+(?P<expr>.+)"
)
_ITEM = re.compile(
    r"(?P<value>_|stale|[+-]?(?:NaN|Inf|[0-9.]+(?:e[+-]?\d+)?))"
    r"(?:(?P<step>[+-](?:[0-9.]+(?:e[+-]?\d+)?))?x(?P<times>\d+))?",
    re.IGNORECASE,
)
CLOSE = 1e-9


@attrs.frozen
class Case:
    """One evaluation of a table, and what it must give."""

    line: int
    mode: str
    times: tuple[int, ...]
    expr: str
    expected: tuple[tuple[Labels | None, tuple[float | None, ...]], ...]
    message: str


@attrs.define
class Table:
    """Runs a table: ``make`` gives an empty store, anew after each ``clear``."""

    make: Callable[[], Store]
    engine: QueryEngine
    store: Store | None = None

    def run(self, text: str) -> int:
        """The number of cases; raises AssertionError with the line of the first that fails."""
        blocks = list(_blocks(text))
        count = 0
        for line, head, body in blocks:
            if head == "clear":
                self.store = None
            elif head.startswith("load"):
                self._load(_ms(head.split()[1]), body)
            else:
                self._judge(_case(line, head, body))
                count += 1
        return count

    def _store(self) -> Store:
        if self.store is None:
            self.store = self.make()
        return self.store

    def _load(self, step: int, body: list[str]) -> None:
        store = self._store()
        for text in body:
            labels, rest = _series(text)
            assert labels is not None, text
            (ref,) = store.intern([(labels, Metric(labels.name))])
            values = _sequence(rest)
            at = [i for i, v in enumerate(values) if v is not None]
            times = np.array(at, np.int64) * step
            kept = np.array([values[i] for i in at], np.float64)
            store.append([Batch(np.full(len(at), ref), times, kept)])

    def _answer(self, case: Case) -> Answer | QueryError:
        try:
            if len(case.times) == 1:
                return self.engine.instant(self._store(), case.expr, case.times[0])
            return self.engine.range(self._store(), case.expr, *case.times)
        except QueryError as error:
            return error

    def _judge(self, case: Case) -> None:
        where = f"line {case.line}: {case.expr}"
        answer = self._answer(case)
        if isinstance(answer, QueryError):
            assert case.mode == "_fail", f"{where}: {answer}"
            assert case.message in str(answer), f"{where}: {answer}"
            return
        assert case.mode != "_fail", f"{where}: does not fail"
        if isinstance(answer, String):
            raise AssertionError(f"{where}: a string")
        if isinstance(answer, Scalar):
            ((labels, values),) = case.expected
            assert labels is None, f"{where}: a scalar"
            assert values[0] is not None
            assert same(answer.value, values[0], CLOSE), f"{where}: {answer.value}"
            return
        got = _rows(answer, case.times)
        want = {labels: values for labels, values in case.expected if labels is not None}
        assert set(got) == set(want), f"{where}: {[str(one) for one in got]}"
        for labels, values in want.items():
            mine = got[labels]
            assert len(mine) == len(values), f"{where}: {labels}: {mine}"
            for a, b in zip(mine, values, strict=True):
                equal = (a is None) == (b is None) and (a is None or same(a, b or 0.0, CLOSE))
                assert equal, f"{where}: {labels}: {mine}"
        if case.mode == "_ordered":
            assert list(got) == list(want), f"{where}: {[str(one) for one in got]}"


def _rows(
    answer: Vector | Matrix, times: tuple[int, ...]
) -> dict[Labels, tuple[float | None, ...]]:
    if isinstance(answer, Vector):
        return {
            labels: (value,)
            for labels, value in zip(answer.labels, answer.values.tolist(), strict=True)
        }
    if len(times) == 1:
        return {labels: tuple(column.values.tolist()) for labels, column in answer}
    start, end, step = times
    out = {}
    for labels, column in answer:
        there = dict(zip(column.t_ms.tolist(), column.values.tolist(), strict=True))
        out[labels] = tuple(there.get(t) for t in range(start, end + 1, step))
    return out


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """(line number, head, indented lines) of each block."""
    head, at, body = "", 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.rstrip()
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if raw[:1].isspace():
            body.append(line.strip())
            continue
        if head:
            yield at, head, body
        head, at, body = line, number, []
    if head:
        yield at, head, body


def _case(line: int, head: str, body: list[str]) -> Case:
    found = _EVAL.fullmatch(head)
    assert found is not None, f"line {line}: cannot read {head!r}"
    if found["at"]:
        times: tuple[int, ...] = (_ms(found["at"]),)
    else:
        times = (_ms(found["start"]), _ms(found["end"]), _ms(found["step"]))
    message = ""
    expected = []
    for text in body:
        if text.startswith("expected_fail_message"):
            message = text.removeprefix("expected_fail_message").strip()
            continue
        labels, rest = _series(text)
        expected.append((labels, tuple(_sequence(rest))))
    return Case(line, found["mode"] or "", times, found["expr"], tuple(expected), message)


def _series(text: str) -> tuple[Labels | None, str]:
    """Labels (``None`` of a scalar) and the rest of a line."""
    name = re.match(r"[a-zA-Z_:][\w:]*(?=[\s{])", text)
    if name is None and not text.startswith("{"):
        return None, text
    end = name.end() if name else 0
    pairs: dict[str, str] = {}
    if text[end] == "{":
        for close in [i for i, c in enumerate(text) if c == "}"]:
            try:
                # A name of its own, since a selector must have one.
                tree = promql_parser.parse("x" + text[end : close + 1])
            except ValueError:
                continue
            pairs = {m.name: m.value for m in tree.matchers.matchers}  # type: ignore[attr-defined]
            end = close + 1
            break
    if name:
        pairs[NAME] = name[0]
    return Labels(tuple(sorted(pairs.items()))), text[end:].strip()


def _sequence(text: str) -> list[float | None]:
    out: list[float | None] = []
    for part in text.split():
        item = _ITEM.fullmatch(part)
        assert item is not None, f"cannot read {part!r}"
        value = item["value"].lower()
        times = int(item["times"] or 0)
        if value == "_":
            out += [None] * max(times, 1)
        elif value == "stale":
            out += [STALE] * (times + 1)
        else:
            first = float(value)
            step = float(item["step"] or 0)
            out.append(first)
            for _ in range(times):
                first += step
                out.append(first)
    return out


def _ms(text: str) -> int:
    if re.fullmatch(r"-?[\d.]+", text):
        return round(float(text) * 1000)
    return round(promql_parser.parse_duration(text).total_seconds() * 1000)


def tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.txt"))
