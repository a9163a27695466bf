"""What the routes answer, and that no request holds the server."""

from __future__ import annotations

import gzip
import json
import math
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import wait_for
from sites import API, Site

from barograph.contracts import StoreError
from barograph_api import app
from barograph_api.wire import MAX_QUERIES, MAX_SPAN_MS, rounded

CPU = {"match": ["system_cpu_time_seconds_total"], "fn": "rate", "agg": "sum", "by": ["mode"]}


@pytest.fixture
def client(site: Site) -> Any:
    with site.bearer() as client:
        yield client


def ask(
    client: httpx.Client, site: Site, *queries: Any, span_ms: int = 60_000, **named: Any
) -> Any:
    now = site.clock.now_ms()
    body = {"start": now - span_ms, "end": now, "queries": list(queries), **named}
    return client.post(f"{API}/range", json=body)


def test_health_tells_strangers_only_whether_it_works(site: Site) -> None:
    with site.stranger_client() as stranger:
        for path in ("/healthz", "/readyz"):
            answer = stranger.get(path)
            assert (answer.status_code, answer.json()["status"]) == (200, "ok")
            assert {check["detail"] for check in answer.json()["checks"]} == {""}


def test_range_gives_a_chart_for_each_query(client: httpx.Client, site: Site) -> None:
    wait_for(lambda: ask(client, site, CPU).json()["results"][0]["series"])
    answer = ask(client, site, CPU, {"match": ["nothing_of_this_name"]}, points=30)
    assert answer.status_code == 200
    chart, empty = answer.json()["results"]
    assert empty["series"] == []
    assert chart["step_ms"] == 2000
    assert chart["level_ms"] == 0
    assert "user" in {line["labels"]["mode"] for line in chart["series"]}
    for line in chart["series"]:
        assert len(line["values"]) == len(chart["t"])
        assert line["min"] is None


def test_a_span_with_samples_has_values_and_their_bounds(client: httpx.Client, site: Site) -> None:
    query = {"match": ["system_memory_usage_bytes"], "legend": "{state}"}
    wait_for(lambda: ask(client, site, query).json()["results"][0]["series"])
    for line in ask(client, site, query, points=5).json()["results"][0]["series"]:
        for low, mean, high in zip(line["min"], line["values"], line["max"], strict=True):
            assert (mean is None) == (low is None) == (high is None)
            assert mean is None or low <= mean * (1 + 1e-6) <= high * (1 + 2e-6)


def test_a_month_is_answered_from_a_level(client: httpx.Client, site: Site) -> None:
    chart = ask(client, site, CPU, span_ms=30 * 86_400_000).json()["results"][0]
    assert chart["level_ms"] == 3_600_000
    assert len(chart["t"]) <= 400


def test_12_the_range_is_bounded(client: httpx.Client, site: Site) -> None:
    told = ask(client, site, CPU, span_ms=MAX_SPAN_MS + 1)
    assert (told.status_code, told.json()["detail"]) == (400, "at most 30 years at one time")
    assert ask(client, site, CPU, span_ms=MAX_SPAN_MS).status_code == 200
    told = ask(client, site, *[CPU] * (MAX_QUERIES + 1))
    assert told.status_code == 400
    assert str(MAX_QUERIES) in json.dumps(told.json()["errors"])
    for points in (-5, 0, 2, 10**9):
        chart = ask(client, site, CPU, points=points).json()["results"][0]
        assert len(chart["t"]) <= 2001


def test_12_the_values_of_one_answer_are_bounded(
    client: httpx.Client, site: Site, monkeypatch: Any
) -> None:
    monkeypatch.setattr(app, "MAX_VALUES", 50)
    query = {"match": ["system_memory_usage_bytes"]}
    wait_for(lambda: ask(client, site, query).status_code == 400)
    assert "over 50 values: ask for fewer points" in ask(client, site, query).json()["detail"]


