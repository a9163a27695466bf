"""The live stream: frames, limits, slow readers and ends. Numbers: the security requirements."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from serving import wait_for
from sites import API, Site, running_site
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from barograph.contracts import StoreError
from barograph_api import connections
from barograph_api.live import MAX_PANELS, MESSAGES_PER_SECOND, Hub

BEAT = {"match": ["stranger_beat_ms"]}
CPU = {"match": ["system_cpu_time_seconds_total"], "fn": "rate", "agg": "sum", "by": ["mode"],
       "legend": "{mode}"}  # fmt: skip


def subscribe(peer: ClientConnection, **panels: Any) -> None:
    told = [{"id": name, "query": query} for name, query in panels.items()]
    peer.send(json.dumps({"type": "subscribe", "panels": told}))


def frames(peer: ClientConnection, kind: str) -> Iterator[dict[str, Any]]:
    """The frames of one kind, as they come."""
    while True:
        frame = json.loads(peer.recv(10))
        if frame["type"] == kind:
            yield frame


def ended(peer: ClientConnection) -> tuple[int, str]:
    """Code and reason by which the server closes."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            peer.recv(10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_viewer_gets_the_lines_once_and_then_a_value_for_each_tick(site: Site) -> None:
    with site.live() as peer:
        subscribe(peer, cpu=CPU, beat=BEAT)
        lines = next(frames(peer, "panels"))["panels"]
        assert lines["beat"][0]["labels"]["__name__"] == "stranger_beat_ms"
        told = [next(frames(peer, "tick")) for _ in range(4)]
        assert sorted(told[0]["v"]) == ["beat", "cpu"]
        times = [frame["t"] for frame in told]
        assert times == sorted(set(times))
        wait_for(lambda: any(v is not None for v in next(frames(peer, "tick"))["v"]["cpu"]))


def test_subscribing_again_replaces_what_was_watched(site: Site) -> None:
    with site.live() as peer:
        subscribe(peer, a=BEAT)
        assert list(next(frames(peer, "tick"))["v"]) == ["a"]
        subscribe(peer, b=BEAT, c=CPU)
        wait_for(lambda: sorted(next(frames(peer, "tick"))["v"]) == ["b", "c"])
        subscribe(peer)
        peer.send('{"type":"ping"}')
        next(frames(peer, "pong"))
        with pytest.raises(TimeoutError):
            peer.recv(1.5)


def test_viewers_of_the_same_query_share_its_evaluation(site: Site, monkeypatch: Any) -> None:
    from barograph.range import LiveQuery

    asked: list[Any] = []
    real = LiveQuery.evaluate

    def counted(self: LiveQuery, *arguments: Any) -> Any:
        asked.append(self)
        return real(self, *arguments)

    monkeypatch.setattr(LiveQuery, "evaluate", counted)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(site.live()) for _ in range(5)]
        for peer in peers:
            subscribe(peer, one=BEAT, two=BEAT)
        seen = [next(frames(peer, "tick"))["v"] for peer in peers]
        assert all(sorted(v) == ["one", "two"] for v in seen)
        wait_for(lambda: len(asked) > 4)
        assert len(set(map(id, asked))) == 1


def test_nothing_is_evaluated_when_nobody_watches(own_site: Site) -> None:
    writer = own_site.monitor.writer
    assert not writer._listeners
    with own_site.live() as peer:
        subscribe(peer, one=BEAT)
        next(frames(peer, "tick"))
        assert len(writer._listeners) == 1
        assert own_site.monitor.meter.value("barograph_viewers") == 1
    wait_for(lambda: not writer._listeners)
    assert own_site.monitor.meter.value("barograph_viewers") == 0
    with own_site.live() as peer:
        subscribe(peer, one=BEAT)
        next(frames(peer, "tick"))


