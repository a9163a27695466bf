"""The collector on a clock that moves only when it is told."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import FakeClock, FunctionSource, Hang, Interner, VectorSource, eventually, flat

from barograph import Batch, Labels, Metric, Sample
from barograph.collector import MAX_BACKOFF_S, MetricsCollector, Pace, Runner
from barograph.model import is_stale
from barograph.selfmetrics import Meter

START = 1_700_000_000_400  # 0.4 s after a whole second


class World:
    """A collector at work; what it offered, and its own metrics."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.meter, self.intern = Meter(), Interner()
        self.offered: list[Batch] = []
        self._lock = threading.Lock()
        self.collector = MetricsCollector(
            self.offer, self.intern, self.meter, self.clock, ceiling=50
        )
        self.threads = 0

    def offer(self, batches: list[Batch]) -> None:
        with self._lock:
            self.offered += batches

    def add(self, source: Any, plugin: str = "p") -> Runner:
        runner = self.collector.add(plugin, source)
        self.collector.start(runner)
        return runner

    def settle(self, threads: int) -> None:
        self.clock.settle(threads)

    def times(self) -> dict[str, list[float]]:
        """Ticks of each series in seconds after the start's whole second; ends left out."""
        out: dict[str, list[float]] = defaultdict(list)
        for t, name, value in flat(self.offered, self.intern):
            if not is_stale(value):
                out[name].append((t - (START - 400)) / 1000)
        return out

    def metric(self, what: str, source: str = "", **labels: str) -> float:
        return self.meter.value(
            f"barograph_{what}", **({"source": source} if source else {}), **labels
        )


@pytest.fixture
def world() -> Iterator[World]:
    one = World()
    yield one
    one.collector.stop(0.0)
    one.clock.advance(0.0)


def steady(name: str, interval_s: float = 1.0) -> FunctionSource:
    return FunctionSource(name, lambda now: [Sample(name, 1.0)], interval_s)


# --- ticks ----------------------------------------------------------------------------------------


