"""``/api/plugins/analytics``: answers, mistakes, what takes long, and who may ask."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosting import Host
from made import DAY, END, HOUR, MEMORY, a_day, put
from serving import Server, running_server, wait_for
from test_agent import HERE

from barograph.contracts import Request
from barograph.testing import check_route
from barograph_analytics import barograph_routes, routes
from barograph_analytics.agent import AnalyticsAgent
from barograph_analytics.asked import MOST, Asked, TooMany
from barograph_analytics.routes import analyse, moved


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(routes, "WAIT_S", 120.0)
    one = Host(tmp_path / "data", HERE)
    one.load()
    t, rows = a_day()
    put(one.store, t, {MEMORY: rows[MEMORY]})
    agent = AnalyticsAgent(HERE)
    agent.start(one)  # type: ignore[arg-type]
    yield one
    agent.stop(5.0)
    one.store.close()


def ask(host: Host, handler: Any, **query: Any) -> Any:
    given = {name: value if isinstance(value, list) else [str(value)]
             for name, value in query.items()}  # fmt: skip
    answer = handler(Request(host, "GET", "/", given))  # type: ignore[arg-type]
    return answer if isinstance(answer, dict) else (answer.status, json.loads(answer.body))


def test_the_routes_keep_their_contract() -> None:
    for route in barograph_routes():
        check_route(route)


def test_analysing_answers_what_it_saw_and_reports_it(host: Host) -> None:
    found = ask(host, analyse, last="24h", analyser=["change_points"])
    assert (found["start_ms"], found["end_ms"]) == (END - DAY, END)
    (one,) = found["observations"]
    assert one["labels"] == MEMORY.as_dict()
    assert one["source"] == "change_points"
    assert [run["analyser"] for run in found["runs"]] == ["change_points"]
    assert [f.observation.title for f in host.findings.list()] == [one["title"]]


def test_what_moved_is_answered_with_its_cost(host: Host) -> None:
    span = {"start": END - 6 * HOUR, "end": END - 5 * HOUR}
    found = ask(host, moved, **span, match="system_memory_usage_bytes")
    assert found["series"] == 1
    assert found["took_ms"] >= 0
    assert set(found) == {"moved", "series", "took_ms"}


@pytest.mark.parametrize(
    ("handler", "query", "told"),
    [
        (analyse, {"last": "soon"}, "expected a duration"),
        (analyse, {"last": "1h", "start": 5}, "give one of them"),
        (analyse, {"start": END, "end": END - 1}, "after the start"),
        (analyse, {"analyser": ["trneds"]}, 'did you mean "trends"?'),
        (analyse, {"query": ["sum("]}, "parse error"),
        (analyse, {"query": ["up"] * 101}, "at most 100"),
        (analyse, {"end": "x"}, "whole number"),
        (moved, {}, "?start= and ?end="),
        (moved, {"start": 5, "end": 4}, "the end must come after the start"),
        (moved, {"start": 5, "end": 6}, "must last"),
        (moved, {"start": END - HOUR, "end": END, "match": "a{"}, "bad series selector"),
        (moved, {"start": END - HOUR, "end": END, "limit": 0}, "limit is from 1"),
        (moved, {"start": 2**60, "end": END}, "out of range"),
    ],
)
def test_mistakes_are_told_as_problem_details(
    host: Host, handler: Any, query: Any, told: str
) -> None:
    status, body = ask(host, handler, **query)
    assert status == 400
    assert told in body["detail"]


def test_without_an_agent_it_says_so(host: Host) -> None:
    class Other:
        pass

    answer = moved(Request(Other(), "GET", "/", {"start": ["1"], "end": ["2"]}))  # type: ignore[arg-type]
    assert answer.status == 503


def test_what_takes_longer_is_answered_to_who_asks_again() -> None:
    asked, end = Asked(), threading.Event()

    def work() -> str:
        assert end.wait(30)
        return "done"

    assert asked.ask("a", work, 0.01) is None
    end.set()
    assert asked.ask("a", lambda: "another", 30) == "done"
    assert asked.ask("a", lambda: "another", 30) == "another"


def test_what_failed_is_raised_where_it_is_asked_for_and_forgotten() -> None:
    asked = Asked()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asked.ask("a", fail, 30)
    assert asked.ask("a", lambda: 1, 30) == 1


def test_no_more_is_under_way_than_allowed() -> None:
    asked, end = Asked(), threading.Event()
    for i in range(MOST):
        assert asked.ask(str(i), lambda: end.wait(30), 0.0) is None
    with pytest.raises(TooMany, match="ask again"):
        asked.ask("more", lambda: 1, 0.0)
    end.set()
    assert asked.ask("0", lambda: 1, 30) is True


# --- served --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("analytics")) as one:
        yield one


def request(server: Server, path: str, method: str, token: str | None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = urllib.request.Request(server.base_url + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return int(answer.status), json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_nobody_asks_without_a_token(server: Server) -> None:
    for path, method in (("/analyze", "POST"), ("/moved?start=1&end=2", "GET")):
        assert request(server, f"/api/plugins/analytics{path}", method, None)[0] == 401


def test_a_running_server_looks_in_a_process_of_its_own(server: Server) -> None:
    path = "/api/plugins/analytics/analyze?last=1h&analyser=recurrences"

    def answered() -> Any:
        status, body = request(server, path, "POST", server.token)
        assert status in (200, 202), body
        return body if status == 200 else None

    body = wait_for(answered, 120)
    assert [run["error"] for run in body["runs"]] == [""]
    loaded = Path(f"/proc/{server.pid}/maps").read_text()
    assert "llvmlite" not in loaded
    assert "/scipy/" not in loaded
