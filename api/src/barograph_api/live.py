"""Live data over WebSocket: one frame a tick, and for a slow browser only the newest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
from litestar import WebSocket, websocket
from litestar.exceptions import WebSocketDisconnect

from barograph.model import finite_or_none
from barograph.monitor import State
from barograph.query import RangeQuery
from barograph.range import LiveQuery
from barograph_api.answers import defect
from barograph_api.connections import ROOM
from barograph_api.wire import MessageIn
from barograph_api.workers import Busy, Workers

if TYPE_CHECKING:
    from barograph.findings import Finding
    from barograph.monitor import PerformanceMonitor

MAX_PANELS = 200
"""Panels of one viewer."""

MAX_WATCHED = 1000
"""Different queries of all viewers together."""

MAX_LINES = 500
"""Lines of one panel."""

MESSAGES_PER_SECOND = 20
MAX_ANSWERS = 16
"""Answers to a viewer's messages that wait to be sent."""

GATHER_S = 0.1
"""Commits that come so soon after one another are one frame."""

FRAME_GAP_S = 0.5
CHECK_S = 2.0
"""How often a socket's session and the monitor are looked at."""

EMPTY = msgspec.Raw(b"[]")
encode = msgspec.json.encode


@attrs.define(eq=False)
class Watched:
    """One query, evaluated once a frame for all who watch it; its JSON is made once as well."""

    live: LiveQuery
    viewers: int = 0
    version: int = 0  # of the lines; 0: never evaluated
    lines: list[tuple[dict[str, str], str]] = attrs.field(factory=list)
    head: msgspec.Raw = EMPTY
    values: msgspec.Raw = EMPTY
    error: str = ""

    def evaluate(self, monitor: PerformanceMonitor, now_ms: int) -> None:
        """Runs in a thread."""
        try:
            self.live.resolve(monitor.store, now_ms)
            lines, numbers = self.live.evaluate(monitor.latest, now_ms)
            self.error = ""
        except Exception as error:  # noqa: BLE001 — told to those who watch; others go on
            lines, numbers = [], None
            self.error = f"{type(error).__name__}: {error}"
        lines = lines[:MAX_LINES]
        if lines != self.lines or not self.version:
            self.lines = lines
            self.head = msgspec.Raw(encode([{"labels": n, "legend": t} for n, t in lines]))
            self.version += 1
        found = [] if numbers is None else numbers[:MAX_LINES].tolist()
        self.values = msgspec.Raw(encode([finite_or_none(v) for v in found]))


@attrs.define(eq=False)
class Client:
    """One viewer: what it watches, what it was told, and what waits for it."""

    wake: asyncio.Event = attrs.field(factory=asyncio.Event)
    panels: dict[str, Watched] = attrs.field(factory=dict)
    told: dict[str, int] = attrs.field(factory=dict)
    failed: dict[str, str] = attrs.field(factory=dict)
    answers: list[bytes] = attrs.field(factory=list)
    ticks: int = 0
    sent_ticks: int = 0
    asked: bool = False  # for other panels, which are not evaluated yet
    due: bool = False  # there is a frame to send
    hinted: bool = False  # findings have changed

    def answer(self, message: dict[str, Any]) -> None:
        """Queue an answer to a message of its own; one too many replaces the last."""
        del self.answers[MAX_ANSWERS - 1 :]
        self.answers.append(encode(message))
        self.wake.set()


