"""Series under watch in a running monitor: the same scores, kept from run to run, told by HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes import eventually
from histories import START, noise
from hosts import CONFIG, STEP

from barograph import Labels, MetricKind, PerformanceMonitor
from barograph.config import Config as KernelConfig
from barograph.config import ConfigErrors, load_config
from barograph.contracts import Request
from barograph.testing import check_lifecycle, check_metric_source, check_route
from barograph_anomaly import Config, barograph_routes, score
from barograph_anomaly.automatic.detector import AutoDetector
from barograph_anomaly.routes import accept, newest
from barograph_anomaly.source import ScoreSource
from barograph_anomaly.watching import FILE, GONE_MS, PLACE, Watcher, Watching


def test_it_gives_the_scores_that_the_history_gives(host: Any) -> None:
    a, b = host.series("load", host="a"), host.series("load", host="b")
    values = {a: noise(400, 1), b: noise(400, 2)}
    values[b][300] += 80
    watcher = Watcher(host, CONFIG, AutoDetector())
    found: dict[Labels, list[float]] = {a: [], b: []}
    for i in range(400):
        now = START + i * STEP
        host.put(now, {one: row[i] for one, row in values.items()})
        scores = watcher.look(now)
        for one, x in zip(watcher.series, scores[:2].tolist(), strict=True):
            found[one.labels].append(x)
        assert np.array_equal(watcher.look(now), scores)  # a second look changes nothing
    t = START + np.arange(400) * STEP
    for one, row in values.items():
        assert found[one] == score(t, row).tolist()
    assert max(found[b]) >= 0.5


def test_counters_are_watched_by_their_rates_and_a_reset_is_nothing(host: Any) -> None:
    one = host.series("requests_total", MetricKind.COUNTER)
    watcher = Watcher(host, CONFIG, AutoDetector())
    grown = np.cumsum(np.random.default_rng(1).poisson(500, 500)).astype(float)
    grown[250:] -= grown[249]
    grown[400:] += np.arange(1, 101) * 3000.0
    loud = []
    for i in range(500):
        host.put(START + i * STEP, {one: grown[i]})
        if watcher.look(START + i * STEP)[0] >= 0.5:
            loud.append(i)
    assert 400 in loud
    assert not any(245 <= i <= 260 for i in loud)
    (event,) = watcher.events()
    assert event.start_ms >= START + 400 * STEP
    assert "requests_total" in event.text


def test_shares_of_groups_rise_with_alarms_and_fall_after_them(host: Any) -> None:
    many = [host.series("load", host=name) for name in "abcd"]
    rows = [noise(500, seed) for seed in range(4)]
    rows[0][300] += 90
    watcher = Watcher(host, CONFIG, AutoDetector())
    shares = []
    for i in range(500):
        host.put(START + i * STEP, {one: row[i] for one, row in zip(many, rows, strict=True)})
        shares.append(dict(zip(watcher.groups, watcher.look(START + i * STEP)[4:], strict=False)))
    assert set(watcher.groups) == {"all", "load", "host=a", "host=b", "host=c", "host=d"}
    assert shares[299]["all"] == 0
    assert shares[300]["all"] == shares[300]["load"] == 0.25
    assert (shares[300]["host=a"], shares[300]["host=b"]) == (1, 0)
    assert shares[400]["all"] == 0


def test_series_that_end_make_room_for_new_ones_up_to_the_limit(host: Any) -> None:
    config = attrs.evolve(CONFIG, max_series=2)
    old = [host.series("load", host=name) for name in "ab"]
    watcher = Watcher(host, config, AutoDetector())
    host.put(START, dict.fromkeys(old, 1.0))
    watcher.look(START)
    assert {one.labels for one in watcher.series} == set(old)
    new = [host.series("load", host=name) for name in "cde"]
    later = START + 4 * GONE_MS
    host.put(later, dict.fromkeys(new, 1.0))
    host.store.maintain(later)
    before = watcher.generation
    values = watcher.look(later)
    assert len(watcher.series) == 2
    assert watcher.generation > before
    assert len(values) == 2 + len(watcher.groups)


def test_other_selectors_are_followed_while_running(host: Any) -> None:
    a, b = host.series("load", host="a"), host.series("heat", host="a")
    PLACE.watcher = watcher = Watcher(host, CONFIG, AutoDetector())
    host.put(START, {a: 1.0, b: 2.0})
    check_metric_source(ScoreSource(CONFIG))
    watcher.look(START)
    assert [one.labels for one in watcher.series] == [a]
    ScoreSource(attrs.evolve(CONFIG, watch=("heat",))).collect_vector(START + STEP)
    assert [one.labels for one in watcher.series] == [b]


def test_what_it_knows_survives_a_restart(host: Any) -> None:
    one = host.series("load", host="a")
    values = noise(600, 3)
    values[400] += 80

    def looks(watcher: Watcher, rows: range) -> list[float]:
        out = []
        for i in rows:
            host.put(START + i * STEP, {one: values[i]})
            out.append(float(watcher.look(START + i * STEP)[0]))
        return out

    whole = score(START + np.arange(600) * STEP, values)
    first = Watcher(host, CONFIG, AutoDetector())
    looks(first, range(350))
    path = host.config.monitor.directory / FILE
    first.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    second = Watcher(host, CONFIG, AutoDetector())
    second.load(path, START + 349 * STEP)
    assert looks(second, range(350, 600)) == whole[350:].tolist()


def test_a_kept_state_that_is_damaged_is_counted_and_left(host: Any) -> None:
    path = host.config.monitor.directory / FILE
    path.write_bytes(b"PK\x03\x04 rubbish")
    watching = Watching(CONFIG)
    watching.start(host)
    eventually(lambda: PLACE.watcher is not None)
    assert host.meter.value("barograph_anomaly_restore_errors_total") == 1
    watching.stop(1.0)


def test_the_lifecycle_keeps_its_contract(host: Any) -> None:
    check_lifecycle(Watching(CONFIG), host, deadline_s=5.0)


def test_an_unknown_detector_or_selector_is_told_at_the_start(host: Any) -> None:
    with pytest.raises(LookupError, match='no detector "atuo"'):
        Watching(attrs.evolve(CONFIG, detector="atuo")).start(host)
    with pytest.raises(ValueError, match="bad series selector"):
        Watching(attrs.evolve(CONFIG, watch=("load{",))).start(host)


def test_a_selector_that_is_none_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "barograph.toml"
    path.write_text('[plugins.anomaly]\nwatch = ["load", "load{"]\n')
    with pytest.raises(ConfigErrors) as told:
        load_config(path, plugin_configs={"anomaly": Config})
    (mistake,) = told.value.mistakes
    assert "bad series selector 'load{'" in mistake.message


def test_the_source_keeps_its_contract_before_and_while_it_watches(host: Any) -> None:
    check_metric_source(ScoreSource(CONFIG))
    one = host.series("load", host="a")
    host.put(1_700_000_000_000, {one: 1.0})
    PLACE.watcher = Watcher(host, CONFIG, AutoDetector())
    source = ScoreSource(CONFIG)
    check_metric_source(source)
    names = [str(labels) for labels, _ in source.series()]
    assert names[0] == 'barograph_anomaly_score{host="a",metric="load"}'
    assert 'barograph_anomaly_ratio{group="all"}' in names


def ask(handler: Any, monitor: Any = None, **query: str) -> Any:
    given = {name: [value] for name, value in query.items()}
    return handler(Request(monitor, "GET", "/", given))  # type: ignore[arg-type]


def test_events_are_told_by_http_and_can_be_marked_as_fine(host: Any) -> None:
    for route in barograph_routes():
        check_route(route)
    assert ask(newest) == {"events": []}
    assert ask(accept, series="x").status == 503
    one = host.series("load", host="a")
    values = noise(500, 3)
    values[300] += 300
    PLACE.watcher = watcher = Watcher(host, CONFIG, AutoDetector())
    for i in range(310):
        host.put(START + i * STEP, {one: values[i]})
        watcher.look(START + i * STEP)
    (event,) = ask(newest)["events"]
    assert event["series"] == 'load{host="a"}'
    assert event["score"] >= 0.5
    assert 'load{host="a"}' in event["text"]
    wrong = ask(accept, host, series="nothing")
    assert wrong.status == 404
    assert "nothing has had no event" in json.loads(wrong.body)["detail"]
    assert ask(accept, host, series='load{host="a"}').status == 204
    assert [one.state for one in host.findings.list()] == ["dismissed"]
    assert ask(newest) == {"events": []}


def test_a_running_monitor_stores_scores_of_this_host(tmp_path: Path) -> None:
    from barograph.config.schema import MonitorConfig, PluginSettings
    from barograph.query import parse_selector

    options = Config(interval=1.0)  # type: ignore[arg-type]
    config = KernelConfig(
        monitor=MonitorConfig(data_dir=tmp_path),
        plugins={"anomaly": PluginSettings(enabled=True, options=options)},
    )
    with PerformanceMonitor(config) as monitor:

        def stored() -> list[Any]:
            wanted = 'barograph_anomaly_score{metric="system_memory_usage_bytes"}'
            return monitor.store.select(parse_selector(wanted))

        assert eventually(stored, 60.0)
        assert not [p for p in monitor.problems if "anomaly" in p.where]
    assert (tmp_path / FILE).exists()
