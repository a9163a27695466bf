"""Middleware: every framework's requests are measured by route, method and status."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from barograph.instruments import Registry
from barograph_application import asgi, wsgi
from barograph_application.http import http_server

Counted = dict[tuple[str, str, str], int]


def counted(registry: Registry, name: str = "http_server_request_duration_seconds") -> Counted:
    """(method, route, status) -> how many."""
    out: Counted = {}
    for described, pairs, reading in registry.read():
        if described.name == name:
            labels = dict(pairs)
            key = (
                labels["http_request_method"],
                labels["http_route"],
                labels["http_response_status_code"],
            )
            out[key] = sum(reading.counts.values())
    return out


def in_flight(registry: Registry) -> float:
    return sum(r.value for d, _, r in registry.read() if d.name == "http_server_active_requests")


async def ask(app: Any, *requests: tuple[str, str]) -> None:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for method, path in requests:
            await client.request(method, path)


async def test_fastapi(registry: Registry) -> None:
    from fastapi import FastAPI, HTTPException

    app = FastAPI()
    app.add_middleware(asgi.MetricsMiddleware, registry=registry)

    @app.get("/users/{user}")
    def user(user: int) -> dict[str, int]:
        if user == 2:
            raise HTTPException(404)
        if user == 3:
            raise RuntimeError("a defect")
        return {"user": user}

    await ask(app, ("GET", "/users/1"), ("GET", "/users/5"), ("GET", "/users/2"),
              ("GET", "/users/3"), ("GET", "/nowhere/at/all"), ("BREW", "/users/1"))  # fmt: skip
    assert counted(registry) == {
        ("GET", "/users/{user}", "200"): 2,
        ("GET", "/users/{user}", "404"): 1,
        ("GET", "/users/{user}", "500"): 1,
        ("GET", "", "404"): 1,
        ("_OTHER", "/users/{user}", "405"): 1,
    }
    assert in_flight(registry) == 0


async def test_starlette_with_mounted_routes(registry: Registry) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def item(request: Any) -> PlainTextResponse:
        return PlainTextResponse("item")

    inner = [Route("/items/{item:int}", item)]
    app = Starlette(routes=[Route("/", item), Mount("/shop", routes=inner)])
    wrapped = asgi.MetricsMiddleware(app, registry)
    await ask(wrapped, ("GET", "/shop/items/4"))
    assert list(counted(registry)) == [("GET", "/shop/items/{item:int}", "200")]


async def test_litestar(registry: Registry) -> None:
    from litestar import Litestar, get

    @get("/users/{user:int}")
    async def user(user: int) -> dict[str, int]:
        return {"user": user}

    app = asgi.MetricsMiddleware(Litestar([user]), registry)
    await ask(app, ("GET", "/users/1"), ("GET", "/nothing"))
    found = counted(registry)
    assert found == {("GET", "/users/{user}", "200"): 1, ("GET", "", "404"): 1}


def test_flask(registry: Registry) -> None:
    from flask import Flask, Response, abort, request

    app = Flask(__name__)
    app.wsgi_app = wsgi.MetricsMiddleware(app.wsgi_app, registry)  # type: ignore[method-assign]

    @app.post("/users/<int:user>")
    def user(user: int) -> str:
        if user == 2:
            abort(403)
        return "x" * len(request.data)

    @app.get("/stream")
    def stream() -> Response:
        def parts() -> Iterator[str]:
            for _ in range(3):
                assert in_flight(registry) == 1
                yield "part"

        return Response(parts())

    client = app.test_client()
    client.post("/users/1", data=b"x" * 100).close()
    client.post("/users/2").close()
    with client.get("/stream") as answer:
        assert answer.data == b"partpartpart"
    assert counted(registry) == {
        ("POST", "/users/<int:user>", "200"): 1,
        ("POST", "/users/<int:user>", "403"): 1,
        ("GET", "/stream", "200"): 1,
    }
    sizes = {
        (d.name.split("_")[2], dict(p)["http_route"]): r.value
        for d, p, r in registry.read()
        if d.name.endswith("size_bytes") and dict(p)["http_response_status_code"] == "200"
    }
    assert sizes[("request", "/users/<int:user>")] == 100
    assert sizes[("response", "/stream")] == 12
    assert in_flight(registry) == 0


def test_a_wsgi_application_that_raises_is_a_500(registry: Registry) -> None:
    def broken(environ: Any, start_response: Any) -> list[bytes]:
        raise KeyError("broken")

    app = wsgi.MetricsMiddleware(broken, registry)
    with pytest.raises(KeyError):
        app({"REQUEST_METHOD": "GET", "CONTENT_LENGTH": "junk"}, None)
    assert counted(registry) == {("GET", "", "500"): 1}
    assert in_flight(registry) == 0


async def test_django_on_both_of_its_servers() -> None:
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def user(request: Any, user: int) -> HttpResponse:
        return HttpResponse("x" * user, status=200 if user else 418)

    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("users/<int:user>", user),), SECRET_KEY="-",
        MIDDLEWARE=["barograph_application.django.metrics_middleware"],
    )  # fmt: skip
    django.setup()
    from asgiref.sync import sync_to_async
    from django.core.handlers.asgi import ASGIHandler
    from django.test import Client

    own = http_server()  # Django's middleware records into the process's registry
    before = {pairs: sum(r.counts.values()) for pairs, r in own.duration.read()}
    await sync_to_async(lambda: Client().get("/users/0"))()
    await ask(ASGIHandler(), ("GET", "/users/5"))
    found = {
        (dict(pairs)["http_route"], dict(pairs)["http_response_status_code"]): n
        for pairs, reading in own.duration.read()
        if (n := sum(reading.counts.values()) - before.get(pairs, 0))
    }
    assert found == {("/users/<int:user>", "418"): 1, ("/users/<int:user>", "200"): 1}


async def test_other_protocols_pass_untouched_and_a_client_that_leaves_is_counted(
    registry: Registry,
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise asyncio.CancelledError

    async def nothing(*_: Any) -> Any:
        return {}

    wrapped = asgi.MetricsMiddleware(app, registry)
    await wrapped({"type": "websocket"}, nothing, nothing)
    await wrapped({"type": "lifespan"}, nothing, nothing)
    with pytest.raises(asyncio.CancelledError):
        await wrapped({"type": "http", "method": "GET", "headers": []}, nothing, nothing)
    assert seen == ["websocket", "lifespan", "http"]
    assert counted(registry) == {("GET", "", "200"): 1}
    assert in_flight(registry) == 0


@pytest.fixture
def registry() -> Registry:
    return Registry()
