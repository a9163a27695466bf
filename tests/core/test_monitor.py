"""PerformanceMonitor: its life, with a real store, and with parts that fail."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import pytest
from fakes import FakeClock, FunctionSource, Hang, eventually

from barograph import PerformanceMonitor, PluginManager, Sample, hookimpl
from barograph.config import (
    Config,
    Duration,
    MonitorConfig,
    PluginSettings,
    RollupConfig,
    ServerConfig,
    StorageConfig,
    option,
    options,
)
from barograph.contracts import StoreError, StoreFull, StoreLocked
from barograph.loops import watched_loops
from barograph.model import Matcher, is_stale
from barograph.monitor import State
from barograph.widgets import chart, query
from barograph.writer import GATHER_S

OFF = {
    info.name: PluginSettings(enabled=False)
    for info in PluginManager().discover() if info.name not in ("sqlite", "rollup")
}  # fmt: skip
"""All that is installed, but for the store and the aggregator."""


def plugin(config_class: type | None = None, **hooks: Any) -> Any:
    """A plugin object with the given hooks."""
    made = SimpleNamespace(**{
        f"barograph_{name}": hookimpl(function) for name, function in hooks.items()
    })  # fmt: skip
    if config_class is not None:
        made.Config = config_class
    return made


def manager(**plugins: Any) -> PluginManager:
    made = PluginManager()
    for name, one in plugins.items():
        made.register(one, name)
    return made


def sources(*given: Any) -> Any:
    return plugin(metric_sources=lambda: list(given))


def config(
    tmp_path: Path, plugins: dict[str, PluginSettings] | None = None, **monitor: Any
) -> Config:
    monitor.setdefault("interval", Duration(0.1))
    return Config(
        monitor=MonitorConfig(data_dir=tmp_path / "data", **monitor), plugins=OFF | (plugins or {})
    )


def ticker(name: str = "tick", interval_s: float | None = 0.05) -> FunctionSource:
    return FunctionSource(name, lambda now: [Sample(f"{name}_value", now / 1000)], interval_s)


def stored(monitor: PerformanceMonitor, name: str) -> list[float]:
    refs = [s.ref for s in monitor.store.select([Matcher.equal("__name__", name)])]
    return [v for c in monitor.store.read(refs, 0, 2**62) for v in c.values.tolist()]


# --- life -----------------------------------------------------------------------------------------


def test_a_life_from_new_to_stopped_and_again(tmp_path: Path) -> None:
    monitor = PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker())))
    assert monitor.state is State.NEW
    assert not monitor.health().live
    assert monitor.problems == []
    seen = []
    for _ in range(2):
        monitor.start()
        assert monitor.state is State.RUNNING
        with pytest.raises(RuntimeError, match="the monitor is running"):
            monitor.start()
        eventually(lambda: monitor.health().ready)
        seen.append(eventually(lambda: len(stored(monitor, "tick_value"))))
        monitor.stop()
        monitor.stop()
        assert monitor.state is State.STOPPED
        assert not monitor.health().live
        assert monitor.problems == []
    with monitor:
        assert len(stored(monitor, "tick_value")) >= seen[1] > seen[0]  # history stays
        eventually(lambda: stored(monitor, "barograph_commits_total"))
        dropped = [
            s for s in monitor.meter.samples() if s.name == "barograph_samples_dropped_total"
        ]
        assert all(s.value == 0 for s in dropped)


def test_an_exception_in_the_block_stops_the_monitor_and_goes_on(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        PerformanceMonitor(config(tmp_path), plugins=manager()) as monitor,
    ):
        raise KeyError
    assert monitor.state is State.STOPPED


async def test_it_works_in_an_asyncio_program_whose_loop_is_watched(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with PerformanceMonitor(
        config(tmp_path), plugins=manager(mine=sources(ticker()))
    ) as monitor:
        assert loop in watched_loops().values()
        until = time.monotonic() + 10
        while not monitor.health().ready:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
    assert monitor.state is State.STOPPED
    assert loop not in watched_loops().values()


async def test_a_plain_block_in_a_coroutine_watches_its_loop_too(tmp_path: Path) -> None:
    with PerformanceMonitor(config(tmp_path), plugins=manager()):
        assert asyncio.get_running_loop() in watched_loops().values()
    assert asyncio.get_running_loop() not in watched_loops().values()


def test_it_works_in_a_thread_of_a_program(tmp_path: Path) -> None:
    ready: list[bool] = []

    def life() -> None:
        with PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker()))) as one:
            ready.append(eventually(lambda: one.health().ready))

    thread = threading.Thread(target=life, daemon=True)
    thread.start()
    thread.join(20)
    assert ready == [True]
    names = {t.name for t in threading.enumerate()}
    assert not names & {"barograph-tick", "barograph-writer", "barograph-close"}


def test_signals_end_the_wait_and_reload(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    told: list[int] = []
    with PerformanceMonitor(config(tmp_path), plugins=manager()) as monitor:
        restore = monitor.install_signals(lambda: told.append(1))
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            eventually(lambda: told)
            assert not monitor.wait(0.0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert monitor.wait(10)
        finally:
            restore()
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_was_queued_is_stored_before_the_end(tmp_path: Path) -> None:
    clock = FakeClock()  # the writer gathers until time moves, which it does not
    monitor = PerformanceMonitor(
        config(tmp_path), plugins=manager(mine=sources(ticker(interval_s=1.0))), clock=clock
    )
    monitor.start()
    clock.settle(3)
    monitor.stop()
    monitor.clock = FakeClock(clock.now_ms() + 60_000)
    monitor.start()
    assert stored(monitor, "tick_value") == [clock.now_ms() // 1000]
    monitor.stop()


# --- shutdown within its deadline -----------------------------------------------------------------


def test_stopping_takes_no_longer_than_its_deadline_even_if_everything_hangs(
    tmp_path: Path,
) -> None:
    release = threading.Event()
    hang = Hang("hang", 0.05)
    life = SimpleNamespace(
        name="life", start=lambda monitor: None, stop=lambda deadline_s: release.wait(60)
    )
    monitor = PerformanceMonitor(
        config(tmp_path, shutdown_deadline=Duration(1.0)),
        plugins=manager(a=sources(hang, ticker()), b=plugin(lifecycle=lambda: [life])),
    )
    monitor.start()
    assert hang.hanging.wait(10)
    eventually(lambda: monitor.health().ready)
    real_append, real_close = monitor.store.append, monitor.store.close
    appending = threading.Event()

    def append(batches: Any) -> None:
        appending.set()
        release.wait(60)
        real_append(batches)

    def close() -> None:
        release.wait(60)
        real_close()

    monitor.store.append, monitor.store.close = append, close  # type: ignore[method-assign]
    assert appending.wait(10)
    before = time.monotonic()
    monitor.stop()
    took = time.monotonic() - before
    told = {p.what for p in monitor.problems}
    release.set()
    hang.release.set()
    assert monitor.state is State.STOPPED
    assert took < 1.9  # the deadline is 1 s; the rest is for a loaded machine
    assert any("life did not stop: it took longer" in what for what in told)
    assert any("were not stored before the end" in what for what in told)
    assert "closing takes longer than the shutdown deadline" in told


def test_stopping_does_not_wait_for_a_reload_that_hangs_in_a_plugin(tmp_path: Path) -> None:
    release, hanging = threading.Event(), threading.Event()

    @options
    class Options:
        n: int = option(0)

    def build(config: Any) -> list[Any]:
        if config.n:
            hanging.set()
            release.wait(60)
            return [ticker("late")]
        return []

    plugins = manager(mine=plugin(Options, metric_sources=build))
    monitor = PerformanceMonitor(config(tmp_path, shutdown_deadline=Duration(0.8)), plugins=plugins)
    monitor.start()
    new = config(tmp_path, {"mine": PluginSettings(True, Options(n=1))})
    thread = threading.Thread(target=monitor.reload, args=(new,), daemon=True)
    thread.start()
    assert hanging.wait(10)
    before = time.monotonic()
    monitor.stop()
    assert time.monotonic() - before < 2.5
    assert monitor.state is State.STOPPED
    release.set()
    thread.join(10)
    assert not any(t.name == "barograph-late" for t in threading.enumerate())


# --- parts that fail ------------------------------------------------------------------------------


def test_a_store_that_cannot_open_fails_the_start_and_another_try_may_work(tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.write_text("a file where the folder should be")
    monitor = PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker())))
    with pytest.raises(StoreError):
        monitor.start()
    assert monitor.state is State.FAILED
    assert not monitor.health().live
    assert monitor.problems == []
    blocker.unlink()
    monitor.start()
    eventually(lambda: monitor.health().ready)
    monitor.stop()


def test_a_second_monitor_on_the_same_folder_is_refused_and_the_first_goes_on(
    tmp_path: Path,
) -> None:
    with PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker()))) as first:
        with pytest.raises(StoreLocked):
            PerformanceMonitor(config(tmp_path), plugins=manager()).start()
        eventually(lambda: first.health().ready)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"storage": StorageConfig("none-such")}, 'no store is named "none-such"; installed: '),
        (
            {"rollup": RollupConfig("none-such")},
            'no aggregator is named "none-such"; installed: rollup',
        ),
    ],
)
def test_a_name_that_nobody_brings_is_told_with_the_names_there_are(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    wanted = attrs.evolve(config(tmp_path), **change)
    with pytest.raises(StoreError, match=told):
        PerformanceMonitor(wanted, plugins=manager()).start()
    with PerformanceMonitor(config(tmp_path), plugins=manager()) as monitor:  # the lock was freed
        assert monitor.state is State.RUNNING


def test_a_failing_store_is_told_and_not_ready_until_it_recovers(tmp_path: Path) -> None:
    with PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker()))) as monitor:
        eventually(lambda: monitor.health().ready)
        real = monitor.store.append

        def full(batches: Any) -> None:
            raise StoreFull("no space left on the disk")

        monitor.store.append = full  # type: ignore[method-assign]
        eventually(lambda: not monitor.health().ready)
        health = monitor.health()
        assert health.live
        assert [c.detail for c in health.checks if not c.ok] == ["no space left on the disk"]
        assert [p.what for p in monitor.problems] == ["no space left on the disk"]
        monitor.store.append = real  # type: ignore[method-assign]
        eventually(lambda: monitor.health().ready)
        assert monitor.problems == []
        eventually(lambda: monitor.writer.queued == 0)
        values = stored(monitor, "tick_value")
        gaps = np.diff(values)
        assert gaps.max() < 0.5  # what waited in memory is there


def test_an_injected_failure_of_each_kind_of_plugin_leaves_the_others_running(
    tmp_path: Path,
) -> None:
    def raises(*_: Any) -> Any:
        raise RuntimeError("broken")

    bad_life = SimpleNamespace(name="bad", start=raises, stop=raises)
    bad_widget = SimpleNamespace(spec=raises, data=raises)
    started: list[Any] = []
    good_life = SimpleNamespace(
        name="good", start=started.append, stop=lambda deadline_s: started.clear()
    )
    good = chart("w", "W", query("tick_value"), help="x")
    plugins = manager(
        a=plugin(lifecycle=lambda: [bad_life, good_life]),
        b=plugin(widgets=lambda: [bad_widget, good]),
        c=plugin(metric_sources=raises),
        d=sources(ticker("same"), ticker("same"), FunctionSource("Bad Name", raises)),
        e=sources(ticker()),
    )
    with PerformanceMonitor(config(tmp_path), plugins=plugins) as monitor:
        eventually(lambda: stored(monitor, "tick_value"))
        assert started == [monitor]
        assert [w for n, w in monitor.widgets() if n == "b"] == [good]
        told = {(p.where, p.what.split(":")[0]) for p in monitor.problems}
    assert started == []
    assert told == {
        ("plugin a", "bad did not start"),
        ("plugin b", "a widget cannot be shown"),
        ("plugin c", "barograph_metric_sources failed"),
        ("plugin d", "two sources are named 'same'"),
        ("plugin d", "source name 'Bad Name' is not plain"),
    }


def test_what_a_source_drops_or_fails_at_is_told_as_a_warning(tmp_path: Path) -> None:
    def fails(now: int) -> Any:
        raise OSError("no route to host")

    plugins = manager(mine=sources(
        FunctionSource("odd", lambda now: [Sample("a", 1.0), Sample("b c", 1.0)], 0.05),
        FunctionSource("lost", fails, 0.05),
    ))  # fmt: skip
    with PerformanceMonitor(config(tmp_path), plugins=plugins) as monitor:
        eventually(lambda: len(monitor.problems) == 2)
        told = {p.where: (p.what, p.severity) for p in monitor.problems}
    assert told == {
        "source odd": ("1 dropped (bad name: metric name 'b c')", "warning"),
        "source lost": ("OSError: no route to host", "warning"),
    }


def test_widgets_come_by_section_then_order(tmp_path: Path) -> None:
    def w(section: str, order: int) -> Any:
        return chart(f"{section}{order}", "T", query("x"), section=section, order=order)

    given = [
        w("Barograph", 1),
        w("Zoo", 2),
        w("CPU", 20),
        w("Apple", 1),
        w("CPU", 10),
        w("Overview", 99),
    ]
    plugins = manager(a=plugin(widgets=lambda: given[:3]), b=plugin(widgets=lambda: given[3:]))
    with PerformanceMonitor(config(tmp_path), plugins=plugins) as monitor:
        assert [one.spec().id for _, one in monitor.widgets()] == [
            "Overview99", "CPU10", "CPU20", "Apple1", "Zoo2", "Barograph1",
        ]  # fmt: skip


# --- reload ---------------------------------------------------------------------------------------


@options
class Pace:
    """Options of a plugin with one source."""

    interval: Duration = option("100ms")
    name: str = option("paced")
    bad: bool = option(False)


def paced(config: Pace) -> list[Any]:
    if config.bad:
        raise ValueError("bad options")
    return [ticker(config.name, float(config.interval))]


@pytest.fixture
def reloading(tmp_path: Path) -> Iterator[tuple[PerformanceMonitor, Any]]:
    plugins = manager(
        paced=plugin(Pace, metric_sources=paced), steady=sources(ticker("steady")),
        follows=sources(ticker("follows", None)),
    )  # fmt: skip

    def change(enabled: bool = True, **monitor: Any) -> Config:
        chosen = {k: monitor.pop(k) for k in ("interval_", "name", "bad") if k in monitor}
        if "interval_" in chosen:
            chosen["interval"] = chosen.pop("interval_")
        return config(tmp_path, {"paced": PluginSettings(enabled, Pace(**chosen))}, **monitor)

    monitor = PerformanceMonitor(change(), plugins=plugins)
    with monitor:
        eventually(lambda: stored(monitor, "steady_value") and stored(monitor, "paced_value"))
        yield monitor, change


def test_reloading_the_same_says_that_nothing_has_changed(reloading: Any) -> None:
    monitor, change = reloading
    before = dict(monitor.collector.runners)
    assert monitor.reload(change()) == ["nothing has changed"]
    assert dict(monitor.collector.runners) == before


def test_changed_options_start_that_source_anew_and_no_other_misses_a_tick(reloading: Any) -> None:
    monitor, change = reloading
    steady = monitor.collector.runners["steady"]
    told = monitor.reload(change(interval_=Duration(0.05)))
    assert told == ["plugin paced: options taken over"]
    assert monitor.collector.runners["steady"] is steady
    assert monitor.collector.runners["paced"].interval_s == 0.05
    count = len(stored(monitor, "paced_value"))
    eventually(lambda: len(stored(monitor, "paced_value")) > count + 3)
    assert not any(is_stale(v) for v in stored(monitor, "paced_value"))
    assert monitor.meter.value("barograph_source_missed_ticks_total", source="steady") == 0


def test_series_that_new_options_take_away_are_ended(reloading: Any) -> None:
    monitor, change = reloading
    monitor.reload(change(name="renamed"))
    assert "paced" not in monitor.collector.runners
    eventually(lambda: stored(monitor, "renamed_value"))
    eventually(lambda: is_stale(stored(monitor, "paced_value")[-1]))


def test_switching_a_plugin_off_and_on(reloading: Any) -> None:
    monitor, change = reloading
    assert monitor.reload(change(enabled=False)) == ["plugin paced: switched off"]
    eventually(lambda: is_stale(stored(monitor, "paced_value")[-1]))
    count = len(stored(monitor, "paced_value"))
    assert monitor.reload(change()) == ["plugin paced: switched on"]
    eventually(lambda: len(stored(monitor, "paced_value")) > count)


def test_options_that_do_not_work_leave_what_was_there_running(reloading: Any) -> None:
    monitor, change = reloading
    told = monitor.reload(change(bad=True))
    assert told == ["plugin paced: barograph_metric_sources failed: ValueError: bad options; "
                    "what it collected before goes on"]  # fmt: skip
    count = len(stored(monitor, "paced_value"))
    eventually(lambda: len(stored(monitor, "paced_value")) > count)
    assert any("bad options" in p.what for p in monitor.problems)
    assert monitor.reload(change()) == ["plugin paced: options taken over"]
    assert monitor.problems == []


def test_a_new_monitor_interval_reaches_only_the_sources_that_follow_it(reloading: Any) -> None:
    monitor, change = reloading
    steady, old = monitor.collector.runners["steady"], monitor.collector.runners["follows"]
    assert monitor.reload(change(interval=Duration(0.05))) == [
        "[monitor] interval: 1 sources have it and take it over"
    ]
    assert monitor.collector.runners["steady"] is steady
    new = monitor.collector.runners["follows"]
    assert (old.interval_s, new.interval_s) == (0.1, 0.05)


def test_what_needs_a_restart_is_said_honestly(reloading: Any) -> None:
    monitor, change = reloading
    new = attrs.evolve(
        change(queue_batches=7),
        server=ServerConfig(port=1), rollup=RollupConfig(levels=(Duration(10.0),)),
        plugins={**change().plugins, "sqlite": PluginSettings(False)},
    )  # fmt: skip
    assert monitor.reload(new) == [
        "[monitor] queue_batches changes from 256 to 7 with the next start",
        "[server] port changes from 10132 to 1 with the next start",
        '[rollup] levels changes from ["5s", "1m", "5m", "1h"] to ["10s"] with the next start',
        "plugin sqlite: switched off; its store with the next start",
    ]
    count = len(stored(monitor, "steady_value"))
    eventually(lambda: len(stored(monitor, "steady_value")) > count)


def test_only_a_running_monitor_reloads(tmp_path: Path) -> None:
    monitor = PerformanceMonitor(config(tmp_path), plugins=manager())
    with pytest.raises(RuntimeError, match="the monitor is new"):
        monitor.reload(config(tmp_path))


# --- its own metrics ------------------------------------------------------------------------------


def test_every_part_has_metrics_with_help_and_unit(tmp_path: Path) -> None:
    with PerformanceMonitor(config(tmp_path), plugins=manager(mine=sources(ticker()))) as monitor:
        eventually(lambda: len(stored(monitor, "barograph_process_cpu_seconds_total")) > 0)
        eventually(
            lambda: monitor.meter.value("barograph_source_duration_seconds", source="tick") > 0
        )
        samples = monitor.meter.samples()
    names = {s.name for s in samples}
    assert names >= {
        "barograph_append_duration_seconds", "barograph_commits_total",
        "barograph_housekeeping_duration_seconds", "barograph_housekeeping_errors_total",
        "barograph_listener_errors_total", "barograph_live_series", "barograph_meter_errors_total",
        "barograph_queue_batches", "barograph_queue_dropped_total", "barograph_queue_samples",
        "barograph_samples_dropped_total", "barograph_samples_nan_total",
        "barograph_samples_stored_total", "barograph_source_duration_seconds",
        "barograph_source_series", "barograph_store_chunks", "barograph_store_damaged_total",
        "barograph_store_disk_bytes", "barograph_store_errors_total", "barograph_store_head_bytes",
        "barograph_store_head_samples", "barograph_store_log_bytes", "barograph_store_samples",
        "barograph_store_series",
    }  # fmt: skip
    for sample in samples:
        assert sample.help, sample.name
        for unit in ("seconds", "bytes", "ratio"):
            if sample.name.removesuffix("_total").endswith(f"_{unit}"):
                assert sample.unit == unit, sample.name


# --- clocks ---------------------------------------------------------------------------------------


def test_a_clock_set_back_an_hour_loses_no_sample_and_stalls_neither_store_nor_page(
    tmp_path: Path,
) -> None:
    clock = FakeClock()
    start = clock.now_ms() // 1000
    source = FunctionSource("tick", lambda now: [Sample("tick_value", now / 1000)])
    monitor = PerformanceMonitor(
        config(tmp_path), plugins=manager(mine=sources(source)), clock=clock
    )

    def passes(seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            clock.advance(0.25)
            clock.settle(2)  # the two sources; the writer comes and goes
        eventually(written)

    def written() -> bool:
        if monitor.writer.queued and clock.waiting() > 2:
            clock.advance(GATHER_S)  # for the writer, which waits for more
        return not monitor.writer.queued

    with monitor:
        clock.settle(2)
        passes(5)
        before = stored(monitor, "tick_value")
        assert before == [start + n for n in range(6)]
        clock.set_wall(-3600)
        passes(5)
        after = stored(monitor, "tick_value")
        assert after[-6:] == before
        assert [v - start + 3600 for v in after[:-6]] in ([6, 7, 8, 9, 10], [5, 6, 7, 8, 9, 10])
        assert monitor.health().ready
        ref = [s.ref for s in monitor.store.select([Matcher.equal("__name__", "tick_value")])]
        newest = monitor.latest.get(np.array(ref))
        assert (newest[1][0], newest[3][0]) == (after[-7], after[-8])
        eventually(
            lambda: monitor.meter.value("barograph_clock_jumps_total", direction="back") == 1
        )
