"""Prometheus 2.42 and the engine answer the same to the same queries over the same data."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from promql_compare import difference, ours
from promql_corners import corners
from promql_data import EVERY_MS, Data, generate
from promql_peer import Prometheus
from promql_queries import BY_HAND, REFUSED, TIES, Queries, by_hand, damaged

from barograph_promql.engine import PromqlEngine
from barograph_sqlite.store import SqliteStore

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)
FULL = os.environ.get("BAROGRAPH_FULL") == "1"
RANDOM = 6000 if FULL else 500
"""Random expressions; each is asked as an instant query and as a range query."""

DAMAGED = 10_000 if FULL else 800
KNOWN = ("timestamp(+", "unary expression only allowed")
"""The parser drops a plus that stands before an operand, whatever that is."""

DURATION = re.compile(r"\d(?:ms|[smhdwy])")
WRITTEN = re.compile(r"\[[^\]]*\]|offset\s*-?\s*\w+")
"""Where a duration is one. Elsewhere it is a number, in newer syntax that the parser knows."""

SORTS = ("sort", "topk (", "bottomk (")


@attrs.frozen(eq=False)
class Peers:
    """Both engines over the same data."""

    prometheus: Prometheus
    store: SqliteStore
    engine: PromqlEngine
    data: Data

    def times(self, seed: int) -> list[tuple[int, ...]]:
        """An instant, and a range, within the data or somewhat beyond."""
        pick = random.Random(seed)
        span = self.data.end_ms - self.data.start_ms
        instant = self.data.start_ms + pick.randrange(span // EVERY_MS) * EVERY_MS
        instant += pick.choice([0, 0, 0, 1, -1, 7000, 11_003])
        start = self.data.start_ms + pick.randrange(-span // 10, span)
        step = pick.choice([15_000, 15_000, 60_000, 30_000, 7_000, 333, 97_003, 300_000])
        if pick.random() < 0.5:
            start = start // step * step
        return [(instant,), (start, start + step * pick.randrange(30), step)]

    def difference(self, expr: str, times: tuple[int, ...]) -> str:
        """Between the steps of a range query Prometheus keeps series in the order of a Go map,
        which is random, and adds in that order: 1e100 + 1 - 1e100 is 0 or 1. So it is asked
        again before a difference counts, and then for each step by itself."""
        ordered = len(times) == 1 and expr.startswith(SORTS)
        mine = ours(self.engine, self.store, expr, times)
        told = ""
        for _ in range(1 if len(times) == 1 else 20):
            if len(times) == 1:
                theirs = self.prometheus.instant(expr, times[0])
            else:
                theirs = self.prometheus.range(expr, *times)
            told = difference(theirs, mine, ordered)
            if not told:
                break
        if told and len(times) > 1 and "@" not in expr and not isinstance(mine, str):
            return difference(self.stepwise(expr, *times), mine)
        return told

    def stepwise(self, expr: str, start_ms: int, end_ms: int, step_ms: int) -> dict[str, Any]:
        """Prometheus's answer to a range query, put together from those to instant queries."""
        found: dict[str, list[Any]] = {}
        for t_ms in range(start_ms, end_ms + 1, step_ms):
            answer = self.prometheus.instant(expr, t_ms)
            if answer["status"] == "error":
                return answer
            result = answer["data"]["result"]
            if answer["data"]["resultType"] == "scalar":
                result = [{"metric": {}, "value": result}]
            for series in result:
                labels = json.dumps(sorted(series["metric"].items()))
                found.setdefault(labels, []).append(series["value"])
        matrix = [
            {"metric": dict(json.loads(labels)), "values": found[labels]}
            for labels in sorted(found, key=json.loads)
        ]
        return {"status": "success", "data": {"resultType": "matrix", "result": matrix}}

    def differences(self, exprs: list[str], seed: int) -> list[str]:
        out = []
        for i, expr in enumerate(exprs):
            for times in self.times(seed + i):
                told = self.difference(expr, times)
                if told:
                    out.append(f"{expr}   at {times}: {told}")
        return out


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    folder: Path = tmp_path_factory.mktemp("peers")
    data = generate(time.time_ns() // 1_000_000 - 60_000)
    prometheus = Prometheus(folder)
    store = SqliteStore(folder)
    try:
        store.open()
        data.fill(store)
        for part in data.parts():
            prometheus.write((labels.pairs, t, v) for labels, t, v in part)
        yield Peers(prometheus, store, PromqlEngine(), data)
    finally:
        store.close()
        prometheus.close()


def report(differences: list[str], asked: int) -> None:
    shown = "\n".join(differences[:40])
    assert not differences, f"{len(differences)} of {asked} answers differ:\n{shown}"


def test_queries_by_hand_are_answered_alike(peers: Peers) -> None:
    at = peers.data.start_ms + 30 * 60_000
    exprs = by_hand(BY_HAND, at)
    differences = [d for seed in range(3) for d in peers.differences(exprs, 1000 * seed)]
    report(differences, 2 * 3 * len(exprs))


def test_corners_are_answered_or_refused_alike(peers: Peers) -> None:
    exprs = by_hand(corners(), peers.data.start_ms + 30 * 60_000)
    report([d for seed in range(2) for d in peers.differences(exprs, 77 * seed)], 4 * len(exprs))


def test_of_equal_values_as_many_are_kept(peers: Peers) -> None:
    for seed, expr in enumerate(by_hand(TIES, 0)):
        report(peers.differences([f'count_values ("v", {expr})'], seed), 2)


def test_what_prometheus_refuses_is_refused(peers: Peers) -> None:
    exprs = by_hand(REFUSED, peers.data.start_ms)
    report(peers.differences(exprs, 0), 2 * len(exprs))


def test_damaged_queries_are_refused_or_answered_alike(peers: Peers) -> None:
    at = peers.data.start_ms + 30 * 60_000
    texts = [t for t in by_hand(BY_HAND, at) + by_hand(REFUSED, at) if len(t) < 90]
    differences = []
    for seed in range(DAMAGED):
        expr = damaged(texts, seed)
        told = peers.difference(expr, (at,))
        newer = "duration" in told or DURATION.search(WRITTEN.sub("", expr)) is not None
        if told and not newer and not any(known in expr + told for known in KNOWN):
            differences.append(f"{expr!r}: {told}")
    report(differences, DAMAGED)


def test_a_failed_evaluation_has_the_same_text(peers: Peers) -> None:
    at = peers.data.start_ms + 30 * 60_000
    told = []
    for expr in by_hand(BY_HAND + corners(), at):
        theirs = peers.prometheus.instant(expr, at)
        if theirs.get("errorType") == "execution":
            told.append((theirs["error"], ours(peers.engine, peers.store, expr, (at,))))
    assert len(told) > 20
    assert [mine for _, mine in told] == [f"execution: {text}" for text, _ in told]


def test_random_queries_are_answered_alike(peers: Peers) -> None:
    seed = int(os.environ.get("BAROGRAPH_SEED", "1"))
    queries = Queries(seed)
    at = f"{(peers.data.start_ms + 20 * 60_000) // 1000}"
    exprs = [queries.expression().replace("AT", at) for _ in range(RANDOM)]
    report(peers.differences(exprs, seed), 2 * len(exprs))
