"""Ingest tokens: made, listed and revoked by command; kept as hashes."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from barograph.cli import main
from barograph.ingest_tokens import (
    FILE,
    MAX_LABELS,
    PREFIX,
    TokenError,
    create_token,
    digest_of,
    read_tokens,
    revoke_token,
)
from barograph.senders import Senders


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.delenv("BAROGRAPH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BAROGRAPH_MONITOR__DATA_DIR", str(tmp_path / "data"))
    return CliRunner()


def test_a_token_is_printed_once_and_kept_as_a_hash(run: CliRunner, tmp_path: Path) -> None:
    made = run.invoke(main, ["token", "create", "web1", "--max-series", "5"])
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert token.startswith(PREFIX)
    assert len(token) == len(PREFIX) + 32
    assert "shown this once" in made.stderr
    file = tmp_path / "data" / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert token.removeprefix(PREFIX) not in file.read_text()
    (kept,) = read_tokens(tmp_path / "data")
    assert (kept.name, kept.digest, kept.max_series) == ("web1", digest_of(token), 5)
    listed = run.invoke(main, ["token", "list"])
    assert "web1   5" in listed.stdout
    assert token not in listed.output


def test_the_list_for_scripts_holds_no_hash(run: CliRunner) -> None:
    run.invoke(main, ["token", "create", "web1"])
    (entry,) = json.loads(run.invoke(main, ["token", "list", "--json"]).stdout)
    assert (entry["name"], entry["max_labels"]) == ("web1", MAX_LABELS)
    assert "digest" not in entry


def test_a_revoked_token_is_gone(run: CliRunner, tmp_path: Path) -> None:
    for name in ("web1", "web2"):
        run.invoke(main, ["token", "create", name])
    assert run.invoke(main, ["token", "revoke", "web1"]).exit_code == 0
    assert [t.name for t in read_tokens(tmp_path / "data")] == ["web2"]
    again = run.invoke(main, ["token", "revoke", "web1"])
    assert (again.exit_code, "barograph token list" in again.stderr) == (4, True)


def test_without_tokens_the_list_says_how_to_make_one(run: CliRunner) -> None:
    assert "barograph token create NAME" in run.invoke(main, ["token", "list"]).stdout
    assert run.invoke(main, ["token", "revoke", "web1"]).exit_code == 4


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["create", "a b"], 2, "is no name for a token"),
        (["create", "../x"], 2, "is no name for a token"),
        (["create", "x" * 65], 2, "is no name for a token"),
        (["create", "taken"], 3, "barograph token revoke taken"),
        (["create", "fine", "--max-series", "0"], 2, "--max-series"),
    ],
)
def test_what_cannot_be_made_says_why(
    run: CliRunner, arguments: list[str], code: int, told: str
) -> None:
    run.invoke(main, ["token", "create", "taken"])
    result = run.invoke(main, ["token", *arguments])
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"tokens": [{}]}',
     '{"tokens": [{"name": "a", "digest": 5, "created_ms": 1}]}',
     '{"tokens": [{"name": "a", "digest": "d", "created_ms": "x"}]}', '{"tokens": 5}', "\x00"],
)  # fmt: skip
def test_a_damaged_file_is_told_and_opens_nothing(
    run: CliRunner, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    token = run.invoke(main, ["token", "create", "web1"]).stdout.strip()
    senders = Senders(tmp_path / "data")
    assert senders.find(token) is not None
    (tmp_path / "data" / FILE).write_text(text)
    for arguments in (["list"], ["create", "web2"], ["revoke", "web1"]):
        result = run.invoke(main, ["token", *arguments])
        assert (result.exit_code, "is damaged" in result.stderr) == (3, True), result.stderr
    assert senders.find(token) is None
    assert senders.find(token) is None
    assert capsys.readouterr().err.count("no ingest token works") == 1


def _make(folder: Path, name: str) -> None:
    for i in range(10):
        create_token(folder, 0, f"{name}{i}")


def test_commands_at_one_time_lose_no_token(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_make, args=(tmp_path, name)) for name in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(read_tokens(tmp_path)) == 30


def test_a_running_server_takes_over_what_changes(tmp_path: Path) -> None:
    senders = Senders(tmp_path)
    assert senders.find(PREFIX + "nobody") is None
    first = create_token(tmp_path, 1, "first")
    sender = senders.find(first)
    assert sender is not None
    second = create_token(tmp_path, 2, "second")
    assert senders.find(first) is sender  # what it has counted goes on
    assert senders.find(second) is not None
    revoke_token(tmp_path, "first")
    assert senders.find(first) is None
    assert senders.find(second) is not None
    assert senders.find(first.removeprefix(PREFIX)) is None


def test_a_folder_without_rights_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(TokenError, match="cannot read"):
        read_tokens(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_the_file_to_the_folders_user_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, prey = tmp_path / "data", tmp_path / "prey"
    folder.mkdir()
    prey.write_text("root's own")
    os.chown(folder, 65534, 65534)
    replace = Path.replace

    def taken(self: Path, target: Path) -> Path:
        """The folder's user is quick, and puts a link where the file has just come."""
        assert self.stat().st_uid == 65534
        assert self.stat().st_mode & 0o777 == 0o600
        replace(self, target)
        target.unlink()
        target.symlink_to(prey)
        return target

    monkeypatch.setattr(Path, "replace", taken)
    create_token(folder, 0, "web1")
    assert prey.stat().st_uid == 0
