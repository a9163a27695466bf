"""`barograph plugins list|info|enable|disable`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from barograph.cli import main

FILE = """\
# the office's server
[monitor]
interval = "5s"  # enough

[plugins.system]
slow_interval = "1m"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.delenv("BAROGRAPH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return CliRunner()


def state(run: CliRunner, name: str) -> str:
    result = run.invoke(main, ["plugins", "list", "--json"])
    assert result.exit_code == 0
    return next(str(p["state"]) for p in json.loads(result.stdout) if p["name"] == name)


def test_list_shows_each_with_state_and_purpose(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "barograph.toml").write_text("[plugins.process]\nenabled = false\n")
    result = run.invoke(main, ["plugins", "list"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()[1:]}
    assert {"process", "rollup", "runtime", "sqlite", "system"} <= set(rows)
    assert rows["process"].split()[1] == "off"
    assert rows["system"].split()[1] == "on"
    assert "Host metrics" in rows["system"]


def test_disable_and_enable_keep_comments_layout_and_mode(run: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "barograph.toml"
    path.write_text(FILE)
    path.chmod(0o640)
    result = run.invoke(main, ["plugins", "disable", "system"])
    assert (result.exit_code, result.stdout) == (
        0, "system is switched off in barograph.toml\n",
    )  # fmt: skip
    assert state(run, "system") == "off"
    assert path.read_text().startswith(FILE)
    assert run.invoke(main, ["plugins", "enable", "system"]).exit_code == 0
    assert state(run, "system") == "on"
    assert path.read_text() == FILE + "enabled = true\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_without_a_file_the_users_own_is_made(run: CliRunner, tmp_path: Path) -> None:
    result = run.invoke(main, ["plugins", "disable", "system"])
    path = tmp_path / "config" / "barograph" / "barograph.toml"
    assert (result.exit_code, result.stdout) == (0, f"system is switched off in {path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert state(run, "system") == "off"


def test_a_plugin_that_is_not_installed_is_told_with_the_nearest_or_how_to_install(
    run: CliRunner, tmp_path: Path
) -> None:
    for command in ("enable", "disable", "info"):
        result = run.invoke(main, ["plugins", command, "sistem"])
        assert result.exit_code == 4
        assert result.stderr == (
            'error: plugin "sistem" is not installed; did you mean "system"?\n'
        )
    result = run.invoke(main, ["plugins", "enable", "gpu"])
    assert "install it with: pip install barograph-gpu" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "text"), [("b.toml", "[monitor\n"), ("b.yaml", "monitor: {}\n")])
def test_a_file_that_cannot_be_edited_stays_as_it_is(
    run: CliRunner, tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    result = run.invoke(main, ["plugins", "disable", "system", "--config", name])
    assert result.exit_code == 2
    assert name in result.stderr
    assert path.read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_named_file_that_is_not_there_is_not_made(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    flags = ["--config", "etc/typo.toml"] if by == "flag" else []
    if by == "variable":
        monkeypatch.setenv("BAROGRAPH_CONFIG", "etc/typo.toml")
    result = run.invoke(main, ["plugins", "disable", "system", *flags])
    assert result.exit_code == 4
    assert "there is no etc/typo.toml; write it with: barograph init" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_info_shows_options_with_their_values(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "barograph.toml").write_text(FILE)
    result = run.invoke(main, ["plugins", "info", "system", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    options = {o["key"]: o for o in found["options"]}
    assert options["slow_interval"]["value"] == '"1m"'
    assert options["slow_interval"]["default"] == '"10s"'
    assert options["enabled"]["value"] is True
    assert "barograph_metric_sources" in found["hooks"]
    result = run.invoke(main, ["plugins", "info", "system"])
    assert result.exit_code == 0
    assert "package  barograph-system, module barograph_system" in result.stdout
    assert any(
        line.split()[:3] == ["slow_interval", '"1m"', '"10s"']
        for line in result.stdout.splitlines()
    )


def test_info_cuts_long_values_that_json_has_whole(run: CliRunner) -> None:
    shown = run.invoke(main, ["plugins", "info", "anomaly"]).stdout
    assert max(map(len, shown.splitlines())) < 250
    assert "values that end in ... are cut; --json has them whole" in shown
    options = json.loads(run.invoke(main, ["plugins", "info", "anomaly", "--json"]).stdout)
    watch = next(o for o in options["options"] if o["key"] == "watch")
    assert watch["default"].endswith('"http_server_active_requests"]')
    assert "are cut" not in run.invoke(main, ["plugins", "info", "runtime"]).stdout


def test_info_of_a_plugin_without_options_shows_its_switch(run: CliRunner) -> None:
    result = run.invoke(main, ["plugins", "info", "rollup"])
    assert result.exit_code == 0
    assert "brings   aggregators" in result.stdout
    assert "enabled  true" in result.stdout


def test_mistakes_in_the_file_do_not_hide_the_list(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "barograph.toml").write_text("[plugins.gone]\n")
    result = run.invoke(main, ["plugins", "list"])
    assert result.exit_code == 0
    assert 'plugin "gone" is not installed' in result.stderr
    assert "as by default" in result.stderr
    assert "system" in result.stdout


def test_a_running_server_is_named_with_how_to_make_it_follow(
    run: CliRunner, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "server.json").write_text(
        json.dumps({"url": "http://127.0.0.1:1/", "token": "t", "pid": os.getpid()})
    )
    (tmp_path / "barograph.toml").write_text(f"[monitor]\ndata_dir = '{data}'\n")
    result = run.invoke(main, ["plugins", "disable", "template"])
    assert f"`kill -HUP {os.getpid()}` makes it take this over" in result.stdout
