"""Small JSON texts by kind and id: kept beside the samples, checked, copied and rescued."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from plugins.sqlite.filling import T0, all_samples, fill, interned, opened

from barograph.contracts import Records, StoreError, StoreFull
from barograph_sqlite import records
from barograph_sqlite.store import FILE, SqliteStore


def rows(n: int, size: int = 20, start: int = 0) -> list[tuple[str, int, str]]:
    return [(f"id{i:05}", T0 + i, json.dumps({"n": i, "text": "x" * size}))
            for i in range(start, start + n)]  # fmt: skip


def test_rows_are_replaced_by_id_read_by_kind_and_forgotten(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert isinstance(store, Records)
    assert list(store.records("finding")) == []
    store.put_records("finding", [("b", 1, '"old"'), ("a", 2, '"ä"')])
    store.put_records("alert", [("b", 3, "{}")])
    store.put_records("finding", [("b", 4, '"new"'), ("c", 5, "1")])
    store.remove_records("finding", ["c", "never there"])
    assert list(store.records("finding")) == [("a", 2, '"ä"'), ("b", 4, '"new"')]
    assert list(store.records("alert")) == [("b", 3, "{}")]
    store.put_records("finding", [])
    store.close()
    reader = opened(tmp_path, read_only=True)
    assert [id for id, _, _ in reader.records("finding")] == ["a", "b"]
    with pytest.raises(StoreError, match="not open for writing"):
        reader.put_records("finding", [("x", 1, "1")])
    reader.close()


class Kept(RuleBasedStateMachine):
    """Every sequence of writes and restarts, beside dicts."""

    kinds = st.sampled_from(["finding", "alert", "a'b"])
    ids = st.sampled_from(["", "a", "A", "b'; --", "ü", "1"])

    @initialize(folder=st.uuids())
    def begin(self, folder: object) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = opened(Path(self.folder.name))
        self.model: dict[tuple[str, str], tuple[int, str]] = {}

    @rule(kind=kinds, given=st.dictionaries(ids, st.text(max_size=50), max_size=4),
          at=st.integers(0, 2**50))  # fmt: skip
    def put(self, kind: str, given: dict[str, str], at: int) -> None:
        bodies = {id: json.dumps(text) for id, text in given.items()}
        self.store.put_records(kind, [(id, at, body) for id, body in bodies.items()])
        self.model.update({(kind, id): (at, body) for id, body in bodies.items()})

    @rule(kind=kinds, gone=st.lists(ids, max_size=3))
    def remove(self, kind: str, gone: list[str]) -> None:
        self.store.remove_records(kind, gone)
        for id in gone:
            self.model.pop((kind, id), None)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = opened(Path(self.folder.name))

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        if not hasattr(self, "store"):
            return
        for kind in ("finding", "alert", "a'b"):
            want = {id: (*found,) for (of, id), found in self.model.items() if of == kind}
            assert {id: (at, body) for id, at, body in self.store.records(kind)} == want

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == []
            self.store.close()
            self.folder.cleanup()


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)


def test_many_rows_are_read_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PAGE", 7)
    store = opened(tmp_path)
    store.put_records("finding", rows(30))
    found = []
    for i, row in enumerate(store.records("finding")):
        found.append(row)
        if i == 10:
            store.remove_records("finding", ["id00020"])  # in the midst of reading
    assert [row for row in found if row[0] != "id00020"] == [
        r for r in rows(30) if r[0] != "id00020"
    ]
    store.close()


def test_all_rows_of_a_call_are_stored_or_none(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put_records("finding", rows(3))
    with store.writing() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
    with pytest.raises(StoreFull, match="no space left"):
        store.put_records("finding", rows(200, size=2000))
    assert list(store.records("finding")) == rows(3)
    assert store.check() == []
    store.close()


WRITER = """
import sys
from pathlib import Path
from barograph_sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
store.open()
i = 0
while True:
    store.put_records("finding", [(f"{i}-{j}", i, "{}") for j in range(3)])
    print(i, flush=True)
    i += 1
