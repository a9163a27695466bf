"""Copies of a store that goes on working."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from plugins.sqlite.filling import T0, all_samples, fill, interned, opened

from barograph.contracts import StoreError
from barograph.model import Batch
from barograph_sqlite.store import FILE


@pytest.mark.parametrize("read_only", [False, True])
def test_a_backup_beside_a_thread_that_appends_is_one_moment_of_the_store(
    tmp_path: Path, read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph_sqlite.checking.BACKUP_PAGES", 2)
    store = opened(tmp_path / "a")
    refs = interned(store, 20)
    fill(store, refs, T0, 800)
    store.seal()
    fill(store, refs, T0 + 800_000, 50)
    done = threading.Event()
    stored = 850

    def append() -> None:
        nonlocal stored
        while not done.is_set():
            store.append([Batch(refs, T0 + stored * 1000, np.full(20, float(stored)))])
            stored += 1
            if stored % 40 == 0:
                store.seal()

    appending = threading.Thread(target=append)
    appending.start()
    copying = opened(tmp_path / "a", read_only=True) if read_only else store
    seen: list[tuple[int, int]] = []
    try:
        for i in range(3):
            before = stored
            target = tmp_path / f"copy{i}" / FILE
            target.parent.mkdir()
            copying.backup(target, lambda done, total: seen.append((done, total)))
            assert target.stat().st_mode & 0o777 == 0o600
            copy = opened(target.parent)
            assert copy.check() == []
            counts = {len(s) for s in all_samples(copy, refs)}
            assert len(counts) == 1, "ticks are whole"
            assert before <= counts.pop() <= stored
            copy.close()
    finally:
        done.set()
        appending.join(20)
    assert stored > 850
    assert seen[-1][0] == seen[-1][1]
    assert len(seen) > 10
    assert [len(s) for s in all_samples(store, refs)] == [stored] * 20
    if read_only:
        copying.close()
    store.close()


def test_a_backup_goes_into_a_folder_by_the_store_s_name(tmp_path: Path) -> None:
    store = opened(tmp_path / "a")
    (tmp_path / "b").mkdir()
    store.backup(tmp_path / "b")
    assert [p.name for p in (tmp_path / "b").iterdir()] == [FILE]
    with pytest.raises(StoreError, match="exists already; choose another name"):
        store.backup(tmp_path / "b")
    store.close()


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    store = opened(tmp_path / "a")
    fill(store, interned(store, 3), T0, 30)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.backup(tmp_path / "copy", stop)
    with pytest.raises(StoreError, match="no such folder"):
        store.backup(tmp_path / "no such folder" / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    store.close()
