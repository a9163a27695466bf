"""The conformance kit: it lets good objects pass and says what is wrong with bad ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import click
import numpy as np
import pytest
from fakes import FunctionSource, VectorSource

from barograph import Labels, Metric, MetricKind, PluginManager, RangeQuery, Sample, WidgetSpec
from barograph.config import Config
from barograph.contracts import Route
from barograph.testing import (
    check_aggregator,
    check_command,
    check_lifecycle,
    check_metric_source,
    check_route,
    check_store,
    check_widget,
)
from barograph_rollup.rollup import RollupAggregator
from barograph_sqlite.store import SqliteStore

COUNTER = MetricKind.COUNTER


def gives(*samples: Any, name: str = "src", interval_s: Any = 1.0) -> FunctionSource:
    return FunctionSource(name, lambda now: samples, interval_s)


def good(name: str = "m", value: Any = 1.0, labels: Any = None, **more: Any) -> Sample:
    return Sample(name, value, labels or {}, help="Help", **more)


def test_good_sources_pass() -> None:
    check_metric_source(gives())
    check_metric_source(gives(good(), good("m", 1, {"i": "1"}), interval_s=None))
    check_metric_source(gives(good("a_seconds_total", kind=COUNTER, unit="seconds")))
    check_metric_source(gives(good("http_duration_seconds_bucket", kind=COUNTER, unit="seconds"),
                              good("http_duration_seconds_count", kind=COUNTER)))  # fmt: skip
    metric = Metric("v", help="Help")
    check_metric_source(VectorSource("v", [(Labels.of("v"), metric)], [math.nan]))


def named(value: object) -> str:
    """A test's id that is the same in every process: a function's name, or the reason."""
    return value[:40] if isinstance(value, str) else getattr(value, "__name__", "object")


BAD_SOURCES = [
    (gives(name="Big Name"), "source name 'Big Name' is not plain"),
    (gives(name=None), "source name None is no text"),  # type: ignore[arg-type]
    (gives(interval_s=0), "interval_s must be positive"),
    (gives(None), "NoneType is no Sample"),
    (gives(good("a b")), "metric name 'a b'"),
    (gives(good(labels={"i": 5})), "label i is int, not text"),
    (gives(good(value="1")), "not a number: m: '1'"),
    (gives(good(), good()), "duplicate: m"),
    (gives(*(good(labels={"i": str(i)}) for i in range(20_001))), "ceiling"),
    (gives(Sample("m", 1.0)), "m has no help"),
    (gives(good("m", kind=COUNTER)), "counter m must end with _total"),
    (gives(good("m_total")), "m_total ends with _total but is no counter"),
    (gives(good("m_bytes")), "m_bytes must have the unit 'bytes'"),
    (gives(good("m", unit="bytes")), "must be named after it: m_bytes"),
    (VectorSource("v", [(Labels.of("v"), Metric("w", help="x"))], [1.0]), "v has the metric w"),
    (VectorSource("v", [(Labels.of("v v"), Metric("v v", help="x"))], [1.0]), "metric name 'v v'"),
]


@pytest.mark.parametrize(("source", "why"), BAD_SOURCES, ids=named)
def test_bad_sources_fail_with_the_reason(source: Any, why: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_metric_source(source)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (FunctionSource("x", lambda now: 1 / 0), ZeroDivisionError),
        (FunctionSource("x", lambda now: None), TypeError),
        (VectorSource("v", [(Labels.of("v"), Metric("v"))], np.zeros(2)), ValueError),
        (SimpleNamespace(), AttributeError),
    ],
)
def test_sources_that_raise_fail_with_what_they_raise(source: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_metric_source(source)


# --- aggregators --------------------------------------------------------------------------------


class Broken(RollupAggregator):
    """An aggregator with one fault."""

    def __init__(self, fault: str) -> None:
        self._fault = fault

    def fold(self, column: Any, level_ms: int) -> Any:
        windows = super().fold(column, level_ms)
        if self._fault == "drops":
            return attrs.evolve(windows, count=windows.count - (level_ms == 60_000))
        if self._fault == "min" and level_ms == 60_000:
            return attrs.evolve(windows, min=windows.min - 1)
        return windows

    def merge(self, parts: Any) -> Any:
        merged = super().merge(parts)
        return attrs.evolve(merged, sum=merged.sum * 2) if self._fault == "merge" else merged


def test_a_good_aggregator_passes_with_any_seed() -> None:
    for seed in range(3):
        check_aggregator(RollupAggregator(), seed)


@pytest.mark.parametrize(
    ("fault", "why"),
    [("drops", "count"), ("min", "coarsen: min differs"), ("merge", "merge: sum differs")],
)
def test_an_aggregator_that_breaks_the_law_fails(fault: str, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check_aggregator(Broken(fault))


# --- stores -------------------------------------------------------------------------------------


def test_a_good_store_passes(tmp_path: Path) -> None:
    check_store(SqliteStore, tmp_path)


class Forgetful(SqliteStore):
    """A store with one fault."""

    fault = ""

    def append(self, batches: Any) -> None:
        if self.fault != "late" or not np.ndim(batches[0].t_ms):
            super().append(batches)

    def select(self, *args: Any, **more: Any) -> Any:
        found = super().select(*args, **more)
        return [] if self.fault == "select" else found

    def check(self, progress: Any = None) -> Any:
        return [None] if self.fault == "check" else super().check(progress)

    def intern(self, series: Any) -> Any:
        refs = super().intern(series)
        return np.zeros_like(refs) if self.fault == "intern" else refs


@pytest.mark.parametrize("fault", ["late", "select", "check", "intern"])
def test_a_store_that_forgets_fails(tmp_path: Path, fault: str) -> None:
    made = type("Store", (Forgetful,), {"fault": fault})
    with pytest.raises(AssertionError):
        check_store(made, tmp_path)


# --- widgets, routes, commands, lifecycle ---------------------------------------------------------


def widget(**spec: Any) -> Any:
    given: dict[str, Any] = {"id": "w", "title": "W", "queries": (RangeQuery(("m",)),), "help": "x"}
    made = WidgetSpec(**(given | spec))
    return SimpleNamespace(spec=lambda: made, data=lambda *a: None)


def command(name: str | None, help: str | None) -> Any:
    return click.Command(name, help=help)


def route(**more: Any) -> Route:
    given: dict[str, Any] = {"path": "/x", "handler": print, "summary": "x"}
    return Route(**(given | more))


def life(**more: Any) -> Any:
    given: dict[str, Any] = {"name": "x", "start": lambda m: None, "stop": lambda s: None}
    return SimpleNamespace(**(given | more))


def on_life(one: Any) -> None:
    check_lifecycle(one, None, deadline_s=0.1)


@pytest.mark.parametrize(
    ("check", "one"),
    [
        (check_widget, widget()),
        (check_widget, widget(kind="gauge", module="gauge.js")),
        (check_route, route(methods=("GET", "POST"))),
        (check_command, command("x", "Help")),
        (on_life, life()),
    ],
)
def test_good_objects_pass(check: Callable[[Any], None], one: Any) -> None:
    check(one)


BAD = [
    (check_widget, SimpleNamespace(spec=lambda: None), "must return a WidgetSpec"),
    (check_widget, widget(id=""), "without id"),
    (check_widget, widget(title=""), "no title"),
    (check_widget, widget(section=""), "no section"),
    (check_widget, widget(help=""), "say what it shows"),
    (check_widget, widget(kind="gauge"), "kind 'gauge' is none of the page's own"),
    (check_widget, widget(queries=(RangeQuery(("m",), "median"),)), "fn 'median'"),  # type: ignore[arg-type]
    (check_widget, widget(queries=(RangeQuery(("m",), agg="avg"),)), "agg 'avg'"),  # type: ignore[arg-type]
    (check_widget, SimpleNamespace(spec=widget().spec), "no method data"),
    (check_route, route(path="x"), "must start with /"),
    (check_route, route(path="/../x"), "climbs"),
    (check_route, route(handler=None), "not callable"),
    (check_route, route(methods=("FETCH",)), "methods"),
    (check_route, route(methods=()), "no methods"),
    (check_route, route(summary=""), "no summary"),
    (check_command, print, "not a click command"),
    (check_command, command(None, "x"), "needs a name"),
    (check_command, command("x", None), "has no help"),
    (on_life, life(name=""), "needs a name"),
    (on_life, life(stop=lambda s: time.sleep(3 * s)), "stop(0.1) took"),
]


@pytest.mark.parametrize(("check", "one", "why"), BAD, ids=named)
def test_bad_objects_fail_with_the_reason(check: Callable[[Any], None], one: Any, why: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check(one)
    assert why in str(caught.value)


def test_a_widget_whose_selector_does_not_parse_fails() -> None:
    with pytest.raises(ValueError, match="bad series selector"):
        check_widget(widget(queries=(RangeQuery(("m{",)),)))


# --- every installed plugin -----------------------------------------------------------------------


def test_all_installed_plugins_keep_the_contracts(tmp_path: Path) -> None:
    manager = PluginManager()
    manager.load(Config())
    checks: dict[str, Callable[[Any], None]] = {
        "barograph_metric_sources": check_metric_source,
        "barograph_aggregators": check_aggregator,
        "barograph_widgets": check_widget,
        "barograph_routes": check_route,
        "barograph_commands": check_command,
    }
    plugins: set[str] = set()
    for hook, check in checks.items():
        for plugin, one in manager.call(hook):
            plugins.add(plugin)
            try:
                check(one)
            except Exception as error:
                raise AssertionError(f"{hook} of plugin {plugin}: {error}") from error
    for plugin, store in manager.call("barograph_stores", data_dir=tmp_path):
        plugins.add(plugin)
        made = type(store)
        check_store(lambda folder, made=made: made(folder), tmp_path / plugin)  # type: ignore[misc]
    assert manager.problems == []
    assert plugins >= {"system", "process", "runtime", "rollup", "sqlite", "template"}
