"""The instruments of an HTTP server, by OpenTelemetry's names, shared by all middleware."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from barograph.instruments import REGISTRY, Gauge, Histogram, Registry

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
OTHER = "_OTHER"
"""What OpenTelemetry calls a method that is none of HTTP's."""

BYTES = tuple(float(4**i) for i in range(3, 14))
"""Bucket bounds of sizes: 64 B to 64 MiB."""

_REQUEST = ("http_request_method", "http_route", "http_response_status_code")


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
        self._active = Gauge(
            "http_server_active_requests", "Requests being worked on",
            labels=("http_request_method",), registry=registry,
        )  # fmt: skip
        self._bound: dict[tuple[str, str, int], tuple[Callable[[float], None], ...]] = {}
        self._in_flight: dict[str, Callable[[float], None]] = {}

    def method(self, given: str) -> str:
        return given if given in METHODS else OTHER

    def active(self, method: str) -> Callable[[float], None]:
        """Adds to the requests in flight of a method."""
        found = self._in_flight.get(method)
        if found is None:
            child = self._active.labels(http_request_method=method)
            found = self._in_flight[method] = child.inc
        return found

    def finished(
        self, method: str, route: str, status: int, seconds: float, received: int, sent: int
    ) -> None:
        """Record one answered request; bytes are of the bodies."""
        key = (method, route, status)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bind(key)
        bound[0](seconds)
        bound[1](received)
        bound[2](sent)

    def _bind(self, key: tuple[str, str, int]) -> tuple[Callable[[float], None], ...]:
        labels = dict(zip(_REQUEST, map(str, key), strict=True))
        kinds = (self.duration, self.request_size, self.response_size)
        bound = tuple(one.labels(**labels).observe for one in kinds)
        if len(self._bound) < 10_000:  # the instruments themselves bound their children
            self._bound[key] = bound
        return bound


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
