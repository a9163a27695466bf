"""``barograph query``: instants, ranges, every output, and mistakes told."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from barograph.cli import main
from barograph.model import Batch, Labels, Metric
from barograph_sqlite.store import SqliteStore

T0 = 1_800_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("query")
    store = SqliteStore(path)
    store.open()
    names = [{"host": "a"}, {"host": "=cmd()"}]
    refs = store.intern([(Labels.of("load", n), Metric("load", help="Load")) for n in names])
    for i in range(60):
        store.append([Batch(refs, T0 + i * 10_000, np.array([float(i), 0.5]))])
    store.close()
    return path


def ask(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["query", "--data-dir", str(folder), *arguments])


AT = ("--at", "2027-01-15T08:05:00Z")
RANGE = ("--from", "2027-01-15T08:00:00Z", "--to", "2027-01-15T08:05:00Z", "--step", "1m")


def test_an_instant_as_a_table(folder: Path) -> None:
    result = ask(folder, 'load{host="a"} * 2', *AT)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["series      value", '{host="a"}  60']


def test_an_instant_as_json_is_what_the_server_answers(folder: Path) -> None:
    found = json.loads(ask(folder, "sum(load)", *AT, "--format", "json").output)
    assert found == {
        "resultType": "vector",
        "result": [{"metric": {}, "value": [1_800_000_300, "30.5"]}],
    }


def test_a_range_as_csv_holds_no_formula(folder: Path) -> None:
    result = ask(folder, "load", *RANGE, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.output)))
    assert {row["host"] for row in rows} == {"a", "'=cmd()"}
    own = [row for row in rows if row["host"] == "a"]
    assert [row["value"] for row in own] == ["0", "6", "12", "18", "24", "30"]
    assert own[1]["time"] == "2027-01-15T08:01:00Z"


def test_a_range_as_a_plot_names_its_series(folder: Path) -> None:
    result = ask(folder, "load", *RANGE, "--format", "plot")
    assert result.exit_code == 0, result.output
    assert 'load{host="a"}' in result.output


def test_no_series_is_said(folder: Path) -> None:
    assert "no series: nothing_here" in ask(folder, "nothing_here", *AT).output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("sum(",), 2, "parse error"),
        (("load", "--to", "1h"), 2, "--from"),
        (("load", "--format", "plot"), 2, "--from"),
        (("load", "--from", "1h", "--at", "1h"), 2, "--at"),
        (("load", "--from", "1h", "--to", "2h"), 2, "later"),
        (("load", "--from", "1h", "--step", "x"), 2, "--step"),
        (("load", "--from", "1h", "--step", "0s"), 2, "--step"),
        (("load", "--at", "noon"), 2, "--at"),
        (("load + on() group_left load", *AT), 3, "many-to-many"),
    ],
)
def test_mistakes_are_told(folder: Path, arguments: tuple[str, ...], code: int, told: str) -> None:
    result = ask(folder, *arguments)
    assert (result.exit_code, told in result.output) == (code, True), result.output


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    result = ask(tmp_path, "load")
    assert result.exit_code == 4
    assert "Traceback" not in result.output


def test_an_explanation_has_the_plan_what_was_read_and_the_times(folder: Path) -> None:
    result = ask(folder, "sum by (host) (rate(load[1m]))", *RANGE, "--explain")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    plan = [line[:2] for line in lines[1:4]]
    assert plan == [["aggregate", "sum"], ["function", "rate"], ["range", "load[1m]"]]
    read = next(line for line in lines if line[:1] == ["load"])
    # From a minute before the range to its end, of two series: 31 samples each; none sealed.
    assert read[4:9] == ["2", "2", "0", "62", "raw"]
    assert [line[0] for line in lines[-6:]] == [
        "parse", "wait", "select", "read", "evaluate", "total"
    ]  # fmt: skip


def test_an_explanation_as_json(folder: Path) -> None:
    found = json.loads(ask(folder, "max(load)", *AT, "--explain", "--format", "json").output)
    assert found["plan"]["text"] == "aggregate max"
    assert found["plan"]["parts"][0]["series"] == 2
    assert [one["selector"] for one in found["reads"]] == ["load"]
    assert set(found["stages"]) == {"parse", "wait", "select", "read", "evaluate", "total"}
    assert "answer" not in found


def test_an_explanation_is_no_plot(folder: Path) -> None:
    result = ask(folder, "load", *RANGE, "--explain", "--format", "plot")
    assert result.exit_code == 2
    assert "--format json" in result.output
