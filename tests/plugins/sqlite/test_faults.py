"""What goes wrong around a store: told with what to do, and everything else goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from barograph.contracts import StoreError, StoreFull, StoreLocked, StoreMissing
from barograph.model import Batch, Labels, Matcher, Metric
from barograph_sqlite import Config, rescue
from barograph_sqlite.store import FILE, SqliteStore

T0 = 1_700_000_000_000
FOREVER = 2**62
RNG = np.random.default_rng(1)


def opened(folder: Path, *, read_only: bool = False) -> SqliteStore:
    store = SqliteStore(folder, Config())
    store.open(read_only=read_only)
    return store


def interned(store: SqliteStore, n: int) -> np.ndarray:
    return store.intern([(Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(n)])


def filled(folder: Path, n: int = 40, ticks: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A closed store with sealed samples: refs, values [ticks, n]."""
    store = opened(folder)
    refs = interned(store, n)
    values = RNG.normal(0, 1, (ticks, n))
    for i, row in enumerate(values):
        store.append([Batch(refs, T0 + i * 1000, row)])
    store.seal()
    store.close()
    return refs, values


def samples(store: SqliteStore, refs: np.ndarray) -> int:
    return sum(len(c) for c in store.read(refs.tolist(), 0, FOREVER))


def aside(folder: Path) -> list[Path]:
    """Damaged files that were kept, without what SQLite has beside them."""
    found = folder.glob(f"{FILE}.damaged-*")
    return [path for path in found if not path.name.endswith(("-wal", "-shm"))]


# --- no space -------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("only root may mount a small disk; test_a_file_at_its_limit is the same")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def append_until_refused(store: SqliteStore, refs: np.ndarray) -> int:
    """Ticks stored before the first refusal, which must be StoreFull."""
    n = 0
    with pytest.raises(StoreFull, match=r"no space left.*nothing of this call was stored"):
        while n < 100_000:
            t_ms, values = T0 + n * 1000, np.full(len(refs), float(n))
            store.append([Batch(refs, t_ms, values), Batch(refs[:9], t_ms + 1, values[:9])])
            n += 1
    return n


