"""Ingest tokens over HTTP: they write samples, within their limits, and do nothing else (28)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import cramjam
import httpx
import pytest
from serving import wait_for
from sites import API, Site
from websockets.exceptions import InvalidStatus

from barograph.ingest_tokens import create_token, revoke_token
from barograph.instruments import Counter, Gauge, Histogram, Registry
from barograph.instruments.connection import Connection
from barograph.instruments.lines import PUSH_PATH, HttpLine
from barograph.model import Matcher
from barograph_api.access import Access, AccessError
from barograph_prometheus import wire

WRITE, OTLP = "/api/v1/write", "/v1/metrics"
JSON = {"content-type": "application/json"}
HUGE = (
    b'{"process": "pppppppp", "number": 1, "service": "x", "readings": '
    b'[{"name": "huge", "form": "gauge", "value": 1' + b"0" * 400 + b"}]}"
)
WRITTEN = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}


@pytest.fixture
def token(site: Site, request: pytest.FixtureRequest) -> Iterator[str]:
    limits: dict[str, int] = getattr(request, "param", {})
    name = f"t{time.monotonic_ns()}"
    yield create_token(site.folder / "data", 0, name, **limits)
    revoke_token(site.folder / "data", name)


def client(site: Site, token: str) -> httpx.Client:
    return site.stranger_client(headers={"authorization": f"Bearer {token}"})


def series(name: str, count: int, now: int, **labels: str) -> bytes:
    parts = []
    for i in range(count):
        pairs = sorted({"__name__": name, "i": str(i), **labels}.items())
        parts.append(wire.encode_series(wire.encode_pairs(pairs), [now], [float(i)]))
    return bytes(cramjam.snappy.compress_raw(wire.encode(parts)))


def points(name: str, count: int, now: int, kind: str = "gauge", **labels: str) -> dict[str, Any]:
    """An OTLP request of ``count`` points, each of a series of its own."""
    data = [
        {"asDouble": i, "timeUnixNano": str(now * 10**6),
         "attributes": [{"key": k, "value": {"stringValue": v}}
                        for k, v in {"i": str(i), **labels}.items()]}
        for i in range(count)
    ]  # fmt: skip
    body: dict[str, Any] = {"dataPoints": data}
    if kind == "sum":
        body |= {"aggregationTemporality": 1, "isMonotonic": True}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": name, kind: body}]}]}]}


def message(name: str, count: int, **labels: str) -> dict[str, Any]:
    """What an application sends: ``count`` counters of one process."""
    readings = [
        {"name": name, "form": "counter", "value": 1, "help": "Things",
         "labels": {"i": str(i), **labels}}
        for i in range(count)
    ]  # fmt: skip
    process = f"{time.monotonic_ns():032x}"
    return {"process": process, "number": 1, "service": "", "readings": readings}


def stored(site: Site, name: str) -> int:
    return len(site.monitor.store.select([Matcher.equal("__name__", name)]))


def routes(site: Site) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in site.guard._app.routes
        for method in sorted(getattr(route, "methods", ()))
    ]


# --- what it opens ------------------------------------------------------------------------------


def test_28_it_opens_the_three_receivers_and_every_other_route_answers_403(
    site: Site, token: str
) -> None:
    opened = {("POST", WRITE), ("POST", OTLP), ("POST", PUSH_PATH)}
    found = routes(site)
    assert opened <= set(found)
    with client(site, token) as writer:
        for method, path in found:
            answer = writer.request(method, path, headers={"origin": site.base, **JSON})
            if (method, path) in opened:
                assert answer.status_code not in (401, 403), (method, path)
            else:
                assert answer.status_code == 403, (method, path)
                if method != "HEAD":
                    assert "writes samples" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/login", "/nothing", "/secret.txt", f"{API}/status", "//api/v1/write",
     "/api/v1/write/", "/API/v1/write", "/api/v1/write/x", "/api/v1/%77rite/", "/v1/metrics/..",
     "/plugins/stranger/static/own.js", f"{API}/openapi/openapi.json"],
)  # fmt: skip
def test_28_no_spelling_of_a_path_leads_further(site: Site, token: str, path: str) -> None:
    line = f"Authorization: Bearer {token}"
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"):
        head = (f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{line}\r\nContent-Length: 0\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n\r\n")  # fmt: skip
        assert site.raw(head.encode()).startswith(b"HTTP/1.1 403 "), (method, path)


def test_28_it_opens_no_live_connection_and_no_session(site: Site, token: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        site.live(origin=site.base, additional_headers={"authorization": f"Bearer {token}"})
    assert refused.value.response.status_code == 403
    with site.stranger_client(headers={"origin": site.base}) as stranger:
        for answer in (stranger.post("/login", data={"token": token}),
                       stranger.get(f"/?token={token}")):  # fmt: skip
            assert answer.headers["location"] == "/login?failed=1"
            assert "set-cookie" not in answer.headers
    with client(site, token) as writer:  # not even with a token that does
        assert writer.get(f"/?token={site.token}").status_code == 403


def test_28_a_session_beside_it_gives_it_nothing(site: Site, token: str) -> None:
    with site.browser() as browser:
        answer = browser.get(f"{API}/status", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 403


def test_28_once_revoked_it_is_worth_nothing_and_locks_nobody_out(site: Site) -> None:
    folder = site.folder / "data"
    token = create_token(folder, 0, "short")
    with client(site, token) as writer:
        body = series("revoked_a", 1, site.clock.now_ms())
        assert writer.post(WRITE, content=body, headers=WRITTEN).status_code == 204
        revoke_token(folder, "short")
        for _ in range(15):
            assert writer.post(WRITE, content=body, headers=WRITTEN).status_code == 401
    assert not site.access.failures.blocked("127.0.0.1")


def test_28_the_token_that_opens_everything_never_looks_like_one(own_site: Site) -> None:
    with pytest.raises(AccessError, match="begins with bgi_"):
        Access(own_site.clock, own_site.folder / "data", "bgi_" + "x" * 40)


# --- its limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [{"max_series": 10}], indirect=True)
def test_28_its_series_are_limited_over_all_protocols(site: Site, token: str) -> None:
    now = site.clock.now_ms()
    with client(site, token) as writer:
        answer = writer.post(WRITE, content=series("limit_w", 6, now), headers=WRITTEN)
        assert answer.status_code == 204
        answer = writer.post(PUSH_PATH, json=message("limit_a_total", 9))
        assert answer.status_code == 200
        wait_for(lambda: stored(site, "limit_a_total") == 4)
        answer = writer.post(OTLP, json=points("limit_o", 3, now))
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "3"
        assert "may write 10 series" in answer.json()["partialSuccess"]["errorMessage"]
        answer = writer.post(WRITE, content=series("limit_w", 8, now + 1), headers=WRITTEN)
        assert answer.status_code == 400
        assert "2 samples dropped: the token" in answer.json()["detail"]
        assert "may write 10 series" in answer.json()["detail"]
    assert (stored(site, "limit_w"), stored(site, "limit_o")) == (6, 0)
    column = site.monitor.store.read(
        [s.ref for s in site.monitor.store.select([Matcher.equal("__name__", "limit_w")])],
        0, 2**61,
    )  # fmt: skip
    assert [len(one) for one in column] == [2] * 6


@pytest.mark.parametrize("token", [{"max_series": 3}], indirect=True)
def test_28_series_that_others_made_count_too(site: Site, token: str) -> None:
    now = site.clock.now_ms()
    with site.bearer() as anyone:
        body = series("shared_w", 5, now)
        assert anyone.post(WRITE, content=body, headers=WRITTEN).status_code == 204
        assert anyone.post(OTLP, json=points("shared_o", 5, now)).json() == {}
    with client(site, token) as writer:
        answer = writer.post(OTLP, json=points("shared_o", 5, now + 1))
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "2"
        answer = writer.post(WRITE, content=series("shared_w", 5, now + 1), headers=WRITTEN)
        assert "5 samples dropped" in answer.json()["detail"]


@pytest.mark.parametrize("token", [{"max_series": 4}], indirect=True)
def test_28_differences_beyond_its_series_are_not_added_up(site: Site, token: str) -> None:
    before = site.monitor.meter.value("barograph_otlp_delta_series")
    with client(site, token) as writer:
        now = site.clock.now_ms()
        answer = writer.post(OTLP, json=points("delta_o", 50, now, "sum"))
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "46"
    assert site.monitor.meter.value("barograph_otlp_delta_series") == before + 4


@pytest.mark.parametrize("token", [{"max_labels": 4, "max_label_chars": 20}], indirect=True)
@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"a": "x", "b": "y", "c": "z"}, "labels"),
        ({"a": "x" * 21}, "characters|too long"),
        ({"n" * 21: "x"}, "characters|too long|no label name"),
    ],
)
def test_28_labels_are_limited_in_number_and_length(
    site: Site, token: str, labels: dict[str, str], why: str
) -> None:
    now, name = site.clock.now_ms(), "labelled_total"
    with site.bearer() as anyone:  # what another has written already is no way around
        body = series(name, 1, now, **labels)
        assert anyone.post(WRITE, content=body, headers=WRITTEN).status_code == 204
    with client(site, token) as writer:
        for _ in range(2):
            answer = writer.post(WRITE, content=series(name, 1, now, **labels), headers=WRITTEN)
            assert answer.status_code == 400
            assert any(word in answer.json()["detail"] for word in why.split("|"))
        answer = writer.post(OTLP, json=points("labelled_o", 1, now, **labels))
        assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
        answer = writer.post(PUSH_PATH, json=message("labelled_a_total", 1, **labels))
        assert answer.status_code == 400
        assert any(word in answer.json()["error"] for word in why.split("|"))
        fine = writer.post(WRITE, content=series("labelled_w", 1, now, a="x"), headers=WRITTEN)
        assert fine.status_code == 204
    assert stored(site, "labelled_o") == 0
    with site.bearer() as anyone:  # what one token may not write, others may still
        body = series(name, 1, now + 1, **labels)
        assert anyone.post(WRITE, content=body, headers=WRITTEN).status_code == 204


# --- an application elsewhere -------------------------------------------------------------------


def connected(site: Site, token: str, registry: Registry) -> Connection:
    return Connection("shop", HttpLine(site.base, token), 60.0, registry)


def newest(site: Site, name: str) -> float:
    found = site.monitor.store.select([Matcher.equal("__name__", name)])
    columns = site.monitor.store.read([s.ref for s in found], 0, 2**61)
    return sum(float(c.values[-1]) for c in columns if len(c))


def test_an_application_sends_over_http_and_counts_once(site: Site, token: str) -> None:
    registry = Registry()
    counter = Counter("http_jobs_total", "Of a test", registry=registry)
    Histogram("http_took_seconds", "Of a test", registry=registry).observe(0.3)
    Gauge("http_open", "Of a test", registry=registry).set(4)
    line = connected(site, token, registry)
    for i in range(3):
        counter.inc(i)
        assert line.flush(), line.last_error
    counter.inc(10)
    line.close()
    wait_for(lambda: newest(site, "http_jobs_total") == 13)
    wait_for(lambda: newest(site, "http_took_seconds_count") == 1)
    assert (line.sent, line.failed) == (4, 0)


def test_an_application_whose_token_is_revoked_keeps_what_it_counts(site: Site) -> None:
    folder, registry = site.folder / "data", Registry()
    counter = Counter("kept_total", "Of a test", registry=registry)
    line = connected(site, create_token(folder, 0, "kept"), registry)
    counter.inc(3)
    assert line.flush()
    revoke_token(folder, "kept")
    counter.inc(4)
    assert not line.flush()
    assert "answered 401" in line.last_error
    line.line = HttpLine(site.base, create_token(folder, 0, "kept"))
    assert line.flush()
    wait_for(lambda: newest(site, "kept_total") == 7)
    revoke_token(folder, "kept")


def test_a_message_that_will_never_be_taken_is_not_sent_again(site: Site, token: str) -> None:
    registry = Registry()
    Counter("fine_total", labels=("l" * 2000,), registry=registry).labels(**{"l" * 2000: 1}).inc()
    line = connected(site, token, registry)
    assert line.flush()
    assert (line.refused, line.sent) == (1, 0)
    assert "no label name" in line.last_error


def test_a_name_that_the_server_does_not_know_loses_nothing(site: Site, token: str) -> None:
    registry = Registry()
    Counter("named_total", "Of a test", registry=registry).inc(3)
    line = connected(site, token, registry)
    assert isinstance(line.line, HttpLine)
    line.line._headers["Host"] = "evil.example"
    assert not line.flush()
    assert "allowed_hosts" in line.last_error
    del line.line._headers["Host"]
    assert line.flush()
    wait_for(lambda: newest(site, "named_total") == 3)


def test_a_server_that_is_away_is_told(token: str) -> None:
    line = Connection("shop", HttpLine("http://127.0.0.1:1", token), 60.0, Registry())
    assert not line.flush()
    assert "http://127.0.0.1:1: " in line.last_error


@pytest.mark.parametrize(
    ("url", "given", "told"),
    [
        ("monitor:10132", "bgi_x", "is no address"),
        ("ftp://monitor", "bgi_x", "is no address"),
        ("http://user:word@monitor", "bgi_x", "a name or a password in it"),
        ("http://:word@monitor", "bgi_x", "a name or a password in it"),
        ("http://monitor", "bgi_word\nx", "not one line"),
        ("http://monitor", "bgi_wörd", "not one line"),
        ("https://monitor", "", "barograph token create NAME"),
    ],
)
def test_an_address_or_token_that_is_none_is_told(url: str, given: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        HttpLine(url, given)
    assert "word" not in str(raised.value).replace("a password", "")  # it may come to be logged


def test_a_token_read_from_a_file_may_end_in_a_line_break(site: Site, token: str) -> None:
    registry = Registry()
    Counter("filed_total", "Of a test", registry=registry).inc()
    assert connected(site, f"{token}\n", registry).flush()


def test_the_push_route_answers_junk_with_400(site: Site, token: str) -> None:
    with client(site, token) as writer:
        deep = b"[" * 30 + b"]" * 30
        for junk in (b"", b"[]", b"\xff", b'{"process": 5}', deep, HUGE):
            answer = writer.post(PUSH_PATH, content=junk, headers=JSON)
            assert answer.status_code == 400
            assert json.loads(answer.content)["error"]
