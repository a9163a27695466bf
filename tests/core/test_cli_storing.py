"""`barograph backup|export|import`: what they refuse, and how times and formats are read.

What they do beside a running server is in tests/e2e/test_commands_store.py.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from barograph.cli import main
from barograph.cli.failures import Misused
from barograph.cli.storing import format_of, moment, portable

CSV = """\
series,kind,unit,t_ms,value
"a_total{x=""1""}",counter,bytes,1790000000000,1.0
"a_total{x=""1""}",counter,bytes,1790000001000,2.5
"b{x=""2""}",gauge,,1790000000000,-0.0
c,gauge,,1790000002000,nan
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.delenv("BAROGRAPH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("BAROGRAPH_MONITOR__DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "in.csv").write_text(CSV)
    return CliRunner()


# --- round trips --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_is_imported_comes_out_again(run: CliRunner, tmp_path: Path, ending: str) -> None:
    result = run.invoke(main, ["import", "in.csv"])
    assert (result.exit_code, result.stdout) == (0, "4 samples read from in.csv (csv)\n")
    result = run.invoke(main, ["export", f"out{ending}", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "path": str(tmp_path / f"out{ending}"), "format": ending[1:], "samples": 4,
    }  # fmt: skip
    # ... and through a second store, so that the other format is read as well.
    again = ["--data-dir", str(tmp_path / "second")]
    assert run.invoke(main, ["import", f"out{ending}", *again]).exit_code == 0
    assert run.invoke(main, ["export", "again.csv", *again]).exit_code == 0
    assert (tmp_path / "again.csv").read_text().replace("\r\n", "\n") == CSV


def test_openmetrics_leaves_out_what_it_cannot_say(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["import", "in.csv"])
    assert run.invoke(main, ["export", "out.prom"]).exit_code == 0
    text = (tmp_path / "out.prom").read_text()
    assert 'a_total{x="1"} 2.5 1790000001.000' in text
    assert "c NaN" not in text
    assert text.endswith("# EOF\n")


def test_importing_a_file_twice_changes_nothing(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["import", "in.csv"])
    run.invoke(main, ["import", "in.csv"])
    run.invoke(main, ["export", "out.csv"])
    assert (tmp_path / "out.csv").read_text().replace("\r\n", "\n") == CSV


# --- what is chosen -------------------------------------------------------------------------------


def exported(run: CliRunner, tmp_path: Path, *flags: str) -> list[str]:
    run.invoke(main, ["import", "in.csv"])
    result = run.invoke(main, ["export", "out.csv", "--force", *flags])
    assert result.exit_code == 0, result.output
    return [line.split(",")[0].strip('"') for line in
            (tmp_path / "out.csv").read_text().splitlines()[1:]]  # fmt: skip


def test_several_selectors_choose_series_that_fit_any(run: CliRunner, tmp_path: Path) -> None:
    found = exported(run, tmp_path, "--match", 'a_total{x="1"}', "--match", "c", "--match", "c")
    assert found == ['a_total{x=""1""}', 'a_total{x=""1""}', "c"]


def test_only_samples_of_the_time_range_are_written(run: CliRunner, tmp_path: Path) -> None:
    start = datetime.fromtimestamp(1790000001, UTC)
    assert exported(run, tmp_path, "--from", start.isoformat()) == ['a_total{x=""1""}', "c"]
    # Without a zone it is UTC.
    naive = start.replace(tzinfo=None).isoformat()
    assert exported(run, tmp_path, "--from", naive, "--to", naive) == ['a_total{x=""1""}']


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--match", "a{"], 2, "bad series selector 'a{'"),
        (["--match", "nothing_like_it"], 4, "no series fits nothing_like_it"),
        (["--from", "yesterday"], 2, "--from: expected 2026-01-31, "),
        (["--from", "2026-02-01", "--to", "2026-01-01"], 2, "--from is later than --to"),
        (["--format", "xml"], 2, "'xml' is not one of 'parquet', 'csv', 'openmetrics'"),
    ],
)
def test_a_choice_that_cannot_be_is_told_and_nothing_is_written(
    run: CliRunner, tmp_path: Path, flags: list[str], code: int, told: str
) -> None:
    run.invoke(main, ["import", "in.csv"])
    result = run.invoke(main, ["export", "out.csv", *flags])
    assert result.exit_code == code
    assert told in result.stderr
    assert not list(tmp_path.glob("out*"))


