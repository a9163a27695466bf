"""`barograph run` as a process: start, stop, reload, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from serving import command, environment, running_server, spawn, wait_for

BROKEN = """\
raise RuntimeError("no such driver")
"""

GREETER = """\
import click
from barograph import hookimpl

@hookimpl
def barograph_commands():
    return [click.Command("greet", callback=lambda: click.echo("good day"), help="Be polite."),
            click.Command("run", help="Mine is better.")]
"""


def install(site: Path, name: str, code: str) -> dict[str, str]:
    """A plugin package as pip would leave it; the environment in which it is installed."""
    site.mkdir(exist_ok=True)
    (site / f"{name}_plugin.py").write_text(code)
    info = site / f"{name}_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[barograph.plugins]\n{name} = {name}_plugin\n")
    return {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}


# --- a good run -----------------------------------------------------------------------------------


def test_it_starts_tells_where_it_is_and_stops_clean(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        lines = server.output().splitlines()
        assert lines[0].startswith("Barograph ")
        assert lines[1] == f"configuration: {tmp_path / 'barograph.toml'}"
        assert lines[2] == f"data: {tmp_path / 'data'} (no samples yet)"
        assert lines[3].startswith("plugins: ")
        assert lines[-1] == f"Open {server.url}"
        assert json.loads(server.get("/healthz")[1])["status"] == "ok"
        state = server.data_dir / "server.json"
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        begun = time.monotonic()
        assert server.stop() == 0
        # The deadline that the monitor promises, not a measurement of speed.
        assert time.monotonic() - begun < 4
        assert server.output().splitlines()[-1] == "stopped"
        assert not state.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_ends_a_ready_server_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path) as server:
        server.process.send_signal(number)
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.output()


def test_the_token_is_in_no_process_list_and_in_no_answer(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        status = server.get("/api/barograph/v1/status")[1]
        for place in (arguments, environment, status):
            assert server.token.encode() not in place
        # Only the printed address has its own.
        assert server.output().count("token=") == 1


def test_history_is_there_after_kill_9(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.kill()
    with running_server(tmp_path) as server:
        status = json.loads(server.get("/api/barograph/v1/status")[1])
        assert status["store"]["t_min"] < 1000 * (time.time() - status["uptime_seconds"])
        assert f"data: {server.data_dir} (" in server.output()
        assert ", since 20" in server.output()
        assert server.stop() == 0


# --- status beside it -----------------------------------------------------------------------------


def test_status_asks_the_running_server(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        flags = ("--config", str(server.config_path), "--data-dir", str(server.data_dir))
        done = command("status", *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"is running and ready (pid {server.pid}, up " in done.stdout
        assert server.token not in done.stdout
        found = json.loads(command("status", "--json", *flags, cwd=tmp_path).stdout)
        assert found["pid"] == server.pid
        assert {"system", "sqlite"} - {s["plugin"] for s in found["sources"]} == {"sqlite"}
        server.kill()
        done = command("status", *flags, cwd=tmp_path)
        assert done.returncode == 4
        assert f"(the one with pid {server.pid} has ended)" in done.stderr


def test_doctor_beside_a_server_finds_it_well(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        port = server.base_url.rpartition(":")[2]
        config = f"[monitor]\ndata_dir = '{server.data_dir}'\n[server]\nport = {port}\n"
        (tmp_path / "doctor.toml").write_text(config)
        done = command("doctor", "--json", "--store", "--config", "doctor.toml", cwd=tmp_path)
        found = {f["name"]: f for f in json.loads(done.stdout)}
        assert found["server"]["detail"] == f"runs at {server.base_url}/ (pid {server.pid})"
        assert f"(pid {server.pid})" in found["lock"]["detail"]
        assert found["store"]["level"] == "ok", found["store"]
        assert "none damaged" in found["store"]["detail"]
        assert "port" not in found
        assert server.get("/healthz")[0] == 200


# --- reload ---------------------------------------------------------------------------------------


def test_hang_up_takes_a_changed_file_over(tmp_path: Path) -> None:
    with running_server(tmp_path, config="[plugins.process]\ninterval = '5s'\n") as server:
        server.config_path.write_text(
            "[plugins.process]\ninterval = '2s'\n[plugins.template]\nenabled = false\n"
            "[server]\nhost = '127.0.0.2'\n"
        )
        server.reload()
        wait_for(lambda: "configuration reloaded\n" in server.output(), told=server.output)
        assert "process" in server.output()

        def sources() -> dict[str, float]:
            status = json.loads(server.get("/api/barograph/v1/status")[1])
            return {s["plugin"]: s["interval_s"] for s in status["sources"]}

        wait_for(lambda: sources().get("process") == 2.0, told=server.output)
        assert "template" not in sources()
        assert "[server] host changes" in server.output()
        assert server.stop() == 0


def test_a_bad_file_changes_nothing_and_all_its_mistakes_are_told(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.config_path.write_text("[monitor]\nintervall = 1\n[serve]\n")
        server.reload()
        wait_for(lambda: "stays in force" in server.output(), told=server.output)
        lines = server.output().splitlines()
        assert f'{server.config_path}:2:1: unknown key "intervall"' in "\n".join(lines)
        assert f'{server.config_path}:3:1: unknown section "serve"' in "\n".join(lines)
        assert server.get("/healthz")[0] == 200
        # ... and a mended one is taken over.
        server.config_path.write_text("[plugins.template]\nenabled = false\n")
        server.reload()
        wait_for(lambda: "configuration reloaded" in server.output(), told=server.output)
        assert server.stop() == 0


# --- what it refuses ------------------------------------------------------------------------------


def test_a_taken_port_names_its_owner_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = command("run", "--port", str(port), "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 3
    assert f"port {port} is taken by " in done.stderr
    assert "(pid " in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_server_on_the_same_data_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        done = command("run", "--port", "0", "--data-dir", str(server.data_dir), cwd=tmp_path)
        assert done.returncode == 3
        assert f"in use by another Barograph (pid {server.pid})" in done.stderr
        assert server.get("/healthz")[0] == 200
        assert json.loads((server.data_dir / "server.json").read_text())["pid"] == server.pid


@pytest.mark.parametrize("where", ["file/data", "/proc/barograph"])
def test_a_data_directory_that_cannot_be_is_one_clear_line(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    done = command("run", "--port", "0", "--data-dir", where, cwd=tmp_path)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert where in line


def test_an_open_address_without_a_token_is_refused(tmp_path: Path) -> None:
    done = command("run", "--host", "0.0.0.0", "--port", "0", "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 3
    assert "BAROGRAPH_TOKEN" in done.stderr
    assert "--host 127.0.0.1" in done.stderr
    done = command("run", "--host", "0.0.0.0", "--no-auth", "--port", "0", cwd=tmp_path)
    assert done.returncode == 3
    assert "--no-auth works on a loopback address only" in done.stderr
    assert not (tmp_path / "data").exists()


def test_all_mistakes_of_a_configuration_are_told_and_nothing_is_started(tmp_path: Path) -> None:
    (tmp_path / "barograph.toml").write_text("[monitor]\nintervall = 1\n[plugins.gpu]\n")
    done = command("run", "--port", "0", "--data-dir", "data", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        'barograph.toml:2:1: unknown key "intervall" in [monitor]; did you mean "interval"?',
        'barograph.toml:3:1: plugin "gpu" is not installed; install it with: '
        "pip install barograph-gpu",
        "2 mistakes in the configuration",
    ]
    assert not (tmp_path / "data").exists()


def test_a_signal_before_it_is_ready_ends_with_130(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = spawn("run", "--port", "0", "--data-dir", "data", log=log, cwd=tmp_path)
    try:
        wait_for(lambda: "Barograph " in log.read_text())
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    finally:
        process.kill()
        process.wait(10)
    # It may have become ready in the very moment; then its end is a clean one.
    assert code == (0 if "Open " in log.read_text() else 130)
    assert "Traceback" not in log.read_text()


# --- plugins of strangers -------------------------------------------------------------------------


def test_a_plugin_that_fails_on_import_is_told_by_name_and_all_else_runs(tmp_path: Path) -> None:
    env = install(tmp_path / "site", "gpu", BROKEN)
    # Options that nobody can judge now are no reason to refuse.
    config = "[plugins.gpu]\ndevice = 1\n"
    with running_server(tmp_path, env=env, config=config) as server:
        assert "plugin gpu: import failed: RuntimeError: no such driver" in server.output()
        assert "barograph plugins disable gpu" in server.output()
        assert server.get("/healthz")[0] == 200
        assert server.stop() == 0
    done = command("plugins", "list", cwd=tmp_path, env=env)
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("gpu ")]
    assert row.split()[:3] == ["gpu", "broken", "1.0"]
    assert "no such driver" in row
    assert "warning: plugin gpu: " in command("--help", cwd=tmp_path, env=env).stderr
    # What is advised helps.
    assert command("plugins", "disable", "gpu", cwd=tmp_path, env=env).returncode == 0
    assert command("--help", cwd=tmp_path, env=env).stderr == ""
    with running_server(tmp_path, env=env) as server:
        assert "no such driver" not in server.output()
        assert re.search(r"switched off: .*\bgpu\b", server.output())


def test_a_plugins_command_is_listed_and_runs(tmp_path: Path) -> None:
    env = install(tmp_path / "site", "greeter", GREETER)
    done = command("greet", cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, "good day\n")
    done = command("--help", cwd=tmp_path, env=env)
    of_plugins = done.stdout.partition("Commands of plugins:\n")[2]
    assert re.search(r"^  greet +Be polite\.$", of_plugins, re.MULTILINE)
    assert "Mine is better." not in done.stdout
    assert 'plugin greeter brings a command "run", a name that is taken' in done.stderr


# --- beside it ------------------------------------------------------------------------------------


def test_reloading_again_and_again_while_it_is_asked_breaks_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        answers: list[int] = []
        end = threading.Event()

        def ask() -> None:
            while not end.is_set():
                answers.append(server.get("/api/barograph/v1/status")[0])

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for round_ in range(6):
                server.config_path.write_text(f"[plugins.process]\ntop = {round_ + 1}\n")
                server.reload()
                wait_for(
                    lambda n=round_ + 1: server.output().count("configuration reloaded") >= n,
                    told=server.output,
                )
        finally:
            end.set()
            asking.join(20)
        assert set(answers) == {200}
        assert server.get("/healthz")[0] == 200
        assert server.stop() == 0


# --- without a server, on a terminal --------------------------------------------------------------


def test_without_a_server_it_records_until_it_is_told_to_stop(tmp_path: Path) -> None:
    code = (
        "from barograph.cli import main, running\n"
        "running.server_point = lambda: None\n"
        "main(['run', '--data-dir', 'data', '--config', 'b.toml'], prog_name='barograph')\n"
    )
    config, log = tmp_path / "b.toml", tmp_path / "log"
    config.write_text("")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=file, stderr=file, cwd=tmp_path,
            env=environment(tmp_path),
        )  # fmt: skip
    try:
        wait_for(lambda: "Recording; no server is installed" in log.read_text())
        wait_for(lambda: (tmp_path / "data" / "barograph.db").exists())
        config.write_text("[plugins.template]\nenabled = false\n")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: "configuration reloaded" in log.read_text(), told=log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
    assert log.read_text().splitlines()[-1] == "stopped"
    done = command("export", "all.csv", "--json", "--data-dir", "data", cwd=tmp_path)
    assert json.loads(done.stdout)["samples"] > 0


def test_a_closed_terminal_ends_the_server_clean(tmp_path: Path) -> None:
    data = tmp_path / "data"
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child becomes the server
        os.chdir(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
        arguments = ["run", "--port", "0", "--data-dir", str(data)]
        os.execve(sys.executable, [sys.executable, "-m", "barograph", *arguments],
                  environment(tmp_path))  # fmt: skip
    try:
        shown = b""
        while b"Open http" not in shown:
            shown += os.read(terminal, 4096)
        wait_for(lambda: (data / "server.json").exists())
        os.close(terminal)  # the window is closed: the kernel sends SIGHUP
        ended, status = wait_for(lambda: (found := os.waitpid(pid, os.WNOHANG))[0] and found)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    assert (ended, os.waitstatus_to_exitcode(status)) == (pid, 0)
    assert not (data / "server.json").exists()
