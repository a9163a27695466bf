"""The queue on disk against a list, over restarts, kills and damage."""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from barograph_prometheus.disk_queue import DiskQueue, Entry

entries = st.builds(Entry, st.binary(max_size=300), st.integers(1, 50))
steps = st.lists(st.one_of(entries, st.sampled_from(["take", "reopen"])), max_size=60)


@given(steps)
def test_it_gives_what_was_put_in_order_over_restarts(
    actions: list[Entry | str],
) -> None:
    model: deque[Entry] = deque()
    with tempfile.TemporaryDirectory() as name:
        queue = DiskQueue(Path(name), 2**30)
        queue._segment_bytes = 400  # so that there are several
        for action in actions:
            if isinstance(action, Entry):
                queue.put(action)
                model.append(action)
            elif action == "take":
                queue.take()
                if model:
                    model.popleft()
            else:
                queue = DiskQueue(Path(name), 2**30)
                queue._segment_bytes = 400
            assert queue.first() == (model[0] if model else None)
            assert queue.samples == sum(entry.samples for entry in model)
        while model:
            assert queue.first() == model.popleft()
            queue.take()
        assert queue.first() is None
        assert queue.nbytes == 0


@given(st.lists(entries, min_size=1, max_size=20), st.data())
def test_whatever_happens_to_its_last_bytes_all_before_them_is_kept(
    given_: list[Entry], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        queue = DiskQueue(Path(name), 2**30)
        ends = []
        for entry in given_:
            queue.put(entry)
            ends.append(queue.nbytes)
        path = next(Path(name).glob("*.queue"))
        cut = data.draw(st.integers(0, ends[-1]))
        whole = path.read_bytes()
        path.write_bytes(whole[:cut] + b"\xff" * data.draw(st.integers(0, 30)))
        again = DiskQueue(Path(name), 2**30)
        kept = [entry for entry, end in zip(given_, ends, strict=True) if end <= cut]
        again.put(Entry(b"after", 1))
        for entry in [*kept, Entry(b"after", 1)]:
            assert again.first() == entry
            again.take()
        assert again.first() is None


def test_a_full_queue_drops_its_oldest_and_counts_the_samples(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 2**20)
    put = [Entry(bytes([i]) * 30_000, 10) for i in range(100)]
    for entry in put:
        queue.put(entry)
        assert queue.nbytes <= 2**20
    kept = []
    while (entry := queue.first()) is not None:
        kept.append(entry)
        queue.take()
    assert kept == put[-len(kept) :]
    assert len(kept) >= 28
    assert queue.dropped == 10 * (100 - len(kept))


def test_what_is_larger_than_the_queue_is_dropped_alone(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 2**20)
    queue.put(Entry(b"small", 1))
    queue.put(Entry(bytes(2**20), 7))
    assert queue.dropped == 7
    assert queue.first() == Entry(b"small", 1)


def test_an_entry_that_was_dropped_meanwhile_is_not_taken_for_the_next(tmp_path: Path) -> None:
    queue = DiskQueue(tmp_path, 2**20)
    queue.put(Entry(b"one", 1))
    queue.put(Entry(b"two", 2))
    assert not queue.drop_first(Entry(b"two", 2))
    assert queue.drop_first(Entry(b"one", 1))
    assert queue.first() == Entry(b"two", 2)
