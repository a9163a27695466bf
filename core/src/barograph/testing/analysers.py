"""What ``barograph.contracts.Analyser`` promises, tried on a real analyser over made-up data."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.answer import QueryError
from barograph.config import Config, MonitorConfig
from barograph.contracts import StoreError
from barograph.engines import find_engine
from barograph.findings import Observation
from barograph.inquiry import Inquiry
from barograph.model import Batch, Labels, Metric, MetricKind
from barograph.plugins import PluginManager
from barograph.stores import find_store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Analyser, QueryEngine, Store

_START = 1_700_006_400_000  # a midnight, UTC
_TICKS = 720
_MAX_WINDOW_S = 28 * 86_400.0
_SECONDS = 300.0

Table = dict[str, "NDArray[np.float64]"]


def check_analyser(analyser: Analyser) -> None:
    """Valid observations, the same ones twice, of made-up stores: empty, constant, with gaps, with
    NaN and infinities, counters with resets, three samples, events, and 500 series; evidence that
    parses; an end soon after nobody waits any more.

    Needs a store and a query engine: ``pip install barograph-sqlite barograph-promql``.
    """
    name = analyser.name
    assert isinstance(name, str), f"analyser name {name!r} is no text"
    assert re.fullmatch(r"[a-z0-9_.-]+", name), f"analyser name {name!r} is not plain"
    assert analyser.interval_s > 0, f"{name}: interval_s must be positive"
    assert analyser.window_s > 0, f"{name}: window_s must be positive"
    step_ms = max(round(min(analyser.window_s, _MAX_WINDOW_S) * 1000) // _TICKS, 1000)
    for kind, table in _tables().items():
        where = f"{name}, {kind}"
        with _stored(table, step_ms) as (store, engine):
            end = _START + (_TICKS - 1) * step_ms
            first = _run(where, analyser, Inquiry(store, engine, seconds=_SECONDS), end, step_ms)
            _check_observations(where, first, engine)
            again = _run(where, analyser, Inquiry(store, engine, seconds=_SECONDS), end, step_ms)
            assert again == first, (
                f"{where}: the same data give other observations the second time; perhaps it "
                "asks the clock, or draws at random without a seed"
            )
            _check_gives_up(where, analyser, store, engine, end, step_ms)


def _run(
    where: str, analyser: Analyser, data: Inquiry, end: int, step_ms: int
) -> list[Observation]:
    try:
        return list(analyser.analyse(data, end - _TICKS * step_ms, end))
    except Exception as error:  # of any kind: it is what this check looks for
        raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error


def _check_observations(where: str, found: list[Observation], engine: QueryEngine) -> None:
    seen: set[tuple[str, str]] = set()
    for one in found:
        assert isinstance(one, Observation), f"{where}: a {type(one).__name__} is no Observation"
        key = (one.kind, one.fingerprint)
        assert key not in seen, (
            f"{where}: two observations of kind {one.kind} have the fingerprint "
            f"{one.fingerprint!r}: they would be one finding"
        )
        seen.add(key)
        for evidence in one.evidence:
            try:
                engine.check(evidence.query)
            except QueryError as error:
                raise AssertionError(
                    f"{where}: the evidence {evidence.query!r} cannot be run: {error}"
                ) from error


def _check_gives_up(
    where: str, analyser: Analyser, store: Store, engine: QueryEngine, end: int, step_ms: int
) -> None:
    data = Inquiry(store, engine, seconds=_SECONDS, stopped=lambda: True)
    try:
        list(analyser.analyse(data, end - _TICKS * step_ms, end))
    except QueryError:
        pass  # as told: it lets that pass
    except Exception as error:  # of any kind: it is what this check looks for
        raise AssertionError(
            f"{where}: when nobody waits any more, it raises {type(error).__name__}: {error}"
        ) from error


@contextmanager
def _stored(table: Table, step_ms: int) -> Iterator[tuple[Store, QueryEngine]]:
    """A store with the table's rows, a series each, and the engine that is installed."""
    with tempfile.TemporaryDirectory() as folder:
        section: Any = MonitorConfig  # type checkers do not see through its decorator
        config = Config(monitor=section(data_dir=Path(folder)))
        plugins = PluginManager()
        plugins.load(config)
        try:
            store, engine = find_store(config, plugins), find_engine(plugins)
        except (StoreError, QueryError) as error:
            raise AssertionError(f"check_analyser needs a store and an engine: {error}") from error
        store.open()
        try:
            _fill(store, table, step_ms)
            yield store, engine
        finally:
            store.close()


