"""Django middleware, for both of its servers.

MIDDLEWARE = ["barograph_application.django.metrics_middleware", ...]
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from barograph_application.http import MEASURED, http_server


def metrics_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Measures every request; the route is the one that Django's resolver matched."""
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction

    http = http_server()

    def begun(request: Any) -> tuple[str, float]:
        method = request.method or ""
        http.here().active(method).sum += 1.0
        return method, perf_counter()

    def finish(request: Any, response: Any, method: str, started: float) -> None:
        seconds = perf_counter() - started
        recorder = http.here()
        recorder.active(method).sum -= 1.0
        match = getattr(request, "resolver_match", None)
        route = "" if match is None else f"/{match.route}"
        status = 500 if response is None else response.status_code
        length = request.META.get("CONTENT_LENGTH") or "0"
        received = int(length) if length.isdigit() else 0
        sent = 0 if response is None or response.streaming else len(response.content)
        recorder.finished(method, route, status, seconds, received, sent)

    def elsewhere(request: Any) -> bool:
        """Whether a middleware further out measures this request."""
        return MEASURED in (getattr(request, "scope", None) or request.META)

    if iscoroutinefunction(get_response):

        async def measured_async(request: Any) -> Any:
            if elsewhere(request):
                return await get_response(request)
            method, started = begun(request)
            response = None
            try:
                response = await get_response(request)
                return response
            finally:
                finish(request, response, method, started)

        return markcoroutinefunction(measured_async)

    def measured(request: Any) -> Any:
        if elsewhere(request):
            return get_response(request)
        method, started = begun(request)
        response = None
        try:
            response = get_response(request)
            return response
        finally:
            finish(request, response, method, started)

    return measured


metrics_middleware.sync_capable = True  # type: ignore[attr-defined]
metrics_middleware.async_capable = True  # type: ignore[attr-defined]