class Hub:
    """Evaluates what is watched after each commit, in a thread, and wakes the viewers.

    The monitor's thread only sets a flag; it never waits for a viewer.
    """

    def __init__(self, monitor: PerformanceMonitor, max_viewers: int) -> None:
        self.monitor = monitor
        self._max = max_viewers
        self._clients: set[Client] = set()
        self._watched: dict[RangeQuery, Watched] = {}
        self._pump: asyncio.Task[None] | None = None
        self._work: Workers | None = None
        self._stir = asyncio.Event()
        self._ticked = False
        self._unsubscribe: list[Callable[[], None]] = []
        self._hint: asyncio.TimerHandle | None = None
        self._at_ms = 0
        meter = monitor.meter
        self._viewers = meter.gauge("barograph_viewers", "Live connections")
        self._skipped = meter.counter("barograph_live_skipped_total",
                                      "Ticks that slow viewers did not get")  # fmt: skip
        self._late = meter.counter("barograph_live_late_total",
                                   "Ticks without a frame: the values took too long")  # fmt: skip

    def join(self) -> Client | None:
        """A new viewer, None if there are too many."""
        if len(self._clients) >= self._max:
            return None
        client = Client()
        self._clients.add(client)
        self._viewers.set(len(self._clients))
        if self._pump is None:
            loop = asyncio.get_running_loop()
            self._at_ms = 0  # what was evaluated for earlier viewers is old
            self._work = self._work or Workers("live", 1, 1, 10.0, self.monitor.meter)
            self._pump = asyncio.create_task(self._run(), name="barograph-live")

            def tick(now_ms: int) -> None:  # from the writer's thread
                with contextlib.suppress(RuntimeError):  # the loop has closed
                    loop.call_soon_threadsafe(self._tick)

            def found(finding: Finding) -> None:  # from any thread
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._found)

            self._unsubscribe += [self.monitor.subscribe(tick), self.monitor.findings.listen(found)]
        return client

    @property
    def broken(self) -> BaseException | None:
        """Why there are no frames any more; None while all is well."""
        pump = self._pump
        return pump.exception() if pump is not None and pump.done() else None

    def leave(self, client: Client) -> None:
        """Forget a viewer; without any, nothing is evaluated."""
        self._clients.discard(client)
        self.watch(client, {})
        self._viewers.set(len(self._clients))
        if not self._clients and self._pump is not None:
            self._pump.cancel()
            self._pump = None
            if self._hint is not None:
                self._hint.cancel()
                self._hint = None
            while self._unsubscribe:
                self._unsubscribe.pop()()

    def watch(self, client: Client, queries: dict[str, RangeQuery]) -> None:
        """Replace what a viewer watches. Raises ValueError above the limits."""
        if len(queries) > MAX_PANELS:
            raise ValueError(f"at most {MAX_PANELS} panels, not {len(queries)}")
        mine = list(client.panels.values())
        others = {q for q, one in self._watched.items() if one.viewers > mine.count(one)}
        if len(others | set(queries.values())) > MAX_WATCHED:
            raise ValueError(f"all viewers together may watch {MAX_WATCHED} different queries")
        for query in queries.values():
            if query not in self._watched:
                self._watched[query] = Watched(LiveQuery(query))
        panels = {panel: self._watched[query] for panel, query in queries.items()}
        for one in panels.values():
            one.viewers += 1
        for one in mine:
            one.viewers -= 1
            if not one.viewers:
                del self._watched[one.live.query]
        client.panels = panels
        client.told.clear()
        client.failed.clear()
        if panels:
            client.asked = True
            self._stir.set()

    def _tick(self) -> None:
        self._ticked = True
        self._stir.set()

    def _found(self) -> None:
        """Findings that change soon after one another are one hint."""
        if self._hint is None and self._clients:
            self._hint = asyncio.get_running_loop().call_later(FRAME_GAP_S, self._give_hint)

    def _give_hint(self) -> None:
        self._hint = None
        for client in self._clients:
            client.hinted = True
            client.wake.set()

    def hint(self) -> bytes:
        """That findings have changed, and how many are open; a viewer then asks for them."""
        return encode({"type": "findings", "changed": self.monitor.findings.counts()["open"]})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        last = 0.0
        while True:
            await self._stir.wait()
            ticked = self._ticked
            if ticked:
                # Commits of several sources follow one another: one frame with all of them.
                await asyncio.sleep(max(GATHER_S, last + FRAME_GAP_S - loop.time()))
                last = loop.time()
                for client in self._clients:
                    client.ticks += 1
            self._ticked = False
            self._stir.clear()
            if await self._evaluate(ticked):
                for client in self._clients:
                    if client.panels and (ticked or client.asked):
                        client.asked, client.due = False, True
                        client.wake.set()

    async def _evaluate(self, everything: bool) -> bool:
        asked = [one for one in self._watched.values() if everything or not one.version]
        now = self.monitor.clock.now_ms()
        if everything or not self._at_ms:
            self._at_ms = now

        def work() -> None:
            for one in asked:
                one.evaluate(self.monitor, now)

        assert self._work is not None
        try:
            if asked:
                await self._work.run(work)
        except Busy:
            self._late.add()
            return False
        return True

    def frames(self, client: Client) -> list[bytes]:
        """What to send now: panels whose lines changed, then the values."""
        client.due = False
        out: list[bytes] = []
        changed: dict[str, msgspec.Raw] = {}
        values: dict[str, msgspec.Raw] = {}
        for panel, one in client.panels.items():
            if not one.version:
                continue  # subscribed since the last evaluation; its own is under way
            if client.told.get(panel) != one.version:
                client.told[panel] = one.version
                changed[panel] = one.head
            if client.failed.get(panel, "") != one.error:
                client.failed[panel] = one.error
                out.append(encode({"type": "error", "panel": panel, "detail": one.error}))
            values[panel] = one.values
        skipped = max(0, client.ticks - client.sent_ticks - 1)
        client.sent_ticks = client.ticks
        self._skipped.add(skipped)
        if changed:
            out.append(encode({"type": "panels", "panels": changed}))
        out.append(encode({"type": "tick", "t": self._at_ms, "v": values, "skipped": skipped}))
        return out