def test_one_broken_query_is_told_and_the_others_go_on(own_site: Site, monkeypatch: Any) -> None:
    from barograph.range import LiveQuery

    real = LiveQuery.resolve

    def broken(self: LiveQuery, *arguments: Any) -> Any:
        if self.query.match == ("barograph_commits_total",):
            raise StoreError("the disk is gone")
        return real(self, *arguments)

    monkeypatch.setattr(LiveQuery, "resolve", broken)
    with own_site.live() as peer:
        subscribe(peer, bad={"match": ["barograph_commits_total"]}, good=BEAT)
        error = next(frames(peer, "error"))
        assert (error["panel"], error["detail"]) == ("bad", "StoreError: the disk is gone")
        tick = next(frames(peer, "tick"))
        assert tick["v"]["bad"] == []
        assert len(tick["v"]["good"]) == 1


# 13: messages, their rate, subscriptions and queues are bounded.


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "null", "1", '{"type":"shout"}', '{"type":"subscribe","panels":5}', b"\x00\xff",
     '{"type":"subscribe","panels":[{"id":"a"}]}', '{"a":' * 5000 + "1" + "}" * 5000,
     '{"type":"subscribe","panels":[{"id":"a","query":{"match":["{{{"]}}]}',
     '{"type":"subscribe","panels":[{"id":"a","query":{"match":["a"],"fn":"drop"}}]}',
     '{"type":"subscribe","panels":[{"id":"a","query":{"match":["a"],"top":-1}}]}',
     json.dumps({"type": "subscribe", "panels": [{"id": "x" * 1001, "query": BEAT}]}),
     json.dumps({"type": "subscribe", "panels": [{"id": "x", "query": {"match": ["a"] * 17}}]})],
)  # fmt: skip
def test_13_a_message_that_makes_no_sense_is_told_and_costs_nothing_else(
    site: Site, message: Any
) -> None:
    with site.live() as peer:
        subscribe(peer, one=BEAT)
        peer.send(message)
        assert next(frames(peer, "error"))["detail"]
        assert list(next(frames(peer, "tick"))["v"]) == ["one"]


def test_13_a_message_that_is_too_long_ends_the_connection(site: Site) -> None:
    with site.live() as peer:
        peer.send(" " * 2**18)
        assert "truncated" in next(frames(peer, "error"))["detail"]
        peer.send(" " * (2**18 + 1))
        assert ended(peer)[0] == 1009
    with site.live() as peer:
        peer.send(part for part in [" " * 2**17] * 3)
        assert ended(peer)[0] == 1009


def test_13_too_many_messages_a_second_end_the_connection(site: Site) -> None:
    with site.live() as peer:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(MESSAGES_PER_SECOND * 5):
                peer.send('{"type":"ping"}')
        assert ended(peer) == (1008, "at most 20 messages a second")


def test_13_too_many_panels_are_told(site: Site) -> None:
    with site.live() as peer:
        subscribe(peer, **{f"p{i}": BEAT for i in range(MAX_PANELS + 1)})
        assert next(frames(peer, "error"))["detail"] == "at most 200 panels, not 201"
        subscribe(peer, **{f"p{i}": BEAT for i in range(MAX_PANELS)})
        assert len(next(frames(peer, "tick"))["v"]) == MAX_PANELS


def test_13_all_viewers_together_watch_a_bounded_number_of_queries(
    site: Site, monkeypatch: Any
) -> None:
    monkeypatch.setattr("barograph_api.live.MAX_WATCHED", 3)
    with site.live() as one, site.live() as other:
        subscribe(one, a={"match": ["a"]}, b={"match": ["b"]})
        next(frames(one, "tick"))
        subscribe(other, c={"match": ["c"]}, d={"match": ["d"]})
        assert "3 different queries" in next(frames(other, "error"))["detail"]
        subscribe(other, b={"match": ["b"]}, c={"match": ["c"]})
        assert len(next(frames(other, "tick"))["v"]) == 2
        subscribe(one)
        one.send('{"type":"ping"}')
        next(frames(one, "pong"))
        subscribe(other, d={"match": ["d"]}, e={"match": ["e"]}, f={"match": ["f"]})
        wait_for(lambda: len(next(frames(other, "tick"))["v"]) == 3)


