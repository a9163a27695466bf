"""The Litestar application: data, live stream, plugin routes and the page's files."""

from __future__ import annotations

import gzip
import os
import platform
import time
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import msgspec
from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import Parameter

from barograph import __version__
from barograph.contracts import Problem, StoreError
from barograph.model import finite_or_none
from barograph.monitor import State
from barograph.query import parse_selector
from barograph_api import answers
from barograph_api.access import Access
from barograph_api.files import (
    PAGE,
    accepts_gzip,
    file_route,
    login_files,
    module_path,
    plugin_files,
    read_files,
)
from barograph_api.finding_routes import finding_routes
from barograph_api.guard import Guard, asked_of, too_many_attempts
from barograph_api.live import Hub, live_route
from barograph_api.plugin_routes import plugin_routes
from barograph_api.querying import PrometheusApi
from barograph_api.wire import (
    MAX_POINTS,
    MAX_SELECTORS,
    MAX_SPAN_MS,
    MAX_TIME,
    MAX_VALUES,
    CheckOut,
    DashboardOut,
    FoundOut,
    HealthOut,
    MetricOut,
    QueryIn,
    RangeIn,
    RangeOut,
    SamplesOut,
    SeriesOut,
    Text,
    chart_json,
)
from barograph_api.workers import Busy, Workers

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor
    from barograph.query import RangeQuery

MAX_ROWS = 10_000
QUERY_SECONDS = 10.0
QUERIES_AT_ONCE = 4
QUERIES_WAITING = 64
PACK_FROM = 4096
"""Bytes from which an answer is worth packing."""

API = "/api/barograph/v1"

TimeParameter = Annotated[int, Parameter(ge=0, le=MAX_TIME)]


