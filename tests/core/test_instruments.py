"""Instruments: exact sums from many threads, timings of every kind of function, bounded labels."""

from __future__ import annotations

import asyncio
import math
import os
import threading
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph.instruments import Counter, Gauge, Histogram, Registry, Timer
from barograph.instruments.family import MAX_CHILDREN, OVERFLOW
from barograph.instruments.registry import REGISTRY
from barograph.sketch import quantile


@pytest.fixture
def registry() -> Registry:
    return Registry()


def values(registry: Registry) -> dict[str, float]:
    return {d.name + str(dict(p) or ""): r.value for d, p, r in registry.read()}


def test_a_counter_added_to_by_many_threads_loses_nothing(registry: Registry) -> None:
    counter = Counter("jobs_total", registry=registry)
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for _ in range(20_000):
            counter.inc()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        registry.read()  # collecting meanwhile takes nothing away
    for thread in threads:
        thread.join()
    assert values(registry) == {"jobs_total": 160_000}


@pytest.mark.parametrize("n", [-1, -1e-9, math.nan])
def test_a_counter_refuses_what_is_no_growth(registry: Registry, n: float) -> None:
    counter = Counter("jobs_total", registry=registry)
    with pytest.raises(ValueError, match="only grows"):
        counter.inc(n)
    assert values(registry)["jobs_total"] == 0


def test_a_gauge_holds_what_was_set_and_added(registry: Registry) -> None:
    gauge = Gauge("queue_jobs", registry=registry)
    gauge.inc(3)
    gauge.dec()
    assert values(registry)["queue_jobs"] == 2
    gauge.set(10)
    threading.Thread(target=gauge.inc).run()
    assert values(registry)["queue_jobs"] == 11


def test_a_gauge_asks_its_function_and_has_no_value_when_that_raises(registry: Registry) -> None:
    gauge = Gauge("queue_jobs", registry=registry)
    gauge.set_function(lambda: 7)
    assert values(registry)["queue_jobs"] == 7
    gauge.set_function(lambda: 1 / 0)
    assert math.isnan(values(registry)["queue_jobs"])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=50))
def test_a_histogram_counts_as_a_naive_one_does(given_values: list[float]) -> None:
    registry, bounds = Registry(), (-10.0, 0.0, 0.5, 100.0)
    histogram = Histogram("size", buckets=bounds, registry=registry)
    for value in given_values:
        histogram.observe(value)
    _, _, reading = registry.read()[0]
    wanted: dict[int, int] = {}
    for value in given_values:
        bucket = next((i for i, b in enumerate(bounds) if value <= b), len(bounds))
        wanted[bucket] = wanted.get(bucket, 0) + 1
        assert bucket == bisect_left(bounds, value)
    assert dict(reading.counts) == wanted
    assert reading.value == pytest.approx(sum(given_values), rel=1e-9, abs=1e-9)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.floats(0, 1))
def test_a_sketch_tells_every_quantile_within_one_percent(data: list[float], q: float) -> None:
    registry = Registry()
    timer = Histogram("size", sketch=True, registry=registry)
    for value in data:
        timer.observe(value)
    _, _, reading = registry.read()[0]
    keys = np.array(sorted(reading.counts), np.int32)
    counts = np.array([reading.counts[k] for k in keys.tolist()], np.int64)
    exact = sorted(data)[math.floor(q * (len(data) - 1))]
    assert quantile(keys, counts, q) == pytest.approx(exact, rel=0.0101, abs=1e-300)


@pytest.mark.parametrize("sketch", [False, True])
def test_nan_is_refused_and_poisons_no_sum(registry: Registry, sketch: bool) -> None:
    histogram = Histogram("size", sketch=sketch, registry=registry)
    histogram.observe(1.0)
    with pytest.raises(ValueError, match="cannot be observed"):
        histogram.observe(math.nan)
    assert registry.read()[0][2].value == 1.0


