"""The worker process: what it is told, how it ends, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from fakes import eventually
from hosting import Host, install
from made import END, HOUR
from test_agent import QUIETLY, started

from barograph import Labels, PerformanceMonitor, PluginManager
from barograph.config import Config as KernelConfig
from barograph.config import MonitorConfig, PluginSettings
from barograph.config.load import load_config
from barograph_analytics import Config
from barograph_analytics.agent import agent_of
from barograph_analytics.pacing import LONGEST_S, Pace
from barograph_analytics.process import MODULE, Worker, WorkerFailed, config_tables
from barograph_sqlite.store import SqliteStore


def test_the_tables_of_a_configuration_make_the_same_configuration() -> None:
    manager = PluginManager()
    classes = manager.config_classes()
    given = {
        "monitor.data_dir": "/tmp/elsewhere",
        "plugins.promql.lookback": "7m",
        "plugins.system.exclude_devices": ["loop*"],
        "plugins.sqlite.max_size": "1GiB",
        "plugins.anomaly.enabled": False,
    }
    config = load_config(None, {}, given, classes)
    options = Config(watch=("up",), max_findings=3)
    installed = set(classes)
    text = json.dumps(config_tables(config, installed, {"analytics": options}))
    again = load_config(None, {}, json.loads(text), manager.config_classes())
    assert again.monitor.directory == config.monitor.directory
    assert again.plugins["analytics"] == PluginSettings(True, options)
    for name in installed - {"analytics"}:
        assert again.plugins[name] == config.plugins[name], name


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def order(folder: Path, name: str) -> dict[str, Any]:
    config = KernelConfig(monitor=MonitorConfig(data_dir=folder))
    task = {"plugin": "stranger", "analyser": name, "start_ms": END - HOUR, "end_ms": END}
    return {
        "config": config_tables(config, set()), "tasks": [task], "seconds": 60.0, "most": 20,
        "niceness": 1, "memory": 2**30,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(tmp_path, monkeypatch, "hangs", "fine", "starts")
    store = SqliteStore(tmp_path / "data")
    store.open()
    store.close()
    return tmp_path / "data"


def test_one_that_hangs_is_gone_when_its_parent_lets_go(folder: Path) -> None:
    with Worker(order(folder, "hangs"), lambda: False) as worker:
        assert next(worker.messages(60)) == {"begins": "hangs"}
        assert alive(worker.pid)
    assert not alive(worker.pid)


def test_what_one_that_hangs_has_started_goes_with_it(folder: Path, tmp_path: Path) -> None:
    told = tmp_path / "child"
    with Worker(order(folder, "starts"), lambda: False) as worker:
        assert next(worker.messages(60)) == {"begins": "starts"}
        eventually(lambda: told.exists() and told.read_text().endswith("."), 30)
        child = int(told.read_text()[:-1])
        assert alive(child)
    eventually(lambda: not alive(child), 10)


def test_a_worker_ends_when_its_parent_is_killed(folder: Path, tmp_path: Path) -> None:
    told = tmp_path / "order.json"
    told.write_text(json.dumps(order(folder, "hangs")))
    code = (
        "import json, os, sys\n"
        "from barograph_analytics.process import Worker\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"worker = Worker(json.load(open({str(told)!r})), lambda: False)\n"
        "print(next(worker.messages(60))['begins'], worker.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    name, pid = done.stdout.split()
    assert name == "hangs"
    eventually(lambda: not alive(int(pid)), 30)


def test_what_an_analyser_prints_does_not_garble_what_is_told(folder: Path) -> None:
    with Worker(order(folder, "fine"), lambda: False) as worker:
        begins, outcome, done = worker.messages(60)
    assert begins == {"begins": "fine"}
    assert outcome["outcome"]["error"] == ""
    assert done["memory_bytes"] > 2**20


def test_a_store_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with (
        Worker(order(tmp_path / "none", "fine"), lambda: False) as worker,
        pytest.raises(WorkerFailed, match="there is no"),
    ):
        list(worker.messages(60))


def test_a_python_that_is_not_there_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerFailed, match="no process can be started"):
        Worker(order(folder, "fine"), lambda: False)


def test_stopping_the_agent_ends_its_process_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(folder, QUIETLY)
    one = started(host, QUIETLY)
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.extend(one.analyse(END - HOUR, END, names=["hangs"]))
    )
    thread.start()
    eventually(lambda: one._worker, 60)
    worker = one._worker
    assert worker is not None
    began = time.monotonic()
    one.stop(5.0)
    thread.join(10)
    assert time.monotonic() - began < 10
    assert not alive(worker.pid)
    assert found == []
    host.store.close()


def test_the_plugin_needs_neither_numba_nor_scipy_nor_numpy_to_start() -> None:
    code = (
        "import sys, barograph_analytics, barograph_analytics.agent\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'numba', 'scipy', 'llvmlite'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert MODULE == "barograph_analytics.worker"


class Recorded(threading.Event):
    """An event that notes the pauses it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return self.is_set()


def test_paced_work_rests_in_proportion_to_what_it_did() -> None:
    stopping = Recorded()
    pace = Pace(stopping, share=0.25)
    assert pace() is False
    assert stopping.pauses == []
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    pace()
    (pause,) = stopping.pauses
    assert 0.15 <= pause <= LONGEST_S
    pace()
    assert len(stopping.pauses) == 1
    stopping.set()
    assert pace() is True


def test_what_fails_is_a_problem_of_the_monitor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "raises", "fine")
    options = attrs.evolve(QUIETLY, process=True)
    manager = PluginManager()
    enabled = ("analytics", "sqlite", "promql", "rollup", "stranger")
    config = KernelConfig(
        monitor=MonitorConfig(data_dir=tmp_path / "data"),
        plugins={
            info.name: PluginSettings(
                info.name in enabled, options if info.name == "analytics" else None
            )
            for info in manager.discover()
        },
    )
    with PerformanceMonitor(config, plugins=manager) as monitor:
        assert monitor.store_is_configured
        agent = agent_of(monitor)
        now = monitor.clock.now_ms()
        outcomes = agent.analyse(now - HOUR, now, names=["raises", "fine"])
        assert [one.error for one in sorted(outcomes, key=lambda o: o.analyser)] == [
            "", "KeyError: 'nothing here'",
        ]  # fmt: skip
        told = [p for p in monitor.problems if p.where == "plugin stranger"]
        assert [p.what for p in told] == ["the analyser raises failed: KeyError: 'nothing here'"]
        (finding,) = monitor.findings.list()
        assert finding.source == "fine"
        assert finding.observation.labels == Labels.of("up")
        names = {s.name for s in monitor.meter.samples()}
        assert {"barograph_analytics_run_seconds", "barograph_analytics_runs_total",
                "barograph_analytics_errors_total", "barograph_analytics_observations",
                "barograph_analytics_memory_bytes"} <= names  # fmt: skip
    store = SqliteStore(tmp_path / "other")
    assert not PerformanceMonitor(config, store=store).store_is_configured