def test_13_viewers_are_bounded(tmp_path: Any) -> None:
    with (
        running_site(tmp_path, server={"max_viewers": 2}) as site,
        site.live() as one,
        site.live(),
        site.live() as third,
    ):
        assert ended(third) == (4429, "too many viewers; see [server] max_viewers")
        one.close()
        wait_for(lambda: site.monitor.meter.value("barograph_viewers") == 1)
        with site.live() as fourth:
            subscribe(fourth, a=BEAT)
            next(frames(fourth, "tick"))


class RawPeer:
    """A WebSocket client that answers pings only when it is told to."""

    def __init__(self, site: Site) -> None:
        self.socket = socket.create_connection(("127.0.0.1", site.port), 10)
        key = base64.b64encode(b"0123456789abcdef").decode()
        self.socket.sendall(
            f"GET {API}/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {site.token}\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(4096)
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, code: int, data: bytes) -> None:
        mask = b"\0\0\0\0"
        size = (
            bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack("!H", len(data))
        )
        self.socket.sendall(bytes([0x80 | code]) + size + mask + data)

    def take(self, seconds: float) -> tuple[int, bytes] | None:
        """The next frame (code, data); None if none comes in time."""
        self.socket.settimeout(seconds)
        try:
            while (frame := self._parsed()) is None:
                part = self.socket.recv(65536)
                if not part:
                    raise EOFError
                self.buffer += part
        except TimeoutError:
            return None
        return frame

    def _parsed(self) -> tuple[int, bytes] | None:
        if len(self.buffer) < 2:
            return None
        size, start = self.buffer[1] & 0x7F, 2
        if size == 126:
            if len(self.buffer) < 4:
                return None
            (size,) = struct.unpack("!H", self.buffer[2:4])
            start = 4
        if len(self.buffer) < start + size:
            return None
        frame = self.buffer[0] & 15, self.buffer[start : start + size]
        self.buffer = self.buffer[start + size :]
        return frame

    def until_full(self) -> list[bytes]:
        """Take what comes until the server may send no more; the pings that it waits for."""
        own: list[bytes] = []
        while len(own) < connections.FRAMES_IN_FLIGHT:
            code, data = self.take(10) or (0, b"")
            assert code in (1, 9), "nothing comes any more"
            own += [data] if code == 9 and data.startswith(b"baro") else []
        return own


def watching(site: Site) -> RawPeer:
    """A peer that has subscribed."""
    peer = RawPeer(site)
    message = {"type": "subscribe", "panels": [{"id": "q", "query": BEAT}]}
    peer.send(1, json.dumps(message).encode())
    return peer


def test_13_a_viewer_that_falls_behind_gets_the_newest_and_sees_that_it_does(
    own_site: Site,
) -> None:
    peer = watching(own_site)
    own = peer.until_full()
    meter = own_site.monitor.meter
    commits = meter.value("barograph_commits_total")
    wait_for(lambda: meter.value("barograph_commits_total") > commits + 10)
    assert peer.take(0.2) is None, "it has answered no ping"
    asked_ms = own_site.clock.now_ms()
    peer.send(10, own[-1])
    frame: dict[str, Any] = {}
    while frame.get("type") != "tick":
        code, data = peer.take(10) or (0, b"")
        assert code in (1, 9)
        frame = json.loads(data) if code == 1 else frame
    assert frame["skipped"] >= 2
    assert frame["t"] > asked_ms - 2000, "not a frame from a queue"
    assert meter.value("barograph_live_skipped_total") >= frame["skipped"]
    peer.socket.close()


