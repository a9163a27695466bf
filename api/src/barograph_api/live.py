"""Live data over WebSocket: one frame a tick, and for a slow browser only the newest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from barograph.model import finite_or_none
from barograph.query import RangeQuery, parse_selector
from barograph.range import LiveQuery

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor

MAX_PANELS = 200
MAX_MESSAGE = 256 * 1024
MESSAGES_PER_SECOND = 20

encode = msgspec.json.encode


class QueryIn(msgspec.Struct):
    """A RangeQuery as JSON."""

    match: list[str]
    fn: str = "value"
    agg: str = "none"
    by: list[str] = []
    scale: float = 1.0
    legend: str = ""
    top: int = 0

    def query(self) -> RangeQuery:
        """Raises ValueError with what is wrong."""
        if self.fn not in ("value", "rate", "increase"):
            raise ValueError(f"fn must be value, rate or increase, not {self.fn!r}")
        if self.agg not in ("none", "sum", "mean", "min", "max"):
            raise ValueError(f"agg must be none, sum, mean, min or max, not {self.agg!r}")
        for text in self.match:
            parse_selector(text)
        return RangeQuery(
            tuple(self.match), self.fn, self.agg, tuple(self.by), self.scale, self.legend, self.top,  # type: ignore[arg-type]
        )  # fmt: skip


class PanelIn(msgspec.Struct):
    id: str
    query: QueryIn


class MessageIn(msgspec.Struct):
    type: str
    panels: list[PanelIn] = []


@attrs.define(eq=False)
class Client:
    """One viewer: what it watches, and a flag that a tick has come."""

    wake: asyncio.Event
    panels: dict[str, LiveQuery] = attrs.field(factory=dict)
    told: dict[str, Any] = attrs.field(factory=dict)
    ticks: int = 0
    sent_ticks: int = 0


class Hub:
    """Wakes viewers after each commit; the monitor's thread never waits for them."""

    def __init__(self, monitor: PerformanceMonitor, max_viewers: int) -> None:
        self._monitor = monitor
        self._max = max_viewers
        self._clients: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last = 0.0
        self._unsubscribe: Any = None
        self._viewers = monitor.meter.gauge("barograph_viewers", "Live connections")
        self._skipped = monitor.meter.counter("barograph_live_skipped_total",
                                              "Ticks that slow viewers did not get")  # fmt: skip

    def join(self) -> Client | None:
        """A new viewer, None if there are too many."""
        if len(self._clients) >= self._max:
            return None
        self._loop = asyncio.get_running_loop()
        if self._unsubscribe is None:
            self._unsubscribe = self._monitor.subscribe(self._tick)
        client = Client(asyncio.Event())
        self._clients.add(client)
        self._viewers.set(len(self._clients))
        return client

    def leave(self, client: Client) -> None:
        self._clients.discard(client)
        self._viewers.set(len(self._clients))
        if not self._clients and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _tick(self, now_ms: int) -> None:
        # From the writer's thread. Several commits a second are one tick for viewers.
        now = time.monotonic()
        if now - self._last < 0.5 or self._loop is None or self._loop.is_closed():
            return
        self._last = now
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for client in self._clients:
            client.ticks += 1
            client.wake.set()

    def frames(self, client: Client) -> list[bytes]:
        """What to send now: panels whose lines changed, then the values."""
        monitor = self._monitor
        now = monitor.clock.now_ms()
        changed: dict[str, Any] = {}
        values: dict[str, list[float | None]] = {}
        for panel, query in client.panels.items():
            query.resolve(monitor.store, now)
            lines, numbers = query.evaluate(monitor.latest, now)
            if client.told.get(panel) != lines:
                client.told[panel] = lines
                changed[panel] = [{"labels": names, "legend": text} for names, text in lines]
            values[panel] = [finite_or_none(v) for v in numbers.tolist()]
        skipped = max(0, client.ticks - client.sent_ticks - 1)
        client.sent_ticks = client.ticks
        self._skipped.add(skipped)
        out = [encode({"type": "panels", "panels": changed})] if changed else []
        return [*out, encode({"type": "tick", "t": now, "v": values, "skipped": skipped})]


def live_route(hub: Hub, session_alive: Any) -> Any:
    """The WebSocket route ``/api/barograph/v1/live``."""

    @websocket("/api/barograph/v1/live")
    async def live(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        client = hub.join()
        if client is None:
            await socket.close(4429, "too many viewers; see [server] max_viewers")
            return
        sender = asyncio.create_task(_send(socket, hub, client, session_alive))
        try:
            await _receive(socket, client)
        except WebSocketDisconnect:
            pass
        finally:
            hub.leave(client)
            sender.cancel()

    return live


async def _receive(socket: WebSocket[Any, Any, Any], client: Client) -> None:
    since, count = time.monotonic(), 0
    while True:
        text = await socket.receive_text()
        if time.monotonic() - since > 1:
            since, count = time.monotonic(), 0
        count += 1
        if len(text) > MAX_MESSAGE or count > MESSAGES_PER_SECOND:
            await socket.close(1009, "too much; at most 256 KiB and 20 messages a second")
            return
        try:
            message = msgspec.json.decode(text, type=MessageIn)
            if message.type == "ping":
                await socket.send_text('{"type":"pong"}')
            elif message.type == "subscribe":
                panels = message.panels[:MAX_PANELS]
                client.panels = {p.id: LiveQuery(p.query.query()) for p in panels}
                client.told.clear()
                client.wake.set()
        except (msgspec.MsgspecError, ValueError) as error:
            await socket.send_text(encode({"type": "error", "detail": str(error)}).decode())


async def _send(
    socket: WebSocket[Any, Any, Any], hub: Hub, client: Client, session_alive: Any
) -> None:
    while True:
        await client.wake.wait()
        client.wake.clear()
        if not session_alive(socket):
            await socket.close(4401, "the session has ended")
            return
        if client.panels:
            for frame in hub.frames(client):
                await socket.send_text(frame.decode())
