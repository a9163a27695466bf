"""`barograph doctor`: what it finds on sound and on unsound machines."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from barograph.cli import machine, main
from barograph.cli.findings import Finding


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("BAROGRAPH_CONFIG", "BAROGRAPH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BAROGRAPH_MONITOR__DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BAROGRAPH_SERVER__PORT", "0")
    monkeypatch.setattr(machine, "CLOCK_SECONDS", 0.001)
    return CliRunner()


def findings(result: Result, name: str) -> list[dict[str, str]]:
    return [f for f in json.loads(result.stdout) if f["name"] == name]


# --- the command ----------------------------------------------------------------------------------


def test_every_line_has_a_level_and_what_is_not_well_a_remedy(run: CliRunner) -> None:
    result = run.invoke(main, ["doctor", "--json"])
    found = json.loads(result.stdout)
    names = {f["name"] for f in found}
    assert names >= {
        "python", "packages", "configuration", "plugins", "data directory", "disk space", "lock",
        "port", "clock", "open files", "/proc", "pressure", "web page", "pyarrow", "store",
    }  # fmt: skip
    assert {f["level"] for f in found} <= {"ok", "warning", "error"}
    assert all(f["remedy"] for f in found if f["level"] != "ok")
    assert result.exit_code == any(f["level"] == "error" for f in found)


def test_the_lines_say_the_same_and_count(run: CliRunner) -> None:
    found = json.loads(run.invoke(main, ["doctor", "--json"]).stdout)
    result = run.invoke(main, ["doctor"])
    lines = result.stdout.splitlines()
    assert lines[0].startswith("ok       python         3.")
    assert sum(not line.startswith(" ") for line in lines[:-1]) == len(found)
    errors = sum(f["level"] == "error" for f in found)
    assert lines[-1].startswith(f"{errors} error{'' if errors == 1 else 's'}, ")


def test_nothing_is_made_by_looking(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["doctor", "--store"])
    assert list(tmp_path.iterdir()) == []


def test_ingest_tokens_are_named_and_a_damaged_file_is_an_error(
    run: CliRunner, tmp_path: Path
) -> None:
    run.invoke(main, ["token", "create", "web1"])
    (good,) = findings(run.invoke(main, ["doctor", "--json"]), "ingest tokens")
    assert (good["level"], good["detail"]) == ("ok", "1: web1")
    (tmp_path / "data" / "ingest-tokens.json").write_text("[]")
    (bad,) = findings(run.invoke(main, ["doctor", "--json"]), "ingest tokens")
    assert (bad["level"], "is damaged" in bad["detail"]) == ("error", True)
    assert "barograph token create" in bad["remedy"]


def test_mistakes_in_the_configuration_are_errors_and_the_rest_is_tested(
    run: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "b.toml").write_text("[monitor]\nintervall = 1\n")
    result = run.invoke(main, ["doctor", "--config", "b.toml", "--json"])
    assert result.exit_code == 1
    (mistake, rest) = findings(result, "configuration")
    assert mistake["level"] == "error"
    assert mistake["detail"].startswith('b.toml:2:1: unknown key "intervall"')
    assert rest["level"] == "warning"
    assert findings(result, "store")


def test_a_name_that_no_plugin_brings_is_an_error(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[rollup]\naggregator = 'other'\n")
    result = run.invoke(main, ["doctor", "--config", "b.toml", "--json"])
    (mistake,) = findings(result, "configuration")
    assert mistake["level"] == "error"
    assert 'no aggregator is named "other"' in mistake["detail"]


def test_a_taken_port_is_told_with_its_owner(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("BAROGRAPH_SERVER__PORT", str(port))
        result = run.invoke(main, ["doctor", "--json"])
    (found,) = findings(result, "port")
    assert result.exit_code == 1
    assert found["level"] == "error"
    assert f"port {port} is taken by " in found["detail"]
    assert f"(pid {os.getpid()})" in found["detail"]


def test_an_open_address_without_a_token_is_an_error(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_SERVER__HOST", "0.0.0.0")
    result = run.invoke(main, ["doctor", "--json"])
    (found,) = findings(result, "port")
    assert found["level"] == "error"
    assert "BAROGRAPH_TOKEN" in found["detail"]


def test_a_store_is_counted_and_on_demand_read_whole(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "series,kind,unit,t_ms,value\na,gauge,,1790000000000,1.0\na,gauge,,1790000001000,2.0\n"
    )
    assert run.invoke(main, ["import", "in.csv"]).exit_code == 0
    (found,) = findings(run.invoke(main, ["doctor", "--json"]), "store")
    assert found["level"] == "ok"
    assert found["detail"].startswith("2 samples of 1 series until 2026-09-21")
    (found,) = findings(run.invoke(main, ["doctor", "--store", "--json"]), "store")
    assert found["level"] == "ok"
    assert found["detail"].endswith("; all read, none damaged")


def test_a_store_that_cannot_be_opened_is_an_error_with_advice(
    run: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "barograph.db").write_bytes(b"this is no database" * 1000)
    result = run.invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    (found,) = findings(result, "store")
    assert found["level"] == "error"
    assert found["remedy"]


def test_samples_from_the_future_are_a_sign_of_a_wrong_clock(
    run: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("series,kind,unit,t_ms,value\na,gauge,,4000000000000,1.0\n")
    assert run.invoke(main, ["import", "in.csv"]).exit_code == 0
    (found,) = findings(run.invoke(main, ["doctor", "--json"]), "store")
    assert found["level"] == "warning"
    assert "in the future" in found["detail"]


def test_a_damaged_store_is_an_error(run: CliRunner, tmp_path: Path) -> None:
    data = tmp_path / "data"
    rows = "".join(f"a,gauge,,{1790000000000 + i * 1000},{i}\n" for i in range(2000))
    (tmp_path / "in.csv").write_text("series,kind,unit,t_ms,value\n" + rows)
    assert run.invoke(main, ["import", "in.csv"]).exit_code == 0
    path = data / "barograph.db"
    body = bytearray(path.read_bytes())
    for page in range(1, len(body) // 4096):
        body[page * 4096 : page * 4096 + 2000] = b"\xff" * 2000
    path.write_bytes(body)
    result = run.invoke(main, ["doctor", "--store", "--json"])
    assert result.exit_code == 1
    found = findings(result, "store")
    assert found
    assert all(f["level"] == "error" for f in found)


# --- the data directory ---------------------------------------------------------------------------


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in found}


def test_a_data_directory_for_all_eyes_is_told_with_how_to_close_it(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = list(machine.data_directory(tmp_path))
    assert found[0].level == "warning"
    assert found[0].remedy == f"chmod 700 {tmp_path}"
    tmp_path.chmod(0o700)
    assert next(machine.data_directory(tmp_path)).level == "ok"


@pytest.mark.parametrize("where", ["a file", "below a file", "/proc/barograph"])
def test_a_place_where_no_store_can_be_is_an_error(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("")
    path = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "data"}.get(
        where, Path(where)
    )
    (finding,) = machine.data_directory(path)
    assert finding.level == "error"
    assert finding.remedy


@pytest.mark.parametrize(("free", "level"), [(2**40, "ok"), (2**29, "warning"), (2**20, "error")])
def test_little_space_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: str
) -> None:
    real = os.statvfs(tmp_path)
    fields = list(real)
    fields[1], fields[4], fields[7] = 1, free, 10_000  # f_frsize, f_bavail, f_favail
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    assert levels(list(machine.data_directory(tmp_path)))["disk space"] == level


def test_the_deepest_and_newest_mount_holds_a_path(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    deep = tmp_path / "mit Länge"
    deep.mkdir()
    shown = str(deep).replace(" ", "\\040")
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\nserver:/x {shown} nfs rw 0 0\nserver:/y {shown} nfs4 rw 0 0\nodd\n"
    )
    assert machine.file_system(tmp_path, mounts) == "ext4"
    assert machine.file_system(deep / "data", mounts) == "nfs4"
    assert machine.file_system(deep, tmp_path / "none") == ""


@given(st.text())
def test_whatever_the_kernel_writes_no_line_breaks_the_reader(text: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "a.lock").write_text(text, "utf-8")
        (path / "odd").write_text(text, "utf-8")
        assert isinstance(machine.file_system(path, path / "odd"), str)
        assert machine.lock_owners(path, path / "odd") == []


def test_a_network_file_system_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _: "nfs4")
    assert levels(list(machine.data_directory(tmp_path)))["file system"] == "error"


# --- lock, clock, limits, kernel ------------------------------------------------------------------


def test_the_holder_of_a_lock_is_found(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    (tmp_path / "free.lock").write_text("")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert machine.lock_owners(tmp_path) == [(path, os.getpid())]
        (finding,) = machine.lock(tmp_path)
        assert f"store.lock is held by {machine.process_text(os.getpid())}" == finding.detail
    assert machine.lock_owners(tmp_path) == []
    (finding,) = machine.lock(tmp_path)
    assert (finding.level, finding.detail) == ("ok", "nobody writes to the store")


def test_locks_are_told_apart_by_device_or_by_the_pid_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.lock"
    path.write_text("42")
    inode = path.stat().st_ino
    locks = tmp_path / "locks"
    locks.write_text(
        f"1: FLOCK  ADVISORY  WRITE 7 ff:ff:{inode} 0 EOF\n"  # another file system's inode
        f"2: FLOCK  ADVISORY  WRITE 42 ff:fe:{inode} 0 EOF\n"
        f"2: -> FLOCK  ADVISORY  WRITE 42 ff:fe:{inode} 0 EOF\n"
        "odd\n"
    )
    assert machine.lock_owners(tmp_path, locks) == [(path, 42)]
    assert machine.lock_owners(tmp_path, tmp_path / "none") == []


def test_a_process_that_cannot_be_seen_is_named_as_far_as_known(tmp_path: Path) -> None:
    assert machine.process_text(7, tmp_path) == "pid 7"
    assert machine.process_text(0, tmp_path) == "a process of another container"


@pytest.mark.parametrize(
    ("walls", "synchronised", "level"),
    [
        ((1.8e9, 1.8e9 + 10), True, "ok"),
        ((1.8e9, 1.8e9 + 10), None, "ok"),
        ((1.8e9, 1.8e9 + 10), False, "warning"),
        ((1.8e9, 1.8e9 - 3600), True, "warning"),
        ((1.8e9, 1.8e9 + 10.2), True, "warning"),
        ((1000.0, 1010.0), True, "error"),
    ],
)
def test_the_clock_is_measured_against_the_monotonic_one(
    monkeypatch: pytest.MonkeyPatch,
    walls: tuple[float, float], synchronised: bool | None, level: str,
) -> None:  # fmt: skip
    wall, steady = iter(walls), iter((50.0, 60.0))
    monkeypatch.setattr(machine.time, "time", lambda: next(wall))
    monkeypatch.setattr(machine.time, "monotonic", lambda: next(steady))
    monkeypatch.setattr(machine.time, "sleep", lambda _: None)
    monkeypatch.setattr(machine, "synchronised", lambda: synchronised)
    (finding,) = machine.clock()
    assert finding.level == level


def test_the_kernels_word_on_its_clock_is_yes_no_or_nothing() -> None:
    assert machine.synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("limit", "level"),
    [(64, "error"), (256, "warning"), (1024, "ok"), (resource.RLIM_INFINITY, "ok")],
)
def test_few_descriptors_are_told(monkeypatch: pytest.MonkeyPatch, limit: int, level: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    (finding,) = machine.descriptors()
    assert finding.level == level


def test_what_the_kernel_hides_is_told(tmp_path: Path) -> None:
    assert levels(list(machine.kernel(tmp_path))) == {"/proc": "warning", "pressure": "warning"}
    (tmp_path / "stat").write_text("cpu")
    (finding, _) = machine.kernel(tmp_path)
    assert "hidepid" in finding.detail
    for name in ("1/stat", "pressure/cpu"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert levels(list(machine.kernel(tmp_path))) == {"/proc": "ok", "pressure": "ok"}
