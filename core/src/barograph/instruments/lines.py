"""Ways to a Barograph: this machine's Unix socket, or HTTP to a server elsewhere.

A line sends one message and waits for its answer: ``{"ok": true}``, or ``{"error": ...}`` for one
that will never be taken. It raises OSError if the message may not have arrived.
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from http.client import HTTPConnection

SOCKET_NAME = "application.sock"
SYSTEM_SOCKET = Path("/run/barograph") / SOCKET_NAME
PUSH_PATH = "/api/plugins/application/push"

MAX_ANSWER = 65536
TOO_LARGE = 413


class Line(Protocol):
    """One way to a server."""

    def exchange(self, message: bytes, timeout_s: float) -> dict[str, Any]:
        """The answer to ``message``. Raises OSError; the next call begins anew."""
        ...

    def hang_up(self) -> None:
        """Close what is open."""
        ...


def socket_path(given: str | Path | None = None) -> Path:
    """Where the server listens: as given, $BAROGRAPH_SOCKET, or below a data folder."""
    from barograph.config.schema import default_data_dir

    named = given or os.environ.get("BAROGRAPH_SOCKET")
    if named:
        return Path(named)
    own = default_data_dir() / SOCKET_NAME
    return own if own.exists() or not SYSTEM_SOCKET.exists() else SYSTEM_SOCKET


class SocketLine:
    """A Unix socket: a line of JSON there, a line of JSON back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket: socket.socket | None = None

    def __str__(self) -> str:
        return str(self.path)

    def exchange(self, message: bytes, timeout_s: float) -> dict[str, Any]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(timeout_s)
            self._socket.connect(str(self.path))
        self._socket.settimeout(timeout_s)
        self._socket.sendall(message)
        data = b""
        while not data.endswith(b"\n"):
            part = self._socket.recv(65536)
            if not part:
                raise OSError("the server hung up")
            data += part
            if len(data) > MAX_ANSWER:
                raise OSError("the answer is too long")
        return _understood(data)

    def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class HttpLine:
    """HTTP or HTTPS to a server's address, with an ingest token."""

    def __init__(self, url: str, token: str) -> None:
        # With TLS behind it, so only for those who need it; here and not in the thread that sends,
        # since a fork during its import would leave the child with a lock that nobody frees.
        from http import client

        self._client = client
        found = urlsplit(url)
        if found.username is not None or found.password is not None:
            raise ValueError("the address has a name or a password in it: give https://HOST, and "
                             "an ingest token as BAROGRAPH_INGEST_TOKEN")  # fmt: skip
        if found.scheme not in ("http", "https") or not found.hostname:
            raise ValueError(f"{url!r} is no address such as https://monitor.example.net")
        token = token.strip()  # a file's last line ends in a line break
        if not re.fullmatch(r"[!-~]*", token):  # never shown: what raises is logged
            raise ValueError("the ingest token is not one line of plain letters without blanks")
        if not token:
            raise ValueError(
                f"{url} wants an ingest token: make one on its machine with "
                "`barograph token create NAME`, and set BAROGRAPH_INGEST_TOKEN to it"
            )
        self._secure, self._host, self._port = found.scheme == "https", found.hostname, found.port
        self._path = found.path.rstrip("/") + PUSH_PATH
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        self._connection: HTTPConnection | None = None

    def __str__(self) -> str:
        scheme = "https" if self._secure else "http"
        return f"{scheme}://{self._host}" + (f":{self._port}" if self._port else "")

    def exchange(self, message: bytes, timeout_s: float) -> dict[str, Any]:
        client = self._client
        if self._connection is None:
            kind = client.HTTPSConnection if self._secure else client.HTTPConnection
            self._connection = kind(self._host, self._port, timeout=timeout_s)
        self._connection.timeout = timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout_s)
        try:
            self._connection.request("POST", self._path, message, self._headers)
            answer = self._connection.getresponse()
            body = answer.read(MAX_ANSWER)
        except client.HTTPException as error:
            raise OSError(f"{type(error).__name__}: {error}") from None
        if answer.status == 200:
            return _understood(body)
        said = f"answered {answer.status}: {body.decode('utf-8', 'replace')[:300]}"
        # The receiver itself says "error"; a 400 of something before it may pass.
        if answer.status == TOO_LARGE or (answer.status == 400 and b'"error"' in body):
            return {"error": said}
        raise OSError(said)

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _understood(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OSError("the answer is not understood")
    return found
