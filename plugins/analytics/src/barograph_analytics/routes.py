"""``/api/plugins/analytics``: look now, and what else moved."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from barograph.answer import QueryError, QueryInvalid
from barograph.config.errors import nearest
from barograph.config.units import parse_duration
from barograph.contracts import Request, Response
from barograph.engines import find_engine
from barograph.query import parse_selector
from barograph_analytics.agent import AnalyticsAgent, Busy, NoAgent, agent_of
from barograph_analytics.asked import TooMany
from barograph_analytics.process import WorkerFailed
from barograph_analytics.ranking import EVERYTHING, check_span
from barograph_analytics.running import told

MAX_QUERIES = 100
MAX_LIMIT = 1000
MAX_TIME_MS = 2**53
WAIT_S = 8.0
"""An answer that takes longer is told by 202; the server sends nobody away before."""


def analyse(request: Request) -> Any:
    """Run the analysers over the last ``?last=24h`` (or ``?start=&end=`` in ms), of ``?analyser=``
    (several) if it is given, over ``?query=`` (several) if it is given."""

    def work(agent: AnalyticsAgent) -> Any:
        start_ms, end_ms = _span(request)
        names = tuple(request.query.get("analyser", ()))
        for name in names:
            if name not in agent.analysers:
                raise ValueError(f"there is no analyser {name!r}{nearest(name, agent.analysers)}")
        queries = tuple(request.query.get("query", ()))
        if len(queries) > MAX_QUERIES:
            raise ValueError(f"at most {MAX_QUERIES} queries")
        engine = find_engine(request.monitor.plugins)
        for text in queries:
            engine.check(text)

        def run() -> dict[str, Any]:
            outcomes = agent.analyse(start_ms, end_ms, queries=queries, names=names)
            return told(outcomes, start_ms, end_ms)

        # Without its times: who asks again means the same run.
        asked = {name: list(values) for name, values in sorted(request.query.items())}
        return agent.asked.ask(f"analyze {json.dumps(asked)}", run, WAIT_S)

    return _answered(request, work)


def moved(request: Request) -> Any:
    """What else moved from ``?start=`` to ``?end=`` (ms), of the series that fit ``?match=``."""

    def work(agent: AnalyticsAgent) -> Any:
        start_ms, end_ms = _whole(request, "start"), _whole(request, "end")
        if start_ms is None or end_ms is None:
            raise ValueError("say from when to when: ?start= and ?end=, milliseconds")
        check_span(start_ms, end_ms)
        match = _one(request, "match") or EVERYTHING
        parse_selector(match)
        limit = _whole(request, "limit")
        limit = 20 if limit is None else limit
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"limit is from 1 to {MAX_LIMIT}, not {limit}")

        def run() -> dict[str, Any]:
            began = time.perf_counter()
            found = agent.moved(start_ms, end_ms, match, limit)
            return found | {"took_ms": round((time.perf_counter() - began) * 1000)}

        return agent.asked.ask(f"moved {start_ms} {end_ms} {limit} {match}", run, WAIT_S)

    return _answered(request, work)


def _answered(request: Request, work: Callable[[AnalyticsAgent], Any]) -> Any:
    try:
        answer = work(agent_of(request.monitor))
    except (QueryInvalid, ValueError) as error:
        return _problem(400, "Bad Request", str(error))
    except (Busy, TooMany, NoAgent) as error:
        return _problem(503, "Service Unavailable", str(error), {"Retry-After": "60"})
    except (QueryError, WorkerFailed) as error:
        return _problem(422, "Unprocessable Content", str(error))
    if answer is None:
        body = {"running": True, "detail": "it takes longer; ask again in the same way"}
        return Response(json.dumps(body).encode(), "application/json", 202, {"Retry-After": "2"})
    return answer


def _span(request: Request) -> tuple[int, int]:
    now = request.monitor.clock.now_ms()
    end_ms = _whole(request, "end")
    end_ms = now if end_ms is None else end_ms
    start_ms, last = _whole(request, "start"), _one(request, "last")
    if start_ms is not None and last:
        raise ValueError("last and start both say when to begin: give one of them")
    if start_ms is None:
        start_ms = end_ms - round(parse_duration(last or "24h") * 1000)
    if end_ms <= start_ms:
        raise ValueError("the end must come after the start")
    return start_ms, end_ms


def _one(request: Request, name: str) -> str:
    values = request.query.get(name, ())
    if len(values) > 1:
        raise ValueError(f"{name} is given {len(values)} times")
    return values[0] if values else ""


def _whole(request: Request, name: str) -> int | None:
    text = _one(request, name)
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"{name} is a whole number, not {text[:80]!r}") from None
    if abs(value) > MAX_TIME_MS:
        raise ValueError(f"{name} is out of range")
    return value


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> Any:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(
        json.dumps(body).encode(), "application/problem+json", status, headers or {}
    )  # fmt: skip
