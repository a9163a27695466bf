"""Files of older versions are brought up to date, step by step, or left as they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from unittest.mock import patch

import pytest
from plugins.sqlite.filling import T0, all_samples, fill, interned, opened

from barograph.contracts import StoreError
from barograph_sqlite import schema
from barograph_sqlite.store import FILE

NOW = schema.VERSION


def steps(*statements: str):  # type: ignore[no-untyped-def]
    """As if this were a later Barograph, with these steps from the present version on."""
    migrations = {NOW + i: text for i, text in enumerate(statements)}
    version = NOW + len(statements)
    return patch.multiple(schema, VERSION=version, MIGRATIONS={**schema.MIGRATIONS, **migrations})


def version_of(folder: Path) -> int:
    connection = sqlite3.connect(folder / FILE)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_each_version_is_reached_from_the_one_before() -> None:
    assert sorted(schema.MIGRATIONS) == list(range(1, NOW))


def test_an_older_file_is_brought_up_to_date_and_keeps_its_samples(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 20)
    store.seal()
    fill(store, refs, T0 + 60_000, 20)
    before = all_samples(store, refs)
    store.close()
    with steps(
        "ALTER TABLE series ADD COLUMN note TEXT DEFAULT 'none'; CREATE TABLE findings (x)",
        "INSERT INTO findings SELECT ref FROM series",
    ):
        store = opened(tmp_path)
        with store.writing() as connection:
            found = connection.execute(
                "SELECT x, note FROM findings JOIN series ON ref = x ORDER BY x"
            )
            assert found.fetchall() == [(int(ref), "none") for ref in refs]
        assert all_samples(store, refs) == before
        assert store.check() == []
        store.close()
        assert version_of(tmp_path) == NOW + 2
        opened(tmp_path).close()


def test_a_step_that_fails_leaves_the_file_at_the_step_before(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 20)
    before = all_samples(store, refs)
    store.close()
    bad = "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)"
    with steps("CREATE TABLE whole (x)", bad), pytest.raises(StoreError) as raised:
        opened(tmp_path)
    assert (
        f"could not be brought from schema {NOW + 1} to {NOW + 2} (no such table: nowhere)"
        in str(raised.value)
    )
    assert version_of(tmp_path) == NOW + 1
    with steps("CREATE TABLE whole (x)"):
        store = opened(tmp_path)
        with store.writing() as connection:
            names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert "whole" in names
        assert "half" not in names
        assert all_samples(store, refs) == before
        store.close()


def test_a_reader_asks_for_the_server_to_bring_the_file_up_to_date(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with (
        patch("barograph_sqlite.store.VERSION", NOW + 1),
        pytest.raises(StoreError, match="of an older Barograph; start the server once"),
    ):
        opened(tmp_path, read_only=True)
    assert version_of(tmp_path) == NOW
