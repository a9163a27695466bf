"""The Litestar application: data, live stream, plugin routes and the page's files."""

from __future__ import annotations

import asyncio
import gzip
import mimetypes
import os
import platform
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from litestar import Litestar, Request, Response, get, post, route
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from barograph import __version__
from barograph.contracts import Request as PluginRequest
from barograph.contracts import Response as PluginResponse
from barograph.contracts import StoreError
from barograph.model import finite_or_none
from barograph.query import parse_selector
from barograph_api.live import Hub, QueryIn, live_route
from barograph_api.security import COOKIE, Guard, Sessions, set_cookie

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor
    from barograph.range import RangeResult

MAX_QUERIES = 64
MAX_POINTS = 2000
MAX_ROWS = 10_000
QUERY_SECONDS = 10.0
QUERIES_AT_ONCE = 4

STATIC = Path(__file__).parent / "static"
API = "/api/barograph/v1"


class RangeIn(msgspec.Struct):
    """Body of POST /range."""

    start: int
    end: int
    queries: list[QueryIn]
    points: int = 300


def create_app(monitor: PerformanceMonitor, sessions: Sessions | None, hosts: Iterable[str]) -> Any:
    """The guarded ASGI application. ``sessions`` None: no authentication."""
    hub = Hub(monitor, monitor.config.server.max_viewers)
    places = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def work(function: Any, *arguments: Any) -> Any:
        """Run in a thread, a few at one time; a request that waits too long is told so."""
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                async with places:
                    return await asyncio.to_thread(function, *arguments)
        except TimeoutError:
            raise HTTPException("the query took too long; ask for less", status_code=503) from None
        except (ValueError, StoreError) as error:
            raise HTTPException(str(error), status_code=400) from None

    @get(["/healthz", "/readyz"], sync_to_thread=False)
    def health(request: Request[Any, Any, Any]) -> Response[Any]:
        """200 while samples flow into the store, else 503."""
        state = monitor.health()
        ok = state.ready
        checks = [attrs.asdict(check) for check in state.checks] if sessions is None else [
            {"name": check.name, "ok": check.ok} for check in state.checks
        ]  # fmt: skip
        body = {"status": "ok" if ok else "not ready", "checks": checks}
        return Response(body, status_code=200 if ok else 503)

    @get(f"{API}/dashboard")
    async def dashboard(request: Request[Any, Any, Any]) -> dict[str, Any]:
        """The page's sections and widgets."""
        session = request.scope["state"].get("session")
        return {
            "title": platform.node() or "this host",
            "version": __version__,
            "interval_ms": round(monitor.config.monitor.interval_s * 1000),
            "csrf": session.csrf if session is not None else "",
            "sections": await work(_sections, monitor),
            "problems": [attrs.asdict(p) for p in monitor.problems],
        }

    @post(f"{API}/range", status_code=200)
    async def range_data(data: RangeIn) -> dict[str, Any]:
        """Data of several charts over one time range."""
        if len(data.queries) > MAX_QUERIES:
            raise HTTPException(f"at most {MAX_QUERIES} queries", status_code=400)
        points = min(max(data.points, 2), MAX_POINTS)
        queries = [_query(q) for q in data.queries]

        def evaluate() -> list[dict[str, Any]]:
            return [range_json(monitor.range(q, data.start, data.end, points)) for q in queries]

        return {"results": await work(evaluate)}

    @get(f"{API}/series")
    async def series(
        match: list[str], start: int | None = None, end: int | None = None, limit: int = 1000
    ) -> dict[str, Any]:
        """Series that fit any of the selectors."""

        def find() -> dict[str, Any]:
            found: dict[int, Any] = {}
            most = min(max(limit, 1), MAX_ROWS)
            for text in match:
                for one in monitor.store.select(parse_selector(text), start, end, most + 1):
                    found[one.ref] = {
                        "ref": one.ref, "labels": one.labels.as_dict(),
                        "kind": str(one.metric.kind), "unit": one.metric.unit,
                        "help": one.metric.help,
                    }  # fmt: skip
            return {"series": list(found.values())[:most], "truncated": len(found) > most}

        return await work(find)  # type: ignore[no-any-return]

    @get(f"{API}/samples")
    async def samples(ref: int, start: int, end: int, limit: int = 1000) -> dict[str, Any]:
        """Raw samples of one series, the newest ``limit``."""

        def read() -> dict[str, Any]:
            column = monitor.store.read([ref], start, end)[0]
            most = min(max(limit, 1), MAX_ROWS)
            values = [finite_or_none(v) for v in column.values[-most:].tolist()]
            return {"t": column.t_ms[-most:].tolist(), "v": values, "total": len(column)}

        return await work(read)  # type: ignore[no-any-return]

    @get(f"{API}/plugins", sync_to_thread=False)
    def plugins() -> list[dict[str, Any]]:
        """Installed plugins and how they do."""
        return [attrs.asdict(info) for info in monitor.plugins.discover()]

    @get(f"{API}/metrics", sync_to_thread=False)
    def metrics() -> list[dict[str, Any]]:
        """What is known of each metric."""
        return [{**attrs.asdict(m), "kind": str(m.kind)} for m in monitor.store.metrics()]

    @get(f"{API}/status")
    async def status() -> dict[str, Any]:
        """For ``barograph status``."""
        stats = await work(monitor.store.stats)
        return {
            "state": str(monitor.state), "version": __version__, "pid": os.getpid(),
            "uptime_seconds": round(time.time() - monitor.started_at, 1),
            "data_dir": str(monitor.config.monitor.directory),
            "store": {**attrs.asdict(stats), "levels": {str(k): v for k, v in stats.levels.items()}},
            "health": attrs.asdict(monitor.health()),
            "sources": [
                {"name": r.name, "plugin": r.plugin, "state": r.state,
                 "interval_s": r.source.interval_s, "last_ms": r.last_ms, "errors": r.errors,
                 "duration_seconds": round(r.duration_s, 6), "series": r.intake.series,
                 "last_error": r.last_error}
                for r in monitor.collector.runners.values()
            ],
            "problems": [attrs.asdict(p) for p in monitor.problems],
        }  # fmt: skip

    @post("/login", status_code=303)
    async def login(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Exchange a token for a session."""
        form = await request.form()
        token = str(form.get("token", ""))
        peer = request.client.host if request.client else "?"
        headers = {"location": "/"}
        if sessions is not None:
            if not sessions.may_try(peer):
                raise HTTPException("too many attempts; wait a minute", status_code=429)
            if not sessions.valid_token(token):
                headers["location"] = "/login?failed=1"
            else:
                headers["set-cookie"] = set_cookie(sessions.begin()).decode()
        return Response(b"", headers=headers, status_code=303)

    @post("/logout", status_code=303)
    async def logout(request: Request[Any, Any, Any]) -> Response[bytes]:
        """End this session."""
        if sessions is not None:
            sessions.end(request.cookies.get(COOKIE, ""))
        headers = {"location": "/login", "set-cookie": set_cookie("").decode()}
        return Response(b"", headers=headers, status_code=303)

    def alive(socket: Any) -> bool:
        cookie = socket.cookies.get(COOKIE, "")
        return sessions is None or not cookie or sessions.find(cookie) is not None

    handlers = [health, dashboard, range_data, series, samples, plugins, metrics, status, login,
                logout, live_route(hub, alive), *_plugin_routes(monitor, work), *_files(STATIC)]  # fmt: skip
    app = Litestar(
        handlers,
        exception_handlers={Exception: problem},
        openapi_config=OpenAPIConfig(
            title="Barograph", version=__version__, path=f"{API}/openapi",
            render_plugins=[JsonRenderPlugin()],
        ),
        debug=False,
    )  # fmt: skip
    return Guard(app, sessions, hosts)


def problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Any error as problem details (RFC 9457); what is not expected only by its id."""
    status = getattr(error, "status_code", 500)
    body = {"type": "about:blank", "status": status, "id": secrets.token_hex(6)}
    if isinstance(error, HTTPException):
        body |= {"title": error.__class__.__name__, "detail": str(error.detail)}
    else:
        body |= {"title": "Internal error", "detail": "this is a defect; the log has the id"}
        print(f"error {body['id']}: {type(error).__name__}: {error}", flush=True)
    return Response(body, status_code=status, media_type="application/problem+json")


def _query(given: QueryIn) -> Any:
    try:
        return given.query()
    except ValueError as error:
        raise HTTPException(str(error), status_code=400) from None


def range_json(result: RangeResult) -> dict[str, Any]:
    """A RangeResult for JSON: NaN and infinities as null."""

    def numbers(values: Any) -> Any:
        return None if values is None else [finite_or_none(v) for v in values.tolist()]

    return {
        "step_ms": result.step_ms, "level_ms": result.level_ms, "t": result.t_ms.tolist(),
        "truncated": result.truncated,
        "series": [
            {"labels": s.labels, "legend": s.legend, "values": numbers(s.values),
             "min": numbers(s.minimum), "max": numbers(s.maximum)}
            for s in result.series
        ],
    }  # fmt: skip


_ORDER = ("Overview", "CPU", "Memory", "Disk", "Network", "Processes", "Application")


def _sections(monitor: PerformanceMonitor) -> list[dict[str, Any]]:
    sections: dict[str, list[dict[str, Any]]] = {}
    for plugin, widget in monitor.widgets():
        spec = widget.spec()
        entry = attrs.asdict(spec)
        entry |= {"plugin": plugin, "id": f"{plugin}.{spec.id}"}
        sections.setdefault(spec.section, []).append(entry)
    names = sorted(sections, key=lambda n: (_ORDER.index(n) if n in _ORDER else 50, n))
    return [{"name": name, "widgets": sections[name]} for name in names]


def _plugin_routes(monitor: PerformanceMonitor, work: Any) -> list[Any]:
    def mount(name: str, one: Any) -> Any:
        @route(
            f"/api/plugins/{name}{one.path}",
            http_method=list(one.methods),
            name=f"{name}{one.path}",
        )
        async def handler(request: Request[Any, Any, Any]) -> Response[Any]:
            query = {k: request.query_params.getall(k) for k in request.query_params}
            asked = PluginRequest(monitor, request.method, request.url.path, query,
                                  await request.body(), request.headers.get("content-type", ""))  # fmt: skip
            answer = await work(one.handler, asked)
            if isinstance(answer, PluginResponse):
                return Response(
                    answer.body, status_code=answer.status, media_type=answer.content_type
                )
            return Response(answer)

        return handler

    return [mount(name, one) for name, one in monitor.routes()]


def _files(folder: Path) -> list[Any]:
    """The page's files, read once: only what is in this map can be asked for."""
    files: dict[str, tuple[bytes, bytes, str]] = {}
    if folder.is_dir():
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                body = path.read_bytes()
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                name = "/" + path.relative_to(folder).as_posix()
                files[name] = (body, gzip.compress(body, 9), kind)
    aliases = {"/": "/index.html", "/login": "/login.html"}

    async def serve(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A file of the web page."""
        name = request.url.path
        found = files.get(aliases.get(name, name))
        if found is None:
            raise HTTPException("the page's files are not installed", status_code=404)
        body, packed, kind = found
        headers = {"cache-control": "no-cache", "vary": "accept-encoding"}
        if name.startswith("/assets/"):
            headers["cache-control"] = "public, max-age=31536000, immutable"
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            body = packed
        return Response(body, headers=headers, media_type=kind)

    paths = ["/", "/login", *(name for name in files if name not in aliases.values())]
    return [get(paths, include_in_schema=False)(serve)]