def test_large_answers_are_packed_for_those_who_unpack(client: httpx.Client, site: Site) -> None:
    query = {"match": ["system_memory_usage_bytes"]}
    wait_for(lambda: ask(client, site, query).json()["results"][0]["series"])
    now = site.clock.now_ms()
    body = {"start": now - 600_000, "end": now, "queries": [query], "points": 600}
    plain = client.post(f"{API}/range", json=body, headers={"accept-encoding": "identity"})
    packed = client.post(f"{API}/range", json=body, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert plain.json()["results"][0]["t"] == packed.json()["results"][0]["t"]
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


def test_series_are_found_and_their_samples_read(client: httpx.Client, site: Site) -> None:
    found = client.get(f"{API}/series", params={"match": 'system_memory_usage_bytes{state="used"}'})
    (one,) = found.json()["series"]
    assert one["labels"] == {"__name__": "system_memory_usage_bytes", "state": "used"}
    assert (one["kind"], one["unit"]) == ("gauge", "bytes")
    assert found.json()["truncated"] is False
    end = site.clock.now_ms()
    params = {"ref": one["ref"], "start": end - 3_600_000, "end": end}
    read = client.get(f"{API}/samples", params=params).json()
    assert read["total"] == len(read["t"]) == len(read["v"]) > 0
    assert read["t"] == sorted(read["t"])
    newest = client.get(f"{API}/samples", params={**params, "limit": 1}).json()
    assert newest["t"] == read["t"][-1:]
    assert newest["total"] >= 1


def test_several_selectors_are_joined_and_the_limit_is_told(client: httpx.Client) -> None:
    match = ["system_cpu_time_seconds_total", "system_memory_usage_bytes",
             "system_cpu_time_seconds_total"]  # fmt: skip
    every = client.get(f"{API}/series", params={"match": match}).json()
    assert len({one["ref"] for one in every["series"]}) == len(every["series"]) > 6
    few = client.get(f"{API}/series", params={"match": match, "limit": 3}).json()
    assert (len(few["series"]), few["truncated"]) == (3, True)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("series", {}), ("series", {"match": "{{"}),
        ("series", {"match": ["a"] * 17}), ("series", {"match": "x" * 1001}),
        ("series", {"match": "a", "start": "x"}), ("series", {"match": "a", "start": 10**20}),
        ("series", {"match": 'a{b=~"("}'}), ("series", {"match": "rate(a[5m])"}),
        ("samples", {}), ("samples", {"ref": 1}), ("samples", {"ref": "x", "start": 0, "end": 1}),
        ("samples", {"ref": -1, "start": 0, "end": 1}),
        ("samples", {"ref": 10**30, "start": 0, "end": 1}),
        ("samples", {"ref": 1, "start": -1, "end": 1}),
        ("samples", {"ref": 1, "start": 0, "end": 10**30}),
        ("samples", {"ref": 1, "start": 0, "end": 1, "limit": "all"}),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_a_400_that_says_why(
    client: httpx.Client, path: str, params: Any
) -> None:
    answer = client.get(f"{API}/{path}", params=params)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_an_unknown_series_has_no_samples(client: httpx.Client) -> None:
    answer = client.get(f"{API}/samples", params={"ref": 2**40, "start": 0, "end": 1})
    assert answer.json() == {"t": [], "v": [], "total": 0}


def test_the_dashboard_describes_every_widget_as_text(client: httpx.Client) -> None:
    told = client.get(f"{API}/dashboard").json()
    assert told["interval_ms"] == 200
    assert [s["name"] for s in told["sections"]][:2] == ["Overview", "CPU"]
    widgets = {w["id"]: w for s in told["sections"] for w in s["widgets"]}
    hostile = widgets["stranger.hostile"]
    assert hostile["title"] == "<img src=x onerror=alert(1)>", "the page shows it as text"
    assert widgets["stranger.own"]["module"] == "/plugins/stranger/static/own.js"
    assert widgets["system.cpu"]["module"] == ""
    told_of = {p["where"]: p["what"] for p in told["problems"]}
    assert "stranger" in str(told_of)
    assert "stranger.odd" not in widgets, "what cannot be sent spoils no other widget"
    assert "a widget cannot be shown: TypeError" in str(told["problems"])
    again = client.get(f"{API}/dashboard").json()["problems"]
    assert str(again).count("cannot be shown") == 1


def test_status_tells_of_every_part(client: httpx.Client) -> None:
    told = client.get(f"{API}/status").json()
    assert told["state"] == "running"
    assert told["health"]["ready"] is True
    assert {"barograph", "system"} <= {s["plugin"] for s in told["sources"]}
    assert told["store"]["series"] > 0
    names = {m["name"] for m in client.get(f"{API}/metrics").json()}
    assert "system_cpu_time_seconds_total" in names
    assert {p["name"] for p in client.get(f"{API}/plugins").json()} >= {"system", "stranger"}


def test_a_store_that_cannot_is_told_as_503(
    client: httpx.Client, site: Site, monkeypatch: Any
) -> None:
    def broken(*arguments: Any) -> Any:
        raise StoreError("page 7 is damaged; see barograph doctor --store")

    monkeypatch.setattr(site.monitor.store, "select", broken)
    answer = ask(client, site, CPU)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "page 7 is damaged; see barograph doctor --store"


# 12, 23: what is slow or hangs holds one place of a bounded number, and nobody else.


def test_12_slow_queries_are_bounded_and_the_rest_of_the_server_answers(
    own_site: Site, monkeypatch: Any
) -> None:
    site = own_site
    release, inside = threading.Event(), threading.Semaphore(0)
    real = site.monitor.store.select

    def slow(*arguments: Any, **named: Any) -> Any:
        inside.release()
        release.wait(60)
        return real(*arguments, **named)

    with site.bearer() as client:
        monkeypatch.setattr(site.monitor.store, "select", slow)
        monkeypatch.setattr(app, "QUERY_SECONDS", 10)
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(client, site, CPU).status_code))
            for _ in range(app.QUERIES_AT_ONCE + 2)
        ]
        for thread in threads:
            thread.start()
        for _ in range(app.QUERIES_AT_ONCE):
            assert inside.acquire(timeout=10)
        value = site.monitor.meter.value
        assert value("barograph_workers_running", workers="query") == app.QUERIES_AT_ONCE
        assert not inside.acquire(timeout=0.3), "a fifth call runs"
        for path in ("/healthz", "/login", "/api/plugins/stranger/echo"):
            assert client.get(path).status_code == 200, path
        release.set()
        for thread in threads:
            thread.join(20)
        assert answers == [200] * len(threads)
        wait_for(lambda: value("barograph_workers_running", workers="query") == 0)


