"""All wheels, installed with pip outside the repository: the commands and the server work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
import zipfile
from pathlib import Path

import pytest
from installing import build, fresh, run
from serving import environment, wait_for

pytestmark = pytest.mark.full


def test_the_wheels_of_all_packages_install_and_run_outside_the_repository(tmp_path: Path) -> None:
    wheels = build(tmp_path / "wheels")
    names = {wheel.name.split("-")[0] for wheel in wheels}
    assert names >= {"barograph", "barograph_core", "barograph_api", "barograph_system",
                     "barograph_process", "barograph_runtime", "barograph_rollup",
                     "barograph_sqlite", "barograph_template"}  # fmt: skip
    for wheel in wheels:
        files = zipfile.ZipFile(wheel).namelist()
        assert not [name for name in files if name.startswith("tests/") or "__pycache__" in name]
        if wheel.name.split("-")[0] != "barograph":
            assert [name for name in files if name.endswith("py.typed")], wheel.name
        if wheel.name.startswith("barograph_api-"):
            assert [name for name in files if name.endswith("static/index.html")]

    python = fresh(tmp_path / "venv", *wheels)
    home = tmp_path / "home"
    home.mkdir()
    barograph = str(python.with_name("barograph"))
    env = environment(home) | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    assert re.search(r"\d+\.\d+\.\d+", run(barograph, "--version", cwd=home, env=env))
    assert "system" in run(barograph, "plugins", "list", cwd=home, env=env)

    log = home / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [barograph, "run", "--port", "0", "--data-dir", str(home / "data")],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=home, env=env,
        )  # fmt: skip
    try:
        found = wait_for(lambda: re.search(r"http://\S+", log.read_text()), told=log.read_text)
        base = found[0].split("/?")[0].rstrip("/")

        def healthy() -> bool:
            with urllib.request.urlopen(f"{base}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)

        wait_for(healthy, told=log.read_text)
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait(10)
