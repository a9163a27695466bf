"""What goes, when, in which order, and what is kept of it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from plugins.sqlite.filling import FOREVER, HOUR, T0, all_samples, fill, interned, opened

from barograph.aggregator import DataAggregator
from barograph.contracts import StoreError
from barograph.model import Batch, Labels, Metric
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite import retention
from barograph_sqlite.store import FILE, SqliteStore

DAY = 24 * HOUR
LEVELS = (5_000, 60_000, 300_000, 3_600_000)


def keep_house(store: SqliteStore, now: int) -> None:
    """Until nothing is left to do: each call does a bounded piece."""
    for i in range(500):
        store.maintain(now + i)
        if store._retention._looked_at is not None:
            return
    raise AssertionError("retention never came to an end")


def test_samples_go_by_age_and_newer_ones_stay(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=2 * 86400)
    refs = interned(store, 5)
    for day in range(4):
        fill(store, refs, T0 + day * DAY, 50)
        store.seal()
    keep_house(store, T0 + 4 * DAY)
    for samples in all_samples(store, refs):
        assert len(samples) == 2 * 50
        assert min(samples) == T0 + 2 * DAY
    assert store.stats().samples == 5 * 100
    assert store.dropped_until == T0 + DAY + 49_001
    store.close()
    store.open()
    assert store.dropped_until == T0 + DAY + 49_001
    assert store.check() == []
    store.close()


def test_a_chunk_that_is_only_in_part_too_old_stays(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=3600)
    refs = interned(store, 1)
    fill(store, refs, T0, 100, 60_000)
    store.seal()
    keep_house(store, T0 + 100 * 60_000)
    assert len(all_samples(store, refs)[0]) == 100
    store.close()


def test_rollups_are_made_before_raw_samples_go_and_have_an_age_of_their_own(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path, raw_retention=86400, rollup_retention=10 * 86400)
    aggregator = DataAggregator(store, RollupAggregator(), LEVELS)
    refs = interned(store, 3)
    values = fill(store, refs, T0, 600, 10_000)
    store.seal()
    before = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)
    assert store.stats().levels == {0: 3}
    keep_house(store, T0 + 3 * DAY)
    assert all_samples(store, refs) == [{}, {}, {}]
    for level in LEVELS[1:]:
        for i, windows in enumerate(aggregator.windows(refs.tolist(), level, T0, FOREVER)):
            assert windows.count.sum() == 600
            assert windows.sum.sum() == pytest.approx(values[:, i].sum())
            assert windows.last[-1] == values[-1, i]
    after = aggregator.windows(refs.tolist(), 60_000, T0, FOREVER)
    assert [w.count.tolist() for w in after] == [w.count.tolist() for w in before]
    levels = store.stats().levels
    assert levels[0] == 0
    assert all(levels[level] > 0 for level in LEVELS[1:])
    assert [s.ref for s in store.select([], T0, T0 + DAY)] == refs.tolist()
    keep_house(store, T0 + 12 * DAY)
    assert set(store.stats().levels.values()) == {0}
    store.close()


def test_the_oldest_go_first_when_the_file_is_too_large(tmp_path: Path) -> None:
    limit = 1_500_000
    store = opened(tmp_path, raw_retention=10**9, max_size=limit)
    refs = interned(store, 40)
    for part in range(12):
        fill(store, refs, T0 + part * HOUR, 700)
        store.seal()
        keep_house(store, T0 + (part + 1) * HOUR)
        with store.writing() as connection:
            assert retention.size(connection) <= limit
    for samples in all_samples(store, refs):
        assert T0 + 11 * HOUR + 699_000 in samples
        assert T0 not in samples
        assert len(samples) >= 700
    assert store.check() == []
    store.close()


def test_rollups_go_too_when_the_file_is_too_large_without_any_samples(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=10**9, max_size=1)
    DataAggregator(store, RollupAggregator(), LEVELS)
    refs = interned(store, 5)
    fill(store, refs, T0, 300)
    store.seal()
    keep_house(store, T0 + HOUR)
    assert set(store.stats().levels.values()) == {0}
    assert store.check() == []
    store.close()


def test_pages_are_given_back_without_stopping(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=3600)
    refs = interned(store, 200)
    fill(store, refs, T0, 1440)
    store.seal()
    full = (tmp_path / FILE).stat().st_size
    seen = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(store.read(refs.tolist(), 0, FOREVER)))

    reader = threading.Thread(target=read)
    reader.start()
    now = T0 + 3 * HOUR
    for i in range(50):
        store.append([Batch(refs, now + i * 61_000, np.zeros(200))])
        store.maintain(now + i * 61_000)
    done.set()
    reader.join(20)
    with store.writing() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    left = (tmp_path / FILE).stat().st_size
    spare = (64 + 30) * 16384
    assert full > 3 * spare / 2
    assert left < spare
    assert len(seen) > 0
    assert [len(s) for s in all_samples(store, refs)] == [50] * 200
    assert store.check() == []
    store.close()


def test_series_with_nothing_left_are_forgotten_and_come_back_with_a_new_ref(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path, raw_retention=3600, rollup_retention=3600)
    gone, alive = interned(store, 30), interned(store, 2, first=30)
    fill(store, gone, T0, 20)
    fill(store, alive, T0, 20)
    store.seal()
    for hour in range(2, 6):
        fill(store, alive, T0 + hour * HOUR, 3)
        keep_house(store, T0 + hour * HOUR)
    assert sorted(s.ref for s in store.select([])) == alive.tolist()
    assert store.stats().series == 2
    with store.writing() as connection:
        (postings,) = connection.execute("SELECT count(DISTINCT ref) FROM postings").fetchone()
    assert postings == 2
    again = interned(store, 30)
    assert not set(again.tolist()) & {*gone.tolist(), *alive.tolist()}
    assert len(store.select([])) == 32
    store.close()


def test_a_source_that_still_holds_a_forgotten_ref_loses_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=3600, rollup_retention=3600)
    refs = interned(store, 3)
    for hour in range(4):
        keep_house(store, T0 + hour * HOUR)
    assert store.select([]) == []
    fill(store, refs, T0 + 5 * HOUR, 4)
    assert [s.labels for s in store.select([])] == [Labels.of("m", {"i": str(i)}) for i in range(3)]
    assert store.stats().series == 3
    assert store.problems == []
    store.close()
    store.open()
    assert [len(s) for s in all_samples(store, refs)] == [4, 4, 4]
    store.close()


def test_series_that_are_asked_for_are_not_forgotten(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=3600)
    refs = interned(store, 3)
    for hour in range(5):
        keep_house(store, T0 + hour * HOUR)
        assert interned(store, 3).tolist() == refs.tolist()
    assert len(store.select([])) == 3
    store.close()


def test_known_series_in_memory_follow_the_living_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph_sqlite.index.MIN_KNOWN", 50)
    store = opened(tmp_path)
    for i in range(100):
        refs = interned(store, 10, first=10 * i)
        assert interned(store, 10, first=10 * i).tolist() == refs.tolist()
    assert len(store._index._refs) <= 60
    assert len(set(interned(store, 1000).tolist())) == 1000
    assert store.stats().series == 1000
    store.close()


# --- archive --------------------------------------------------------------------------------------


def test_what_ages_out_is_in_the_archive_before_it_goes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    store = opened(tmp_path / "a", raw_retention=3600, archive=True)
    refs = interned(store, 4)
    values = fill(store, refs, T0, 200)
    store.append([Batch(refs[:1], T0 + 10_500, np.array([-0.0]))])
    store.seal()
    wanted = all_samples(store, refs)
    keep_house(store, T0 + 3 * HOUR)
    assert all_samples(store, refs) == [{}] * 4
    files = sorted((tmp_path / "a" / "archive").iterdir())
    assert [f.suffix for f in files] == [".parquet"]
    assert "20231114T22" in files[0].name
    store.close()
    other = opened(tmp_path / "b")
    assert other.import_(files[0], "parquet") == values.size + 1
    found = {s.labels.get("i"): s.ref for s in other.select([])}
    mine = np.array([found[str(i)] for i in range(4)])
    assert all_samples(other, mine) == wanted
    other.close()


def test_an_archive_that_cannot_be_written_keeps_the_samples_and_tells(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    store = opened(tmp_path, raw_retention=3600, archive=True)
    refs = interned(store, 2)
    fill(store, refs, T0, 20)
    store.seal()
    (tmp_path / "archive").write_text("a file in its place")
    with pytest.raises(StoreError, match="archive"):
        store.maintain(T0 + 3 * HOUR)
    assert [len(s) for s in all_samples(store, refs)] == [20, 20]
    (tmp_path / "archive").unlink()
    keep_house(store, T0 + 3 * HOUR + 120_000)
    assert all_samples(store, refs) == [{}, {}]
    store.close()


def test_killed_between_archiving_and_dropping_makes_no_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    store = opened(tmp_path, raw_retention=3600, archive=True)
    refs = interned(store, 2)
    fill(store, refs, T0, 20)
    store.seal()
    with monkeypatch.context() as broken:
        broken.setattr(store, "transaction", lambda work: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.maintain(T0 + 3 * HOUR)
    store.close()
    store.open()
    keep_house(store, T0 + 4 * HOUR)
    assert len(list((tmp_path / "archive").iterdir())) == 1
    store.close()


def test_an_archive_without_pyarrow_is_told_when_the_store_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StoreError, match=r"pip install 'barograph-sqlite\[parquet\]'"):
        opened(tmp_path, archive=True)


def test_metrics_of_forgotten_series_stay_known(tmp_path: Path) -> None:
    store = opened(tmp_path, raw_retention=3600)
    store.intern([(Labels.of("once"), Metric("once", help="Seen once"))])
    for hour in range(4):
        keep_house(store, T0 + hour * HOUR)
    assert store.metrics() == [Metric("once", help="Seen once")]
    store.close()