def test_12_a_query_that_takes_too_long_is_told_so_and_keeps_its_place_until_it_ends(
    own_site: Site, monkeypatch: Any
) -> None:
    site = own_site
    release = threading.Event()
    monkeypatch.setattr(site.monitor.store, "stats", lambda: release.wait(60) and None)
    workers = _workers(site, "query")
    monkeypatch.setattr(workers, "seconds", 0.2)
    value = site.monitor.meter.value
    with site.bearer() as client:
        for n in range(app.QUERIES_AT_ONCE + 3):
            answer = client.get(f"{API}/status")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["detail"] == "no answer within 0.2 s; ask for less"
            running = value("barograph_workers_running", workers="query")
            assert running == min(n + 1, app.QUERIES_AT_ONCE)
        release.set()
        wait_for(lambda: value("barograph_workers_running", workers="query") == 0)
        monkeypatch.undo()
        assert client.get(f"{API}/status").status_code == 200
    assert value("barograph_workers_refused_total", workers="query") == app.QUERIES_AT_ONCE + 3


def test_12_those_who_wait_are_bounded(own_site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(_workers(own_site, "query"), "_room", 0)
    with own_site.bearer() as client:
        answer = client.get(f"{API}/status")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "too many requests at one time; ask again in a second"


def _workers(site: Site, name: str) -> Any:
    """The server's workers of that name, found through the routes that use them."""
    from gc import get_objects

    from barograph_api.workers import Workers

    gauge = site.monitor.meter.gauge("barograph_workers_running", workers=name)
    (found,) = [w for w in get_objects() if isinstance(w, Workers) and w._gauge is gauge]
    return found


def test_23_a_plugin_that_hangs_is_named_and_only_its_routes_wait(own_site: Site) -> None:
    site = own_site
    _workers(site, "plugin").seconds = 0.3
    with site.bearer() as client:
        for _ in range(app.QUERIES_AT_ONCE):
            answer = client.get("/api/plugins/stranger/hang")
            assert answer.status_code == 503
            assert answer.json()["detail"].startswith("plugin stranger: no answer within 0.3 s")
        assert client.get("/api/plugins/stranger/echo").status_code == 503
        assert client.get(f"{API}/status").status_code == 200
        site.stranger.release.set()
        wait_for(lambda: client.get("/api/plugins/stranger/echo").status_code == 200)


# Plugin routes.


def test_a_plugins_route_is_given_what_was_asked(client: httpx.Client, site: Site) -> None:
    answer = client.post("/api/plugins/stranger/echo?a=1&a=2&b=x%20y", json={"deep": [1]})
    assert answer.status_code == 200
    told = answer.json()
    assert told["query"] == {"a": ["1", "2"], "b": ["x y"]}
    assert json.loads(told["body"]) == {"deep": [1]}
    assert told["method"] == "POST"
    asked = site.stranger.asked[-1]
    assert asked.monitor is site.monitor
    assert (asked.path, asked.content_type) == ("/api/plugins/stranger/echo", "application/json")


def test_a_plugins_route_may_answer_bytes_or_a_page(client: httpx.Client) -> None:
    raw = client.get("/api/plugins/stranger/bytes")
    assert (raw.content, raw.headers["content-type"]) == (b"\0\1", "application/octet-stream")
    page = client.get("/api/plugins/stranger/page")
    assert (page.status_code, page.text) == (201, "<b>hello</b>")
    assert page.headers["content-type"].startswith("text/html")
    assert client.put("/api/plugins/stranger/echo", json={}).status_code == 405


def test_a_plugins_bad_routes_are_told_and_left_out(client: httpx.Client) -> None:
    problems = [p for p in client.get(f"{API}/status").json()["problems"]
                if p["where"] == "plugin stranger"]  # fmt: skip
    told = sorted(p["what"] for p in problems if p["what"].startswith("route"))
    assert told == ["route '/../climb': a path is /plain/parts",
                    "route '/echo': two routes have this path",
                    "route '/{name:path}': a path is /plain/parts"]  # fmt: skip


def test_a_plugins_modules_come_from_its_folder_static_only(tmp_path: Path) -> None:
    import importlib
    import sys

    from barograph.contracts import Problem
    from barograph_api.files import plugin_files

    package = tmp_path / "gauge_plugin"
    (package / "static").mkdir(parents=True)
    (package / "static" / "gauge.js").write_text("export {}")
    (package / "private.txt").write_text("secret")
    (package / "__init__.py").write_text(
        "from barograph import WidgetSpec, hookimpl\n"
        "from barograph.widgets import SpecWidget\n"
        "@hookimpl\n"
        "def barograph_widgets():\n"
        "    return [SpecWidget(WidgetSpec('a', 'A', (), kind='x-a', module=m)) for m in\n"
        "            ('static/gauge.js', 'static/missing.js', '../private.txt')]\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        module = importlib.import_module("gauge_plugin")
    finally:
        sys.path.remove(str(tmp_path))
    from barograph.monitor import PerformanceMonitor
    from barograph.plugins import PluginManager

    plugins = PluginManager()
    plugins.register(module, "gauge")
    monitor = PerformanceMonitor(plugins=plugins)
    monitor._widgets = plugins.call("barograph_widgets")
    problems: list[Problem] = []
    files = plugin_files(monitor, problems)
    assert list(files) == ["/plugins/gauge/static/gauge.js"]
    assert files["/plugins/gauge/static/gauge.js"].kind == "text/javascript"
    assert "static/missing.js" in problems[0].what


# Files of the page.


def test_files_are_packed_tagged_and_kept(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    asset = client.get("/assets/main-1.js", headers={"accept-encoding": "gzip"})
    assert asset.headers["content-encoding"] == "gzip"
    assert "immutable" in asset.headers["cache-control"]
    plain = client.get("/assets/main-1.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == asset.text == "console.log('page')" * 100
    assert gzip.decompress(gzip.compress(plain.content)) == plain.content


def test_without_a_built_page_the_server_says_so(tmp_path: Path) -> None:
    from barograph_api.files import file_route, login_files, read_files

    assert read_files(tmp_path / "none") == {}
    assert login_files({}) == set()
    assert file_route({}).paths == {"/", "/login"}


# OpenAPI.


def test_the_openapi_document_is_valid_and_describes_every_route(
    client: httpx.Client, site: Site
) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    document = client.get(f"{API}/openapi/openapi.json").json()
    validator.validate(document)
    described = {(method, path) for path, entry in document["paths"].items() for method in entry}
    for route in site.guard._app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if not handler.resolve_include_in_schema():
                continue
            for method in handler.http_methods - {"OPTIONS", "HEAD"}:
                path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
                assert (method.lower(), path) in described
    for path, entry in document["paths"].items():
        for method, operation in entry.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description") or path.startswith("/api/plugins/"), (method, path)
            assert not path.startswith("/assets")


def test_the_names_of_the_openapi_schemas_stay(client: httpx.Client) -> None:
    document = client.get(f"{API}/openapi/openapi.json").json()
    assert set(document["components"]["schemas"]) == {
        "ChangeIn", "ChangeOut", "ChartOut", "CheckOut", "DashboardOut", "EvidenceOut",
        "FindingOut", "FindingsOut", "FoundOut", "HealthOut", "LineOut", "MetricOut", "QueryIn",
        "RangeIn", "RangeOut", "SamplesOut", "SeriesOut",
    }  # fmt: skip
    ids = [o["operationId"] for entry in document["paths"].values() for o in entry.values()]
    assert len(set(ids)) == len(ids)


# Rounding for charts.


@given(st.floats(allow_nan=True, allow_infinity=True, width=64))
def test_rounding_keeps_seven_digits_and_every_whole_part(value: float) -> None:
    (out,) = rounded(np.array([value])).tolist()
    if not math.isfinite(value):
        assert math.isnan(out) if math.isnan(value) else out == value
        return
    if abs(value) >= 1:
        assert abs(out - value) <= 0.5
    assert math.isclose(out, value, rel_tol=5.1e-7, abs_tol=1e-293)
    assert not value or math.copysign(1, out) == math.copysign(1, value)


@given(st.integers(-(2**53), 2**53))
def test_rounding_changes_no_whole_number(value: int) -> None:
    assert rounded(np.array([float(value)])).tolist() == [float(value)]


@pytest.mark.parametrize("pattern", ["(.|.)*!", "(a+)+$", "(.*.*.*.*.*.*.*.*)*x", "(" * 900])
def test_12_no_pattern_holds_the_server(client: httpx.Client, pattern: str) -> None:
    # Python's own `re` would be at the first of them until the end of the test run, and no other
    # thread of the process would move meanwhile.
    match = f'{{__name__=~"{pattern}"}}'
    assert client.get(f"{API}/series", params={"match": match}).status_code in (200, 400)
    assert client.get("/healthz").status_code in (200, 503)
