"""uvicorn's connections with bounds: slow heads, long heads, and readers that fall behind."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from barograph_api.answers import plain_bytes

MAX_CONNECTIONS = 512
HEAD_SECONDS = 10.0
MAX_HEAD = 64 * 1024

FRAMES_IN_FLIGHT = 2
STALLED_SECONDS = 30.0
MAX_BACKLOG = 512 * 1024
"""Bytes that may wait in a live connection's buffer; more is a reader that does not read."""

ROOM = "barograph.room"
"""Name of the ASGI extension by which a route waits until its peer has taken what was sent."""

_MARK = b"baro"


class HttpConnection(HttpToolsProtocol):
    """A peer has ``HEAD_SECONDS`` and ``MAX_HEAD`` bytes for a request's head."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD and not self.transport.is_closing():
                self._refuse(431, "Request Header Fields Too Large",
                             f"at most {MAX_HEAD // 1024} KiB before the body")  # fmt: skip

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_here()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", "this is not a valid HTTP request")

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _head_is_here(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(408, "Request Timeout", f"the head took over {HEAD_SECONDS:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, title: str, detail: str) -> None:
        self._head_is_here()
        self.transport.write(plain_bytes(status, title, detail))
        self.transport.close()


class LiveConnection(WebSocketsSansIOProtocol):
    """Sends a message only when the peer has taken the earlier ones.

    The operating systems' buffers hold megabytes: a browser that is behind would get minutes of old
    frames. So a ping follows each message, and while ``FRAMES_IN_FLIGHT`` of them are without their
    pong, ``send`` waits. Whoever waits here can then send the newest instead of a queue. Every
    WebSocket peer answers pings (RFC 6455, section 5.5.2); one that does not for
    ``STALLED_SECONDS`` is cut off.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._sent = self._taken = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[ROOM] = self.room
        await super().run_asgi()

    async def room(self) -> None:
        """Wait until the peer has taken what was sent. Raises ClientDisconnected."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._room.wait()
                await self.writable.wait()
        except TimeoutError:
            self.transport.abort()
            raise ClientDisconnected from None

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            await self.room()
        elif kind == "websocket.close" and not self.writable.is_set():
            self.transport.abort()  # what it does not read cannot tell it
            raise ClientDisconnected
        await super().send(message)
        if kind == "websocket.send":
            self._mark()
        elif kind == "websocket.close":
            self.loop.call_later(self.close_timeout, self.transport.abort)

    def _mark(self) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        self._sent += 1
        try:
            self.conn.send_ping(_MARK + struct.pack("!Q", self._sent))
        except InvalidState:
            return  # closing: connection_lost follows
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self._sent - self._taken >= FRAMES_IN_FLIGHT:
            self._room.clear()

    def handle_pong(self, event: Any) -> None:
        data = bytes(event.data)
        if len(data) == 12 and data.startswith(_MARK):
            (number,) = struct.unpack("!Q", data[4:])
            if self._taken < number <= self._sent:
                self._taken = number
                self._room.set()
            return
        super().handle_pong(event)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_BACKLOG:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._room.set()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()  # closing would wait for a buffer that nobody empties

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(0.3, self.transport.abort)
