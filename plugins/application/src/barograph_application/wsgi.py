"""WSGI middleware: requests, durations, sizes, for Flask and any other WSGI application.

app.wsgi_app = MetricsMiddleware(app.wsgi_app)     # Flask
application = MetricsMiddleware(application)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from barograph.instruments import Registry
from barograph_application.http import MEASURED, http_server

Environ = dict[str, Any]


class MetricsMiddleware:
    """Measures every request until its answer's last part was taken.

    The route is the rule that Flask (or another Werkzeug application) matched, "" elsewhere.
    """

    def __init__(self, app: Any, registry: Registry | None = None) -> None:
        self._app = app
        self._http = http_server(registry)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        if MEASURED in environ:
            return self._app(environ, start_response)  # type: ignore[no-any-return]
        environ[MEASURED] = True
        http, method = self._http, environ["REQUEST_METHOD"]
        status, route = 500, ""
        started = perf_counter()

        def started_response(line: str, headers: Any, *error: Any) -> Any:
            nonlocal status, route
            status, route = int(line[:3]), _route(environ)  # Flask forgets it when it is done
            return start_response(line, headers, *error)

        def finish(sent: int) -> None:
            seconds = perf_counter() - started
            length = environ.get("CONTENT_LENGTH") or "0"
            received = int(length) if length.isdigit() else 0
            recorder = http.here()  # a server may close an answer in another thread
            recorder.active(method).sum -= 1.0
            recorder.finished(method, route, status, seconds, received, sent)

        http.here().active(method).sum += 1.0
        try:
            return _Body(self._app(environ, started_response), finish)
        except BaseException:
            finish(0)
            raise


class _Body:
    """An answer's parts, counted; tells once when they are at an end."""

    def __init__(self, parts: Iterable[bytes], finish: Callable[[int], None]) -> None:
        self._parts, self._finish = parts, finish
        self._sent = 0
        self._done = False

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self._sent += len(part)
            yield part

    def close(self) -> None:
        try:
            close = getattr(self._parts, "close", None)
            if close is not None:
                close()
        finally:
            if not self._done:
                self._done = True
                self._finish(self._sent)


def _route(environ: Environ) -> str:
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    return "" if rule is None else str(rule)
