"""The Prometheus HTTP API: queries, series, labels and metadata, for Grafana and other clients.

Answers, parameters and error types are Prometheus's, so that its clients work unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, get, route
from litestar.enums import HttpMethod

from barograph.answer import QueryError, QueryInvalid
from barograph.answer_text import data_of, parse_step, parse_time
from barograph.contracts import StoreError
from barograph.engines import find_engine
from barograph.model import NAME, Labels, Matcher, MatchOp, Series
from barograph.query import parse_selector
from barograph_api.files import accepts_gzip
from barograph_api.range_cache import RangeCache
from barograph_api.workers import Busy, Workers

if TYPE_CHECKING:
    from barograph.contracts import QueryEngine
    from barograph.monitor import PerformanceMonitor

SPOKEN_VERSION = "2.42.0"
"""Version of Prometheus whose behaviour this follows; clients decide by it what to ask."""

MAX_POINTS = 11_000
"""Points of one series in a range answer, as in Prometheus."""

SECONDS = 130.0
"""Bound on a query's time here; the engine's own ``timeout`` comes first."""

AT_ONCE = 4
WAITING = 64
PACK_FROM = 2048
MAX_ROWS = 100_000

_STATUS = {"bad_data": 400, "execution": 422, "timeout": 503, "canceled": 499,
           "unavailable": 503, "not_found": 404}  # fmt: skip

_AS = "Parameters and answer are those of the Prometheus HTTP API."

Parameters = dict[str, list[str]]
HANDED_ON = (QueryError, StoreError, ValueError, Busy)


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

    def routes(self) -> list[Any]:
        """The handlers, by path; those that take queries answer GET and POST."""
        both = (
            ("query", self._query, "Evaluate at one time"),
            ("query_range", self._query_range, "Evaluate over a range of time"),
            ("series", self._series, "Series that fit any of match[]"),
            ("labels", self._labels, "Label names"),
            ("format_query", self._format, "An expression, laid out"),
        )
        one = (
            ("metadata", self._metadata, "Kind, help and unit of metrics"),
            ("status/buildinfo", self._buildinfo, "What answers here"),
            ("status/tsdb", self._tsdb, "Size of the store and its labels"),
        )
        handlers = [self._handler(path, work, text, ["GET", "POST"]) for path, work, text in both]
        handlers += [self._handler(path, work, text, ["GET"]) for path, work, text in one]

        @get(
            "/api/v1/label/{label:str}/values",
            tags=["prometheus"],
            summary="Values of a label",
            description=f"Values of a label. {_AS}",
        )
        async def label_values(request: Request[Any, Any, Any], label: str) -> Response[bytes]:
            return await self._respond(request, lambda p, _: self._values(p, label))

        return [*handlers, label_values]

    def _handler(
        self, path: str, work: Callable[[Parameters, Callable[[], bool]], Any], summary: str,
        methods: list[str],
    ) -> Any:  # fmt: skip
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
            body = msgspec.json.encode({"status": "success", "data": work(given, gone.is_set)})
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
        at = _time(given, "time", self._monitor.clock.now_ms())
        store = self._monitor.store
        return data_of(
            self._the_engine().instant(store, _one(given, "query"), at, cancelled=cancelled)
        )

    def _query_range(self, given: Parameters, cancelled: Callable[[], bool]) -> Any:
        self._asked.add()
        expr = _one(given, "query")
        start, end = _time(given, "start"), _time(given, "end")
        step = _parsed(given, "step", parse_step)
        if end < start:
            raise _bad("end", "end timestamp must not be before start time")
        if step <= 0:
            raise _bad("step", "zero or negative query resolution step widths are not accepted. "
                               "Try a positive integer")  # fmt: skip
        if (end - start) // step > MAX_POINTS:
            raise QueryInvalid(
                f"exceeded maximum resolution of {MAX_POINTS:,} points per timeseries. Try "
                "decreasing the query resolution (?step=XX)"
            )
        engine, store = self._the_engine(), self._monitor.store
        engine.check(expr)

        def evaluate(first: int, last: int) -> Any:
            return engine.range(store, expr, first, last, step, cancelled=cancelled)

        return data_of(self._cache.answer(expr, start, end, step, evaluate))

    def _format(self, given: Parameters, _: Callable[[], bool]) -> str:
        import promql_parser

        expr = _one(given, "query")
        self._the_engine().check(expr)
        return str(promql_parser.parse(expr).prettify())

    # --- series and labels ----------------------------------------------------------------------

    def _series(self, given: Parameters, _: Callable[[], bool]) -> list[dict[str, str]]:
        if not given.get("match[]"):
            raise QueryInvalid("no match[] parameter provided")
        return [labels.as_dict() for labels in self._found(given)][: _limit(given)]

    def _labels(self, given: Parameters, _: Callable[[], bool]) -> list[str]:
        names = {name for labels in self._found(given) for name, _ in labels.pairs}
        return sorted(names)[: _limit(given)]

    def _values(self, given: Parameters, label: str) -> list[str]:
        values = {labels.get(label) for labels in self._found(given)}
        return sorted(values - {""})[: _limit(given)]

    def _found(self, given: Parameters) -> list[Labels]:
        """Labels of the series that fit any selector (all, if there is none) in the time range."""
        start = _time(given, "start", None) if "start" in given else None
        end = _time(given, "end", None) if "end" in given else None
        if start is not None and end is not None and end < start:
            raise _bad("end", "end timestamp must not be before start time")
        selectors = given.get("match[]") or []
        wanted: Sequence[list[Matcher]] = [_selector(text) for text in selectors] or [[]]
        found: dict[int, Series] = {}
        for matchers in wanted:
            for series in self._monitor.store.select(matchers, start, end):
                found[series.ref] = series
        return sorted((s.labels for s in found.values()), key=lambda labels: labels.pairs)

    # --- about ----------------------------------------------------------------------------------

    def _metadata(self, given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        wanted = given.get("metric", [""])[0]
        known = [m for m in self._monitor.store.metrics() if not wanted or m.name == wanted]
        return {
            m.name: [{"type": str(m.kind), "help": m.help, "unit": m.unit}]
            for m in known[: _limit(given)]
        }

    def _buildinfo(self, _given: Parameters, _: Callable[[], bool]) -> dict[str, str]:
        from barograph import __version__

        return {
            "version": SPOKEN_VERSION, "revision": f"barograph-{__version__}", "branch": "",
            "buildUser": "", "buildDate": "", "goVersion": "",
        }  # fmt: skip

    def _tsdb(self, given: Parameters, _: Callable[[], bool]) -> dict[str, Any]:
        stats = self._monitor.store.stats()
        names: Counter[str] = Counter()
        pairs: Counter[tuple[str, str]] = Counter()
        for series in self._monitor.store.select([]):
            names[series.labels.name] += 1
            pairs.update(series.labels.pairs)
        values: Counter[str] = Counter(name for name, _ in pairs)
        room: Counter[str] = Counter()
        for (name, value), n in pairs.items():
            room[name] += n * len(value.encode())
        top = min(_limit(given, 10), 100)

        def listed(counts: Counter[Any]) -> list[dict[str, Any]]:
            return [{"name": str(name), "value": n} for name, n in counts.most_common(top)]

        return {
            "headStats": {
                "numSeries": stats.series, "numLabelPairs": len(pairs), "chunkCount": stats.chunks,
                "minTime": stats.t_min or 0, "maxTime": stats.t_max or 0,
            },
            "seriesCountByMetricName": listed(names),
            "labelValueCountByLabelName": listed(values),
            "memoryInBytesByLabelName": listed(room),
            "seriesCountByLabelValuePair": listed(
                Counter({f"{name}={value}": n for (name, value), n in pairs.items()})
            ),
        }  # fmt: skip


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


def _bad(parameter: str, reason: str) -> QueryInvalid:
    return QueryInvalid(f'invalid parameter "{parameter}": {reason}')


def _one(given: Parameters, name: str) -> str:
    return given.get(name, [""])[0]


def _parsed(given: Parameters, name: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(_one(given, name))
    except ValueError as error:
        raise _bad(name, str(error)) from None


def _time(given: Parameters, name: str, default: int | None = None) -> int:
    if default is not None and not _one(given, name):
        return default
    return _parsed(given, name, parse_time)


def _limit(given: Parameters, default: int = MAX_ROWS) -> int:
    text = _one(given, "limit")
    if not text:
        return default
    try:
        found = int(text)
    except ValueError:
        found = -1
    if found < 0:
        raise _bad("limit", "limit must be a non-negative number")
    return min(found or default, MAX_ROWS)


def _selector(text: str) -> list[Matcher]:
    try:
        matchers = parse_selector(text)
    except ValueError as error:
        raise _bad("match[]", str(error)) from None
    if all(_fits_nothing(matcher) for matcher in matchers):
        raise _bad("match[]", "match[] must contain at least one non-empty matcher")
    return matchers


def _fits_nothing(matcher: Matcher) -> bool:
    """Whether the matcher lets a series pass that has no such label."""
    import re2

    if matcher.label == NAME and matcher.value:
        return False
    if matcher.op is MatchOp.EQUAL:
        return matcher.value == ""
    if matcher.op is MatchOp.NOT_EQUAL:
        return matcher.value != ""
    fits = re2.fullmatch(matcher.value, "") is not None
    return fits if matcher.op is MatchOp.REGEX else not fits
