"""``barograph analyze`` over a store with known truth: what it tells, and mistakes told."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hosting import install
from made import CPU, DAY, DISK, END, HOUR, MEMORY, VAR, a_day, fill, noise, times

from barograph import Labels
from barograph.cli import main
from barograph.testing import check_command
from barograph_analytics.command import analyze
from barograph_sqlite.store import SqliteStore

AT = ("--end", "2027-01-15T08:00:00Z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("analyze")
    fill(path, *a_day())
    return path


def ask(folder: Path, *arguments: str, at: tuple[str, ...] = AT) -> Result:
    return CliRunner().invoke(main, ["analyze", "--data-dir", str(folder), *arguments, *at])


def test_it_keeps_the_contract_of_a_command() -> None:
    check_command(analyze)


def test_it_tells_the_drift_and_the_steps_in_words_with_numbers(folder: Path) -> None:
    result = ask(folder, "--last", "24h")
    assert result.exit_code == 0, result.output
    head = result.output.splitlines()[0]
    assert head.split() == ["severity", "kind", "sure", "since", "what"]
    assert re.search(r"trend .* system_filesystem_usage_bytes \(/var\) rises by", result.output)
    assert "went up from 2 GB to 3 GB at Fri 15 Jan 02:0" in result.output
    assert "MB/s" in result.output


def test_its_evidence_can_be_run(folder: Path) -> None:
    output = ask(folder, "--only", "change_point").output
    commands = [shlex.split(line) for line in output.splitlines()
                if line.strip().startswith("barograph query")]  # fmt: skip
    assert len(commands) >= 2
    for command in commands:
        result = CliRunner().invoke(main, command[1:])
        assert result.exit_code == 0, result.output
        assert len(result.output.splitlines()) > 5


def test_json_has_every_number_and_how_each_analyser_did(folder: Path) -> None:
    found = json.loads(ask(folder, "--json").output)
    labels = {(o["kind"], o["labels"]["__name__"]) for o in found["observations"]}
    assert {("trend", VAR.name), ("change_point", MEMORY.name),
            ("change_point", DISK.name)} <= labels  # fmt: skip
    assert {run["analyser"] for run in found["runs"]} == {
        "trends", "change_points", "recurrences", "correlations", "moved",
    }  # fmt: skip
    assert all(run["error"] == "" for run in found["runs"])
    assert found["end_ms"] - found["start_ms"] == DAY
    assert set(found["observations"][0]) == {
        "source", "kind", "fingerprint", "title", "text", "severity", "confidence", "start_ms",
        "end_ms", "labels", "evidence", "details",
    }  # fmt: skip


def test_a_query_narrows_it(folder: Path) -> None:
    result = ask(folder, "system_memory_usage_bytes / 1e9")
    assert result.exit_code == 0, result.output
    assert "filesystem" not in result.output
    assert "from 2 to 3 at" in result.output


def test_quiet_data_are_said_to_be_quiet(folder: Path) -> None:
    result = ask(folder, "system_cpu_utilization_ratio")
    assert result.exit_code == 0
    assert result.output == (
        "nothing that stands out between 2027-01-14T08:00:00Z and 2027-01-15T08:00:00Z\n"
    )


def test_a_selector_that_fits_no_series_is_named(folder: Path) -> None:
    never = "system_cpu_utilization_ratio > 5"
    result = ask(folder, "system_cpu_utilisation_ratio", "system_cpu_utilization_ratio", never)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "warning: system_cpu_utilisation_ratio: there is no such series in that time"
    ]


def test_samples_that_begin_within_the_time_are_said_to(tmp_path: Path) -> None:
    t = times(2 * HOUR, 15_000)
    fill(tmp_path, t, {CPU: noise(len(t), 1, 0.3, 0.01)})
    result = ask(tmp_path)
    assert (result.exit_code, result.output) == (
        0,
        "nothing that stands out between 2027-01-14T08:00:00Z and 2027-01-15T08:00:00Z; "
        "the first sample is of 2027-01-15T06:00:00Z\n",
    )


def test_it_changes_nothing_and_runs_beside_a_writer(folder: Path) -> None:
    store = SqliteStore(folder)
    store.open()
    before = store.stats()
    try:
        assert ask(folder, "--only", "change_point").exit_code == 0
        assert store.stats() == before
        assert list(store.records("finding")) == []
    finally:
        store.close()


def test_what_moved_is_ranked_with_the_cause_first(tmp_path: Path) -> None:
    t = times(4 * HOUR, 15_000)
    n = len(t)
    during = (t >= END - 1_200_000) & (t < END - 300_000)
    later = (t >= END - 1_080_000) & (t < END - 300_000)
    rows = {Labels.of(f"app_{i}_queue", {"shard": "1"}): noise(n, i, 100, 2) for i in range(80)}
    cause, symptom = list(rows)[17], list(rows)[40]
    rows[cause] = rows[cause] + np.where(during, 60.0, 0.0)
    rows[symptom] = rows[symptom] - np.where(later, 40.0, 0.0)
    rows[Labels.of("system_uptime_seconds")] = t / 1000 % 1e6  # a clock moves for itself
    fill(tmp_path, t, rows)
    span = ("--moved", "2027-01-15T07:40:00Z", "2027-01-15T07:55:00Z")
    found = json.loads(ask(tmp_path, *span, "--json", at=()).output)
    assert found["series"] == 80
    first, second = found["moved"][:2]
    assert first["labels"]["__name__"] == cause.name
    assert first["direction"] == "up"
    assert second["labels"]["__name__"] == symptom.name
    assert second["direction"] == "down"
    assert abs(first["onset_ms"] - (END - 1_200_000)) <= 60_000
    result = ask(tmp_path, *span, "--limit", "1", at=())
    assert result.output.startswith("80 series between 2027-01-15T07:40:00Z and")
    assert f"{cause.name} (1) went up from" in result.output
    narrowed = ask(tmp_path, *span, "--match", "app_3_queue", "--json", at=())
    assert json.loads(narrowed.output)["series"] == 1


def test_a_strangers_analyser_is_run_and_its_failure_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "fine", "raises")
    good = ask(folder, "--only", "fine", "--json")
    assert good.exit_code == 0, good.output
    result = ask(folder, "--only", "fine", "--only", "raises")
    assert result.exit_code == 1
    assert "the analyser raises failed: KeyError: 'nothing here'" in result.output
    assert "1 of 2 analysers failed" in result.output
    assert "One thing" in result.output


def test_labels_are_text_and_not_markup(tmp_path: Path) -> None:
    t = times(DAY, 120_000)
    hostile = Labels.of("system_temperature_celsius", {"sensor": "[red]x[/red]\x1b[2J<img>"})
    fill(tmp_path, t, {hostile: np.where(t < END - 6 * HOUR, 40.0, 80.0) + noise(len(t), 1)})
    result = ask(tmp_path)
    assert result.exit_code == 0
    assert "[red]x[/red]" in result.output
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--last", "soon"), 2, "--last: expected a duration such as"),
        (("--last", "0s"), 2, "--last must be more than 0"),
        (("--last", "1h", "--start", "2h"), 2, "--last and --start"),
        (("--start", "2027-01-15T09:00:00Z"), 2, "--start is not before --end"),
        (("--start", "noon"), 2, "--start"),
        (("--only", "trned"), 2, "there is no kind 'trned'; did you mean \"trend\"?"),
        (("sum(",), 2, "parse error"),
        (("--match", "up"), 2, "--match belongs to --moved"),
        (("--moved", "1h", "30m"), 2, "--moved has its own times"),
        (("--limit", "0"), 2, "--limit"),
        (("--last", "1h", "--config", "/nowhere.toml"), 2, "/nowhere.toml"),
    ],
)
def test_mistakes_are_told(folder: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = ask(folder, *arguments)
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--moved", "2027-01-15T07:00:00Z", "2027-01-15T06:00:00Z"), "FROM is not before TO"),
        (("--moved", "2027-01-15T07:00:00Z", "2027-01-15T07:00:02Z"), "must last from 10 s to 7 d"),
        (("--moved", "2027-01-15T06:00:00Z", "2027-01-15T07:00:00Z", "--match", "a{"), "a{"),
    ],
)
def test_mistakes_about_an_incident_are_told(
    folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    result = ask(folder, *arguments, at=())
    assert (result.exit_code, told in result.output) == (2, True), result.output


def test_no_store_an_empty_one_and_no_samples_then_are_told_apart(
    folder: Path, tmp_path: Path
) -> None:
    missing = ask(tmp_path / "none")
    assert (missing.exit_code, "there is no" in missing.output) == (4, True)
    empty = SqliteStore(tmp_path)
    empty.open()
    empty.close()
    bare = ask(tmp_path)
    assert (bare.exit_code, "no samples yet" in bare.output) == (4, True)
    elsewhere = ask(folder, "--last", "1h", at=("--end", "2026-01-01"))
    assert elsewhere.exit_code == 4
    assert "there are some from 2027-01-14" in elsewhere.output


def test_without_a_query_engine_it_says_how_to_get_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAROGRAPH_PLUGINS__PROMQL__ENABLED", "false")
    result = ask(folder)
    assert result.exit_code == 3
    assert "barograph plugins enable promql" in result.output


def test_a_store_whose_labels_need_quotes_is_analysed(tmp_path: Path) -> None:
    t = times(DAY, 120_000)
    odd = Labels.of("process_memory_usage_bytes", {"process": 'a"b\\c\nd', "type": "rss"})
    fill(tmp_path, t, {odd: np.where(t < END - 6 * HOUR, 1e9, 3e9) + noise(len(t), 1, spread=1e7)})
    (one,) = json.loads(ask(tmp_path, "--json", "--only", "change_point").output)["observations"]
    shown = one["evidence"][0]
    result = CliRunner().invoke(
        main, ["query", "--data-dir", str(tmp_path), shown["query"], *("--at", AT[1])]
    )
    assert result.exit_code == 0, result.output
    assert "3" in result.output
    assert CPU.name not in result.output