def _fill(store: Store, table: Table, step_ms: int) -> None:
    if not table:
        return
    refs = store.intern([_series(text) for text in table])
    rows = np.array(list(table.values()))
    batches = []
    for i in range(rows.shape[1]):
        there = rows[:, i] != _ABSENT
        batches.append(Batch(refs[there], _START + i * step_ms, rows[there, i]))
    store.append(batches)


def _series(text: str) -> tuple[Labels, Metric]:
    name, _, rest = text.partition("|")
    counter = name.endswith(("_total", "_count"))
    kind = MetricKind.COUNTER if counter else MetricKind.GAUGE
    labels = dict(part.split("=", 1) for part in rest.split(",") if part)
    return Labels.of(name, labels), Metric(name, kind)


_ABSENT = -1e308
"""Stands for a sample that is not there: NaN is one that is."""


_GAUGES = ("system_cpu_utilization_ratio|host=a", "system_memory_usage_bytes|host=a,state=used",
           "system_load_average|host=a,period=1m", "process_memory_rss_bytes|name=app",
           "http_server_active_requests|service=shop")  # fmt: skip
_COUNTERS = (
    "system_network_io_bytes_total|device=eth0,direction=receive,host=a",
    "system_disk_io_bytes_total|device=sda,direction=write,host=a",
    "http_server_request_duration_seconds_count|route=/,service=shop,status=200",
    "http_server_request_duration_seconds_count|route=/,service=shop,status=500",
)


def _tables() -> dict[str, Table]:
    """What a host stores, and what breaks analysers."""
    rng = np.random.default_rng(11)
    n = _TICKS
    tick = np.arange(n)

    def gauges(make: Any) -> Table:
        return {name: make(i) for i, name in enumerate(_GAUGES)}

    def noise(level: float = 50.0) -> NDArray[np.float64]:
        return rng.normal(level, 2.0, n)

    def counter(pace: float = 200.0) -> NDArray[np.float64]:
        grown = np.cumsum(rng.poisson(pace, n)).astype(float)
        for at in (n // 5, n // 2):
            grown[at:] -= grown[at]
        return grown

    def holes(i: int) -> NDArray[np.float64]:
        row = noise()
        row[rng.random(n) < 0.3] = _ABSENT
        row[n // 3 : n // 2] = _ABSENT
        return row

    def odd(i: int) -> NDArray[np.float64]:
        row = noise()
        row[rng.random(n) < 0.2] = (np.nan, np.inf, -np.inf)[i % 3]
        return np.full(n, np.nan) if i == 4 else row

    def short(i: int) -> NDArray[np.float64]:
        row = np.full(n, _ABSENT)
        row[n // 2 : n // 2 + 3] = (1.0, 5.0, 1.0)
        return row

    shift, drift, lead = noise(), noise(), noise()
    shift[n // 2 :] += 60.0
    drift += tick * 0.2
    lead[n // 3 : n // 3 + 40] += 40.0
    season = noise() + 20.0 * np.sin(tick * (2 * np.pi / 24))
    events = dict(zip(_GAUGES, (shift, drift, season, lead, np.roll(lead, 3)), strict=True))
    events |= {name: counter() for name in _COUNTERS}
    crowd = {
        f"crowd_queue_length|shard={i},host=h{i % 9}": np.cumsum(rng.normal(0, 1, n)) + 100
        for i in range(500)
    }
    return {
        "an empty store": {},
        "constant series": gauges(lambda i: np.full(n, float(i))),
        "series with gaps": gauges(holes),
        "NaN and infinities": gauges(odd),
        "counters with resets": {name: counter() for name in _COUNTERS},
        "three samples a series": gauges(short),
        "events": events,
        "500 series": crowd,
    }
