"""The writer: one commit for each burst, a bounded queue, and a store that refuses."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock, eventually

from barograph import Batch
from barograph.contracts import StoreError, StoreFull
from barograph.live import Latest
from barograph.selfmetrics import Meter
from barograph.writer import MAX_RETRY_S, MIN_RETRY_S, Writer


class FaultyStore:
    """Takes batches unless ``error`` is set; hangs while ``gate`` is closed."""

    def __init__(self) -> None:
        self.commits: list[list[Batch]] = []
        self.attempts = 0
        self.error: Exception | None = None
        self.maintain_error: Exception | None = None
        self.maintained = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def append(self, batches: list[Batch]) -> None:
        self.attempts += 1
        self.entered.set()
        self.gate.wait(30)
        if self.error is not None:
            raise self.error
        self.commits.append(list(batches))

    def maintain(self, now_ms: int) -> None:
        self.maintained += 1
        if self.maintain_error is not None:
            raise self.maintain_error


class World:
    def __init__(self, limit: int = 100) -> None:
        self.store, self.meter, self.clock = FaultyStore(), Meter(), FakeClock()
        self.latest = Latest()
        store: Any = self.store
        self.watched = 0
        self.watch_error: Exception | None = None
        self.writer = Writer(store, None, self.latest, self.meter, self.clock, limit, self.watch)

    def watch(self) -> None:
        self.watched += 1
        if self.watch_error is not None:
            raise self.watch_error

    def offer(self, *values: float) -> None:
        for value in values:
            t = self.clock.now_ms() + round(value)
            self.writer.offer([Batch(np.array([1]), t, np.array([value]))])

    def stored(self) -> list[float]:
        return [v for commit in self.store.commits for b in commit for v in b.values.tolist()]


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_queued_becomes_one_commit_in_order(world: World) -> None:
    world.offer(1, 2, 3)
    assert world.meter.value("barograph_queue_batches") == 3
    assert world.meter.value("barograph_queue_samples") == 3
    assert world.writer.write_once()
    assert len(world.store.commits) == 1
    assert world.stored() == [1, 2, 3]
    assert world.meter.value("barograph_queue_batches") == 0
    assert world.meter.value("barograph_queue_samples") == 0
    assert world.meter.value("barograph_samples_stored_total") == 3
    assert world.meter.value("barograph_commits_total") == 1
    assert world.writer.write_once()
    assert world.store.attempts == 1


def test_a_full_queue_loses_the_oldest_and_counts_them() -> None:
    world = World(limit=3)
    world.offer(*range(10))
    assert world.writer.queued == 3
    assert world.meter.value("barograph_queue_dropped_total") == 7
    assert world.meter.value("barograph_queue_samples") == 3
    world.writer.write_once()
    assert world.stored() == [7, 8, 9]


@pytest.mark.parametrize(
    "error", [StoreFull("the disk is full"), StoreError("broken"), OSError("i/o")]
)
def test_a_store_that_refuses_keeps_the_samples_and_is_told_until_it_takes_them(
    world: World, error: Exception
) -> None:
    world.store.error = error
    world.offer(1, 2)
    assert not world.writer.write_once()
    assert world.writer.problem is not None
    assert str(error) in world.writer.problem.what
    assert world.writer.queued == 2
    assert world.meter.value("barograph_store_errors_total") == 1
    world.store.error = None
    world.offer(3)
    assert world.writer.write_once()
    assert world.stored() == [1, 2, 3]
    assert world.writer.problem is None


def test_a_store_that_refuses_is_tried_less_often(world: World) -> None:
    world.store.error = StoreFull("full")
    waits = []
    for _ in range(7):
        world.offer(1)
        world.writer.write_once()
        waits.append(world.writer._retry_at - world.clock.monotonic())
    assert waits == [MIN_RETRY_S, 1, 2, 4, 8, MAX_RETRY_S, MAX_RETRY_S]
    assert not world.writer._may_write()
    world.clock.advance(MAX_RETRY_S)
    assert world.writer._may_write()


def test_what_overflows_during_a_commit_is_neither_lost_twice_nor_stored_twice() -> None:
    world = World(limit=2)
    world.offer(1, 2)
    world.store.gate.clear()
    thread = threading.Thread(target=world.writer.write_once, daemon=True)
    thread.start()
    assert world.store.entered.wait(10)
    world.offer(3)  # pushes 1 out of the queue while it is being stored
    world.store.gate.set()
    thread.join(10)
    assert world.stored() == [1, 2]
    assert world.writer.queued == 1
    world.writer.write_once()
    assert world.stored() == [1, 2, 3]
    assert world.meter.value("barograph_queue_samples") == 0


def test_the_thread_writes_what_comes_and_keeps_house(world: World) -> None:
    told: list[int] = []
    unsubscribe = world.writer.subscribe(told.append)
    world.writer.start()
    world.offer(1)
    world.clock.settle(1)  # it gathers
    world.offer(2)
    world.clock.advance(0.05)
    eventually(lambda: told)
    assert world.stored() == [1, 2]
    assert len(world.store.commits) == 1
    eventually(lambda: world.store.maintained and world.watched)
    unsubscribe()
    unsubscribe()
    world.offer(3)
    assert world.writer.stop(10)
    assert world.stored() == [1, 2, 3]
    assert len(told) == 1


def test_stopping_stores_what_is_queued_without_waiting_for_the_clock(world: World) -> None:
    world.writer.start()
    world.offer(1)
    world.clock.settle(1)
    assert world.writer.stop(10)
    assert world.stored() == [1]


def test_stopping_leaves_a_store_that_hangs_behind_and_says_so(world: World) -> None:
    world.store.gate.clear()
    world.writer.start()
    world.offer(1)
    world.clock.settle(1)
    world.clock.advance(1)
    assert world.store.entered.wait(10)
    assert not world.writer.stop(0.05)
    assert world.writer.queued == 1
    world.store.gate.set()


def test_a_listener_that_raises_is_counted_and_the_others_are_told(world: World) -> None:
    told: list[int] = []
    world.writer.subscribe(lambda now: 1 // 0)
    world.writer.subscribe(told.append)
    world.offer(1)
    world.writer.write_once()
    assert told == [world.clock.now_ms()]
    assert world.meter.value("barograph_listener_errors_total") == 1


@pytest.mark.parametrize("where", ["store", "watch"])
def test_housekeeping_that_fails_is_told_apart_and_samples_still_flow(
    world: World, where: str
) -> None:
    if where == "store":
        world.store.maintain_error = StoreError("cannot seal")
    else:
        world.watch_error = RuntimeError("cannot seal")
    world.writer.housekeeping()
    assert world.writer.housekeeping_problem is not None
    assert "cannot seal" in world.writer.housekeeping_problem.what
    assert world.writer.problem is None
    assert world.meter.value("barograph_housekeeping_errors_total") == 1
    world.offer(1)
    assert world.writer.write_once()
    world.store.maintain_error = world.watch_error = None
    world.writer.housekeeping()
    assert world.writer.housekeeping_problem is None


def test_the_age_of_the_last_commit_does_not_follow_the_wall_clock(world: World) -> None:
    assert world.writer.stored_age_s is None
    world.offer(1)
    world.writer.write_once()
    world.clock.set_wall(-3600)
    world.clock.advance(12)
    assert world.writer.stored_age_s == pytest.approx(12)


@pytest.mark.parametrize("own", [True, False])
def test_free_memory_is_given_back_now_and_then_in_a_process_of_our_own(
    monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    turns: list[None] = []
    monkeypatch.setattr("barograph.writer.give_back", lambda: turns.append(None))
    monkeypatch.setattr("barograph.writer.GIVE_BACK_S", 10.0)
    store: Any = FaultyStore()
    clock = FakeClock()
    writer = Writer(store, None, Latest(), Meter(), clock, 9, lambda: None, own_process=own)
    clock.advance(100)
    for _ in range(31):
        writer.housekeeping()
        clock.advance(1)
    assert len(turns) == (4 if own else 0)
