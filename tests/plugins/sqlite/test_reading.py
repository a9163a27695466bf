"""Reading and finding: from the writer's process, from another one, and what is remembered."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from plugins.sqlite.filling import FOREVER, HOUR, T0, all_samples, fill, interned, opened

from barograph.contracts import PortableStore, Store
from barograph.model import Batch, Labels, Matcher, MatchOp, Metric, MetricKind
from barograph.testing import check_store
from barograph_sqlite import Config, barograph_stores, selection
from barograph_sqlite.store import SqliteStore


def test_the_store_keeps_the_contract(tmp_path: Path) -> None:
    check_store(SqliteStore, tmp_path / "plain")
    (store,) = barograph_stores(Config(), tmp_path / "from the hook")
    assert isinstance(store, Store)
    assert isinstance(store, PortableStore)
    check_store(lambda folder: barograph_stores(Config(), folder)[0], tmp_path / "from the hook")


def test_series_are_found_by_every_kind_of_matcher(tmp_path: Path) -> None:
    store = opened(tmp_path)
    labels = [
        Labels.of("cpu", {"host": "a", "mode": "user"}),
        Labels.of("cpu", {"host": "b", "mode": "idle"}),
        Labels.of("cpu", {"host": "b\n\"quoted\" 'too'; DROP TABLE series"}),
        Labels.of("mem", {"host": "a"}),
    ]
    store.intern([(one, Metric(one.name)) for one in labels])

    def found(*matchers: tuple[str, MatchOp, str]) -> list[int]:
        chosen = store.select([Matcher(*m) for m in matchers])
        return sorted(labels.index(s.labels) for s in chosen)

    equal, other, regex, no_regex = MatchOp
    assert found() == [0, 1, 2, 3]
    assert found(("__name__", equal, "cpu")) == [0, 1, 2]
    assert found(("host", equal, labels[2].get("host"))) == [2]
    assert found(("host", other, "a")) == [1, 2]
    assert found(("mode", equal, "")) == [2, 3]
    assert found(("mode", other, "")) == [0, 1]
    assert found(("mode", regex, "us.r|idle")) == [0, 1]
    assert found(("mode", regex, "us")) == []
    assert found(("mode", regex, ".*")) == [0, 1, 2, 3]
    assert found(("host", no_regex, "a|b"), ("__name__", equal, "cpu")) == [2]
    assert found(("host", regex, "(?s)b\n.*")) == [2]
    with pytest.raises(ValueError, match=r"bad regular expression '\('"):
        found(("host", regex, "("))
    store.close()


def test_a_remembered_answer_knows_new_series_and_is_the_caller_s_own(tmp_path: Path) -> None:
    store = opened(tmp_path)
    interned(store, 3)
    first = store.select([])
    first.clear()
    assert len(store.select([])) == 3
    version = store.series_version
    interned(store, 2, first=3)
    assert store.series_version != version
    assert len(store.select([])) == 5
    assert len(store.select([], limit=2)) == 2
    store.close()


def test_what_is_remembered_is_bounded() -> None:
    remembered = selection.Remembered()
    many = [object()] * 900
    for i in range(100):
        remembered.put(i, 1, many)  # type: ignore[arg-type]
    kept = [i for i in range(100) if remembered.get(i, 1) is not None]
    assert kept == list(range(kept[0], 100))
    assert 0 < len(kept) * 900 <= selection.MAX_REMEMBERED
    assert remembered.get(99, 2) is None


def test_the_first_metric_of_a_name_stays(tmp_path: Path) -> None:
    store = opened(tmp_path)
    metric = Metric("m", MetricKind.COUNTER, "bytes", "What it is")
    store.intern([(Labels.of("m", {"i": "0"}), metric)])
    store.intern([(Labels.of("m", {"i": "1"}), Metric("m", help="something else"))])
    for _ in range(2):
        assert store.metrics() == [metric]
        assert {s.metric for s in store.select([])} == {metric}
        store.close()
        store.open()
    store.close()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_selection_by_time_leaves_out_what_ended_before_and_began_after(
    tmp_path: Path, sealed: bool
) -> None:
    store = opened(tmp_path)
    early, late = interned(store, 2), interned(store, 2, first=2)
    fill(store, early, T0, 10)
    fill(store, late, T0 + HOUR, 10)
    if sealed:
        store.seal()

    def found(t_min: int | None, t_max: int | None) -> list[int]:
        return sorted(s.ref for s in store.select([], t_min, t_max))

    both = [*early.tolist(), *late.tolist()]
    assert found(None, None) == found(T0, T0 + HOUR) == found(None, FOREVER) == both
    assert found(T0 + 60_000, None) == late.tolist()
    assert found(T0 + 60_000, FOREVER) == late.tolist()
    assert found(None, T0 + HOUR - 1) == early.tolist()
    assert found(T0 - HOUR, T0 - 1) == []
    assert found(T0 + 2 * HOUR, FOREVER) == []
    store.close()


def test_unknown_refs_read_as_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 1)
    fill(store, refs, T0, 5)
    assert [len(c) for c in store.read([99, int(refs[0]), 99], 0, FOREVER)] == [0, 5, 0]
    assert [s.ref for s in store.series([99, int(refs[0])])] == refs.tolist()
    assert store.read([], 0, FOREVER) == []
    assert store.watermarks([99], 60_000).tolist() == [0]
    assert store.sealed_until([99]).tolist() == [0]
    store.close()


def test_times_that_no_clock_tells_are_refused(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 2)
    for t_ms in (2**62 + 1, np.array([T0, -(2**62) - 1])):
        with pytest.raises(ValueError, match="no times that a clock tells"):
            store.append([Batch(refs, t_ms, np.zeros(2))])
    with pytest.raises(ValueError, match="2 refs has 3 times"):
        store.append([Batch(refs, np.full(3, T0), np.zeros(2))])
    assert all_samples(store, refs) == [{}, {}]
    store.close()


READER = """
import json, sys
from pathlib import Path
from barograph_sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1])); store.open(read_only=True)
for _ in sys.stdin:
    refs = [s.ref for s in store.select([])]
    columns = store.read(refs, 0, 2**62)
    print(json.dumps([c.values.tolist() for c in columns]), flush=True)
