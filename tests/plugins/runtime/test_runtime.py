"""The runtime source: this interpreter's own numbers."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import eventually

from barograph.loops import forget_loop, watch_loop
from barograph.testing import check_metric_source, check_widget
from barograph_runtime import Config, barograph_metric_sources, barograph_widgets
from barograph_runtime.source import GC, GcWatch, LoopWatch, RuntimeSource


def taken(source: RuntimeSource) -> dict[tuple[str, str], float]:
    return {
        (s.name, s.labels.get("generation", s.labels.get("loop", ""))): s.value
        for s in source.collect(0)
    }


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs in a thread of its own."""
    one = asyncio.new_event_loop()
    thread = threading.Thread(target=one.run_forever, daemon=True)
    thread.start()
    eventually(one.is_running)
    yield one
    forget_loop(one)
    if not one.is_closed():
        one.call_soon_threadsafe(one.stop)
        thread.join(10)
        one.close()


def test_the_plugin_s_objects_keep_their_contracts() -> None:
    for source in barograph_metric_sources(Config()):
        check_metric_source(source)
    for widget in barograph_widgets():
        check_widget(widget)


def test_garbage_collections_are_counted_and_timed() -> None:
    source = RuntimeSource(1.0)
    before = taken(source)

    class Node:
        def __init__(self) -> None:
            self.me = self

    for _ in range(50_000):
        Node()
    gc.collect()
    after = taken(source)
    for name in ("cpython_gc_collections_total", "cpython_gc_pause_seconds_total",
                 "cpython_gc_collected_objects_total"):  # fmt: skip
        assert after[(name, "2")] > before[(name, "2")], name
    assert after[("python_allocated_blocks", "")] > 1000


def test_the_collector_is_watched_once_however_many_sources_there_are() -> None:
    for _ in range(5):
        taken(RuntimeSource(1.0))
    assert gc.callbacks.count(GC._on_gc) == 1


def test_a_watch_that_begins_within_a_collection_measures_nothing_odd() -> None:
    watch = GcWatch()
    watch._on_gc("stop", {"generation": 1})
    assert watch.pauses == [0.0, 0.0, 0.0]
    watch.start()
    watch.start()
    gc.collect()
    assert watch.pauses[2] > 0
    watch.stop()
    watch.stop()
    assert watch._on_gc not in gc.callbacks


def test_threads_are_counted() -> None:
    release = threading.Event()
    source = RuntimeSource(1.0)
    before = taken(source)[("python_threads", "")]
    threads = [threading.Thread(target=release.wait, args=(30,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert taken(source)[("python_threads", "")] == before + 3
    release.set()
    for thread in threads:
        thread.join(10)


def test_the_lag_of_a_loop_that_is_blocked_shows_while_it_is_blocked(loop: Any) -> None:
    name = watch_loop(loop, "blocked")
    source = RuntimeSource(1.0)
    assert ("python_event_loop_lag_seconds", name) in taken(source)
    release, blocked = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        release.wait(30)

    loop.call_soon_threadsafe(block)
    assert blocked.wait(10)
    eventually(lambda: taken(source)[("python_event_loop_lag_seconds", name)] > 0.2)
    release.set()
    eventually(lambda: taken(source)[("python_event_loop_lag_seconds", name)] < 0.2)


def test_a_delay_between_two_samples_is_told_once_it_is_over(loop: Any) -> None:
    watch = LoopWatch(loop, "x")
    watch.begin()
    eventually(lambda: watch._due is not None and watch._due - loop.time() > 0)
    done = threading.Event()
    loop.call_soon_threadsafe(lambda: (time.sleep(0.9), done.set()))
    assert done.wait(10)
    eventually(lambda: watch._worst > 0.1)
    assert watch.lag() > 0.1
    assert watch.lag() < 0.1
    watch.stopped = True


def test_a_loop_that_closes_or_is_forgotten_is_watched_no_longer(loop: Any) -> None:
    name = watch_loop(loop, "short")
    source = RuntimeSource(1.0)
    assert ("python_event_loop_lag_seconds", name) in taken(source)
    watch = source._loops[name]
    forget_loop(loop)
    assert ("python_event_loop_lag_seconds", name) not in taken(source)
    assert watch.stopped
    again = watch_loop(loop, "short")
    assert ("python_event_loop_lag_seconds", again) in taken(source)


def test_a_loop_that_does_not_run_yet_is_no_lag() -> None:
    one = asyncio.new_event_loop()
    try:
        name = watch_loop(one, "idle")
        assert ("python_event_loop_lag_seconds", name) not in taken(RuntimeSource(1.0))
    finally:
        one.close()


def test_watches_end_with_their_source(loop: Any) -> None:
    name = watch_loop(loop, "orphan")
    source = RuntimeSource(1.0)
    taken(source)
    watch = source._loops[name]
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is None
    assert watch.stopped


async def test_the_loop_of_an_embedding_program_is_measured(tmp_path: Any) -> None:
    from barograph import Config as Whole
    from barograph import PerformanceMonitor
    from barograph.config import Duration, MonitorConfig, PluginSettings
    from barograph.model import Matcher

    settings = {"runtime": PluginSettings(True, Config(interval=Duration(0.5)))}
    config = Whole(monitor=MonitorConfig(data_dir=tmp_path), plugins=settings)
    async with PerformanceMonitor(config) as monitor:
        wanted = [Matcher.equal("__name__", "python_event_loop_lag_seconds"),
                  Matcher.equal("loop", "main")]  # fmt: skip
        until = time.monotonic() + 15
        while not await asyncio.to_thread(monitor.store.select, wanted):
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
