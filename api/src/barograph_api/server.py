"""PerformanceDashboard: the server process around the application."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from barograph.contracts import ServerError
from barograph_api.security import Sessions, is_loopback

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.monitor import PerformanceMonitor


class PerformanceDashboard:
    """Serves a running monitor's page and data until it is told to stop."""

    def __init__(self, monitor: PerformanceMonitor, config: Config) -> None:
        self._monitor, self._config = monitor, config
        self._token = secrets.token_urlsafe(24)
        self._local = secrets.token_urlsafe(24)
        self._socket: socket.socket | None = None

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
        family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((server.host, server.port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            owner = port_owner(server.port)
            by = f" by {owner}" if owner else ""
            if error.errno == 98:
                raise ServerError(
                    f"port {server.port} is taken{by}; choose another with --port, for instance "
                    f"--port {server.port + 1}"
                ) from None
            raise ServerError(f"cannot listen on {server.host}:{server.port}: {error}") from None
        self._socket = listener

    @property
    def url(self) -> str:
        """The address to open, with this run's token."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        query = "" if self._config.server.no_auth else f"?token={self._token}"
        return f"http://{name}:{port}/{query}"

    def serve(
        self, on_ready: Callable[[str], None], on_reload: Callable[[], None] | None = None
    ) -> None:
        """Serve in this thread until SIGINT or SIGTERM. Raises ServerError."""
        import uvicorn

        from barograph_api.app import create_app

        if self._socket is None:
            self.bind()
        assert self._socket is not None
        server = self._config.server
        tokens = [self._token, self._local, os.environ.get("BAROGRAPH_TOKEN", "")]
        sessions = None if server.no_auth else Sessions(tokens)
        hosts = {"127.0.0.1", "localhost", "::1", server.host, *server.allowed_hosts}
        if server.host in ("0.0.0.0", "::"):
            hosts |= {socket.gethostname(), *_addresses()}
        app = create_app(self._monitor, sessions, hosts)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="websockets-sansio",
            ws_per_message_deflate=False, ws_max_size=2**18, timeout_graceful_shutdown=1,
            server_header=False, proxy_headers=False,
        )  # fmt: skip
        running = _Server(config, lambda: on_ready(self.url), on_reload)
        state = self._write_state()
        try:
            running.run(sockets=[self._socket])
        finally:
            state.unlink(missing_ok=True)

    def _write_state(self) -> Path:
        """Where this machine's `barograph status` finds the server; readable by its user only."""
        path: Path = self._config.monitor.directory / "server.json"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            base = self.url.partition("?")[0]
            json.dump({"url": base, "token": self._local, "pid": os.getpid()}, file)
        return path


def _server_class() -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        def __init__(self, config: Any, ready: Any, reload: Any) -> None:
            super().__init__(config)
            self._ready, self._reload = ready, reload

        async def startup(self, sockets: Any = None) -> None:
            import asyncio

            await super().startup(sockets)
            if self._reload is not None and hasattr(signal, "SIGHUP"):
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
            self._ready()

    return Server


def _Server(*arguments: Any) -> Any:
    return _server_class()(*arguments)


def _addresses() -> set[str]:
    import psutil

    return {a.address for found in psutil.net_if_addrs().values() for a in found}


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
