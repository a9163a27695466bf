"""Many series read at once: the samples that each has when it is read by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plugins.sqlite.filling import FOREVER, T0, fill, interned, opened

from barograph.columns import Columns, ColumnStore, read_columns
from barograph.model import Batch
from barograph_sqlite import columns, decoded
from barograph_sqlite.decoded import Decoded
from barograph_sqlite.store import SqliteStore

SERIES = 6

# Which series get a sample, at which second, or what is done with all there is.
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([(0, 1, 2, 3, 4, 5), (0, 1, 2), (3, 4, 5), (1, 4), (2,)]),
            st.integers(0, 200),
        ),
        st.sampled_from(["seal", "ticks", "reopen"]),
    ),
    max_size=14,
)


def agree(store: SqliteStore, refs: np.ndarray, t_min: int, t_max: int) -> Columns:
    """``read_columns`` says what ``read`` says; and tells how much it was."""
    told: list[int] = []
    found = store.read_columns(refs, t_min, t_max, told.append)
    want = store.read(refs.tolist(), t_min, t_max)
    assert len(found) == len(want)
    assert found.offsets.tolist() == np.cumsum([0, *map(len, want)]).tolist()
    for i, column in enumerate(want):
        a, b = found.offsets[i : i + 2]
        assert found.t_ms[a:b].tolist() == column.t_ms.tolist()
        assert found.values[a:b].tobytes() == column.values.tobytes()
    assert sum(told) == found.offsets[-1]
    if found.grid is not None:
        assert found.grid.T.tobytes() == found.values.tobytes()
    return found


@settings(max_examples=60, deadline=None)
@given(STEPS, st.lists(st.tuples(st.integers(-5, 260), st.integers(0, 260)), max_size=4))
def test_a_read_of_many_series_is_that_of_each(
    steps: list[str | tuple[tuple[int, ...], int]], spans: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = opened(Path(folder))
        refs = interned(store, SERIES)
        now = 0
        for i, step in enumerate(steps):
            if step == "seal":
                store.seal()
            elif step == "reopen":
                store.close()
                store.open()
            elif step == "ticks":
                fill(store, refs, T0 + now * 1000, 20)
                now += 20
            else:
                which, second = step
                values = np.arange(len(which)) + 100.0 * i
                store.append([Batch(refs[list(which)], T0 + second * 1000, values)])
        for first, length in [(-5, 1000), *spans]:
            t_min = T0 + first * 1000
            agree(store, refs, t_min, t_min + length * 1000)
            agree(store, refs[::-1][:3], t_min, t_min + length * 1000)
        store.close()


def test_series_of_one_source_come_as_a_grid_in_the_head_sealed_and_both(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 300)
    fill(store, refs, T0, 50)
    assert agree(store, refs, T0 + 10_000, FOREVER).grid is not None
    store.seal()
    assert agree(store, refs, T0 + 10_000, FOREVER).grid is not None
    fill(store, refs, T0 + 50_000, 50)
    assert agree(store, refs, T0 + 10_000, FOREVER).grid is not None
    assert agree(store, refs, T0 + 60_000, FOREVER).grid is not None
    assert len(agree(store, refs, T0 + 10_000_000, FOREVER).values) == 0
    assert len(agree(store, refs[:0], T0, FOREVER)) == 0
    store.close()


def test_a_chunk_that_is_damaged_is_left_out_and_told(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 3)
    fill(store, refs, T0, 50)
    store.seal()
    with store.writing() as connection:
        connection.execute(
            "UPDATE chunks SET body = zeroblob(length(body)) WHERE ref = ?", (int(refs[1]),)
        )
    found = agree(store, refs, T0, FOREVER)
    assert np.diff(found.offsets).tolist() == [50, 0, 50]
    assert any(f"series {refs[1]}" in p.what + p.where for p in store.problems)
    store.close()


def test_a_read_ends_when_it_is_told_to(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = interned(store, 600)
    fill(store, refs, T0, 5)
    store.seal()
    told: list[int] = []

    def spend(count: int) -> None:
        told.append(count)
        raise OverflowError

    with pytest.raises(OverflowError):
        store.read_columns(refs, T0, FOREVER, spend)
    assert len(told) == 1
    assert told[0] < 600 * 5
    assert len(agree(store, refs, T0, FOREVER)) == 600
    store.close()


def test_samples_are_told_before_their_chunks_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    refs = interned(store, 7)
    fill(store, refs, T0, 50)
    store.seal()
    unpacked: list[int] = []
    before = columns.unpack_values

    def unpack(body: bytes, n: int) -> NDArray[np.float64]:
        unpacked.append(n)
        return before(body, n)

    monkeypatch.setattr(columns, "unpack_values", unpack)
    monkeypatch.setattr(columns, "TOLD_AT_ONCE", 120)
    told: list[int] = []

    def spend(count: int) -> None:
        told.append(count)
        if sum(told) > 200:
            raise OverflowError

    with pytest.raises(OverflowError):
        store.read_columns(refs, T0, FOREVER, spend)
    assert 200 < sum(told) <= 300
    assert unpacked == []
    told.clear()
    store.read_columns(refs[:4], T0, FOREVER, told.append)
    assert sum(told) == 200
    store.close()


def test_a_store_that_reads_columns_only_one_by_one_will_do(tmp_path: Path) -> None:
    class Plain:
        def __init__(self, store: SqliteStore) -> None:
            self.read = store.read

    store = opened(tmp_path)
    refs = interned(store, 700)
    fill(store, refs, T0, 5)
    told: list[int] = []
    found = read_columns(Plain(store), refs, T0, FOREVER, told.append)  # type: ignore[arg-type]
    want = agree(store, refs, T0, FOREVER)
    assert isinstance(store, ColumnStore)
    assert found.values.tobytes() == want.values.tobytes()
    assert found.t_ms.tolist() == want.t_ms.tolist()
    assert told == [512 * 5, 188 * 5]
    store.close()


def test_a_chunk_whose_number_another_had_is_not_taken_for_it(tmp_path: Path) -> None:
    """SQLite gives the number of the newest row that was deleted again."""
    store = opened(tmp_path)
    refs = interned(store, 2)
    for value in (1.0, 2.0):
        store.append([Batch(refs, T0 + 1000 * i, np.full(2, value + i)) for i in range(50)])
        store.seal()
        found = agree(store, refs, T0, FOREVER)
        assert found.values[0] == value
        with store.writing() as connection:
            connection.execute("DELETE FROM chunks")
    store.close()


def test_decoded_values_are_bounded_and_let_go_when_nobody_asks() -> None:
    kept = Decoded(max_bytes=1000)
    shared = np.arange(25)
    parts = [(shared, np.full(25, float(i))) for i in range(6)]  # 200 bytes each, and the times
    for i, one in enumerate(parts):
        kept.put((i, 25, b""), one)
    assert kept.nbytes == 1000
    assert [kept.get((i, 25, b"")) is not None for i in range(6)] == [True] * 4 + [False] * 2
    kept.let_go(0.0)
    kept.get((1, 25, b""))
    kept.let_go(decoded.KEPT_S - 1)
    assert kept.nbytes == 1000
    kept.let_go(decoded.KEPT_S)
    assert kept.nbytes == 400
    assert kept.get((1, 25, b"")) is parts[1]
    kept.put((7, 25, b""), (np.arange(25), np.zeros(25)))
    assert kept.nbytes == 800
    kept.let_go(3 * decoded.KEPT_S)
    kept.let_go(5 * decoded.KEPT_S)
    assert kept.nbytes == 0