@pytest.mark.parametrize("make", [Histogram, Timer])
async def test_every_kind_of_function_is_timed(registry: Registry, make: type) -> None:
    took = make("work_duration_seconds", registry=registry)

    @took.time
    def plain(n: int) -> int:
        """A docstring."""
        return n + 1

    @took.time
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return "done"

    @took.time
    def generator() -> Iterator[int]:
        yield 1
        yield 2

    @took.time
    async def async_generator() -> AsyncIterator[int]:
        yield 1

    @took.time
    def failing() -> None:
        raise KeyError("still raised")

    assert plain(1) == 2
    assert plain.__doc__ == "A docstring."
    assert await coroutine() == "done"
    assert list(generator()) == [1, 2]
    assert [x async for x in async_generator()] == [1]
    with pytest.raises(KeyError, match="still raised"):
        failing()
    with took.timed(), took.timed():
        pass
    assert sum(registry.read()[0][2].counts.values()) == 7


async def test_interleaved_blocks_of_one_thread_are_timed_apart(registry: Registry) -> None:
    took = Histogram("work_duration_seconds", buckets=(0.02,), registry=registry)
    begun, end = asyncio.Event(), asyncio.Event()

    async def long() -> None:
        with took.timed():
            begun.set()
            await end.wait()

    task = asyncio.create_task(long())
    await begun.wait()
    with took.timed():
        pass
    await asyncio.sleep(0.03)
    end.set()
    await task
    assert dict(registry.read()[0][2].counts) == {0: 1, 1: 1}


def test_labels_must_be_those_that_were_declared(registry: Registry) -> None:
    counter = Counter("jobs_total", labels=("kind", "queue"), registry=registry)
    counter.labels(kind="mail", queue=1).inc(2)
    assert counter.labels(queue="1", kind="mail") is counter.labels(kind="mail", queue=1)
    for wrong in (
        {"kind": "mail"},
        {"kind": "a", "queue": "b", "more": "c"},
        {"kynd": 1, "queue": 2},
    ):
        with pytest.raises(ValueError, match="has the labels kind, queue"):
            counter.labels(**wrong)
    with pytest.raises(ValueError, match="labels: call"):
        counter.inc()
    assert values(registry) == {"jobs_total{'kind': 'mail', 'queue': '1'}": 2}


def test_combinations_beyond_the_limit_are_counted_together(registry: Registry) -> None:
    counter = Counter("jobs_total", labels=("id",), registry=registry)
    for i in range(MAX_CHILDREN + 10):
        counter.labels(id=i).inc()
    found = {pairs: reading.value for _, pairs, reading in registry.read()}
    assert len(found) == MAX_CHILDREN + 1
    assert found[OVERFLOW] == 10


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda r: Counter("jobs", registry=r), "jobs_total"),
        (lambda r: Counter("jobs-total_total", registry=r), "no metric name"),
        (lambda r: Gauge("x", labels=("le",), registry=r), "reserved"),
        (lambda r: Gauge("x", labels=("a b",), registry=r), "no label name"),
        (lambda r: Gauge("x", labels=("a", "a"), registry=r), "twice"),
        (lambda r: Histogram("x", buckets=(2, 1), registry=r), "must rise"),
        (lambda r: Histogram("x", buckets=(), registry=r), "must rise"),
        (lambda r: Timer("x", registry=r), "x_seconds"),
        (lambda r: [Gauge("x", registry=r), Gauge("x", registry=r)], "already"),
    ],
)
def test_a_bad_definition_says_what_is_wrong(registry: Registry, make: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(registry)  # type: ignore[operator]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_at_nothing() -> None:
    counter = Counter("test_forked_total", "Counted in a parent and its child")
    counter.inc(5)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # the child must not run the test session's own ends
        counter.inc(2)
        found = [r.value for d, _, r in REGISTRY.read() if d.name == "test_forked_total"]
        os.write(write, str(found[0]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"2.0"
    assert next(r.value for d, _, r in REGISTRY.read() if d.name == "test_forked_total") == 5