Closing = tuple[int, str]
"""Code and reason of a close frame; 4401 and up are this server's own."""


def live_route(hub: Hub, alive: Callable[[Any], bool]) -> Any:
    """The WebSocket route. ``alive(scope)``: whether the session that opened it still lives."""

    @websocket("/api/barograph/v1/live")
    async def live(socket: WebSocket[Any, Any, Any]) -> None:
        """Live values of the panels that the viewer subscribes to."""
        await socket.accept()
        client = hub.join()
        if client is None:
            await socket.close(4429, "too many viewers; see [server] max_viewers")
            return
        tasks: list[asyncio.Task[Closing | None]] = [
            asyncio.create_task(_receive(socket, hub, client)),
            asyncio.create_task(_send(socket, hub, client)),
            asyncio.create_task(_watch_over(socket, hub, alive)),
        ]
        closing: Closing | None = None
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            closing = _closing(next(iter(done)))
        finally:
            hub.leave(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if closing is not None:
            with contextlib.suppress(WebSocketDisconnect, OSError):
                await socket.close(*closing)

    return live


def _closing(task: asyncio.Task[Closing | None]) -> Closing | None:
    error = task.exception()
    if error is None:
        return task.result()
    if isinstance(error, WebSocketDisconnect | OSError):
        return None  # the viewer has gone
    return 1011, f"error {defect(error)['id']}"


async def _receive(socket: WebSocket[Any, Any, Any], hub: Hub, client: Client) -> Closing | None:
    loop = asyncio.get_running_loop()
    since, count = loop.time(), 0
    while True:
        text = await socket.receive_text()
        if loop.time() - since > 1:
            since, count = loop.time(), 0
        count += 1
        if count > MESSAGES_PER_SECOND:
            return 1008, f"at most {MESSAGES_PER_SECOND} messages a second"
        try:
            message = msgspec.json.decode(text, type=MessageIn)
            if message.type == "ping":
                client.answer({"type": "pong"})
            elif message.type == "subscribe":
                hub.watch(client, {p.id: p.query.query() for p in message.panels})
            else:
                raise ValueError(f"type must be subscribe or ping, not {message.type!r}")
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            client.answer({"type": "error", "detail": str(error)})


async def _send(socket: WebSocket[Any, Any, Any], hub: Hub, client: Client) -> Closing | None:
    # A frame is made when the viewer has taken the ones before, so that it is always the newest.
    extensions: Any = socket.scope.get("extensions") or {}
    room = extensions.get(ROOM)
    while True:
        await client.wake.wait()
        if room is not None:
            await room()
        client.wake.clear()
        while client.answers:
            await socket.send_text(client.answers.pop(0).decode())
        if client.hinted:
            client.hinted = False
            await socket.send_text(hub.hint().decode())
        if client.due and client.panels:
            for frame in hub.frames(client):
                await socket.send_text(frame.decode())


async def _watch_over(
    socket: WebSocket[Any, Any, Any], hub: Hub, alive: Callable[[Any], bool]
) -> Closing | None:
    # Also while no tick comes and while the viewer takes no frame.
    while True:
        await asyncio.sleep(CHECK_S)
        if not alive(socket.scope):
            return 4401, "the session has ended"
        if hub.broken is not None:
            raise hub.broken
        if hub.monitor.state is not State.RUNNING:
            return 1001, f"the monitor is {hub.monitor.state}"