def test_ticks_fall_on_whole_multiples_of_each_interval_and_do_not_drift(world: World) -> None:
    world.add(steady("second"))
    world.add(steady("half", 0.5))
    world.add(steady("minute", 60.0))
    world.settle(3)
    world.clock.run(121, 3, step=0.25)
    times = world.times()
    assert times["second"] == [float(n) for n in range(122)]
    assert times["half"] == [n / 2 for n in range(243)]
    minute = (START // 60_000 * 60_000 - (START - 400)) / 1000
    assert times["minute"] == [minute, minute + 60, minute + 120]
    for name in ("second", "half", "minute"):
        assert world.metric("source_missed_ticks_total", name) == 0
        assert world.metric("source_lateness_seconds", name) < 0.25 + 1e-9


def test_a_slow_collection_does_not_move_later_ticks(world: World) -> None:
    def slow(now: int) -> list[Sample]:
        world.clock.advance(0.3)
        return [Sample("slow", 1.0)]

    world.add(FunctionSource("slow", slow))
    world.settle(1)
    world.clock.run(10, 1)
    seconds = world.times()["slow"]
    assert seconds == [float(n) for n in range(len(seconds))]
    assert world.metric("source_duration_seconds", "slow") == pytest.approx(0.3)


def test_ticks_that_a_collection_overran_are_left_out_and_counted(world: World) -> None:
    ticks = iter([0.0, 0.0, 2.5] + [0.0] * 20)

    def collect(now: int) -> list[Sample]:
        world.clock.advance(next(ticks))
        return [Sample("x", 1.0)]

    world.add(FunctionSource("x", collect, 0.5))  # deadline 1 s
    world.settle(1)
    world.clock.run(4, 1)
    assert world.metric("source_missed_ticks_total", "x") >= 3
    assert world.metric("source_timeouts_total", "x") == 1
    seconds = world.times()["x"]
    assert seconds == sorted(set(seconds))
    assert 0.5 in seconds
    assert 1.0 not in seconds  # came after its deadline: dropped


def test_a_late_tick_tells_how_late_it_was(world: World) -> None:
    world.add(steady("x"))
    world.settle(1)
    world.clock.advance(0.85)  # to 1.25: the tick of 1.0 comes 0.25 s late
    world.settle(1)
    assert world.metric("source_lateness_seconds", "x") == pytest.approx(0.25)
    assert world.times()["x"] == [0.0, 1.0]


# --- sources that misbehave -----------------------------------------------------------------------


def test_a_hanging_source_delays_no_other(world: World) -> None:
    hang = Hang("hang")
    runner = world.add(hang)
    world.add(steady("good"))
    world.add(VectorSource("vector", [(Labels.of("vector"), Metric("vector"))], [1.0]))
    assert hang.hanging.wait(10)
    world.settle(2)
    world.clock.run(20, 2)
    assert world.times()["good"] == [float(n) for n in range(21)]
    assert world.times()["vector"] == [float(n) for n in range(21)]
    assert "hang_value" not in world.times()
    world.collector.watch()
    assert (runner.state, world.metric("source_timeouts_total", "hang")) == ("hung", 1)
    assert runner.last_error == "has not come back for 20.0 s"
    world.collector.watch()
    assert world.metric("source_timeouts_total", "hang") == 1

    hang.release.set()  # what it gives now is too late; then it is asked again and works
    world.settle(3)
    world.clock.run(5, 3)
    seconds = world.times()["hang_value"]
    assert min(seconds) > 20
    assert world.metric("source_timeouts_total", "hang") == 1
    assert (runner.state, runner.failures) == ("waiting", 0)


def test_a_source_that_fails_is_asked_less_often_until_it_works(world: World) -> None:
    asked: list[float] = []
    broken = True

    def collect(now: int) -> list[Sample]:
        asked.append(now / 1000 - START // 1000)
        if broken:
            raise OSError("no route")
        return [Sample("x", 1.0)]

    runner = world.add(FunctionSource("x", collect))
    world.settle(1)
    world.clock.run(300, 1, step=0.5)
    assert (runner.state, runner.last_error) == ("failing", "OSError: no route")
    gaps = [b - a for a, b in itertools.pairwise(asked)]
    assert gaps[:6] == [1, 3, 7, 15, 31, MAX_BACKOFF_S]
    assert set(gaps[6:]) == {MAX_BACKOFF_S}
    assert world.metric("source_errors_total", "x") == len(asked)
    assert world.metric("source_missed_ticks_total", "x") == 0
    broken = False
    world.clock.run(65, 1, step=0.5)
    assert runner.state == "waiting"
    seconds = world.times()["x"]
    assert len(seconds) > 1
    assert seconds == [seconds[0] + n for n in range(len(seconds))]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "TypeError: collect must give samples, not NoneType"),
        (5, "TypeError: collect must give samples, not int"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyError(), "KeyError"),
        (lambda: (1 / 0 for _ in range(1)), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_source_that_gives_nonsense_fails_its_tick_with_the_reason(
    world: World, answer: Any, told: str
) -> None:
    def collect(now: int) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer

    runner = world.add(FunctionSource("x", collect))
    world.add(steady("good"))
    world.settle(2)
    world.clock.run(3, 2)
    assert runner.last_error == told
    assert runner.state == "failing"
    assert world.times()["good"] == [0.0, 1.0, 2.0, 3.0]


def test_nonsense_among_samples_is_dropped_and_the_source_goes_on(world: World) -> None:
    def collect(now: int) -> list[Any]:
        return [Sample("a", 1.0), None, Sample("a", "text", {"i": "1"}), Sample("b c", 1.0),
                Sample("d", 1.0, {"x": -1})]  # type: ignore[arg-type, dict-item]  # fmt: skip

    runner = world.add(FunctionSource("x", collect))
    world.settle(1)
    world.clock.run(3, 1)
    assert world.times() == {"a": [0.0, 1.0, 2.0, 3.0]}
    assert world.metric("samples_dropped_total", "x", reason="bad_name") == 12
    assert world.metric("samples_dropped_total", "x", reason="not_a_number") == 4
    assert "3 dropped (bad name: NoneType is no Sample)" in runner.intake.complaint


def test_a_flood_of_series_is_cut_at_the_ceiling_and_others_go_on(world: World) -> None:
    def flood(now: int) -> Iterator[Sample]:
        for i in range(1_000_000):
            yield Sample("flood", 1.0, {"i": str(i)})

    world.add(FunctionSource("flood", flood))
    world.add(steady("good"))
    world.settle(2)
    world.clock.run(3, 2)
    assert len(world.intern.refs) == 51
    assert world.metric("samples_dropped_total", "flood", reason="ceiling") > 0
    assert world.metric("source_series", "flood") == 50
    assert world.times()["good"] == [0.0, 1.0, 2.0, 3.0]


def test_series_that_vanish_are_marked_and_come_back(world: World) -> None:
    there = {0: ["a", "b"], 1: ["a"], 2: ["a"], 3: ["a", "b"]}
    world.add(FunctionSource("x", lambda now: [
        Sample("m", 1.0, {"i": i}) for i in there[now // 1000 - START // 1000]
    ]))  # fmt: skip
    world.settle(1)
    world.clock.run(3, 1)
    samples = flat(world.offered, world.intern)
    b = [(t // 1000 - START // 1000, is_stale(v)) for t, name, v in samples if "b" in name]
    assert b == [(0, False), (1, True), (3, False)]


# --- clocks ---------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_an_hour_stalls_nothing(world: World) -> None:
    world.add(steady("second"))
    world.add(steady("minute", 60.0))
    world.settle(2)
    world.clock.run(5, 2)
    world.collector.watch()
    world.clock.set_wall(-3600)
    world.clock.run(125, 2, step=0.5)
    world.collector.watch()
    seconds = world.times()["second"]
    back = [t for t in seconds if t < -3000]
    assert seconds[:6] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert len(back) >= 125
    assert back == [back[0] + n for n in range(len(back))]
    assert len([t for t in world.times()["minute"] if t < -3000]) >= 2
    assert world.metric("clock_jumps_total", direction="back") == 1
    assert world.metric("source_missed_ticks_total", "second") == 0


def test_a_clock_that_jumps_forward_or_a_machine_that_slept_is_no_missed_tick(world: World) -> None:
    world.add(steady("x"))
    world.settle(1)
    world.clock.run(3, 1)
    world.collector.watch()
    world.clock.set_wall(7200)
    world.clock.run(3, 1)
    world.collector.watch()
    seconds = world.times()["x"]
    assert seconds[:4] == [0.0, 1.0, 2.0, 3.0]
    assert seconds[4:] == [7204.0 + n for n in range(len(seconds) - 4)]
    assert len(seconds) >= 7
    assert world.metric("source_missed_ticks_total", "x") == 0
    assert world.metric("clock_jumps_total", direction="forward") == 1


def test_small_corrections_of_the_clock_are_no_jumps() -> None:
    clock = FakeClock(START)
    pace = Pace(clock)
    for _ in range(100):
        clock.advance(1.0)
        clock.set_wall(0.3)
        assert pace.slip() == 0
    clock.set_wall(-5)
    assert pace.slip() == pytest.approx(-5000)
    assert pace.slip() == 0


# --- adding and removing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "interval", "told"),
    [
        ("taken", 1.0, "two sources are named 'taken'"),
        ("Big Name", 1.0, "source name 'Big Name' is not plain"),
        ("", 1.0, "is not plain"),
        (None, 1.0, "is not plain"),
        ("x", 0, "interval 0"),
        ("x", -1.0, "interval -1.0"),
        ("x", float("nan"), "interval nan"),
        ("x", float("inf"), "interval inf"),
        ("x", 1e-9, "interval 1e-09"),
        ("x", "soon", "interval 'soon'"),
    ],
)
def test_a_source_that_cannot_run_is_refused_with_the_reason(
    world: World, name: Any, interval: Any, told: str
) -> None:
    world.collector.add("first", steady("taken"))
    with pytest.raises(ValueError, match=told):
        world.collector.add("second", FunctionSource(name, lambda now: [], interval))
    assert list(world.collector.runners) == ["taken"]


def test_a_source_without_an_interval_takes_the_monitor_s(world: World) -> None:
    runner = world.collector.add("p", FunctionSource("x", lambda now: [], None), 5.0)
    assert (runner.interval_s, runner.inherits_interval) == (5.0, True)


def test_a_removed_source_that_comes_back_late_gives_nothing_and_breaks_nothing(
    world: World,
) -> None:
    hang = Hang("x", from_tick=2)
    world.add(hang)
    world.settle(1)
    world.clock.advance(1.0)
    assert hang.hanging.wait(10)
    old = world.collector.remove("x")
    assert old is not None
    new = world.collector.add("p", steady("x"))  # reloaded under the same name
    new.intake.adopt(old.intake)
    world.collector.start(new)
    world.settle(1)
    world.clock.run(2, 1)
    hang.release.set()
    assert old.thread is not None
    old.thread.join(10)
    assert (old.state, old.thread.is_alive()) == ("stopped", False)
    world.clock.run(2, 1)
    assert world.times()["x_value"] == [0.0]
    assert world.times()["x"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    ends = [(name, t) for t, name, v in flat(world.offered, world.intern) if is_stale(v)]
    assert [name for name, _ in ends] == ["x_value"]
    assert world.metric("source_errors_total", "x") == 0


def test_a_source_that_is_gone_ends_its_series_and_its_own_metrics(world: World) -> None:
    runner = world.add(steady("x"))
    world.settle(1)
    world.clock.run(2, 1)
    assert world.collector.remove("x") is runner
    assert runner.thread is not None
    world.clock.advance(2.0)
    runner.thread.join(10)
    world.collector.end(runner)
    assert is_stale(flat(world.offered, world.intern)[-1][2])
    assert not [s for s in world.meter.samples() if s.labels.get("source") == "x"]
    assert world.collector.remove("x") is None


def test_stopping_does_not_wait_for_a_source_that_hangs(world: World) -> None:
    hang = Hang("hang")
    world.add(hang)
    good = world.add(steady("good"))
    assert hang.hanging.wait(10)
    world.collector.stop(0.2)
    eventually(lambda: good.state == "stopped")
    hang.release.set()
