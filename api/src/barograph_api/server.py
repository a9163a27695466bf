"""PerformanceDashboard: the server process around the application."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph.contracts import ServerError
from barograph.loops import watch_loop
from barograph.private_files import write_private
from barograph_api.access import Access, AccessError, check_access
from barograph_api.guard import is_loopback

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.monitor import PerformanceMonitor

GRACE_S = 1
"""Seconds that requests under way get when the server stops."""


class PerformanceDashboard:
    """Serves a running monitor's page and data until it is told to stop."""

    page: Path | None = None
    """Folder of the web page's files; None: the ones that came with this package."""

    def __init__(self, monitor: PerformanceMonitor, config: Config) -> None:
        self._monitor, self._config = monitor, config
        self._access: Access | None = None
        self._socket: socket.socket | None = None
        self._running: Any = None

    def bind(self) -> None:
        """Take the port, before anything else is started. Raises ServerError."""
        server = self._config.server
        if not is_loopback(server.host):
            if server.no_auth:
                raise ServerError(
                    f"--no-auth works on a loopback address only, not on {server.host}: leave out "
                    "--no-auth, or use --host 127.0.0.1"
                )
            if not os.environ.get("BAROGRAPH_TOKEN"):
                raise ServerError(
                    f"{server.host} can be reached from other machines: set a token in the "
                    "variable BAROGRAPH_TOKEN, or use --host 127.0.0.1"
                )
        if not server.no_auth:
            try:
                check_access(self._config.monitor.directory, os.environ.get("BAROGRAPH_TOKEN", ""))
            except AccessError as error:
                raise ServerError(str(error)) from None
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((server.host, server.port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                owner = port_owner(server.port)
                by = f" by {owner}" if owner else ""
                other = server.port + 1 if server.port < 65535 else 10132
                raise ServerError(
                    f"port {server.port} is taken{by}; choose another with --port, for instance "
                    f"--port {other}"
                ) from None
            raise ServerError(f"cannot listen on {server.host}:{server.port}: {error}") from None
        self._socket = listener

    @property
    def url(self) -> str:
        """The address to open; with a token while it serves, unless the administrator chose one."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        name = f"[{host}]" if ":" in host else host
        token = self._access.link_token if self._access is not None else ""
        return f"http://{name}:{port}/" + (f"?token={token}" if token else "")

    def serve(
        self, on_ready: Callable[[str], None], on_reload: Callable[[], None] | None = None
    ) -> None:
        """Serve in this thread until SIGINT, SIGTERM or ``stop``. Raises ServerError.

        Signals are for the main thread only; in another, ``stop`` is the way.
        """
        import uvicorn

        from barograph_api.app import create_app
        from barograph_api.connections import HttpConnection, LiveConnection

        if self._socket is None:
            self.bind()
        assert self._socket is not None
        server = self._config.server
        if not server.no_auth:
            configured = os.environ.get("BAROGRAPH_TOKEN", "")
            folder = self._config.monitor.directory
            try:
                self._access = Access(self._monitor.clock, folder, configured)
            except AccessError as error:
                self._socket.close()
                raise ServerError(str(error)) from None
        app = create_app(self._monitor, self._access, allowed_hosts(server), self.page)
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="off", http=HttpConnection,
            ws=LiveConnection, ws_per_message_deflate=False, ws_max_size=2**18,
            timeout_graceful_shutdown=GRACE_S, server_header=False, proxy_headers=False,
        )  # fmt: skip
        self._running = _server_class()(config, lambda: on_ready(self.url), on_reload)
        state = self._write_state()
        try:
            self._running.run(sockets=[self._socket])
        finally:
            state.unlink(missing_ok=True)
            self._socket.close()
            if self._access is not None:
                self._access.keep()

    def stop(self) -> None:
        """End ``serve``, from any thread."""
        if self._running is not None:
            self._running.should_exit = True

    def _write_state(self) -> Path:
        """Where this machine's `barograph status` finds the server; readable by its user only."""
        path: Path = self._config.monitor.directory / "server.json"
        token = self._access.local_token if self._access is not None else ""
        base = self.url.partition("?")[0]
        try:
            write_private(path, json.dumps({"url": base, "token": token, "pid": os.getpid()}))
        except OSError as error:
            raise ServerError(f"cannot write {path}: {error}") from None
        return path


def _server_class() -> Any:
    import asyncio

    import uvicorn

    class Server(uvicorn.Server):
        def __init__(self, config: Any, ready: Any, reload: Any) -> None:
            super().__init__(config)
            self._ready, self._reload = ready, reload

        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            watch_loop(asyncio.get_running_loop(), "server")
            main = threading.current_thread() is threading.main_thread()
            if main and self._reload is not None and hasattr(signal, "SIGHUP"):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
            self._ready()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn raises what it caught once more, which would end the process before the
            # monitor has stopped.
            with super().capture_signals():
                yield
                self._captured_signals.clear()

    return Server


def allowed_hosts(server: Any) -> set[str]:
    """Names by which browsers may ask for this server (``server``: a ServerConfig)."""
    hosts = {"127.0.0.1", "localhost", "::1", server.host, *server.allowed_hosts}
    if server.host in ("", "0.0.0.0", "::"):
        import psutil

        found = psutil.net_if_addrs().values()
        hosts |= {address.address.partition("%")[0] for card in found for address in card}
        hosts.add(socket.gethostname())
    return {host.strip("[]") for host in hosts if host}


def port_owner(port: int) -> str:
    """Which program listens on ``port``, as far as this user may know."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == "LISTEN" and local and local.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""
