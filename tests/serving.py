"""Starting the real `barograph run` for tests, and stopping it whatever happens."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

DEADLINE_S = 30.0
_ADDRESS = re.compile(r"^Open (http://\S+)\n", re.MULTILINE)


@attrs.define
class Server:
    """A running server.

    ``url``: as printed, with its token; ``base_url``: without it and without a slash at the end.
    ``token``: what scripts of this machine send ("" with --no-auth); from server.json.
    """

    url: str
    base_url: str
    token: str
    pid: int
    data_dir: Path
    config_path: Path
    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """All that it has printed so far (both streams)."""
        return self.log.read_text("utf-8", "replace")

    @property
    def headers(self) -> dict[str, str]:
        """What a script sends to be let in."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET with the token."""
        request = urllib.request.Request(self.base_url + path, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def reload(self) -> None:
        """SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self, timeout: float = 10.0) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        """kill -9: nothing is flushed by the program."""
        self.process.kill()
        self.process.wait(10)


@contextmanager
def running_server(
    tmp_path: Path, *flags: str, config: str = "", env: Mapping[str, str] | None = None,
    ready: bool = True,
) -> Iterator[Server]:  # fmt: skip
    """`barograph run` on a free port with its data in ``tmp_path/data``.

    ``config``: text of its configuration file. With ``ready`` it is waited for until /healthz
    answers 200, so that samples flow. A second call with the same ``tmp_path`` finds the data of
    the first.
    """
    data_dir = tmp_path / "data"
    config_path = tmp_path / "barograph.toml"
    if config or not config_path.exists():
        config_path.write_text(config, "utf-8")
    arguments = ["run", "--config", str(config_path)]
    if "--port" not in flags:
        arguments += ["--port", "0"]
    if "--data-dir" in flags:
        data_dir = Path(flags[flags.index("--data-dir") + 1])
    else:
        arguments += ["--data-dir", str(data_dir)]
    log = next(
        path for n in itertools.count(1) if not (path := tmp_path / f"server-{n}.log").exists()
    )
    process = spawn(*arguments, *flags, log=log, cwd=tmp_path, env=env)
    try:
        found = wait_for(
            lambda: _ADDRESS.search(log.read_text("utf-8", "replace")) or process.poll() is not None
        )
        if not isinstance(found, re.Match):
            raise AssertionError(f"the server ended with {process.poll()}:\n{log.read_text()}")
        url = found[1]
        base = url.partition("?")[0]
        token = str(json.loads((data_dir / "server.json").read_text("utf-8"))["token"])
        server = Server(
            url, base.rstrip("/"), token, process.pid, data_dir, config_path, process, log
        )
        if ready:
            wait_for(lambda: server.get("/healthz")[0] == 200, told=server.output)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


def spawn(
    *arguments: str, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """`barograph ARGUMENTS` as a process of its own, both streams into the file ``log``."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "barograph", *arguments],
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=cwd,
            env=environment(cwd, env),
        )  # fmt: skip


def command(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run `barograph ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "barograph", *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd,
        env=environment(cwd, env), timeout=timeout, check=False,
    )  # fmt: skip


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without any configuration of Barograph's, at home in ``home``.

    Detectors are off where they are installed: in a home without a cache each server would
    compile their kernels anew.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BAROGRAPH_")}
    if find_spec("barograph_anomaly") is not None:
        kept["BAROGRAPH_PLUGINS__ANOMALY__ENABLED"] = "false"
    kept |= {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    return kept | dict(more or {})


def wait_for(
    condition: Callable[[], Any], seconds: float = DEADLINE_S, told: Callable[[], str] | None = None
) -> Any:
    """What ``condition`` gives as soon as it is true; refused connections count as not yet."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = condition()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(
                f"not within {seconds:g} s" + (f"; output:\n{told()}" if told else "")
            )
        time.sleep(0.02)
