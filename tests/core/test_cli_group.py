"""The command line as a whole: help, plugin commands, how errors end."""

from __future__ import annotations

import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import barograph
from barograph.cli import main
from barograph.cli.group import BUILT_IN, plugin_commands
from barograph.config import ConfigErrors, Mistake
from barograph.contracts import ServerError, StoreFull, StoreLocked
from barograph.hookspecs import hookimpl
from barograph.plugins import PluginManager


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return CliRunner()


def test_help_lists_every_command_and_the_exit_codes(run: CliRunner) -> None:
    result = run.invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in BUILT_IN:
        assert f"\n  {name} " in result.stdout
    assert "Exit codes: 0 done; 1 a check failed; 2 a mistake" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_command_has_a_help_of_its_own(run: CliRunner, name: str) -> None:
    result = run.invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"main {name}" in result.stdout


def test_version_is_the_packages(run: CliRunner) -> None:
    result = run.invoke(main, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"barograph, version {barograph.__version__}\n")


def test_an_unknown_command_is_a_mistake_in_the_call(run: CliRunner) -> None:
    result = run.invoke(main, ["rnu"])
    assert result.exit_code == 2
    assert "No such command 'rnu'. Did you mean 'run'?" in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from barograph.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'rich', 'psutil', 'litestar', 'uvicorn', 'cattrs', 'tomlkit', 'yaml',\n"
        "         'sqlite3', 'pcodec', 'asyncio', 'urllib.request', 'promql_parser'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


# --- commands of plugins ----------------------------------------------------------------------


def plugin(*found: object) -> SimpleNamespace:
    @hookimpl
    def barograph_commands() -> list[object]:
        return list(found)

    return SimpleNamespace(barograph_commands=barograph_commands)


def managed(**plugins: object) -> PluginManager:
    manager = PluginManager()
    manager._discovered = True  # of the installed ones, none
    for name, one in plugins.items():
        manager.register(one, name)
    return manager


def test_a_plugins_command_is_added() -> None:
    hello = click.Command("hello", callback=lambda: click.echo("hello"))
    found, told = plugin_commands(managed(greeter=plugin(hello)))
    assert found == {"hello": hello}
    assert told == []


def test_a_taken_name_is_told_and_left_out() -> None:
    first, second = click.Command("hello"), click.Command("hello")
    found, told = plugin_commands(
        managed(a=plugin(first), b=plugin(second), c=plugin(click.Command("run")))
    )
    assert found == {"hello": first}
    assert told == [
        'plugin b brings a command "hello", a name that is taken; it is left out',
        'plugin c brings a command "run", a name that is taken; it is left out',
    ]


def test_a_plugin_that_raises_or_gives_nonsense_is_told_and_the_others_run() -> None:
    @hookimpl
    def barograph_commands() -> list[object]:
        raise RuntimeError("no luck")

    broken = SimpleNamespace(barograph_commands=barograph_commands)
    hello = click.Command("hello")
    manager = managed(bad=broken, odd=plugin("text"), good=plugin(hello))
    found, told = plugin_commands(manager)
    assert found == {"hello": hello}
    assert told == ["plugin odd gives no click command but 'text'; it is left out"]
    (problem,) = manager.problems
    assert problem.where == "plugin bad"
    assert "no luck" in problem.what


# --- how errors end ---------------------------------------------------------------------------


def ending(run: CliRunner, monkeypatch: pytest.MonkeyPatch, error: BaseException, *flags: str):  # type: ignore[no-untyped-def]
    def fail() -> None:
        raise error

    monkeypatch.setattr(type(main), "get_command", lambda *_: click.Command("fail", callback=fail))
    return run.invoke(main, [*flags, "fail"])


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (StoreLocked("in use by pid 7"), 3, "error: in use by pid 7\n"),
        (StoreFull("no space"), 3, "error: no space\n"),
        (ServerError("port 1 is taken"), 3, "error: port 1 is taken\n"),
        (PermissionError(13, "Permission denied", "/x"), 3, "error: /x: Permission denied\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            ConfigErrors([Mistake("f:1:2", "a", "unknown"), Mistake("", "b", "bad")]),
            2,
            "f:1:2: unknown\nbad\n2 mistakes in the configuration\n",
        ),
    ],
)
def test_expected_errors_are_one_message_and_one_exit_code(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    result = ending(run, monkeypatch, error)
    assert (result.exit_code, result.stderr) == (code, text)


def test_a_defect_is_told_without_a_traceback_and_with_one_on_demand(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = ending(run, monkeypatch, ZeroDivisionError("oh"))
    assert result.exit_code == 70
    assert result.stderr.startswith("error: ZeroDivisionError: oh (a defect; `barograph --debug")
    assert "Traceback" not in result.stderr
    result = ending(run, monkeypatch, ZeroDivisionError("oh"), "--debug")
    assert result.exit_code == 70
    assert "Traceback" in result.stderr


def test_colour_is_for_terminals_that_want_it(
    run: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from barograph.cli.console import say

    red = click.style("red", fg="red")
    command = click.Command("show", callback=lambda: say(red))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert run.invoke(command, color=True).stdout == f"{red}\n"
    assert run.invoke(command).stdout == "red\n"
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert run.invoke(command, color=True).stdout == "red\n"


WORDS = st.one_of(
    st.sampled_from(
        ["--config", "--data-dir", "--json", "--format", "--match", "--from", "--to", "--force",
         "--store", "list", "info", "enable", "disable", "system", "csv", "parquet", "openmetrics",
         "b.toml", "b.yaml", "in.csv", "out.csv", "out.parquet", "here", "up{", "1h", ".", "", "-"]
    ),
    # No way out of the test's own folder.
    st.text(max_size=8).filter(lambda text: not {"/", "~"} & set(text) and ".." not in text),
)  # fmt: skip


@given(
    name=st.sampled_from(sorted(set(BUILT_IN) - {"run"})),
    words=st.lists(WORDS, max_size=6),
    config=st.sampled_from(["", "[monitor]\ninterval = 0\n", "[plugins.system]\n", "[[", "a: b"]),
)
def test_no_call_whatsoever_shows_a_traceback(name: str, words: list[str], config: str) -> None:
    runner = CliRunner(env={"XDG_CONFIG_HOME": "config", "XDG_DATA_HOME": "share", "HOME": ".",
                            "BAROGRAPH_MONITOR__DATA_DIR": "share"})  # fmt: skip
    with TemporaryDirectory() as folder, chdir(folder):
        Path("b.toml").write_text(config)
        Path("b.yaml").write_text(config)
        Path("in.csv").write_text("series,kind,unit,t_ms,value\na,gauge,,1,1\n")
        with patch("barograph.cli.machine.CLOCK_SECONDS", 0):
            result = runner.invoke(main, [name, *words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in (0, 1, 2, 3, 4), result.output
