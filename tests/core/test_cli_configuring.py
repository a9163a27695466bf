"""`barograph init`, `barograph check-config`, and which configuration is used."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from barograph.cli import main
from barograph.cli.lookup import find_config
from barograph.config.load import load_config
from barograph.plugins import PluginManager

OPTION = re.compile(r"^# ([a-z_]+ = .*)$", re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("BAROGRAPH_CONFIG", "BAROGRAPH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return CliRunner()


# --- init -------------------------------------------------------------------------------------


def test_init_writes_a_file_that_check_config_finds_good(run: CliRunner, tmp_path: Path) -> None:
    result = run.invoke(main, ["init"])
    path = tmp_path / "barograph.toml"
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    result = run.invoke(main, ["check-config"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("barograph.toml is good\n")


def test_every_option_that_init_writes_is_good_uncommented(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["init"])
    path = tmp_path / "barograph.toml"
    text, count = OPTION.subn(r"\1", path.read_text())
    assert count > 25
    path.write_text(text)
    result = run.invoke(main, ["check-config"])
    assert (result.exit_code, result.stderr) == (0, "")
    manager = PluginManager()
    classes = manager.config_classes()
    # ... and says what holds anyway: the defaults.
    assert load_config(path, {}, {}, classes).monitor == load_config().monitor
    assert load_config(path, {}, {}, classes).plugins == load_config(None, {}, {}, classes).plugins


def test_init_has_a_section_for_every_installed_plugin(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["init"])
    text = (tmp_path / "barograph.toml").read_text()
    for info in PluginManager().discover():
        assert f"\n[plugins.{info.name}]\n# Whether the plugin runs.\n# enabled = true\n" in text


def test_init_overwrites_only_when_told_to(run: CliRunner, tmp_path: Path) -> None:
    path = tmp_path / "barograph.toml"
    path.write_text("mine")
    path.chmod(0o644)
    result = run.invoke(main, ["init"])
    assert result.exit_code == 3
    assert "barograph.toml exists already; --force overwrites it" in result.stderr
    assert path.read_text() == "mine"
    assert run.invoke(main, ["init", "--force"]).exit_code == 0
    assert "[monitor]" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_init_takes_a_directory_or_a_file(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    assert run.invoke(main, ["init", "etc"]).exit_code == 0
    assert run.invoke(main, ["init", "other.toml"]).exit_code == 0
    assert (tmp_path / "etc" / "barograph.toml").read_text() == (
        tmp_path / "other.toml"
    ).read_text()
    result = run.invoke(main, ["init", "nowhere/b.toml"])
    assert result.exit_code == 3
    assert "nowhere/b.toml: No such file or directory" in result.stderr


# --- check-config -----------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_a_line_each_and_counted(
    run: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "b.toml").write_text(
        "# mine\n[monitor]\nintervall = '1s'\n[server]\n  port = 'http'\n[servre]\n"
    )
    result = run.invoke(main, ["check-config", "b.toml"])
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0] == (
        'b.toml:3:1: unknown key "intervall" in [monitor]; did you mean "interval"?'
    )
    assert lines[1].startswith('b.toml:5:3: "port" in [server]: expected an integer')
    assert lines[2].startswith('b.toml:6:1: unknown section "servre"; did you mean "server"?')
    assert lines[3] == "3 mistakes in the configuration"


def test_mistakes_for_scripts_are_a_list(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("[server]\nport = -1\n")
    result = run.invoke(main, ["check-config", "b.toml", "--json"])
    assert result.exit_code == 2
    (mistake,) = json.loads(result.stdout)
    assert (mistake["where"], mistake["key"]) == ("b.toml:2:1", "server.port")
    (tmp_path / "b.toml").write_text("")
    result = run.invoke(main, ["check-config", "b.toml", "--json"])
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_mistakes_in_the_environment_name_the_variable(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_SERVER__PROT", "1")
    result = run.invoke(main, ["check-config"])
    assert result.exit_code == 2
    assert 'BAROGRAPH_SERVER__PROT: unknown key "prot" in [server]' in result.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[storage]\nstore = 'sqlit'", 'no store is named "sqlit"; installed: '),
        ("[rollup]\naggregator = 'rolup'", 'no aggregator is named "rolup"; did you mean "rollup"'),
        ("[monitor]\nplugin_order = ['sistem']", 'names "sistem", which is not installed'),
        ("[plugins.rollup]\nenabled = false", 'no aggregator is named "rollup"; none is installed'),
        ("[plugins.gpu]\n", 'plugin "gpu" is not installed; install it with: pip install '
                            "barograph-gpu"),
    ],
)  # fmt: skip
def test_names_that_no_plugin_brings_are_mistakes(
    run: CliRunner, tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "b.toml").write_text(text)
    result = run.invoke(main, ["check-config", "b.toml"])
    assert result.exit_code == 2
    assert told in result.stderr


def test_a_good_configuration_is_summed_up(run: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(
        "[monitor]\ndata_dir = '/srv/b'\ninterval = '2s'\n[server]\nport = 99\n"
        "[plugins.system]\nenabled = false\n"
    )
    result = run.invoke(main, ["check-config", "b.toml"])
    assert result.exit_code == 0
    assert "data       /srv/b (store sqlite)" in result.stdout
    assert "interval   2s; rollups 5s, 1m, 5m, 1h" in result.stdout
    assert "server     127.0.0.1 port 99, with a token" in result.stdout
    assert "off        system" in result.stdout


def test_without_any_file_the_defaults_are_judged(run: CliRunner) -> None:
    result = run.invoke(main, ["check-config"])
    assert result.exit_code == 0
    assert result.stdout.startswith("no configuration file: the defaults hold")


def test_a_named_file_that_is_missing_is_a_mistake(run: CliRunner) -> None:
    result = run.invoke(main, ["check-config", "none.toml"])
    assert result.exit_code == 2
    assert "none.toml: cannot read the configuration: No such file" in result.stderr


# --- lookup -----------------------------------------------------------------------------------


def test_the_first_place_that_has_a_file_wins(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "config" / "barograph" / "barograph.toml"
    user.parent.mkdir(parents=True)
    user.write_text("")
    assert find_config(None) == user
    (tmp_path / "barograph.toml").write_text("")
    assert find_config(None) == Path("barograph.toml")
    monkeypatch.setenv("BAROGRAPH_CONFIG", "/elsewhere.toml")
    assert find_config(None) == Path("/elsewhere.toml")
    assert find_config(Path("named.toml")) == Path("named.toml")


def test_the_variable_with_the_files_name_is_no_option(
    run: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("")
    monkeypatch.setenv("BAROGRAPH_CONFIG", "mine.toml")
    result = run.invoke(main, ["check-config"])
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "mine.toml is good")
