"""The instruments of an HTTP server, by OpenTelemetry's names, shared by all middleware."""

from __future__ import annotations

import threading
from bisect import bisect_left
from threading import get_ident
from weakref import WeakKeyDictionary

from barograph.instruments import REGISTRY, SECONDS, Cell, Gauge, Histogram, Registry

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER = "_OTHER"
"""What OpenTelemetry calls a method that is none of HTTP's."""

BYTES = tuple(float(4**i) for i in range(3, 14))
"""Bucket bounds of sizes: 64 B to 64 MiB."""

MEASURED = "barograph.measured"
"""Key in the scope or environment of a request that is measured: one middleware within another
leaves it alone."""

MAX_BOUND = 10_000
"""Combinations of route, method and status whose cells are remembered; others are looked up."""

_REQUEST = ("http_request_method", "http_route", "http_response_status_code")

Key = tuple[object, str, int]
Cells = tuple[list[float], list[float], list[float]]


class HttpServer:
    """Duration, sizes and requests in flight of one registry."""

    def __init__(self, registry: Registry) -> None:
        self.duration = Histogram(
            "http_server_request_duration_seconds", "Time to answer a request", labels=_REQUEST,
            registry=registry,
        )  # fmt: skip
        self.request_size = Histogram(
            "http_server_request_body_size_bytes", "Size of request bodies", labels=_REQUEST,
            unit="bytes", buckets=BYTES, registry=registry,
        )  # fmt: skip
        self.response_size = Histogram(
            "http_server_response_body_size_bytes", "Size of answers' bodies", labels=_REQUEST,
            unit="bytes", buckets=BYTES, registry=registry,
        )  # fmt: skip
        self.active = Gauge(
            "http_server_active_requests", "Requests being worked on",
            labels=("http_request_method",), registry=registry,
        )  # fmt: skip
        self._recorders: dict[int, Recorder] = {}

    def here(self) -> Recorder:
        """What the calling thread records with."""
        try:
            return self._recorders[get_ident()]
        except KeyError:
            return self._recorders.setdefault(get_ident(), Recorder(self))


class Recorder:
    """One thread's cells of the instruments: a request costs no more calls than it must.

    Only the thread that it belongs to may use it.
    """

    __slots__ = ("_active", "_bound", "_http")

    def __init__(self, http: HttpServer) -> None:
        self._http = http
        self._active: dict[str, Cell] = {}
        self._bound: dict[Key, Cells] = {}

    def active(self, method: str) -> Cell:
        """Holds this thread's requests in flight of a method: add 1 to its sum, and take it away
        in the same thread."""
        try:
            return self._active[method]
        except KeyError:
            name = known_method(method)
            cell = self._http.active.labels(http_request_method=name).cell()
            if name == method:
                self._active[method] = cell
            return cell

    def bound(self, key: Key) -> Cells | None:
        """The cells that were bound to ``key`` before."""
        return self._bound.get(key)

    def bind(self, key: Key, method: str, route: str, status: int) -> Cells:
        """Cells of duration and sizes for a route, remembered by ``key``."""
        texts = (known_method(method), route, str(int(status)))
        labels = dict(zip(_REQUEST, texts, strict=True))
        http = self._http
        kinds = (http.duration, http.request_size, http.response_size)
        duration, received, sent = (one.labels(**labels).cell() for one in kinds)
        if len(self._bound) < MAX_BOUND:
            self._bound[key] = duration, received, sent
        return duration, received, sent

    def finished(
        self, method: str, route: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Record one answered request; bytes are of the bodies."""
        key = (route, method, status)
        add(self._bound.get(key) or self.bind(key, method, route, status), seconds, received, sent)


def add(cells: Cells, seconds: float, received: int, sent: int) -> None:
    """Observe one request in all three of its histograms."""
    duration, request, response = cells
    duration[bisect_left(SECONDS, seconds)] += 1
    duration[-1] += seconds
    if received:
        request[bisect_left(BYTES, received)] += 1
        request[-1] += received
    else:
        request[0] += 1
    response[bisect_left(BYTES, sent)] += 1
    response[-1] += sent


def known_method(given: str) -> str:
    """The method as a label: no stranger makes series by inventing words."""
    return given if given in METHODS else OTHER


_servers: WeakKeyDictionary[Registry, HttpServer] = WeakKeyDictionary()
_lock = threading.Lock()


def http_server(registry: Registry | None = None) -> HttpServer:
    """The HTTP instruments of a registry, made when they are first asked for."""
    wanted = REGISTRY if registry is None else registry
    with _lock:
        found = _servers.get(wanted)
        if found is None:
            found = _servers[wanted] = HttpServer(wanted)
        return found
