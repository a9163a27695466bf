"""The Prometheus HTTP API as its clients use it, and the cache behind range queries."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sites import Site

from barograph.answer import Matrix
from barograph.answer_text import number_text, parse_step, parse_time
from barograph.model import Batch, Labels
from barograph_api.range_cache import SETTLED_MS, RangeCache

API = "/api/v1"


@pytest.fixture
def client(site: Site) -> Any:
    with site.bearer() as client:
        yield client


def data(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["status"] == "success"
    return body["data"]


def test_an_instant_query_by_get_and_by_post_is_the_same(client: httpx.Client, site: Site) -> None:
    asked = {"query": "stranger_beat_ms > bool 0", "time": str(site.clock.now_ms() / 1000)}
    by_get = data(client.get(f"{API}/query", params=asked))
    by_post = data(client.post(f"{API}/query", data=asked))
    assert by_get == by_post
    assert by_get["resultType"] == "vector"
    assert by_get["result"][0]["value"][1] == "1"
    assert data(client.get(f"{API}/query", params={"query": "1 + 1"}))["result"][1] == "2"


def test_a_range_query_gives_each_step_and_the_same_from_the_cache(
    client: httpx.Client, site: Site
) -> None:
    end = site.clock.now_ms() // 1000
    asked = {"query": "time()", "start": end - 600, "end": end, "step": "15s"}
    first = data(client.get(f"{API}/query_range", params=asked))
    again = data(client.get(f"{API}/query_range", params={**asked, "end": end + 15}))
    values = first["result"][0]["values"]
    assert [t for t, _ in values] == list(range(end - 600, end + 1, 15))
    assert again["result"][0]["values"][: len(values)] == values
    assert again["result"][0]["values"][-1] == [end + 15, str(end + 15)]


def over(query: str, start: object, end: object, step: object) -> dict[str, object]:
    return {"query": query, "start": start, "end": end, "step": step}


@pytest.mark.parametrize(
    ("path", "asked", "status", "kind", "told"),
    [
        ("query", {"query": "sum("}, 400, "bad_data", "parse error"),
        ("query", {"query": "up", "time": "noon"}, 400, "bad_data", "valid timestamp"),
        ("query_range", {"query": "up"}, 400, "bad_data", 'invalid parameter "start"'),
        ("query_range", over("up", 2, 1, 1), 400, "bad_data", "before"),
        ("query_range", over("up", 1, 2, 0), 400, "bad_data", "zero"),
        ("query_range", over("up", 0, 99999, 1), 400, "bad_data", "11,000"),
        ("query_range", over("up[5m]", 1, 2, 1), 400, "bad_data", "range"),
        ("query_range", over("up", "1e400", 2, 1), 400, "bad_data", "timestamp"),
        ("series", {}, 400, "bad_data", "no match"),
        ("series", {"match[]": '{a=~".*"}'}, 400, "bad_data", "non-empty"),
        ("series", {"match[]": "sum(x)"}, 400, "bad_data", "match"),
        ("series", {"match[]": '{a=~"(?x)b"}'}, 400, "bad_data", "regexp"),
        ("series", {"match[]": "up offset 5m"}, 400, "bad_data", "match"),
        ("series", {"match[]": "up", "start": "noon"}, 400, "bad_data", 'parameter "start"'),
        ("labels", {"limit": "-1"}, 400, "bad_data", "non-negative"),
        ("labels", {"match[]": "up{"}, 400, "bad_data", "braces"),
        ("label/0bad/values", {}, 400, "bad_data", 'invalid label name: "0bad"'),
        ("label/a-b/values", {}, 400, "bad_data", "invalid label name"),
        ("metadata", {"limit": "few"}, 400, "bad_data", "limit must be a number"),
        ("query", {"query": "1 +"}, 400, "bad_data", 'invalid parameter "query"'),
        ("query", {"query": "1", "timeout": "soon"}, 400, "bad_data", 'parameter "timeout"'),
        ("query", {"query": "1", "timeout": "-1s"}, 400, "bad_data", "valid duration"),
        ("query", {"query": "vector(1)", "timeout": "0"}, 503, "timeout", "timed out"),
        ("query_range", over("vector(1)", 1, 2, 1) | {"timeout": "0s"}, 503, "timeout", "0 s"),
        ("format_query", {"query": "sum("}, 400, "bad_data", 'invalid parameter "query"'),
        ("query_exemplars", {"query": "sum("}, 400, "bad_data", "parse error"),
        ("query_exemplars", {"query": "up", "start": 2, "end": 1}, 400, "bad_data", "before"),
        ("rules", {"type": "guess"}, 400, "bad_data", 'not supported value "guess"'),
        ("query", {"query": "stranger_beat_ms + on() group_left system_cpu_time_seconds_total"},
         422, "execution", ""),
    ],
)  # fmt: skip
def test_errors_are_told_as_clients_expect(
    client: httpx.Client, path: str, asked: Any, status: int, kind: str, told: str
) -> None:
    response = client.get(f"{API}/{path}", params=asked)
    assert response.status_code == status, response.text
    body = response.json()
    assert (body["status"], body["errorType"]) == ("error", kind)
    assert told in body["error"]


def test_series_labels_and_their_values(client: httpx.Client) -> None:
    match = {"match[]": "system_load_average"}
    found = data(client.get(f"{API}/series", params=match))
    assert {s["period"] for s in found} == {"1m", "5m", "15m"}
    assert data(client.get(f"{API}/labels", params=match)) == ["__name__", "period"]
    assert data(client.get(f"{API}/label/period/values")) == ["15m", "1m", "5m"]
    names = data(client.get(f"{API}/label/__name__/values"))
    assert "stranger_beat_ms" in names
    assert data(client.get(f"{API}/label/no_such/values")) == []
    known = data(client.get(f"{API}/metadata", params={"metric": "system_load_average"}))
    assert known["system_load_average"][0]["type"] == "gauge"


def test_what_clients_ask_about_the_server(client: httpx.Client) -> None:
    assert data(client.get(f"{API}/status/buildinfo"))["version"].startswith("2.")
    tsdb = data(client.get(f"{API}/status/tsdb"))
    assert tsdb["headStats"]["numSeries"] > 10
    assert (
        data(client.get(f"{API}/format_query", params={"query": "sum(a)by(b)"})) == "sum by (b) (a)"
    )


def test_what_a_dashboard_asks_besides_has_an_answer(client: httpx.Client) -> None:
    asked = {"query": "stranger_beat_ms", "start": "1", "end": "2"}
    assert data(client.get(f"{API}/query_exemplars", params=asked)) == []
    assert data(client.post(f"{API}/query_exemplars", data=asked)) == []
    assert data(client.get(f"{API}/rules", params={"type": "alert"})) == {"groups": []}
    assert data(client.get(f"{API}/alerts")) == {"alerts": []}
    assert data(client.get(f"{API}/status/runtimeinfo"))["startTime"].endswith("Z")


def test_what_a_limit_leaves_out_is_told(client: httpx.Client) -> None:
    match = {"match[]": "system_load_average"}
    for path in ("series", "labels", "label/period/values"):
        cut = client.get(f"{API}/{path}", params={**match, "limit": "1"}).json()
        whole = client.get(f"{API}/{path}", params={**match, "limit": "0"}).json()
        assert len(cut["data"]) == 1
        assert cut["warnings"] == ["results truncated due to limit"]
        assert len(whole["data"]) > 1
        assert "warnings" not in whole
    assert len(data(client.get(f"{API}/metadata", params={"limit": "2"}))) == 2
    assert len(data(client.get(f"{API}/metadata", params={"limit": "-1"}))) > 2


def test_a_range_of_time_that_ends_before_it_starts_has_no_series(client: httpx.Client) -> None:
    asked = {"match[]": "system_load_average", "start": "20", "end": "10"}
    for path in ("series", "labels", "label/period/values"):
        assert data(client.get(f"{API}/{path}", params=asked)) == []


def test_many_selectors_and_raw_strings_select_series(client: httpx.Client) -> None:
    match = ["system_load_average{period=~`\\d+m`}", 'stranger_beat_ms{nobody=""}']
    found = data(client.get(f"{API}/series", params={"match[]": match}))
    assert {s["__name__"] for s in found} == {"system_load_average", "stranger_beat_ms"}
    assert {s.get("period") for s in found} == {"1m", "5m", "15m", None}


@pytest.mark.parametrize(
    ("expr", "laid_out"),
    [
        ("a{b=`c\\d`,e=~`\\d+`}[1h30m]", 'a{b="c\\\\d",e=~"\\\\d+"}[1h30m]'),
        ("a @ -5 + b@1.25", "a @ -5.000 + b @ 1.250"),
        ("1e3+0x10+Inf*-Inf", "1000 + 16 + +Inf * -Inf"),
        ("1e6 / 1e21 / .00001", "1000000 / 1e+21 / 1e-05"),
        ('a{b="\\xc3\\xa9"}', 'a{b="é"}'),
        ("holt_winters(a[5m],.1,.2)", "holt_winters(a[5m], 0.1, 0.2)"),
    ],
)
def test_an_expression_is_laid_out_as_prometheus_does(
    client: httpx.Client, expr: str, laid_out: str
) -> None:
    assert data(client.get(f"{API}/format_query", params={"query": expr})) == laid_out


def test_a_large_answer_is_packed_for_those_who_take_it(client: httpx.Client) -> None:
    asked = {"match[]": '{__name__=~".+"}'}
    path = f"{API}/series"
    response = client.get(path, params=asked, headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    plain = client.get(path, params=asked, headers={"accept-encoding": "identity"})
    assert plain.json() == response.json()


def test_nobody_queries_without_a_token(site: Site) -> None:
    with httpx.Client(base_url=site.base) as stranger:
        for path in ("query?query=1", "labels", "label/a/values", "status/tsdb", "metadata"):
            assert stranger.get(f"{API}/{path}").status_code == 401


# --- numbers and times ------------------------------------------------------------------------


@given(st.floats())
def test_a_number_reads_back_the_same(value: float) -> None:
    text = number_text(value)
    back = float(text.replace("Inf", "inf"))
    assert math.isnan(back) if math.isnan(value) else back == value
    assert math.copysign(1, back) == math.copysign(1, value) or math.isnan(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (-0.0, "-0"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1e-6, "0.000001"),
     (9e-7, "9e-07"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (0.1, "0.1")],
)  # fmt: skip
def test_numbers_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("text", "ms"),
    [("15", 15_000), ("0.5", 500), ("1h30m", 5_400_000), ("1d", 86_400_000), ("250ms", 250)],
)
def test_steps(text: str, ms: int) -> None:
    assert parse_step(text) == ms


@pytest.mark.parametrize("text", ["", "m", "5 m", "1m1h", "nan", "inf", "1e300", "-"])
def test_bad_steps_and_times_are_value_errors(text: str) -> None:
    with pytest.raises(ValueError, match="valid"):
        parse_step(text)
    with pytest.raises(ValueError, match=r"valid|zone"):
        parse_time(text)


# --- the cache --------------------------------------------------------------------------------


class World:
    """Series whose value at a time is what was last written; counts the steps it evaluates."""

    def __init__(self) -> None:
        self.now_ms = 10_000_000
        self.written: dict[str, dict[int, float]] = {}
        self.steps = 0

    def evaluate(self, start: int, end: int, step: int) -> Matrix:
        labels: list[Labels] = []
        offsets, times, values = [0], [], []
        for name in sorted(self.written):
            for t in range(start, end + 1, step):
                self.steps += 1
                past = [w for w in self.written[name] if t - 5000 < w <= t]
                if past:
                    times.append(t)
                    values.append(self.written[name][max(past)])
            if len(times) > offsets[-1]:
                labels.append(Labels.of(name))
                offsets.append(len(times))
        return Matrix(labels, np.array(offsets), np.array(times, np.int64), np.array(values, float))


def as_text(matrix: Matrix) -> str:
    return json.dumps([[str(l), c.t_ms.tolist(), c.values.tolist()] for l, c in matrix])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "late", "ask", "wait"]), st.sampled_from("abc"),
            st.integers(0, 400), st.integers(1, 60), st.sampled_from([1000, 7000]),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_the_cache_answers_what_would_be_computed(moves: list[Any]) -> None:
    world = World()
    cache = RangeCache(lambda: world.now_ms)
    for move, name, back, length, step in moves:
        if move == "wait":
            world.now_ms += 1000 * length
        elif move in ("write", "late"):
            t = world.now_ms - (back * 1000 if move == "late" else 0)
            world.written.setdefault(name, {})[t] = float(back)
            cache.stored([Batch(np.array([1]), t, np.array([1.0]))])
        else:
            start = (world.now_ms - back * 1000) // step * step
            end = start + length * 1000
            found = cache.answer(
                "x",
                start,
                end,
                step,
                lambda a, b, s=step: world.evaluate(a, b, s),  # type: ignore[misc]
            )
            assert as_text(found) == as_text(world.evaluate(start, end, step))


def test_asking_again_computes_only_what_is_new() -> None:
    world = World()
    world.written["a"] = dict.fromkeys(range(0, world.now_ms, 1000), 1.0)
    cache = RangeCache(lambda: world.now_ms)
    span = 10 * SETTLED_MS

    def ask() -> int:
        world.steps = 0
        start = (world.now_ms - span) // 1000 * 1000
        cache.answer("a", start, world.now_ms, 1000, lambda a, b: world.evaluate(a, b, 1000))
        return world.steps

    whole = ask()
    world.now_ms += 5000
    assert ask() <= whole / 8
    for ahead in ("a @ end()", "a offset -5m", "a OFFSET - 5m"):
        cache.answer(ahead, 0, 1000, 1000, lambda a, b: world.evaluate(a, b, 1000))
    assert (cache.hits, cache.misses) == (1, 1)


def test_stats_tell_the_plan_and_what_was_read(client: httpx.Client, site: Site) -> None:
    now = site.clock.now_ms() // 1000
    query = "max(stranger_beat_ms)"
    plain = {"query": query, "start": now - 60, "end": now, "step": "5s"}
    found = data(client.get(f"{API}/query_range", params={**plain, "stats": "all"}))
    stats = found.pop("stats")
    assert found == data(client.get(f"{API}/query_range", params=plain))
    assert stats["timings"]["execTotalTime"] >= stats["timings"]["evalTotalTime"] > 0
    read = stats["explanation"]["reads"][0]
    assert read["selector"] == "stranger_beat_ms"
    assert stats["samples"]["totalQueryableSamples"] == read["samples"] > 0
    instant = data(client.post(f"{API}/query", data={"query": query, "stats": "all"}))
    assert instant["stats"]["explanation"]["plan"]["text"] == "aggregate max"
    assert client.get(f"{API}/query", params={"query": "(", "stats": "all"}).status_code == 400
