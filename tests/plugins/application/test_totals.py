"""Messages and their sum: each counted once, whatever gets lost on the way."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from barograph.instruments import Counter, Gauge, Histogram, Registry
from barograph.instruments.connection import Deltas
from barograph_application.totals import SILENT_S, BadMessage, Totals


def stored(totals: Totals) -> dict[str, float]:
    version, declared = totals.declared()
    values = totals.values(version)
    assert values is not None
    assert len(values) == len(declared)
    return {str(labels): v for (labels, _), v in zip(declared, values, strict=True)}


class Delivery(RuleBasedStateMachine):
    """Two processes count; messages and answers get lost, the server restarts, processes end."""

    def __init__(self) -> None:
        super().__init__()
        self.totals = Totals()
        self.counted = 0.0
        self.observed = 0
        self.begin()
        self.clock = 0.0

    def begin(self) -> None:
        self.registries = [Registry(), Registry()]
        self.counters = [Counter("c_total", registry=r) for r in self.registries]
        self.histograms = [Histogram("h", buckets=(1, 2), registry=r) for r in self.registries]
        self.lines = [Deltas(r, "shop") for r in self.registries]

    @rule(which=st.integers(0, 1), n=st.integers(0, 5))
    def count(self, which: int, n: int) -> None:
        self.counters[which].inc(n)
        self.counted += n

    @rule(which=st.integers(0, 1), value=st.sampled_from([0.5, 1.5, 9.0]))
    def observe(self, which: int, value: float) -> None:
        self.histograms[which].observe(value)
        self.observed += 1

    @rule(which=st.integers(0, 1), arrives=st.booleans(), answered=st.booleans())
    def send(self, which: int, arrives: bool, answered: bool) -> None:
        self.clock += 1
        message = json.loads(self.lines[which].message())
        if arrives:
            self.totals.accept(message, self.clock)
            if answered:
                self.lines[which].acknowledge()

    @rule()
    def all_end_well(self) -> None:
        for line in self.lines:
            if line.waiting:
                self.totals.accept(json.loads(line.message()), self.clock)
                line.acknowledge()
            self.totals.accept(json.loads(line.message(last=True)), self.clock)
        self.begin()
        found = stored(self.totals)
        assert found.get('c_total{service="shop"}', 0.0) == self.counted
        assert found.get('h_count{service="shop"}', 0.0) == self.observed

    @invariant()
    def never_more_than_was_counted(self) -> None:
        found = stored(self.totals)
        assert found.get('c_total{service="shop"}', 0.0) <= self.counted
        assert found.get('h_bucket{le="+Inf",service="shop"}', 0.0) <= self.observed


TestDelivery = Delivery.TestCase


def message(**changes: Any) -> dict[str, Any]:
    reading = {"name": "c_total", "form": "counter", "value": 1}
    return {"process": "p" * 32, "number": 1, "service": "shop", "readings": [reading], **changes}


def reading(**changes: Any) -> dict[str, Any]:
    return message(readings=[{"name": "x", "form": "gauge", "value": 1, **changes}])


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([], "JSON object"),
        (message(process=5), "process"),
        (message(number=0), "number"),
        (message(number=True), "number"),
        (message(service=None), "service"),
        (message(readings={}), "readings"),
        (message(readings=[5]), "reading"),
        (reading(name="a b"), "no metric name"),
        (reading(form="summary"), "form must be one of"),
        (reading(value="5"), "no finite number"),
        (reading(value=math.inf), "no finite number"),
        (reading(form="counter", value=-1), "only grows"),
        (reading(labels={"__name__": "x"}), "no label name"),
        (reading(labels={"a": 5}), "must be a text"),
        (reading(labels={"a": "x" * 2000}), "must be a text"),
        (reading(labels={f"l{i}": "x" for i in range(40)}), "at most 32 labels"),
        (reading(form="histogram"), "1 to 200 bounds"),
        (reading(form="histogram", bounds=[2, 1]), "rise"),
        (reading(form="histogram", bounds=["a"]), "numbers"),
        (reading(form="histogram", bounds=[1], counts={"2": 1}), "beyond its 1 bounds"),
        (reading(form="sketch", counts={"x": 1}), "no bucket"),
        (reading(form="sketch", counts={"1": -1}), "no count"),
        (reading(value=10**400), "no finite number"),
        (reading(value=math.nan), "no finite number"),
        (reading(form="histogram", bounds=[math.nan]), "finite numbers"),
        (reading(form="histogram", bounds=[-math.inf, 1]), "finite numbers"),
        (reading(form="histogram", bounds=[1, 10**400]), "finite numbers"),
        (reading(form="histogram", bounds=[1], counts={"0": 10**400}), "no count"),
        (reading(form="sketch", counts={"1": 2**63}), "no count"),
        (reading(form="sketch", counts={"90000": 1}), "that no sketch has"),
        (reading(form="gauge", counts={"1": 1}), "has no buckets"),
        (reading(across="mean"), "across"),
        (reading(help=5), "short texts"),
    ],
)
def test_a_bad_message_is_refused_whole(bad: Any, told: str) -> None:
    totals = Totals()
    with pytest.raises(BadMessage, match=told):
        totals.accept(bad, 0.0)
    assert stored(totals) == {}
    assert totals.refused == 1


def test_the_greatest_of_everything_can_still_be_read() -> None:
    totals, most = Totals(), 1.7e308
    near = [1.0000001, 1.0000002]
    for process in ("p" * 32, "q" * 32):
        readings = [
            {"name": "g", "form": "gauge", "value": most},
            {"name": "c_total", "form": "counter", "value": most},
            {"name": "h", "form": "histogram", "value": most, "bounds": near, "counts": {"0": 7}},
            {"name": "s", "form": "sketch", "value": 1, "counts": {"-75486": 2**40, "75486": 9}},
        ]
        totals.accept(message(process=process, readings=readings), 0.0)
    found = stored(totals)
    assert found['g{service="shop"}'] == found['c_total{service="shop"}'] == math.inf
    assert found['h_bucket{le="1.0000001",service="shop"}'] == 14
    assert found['s_count{service="shop"}'] == 2 * (2**40 + 9)
    assert stored(totals).keys() == found.keys()


def test_gauges_of_processes_become_one_and_end_with_them() -> None:
    totals = Totals()
    registries = {name: Registry() for name in ("a", "b")}
    lines = {}
    for i, (name, registry) in enumerate(registries.items()):
        for across in ("sum", "max", "min", "last"):
            Gauge(across, across=across, registry=registry).set(10 + i)  # type: ignore[arg-type]
        lines[name] = Deltas(registry, "")
        totals.accept(json.loads(lines[name].message()), 0.0)
        lines[name].acknowledge()
    assert stored(totals) == {"sum": 21, "max": 11, "min": 10, "last": 11}
    totals.accept(json.loads(lines["b"].message(last=True)), 1.0)
    assert stored(totals) == {"sum": 10, "max": 10, "min": 10, "last": 10}
    totals.tidy(SILENT_S + 1)
    assert stored(totals) == {}


def test_what_a_dead_process_counted_stays_and_its_gauge_goes() -> None:
    registry, totals = Registry(), Totals()
    Counter("c_total", registry=registry).inc(7)
    Gauge("g", registry=registry).set(3)
    totals.accept(json.loads(Deltas(registry, "").message()), 0.0)
    totals.tidy(SILENT_S + 1)
    assert stored(totals) == {"c_total": 7}
    totals.tidy(totals.forget_after_s + SILENT_S + 1)
    assert stored(totals) == {}


def test_series_beyond_the_limit_and_clashes_are_counted() -> None:
    totals = Totals()
    totals.max_series = 2
    readings = [{"name": f"c{i}_total", "form": "counter", "value": 1} for i in range(5)]
    totals.accept(message(readings=readings), 0.0)
    assert (len(stored(totals)), totals.dropped) == (2, 3)
    clash = [{"name": "c0_total", "form": "gauge", "value": 9}]
    totals.accept(message(number=2, readings=clash), 0.0)
    assert (stored(totals)['c0_total{service="shop"}'], totals.dropped) == (1, 4)


def test_a_sketch_tells_the_quantiles_of_each_interval() -> None:
    registry, totals = Registry(), Totals()
    timer = Histogram("t_seconds", sketch=True, registry=registry)
    line = Deltas(registry, "")
    for value in range(1, 101):
        timer.observe(value / 100)
    totals.accept(json.loads(line.message()), 0.0)
    line.acknowledge()
    assert stored(totals)['t_seconds{quantile="0.95"}'] == pytest.approx(0.95, rel=0.02)
    assert math.isnan(stored(totals)['t_seconds{quantile="0.95"}'])
    timer.observe(5.0)
    totals.accept(json.loads(line.message()), 1.0)
    assert stored(totals)['t_seconds{quantile="0.5"}'] == pytest.approx(5.0, rel=0.01)
    assert stored(totals)["t_seconds_count"] == 101


def test_own_instruments_are_read_as_totals() -> None:
    registry, totals = Registry(), Totals()
    counter = Counter("c_total", registry=registry)
    sketch = Histogram("t_seconds", sketch=True, registry=registry)
    for _ in range(3):
        counter.inc()
        sketch.observe(2.0)
        totals.own(registry.read(), 0.0)
        assert stored(totals)['t_seconds{quantile="0.5"}'] == pytest.approx(2.0, rel=0.01)
    assert stored(totals)["c_total"] == 3
    assert stored(totals)["t_seconds_sum"] == 6