store.close()
"""


def test_another_process_sees_each_append_at_once_through_sealing_and_rewriting(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 3)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(tmp_path)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert reader.stdin is not None
    assert reader.stdout is not None
    for i in range(12):
        fill(store, refs, T0 + (i + 1) * 10_000, 4)
        if i == 4:
            interned(store, 2, first=3)
        if i % 4 == 3:
            store.seal()
        if i % 5 == 2:  # late, and over what is there
            store.append([Batch(refs, T0 + 1000, np.full(3, float(i)))])
        print(file=reader.stdin, flush=True)
        seen = json.loads(reader.stdout.readline())
        wanted = [s.ref for s in store.select([])]
        assert seen == [c.values.tolist() for c in store.read(wanted, 0, FOREVER)]
    reader.stdin.close()
    assert reader.wait(20) == 0
    reader.stdout.close()
    store.close()


def test_a_reader_opens_what_no_writer_has_open(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 2)
    fill(store, refs, T0, 7)
    store.close()
    reader = opened(tmp_path, read_only=True)
    assert [len(s) for s in all_samples(reader, refs)] == [7, 7]
    assert reader.stats().samples == 14
    with pytest.raises(Exception, match="not open for writing"):
        reader.append([Batch(refs, T0, np.zeros(2))])
    reader.close()


def test_threads_that_read_see_every_sample_that_was_stored_before_they_asked(
    tmp_path: Path,
) -> None:
    """While another thread appends, seals and keeps house: never a sample less than before."""
    store = opened(tmp_path)
    refs = interned(store, 4)
    stored = 0
    done = threading.Event()
    failures: list[object] = []

    def read() -> None:
        while not done.is_set():
            before = stored
            counts = [len(c) for c in store.read(refs.tolist(), 0, FOREVER)]
            if min(counts) < before:
                failures.append((counts, before))
            if len(store.select([], t_min=T0)) < 4 * (before > 0):
                failures.append("series vanished")
            if store.stats().samples < 4 * before:
                failures.append("samples vanished from the count")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(400):
        store.append([Batch(refs if i % 7 else refs.copy(), T0 + i * 1000, np.zeros(4))])
        stored = i + 1
        if i % 50 == 49:
            store.seal()
        if i % 10 == 0:
            store.maintain(T0 + i * 100_000)
    done.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert failures == []
    store.close()


def test_stats_tell_what_is_there(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert (store.stats().samples, store.stats().t_min, store.stats().t_max) == (0, None, None)
    refs = interned(store, 3)
    fill(store, refs, T0, 100)
    stats = store.stats()
    assert (stats.series, stats.samples, stats.head_samples, stats.chunks) == (3, 300, 300, 0)
    store.seal()
    fill(store, refs, T0 - HOUR, 5)
    stats = store.stats()
    assert (stats.samples, stats.head_samples, stats.chunks) == (315, 15, 3)
    assert (stats.t_min, stats.t_max) == (T0 - HOUR, T0 + 99_000)
    store.seal()
    assert store.stats().levels == {0: 6}
    assert store.stats().bytes_on_disk >= (tmp_path / "barograph.db").stat().st_size
    store.close()


def test_sets_of_series_that_come_and_go_do_not_pile_up(tmp_path: Path) -> None:
    """A simulated day of processes: memory, sets and log rows are bounded by what is alive."""
    store = opened(tmp_path)
    rng = np.random.default_rng(3)
    pool = interned(store, 400)
    sizes = []
    for minute in range(1440):
        now = T0 + minute * 60_000
        fixed = pool[:20]
        moving = np.sort(rng.choice(pool[20:], 15, replace=False))
        store.append([Batch(fixed, now, np.zeros(20)), Batch(moving, now, np.zeros(15))])
        store.maintain(now)
        if minute % 240 == 239:
            with store.writing() as connection:
                (sets,) = connection.execute("SELECT count(*) FROM refsets").fetchone()
                (rows,) = connection.execute("SELECT count(*) FROM log").fetchone()
            sizes.append((sets, rows, len(store._head.all_blocks())))
    assert all(sets <= 5 for sets, _, _ in sizes), sizes
    assert all(blocks <= 5 for _, _, blocks in sizes), sizes
    assert max(rows for _, rows, _ in sizes[2:]) <= 2 * max(rows for _, rows, _ in sizes[:2]), sizes
    assert store.check() == []
    store.close()


def test_a_clock_that_is_set_back_costs_no_samples_and_no_memory(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 50)
    fill(store, refs, T0 + 2 * HOUR, 600)
    fill(store, refs, T0 + HOUR + 500, 1500)
    for i in range(20):
        store.maintain(T0 + HOUR + 1_500_000 + i * 1000)
    assert [len(s) for s in all_samples(store, refs)] == [2100] * 50
    store.close()
    store.open()
    assert [len(s) for s in all_samples(store, refs)] == [2100] * 50
    store.seal()
    assert store.check() == []
    store.close()


def test_samples_that_come_faster_than_housekeeping_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sealing", "store"):
        monkeypatch.setattr(f"barograph_sqlite.{module}.HEAD_BYTES", 200_000)
    store = opened(tmp_path)
    refs = interned(store, 100)
    peak = 0.0
    for i in range(60):
        fill(store, refs, T0 + i * 100_000, 20)
        t_ms = T0 + np.arange(2000) * 37 + i
        store.append([Batch(np.repeat(refs[:1], 2000), t_ms, np.zeros(2000))])
        peak = max(peak, store.stats().extra["head_bytes"])
    assert peak < 500_000
    assert sum(len(s) for s in all_samples(store, refs)) >= 60 * 100 * 20
    assert store.check() == []
    store.close()
