"""ASGI middleware: requests, durations, sizes, for Litestar, FastAPI, Starlette, Django, Quart.

app = MetricsMiddleware(app)                 # around any ASGI application
app.add_middleware(MetricsMiddleware)        # FastAPI, Starlette
Litestar([...], middleware=[MetricsMiddleware])
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from barograph.instruments import Registry, flush
from barograph_application.http import MEASURED, Recorder, add, http_server

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods whose requests have no body worth looking for."""


class MetricsMiddleware:
    """Measures every HTTP request; what is not HTTP passes untouched.

    The time is taken until the last part of the answer is handed to the server. A route is the
    template that the framework matched (``/users/{id}``), never the path itself, and "" if there is
    none. The size of a request is what its head announces.
    """

    def __init__(self, app: Any, registry: Registry | None = None) -> None:
        self._app: App = app
        self._http = http_server(registry)
        self._matched: dict[int, Any] = {}  # what is bound by its id must not be replaced under it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or MEASURED in scope:
            lifespan = scope["type"] == "lifespan"
            await self._app(scope, receive, _flushing(send) if lifespan else send)
            return
        scope[MEASURED] = True
        recorder = self._http.here()  # of the loop's thread, which this request does not leave
        active = recorder.active(scope["method"])
        status, sent = 500, 0
        started: float | None = perf_counter()

        def measured(message: Message) -> Awaitable[None]:
            nonlocal status, sent, started
            kind = message["type"]
            if kind == "http.response.body":
                sent += len(message.get("body", b""))
                if started is not None and not message.get("more_body"):
                    self._record(recorder, scope, status, perf_counter() - started, sent)
                    started = None
            elif kind == "http.response.start":
                status = message["status"]
            return send(message)

        active.sum += 1.0
        try:
            await self._app(scope, receive, measured)
        finally:
            active.sum -= 1.0
            if started is not None:
                self._record(recorder, scope, status, perf_counter() - started, sent)

    def _record(
        self, recorder: Recorder, scope: Scope, status: int, seconds: float, sent: int
    ) -> None:
        method = scope["method"]
        # Litestar's template; the route of FastAPI; the endpoint of Starlette.
        matched = scope.get("path_template") or scope.get("route") or scope.get("endpoint")
        key = (id(matched), method, status)
        cells = recorder.bound(key)
        if cells is None:
            cells = recorder.bind(key, method, self._route(scope, matched), status)
            self._matched[id(matched)] = matched
        add(cells, seconds, 0 if method in _BODILESS else _length(scope), sent)

    @staticmethod
    def _route(scope: Scope, matched: Any) -> str:
        """The whole template: the route that matched knows only its part below its mount."""
        if matched is None or isinstance(matched, str):
            return matched or ""
        router = scope.get("router")
        if router is None:
            return ""
        return _path_of(router.routes, matched) or str(getattr(matched, "path", ""))


def _flushing(send: Send) -> Send:
    """``send`` that sends off what was recorded when an application has shut down: its process may
    end by a signal then, without Python's own end."""

    async def ending(message: Message) -> None:
        if message["type"] == "lifespan.shutdown.complete":
            await asyncio.get_running_loop().run_in_executor(None, flush)
        await send(message)

    return ending


def _path_of(routes: Any, matched: Any) -> str | None:
    """The path template of a route (or endpoint) in a router and in what is mounted there."""
    for route in routes:
        if route is matched or getattr(route, "endpoint", None) is matched:
            return str(route.path)
        inner = getattr(route, "routes", None)
        if inner:
            found = _path_of(inner, matched)
            if found is not None:
                return f"{getattr(route, 'path', '')}{found}"
    return None


def _length(scope: Scope) -> int:
    """The body's announced size, 0 if it is not announced."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
