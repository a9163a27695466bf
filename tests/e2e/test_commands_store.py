"""`barograph backup|export|import` beside a running server, through the command line."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

from serving import Server, command, environment, running_server, wait_for


def samples(server: Server) -> int:
    return int(json.loads(server.get("/api/barograph/v1/status")[1])["store"]["samples"])


def test_a_backup_while_the_server_writes_is_a_whole_store(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        before = samples(server)
        done = command("backup", "copy.db", "--data-dir", str(server.data_dir), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("copy.db written (")
        assert samples(server) > 0
        assert server.get("/healthz")[0] == 200
    copy = tmp_path / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sqlite3.connect(copy).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    # Restored as the help says: put in the place of the store's file.
    restored = tmp_path / "restored"
    restored.mkdir(mode=0o700)
    copy.rename(restored / "barograph.db")
    flags = ("--data-dir", str(restored))
    done = command("export", "all.csv", "--json", *flags, cwd=tmp_path)
    assert json.loads(done.stdout)["samples"] >= before
    done = command("doctor", "--store", "--json", *flags, cwd=tmp_path)
    store = [f for f in json.loads(done.stdout) if f["name"] == "store"]
    assert [f["level"] for f in store] == ["ok"], store


def test_an_export_while_the_server_writes_comes_back_by_import(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        first = samples(server)
        wait_for(lambda: samples(server) > first)
        flags = ("--data-dir", str(server.data_dir))
        done = command("export", "all.parquet", "--json", *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        count = json.loads(done.stdout)["samples"]
        assert count > first
        # The server goes on, and what was written after the export is not missed.
        assert server.get("/healthz")[0] == 200
        # A store in use takes no import.
        done = command("import", "all.parquet", *flags, cwd=tmp_path)
        assert done.returncode == 3
        assert f"in use by another Barograph (pid {server.pid})" in done.stderr
    other = ("--data-dir", str(tmp_path / "other"))
    done = command("import", "all.parquet", "--json", *other, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["samples"] == count
    for name in ("one.csv", "two.csv"):
        assert command("export", name, *other, cwd=tmp_path).returncode == 0
    again = ("--data-dir", str(tmp_path / "again"))
    assert command("import", "one.csv", *again, cwd=tmp_path).returncode == 0
    assert command("export", "three.csv", *again, cwd=tmp_path).returncode == 0
    texts = {(tmp_path / f"{name}.csv").read_text() for name in ("one", "two", "three")}
    assert len(texts) == 1
    assert texts.pop().count("\n") == count + 1


def test_a_server_goes_on_from_what_was_imported(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(
        "series,kind,unit,t_ms,value\nlong_ago,gauge,,1700000000000,4.5\n"
    )
    # Raw samples are kept for 30 days by default: these are older.
    config = "[plugins.sqlite]\nraw_retention = '36500d'\n"
    (tmp_path / "barograph.toml").write_text(config)
    done = command("import", "old.csv", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with running_server(tmp_path) as server:
        answer = json.loads(server.get("/api/barograph/v1/series?match=long_ago")[1])
        (series,) = answer["series"]
        path = f"/api/barograph/v1/samples?ref={series['ref']}&start=0&end=1800000000000"
        assert json.loads(server.get(path)[1])["v"] == [4.5]


def test_progress_and_colour_are_for_terminals_only(tmp_path: Path) -> None:
    rows = "".join(f"a,gauge,,{1790000000000 + i},{i}\n" for i in range(1000))
    (tmp_path / "in.csv").write_text("series,kind,unit,t_ms,value\n" + rows)
    flags = ("--data-dir", "data")
    done = command("import", "in.csv", *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = on_terminal("backup", "one.db", *flags, cwd=tmp_path)
    assert "Copying" in shown
    assert "\x1b[" in on_terminal("doctor", *flags, cwd=tmp_path)
    plain = on_terminal("doctor", *flags, cwd=tmp_path, env={"NO_COLOR": "1"})
    assert "\x1b[3" not in plain
    assert "ok       python" in plain
    assert "\x1b" not in command("doctor", *flags, cwd=tmp_path).stdout


def on_terminal(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What a command shows on a terminal, control sequences and all."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "barograph", *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
        cwd=cwd, env=environment(cwd, {"TERM": "xterm-256color", "NO_COLOR": "", **(env or {})}),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # Linux's way to tell that the other side is closed
        pass
    finally:
        process.wait(30)
        os.close(ours)
    return shown.decode("utf-8", "replace")
