"""What each contract promises, tried on a real object. All raise AssertionError with the reason."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from barograph.contracts import Aggregator, ColumnarSource, Records, Store, WidgetSpec
from barograph.model import Batch, Column, Labels, Matcher, Metric, MetricKind
from barograph.query import parse_selector
from barograph.selfmetrics import Meter
from barograph.sources import Intake
from barograph.testing.records import check_records

NOW_MS = 1_700_000_000_000


UNITS = ("seconds", "bytes", "ratio", "celsius", "hertz", "rpm", "cores")
"""Units that a metric's name ends with, before ``_total``."""


def check_metric_source(source: Any, ticks: int = 2) -> None:
    """Names, interval, and ``ticks`` collections whose every sample would be stored.

    Each metric has one sentence of help, a name that says its unit, and ``_total`` at its end if,
    and only if, it is a counter (a histogram's parts, ``_bucket``, ``_sum`` and ``_count``, too).
    """
    name = source.name
    assert isinstance(name, str), f"source name {name!r} is no text"
    assert re.fullmatch(r"[a-z0-9_.-]+", name), f"source name {name!r} is not plain"
    if source.interval_s is not None:
        assert source.interval_s > 0, f"{name}: interval_s must be positive"
    meter = Meter()
    seen: dict[Labels, int] = {}
    metrics: dict[str, Metric] = {}

    def intern(series: Any) -> Any:
        for labels, metric in series:
            seen.setdefault(labels, len(seen) + 1)
            metrics.setdefault(metric.name, metric)
            assert labels.name == metric.name, f"{name}: {labels} has the metric {metric.name}"
        return np.array([seen[labels] for labels, _ in series], np.int64)

    intake = Intake(name, intern, meter, 20_000, {})
    for i in range(ticks):
        now = NOW_MS + i * 1000
        if isinstance(source, ColumnarSource):
            intake.vector(source, now)
        else:
            intake.samples(source.collect(now), now)
        assert not intake.complaint, f"{name}: {intake.complaint}"
    for metric in metrics.values():
        _check_metric(name, metric)


def _check_metric(source: str, metric: Metric) -> None:
    name = metric.name
    assert metric.help, f"{source}: {name} has no help: say in a few words what it is"
    part = name.endswith(("_bucket", "_sum", "_count"))
    if metric.kind is MetricKind.COUNTER:
        assert name.endswith("_total") or part, f"{source}: counter {name} must end with _total"
    else:
        assert not name.endswith("_total"), f"{source}: {name} ends with _total but is no counter"
    base = re.sub(r"_(total|bucket|sum|count)$", "", name)
    for unit in UNITS:
        if base.endswith(f"_{unit}") and not (part and unit != metric.unit):
            assert metric.unit == unit, f"{source}: {name} must have the unit {unit!r}"
    if metric.unit in UNITS and not part:
        assert base.endswith(f"_{metric.unit}"), (
            f"{source}: {name} has the unit {metric.unit!r} and must be named after it: "
            f"{base}_{metric.unit}"
        )


def check_aggregator(aggregator: Aggregator, seed: int = 0) -> None:
    """Coarsening and merging equal folding the raw samples."""
    rng = np.random.default_rng(seed)
    t = NOW_MS + np.cumsum(rng.integers(1, 4000, 3000))
    column = Column(t, np.round(rng.normal(0, 100, 3000), 2))
    fine = aggregator.fold(column, 5000)
    whole = aggregator.fold(column, 60_000)
    _same(aggregator.coarsen(fine, 60_000), whole, "coarsen")
    cut = int(rng.integers(1, 2999))
    parts = [Column(t[:cut], column.values[:cut]), Column(t[cut:], column.values[cut:])]
    _same(aggregator.merge([aggregator.fold(p, 60_000) for p in parts]), whole, "merge")
    assert int(whole.count.sum()) == 3000, "fold: counts do not add up to the samples"


def _same(mine: Any, whole: Any, what: str) -> None:
    for name in ("start_ms", "count", "min", "max", "first", "last",
                 "sketch_offsets", "sketch_keys", "sketch_counts"):  # fmt: skip
        assert np.array_equal(getattr(mine, name), getattr(whole, name)), f"{what}: {name} differs"
    for name in ("sum", "increase"):
        close = np.allclose(getattr(mine, name), getattr(whole, name), rtol=1e-9, atol=1e-6)
        assert close, f"{what}: {name} differs"


