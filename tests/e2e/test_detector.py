"""A stranger follows the how-to: a detector, installed with pip, whose alarms become findings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from installing import ROOT, build, fresh, run
from serving import environment, wait_for

PAGE = ROOT / "docs/how-to/write-a-detector.md"

BATTERY = """
import time
from barograph import Sample, hookimpl

class Battery:
    name, interval_s = "battery", 0.5

    def collect(self, now_ms):
        left = 100 - time.monotonic() % 100
        yield Sample("battery_charge_percent", left, {"cell": "a"}, help="Charge")

@hookimpl
def barograph_metric_sources():
    return [Battery()]
"""

PROJECT = """
[project]
name = "stranger-battery"
version = "1"
[project.entry-points."barograph.plugins"]
battery = "battery"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def written(folder: Path, module: str, code: str, project: str) -> Path:
    folder.mkdir()
    (folder / f"{module}.py").write_text(code, "utf-8")
    (folder / "pyproject.toml").write_text(project, "utf-8")
    return folder


def test_a_detector_installed_with_pip_shows_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_SKIP_WEB", "1")  # the page is not what is tried here
    wheels = build(tmp_path / "wheels", *(f"barograph-{name}" for name in (
        "core", "api", "sqlite", "rollup", "anomaly")))  # fmt: skip
    project, config = blocks("toml")
    detector = written(tmp_path / "emptying", "empties_fast", blocks("python")[0], project)
    battery = written(tmp_path / "battery", "battery", BATTERY, PROJECT)
    python = fresh(tmp_path / "venv", *wheels, detector, battery)

    home = tmp_path / "home"
    home.mkdir()
    assert 'interval = "10s"' in config
    (home / "barograph.toml").write_text(config.replace('interval = "10s"', 'interval = "1s"'))
    env = environment(home) | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    env.pop("BAROGRAPH_PLUGINS__ANOMALY__ENABLED", None)  # here it is what is tried
    check = "import empties_fast as e, barograph.testing as t; t.check_detector(e.Emptying())"
    run(str(python), "-c", check, cwd=home, env=env)
    log = home / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [str(python.with_name("barograph")), "run", "--port", "0", "--config",
             "barograph.toml", "--data-dir", str(home / "data")],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=home, env=env,
        )  # fmt: skip
    try:
        address = wait_for(lambda: re.search(r"(http://\S+)/\?token=(\S+)", log.read_text()),
                           told=log.read_text)  # fmt: skip

        def ask(path: str, body: Any = None) -> Any:
            headers = {"Authorization": f"Bearer {address[2]}", "Content-Type": "application/json"}
            data = None if body is None else json.dumps(body).encode()
            asked = urllib.request.Request(f"{address[1]}/api/barograph/v1{path}", data, headers)
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return json.load(answer)

        def told() -> str:
            return json.dumps(ask("/status")["problems"])

        (found,) = wait_for(lambda: ask("/findings?state=open&kind=anomaly")["findings"], told=told)
        assert found["source"] == "emptying"
        assert found["labels"] == {"__name__": "battery_charge_percent", "cell": "a"}
        assert found["evidence"][0]["query"] == 'battery_charge_percent{cell="a"}'
        assert "emptying scores it 0.99" in found["text"]
        changed = ask(f"/findings/{found['id']}", {"state": "dismissed"})
        assert changed["state"] == "dismissed"
        assert ask("/findings?state=open")["findings"] == []
        server.terminate()
        assert server.wait(10) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait(10)