"""


def test_what_was_put_survives_kill_9(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)],
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    last = [process.stdout.readline() for _ in range(40)][-1]
    os.kill(process.pid, signal.SIGKILL)
    last = (process.stdout.read().splitlines() or [last])[-1]
    process.wait(10)
    store = opened(tmp_path)
    found = [id for id, _, _ in store.records("finding")]
    assert len(found) % 3 == 0, "a call is whole"
    assert f"{int(last)}-2" in found
    store.close()


def test_a_file_of_the_first_version_gets_the_table_and_keeps_its_samples(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 20)
    before = all_samples(store, refs)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as old:
        old.execute("DROP TABLE records")  # as the first version was
        old.execute("PRAGMA user_version = 1")
    old.close()
    store = opened(tmp_path)
    assert all_samples(store, refs) == before
    assert list(store.records("finding")) == []
    store.put_records("finding", rows(2))
    assert list(store.records("finding")) == rows(2)
    assert store.check() == []
    store.close()


def test_they_are_part_of_a_backup(tmp_path: Path) -> None:
    store = opened(tmp_path / "a")
    store.put_records("finding", rows(50))
    (tmp_path / "b").mkdir()
    store.backup(tmp_path / "b")
    store.remove_records("finding", [id for id, _, _ in rows(50)])
    store.close()
    copy = opened(tmp_path / "b")
    assert list(copy.records("finding")) == rows(50)
    assert copy.check() == []
    copy.close()


def test_a_row_that_changed_on_the_disk_is_told_and_left_out(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.put_records("finding", rows(3))
    with store.writing() as connection:
        connection.execute("UPDATE records SET body = replace(body, 'x', 'y') WHERE id = 'id00001'")
    assert list(store.records("finding")) == [rows(3)[0], rows(3)[2]]
    (problem,) = store.problems
    assert "record id00001 of kind finding" in problem.where
    (found,) = store.check()
    assert found.what == "damaged record: checksum does not fit"
    assert "record id00001 of kind finding" in found.where
    store.close()


def pages_of(folder: Path, table: str) -> list[int]:
    connection = sqlite3.connect(folder / FILE)
    try:
        sql = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY path"
        return [page for (page,) in connection.execute(sql, (table,))]
    except sqlite3.OperationalError:
        pytest.skip("this SQLite cannot tell which pages a table has")
    finally:
        connection.close()


def filled(folder: Path) -> SqliteStore:
    store = opened(folder)
    fill(store, interned(store, 3), T0, 20)
    store.put_records("finding", rows(400, size=500))
    store.seal()
    return store


def test_a_damaged_page_is_told_and_a_restart_saves_all_other_rows(tmp_path: Path) -> None:
    filled(tmp_path).close()
    pages = pages_of(tmp_path, "records")
    assert len(pages) > 8
    with (tmp_path / FILE).open("r+b") as file:
        file.seek((pages[len(pages) // 2] - 1) * 16384)
        file.write(b"\xa5" * 16384)
    store = opened(tmp_path)
    assert len(list(store.records("finding"))) < 400  # what comes before is read, and it is told
    assert any("records of kind finding" in problem.where for problem in store.problems)
    assert store.check() != []
    store.close()
    store = opened(tmp_path)  # saves what is readable
    found = list(store.records("finding"))
    assert 400 - 40 <= len(found) < 400
    assert set(found) <= set(rows(400, size=500))
    assert {found[0][0], found[-1][0]} == {"id00000", "id00399"}, "from the front and the back"
    assert store.check() == []
    store.close()


def test_a_damaged_file_of_the_first_version_is_saved_too(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 20)
    before = all_samples(store, refs)
    store.damage.save_next_time()
    store.close()
    with sqlite3.connect(tmp_path / FILE) as old:
        old.execute("DROP TABLE records")
        old.execute("PRAGMA user_version = 1")
    old.close()
    store = opened(tmp_path)
    assert all_samples(store, refs) == before
    store.put_records("finding", rows(1))
    assert store.check() == []
    store.close()