def create_app(
    monitor: PerformanceMonitor,
    access: Access | None,
    hosts: Iterable[str],
    page: Path | None = None,
) -> Guard:
    """The guarded ASGI application of a running monitor. ``access`` None: no token needed."""
    hub = Hub(monitor, monitor.config.server.max_viewers)
    queries = Workers("query", QUERIES_AT_ONCE, QUERIES_WAITING, QUERY_SECONDS, monitor.meter)
    strangers = Workers("plugin", QUERIES_AT_ONCE, QUERIES_WAITING, QUERY_SECONDS, monitor.meter)
    problems: list[Problem] = []
    files = read_files(page or PAGE) | plugin_files(monitor, problems)
    mounted = plugin_routes(monitor, strangers, problems)

    async def work(function: Any, *arguments: Any, workers: Workers = queries) -> Any:
        """Run in a thread. What goes wrong is an HTTPException that says what to do."""
        if monitor.state is not State.RUNNING:
            raise HTTPException(f"the monitor is {monitor.state}", status_code=503)
        try:
            return await workers.run(function, *arguments)
        except Busy as busy:
            headers = {"retry-after": "1"}
            raise HTTPException(str(busy), status_code=503, headers=headers) from None
        except ValueError as error:
            raise HTTPException(str(error), status_code=400) from None
        except StoreError as error:
            raise HTTPException(str(error), status_code=503) from None

    @get(["/healthz", "/readyz"], sync_to_thread=False, tags=["health"])
    def health() -> Response[HealthOut]:
        """200 while samples flow into the store, else 503."""
        state = monitor.health()
        checks = [
            CheckOut(check.name, check.ok, check.detail if access is None else "")
            for check in state.checks
        ]
        body = HealthOut("ok" if state.ready else "not ready", checks)
        return Response(body, status_code=200 if state.ready else 503)

    @get(f"{API}/dashboard", tags=["page"])
    async def dashboard(request: Request[Any, Any, Any]) -> DashboardOut:
        """The page's sections and widgets."""
        return DashboardOut(
            title=platform.node() or "this host",
            version=__version__,
            interval_ms=round(monitor.config.monitor.interval_s * 1000),
            now_ms=monitor.clock.now_ms(),
            csrf=request.scope["state"]["seen"].csrf,
            sections=await work(_sections, monitor, problems),
            problems=[attrs.asdict(p) for p in [*monitor.problems, *problems]],
        )

    @post(
        f"{API}/range", status_code=200, tags=["data"],
        responses={200: ResponseSpec(RangeOut, description="The charts", generate_examples=False)},
    )  # fmt: skip
    async def range_data(request: Request[Any, Any, Any], data: RangeIn) -> Response[bytes]:
        """Data of several charts over one time range, from the level that fits its length."""
        if data.end - data.start > MAX_SPAN_MS:
            raise HTTPException("at most 30 years at one time", status_code=400)
        points = min(max(data.points, 2), MAX_POINTS)
        asked = [_query(q) for q in data.queries]
        until = monitor.clock.monotonic() + QUERY_SECONDS
        packed = accepts_gzip(request)

        def evaluate() -> tuple[bytes, bool]:
            charts: list[msgspec.Raw] = []
            values = 0
            for query in asked:
                if monitor.clock.monotonic() > until:
                    raise Busy("nobody waits for this answer any more")
                chart, count = chart_json(monitor.range(query, data.start, data.end, points))
                charts.append(msgspec.Raw(chart))
                values += count
                if values > MAX_VALUES:
                    raise ValueError(
                        f"over {MAX_VALUES:,} values: ask for fewer points, fewer queries, or the "
                        "top lines only"
                    )
            body = msgspec.json.encode({"results": charts})
            if packed and len(body) > PACK_FROM:
                return gzip.compress(body, 1), True
            return body, False

        body, is_packed = await work(evaluate)
        headers = {"content-encoding": "gzip"} if is_packed else {}
        headers["vary"] = "accept-encoding"
        return Response(body, headers=headers, media_type="application/json")

    @get(f"{API}/series", tags=["data"])
    async def series(
        match: Annotated[list[Text], Parameter(max_items=MAX_SELECTORS)],
        start: Annotated[int | None, Parameter(ge=0, le=MAX_TIME)] = None,
        end: Annotated[int | None, Parameter(ge=0, le=MAX_TIME)] = None,
        limit: int = 1000,
    ) -> FoundOut:
        """Series that fit any of the selectors."""

        def find() -> FoundOut:
            found: dict[int, SeriesOut] = {}
            most = min(max(limit, 1), MAX_ROWS)
            for text in match:
                for one in monitor.store.select(parse_selector(text), start, end, most + 1):
                    found[one.ref] = SeriesOut(
                        one.ref, one.labels.as_dict(), str(one.metric.kind), one.metric.unit,
                        one.metric.help,
                    )  # fmt: skip
            return FoundOut(list(found.values())[:most], len(found) > most)

        return await work(find)  # type: ignore[no-any-return]

    @get(f"{API}/samples", tags=["data"])
    async def samples(
        ref: Annotated[int, Parameter(ge=0, le=2**53)],
        start: TimeParameter,
        end: TimeParameter,
        limit: int = 1000,
    ) -> SamplesOut:
        """Raw samples of one series, the newest ``limit``."""

        def read() -> SamplesOut:
            column = monitor.store.read([ref], start, end)[0]
            most = min(max(limit, 1), MAX_ROWS)
            values = [finite_or_none(v) for v in column.values[-most:].tolist()]
            return SamplesOut(column.t_ms[-most:].tolist(), values, len(column))

        return await work(read)  # type: ignore[no-any-return]

    @get(f"{API}/widget", tags=["data"])
    async def widget_data(
        id: Text, start: TimeParameter, end: TimeParameter, points: int = 300
    ) -> dict[str, Any]:
        """Data of a widget whose kind is its plugin's own (``PLUGIN.ID`` as in the dashboard)."""
        if end <= start or end - start > MAX_SPAN_MS:
            raise HTTPException("the range must end after its start, at most 30 years after it",
                                status_code=400)  # fmt: skip
        for plugin, widget in monitor.widgets():
            if f"{plugin}.{widget.spec().id}" == id:
                count = min(max(points, 2), MAX_POINTS)
                found = await work(widget.data, monitor, start, end, count, workers=strangers)
                return dict(found or {})
        raise HTTPException(f"there is no widget {id!r}", status_code=404)

    @get(f"{API}/plugins", sync_to_thread=False, tags=["about"])
    def plugins() -> list[dict[str, Any]]:
        """Installed plugins and how they do."""
        return [attrs.asdict(info) for info in monitor.plugins.discover()]

    @get(f"{API}/metrics", tags=["about"])
    async def metrics() -> list[MetricOut]:
        """What is known of each metric."""
        known = await work(monitor.store.metrics)
        return [MetricOut(m.name, str(m.kind), m.unit, m.help) for m in known]

    @get(f"{API}/status", tags=["about"])
    async def status() -> dict[str, Any]:
        """For ``barograph status``: state, store, sources and problems."""
        stats = await work(monitor.store.stats)
        return {
            "state": str(monitor.state), "version": __version__, "pid": os.getpid(),
            "uptime_seconds": round(time.time() - monitor.started_at, 1),
            "data_dir": str(monitor.config.monitor.directory),
            "store": attrs.asdict(stats) | {"levels": {str(k): n for k, n in stats.levels.items()}},
            "health": attrs.asdict(monitor.health()),
            "sources": [
                {"name": r.name, "plugin": r.plugin, "state": r.state,
                 "interval_s": r.interval_s, "last_ms": r.last_ms, "errors": r.errors,
                 "duration_seconds": round(r.duration_s, 6), "series": r.intake.series,
                 "last_error": r.last_error}
                for r in list(monitor.collector.runners.values())
            ],
            "problems": [attrs.asdict(p) for p in [*monitor.problems, *problems]],
        }  # fmt: skip

    @post("/login", status_code=303, tags=["page"])
    async def login(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Exchange the form's ``token`` for a session. 429 after ten wrong ones in a minute."""
        headers = {"location": "/"}
        if access is not None:
            asked = asked_of(request.scope)
            if access.failures.blocked(asked.peer):
                refusal = too_many_attempts()
                raise HTTPException(refusal.detail, status_code=429, headers={"retry-after": "60"})
            form = await request.form()
            if access.opens(str(form.get("token", ""))):
                cookie = access.begin(asked.cookie)
                headers["set-cookie"] = asked.set_cookie(cookie).decode()
            else:
                access.failures.add(asked.peer)
                headers["location"] = "/login?failed=1"
        return Response(b"", headers=headers, status_code=303)

    @post("/logout", status_code=303, tags=["page"])
    async def logout(request: Request[Any, Any, Any]) -> Response[bytes]:
        """End this session."""
        asked = asked_of(request.scope)
        if access is not None:
            access.end(asked.cookie)
        headers = {"location": "/login", "set-cookie": asked.set_cookie("").decode()}
        return Response(b"", headers=headers, status_code=303)

    def alive(scope: Any) -> bool:
        seen = scope["state"]["seen"]
        if access is None or seen.session is None:
            return True
        if not access.alive(seen.session):
            return False
        access.touch(seen.session)
        return True

    prometheus = PrometheusApi(monitor).routes(mounted.limits)
    own = [health, dashboard, range_data, series, samples, widget_data, plugins, metrics, status,
           *finding_routes(monitor, work), login, logout, live_route(hub, alive),
           file_route(files)]  # fmt: skip
    app = Litestar(
        [*own, *prometheus, *mounted.handlers],
        exception_handlers={Exception: problem},
        openapi_config=OpenAPIConfig(
            title="Barograph", version=__version__, path=f"{API}/openapi",
            description="Data and state of one monitor. Errors are problem details (RFC 9457).",
            render_plugins=[JsonRenderPlugin()], use_handler_docstrings=True,
        ),
        logging_config=None,  # the root logger is the embedding program's
        debug=False,
    )  # fmt: skip
    public = mounted.public | login_files(files)
    return Guard(app, access, hosts, public, mounted.limits, mounted.ingest)


def problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Any error as problem details; what is not expected only by its id."""
    headers = None
    if isinstance(error, HTTPException):
        headers = error.headers
        title = HTTPStatus(error.status_code).phrase
        body = answers.problem_body(error.status_code, title, str(error.detail))
        if isinstance(error, ValidationException) and error.extra:
            body["errors"] = error.extra
    else:
        body = answers.defect(error)
    return Response(body, status_code=body["status"], media_type=answers.PROBLEM, headers=headers)


def _query(given: QueryIn) -> RangeQuery:
    try:
        return given.query()
    except ValueError as error:
        raise HTTPException(str(error), status_code=400) from None


def _sections(monitor: PerformanceMonitor, problems: list[Problem]) -> list[dict[str, Any]]:
    """The page's sections in order. A widget that cannot be sent is left out, and told."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for plugin, widget in monitor.widgets():
        try:
            spec = widget.spec()
            entry = attrs.asdict(spec) | {"plugin": plugin, "id": f"{plugin}.{spec.id}"}
            if spec.module:
                entry["module"] = module_path(plugin, spec.module)
            msgspec.json.encode(entry)
        except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
            what = f"a widget cannot be shown: {type(error).__name__}: {error}"
            problem = Problem(what, f"plugin {plugin}", "update the plugin", "warning")
            if problem not in problems:
                problems.append(problem)
            continue
        sections.setdefault(spec.section, []).append(entry)
    return [{"name": name, "widgets": widgets} for name, widgets in sections.items()]
