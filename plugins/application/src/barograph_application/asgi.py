"""ASGI middleware: requests, durations, sizes, for Litestar, FastAPI, Starlette, Django, Quart.

app = MetricsMiddleware(app)                 # around any ASGI application
app.add_middleware(MetricsMiddleware)        # FastAPI, Starlette
Litestar([...], middleware=[MetricsMiddleware])
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from barograph.instruments import Registry
from barograph_application.http import http_server

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class MetricsMiddleware:
    """Measures every HTTP request; what is not HTTP passes untouched.

    The time is taken until the last part of the answer was handed over. A route is the template
    that the framework matched (``/users/{id}``), never the path itself, and "" if there is none.
    """

    def __init__(self, app: Any, registry: Registry | None = None) -> None:
        self._app: App = app
        self._http = http_server(registry)
        self._routes: dict[int, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        http = self._http
        method = http.method(scope["method"])
        active = http.active(method)
        status, sent, done = 500, 0, False
        started = perf_counter()

        async def measured(message: Message) -> None:
            nonlocal status, sent, done
            if message["type"] == "http.response.body":
                sent += len(message.get("body", b""))
                await send(message)
                if not message.get("more_body", False) and not done:
                    done = True
                    finish()
                return
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        def finish() -> None:
            seconds = perf_counter() - started
            http.finished(method, self._route(scope), status, seconds, _length(scope), sent)

        active(1.0)
        try:
            await self._app(scope, receive, measured)
        finally:
            active(-1.0)
            if not done:
                finish()

    def _route(self, scope: Scope) -> str:
        template = scope.get("path_template")  # Litestar
        if template is not None:
            return str(template)
        router = scope.get("router")  # Starlette, FastAPI
        matched = scope.get("route") or scope.get("endpoint")
        if router is None or matched is None:
            return ""
        found = self._routes.get(id(matched))
        if found is None:
            # The route that matched knows only the part of the path below its mount.
            found = _path_of(router.routes, matched) or str(getattr(matched, "path", ""))
            if len(self._routes) < 10_000:
                self._routes[id(matched)] = found
        return found


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
