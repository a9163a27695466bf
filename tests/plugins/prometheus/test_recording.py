"""Recording rules: their files, and what they record over a real store and engine."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import eventually
from hypothesis import given
from hypothesis import strategies as st
from written import stored

from barograph import PerformanceMonitor
from barograph.contracts import Request
from barograph.model import STALE_NAN, Batch, Labels, Metric, is_stale
from barograph_prometheus.recording import GroupLoop, Recorder, told_rules
from barograph_prometheus.rule_files import BadRules, Group, Rule, read_rules

YAML = """
groups:
  - name: node
    interval: 30s
    limit: 10
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels: {team: a}
      - alert: Down
        expr: up == 0
        for: 5m
  - name: second
    rules:
      - record: one
        expr: 1
"""
TOML = """
[[groups]]
name = "node"
interval = "30s"
limit = 10
[[groups.rules]]
record = "job:up:sum"
expr = "sum by (job) (up)"
labels = {team = "a"}
"""


def accept(expr: str) -> None:
    pass


def read(tmp_path: Path, text: str, suffix: str = ".yml", check: Any = accept) -> list[Group]:
    path = tmp_path / f"rules{suffix}"
    path.write_text(text)
    return read_rules([str(path)], 60.0, check)


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    yaml, second = read(tmp_path, YAML)
    (toml,) = read(tmp_path, TOML, ".toml")
    assert (yaml.name, yaml.interval_s, yaml.limit) == (toml.name, toml.interval_s, 10)
    assert yaml.rules == toml.rules == (Rule("job:up:sum", "sum by (job) (up)", {"team": "a"}),)
    assert (yaml.alerts, toml.alerts) == (1, 0)
    assert (second.interval_s, second.rules) == (60.0, (Rule("one", "1"),))


MISTAKES = """
groups:
  - name: a
    intervall: 1m
    interval: soon
    limit: -1
    rules:
      - record: not a name
        expr: up
      - record: b
        expr: BAD
        labels: {"a-b": x, c: 1}
        color: red
      - 5
  - rules: []
  - name: a
    rules: {}
"""


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    def check(expr: str) -> None:
        if expr == "BAD":
            raise ValueError("parse error at 1")

    with pytest.raises(BadRules) as error:
        read(tmp_path, MISTAKES, check=check)
    told = str(error.value).split("\n")
    for part in ("intervall", "soon", '"limit"', "'not a name'", "parse error at 1", "'a-b'",
                 "the label c", "color", "rule 3: must be a table", 'group 2: it needs a "name"',
                 "two groups", '"rules" must be a list'):  # fmt: skip
        assert any(part in line for line in told), part
    assert all("rules.yml: " in line for line in told)


@pytest.mark.parametrize(("text", "suffix"), [
    ("groups: 1", ".yml"), ("- a", ".yml"), ("a: [", ".yml"), ("!!python/object:os.x {}", ".yml"),
    ("a = ", ".toml"), ("groups: [1]", ".yml"), ("other: []", ".yml"),
])  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, suffix: str) -> None:
    with pytest.raises(BadRules):
        read(tmp_path, text, suffix)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["groups", "name", "rules", "record", "expr", "labels", "interval"]),
        inner, max_size=4),
))  # fmt: skip
def test_no_tree_is_a_defect(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    import contextlib

    with contextlib.suppress(BadRules):
        read(tmp_path_factory.mktemp("r"), json.dumps({"groups": tree}))


# --- evaluation -----------------------------------------------------------------------------------


class Fixture:
    """A group over a monitor's store, evaluated when the test says so."""

    def __init__(self, monitor: PerformanceMonitor, *rules: Rule, limit: int = 0) -> None:
        self.monitor = monitor
        (self.engine,) = [e for _, e in monitor.plugins.call("barograph_query_engines")]
        group = Group("g", "file", 60.0, rules, limit)
        self.loop = GroupLoop(group, self.engine, monitor, threading.Event())
        self.now = monitor.clock.now_ms()

    def put(self, **values: float) -> None:
        series = [(Labels.of("in", {"k": k}), Metric("in")) for k in values]
        refs = self.monitor.store.intern(series)
        self.now += 1000
        self.monitor.ingest([Batch(refs, self.now, refs * 0.0 + list(values.values()))])

    def end(self, key: str) -> None:
        self.now += 1000
        refs = self.monitor.store.intern([(Labels.of("in", {"k": key}), Metric("in"))])
        self.monitor.ingest([Batch(refs, self.now, np.full(1, STALE_NAN))])

    def evaluate(self) -> None:
        self.now += 1000
        self.loop.evaluate(self.now)

    def out(self, name: str) -> dict[str, list[float | str]]:
        return {labels: ["stale" if is_stale(v) else v for _, v in samples]
                for labels, samples in stored(self.monitor, name).items()}  # fmt: skip


