"""The tables in ``cases`` hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from promql_tables import Table, tables

from barograph.contracts import Store
from barograph_promql.engine import PromqlEngine
from barograph_sqlite.store import SqliteStore

CASES = tables(Path(__file__).parent / "cases")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    made: list[SqliteStore] = []

    def make() -> Store:
        store = SqliteStore(tmp_path / str(len(made)))
        store.open()
        made.append(store)
        return store

    return Table(make, PromqlEngine())


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_table_holds(path: Path, table: Table) -> None:
    assert table.run(path.read_text()) > 10


def test_a_wrong_expectation_is_found(table: Table) -> None:
    with pytest.raises(AssertionError, match="line 1"):
        table.run("eval instant at 0 1 + 1\n  3\n")