# --- what is refused ------------------------------------------------------------------------------


def test_without_a_store_there_is_nothing_to_read(run: CliRunner, tmp_path: Path) -> None:
    for command in (["backup", "b.db"], ["export", "out.csv"]):
        result = run.invoke(main, command)
        assert result.exit_code == 4
        assert f"there is no {tmp_path}/data" in result.stderr
    assert not (tmp_path / "data").exists()


def test_files_that_are_there_are_not_overwritten(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["import", "in.csv"])
    (tmp_path / "b.db").write_text("mine")
    for command in (["backup", "b.db"], ["export", "b.db", "--format", "csv"]):
        result = run.invoke(main, command)
        assert result.exit_code == 3
        assert "b.db exists already" in result.stderr
    assert (tmp_path / "b.db").read_text() == "mine"
    result = run.invoke(main, ["export", ".", "--format", "csv", "--force"])
    assert result.exit_code == 3
    assert "it is no file" in result.stderr


def test_a_backup_into_a_directory_is_named_by_its_time(run: CliRunner, tmp_path: Path) -> None:
    run.invoke(main, ["import", "in.csv"])
    (tmp_path / "copies").mkdir()
    result = run.invoke(main, ["backup", "copies", "--json"])
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    (path,) = (tmp_path / "copies").iterdir()
    assert re.fullmatch(r"barograph-\d{8}T\d{6}Z\.db", path.name)
    assert made == {"path": str(path), "bytes": path.stat().st_size}


@pytest.mark.parametrize(
    ("name", "text", "code", "told"),
    [
        ("none.csv", None, 4, "there is no file none.csv"),
        ("bad.csv", "series,kind\n", 3, "bad.csv:1: expected the columns series,kind,unit"),
        ("bad.csv", CSV + '"d",gauge,,then,1\n', 3, "bad.csv:6: "),
        ("bad.parquet", "no", 3, "bad.parquet: "),
        ("bad.prom", "a 1 2\n", 3, "not OpenMetrics text"),
        ("bad.xyz", "", 2, "the ending of bad.xyz does not tell its format; add --format parquet"),
    ],
)
def test_a_bad_file_is_told_with_its_place(
    run: CliRunner, tmp_path: Path, name: str, text: str | None, code: int, told: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    result = run.invoke(main, ["import", name])
    assert result.exit_code == code
    assert told in result.stderr


def test_a_store_without_export_is_told(run: CliRunner) -> None:
    from barograph.cli.failures import Cannot

    class Small:
        name = "small"

    with pytest.raises(Cannot, match='the store "small" has no export and import'):
        portable(Small())  # type: ignore[arg-type]


# --- formats and times ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.CSV", "csv"),
        ("a.parquet", "parquet"),
        ("a.txt", "openmetrics"),
        ("a.prom", "openmetrics"),
    ],
)
def test_the_ending_tells_the_format_unless_it_is_named(name: str, kind: str) -> None:
    assert format_of(Path(name), None) == kind
    assert format_of(Path(name), "csv") == "csv"


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.timezones())
def test_any_iso_time_is_read_to_the_millisecond(naive: datetime, zone: object) -> None:
    when = naive.replace(tzinfo=zone)  # type: ignore[arg-type]
    assert moment(when.isoformat(), "--from") == round(when.timestamp() * 1000)
    utc = naive.replace(tzinfo=UTC)
    assert moment(naive.isoformat(), "--from") == round(utc.timestamp() * 1000)


def test_a_duration_is_that_long_ago() -> None:
    before = time.time() * 1000
    found = moment("1h30m", "--to")
    after = time.time() * 1000
    assert found is not None
    assert before - 1 <= found + 5_400_000 <= after + 1
    assert moment(None, "--to") is None


@given(st.text(max_size=12))
def test_any_other_text_is_a_mistake_that_names_the_flag(text: str) -> None:
    told = ""
    found: int | None = None
    try:
        found = moment(text, "--from")
    except Misused as failed:
        told = failed.message
    assert isinstance(found, int) or told.startswith("--from: expected 2026-01-31, ")
