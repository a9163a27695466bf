"""What each contract promises, tried on a real object. All raise AssertionError with the reason."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from barograph.contracts import Aggregator, ColumnarSource, Store, WidgetSpec
from barograph.model import Batch, Column, Labels, Matcher, Metric, Sample
from barograph.query import parse_selector
from barograph.selfmetrics import Meter
from barograph.sources import Intake

NOW_MS = 1_700_000_000_000


def check_metric_source(source: Any, ticks: int = 2) -> None:
    """Names, interval, and ``ticks`` collections whose every sample would be stored."""
    assert re.fullmatch(r"[a-z0-9_.-]+", source.name), f"source name {source.name!r} is not plain"
    if source.interval_s is not None:
        assert source.interval_s > 0, f"{source.name}: interval_s must be positive"
    meter = Meter()
    seen: dict[Labels, int] = {}

    def intern(series: Any) -> Any:
        return np.array([seen.setdefault(labels, len(seen) + 1) for labels, _ in series], np.int64)

    intake = Intake(source.name, intern, meter, 20_000, {})
    for i in range(ticks):
        now = NOW_MS + i * 1000
        if isinstance(source, ColumnarSource):
            intake.vector(source, now)
        else:
            found = list(source.collect(now))
            assert all(isinstance(s, Sample) for s in found), f"{source.name}: not all are Sample"
            intake.samples(found, now)
    for sample in meter.samples():
        assert sample.value == 0, (
            f"{source.name}: {sample.value:g} samples are {dict(sample.labels)}"
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
    """Append, read, late samples, overwriting, selection, and all of it again after reopening."""
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
        assert store.check() == [], "check: problems in a sound store"
        store.maintain(NOW_MS + 60_000)
        store.close()
        if not again:
            store = make(folder)
            store.open()


def check_widget(widget: Any) -> None:
    """A complete description whose selectors parse."""
    spec = widget.spec()
    assert isinstance(spec, WidgetSpec), "spec() must return a WidgetSpec"
    assert spec.id, "widget without id"
    assert spec.title, f"{spec.id}: no title"
    assert spec.help, f"{spec.id}: say what it shows and why it matters (help)"
    for query in spec.queries:
        for text in query.match:
            parse_selector(text)
    json.dumps(dict(spec.options))


def check_route(route: Any) -> None:
    """A path, methods and a handler."""
    assert route.path.startswith("/"), f"route path {route.path!r} must start with /"
    assert ".." not in route.path, f"route path {route.path!r} climbs"
    assert callable(route.handler), f"{route.path}: handler is not callable"
    assert set(route.methods) <= {"GET", "POST", "PUT", "PATCH", "DELETE"}, f"{route.path}: methods"


def check_command(command: Any) -> None:
    """A named click command with help."""
    import click

    assert isinstance(command, click.Command), "not a click command"
    assert command.name, "a command needs a name"
    assert command.help, f"command {command.name} has no help"


def check_lifecycle(lifecycle: Any, monitor: Any) -> None:
    """Starts with a monitor and stops in time, twice."""
    assert lifecycle.name, "a lifecycle object needs a name"
    for _ in range(2):
        lifecycle.start(monitor)
        lifecycle.stop(1.0)
