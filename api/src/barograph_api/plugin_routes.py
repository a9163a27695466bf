"""HTTP routes of plugins, below ``/api/plugins/NAME`` or where a protocol wants them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs
from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException

from barograph.contracts import Problem, Route
from barograph.contracts import Request as PluginRequest
from barograph.contracts import Response as PluginResponse
from barograph_api.guard import is_loopback
from barograph_api.workers import Busy, Workers

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}
_PATH = re.compile(r"(/[A-Za-z0-9_.~-]+)+|/")
_OWN = ("/api/barograph", "/api/plugins", "/login", "/logout", "/healthz", "/readyz")


@attrs.frozen
class Mounted:
    """The routes; the paths of those that are public, and of those that an ingest token opens; and
    the bytes that each path may be sent."""

    handlers: list[Any] = attrs.field(factory=list)
    public: set[str] = attrs.field(factory=set)
    ingest: set[str] = attrs.field(factory=set)
    limits: dict[str, int] = attrs.field(factory=dict)


def plugin_routes(
    monitor: PerformanceMonitor, workers: Workers, problems: list[Problem]
) -> Mounted:
    """The routes of all plugins; a bad one is told and left out."""
    out = Mounted()
    for plugin, one in monitor.routes():
        path = one.path if one.absolute else f"/api/plugins/{plugin}{one.path.rstrip('/')}"
        wrong = _wrong(one) or ("two routes have this path" if path in out.limits else "")
        if wrong:
            remedy = "the plugin's author can test it with barograph.testing.check_route"
            problems.append(Problem(f"route {one.path!r}: {wrong}", f"plugin {plugin}", remedy))
            continue
        out.limits[path] = one.max_body
        out.handlers.append(_handler(monitor, workers, plugin, path, one))
        if one.public or (one.local and is_loopback(monitor.config.server.host)):
            out.public.add(path)
        if one.ingest:
            out.ingest.add(path)
    return out


def _wrong(one: Route) -> str:
    if not _PATH.fullmatch(one.path) or "/.." in one.path or "/./" in one.path:
        return "a path is /plain/parts"
    if one.absolute and (one.path.startswith(_OWN) or one.path.endswith("/")):
        return f"an absolute path is not below {', '.join(_OWN)}, and does not end with /"
    if not one.methods or not set(one.methods) <= METHODS:
        return f"methods must be some of {', '.join(sorted(METHODS))}"
    if one.ingest and tuple(one.methods) != ("POST",):
        return "a route for ingest tokens is by POST only"
    return "" if callable(one.handler) else "the handler is not callable"


def _handler(
    monitor: PerformanceMonitor, workers: Workers, plugin: str, path: str, one: Route
) -> Any:
    async def handler(request: Request[Any, Any, Any]) -> Response[Any]:
        query = {k: request.query_params.getall(k) for k in request.query_params}
        headers = {name.lower(): value for name, value in request.headers.items()}
        kind = headers.get("content-type", "")
        body = await request.body()
        sender = request.scope["state"]["seen"].sender
        asked = PluginRequest(monitor, request.method, path, query, body, kind, headers, sender)
        try:
            answer = await workers.run(one.handler, asked)
        except Busy as busy:
            raise HTTPException(f"plugin {plugin}: {busy}", status_code=503) from None
        if isinstance(answer, PluginResponse):
            return Response(
                answer.body, status_code=answer.status, media_type=answer.content_type,
                headers=dict(answer.headers),
            )  # fmt: skip
        if isinstance(answer, bytes):
            return Response(answer, status_code=200, media_type="application/octet-stream")
        return Response(answer, status_code=200)

    handler.__doc__ = one.summary or f"Route of plugin {plugin}."
    return route(
        path, http_method=[HttpMethod(method) for method in one.methods], name=path,
        operation_id=lambda _, method, __: f"{method}{path}".replace("/", "_").lower(),
        tags=[f"plugin {plugin}"], summary=one.summary or f"{plugin} {one.path}",
    )(handler)  # fmt: skip
