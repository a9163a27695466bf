"""Real processes that send to a real monitor: workers that die, jobs, a server that is away."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from barograph import PerformanceMonitor, PluginManager
from barograph.config import Config, Duration, MonitorConfig, PluginSettings
from barograph.instruments import Counter, Registry
from barograph.instruments.connection import Connection
from barograph.instruments.lines import SocketLine
from barograph.model import Matcher
from barograph_application import Config as Options
from barograph_application import totals
from barograph_application.receiver import MAX_MESSAGE, listen


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = totals.Totals()
    for module in ("source", "receiver"):
        monkeypatch.setattr(f"barograph_application.{module}.TOTALS", fresh)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("app")  # a Unix socket's path must be short


def monitor(folder: Path) -> PerformanceMonitor:
    off = {n: PluginSettings(False) for n in ("system", "process", "runtime", "template")}
    options = Options(interval=Duration(0.1), socket=str(folder / "a.sock"))
    config = Config(
        monitor=MonitorConfig(data_dir=folder / "data"),
        plugins={**off, "application": PluginSettings(True, options)},
    )
    return PerformanceMonitor(config, plugins=PluginManager())


@pytest.fixture
def running(folder: Path) -> Iterator[PerformanceMonitor]:
    with monitor(folder) as found:
        yield found


def newest(found: PerformanceMonitor, name: str) -> float | None:
    series = found.store.select([Matcher.equal("__name__", name)])
    columns = found.store.read([s.ref for s in series], 0, 2**62)
    values = [column.values[-1] for column in columns if len(column)]
    return float(sum(values)) if values else None


def until(what: Callable[[], Any], wanted: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while (got := what()) != wanted:
        assert time.monotonic() < deadline, f"got {got!r}, wanted {wanted!r}"
        time.sleep(0.02)


def program(folder: Path, code: str) -> subprocess.Popen[str]:
    env = {**os.environ, "BAROGRAPH_SOCKET": str(folder / "a.sock")}
    text = "import barograph\nfrom barograph.instruments import Counter, Gauge\n"
    return subprocess.Popen(
        [sys.executable, "-c", text + textwrap.dedent(code)], env=env, text=True,
        stdout=subprocess.PIPE, stdin=subprocess.PIPE,
    )  # fmt: skip


def test_jobs_that_live_a_moment_are_all_counted(running: PerformanceMonitor, folder: Path) -> None:
    jobs = [
        program(folder, "barograph.connect('cron'); Counter('jobs_total').inc(5)") for _ in range(4)
    ]
    assert [job.wait(20) for job in jobs] == [0] * 4
    until(lambda: newest(running, "jobs_total"), 20.0)
    until(lambda: newest(running, "barograph_application_processes"), 0.0)


def test_workers_of_a_pool_are_counted_each_for_itself(
    running: PerformanceMonitor, folder: Path
) -> None:
    code = """
    import multiprocessing
    counter = Counter('tasks_total')
    counter.inc(100)
    barograph.connect('pool')
    def work(n):
        counter.inc()
        return n
    if __name__ == '__main__':
        context = multiprocessing.get_context('fork')
        workers = [context.Process(target=work, args=(i,)) for i in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
    """
    assert program(folder, code).wait(30) == 0
    until(lambda: newest(running, "tasks_total"), 103.0)


def test_a_killed_worker_leaves_what_it_had_sent(running: PerformanceMonitor, folder: Path) -> None:
    code = """
    Counter('tasks_total').inc(7)
    Gauge('open_jobs').set(3)
    barograph.connect('worker', interval_s=0.05)
    print('ready', flush=True)
    input()
    """
    worker = program(folder, code)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    until(lambda: newest(running, "open_jobs"), 3.0)
    worker.send_signal(signal.SIGKILL)
    worker.wait(10)
    assert newest(running, "tasks_total") == 7.0


def test_an_application_outlives_the_server_and_catches_up(folder: Path) -> None:
    registry = Registry()
    counter = Counter("orders_total", registry=registry)
    line = Connection("shop", SocketLine(folder / "a.sock"), 60.0, registry)
    counter.inc(3)
    started = time.monotonic()
    assert not line.flush()
    assert time.monotonic() - started < 1.0
    assert "a.sock" in line.last_error
    with monitor(folder) as found:
        counter.inc(4)
        assert line.flush()
        until(lambda: newest(found, "orders_total"), 7.0)
    counter.inc(2)
    assert not line.flush()
    with monitor(folder) as found:
        assert line.flush()
        until(lambda: newest(found, "orders_total"), 9.0)
    line.close()


def say(folder: Path, *lines: bytes) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(10)
        line.connect(str(folder / "a.sock"))
        line.sendall(b"".join(lines))
        file = line.makefile("rb")
        return [json.loads(file.readline()) for _ in lines]


def test_junk_is_answered_and_harms_nobody(running: PerformanceMonitor, folder: Path) -> None:
    bad = say(folder, b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{}\n")
    assert all("error" in answer for answer in bad)
    good = {"process": "p" * 32, "number": 1, "service": "", "readings": []}
    assert say(folder, json.dumps(good).encode() + b"\n") == [{"ok": True}]
    assert "longer than" in say(folder, b"x" * (MAX_MESSAGE + 2) + b"\n")[0]["error"]
    until(lambda: newest(running, "barograph_application_refused_total"), 4.0)


def test_the_socket_is_the_users_own_and_goes_with_the_monitor(folder: Path) -> None:
    with monitor(folder):
        assert oct((folder / "a.sock").stat().st_mode & 0o777) == "0o600"
    assert not (folder / "a.sock").exists()


def test_a_socket_left_behind_is_replaced_and_one_in_use_is_not(folder: Path) -> None:
    path = folder / "a.sock"
    first = listen(path, "0660")
    assert oct(path.stat().st_mode & 0o777) == "0o660"
    with pytest.raises(OSError, match="another Barograph listens"):
        listen(path, "0600")
    first.close()
    listen(path, "0600").close()
    path.unlink()
    path.write_text("precious")
    with pytest.raises(OSError, match="is no socket"):
        listen(path, "0600")
    with pytest.raises(ValueError, match="100 characters"):
        listen(folder / ("x" * 120), "0600")
    with pytest.raises(ValueError, match="octal"):
        listen(folder / "b.sock", "rw")


def test_a_socket_that_cannot_be_made_stops_nothing_else(folder: Path) -> None:
    (folder / "a.sock").write_text("precious")
    with monitor(folder) as found:
        until(lambda: found.health().ready, True)
        assert any("is no socket" in problem.what for problem in found.problems)
    assert (folder / "a.sock").read_text() == "precious"
