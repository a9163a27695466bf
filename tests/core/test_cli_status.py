"""`barograph status`: finding the server, asking it, and what scripts are told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from barograph.cli import main
from barograph.cli.failures import Cannot
from barograph.cli.status import Running, find_running, uptime_text

ANSWER: dict[str, Any] = {
    "state": "running", "version": "9.9", "pid": 7, "uptime_seconds": 3661.2, "data_dir": "/data",
    "store": {"bytes_on_disk": 2048, "samples": 12345, "series": 3, "t_min": 1790000000000},
    "health": {"live": True, "ready": True, "checks": [
        {"name": "samples", "ok": True, "detail": "last stored 0.1 s ago"}]},
    "sources": [{"name": "cpu[red]", "plugin": "system", "state": "ok", "interval_s": 1.0,
                 "errors": 2, "duration_seconds": 0.0015, "series": 40,
                 "last_error": "bell\x07"}],
    "problems": [{"severity": "warning", "where": "source x", "what": "late", "remedy": "wait"}],
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.delenv("BAROGRAPH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BAROGRAPH_MONITOR__DATA_DIR", str(tmp_path))
    return CliRunner()


def leave(directory: Path, url: str, pid: int = os.getpid()) -> None:
    state = {"url": url, "token": "s3cret", "pid": pid}
    (directory / "server.json").write_text(json.dumps(state))


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[tuple[str, list[str]]]:
    """A server on loopback, and the Authorization headers that it was sent."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers['Authorization']}")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_ready_server_is_shown_and_its_token_is_not(run: CliRunner, tmp_path: Path) -> None:
    with answering(json.dumps(ANSWER).encode()) as (url, seen):
        leave(tmp_path, url)
        result = run.invoke(main, ["status"])
    assert result.exit_code == 0
    assert seen == ["/api/barograph/v1/status Bearer s3cret"]
    lines = result.stdout.splitlines()
    assert lines[0] == "Barograph 9.9 is running and ready (pid 7, up 1h 1m)"
    assert "data     /data: 2.0 KiB, 12,345 samples of 3 series since 2026-09-21" in result.stdout
    assert "samples  ok: last stored 0.1 s ago" in lines
    assert "warning: source x: late; wait" in lines
    # Names from outside are text: no markup, no control characters.
    (row,) = [line for line in lines if line.startswith("cpu[red]")]
    assert row.split()[1:] == ["system", "ok", "1", "s", "40", "2", "1.5", "ms", "bell�"]
    assert "s3cret" not in result.output


def test_json_is_the_servers_answer(run: CliRunner, tmp_path: Path) -> None:
    with answering(json.dumps(ANSWER).encode()) as (url, _):
        leave(tmp_path, url)
        result = run.invoke(main, ["status", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, ANSWER)


def test_a_server_without_samples_is_a_failed_check(run: CliRunner, tmp_path: Path) -> None:
    answer = {**ANSWER, "health": {**ANSWER["health"], "ready": False}}
    with answering(json.dumps(answer).encode()) as (url, _):
        leave(tmp_path, url)
        result = run.invoke(main, ["status"])
        assert result.exit_code == 1
        assert "is running and NOT READY" in result.stdout
        assert result.stderr == "error: the server runs, but samples do not flow\n"
        result = run.invoke(main, ["status", "--json"])
        assert (result.exit_code, result.stderr) == (1, "")


def test_no_server_ends_with_4_and_says_where_it_looked(run: CliRunner, tmp_path: Path) -> None:
    result = run.invoke(main, ["status"])
    assert result.exit_code == 4
    assert f"no server runs on {tmp_path}; start one with `barograph run`" in result.stderr


def test_a_server_that_was_killed_is_not_taken_for_running(run: CliRunner, tmp_path: Path) -> None:
    pid = ended_pid()
    leave(tmp_path, "http://127.0.0.1:9/", pid)
    result = run.invoke(main, ["status"])
    assert result.exit_code == 4
    assert f"(the one with pid {pid} has ended)" in result.stderr


def test_another_process_with_its_pid_is_not_taken_for_the_server(
    run: CliRunner, tmp_path: Path
) -> None:
    leave(tmp_path, "http://127.0.0.1:9/")
    result = run.invoke(main, ["status"])
    assert result.exit_code == 4
    assert f"http://127.0.0.1:9/ (pid {os.getpid()}) has ended" in result.stderr


def test_answers_that_help_nobody_are_told(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph.cli.status.TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        leave(tmp_path, url)
        result = run.invoke(main, ["status"])
    assert result.exit_code == 3
    assert f"the server (pid {os.getpid()}) does not answer at {url}: timed out" in result.stderr
    for body, status, told in ((b"{}", 401, "answers 401"), (b"<html>", 200, "is not JSON")):
        with answering(body, status) as (url, _):
            leave(tmp_path, url)
            result = run.invoke(main, ["status"])
        assert result.exit_code == 3
        assert told in result.stderr


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"url": 1}', '{"url": "u", "token": "t", "pid": []}']
)
def test_a_damaged_state_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    with pytest.raises(Cannot, match=r"server\.json is damaged; restart the server"):
        find_running(tmp_path)


def test_a_token_is_in_no_representation(tmp_path: Path) -> None:
    leave(tmp_path, "http://x/")
    running = find_running(tmp_path)
    assert running == Running("http://x/", "s3cret", os.getpid())
    assert "s3cret" not in repr(running)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "up 0s"), (59, "up 59s"), (60, "up 1m"), (3661, "up 1h 1m"), (90061, "up 1d 1h")],
)
def test_uptime_has_two_units_at_most(seconds: float, text: str) -> None:
    assert uptime_text(seconds) == text
