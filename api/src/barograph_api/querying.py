"""The Prometheus HTTP API: queries, series, labels and metadata, for Grafana and other clients.

Answers, parameters and error types are Prometheus's, so that its clients work unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import msgspec
from litestar import Request, Response, get, route
from litestar.enums import HttpMethod

from barograph.answer import QueryCancelled, QueryError, QueryInvalid, QueryTimeout
from barograph.contracts import StoreError
from barograph.engines import find_engine
from barograph.model import Labels, Matcher, Series
from barograph_api.about import About
from barograph_api.explaining import ALL, explained
from barograph_api.files import accepts_gzip
from barograph_api.parameters import (
    Parameters,
    bad,
    duration_of,
    first,
    is_label_name,
    limit_of,
    selectors_of,
    span_of,
    step_of,
    time_of,
)
from barograph_api.query_json import data_json
from barograph_api.range_cache import RangeCache
from barograph_api.workers import Busy, Workers

if TYPE_CHECKING:
    from barograph.answer import Answer
    from barograph.contracts import QueryEngine
    from barograph.monitor import PerformanceMonitor

MAX_POINTS = 11_000
"""Points of one series in a range answer, as in Prometheus."""

SECONDS = 130.0
"""Bound on a query's time here; the engine's own ``timeout`` comes first."""

AT_ONCE = 4
WAITING = 64
PACK_FROM = 2048
MAX_ROWS = 100_000
"""Series, names or values of one answer; more are left out, and the answer says so."""

_STATUS = {"bad_data": 400, "execution": 422, "timeout": 503, "canceled": 499,
           "unavailable": 503, "not_found": 404}  # fmt: skip

_AS = "Parameters and answer are those of the Prometheus HTTP API."

T = TypeVar("T")

Work = Callable[[Parameters, Callable[[], bool]], Any]
"""What gives ``data`` of an answer; the second argument says whether the client has gone."""

HANDED_ON = (QueryError, StoreError, ValueError, Busy)


@attrs.frozen
class Partly:
    """``data`` of an answer with something to say about it."""

    data: Any
    warnings: tuple[str, ...]


class PrometheusApi:
    """Handlers over one monitor."""

    def __init__(self, monitor: PerformanceMonitor) -> None:
        self._monitor = monitor
        self._workers = Workers("promql", AT_ONCE, WAITING, SECONDS, monitor.meter)
        self._engine: QueryEngine | None = None
        self._cache = RangeCache(monitor.clock.now_ms)
        monitor.on_stored(self._cache.stored)
        counted = monitor.meter.counter
        self._asked = counted("barograph_queries_total", "PromQL queries over HTTP")
        self._failed = counted("barograph_queries_failed_total", "PromQL queries that failed")

    def routes(self, taken: Collection[str] = ()) -> list[Any]:
        """The handlers, by path; those that take queries answer GET and POST. ``taken``: paths
        that a plugin answers; where it knows what is asked, none of ours is in its way."""
        about = About(self._monitor)
        both = (
            ("query", self._query, "Evaluate at one time"),
            ("query_range", self._query_range, "Evaluate over a range of time"),
            ("series", self._series, "Series that fit any of match[]"),
            ("labels", self._labels, "Label names"),
            ("format_query", self._format, "An expression, laid out"),
            ("query_exemplars", self._exemplars, "Exemplars, of which none are kept"),
        )
        one: list[tuple[str, Work, str]] = [
            ("metadata", self._metadata, "Kind, help and unit of metrics"),
            ("rules", about.rules, "Groups of rules"),
            ("alerts", about.alerts, "Alerts that are active"),
            ("status/buildinfo", about.build, "What answers here"),
            ("status/runtimeinfo", about.running, "Since when it runs, and where"),
            ("status/tsdb", about.store, "Size of the store and its labels"),
        ]
        handlers = [self._handler(path, work, text, ["GET", "POST"]) for path, work, text in both]
        handlers += [
            self._handler(path, work, text, ["GET"])
            for path, work, text in one if f"/api/v1/{path}" not in taken
        ]  # fmt: skip

        @get(
            "/api/v1/label/{label:str}/values",
            tags=["prometheus"],
            summary="Values of a label",
            description=f"Values of a label. {_AS}",
        )
        async def label_values(request: Request[Any, Any, Any], label: str) -> Response[bytes]:
            return await self._respond(request, lambda p, _: self._values(p, label))

        return [*handlers, label_values]

    def _handler(self, path: str, work: Work, summary: str, methods: list[str]) -> Any:
        async def handler(request: Request[Any, Any, Any]) -> Response[bytes]:
            return await self._respond(request, work)

        name = path.replace("/", "_")
        return route(
            f"/api/v1/{path}", http_method=[HttpMethod(m) for m in methods], tags=["prometheus"],
            operation_id=lambda _, method, __: f"prometheus_{name}_{method}".lower(),
            summary=summary, description=f"{summary}. {_AS}", name=f"prometheus_{name}",
        )(handler)  # fmt: skip

    # --- asking and answering -------------------------------------------------------------------

    async def _respond(
        self, request: Request[Any, Any, Any], work: Callable[..., Any]
    ) -> Response[bytes]:
        given: Parameters = {k: request.query_params.getall(k) for k in request.query_params}
        if request.method == "POST":
            form = await request.form()
            for key, value in form.multi_items():
                given.setdefault(key, []).append(str(value))
        packed = accepts_gzip(request)
        gone = threading.Event()
        watcher = asyncio.create_task(_until_gone(request, gone))

        def evaluate() -> tuple[bytes, bool]:
            found = work(given, gone.is_set)
            answer = {"status": "success", "data": found}
            if isinstance(found, Partly):
                answer = {"status": "success", "data": found.data, "warnings": found.warnings}
            body = msgspec.json.encode(answer)
            if packed and len(body) > PACK_FROM:
                return gzip.compress(body, 1), True
            return body, False

        try:
            body, is_packed = await self._workers.run(evaluate)
        except HANDED_ON as error:
            self._failed.add()
            return _failure(error)
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
        headers = {"vary": "accept-encoding"}
        if is_packed:
            headers["content-encoding"] = "gzip"
        return Response(body, headers=headers, media_type="application/json", status_code=200)

    def _the_engine(self) -> QueryEngine:
        if self._engine is None:
            self._engine = find_engine(self._monitor.plugins)
        return self._engine

    # --- queries --------------------------------------------------------------------------------

    def _query(self, given: Parameters, cancelled: Callable[[], bool]) -> Any:
        self._asked.add()
        at = time_of(given, "time", self._monitor.clock.now_ms())
        engine, store, expr = self._the_engine(), self._monitor.store, first(given, "query")

        def evaluate(ended: Callable[[], bool]) -> Answer:
            self._check(given)
            return engine.instant(store, expr, at, cancelled=ended)

        if first(given, "stats") == ALL:
            self._check(given)
            steps = at, at, 0
            return self._in_time(
                given, cancelled, lambda ended: explained(engine, store, expr, steps, ended)
            )
        return msgspec.Raw(data_json(self._in_time(given, cancelled, evaluate)))

    def _query_range(self, given: Parameters, cancelled: Callable[[], bool]) -> Any:
        self._asked.add()
        expr = first(given, "query")
        start, end = time_of(given, "start"), time_of(given, "end")
        if end < start:
            raise bad("end", "end timestamp must not be before start time")
        step = step_of(given)
        if step <= 0:
            raise bad("step", "zero or negative query resolution step widths are not accepted. "
                              "Try a positive integer")  # fmt: skip
        if (end - start) // step > MAX_POINTS:
            raise QueryInvalid(
                f"exceeded maximum resolution of {MAX_POINTS:,} points per timeseries. Try "
                "decreasing the query resolution (?step=XX)"
            )
        engine, store = self._the_engine(), self._monitor.store
        if first(given, "stats") == ALL:
            engine.check(expr)
            steps = start, end, step
            return self._in_time(
                given, cancelled, lambda ended: explained(engine, store, expr, steps, ended)
            )

        def evaluate(ended: Callable[[], bool]) -> Answer:
            engine.check(expr)
            return self._cache.answer(
                expr, start, end, step,
                lambda a, b: engine.range(store, expr, a, b, step, cancelled=ended),
            )  # fmt: skip

        return msgspec.Raw(data_json(self._in_time(given, cancelled, evaluate)))

    def _check(self, given: Parameters) -> None:
        """Raises QueryInvalid that says which parameter is none."""
        try:
            self._the_engine().check(first(given, "query"))
        except QueryInvalid as error:
            raise bad("query", str(error)) from None

    def _in_time(
        self,
        given: Parameters,
        cancelled: Callable[[], bool],
        work: Callable[[Callable[[], bool]], T],
    ) -> T:
        """``work``, which is told to end when the client goes or its ``timeout`` is over."""
        timeout = duration_of(given, "timeout")
        if timeout is None:
            return work(cancelled)
        clock = self._monitor.clock
        deadline = clock.monotonic() + timeout / 1000

        def over() -> bool:
            return clock.monotonic() >= deadline

        try:
            return work(lambda: cancelled() or over())
        except QueryCancelled as error:
            if cancelled() or not over():
                raise
            where = str(error).rpartition(" in ")[2]
            told = f"query timed out in {where} after {timeout / 1000:g} s, its timeout"
            raise QueryTimeout(told) from None

    def _format(self, given: Parameters, _: Callable[[], bool]) -> str:
        self._check(given)
        return self._the_engine().format(first(given, "query"))

    def _exemplars(self, given: Parameters, _: Callable[[], bool]) -> list[Any]:
        start, end = span_of(given)
        if start is not None and end is not None and end < start:
            raise QueryInvalid("end timestamp must not be before start timestamp")
        self._the_engine().check(first(given, "query"))
        return []

    # --- series and labels ----------------------------------------------------------------------

    def _series(self, given: Parameters, _: Callable[[], bool]) -> Any:
        if not given.get("match[]"):
            raise QueryInvalid("no match[] parameter provided")
        return _limited([labels.as_dict() for labels in self._found(given)], limit_of(given))

    def _labels(self, given: Parameters, _: Callable[[], bool]) -> Any:
        names = {name for labels in self._found(given) for name, _ in labels.pairs}
        return _limited(sorted(names), limit_of(given))

    def _values(self, given: Parameters, label: str) -> Any:
        if not is_label_name(label):
            raise QueryInvalid(f'invalid label name: "{label}"')
        values = {labels.get(label) for labels in self._found(given)}
        return _limited(sorted(values - {""}), limit_of(given))

    def _found(self, given: Parameters) -> list[Labels]:
        """Labels of the series that fit any selector (all, if there is none) in the time range."""
        start, end = span_of(given)
        wanted: Sequence[list[Matcher]] = selectors_of(given) or [[]]
        if start is not None and end is not None and end < start:
            return []
        found: dict[int, Series] = {}
        for matchers in wanted:
            for series in self._monitor.store.select(matchers, start, end):
                found[series.ref] = series
        return sorted((s.labels for s in found.values()), key=lambda labels: labels.pairs)

    def _metadata(self, given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        text = first(given, "limit") or "-1"
        if not text.removeprefix("-").isdecimal():
            raise QueryInvalid("limit must be a number")
        wanted, limit = first(given, "metric"), int(text)
        known = [m for m in self._monitor.store.metrics() if not wanted or m.name == wanted]
        return {
            m.name: [{"type": str(m.kind), "help": m.help, "unit": m.unit}]
            for m in (known if limit < 0 else known[:limit])
        }


def _limited(rows: list[Any], limit: int) -> Any:
    """At most ``limit`` rows (0: ``MAX_ROWS``), with a word about it if there are more."""
    most = min(limit or MAX_ROWS, MAX_ROWS)
    if len(rows) <= most:
        return rows
    return Partly(rows[:most], ("results truncated due to limit",))


async def _until_gone(request: Request[Any, Any, Any], gone: threading.Event) -> None:
    """Sets ``gone`` when the client has hung up."""
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            gone.set()
            return
        if not message.get("more_body", False):
            await asyncio.sleep(0)


def _failure(error: Exception) -> Response[bytes]:
    if isinstance(error, QueryError):
        kind, headers = error.kind, {}
    elif isinstance(error, Busy):
        kind, headers = "unavailable", {"retry-after": "1"}
    else:
        kind, headers = ("unavailable" if isinstance(error, StoreError) else "bad_data"), {}
    body = {"status": "error", "errorType": kind, "error": str(error)}
    return Response(
        msgspec.json.encode(body), status_code=_STATUS.get(kind, 422), headers=headers,
        media_type="application/json",
    )  # fmt: skip
