"""Routes of plugins where a protocol wants them: guarded, bounded, and threads used again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sites
from sites import Site, running_site

from barograph.contracts import Request, Response, Route
from barograph.hookspecs import hookimpl
from barograph.selfmetrics import Meter
from barograph_api import workers
from barograph_api.workers import Workers

LIMIT = 3 * 2**20
PROTOBUF = {"content-type": "application/x-protobuf"}


class Protocols(sites.Stranger):
    """Absolute routes, good and bad."""

    def _size(self, request: Request) -> Response:
        self.asked.append(request)
        return Response(str(len(request.body)).encode(), "text/plain", 200, {"x-own": "yes"})

    @hookimpl
    def barograph_routes(self) -> list[Route]:
        return [
            Route("/v1/size", self._size, ("POST",), absolute=True, max_body=LIMIT),
            Route("/own-metrics", self._size, absolute=True, local=True),
            Route("/login", self._size, absolute=True),
            Route("/api/barograph/v1/mine", self._size, absolute=True),
            Route("/ends/", self._size, absolute=True),
            Route("/v1/size", self._size, absolute=True),
        ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sites, "Stranger", Protocols)
        with running_site(tmp_path_factory.mktemp("absolute")) as running:
            yield running


def test_a_route_stands_where_it_says_and_wants_a_token(site: Site) -> None:
    body = b"[" * 1000  # no JSON: its brackets mean nothing
    with site.bearer() as script, site.stranger_client() as stranger:
        answer = script.post("/v1/size", content=body, headers=PROTOBUF | {"X-Asked": "Yes"})
        assert (answer.status_code, answer.text, answer.headers["x-own"]) == (200, "1000", "yes")
        assert site.stranger.asked[-1].headers["x-asked"] == "Yes"
        assert stranger.post("/v1/size", content=body, headers=PROTOBUF).status_code == 401


def test_brackets_in_a_packed_body_mean_nothing(site: Site) -> None:
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    with site.bearer() as script:
        assert script.post("/v1/size", content=b"[" * 1000, headers=packed).text == "1000"
        plain = {"content-type": "application/json"}
        assert script.post("/v1/size", content=b"[" * 1000, headers=plain).status_code == 400
        for path in (f"{sites.API}/range", "/api/plugins/absent"):
            assert script.post(path, content=b"[" * 1000, headers=packed).status_code == 400


def test_a_route_has_its_own_limit_of_bytes(site: Site) -> None:
    with site.bearer() as script:
        assert script.post("/v1/size", content=bytes(LIMIT), headers=PROTOBUF).text == str(LIMIT)
        too_large = script.post("/v1/size", content=iter([bytes(LIMIT), b"x"]), headers=PROTOBUF)
        assert too_large.status_code == 413
        elsewhere = script.post("/login", content=bytes(2**20 + 1), headers=PROTOBUF)
        assert elsewhere.status_code == 413


def test_a_local_route_needs_no_token_on_loopback(site: Site) -> None:
    with site.stranger_client() as stranger:
        assert stranger.get("/own-metrics").status_code == 200


def test_a_route_in_the_place_of_the_servers_own_is_told_and_left_out(site: Site) -> None:
    with site.bearer() as script:
        problems = script.get(f"{sites.API}/status").json()["problems"]
        told = [p["what"] for p in problems if p["what"].startswith("route ")]
        for path in ("/login", "/api/barograph/v1/mine", "/ends/", "/v1/size"):
            assert any(repr(path) in what for what in told), path
        assert len(told) == 4


def workers_of(size: int = 2) -> Workers:
    return Workers("test", size, 8, 5.0, Meter())


async def test_calls_one_after_another_use_one_thread() -> None:
    pool = workers_of()
    idents = {await pool.run(threading.get_ident) for _ in range(50)}
    assert len(idents) <= 2


async def test_calls_at_one_time_have_threads_of_their_own() -> None:
    pool = workers_of()
    both = threading.Barrier(2)

    def meet() -> int:
        both.wait(5)
        return threading.get_ident()

    for _ in range(3):
        first, second = await asyncio.gather(pool.run(meet), pool.run(meet))
        assert first != second


async def test_a_thread_without_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.05)
    pool = workers_of()
    thread: Any = await pool.run(threading.current_thread)
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert await pool.run(lambda: 1) == 1
