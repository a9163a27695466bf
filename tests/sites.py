"""A real monitor and its real server on loopback, in this process, and ways to ask it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx
from serving import wait_for
from websockets.sync.client import ClientConnection, connect

from barograph.clock import SystemClock
from barograph.config import Config
from barograph.config.schema import MonitorConfig, PluginSettings, ServerConfig
from barograph.contracts import Request, Response, Route, WidgetSpec
from barograph.hookspecs import hookimpl
from barograph.model import Sample
from barograph.monitor import PerformanceMonitor
from barograph.plugins import PluginManager
from barograph.query import RangeQuery
from barograph.widgets import SpecWidget
from barograph_api import PerformanceDashboard
from barograph_api.access import Access
from barograph_api.guard import Guard

API = "/api/barograph/v1"
PAGE = {
    "index.html": "<!doctype html><script type=module src=/assets/main-1.js></script>page",
    "login.html": '<!doctype html><link rel=stylesheet href="/assets/login-1.css">sign in',
    "assets/main-1.js": "console.log('page')" * 100,
    "assets/login-1.css": "body { margin: 0 }",
    "secret.txt": "only for those who are signed in",
}


class ShiftedClock(SystemClock):
    """The machine's clocks, that a test can set forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + round(self.ahead_s * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


class Beat:
    """A source that ticks often, so that there is always something new."""

    name = "stranger"
    interval_s = 0.1

    def collect(self, now_ms: int) -> list[Sample]:
        return [Sample("stranger_beat_ms", float(now_ms))]