def check_store(make: Callable[[Path], Store], folder: Path) -> None:
    """Append, read, late samples, overwriting, selection, and all of it again after reopening;
    records too, if it keeps them."""
    store = make(folder)
    store.open()
    series = [(Labels.of("check_total", {"i": str(i)}), Metric("check_total")) for i in range(3)]
    refs = store.intern(series)
    assert len(set(refs.tolist())) == 3, "intern: refs are not distinct"
    assert np.array_equal(refs, store.intern(series)), "intern: refs are not stable"
    for i in range(20):
        store.append([Batch(refs, NOW_MS + i * 1000, np.array([i, -i, i / 7]))])
    late = np.array([NOW_MS + 500, NOW_MS + 3000])
    store.append([Batch(np.repeat(refs[:1], 2), late, np.array([77.0, 78.0]))])
    for again in range(2):
        first = store.read(refs.tolist(), NOW_MS, NOW_MS + 5000)[0]
        assert first.t_ms.tolist() == [NOW_MS + x for x in (0, 500, 1000, 2000, 3000, 4000, 5000)]
        assert first.values.tolist() == [0, 77, 1, 2, 78, 4, 5], f"read: {first.values.tolist()}"
        found = store.select([Matcher.equal("i", "2")])
        assert [s.ref for s in found] == [refs[2]], "select: wrong series"
        assert not store.select([Matcher.equal("i", "9")]), "select: found what is not there"
        assert store.stats().samples >= 61, "stats: too few samples"
        if isinstance(store, Records):
            check_records(store)
        assert store.check() == [], "check: problems in a sound store"
        store.maintain(NOW_MS + 60_000)
        store.close()
        if not again:
            store = make(folder)
            store.open()


KINDS = ("timeseries", "stat", "table")
"""Kinds of widgets that the page draws itself."""


def check_widget(widget: Any) -> None:
    """A complete description whose selectors parse, and a method ``data``."""
    spec = widget.spec()
    assert isinstance(spec, WidgetSpec), "spec() must return a WidgetSpec"
    assert spec.id, "widget without id"
    assert spec.title, f"{spec.id}: no title"
    assert spec.section, f"{spec.id}: no section"
    assert spec.help, f"{spec.id}: say what it shows and why it matters (help)"
    assert spec.kind in KINDS or spec.module, (
        f"{spec.id}: kind {spec.kind!r} is none of the page's own ({', '.join(KINDS)}) and no "
        "module defines it"
    )
    for query in spec.queries:
        for text in (*query.match, *query.over):
            parse_selector(text)
        assert query.quantile is None or 0 <= query.quantile <= 1, f"{spec.id}: quantile"
        assert query.fn in ("value", "rate", "increase"), f"{spec.id}: fn {query.fn!r}"
        assert query.agg in ("none", "sum", "mean", "min", "max"), f"{spec.id}: agg {query.agg!r}"
    json.dumps(dict(spec.options))
    assert callable(getattr(widget, "data", None)), f"{spec.id}: no method data"


def check_route(route: Any) -> None:
    """A path, methods and a handler."""
    assert route.path.startswith("/"), f"route path {route.path!r} must start with /"
    assert ".." not in route.path, f"route path {route.path!r} climbs"
    assert callable(route.handler), f"{route.path}: handler is not callable"
    assert route.summary, f"{route.path}: no summary"
    assert route.methods, f"{route.path}: no methods"
    assert set(route.methods) <= {"GET", "POST", "PUT", "PATCH", "DELETE"}, f"{route.path}: methods"
    assert not route.ingest or tuple(route.methods) == ("POST",), f"{route.path}: ingest is by POST"


def check_command(command: Any) -> None:
    """A named click command with help."""
    import click

    assert isinstance(command, click.Command), "not a click command"
    assert command.name, "a command needs a name"
    assert command.help, f"command {command.name} has no help"


def check_lifecycle(lifecycle: Any, monitor: Any, deadline_s: float = 1.0) -> None:
    """Starts with a monitor and stops within its deadline, twice, and once more when stopped."""
    assert lifecycle.name, "a lifecycle object needs a name"
    for _ in range(2):
        lifecycle.start(monitor)
        for _ in range(2):
            began = time.monotonic()
            lifecycle.stop(deadline_s)
            took = time.monotonic() - began
            assert took < 2 * deadline_s, (
                f"{lifecycle.name}: stop({deadline_s:g}) took {took:.1f} s"
            )