def test_13_a_viewer_that_never_answers_is_cut_off(own_site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(connections, "STALLED_SECONDS", 0.5)
    peer = watching(own_site)
    with pytest.raises((EOFError, ConnectionError)):
        while peer.take(10) is not None:
            pass
    wait_for(lambda: own_site.monitor.meter.value("barograph_viewers") == 0)


def test_13_pongs_that_were_not_asked_for_open_no_gate(own_site: Site) -> None:
    peer = watching(own_site)
    for number in (7, 2**63, 0):
        peer.send(10, b"baro" + struct.pack("!Q", number))
    peer.until_full()
    for number in (7, 2**63, 0, connections.FRAMES_IN_FLIGHT + 1):
        peer.send(10, b"baro" + struct.pack("!Q", number))
    assert peer.take(1.0) is None
    peer.socket.close()


def test_13_a_slow_viewer_delays_neither_the_monitor_nor_another_viewer(own_site: Site) -> None:
    slow = [watching(own_site) for _ in range(3)]
    meter = own_site.monitor.meter
    with own_site.live() as quick:
        subscribe(quick, q=BEAT)
        stream = frames(quick, "tick")
        told = [next(stream) for _ in range(8)]
    assert sum(frame["skipped"] for frame in told) <= 1
    assert meter.value("barograph_queue_dropped_total") == 0
    for peer in slow:
        peer.socket.close()


def test_13_a_flood_of_pings_that_reads_nothing_is_cut_off(own_site: Site) -> None:
    peer = RawPeer(own_site)
    peer.socket.settimeout(10)
    with pytest.raises((ConnectionError, TimeoutError)) as ending:
        burst = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 1000
        for _ in range(2000):
            peer.socket.sendall(burst)
    assert isinstance(ending.value, ConnectionError), "not cut off but only held up"


def test_a_viewer_that_vanishes_is_forgotten(own_site: Site) -> None:
    peer = watching(own_site)
    wait_for(lambda: own_site.monitor.meter.value("barograph_viewers") == 1)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.socket.close()
    wait_for(lambda: own_site.monitor.meter.value("barograph_viewers") == 0)


def test_viewers_are_told_when_the_monitor_stops(own_site: Site) -> None:
    with own_site.live() as peer:
        subscribe(peer, q=BEAT)
        next(frames(peer, "tick"))
        threading.Thread(target=own_site.monitor.stop).start()
        code, reason = ended(peer)
        assert code == 1001
        assert reason.startswith("the monitor is stop")
    with own_site.bearer() as client:
        assert client.get("/healthz").status_code == 503
        answer = client.get(f"{API}/dashboard")
        assert (answer.status_code, answer.json()["detail"]) == (503, "the monitor is stopped")


def test_viewers_are_told_when_the_hub_breaks(own_site: Site, monkeypatch: Any, capfd: Any) -> None:
    async def broken(self: Hub, everything: bool) -> bool:
        raise KeyError("no such thing")

    with own_site.live() as peer:
        subscribe(peer, q=BEAT)
        next(frames(peer, "tick"))
        monkeypatch.setattr(Hub, "_evaluate", broken)
        code, reason = ended(peer)
        assert code == 1011
        assert "KeyError" not in reason
    log = capfd.readouterr().err
    assert reason in log
    assert "KeyError: 'no such thing'" in log
    monkeypatch.undo()
    with own_site.live() as peer:
        subscribe(peer, q=BEAT)
        next(frames(peer, "tick"))


def test_the_server_stops_at_once_with_viewers_of_every_kind(tmp_path: Any) -> None:
    with running_site(tmp_path) as site, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(site.live()) for _ in range(3)]
        subscribe(peers[0], q=BEAT)
        silent = watching(site)
        held = socket.create_connection(("127.0.0.1", site.port))
        wait_for(lambda: site.monitor.meter.value("barograph_viewers") == 4)
        site.dashboard.stop()
        assert ended(peers[0])[0] == 1012
        site.thread.join(2.0)
        assert not site.thread.is_alive()
        assert not (tmp_path / "data" / "server.json").exists()
        silent.socket.close()
        held.close()