class Stranger:
    """A plugin with a quick source, and routes of every kind."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.entered = threading.Semaphore(0)
        self.asked: list[Request] = []

    def _hang(self, request: Request) -> str:
        self.entered.release()
        self.release.wait(60)
        return "released"

    def _echo(self, request: Request) -> dict[str, Any]:
        self.asked.append(request)
        return {"query": {k: list(v) for k, v in request.query.items()},
                "body": request.body.decode(), "method": request.method}  # fmt: skip

    def _fail(self, request: Request) -> None:
        raise KeyError("/etc/secret-path")

    def _page(self, request: Request) -> Response:
        return Response(b"<b>hello</b>", "text/html", 201)

    @hookimpl
    def barograph_metric_sources(self) -> list[Beat]:
        return [Beat()]

    @hookimpl
    def barograph_routes(self) -> list[Route]:
        return [
            Route("/echo", self._echo, ("GET", "POST")),
            Route("/hang", self._hang),
            Route("/fail", self._fail),
            Route("/page", self._page),
            Route("/bytes", lambda request: b"\x00\x01"),
            Route("/open", lambda request: {"open": True}, public=True),
            Route("/../climb", self._echo),
            Route("/{name:path}", self._echo),
            Route("/echo", self._echo),
        ]

    @hookimpl
    def barograph_widgets(self) -> list[SpecWidget]:
        query = (RangeQuery(("barograph_queue_batches",)),)
        hostile = "<img src=x onerror=alert(1)>"
        return [
            SpecWidget(WidgetSpec("hostile", hostile, query, help=hostile)),
            SpecWidget(WidgetSpec("own", "Own", query, kind="x-own", module="static/own.js")),
            SpecWidget(WidgetSpec("odd", "Odd", query, options={"x": object()})),
        ]


@attrs.define
class Site:
    """A server that runs, and what a test needs of it."""

    monitor: PerformanceMonitor
    dashboard: PerformanceDashboard
    clock: ShiftedClock
    stranger: Stranger
    folder: Path
    url: str
    thread: threading.Thread

    @property
    def base(self) -> str:
        return self.url.partition("/?")[0].rstrip("/")

    @property
    def token(self) -> str:
        return self.url.partition("?token=")[2]

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    @property
    def guard(self) -> Guard:
        guard = self.dashboard._running.config.app
        assert isinstance(guard, Guard)
        return guard

    @property
    def access(self) -> Access:
        assert self.dashboard._access is not None
        return self.dashboard._access

    def stranger_client(self, **named: Any) -> httpx.Client:
        """Without any credentials."""
        return httpx.Client(base_url=self.base, timeout=20, **named)

    def bearer(self) -> httpx.Client:
        """A script with the token."""
        return self.stranger_client(headers={"authorization": f"Bearer {self.token}"})

    @contextlib.contextmanager
    def browser(self) -> Iterator[httpx.Client]:
        """Signed in through the printed address; sends what a page of the server would."""
        with self.stranger_client(headers={"origin": self.base}) as client:
            assert client.get(f"/?token={self.token}").status_code == 303
            client.headers["x-csrf-token"] = client.get(f"{API}/dashboard").json()["csrf"]
            yield client

    def cookie(self, client: httpx.Client) -> str:
        return "; ".join(f"{c.name}={c.value}" for c in client.cookies.jar)

    def raw(self, request: bytes, seconds: float = 10) -> bytes:
        """All that comes back for these bytes until the server closes, or the answer is whole."""
        with socket.create_connection(("127.0.0.1", self.port), seconds) as peer:
            peer.sendall(request)
            peer.shutdown(socket.SHUT_WR)
            parts = []
            with contextlib.suppress(TimeoutError, ConnectionError):
                while part := peer.recv(65536):
                    parts.append(part)
        return b"".join(parts)

    def get_raw(self, target: str, *lines: str, host: str | None = "") -> tuple[int, str]:
        """Status and whole answer of a GET with exactly this target and these header lines."""
        head = [f"GET {target} HTTP/1.1"]
        if host is not None:
            head.append(f"Host: {host or f'127.0.0.1:{self.port}'}")
        head += [*lines, "Connection: close", "", ""]
        text = self.raw("\r\n".join(head).encode("latin-1")).decode("latin-1")
        return int(text.split(" ", 2)[1]), text

    def live(self, path: str = f"{API}/live", **named: Any) -> ClientConnection:
        """A live connection; with the token, unless ``additional_headers`` say otherwise."""
        headers = {"authorization": f"Bearer {self.token}"}
        named = {"additional_headers": headers, "compression": None, "open_timeout": 10} | named
        return connect(f"ws{self.base.removeprefix('http')}{path}", **named)


@contextlib.contextmanager
def running_site(
    folder: Path, *, server: Mapping[str, Any] | None = None, interval: float = 0.2,
    clock: ShiftedClock | None = None, before: Callable[[PerformanceDashboard], None] | None = None,
) -> Iterator[Site]:  # fmt: skip
    """A monitor with all installed plugins, and its server on a free port."""
    clock = clock or ShiftedClock()
    page, data = folder / "page", folder / "data"
    for name, text in PAGE.items():
        (page / name).parent.mkdir(parents=True, exist_ok=True)
        (page / name).write_text(text)
    config = Config(
        MonitorConfig(interval=interval, data_dir=data),
        ServerConfig(**{"port": 0, **(server or {})}),
        plugins={"process": PluginSettings(enabled=False)},
    )
    plugins, stranger = PluginManager(), Stranger()
    plugins.discover()
    plugins.register(stranger, "stranger")
    monitor = PerformanceMonitor(config, plugins=plugins, clock=clock)
    dashboard = PerformanceDashboard(monitor, config)
    dashboard.page = page
    dashboard.bind()
    if before is not None:
        before(dashboard)
    monitor.start()
    urls: list[str] = []
    thread = threading.Thread(target=dashboard.serve, args=(urls.append,), name="server")
    thread.start()
    try:
        wait_for(lambda: urls or not thread.is_alive())
        site = Site(monitor, dashboard, clock, stranger, folder, urls[0], thread)
        wait_for(lambda: site.stranger_client().get("/healthz").status_code == 200)
        yield site
    finally:
        stranger.release.set()
        dashboard.stop()
        thread.join(10)
        monitor.stop()
        assert not thread.is_alive(), "the server did not stop"