def test_results_are_recorded_with_the_labels_of_the_rule(monitor: PerformanceMonitor) -> None:
    f = Fixture(monitor, Rule("out", "in * 2", {"team": "x", "k2": ""}), Rule("six", "6"))
    f.put(a=1, b=2)
    f.evaluate()
    assert f.out("out") == {'out{k="a",team="x"}': [2.0], 'out{k="b",team="x"}': [4.0]}
    assert f.out("six") == {"six": [6.0]}
    assert stored(monitor, "six")["six"][0][0] == f.now


def test_a_rule_sees_what_the_one_before_it_has_recorded(monitor: PerformanceMonitor) -> None:
    f = Fixture(monitor, Rule("first", "sum(in)"), Rule("second", "first + 1"))
    f.put(a=1, b=2)
    f.evaluate()
    assert f.out("second") == {"second": [4.0]}


def test_series_that_vanish_from_a_result_end(monitor: PerformanceMonitor) -> None:
    f = Fixture(monitor, Rule("out", "in"))
    f.put(a=1, b=2)
    f.evaluate()
    f.end("b")
    f.evaluate()
    f.evaluate()
    assert f.out("out") == {'out{k="a"}': [1.0, 1.0, 1.0], 'out{k="b"}': [2.0, "stale"]}


def test_a_rule_that_fails_is_counted_and_the_next_is_evaluated(
    monitor: PerformanceMonitor,
) -> None:
    same = Rule("same", "in", {"k": "always"})
    f = Fixture(monitor, same, Rule("text", '"a"'), Rule("many", "in + in"), Rule("fine", "1"))
    f.put(a=1, b=2)
    f.evaluate()
    assert monitor.meter.value("barograph_rule_failures_total", group="g") == 2
    assert (f.out("same"), f.out("text"), f.out("fine")) == ({}, {}, {"fine": [1.0]})


def test_more_series_than_the_limit_fail(monitor: PerformanceMonitor) -> None:
    f = Fixture(monitor, Rule("out", "in"), limit=1)
    f.put(a=1, b=2)
    f.evaluate()
    assert f.out("out") == {}
    assert "limit" in f.loop.error


def told(monitor: PerformanceMonitor, kind: str = "record") -> Any:
    answer = told_rules(Request(monitor, "GET", "/api/v1/rules", {"type": [kind]}))
    assert answer.status == 200
    return json.loads(answer.body)["data"]


def test_how_rules_do_is_told_as_prometheus_tells_it(monitor: PerformanceMonitor) -> None:
    f = Fixture(monitor, Rule("good", "sum(in)", {"team": "x"}), Rule("bad", "in + on() in"))
    rules = f.loop.told(with_rules=True)["rules"]
    assert [(r["health"], r["lastEvaluation"]) for r in rules] == [
        ("unknown", "0001-01-01T00:00:00Z")
    ] * 2
    f.put(a=1, b=2)
    f.evaluate()
    good, bad = f.loop.told(with_rules=True)["rules"]
    assert (good["health"], good["lastError"], good["labels"]) == ("ok", "", {"team": "x"})
    assert (bad["health"], bad["type"]) == ("err", "recording")
    assert "many-to-many" in bad["lastError"]


def test_rules_of_an_unknown_type_are_refused(monitor: PerformanceMonitor) -> None:
    answer = told_rules(Request(monitor, "GET", "/api/v1/rules", {"type": ["guess"]}))
    assert answer.status == 400
    assert json.loads(answer.body)["errorType"] == "bad_data"


def test_groups_run_at_their_intervals_from_files(
    monitor: PerformanceMonitor, tmp_path: Path
) -> None:
    path = tmp_path / "r.yml"
    path.write_text('groups: [{name: g, interval: 200ms, rules: [{record: now, expr: "time()"}]}]')
    recorder = Recorder([str(tmp_path / "*.yml")], 60.0, "promql")
    recorder.start(monitor)
    try:
        found = eventually(lambda: len(s := stored(monitor, "now").get("now", [])) >= 4 and s)
        assert {(t % 200) for t, _ in found} == {found[0][0] % 200}
        assert all(abs(v * 1000 - t) < 1 for t, v in found)
        (group,) = told(monitor)["groups"]
        assert (group["name"], group["file"], group["interval"]) == ("g", str(path), 0.2)
        (rule,) = group["rules"]
        assert (rule["name"], rule["query"], rule["health"]) == ("now", "time()", "ok")
        assert rule["lastEvaluation"] == group["lastEvaluation"] > "2020"
        assert told(monitor, "alert")["groups"][0]["rules"] == []
    finally:
        recorder.stop(2.0)


def test_an_engine_that_is_not_there_is_told(monitor: PerformanceMonitor) -> None:
    with pytest.raises(BadRules, match="promql"):
        Recorder(["x.yml"], 60.0, "sql").start(monitor)
