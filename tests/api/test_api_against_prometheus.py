"""Prometheus 2.42 and the server answer the same to the same requests over the same data."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import numpy as np
import pytest
from sites import Site

from barograph.model import Batch, Labels, Metric

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "promql"))

from promql_peer import Prometheus

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not installed (Debian: apt-get install prometheus)",
)

SERIES = [
    Labels.of("apples", {"tree": tree, "kind": kind})
    for tree in ("old", "new") for kind in ("red", "green")
] + [
    Labels.of("pears", {"tree": "old"}), Labels.of("pears", {"tree": "ünï", "note": 'a "b"\n'}),
]  # fmt: skip


@attrs.frozen
class Both:
    """The two servers; ``END`` in a request stands for ``end`` (seconds)."""

    prometheus: Prometheus
    client: httpx.Client
    end: int

    def answers(self, request: str) -> tuple[tuple[int, Any], tuple[int, Any]]:
        """Prometheus's and ours to ``PATH name=value & name=value``."""
        path, *pairs = request.replace("END", str(self.end)).split(" & ")
        query = [(name, value) for name, _, value in (pair.partition("=") for pair in pairs)]
        mine = self.client.get(f"/api/v1/{path}", params=query)
        return self.prometheus.get(path, query), (mine.status_code, mine.json())


@pytest.fixture(scope="module")
def both(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    end = site.clock.now_ms() // 60_000 * 60_000 - 60_000
    times = end - 1000 * np.arange(300, -1, -10, dtype=np.int64)
    values = [np.sin(times / 7000) * (i + 1) for i in range(len(SERIES))]
    store = site.monitor.store
    refs = store.intern([(labels, Metric(labels.name)) for labels in SERIES])
    for ref, v in zip(refs.tolist(), values, strict=True):
        store.append([Batch(np.full(len(times), ref), times, v)])
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"))
    try:
        prometheus.write((s.pairs, times, v) for s, v in zip(SERIES, values, strict=True))
        with site.bearer() as client:
            yield Both(prometheus, client, end // 1000)
    finally:
        prometheus.close()


@pytest.mark.parametrize(
    "request_text",
    """
query & query=apples & time=END
query & query=apples & query=pears & time=END
query & query=sum(apples)>bool 1 & time=END.5
query & query=pears[30s] & time=END
query & query="text" & time=END
query & query=1/0 & time=END
query & query=-1/0 & time=2026-01-01T00:00:00+01:00
query & query=time() & time=2026-01-01T00:00:00.25Z
query & query=time() & time=1e9
query & query=time() & time=-1.5
query & query=nothing & time=END
query & query=nothing[5m] & time=END
query & query=apples & time=END & timeout=10s
query & query=vector(1.5e-9)*1e30 & time=END
query_range & query=apples & start=END & end=END & step=1
query_range & query=rate(apples[1m]) & start=1795000000 & end=END & step=1h
query_range & query=time() & start=100.1234 & end=102.5 & step=0.5
query_range & query=time() & start=1 & end=2 & step=1s500ms
query_range & query=time() & start=1 & end=200000 & step=1d
query_range & query=nothing & start=1 & end=2 & step=1
query_range & query=1 & start=0 & end=11000 & step=1
series & match[]=apples
series & match[]=apples & match[]=pears{tree!="old"} & match[]=apples
series & match[]={__name__=~"app.*|pea.+",kind=""} & start=END & end=END
series & match[]=nothing
series & match[]=apples & start=0 & end=1
series & match[]=apples & start=2 & end=1
labels & match[]=apples
labels & match[]=apples & match[]={note!=""}
labels & match[]=nothing
labels & match[]=pears & start=0 & end=1
label/tree/values & match[]=apples & match[]=pears
label/__name__/values & match[]={tree=~".+"}
label/kind/values & match[]=pears
label/note/values
label/nothing/values
label/tree/values & start=0 & end=1
format_query & query=sum by(a,b)(rate(x{a="b"}[5m] offset 1m))
format_query & query=a+on(x)group_left(y)b
format_query & query=a{z=~"y|z",w!='1'}[1h30m:5m]@start()
format_query & query=quantile_over_time(0.50,a[5m:]) atan2 -b^2
format_query & query=1e-9+1e21+0x10+Inf+.5
format_query & query=a{b=`c\\d`} @ -5.5
format_query & query=topk(5,a) or count_values without(b)("v",c) unless ignoring() d
query_exemplars & query=apples & start=1 & end=2
rules
rules & type=alert
alerts
""".strip().splitlines(),
)
def test_the_answer_is_the_same(both: Both, request_text: str) -> None:
    theirs, mine = both.answers(request_text)
    assert theirs[0] == 200
    assert mine == theirs


@pytest.mark.parametrize(
    "request_text",
    """
query
query & query=1 +
query & query=foo bar
query & query=sum(
query & query=apples & time=noon
query & query=apples & time=2026-01-01
query & query=apples & timeout=soon
query & query=apples & timeout=-1s
query & query=apples & timeout=1ns
query & query=vector(1) & timeout=0
query & query=apples + on() pears & time=END
query & query=label_replace(apples, "kind", "", "", "") & time=END
query & query=label_replace(apples, "kind", "", "", "(") & time=END
query & query=1 > 2
query & query={a=""}
query & query=rate(apples)
query_range & query=1
query_range & query=1 & start=1
query_range & query=1 & start=2 & end=1 & step=1
query_range & query=1 & start=1 & end=2 & step=0
query_range & query=1 & start=1 & end=2 & step=-5
query_range & query=1 & start=1 & end=2 & step=soon
query_range & query=1 & start=1 & end=2
query_range & query=1 & start=0 & end=11001 & step=1
query_range & query=apples[5m] & start=1 & end=2 & step=1
query_range & query="text" & start=1 & end=2 & step=1
query_range & query=1 + & start=1 & end=2 & step=1
query_range & query=1 & start=1 & end=2 & step=1 & timeout=soon
series
series & match[]=
series & match[]={}
series & match[]=apples[
series & match[]=apples offset 5m
series & match[]=apples & start=noon
labels & match[]={}
labels & match[]=a b
labels & end=noon
label/0bad/values
label/a-b/values
label/%C3%BC/values
label/tree/values & match[]=apples{
metadata & limit=few
format_query
format_query & query=1+
format_query & query=a =~ b
query_exemplars
query_exemplars & query=1 + & start=1 & end=2
query_exemplars & query=apples & start=2 & end=1
rules & type=guess
""".strip().splitlines(),
)
def test_the_refusal_is_of_the_same_kind(both: Both, request_text: str) -> None:
    (status, theirs), (my_status, mine) = both.answers(request_text)
    assert status >= 400
    assert (my_status, mine["status"], mine["errorType"]) == (status, "error", theirs["errorType"])
    assert mine["error"]


@pytest.mark.parametrize(
    "expr", ["1 +", "foo +\n * bar", "sum(foo) bar", "foo[5m:1m:1m]", "a offset"]
)
def test_a_mistake_in_syntax_is_placed_alike(both: Both, expr: str) -> None:
    (_, theirs), (_, mine) = both.answers(f"query & query={expr}")
    assert "parse error" in mine["error"]
    assert mine["error"].split(": ")[:3] == theirs["error"].split(": ")[:3]