def test_a_full_disk_refuses_whole_batches_and_goes_on_when_there_is_space(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    store = opened(small_disk)
    refs = interned(store, 500)
    n = append_until_refused(store, refs)
    assert n > 10
    assert samples(store, refs) == n * 509
    with pytest.raises(StoreFull):
        store.append([Batch(refs, T0 + n * 1000, np.zeros(500))])
    assert samples(store, refs) == n * 509
    ballast.unlink()
    for i in range(n, n + 20):
        store.append([Batch(refs, T0 + i * 1000, np.zeros(500))])
    store.close()
    again = opened(small_disk)
    assert samples(again, refs) == n * 509 + 20 * 500
    assert again.check() == []
    again.close()


def test_housekeeping_on_a_full_disk_tells_and_loses_nothing(small_disk: Path) -> None:
    store = opened(small_disk)
    refs = interned(store, 500)
    n = append_until_refused(store, refs)
    with pytest.raises(StoreFull, match="no space left"):
        store.seal()
    assert samples(store, refs) == n * 509
    store.close()
    again = opened(small_disk)
    assert samples(again, refs) == n * 509
    again.close()


def test_a_file_at_its_limit_is_a_full_disk(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 500)
    with store.writing() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    n = append_until_refused(store, refs)
    with store.writing() as connection:
        connection.execute("PRAGMA max_page_count = 100000")
    store.append([Batch(refs, T0 + n * 1000, np.ones(500))])
    assert samples(store, refs) == n * 509 + 500
    assert store.check() == []
    store.close()


def test_a_set_numbered_in_a_refused_append_is_not_mixed_up_with_the_next(tmp_path: Path) -> None:
    """A number that was rolled back may go to another set; after a restart all is in place."""
    store = opened(tmp_path)
    refs = interned(store, 4)
    a, b = refs[:2].copy(), refs[2:].copy()
    store.append([Batch(a, T0, np.array([1.0, 2])), Batch(b, T0, np.array([3.0, 4]))])
    bad = Batch(b, T0 + 2, np.zeros(3))
    with pytest.raises(ValueError, match="3 values"):
        store.append([Batch(a, T0 + 1, np.array([5.0, 6])), bad])
    store.append([Batch(b, T0 + 3, np.array([7.0, 8]))])
    store.append([Batch(a, T0 + 4, np.array([9.0, 10]))])
    for _ in range(2):
        found = [dict(zip(c.t_ms.tolist(), c.values.tolist(), strict=True))
                 for c in store.read(refs.tolist(), 0, FOREVER)]  # fmt: skip
        assert found == [
            {T0: 1.0, T0 + 4: 9.0}, {T0: 2.0, T0 + 4: 10.0},
            {T0: 3.0, T0 + 3: 7.0}, {T0: 4.0, T0 + 3: 8.0},
        ]  # fmt: skip
        store.close()
        store.open()
    store.close()


WRITER = """
import resource, sys
from pathlib import Path
import numpy as np
from barograph.contracts import StoreError
from barograph.model import Batch, Labels, Metric
from barograph_sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1])); store.open()
refs = store.intern([(Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(500)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
n = 0
try:
    while n < 10_000:
        store.append([Batch(refs, 1_700_000_000_000 + n * 1000, np.zeros(500))]); n += 1
except StoreError as error:
    print(n, type(error).__name__, error)
"""


def test_a_limit_of_the_process_on_file_sizes_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert "nothing of this call was stored" in done.stdout, done.stderr
    n = int(done.stdout.split()[0])
    store = opened(tmp_path)
    refs = interned(store, 500)
    assert samples(store, refs) == n * 500
    store.close()


# --- no permission --------------------------------------------------------------------------------

READER_AND_WRITER = """
import os, sys
from pathlib import Path
from barograph.contracts import StoreError
from barograph_sqlite.store import SqliteStore
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
store = SqliteStore(Path(sys.argv[1]))
try:
    store.open(read_only=sys.argv[2] == "ro")
    print("opened", store.stats().samples)
    store.close()
except StoreError as error:
    print(type(error).__name__, error)
"""


def as_nobody(folder: Path, mode: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READER_AND_WRITER, str(folder), mode],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def reachable(tmp_path: Path) -> Path:
    """A folder that another user can get to."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == Path.home().owner() and parent != Path("/"):
            mode = parent.stat().st_mode
            if not mode & 0o001:
                parent.chmod(mode | 0o011)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    return folder


def test_a_directory_without_permission_is_told_with_its_name(reachable: Path) -> None:
    reachable.chmod(0o555)
    told = as_nobody(reachable, "rw")
    assert told.startswith("StoreFull cannot write")
    assert f"check the owner and permissions of {reachable}" in told
    assert list(reachable.iterdir()) == []


def test_a_file_without_permission_is_told(reachable: Path) -> None:
    filled(reachable, 3, 20)
    reachable.chmod(0o777)
    (reachable / f"{FILE}.lock").chmod(0o666)
    (reachable / FILE).chmod(0o444)
    assert "cannot write" in as_nobody(reachable, "rw")
    (reachable / FILE).chmod(0o000)
    assert "check the owner and permissions" in as_nobody(reachable, "ro")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    filled(tmp_path / "new", 3, 20)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


# --- one writer -----------------------------------------------------------------------------------


def test_a_second_writer_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(StoreLocked, match=rf"in use by another Barograph \(pid {os.getpid()}\)"):
        opened(tmp_path)
    store.append([])
    store.close()
    opened(tmp_path).close()


def test_opening_twice_is_refused_and_leaves_the_store_open(tmp_path: Path) -> None:
    store = opened(tmp_path)
    with pytest.raises(StoreError, match="open already"):
        store.open()
    interned(store, 1)
    store.close()


def test_a_foreign_lock_on_the_file_is_told(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 2)
    foreign = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with store.writing() as connection:
        connection.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(StoreLocked, match="held by another program"):
        store.append([Batch(refs, T0, np.zeros(2))])
    foreign.execute("ROLLBACK")
    foreign.close()
    store.append([Batch(refs, T0, np.zeros(2))])
    assert samples(store, refs) == 2
    store.close()


def test_reading_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match=r"there is no .*barograph\.db"):
        opened(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


# --- other files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 7])
def test_an_sqlite_file_of_another_program_is_left_alone(tmp_path: Path, version: int) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE theirs (x)")
    other.execute(f"PRAGMA user_version = {version}")
    other.close()
    before = (tmp_path / FILE).read_bytes()
    for read_only in (False, True):
        with pytest.raises(StoreError, match="of another program; choose another --data-dir"):
            opened(tmp_path, read_only=read_only)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_file_of_a_newer_barograph_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, 2, 10)
    newer = sqlite3.connect(tmp_path / FILE)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"newer Barograph \(schema 99.*update Barograph"):
            opened(tmp_path, read_only=read_only)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    store = opened(tmp_path)
    assert store.check() == []
    store.close()


def test_a_file_that_is_no_database_is_put_aside_and_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"a letter to my aunt" * 1000)
    store = opened(tmp_path)
    assert any("kept there" in p.what for p in store.problems)
    (kept,) = aside(tmp_path)
    assert kept.read_bytes().startswith(b"a letter to my aunt")
    interned(store, 1)
    store.close()


# --- damage ---------------------------------------------------------------------------------------


def pages_of(folder: Path, table: str) -> list[int]:
    """Pages of a table or index, by number (1 is the first)."""
    connection = sqlite3.connect(folder / FILE)
    try:
        sql = "SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno"
        return [page for (page,) in connection.execute(sql, (table,))]
    except sqlite3.OperationalError:
        pytest.skip("this SQLite cannot tell which pages a table has")
    finally:
        connection.close()


def overwrite(path: Path, page: int, junk: bytes = b"\xa5", size: int = 16384) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(junk * (size // len(junk)))


def test_a_damaged_chunk_body_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    refs, values = filled(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE)
    (number, body) = connection.execute("SELECT id, body FROM chunks WHERE ref = ?",
                                        (int(refs[7]),)).fetchone()  # fmt: skip
    broken = body[:200] + bytes([body[200] ^ 1]) + body[201:]
    connection.execute("UPDATE chunks SET body = ? WHERE id = ?", (broken, number))
    connection.commit()
    connection.close()
    store = opened(tmp_path)
    columns = store.read(refs.tolist(), 0, FOREVER)
    for i, column in enumerate(columns):
        assert column.values.tolist() == ([] if i == 7 else values[:, i].tolist())
    (problem,) = store.problems
    assert f"chunk {number} of series {refs[7]}" in problem.where
    (found,) = store.check()
    assert f"series {refs[7]}, {T0}" in found.where
    assert store.stats().extra["damaged_records"] >= 1
    store.close()


@pytest.mark.parametrize("what", ["chunk", "log"])
def test_a_row_that_tells_a_wrong_count_or_time_is_damage(tmp_path: Path, what: str) -> None:
    store = opened(tmp_path)
    refs = interned(store, 2)
    for i in range(5):
        store.append([Batch(refs, T0 + i, np.array([1.0, 2.0]))])
    if what == "chunk":
        store.seal()
    store.close()
    connection = sqlite3.connect(tmp_path / FILE)
    if what == "chunk":
        connection.execute("UPDATE chunks SET n = n + 1 WHERE ref = ?", (int(refs[0]),))
    else:
        connection.execute("UPDATE log SET t = t + 7 WHERE id = 3")
    connection.commit()
    connection.close()
    store = opened(tmp_path)
    column = store.read(refs.tolist(), 0, FOREVER)[0]
    assert len(column) == (0 if what == "chunk" else 4)
    assert column.values.tolist() == [1.0] * len(column)
    assert len(store.problems) == 1
    assert len(store.check()) >= 1
    store.seal()
    store.close()
    store.open()
    assert samples(store, refs[1:]) == (5 if what == "chunk" else 4)
    store.close()


@pytest.mark.parametrize("table", ["chunks", "chunks_by_time", "chunks_by_age", "windows_by_time"])
def test_a_damaged_page_is_told_the_rest_is_read_and_a_restart_saves_it(
    tmp_path: Path, table: str
) -> None:
    refs, values = filled(tmp_path, 60, 1400)
    pages = pages_of(tmp_path, table)
    overwrite(tmp_path / FILE, pages[len(pages) // 2])
    store = opened(tmp_path)
    columns = store.read(refs.tolist(), 0, FOREVER)
    whole = [i for i, c in enumerate(columns) if len(c)]
    for i in whole:
        assert columns[i].values.tolist() == values[:, i].tolist(), "a wrong number was read"
    if table == "chunks":
        assert 0 < len(whole) < len(refs)
    assert store.check() != []
    store.append([Batch(refs, T0 + 10**7, np.ones(len(refs)))])  # it goes on
    store.close()
    again = opened(tmp_path)
    (kept,) = aside(tmp_path)
    assert any(str(kept) == p.where for p in again.problems)
    assert again.check() == []
    columns = again.read(refs.tolist(), 0, FOREVER)
    saved = [i for i, c in enumerate(columns) if len(c) > 1]
    assert set(whole) <= set(saved)
    for i in saved:
        assert columns[i].values.tolist() == [*values[:, i].tolist(), 1.0]
    assert len(again.select([])) == len(refs)
    assert again.stats().samples == sum(len(c) for c in columns)
    again.close()
    opened(tmp_path).close()
    assert len(aside(tmp_path)) == 1, "saved once, and not at each start"


def test_lost_labels_are_told_and_no_samples_change_hands(tmp_path: Path) -> None:
    """Of series whose row is lost the samples are found by a new name; new series get new refs."""
    refs, values = filled(tmp_path, 500, 5)
    pages = pages_of(tmp_path, "series")
    overwrite(tmp_path / FILE, pages[-1])
    store = opened(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        store.select([])
    store.close()
    store = opened(tmp_path)
    lost = store.select([Matcher.equal("__name__", "barograph_rescued")])
    kept = store.select([Matcher.equal("__name__", "m")])
    assert len(lost) > 0
    assert len(lost) + len(kept) == 500
    for series in [*lost, *kept]:
        at = refs.tolist().index(series.ref)
        assert store.read([series.ref], 0, FOREVER)[0].values.tolist() == values[:, at].tolist()
    again = interned(store, 500)
    new = set(again.tolist()) - set(refs.tolist())
    assert len(new) == len(lost)
    assert samples(store, np.array(sorted(new))) == 0
    store.close()


def test_a_truncated_file_is_saved_as_far_as_it_goes(tmp_path: Path) -> None:
    refs, values = filled(tmp_path, 60, 1400)
    path = tmp_path / FILE
    os.truncate(path, path.stat().st_size // 2 // 16384 * 16384)
    store = opened(tmp_path)
    if not aside(tmp_path):  # met only when it is read
        assert store.check() != []
        store.close()
        store = opened(tmp_path)
    assert len(aside(tmp_path)) == 1
    columns = store.read(refs.tolist(), 0, FOREVER)
    assert any(len(c) for c in columns)
    for i, column in enumerate(columns):
        assert column.values.tolist() in ([], values[:, i].tolist())
    assert store.check() == []
    store.close()


@pytest.mark.parametrize("at", ["copying", "between the renames", "before the renames"])
def test_a_rescue_that_is_interrupted_is_finished_by_the_next_start(
    tmp_path: Path, at: str
) -> None:
    refs, _ = filled(tmp_path, 60, 1400)
    pages = pages_of(tmp_path, "chunks")
    overwrite(tmp_path / FILE, pages[len(pages) // 2])
    store = opened(tmp_path)
    store.check()
    store.close()
    original, calls = Path.rename, 0

    def failing(self: Path, target: Path) -> Path:
        nonlocal calls
        calls += 1
        last = calls > 1 and self.name.endswith("ready")
        if last if at == "between the renames" else calls == 2:
            raise KeyboardInterrupt
        return original(self, target)

    if at == "copying":
        broken = patch.object(rescue, "_make_whole", side_effect=KeyboardInterrupt)
    else:
        broken = patch.object(Path, "rename", failing)
    with broken, pytest.raises(KeyboardInterrupt):
        opened(tmp_path)
    store = opened(tmp_path)
    assert store.check() == []
    assert samples(store, refs) > 1400
    assert len(aside(tmp_path)) == 1
    assert not list(tmp_path.glob("*rescue*"))
    store.close()


def test_damage_in_a_copy_is_told_by_a_reader_that_may_not_write(tmp_path: Path) -> None:
    refs, _ = filled(tmp_path / "a", 60, 1400)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    pages = pages_of(tmp_path / "b", "chunks")
    overwrite(tmp_path / "b" / FILE, pages[len(pages) // 2])
    reader = opened(tmp_path / "b", read_only=True)
    assert 0 < samples(reader, refs) < 60 * 1400
    assert reader.check() != []
    assert reader.problems != []
    reader.close()
