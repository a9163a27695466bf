"""The server around the application: where it listens, how it starts and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import running_server, wait_for
from sites import API, running_site
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from barograph.config import Config
from barograph.config.schema import MonitorConfig, ServerConfig
from barograph.contracts import ServerError
from barograph.monitor import PerformanceMonitor
from barograph_api import PerformanceDashboard
from barograph_api.server import allowed_hosts


def dashboard(folder: Path, **server: Any) -> PerformanceDashboard:
    config = Config(MonitorConfig(data_dir=folder), ServerConfig(**{"port": 0, **server}))
    return PerformanceDashboard(PerformanceMonitor(config), config)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


# 1: loopback by default; beyond it a token is needed.


def test_01_the_default_address_is_loopback(tmp_path: Path) -> None:
    assert (ServerConfig().host, ServerConfig().port) == ("127.0.0.1", 10132)
    with running_site(tmp_path) as site:
        assert site.dashboard._socket is not None
        assert site.dashboard._socket.getsockname()[0] == "127.0.0.1"
        assert site.url.startswith(f"http://127.0.0.1:{site.port}/?token=")


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.1", "example.com", "::ffff:0.0.0.0"]
)
def test_01_beyond_loopback_nothing_starts_without_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.delenv("BAROGRAPH_TOKEN", raising=False)
    with pytest.raises(ServerError) as refused:
        dashboard(tmp_path, host=host).bind()
    assert "BAROGRAPH_TOKEN" in str(refused.value)
    assert "--host 127.0.0.1" in str(refused.value)
    monkeypatch.setenv("BAROGRAPH_TOKEN", "a token of sixteen or more")
    with pytest.raises(ServerError, match=r"--no-auth works on a loopback address only"):
        dashboard(tmp_path, host=host, no_auth=True).bind()


def test_01_a_weak_token_is_refused_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_TOKEN", "secret")
    with pytest.raises(ServerError, match="BAROGRAPH_TOKEN is too short"):
        dashboard(tmp_path, host="0.0.0.0").bind()


def test_01_with_a_token_every_address_of_the_machine_is_known_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a token of sixteen or more"
    monkeypatch.setenv("BAROGRAPH_TOKEN", token)
    server = {"host": "0.0.0.0", "allowed_hosts": ("Monitor.example.org",)}
    with running_site(tmp_path, server=server) as site:
        assert site.url == f"http://127.0.0.1:{site.port}/", "a chosen token is not printed"
        headers = {"authorization": f"Bearer {token}"}
        for host in ("monitor.example.org", socket.gethostname().lower(), "127.0.0.1"):
            told = httpx.get(f"{site.base}{API}/status", headers=headers | {"host": host})
            assert told.status_code == 200, host
            assert httpx.get(f"{site.base}{API}/status", headers={"host": host}).status_code == 401
        told = httpx.get(f"{site.base}{API}/status", headers=headers | {"host": "evil.example"})
        assert told.status_code == 400


def test_allowed_hosts_hold_no_empty_name() -> None:
    for host in ("", "0.0.0.0", "::", "127.0.0.1", "::1"):
        names = allowed_hosts(ServerConfig(host=host, allowed_hosts=("", "[::2]")))
        assert "" not in names
        assert {"127.0.0.1", "localhost", "::1", "::2"} <= names
        assert not [name for name in names if "%" in name or "[" in name]


def test_without_auth_everything_is_open_but_not_to_other_sites(tmp_path: Path) -> None:
    with running_site(tmp_path, server={"no_auth": True}) as site:
        assert site.url == f"http://127.0.0.1:{site.port}/"
        assert not (tmp_path / "data" / "access.json").exists()
        body = {"start": 0, "end": 1, "queries": []}
        with site.stranger_client() as client:
            assert client.get(f"{API}/status").status_code == 200
            assert client.get("/healthz").json()["checks"][0]["detail"]
            assert client.get("/?token=left-over").headers["location"] == "/"
            assert client.post(f"{API}/range", json=body).status_code == 200
            for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"},
                            {"host": "evil.example"}):  # fmt: skip
                told = client.post(f"{API}/range", json=body, headers=headers)
                assert told.status_code in (400, 403), headers
            told = client.post(f"{API}/range", content=json.dumps(body),
                               headers={"content-type": "text/plain"})  # fmt: skip
            assert told.status_code == 415
        with site.live(origin=site.base, additional_headers={}) as peer:
            peer.send('{"type":"ping"}')
            assert peer.recv(5) == '{"type":"pong"}'
        with pytest.raises(InvalidStatus):
            site.live(origin="http://evil.example", additional_headers={})


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_ipv6_loopback_works_like_ipv4(tmp_path: Path) -> None:
    with running_site(tmp_path, server={"host": "::1"}) as site:
        assert site.url.startswith(f"http://[::1]:{site.port}/?token=")
        with site.browser() as client:
            body = {"start": 0, "end": 1, "queries": []}
            assert client.post(f"{API}/range", json=body).status_code == 200


def test_a_taken_port_is_told_with_its_owner(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as refused:
            dashboard(tmp_path, port=port).bind()
    told = str(refused.value)
    assert told.startswith(f"port {port} is taken by ")
    assert f"(pid {os.getpid()})" in told
    assert f"--port {port + 1}" in told


def test_an_address_that_is_not_this_machines_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_TOKEN", "a token of sixteen or more")
    with pytest.raises(ServerError, match=r"cannot listen on 192\.0\.2\.1:0"):
        dashboard(tmp_path, host="192.0.2.1").bind()


def test_a_damaged_access_file_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    server = dashboard(tmp_path)
    (tmp_path / "access.json").write_text("{")
    with pytest.raises(ServerError, match=r"access\.json is damaged"):
        server.bind()


def test_the_kernel_keeps_its_loggers_and_signals(tmp_path: Path) -> None:
    import logging

    root = logging.getLogger()
    before = (root.level, list(root.handlers), signal.getsignal(signal.SIGTERM))
    with running_site(tmp_path):
        assert (root.level, list(root.handlers), signal.getsignal(signal.SIGTERM)) == before


def test_a_handler_that_hangs_does_not_keep_the_server_from_its_end(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:

        def ask() -> None:
            with site.bearer() as client, pytest.raises(httpx.HTTPError):
                client.get("/api/plugins/stranger/hang").raise_for_status()

        asking = threading.Thread(target=ask)
        asking.start()
        assert site.stranger.entered.acquire(timeout=10)
        site.dashboard.stop()
        site.thread.join(5)
        assert not site.thread.is_alive()
        asking.join(5)
        site.stranger.release.set()


# The whole process.


def test_a_whole_server_starts_serves_a_page_and_stops(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        state = server.data_dir / "server.json"
        access = server.data_dir / "access.json"
        assert state.stat().st_mode & 0o777 == 0o600
        assert access.stat().st_mode & 0o777 == 0o600
        with httpx.Client(base_url=server.base_url, headers={"origin": server.base_url}) as client:
            assert client.get(server.url).headers["location"] == "/"
            csrf = client.get(f"{API}/dashboard").json()["csrf"]
            body = {"start": 0, "end": 1000, "queries": []}
            told = client.post(f"{API}/range", json=body, headers={"x-csrf-token": csrf})
            assert told.status_code == 200
            cookie = "; ".join(f"{c.name}={c.value}" for c in client.cookies.jar)
            address = f"ws{server.base_url.removeprefix('http')}{API}/live"
            with connect(address, origin=Origin(server.base_url),
                         additional_headers={"cookie": cookie}):  # fmt: skip
                server.process.send_signal(signal.SIGTERM)
                assert server.process.wait(10) == 0
        assert not state.exists()
        assert access.exists()
        assert "Traceback" not in server.output()
        secrets = [cookie.partition("=")[2], csrf, server.token]
        assert not [secret for secret in secrets if secret in server.output()]
        assert server.output().count(server.url.partition("token=")[2]) == 1, (
            "in the address, and nowhere else"
        )


def test_the_server_opens_no_connection_of_its_own(tmp_path: Path) -> None:
    import psutil

    with running_server(tmp_path) as server:
        server.get(f"{API}/status")
        process = psutil.Process(server.pid)
        end = time.monotonic() + 1.0
        seen = set()
        while time.monotonic() < end:
            port = int(server.base_url.rpartition(":")[2])
            seen |= {c.raddr for c in process.net_connections("all")
                     if c.raddr and c.laddr and getattr(c.laddr, "port", port) != port}  # fmt: skip
            wait_for(lambda: server.get("/healthz")[0] == 200)
        assert seen == set()
