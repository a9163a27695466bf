"""Findings over HTTP, a person's word on them, and the hint to the page that they have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sites import API, Site

from barograph.findings import Evidence, Observation
from barograph.model import Labels

T0 = 1_700_000_000_000
PATH = f"{API}/findings"


def seen(fingerprint: str, kind: str = "anomaly", **more: Any) -> Observation:
    given: dict[str, Any] = {
        "kind": kind, "fingerprint": fingerprint, "title": "<img onerror=x> 840 ms",
        "text": "840 ms.", "severity": "warning", "confidence": 0.8, "start_ms": T0,
        "end_ms": T0 + 1000, "evidence": (Evidence("load", T0, T0 + 1000, "see"),),
        "labels": Labels.of("load", {"host": "a"}), "details": {"slope": 2.5, "lags_s": (1, 2)},
    }  # fmt: skip
    return Observation(**given | more)


@pytest.fixture
def client(own_site: Site) -> Iterator[httpx.Client]:
    with own_site.bearer() as client:
        yield client


def told(answer: httpx.Response) -> str:
    return "".join(one["fingerprint"] for one in answer.json()["findings"])


def test_findings_are_listed_by_state_kind_and_time(own_site: Site, client: httpx.Client) -> None:
    book = own_site.monitor.findings
    assert client.get(PATH, params={"kind": "trend"}).json() == {"findings": []}
    for name, kind in (("a", "trend"), ("b", "moved"), ("c", "trend")):
        own_site.clock.ahead_s += 1
        start = T0 + 10_000 * ord(name)
        book.report("me", [seen(name, kind, start_ms=start, end_ms=start + 1)])
    book.change(book.list(kinds=["moved"])[0].id, "acknowledged", "page")
    mine = {"kind": "trend,moved"}
    assert told(client.get(PATH, params=mine)) == "cba"
    assert told(client.get(PATH, params=mine | {"limit": "2"})) == "cb"
    assert told(client.get(PATH, params=mine | {"state": "open"})) == "ca"
    assert told(client.get(PATH, params=mine | {"state": "open,acknowledged"})) == "cba"
    assert told(client.get(PATH, params={"kind": "moved"})) == "b"
    assert told(client.get(PATH, params=mine | {"start": str(T0 + 10_000 * ord("b"))})) == "cb"
    assert told(client.get(PATH, params=mine | {"end": str(T0 + 10_000 * ord("b"))})) == "ba"


def test_a_finding_has_all_that_the_page_shows(own_site: Site, client: httpx.Client) -> None:
    (found,) = own_site.monitor.findings.report("me", [seen("a", "trend")])
    answer = client.get(f"{PATH}/{found.id}")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == {
        "id": found.id, "source": "me", "kind": "trend", "fingerprint": "a",
        "title": "<img onerror=x> 840 ms", "text": "840 ms.", "severity": "warning",
        "confidence": 0.8, "state": "open", "start_ms": T0, "end_ms": T0 + 1000,
        "first_ms": found.first_ms, "last_ms": found.last_ms, "times": 1,
        "labels": {"__name__": "load", "host": "a"},
        "evidence": [{"query": "load", "start_ms": T0, "end_ms": T0 + 1000, "note": "see"}],
        "details": {"slope": 2.5, "lags_s": [1, 2]},
        "history": [{"t_ms": found.first_ms, "state": "open", "by": "me", "note": ""}],
    }  # fmt: skip
    assert client.get(PATH, params={"kind": "trend"}).json()["findings"] == [answer.json()]


def test_a_person_s_word_changes_the_state_and_stands_in_the_history(
    own_site: Site, client: httpx.Client
) -> None:
    (found,) = own_site.monitor.findings.report("me", [seen("a", "trend")])
    answer = client.post(f"{PATH}/{found.id}", json={"state": "acknowledged", "note": "mine"})
    assert answer.status_code == 200
    assert answer.json()["state"] == "acknowledged"
    with own_site.browser() as browser:
        answer = browser.post(f"{PATH}/{found.id}", json={"state": "dismissed"})
        assert answer.status_code == 200
    history = [(c["state"], c["by"], c["note"]) for c in answer.json()["history"]]
    assert history == [
        ("open", "me", ""),
        ("acknowledged", "api", "mine"),
        ("dismissed", "page", ""),
    ]
    assert own_site.monitor.findings.get(found.id).state == "dismissed"


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/ID", {"state": "open"}, 409, "the finding is open already"),
        ("/ID", {"state": "closed"}, 400, ""),
        ("/ID", {}, 400, ""),
        ("/ID", {"state": "resolved", "note": "x" * 1001}, 400, ""),
        ("/nothing", {"state": "resolved"}, 404, "there is no finding 'nothing'"),
        ("/nothing", None, 404, "there is no finding 'nothing'"),
        ("?state=closed", None, 400, "there is no state 'closed'; there are open, acknowledged"),
        ("?start=-1", None, 400, ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_problem_with_its_reason(
    own_site: Site, client: httpx.Client, path: str, body: Any, status: int, detail: str
) -> None:
    (found,) = own_site.monitor.findings.report("me", [seen("a", "trend")])
    url = PATH + path.replace("ID", found.id)
    answer = client.get(url) if body is None else client.post(url, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(detail)
    assert own_site.monitor.findings.get(found.id) == found


def test_07_a_change_by_cookie_needs_the_csrf_token_and_the_origin(own_site: Site) -> None:
    (found,) = own_site.monitor.findings.report("me", [seen("a", "trend")])
    url, body = f"{PATH}/{found.id}", {"state": "dismissed"}
    with own_site.browser() as browser:
        csrf = browser.headers.pop("x-csrf-token")
        assert browser.post(url, json=body).status_code == 403
        browser.headers["x-csrf-token"] = csrf
        browser.headers["origin"] = "http://evil.example"
        assert browser.post(url, json=body).status_code == 403
    with own_site.stranger_client(headers={"origin": own_site.base}) as stranger:
        assert stranger.post(url, json=body).status_code == 401
        assert stranger.get(url).status_code == 401
    assert own_site.monitor.findings.get(found.id).state == "open"


def hints(peer: Any) -> Iterator[dict[str, Any]]:
    while True:
        frame = json.loads(peer.recv(10))
        if frame["type"] == "findings":
            yield frame


def test_a_viewer_is_told_that_findings_have_changed(own_site: Site) -> None:
    book = own_site.monitor.findings
    with own_site.live() as peer:
        peer.send('{"type":"ping"}')
        assert json.loads(peer.recv(10))["type"] == "pong"  # it has joined
        found = book.report("me", [seen(f"s{i}", "trend") for i in range(50)])
        first = next(hints(peer))
        assert first == {"type": "findings", "changed": book.counts()["open"]}
        assert first["changed"] >= 50
        book.change(found[0].id, "dismissed", "page")
        assert next(hints(peer))["changed"] == book.counts()["open"], "fifty changes were one hint"


def test_a_viewer_who_has_left_is_told_nothing(own_site: Site) -> None:
    from serving import wait_for

    book = own_site.monitor.findings
    listening = len(book._listeners)
    with own_site.live() as peer:
        peer.send('{"type":"ping"}')
        assert json.loads(peer.recv(10))["type"] == "pong"
        assert len(book._listeners) == listening + 1
    wait_for(lambda: len(book._listeners) == listening)
    book.report("me", [seen("a", "trend")])
    assert own_site.monitor.meter.value("barograph_findings_listener_errors_total") == 0
