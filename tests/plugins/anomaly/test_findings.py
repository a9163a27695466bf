"""Alarms become findings: while they last, when they are over, and when a person says "fine"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import pytest
from fakes import eventually
from histories import START, noise
from hosts import CONFIG, STEP

from barograph import Labels, MetricKind
from barograph.answer import Matrix
from barograph.contracts import Detector, TeachableDetector
from barograph.detection import replay
from barograph.findings import Finding
from barograph.model import Metric, Series
from barograph_anomaly import telling
from barograph_anomaly.automatic.detector import AutoDetector
from barograph_anomaly.routes import accept
from barograph_anomaly.telling import MAX_TOLD, QUIET_MS, SETTLE_MS
from barograph_anomaly.watching import PLACE, Watcher, Watching
from barograph_promql.engine import PromqlEngine


class Above:
    """A stranger's detector: what is above 100 is abnormal, the more the further."""

    name = "above"

    def state(self, n: int) -> dict[str, Any]:
        return {"seen": np.zeros(n)}

    def update(self, state: dict[str, Any], t_ms: int, values: Any) -> Any:
        state["seen"] += np.isfinite(values)
        excess = np.nan_to_num(np.maximum(values - 100.0, 0.0))
        return np.where(excess > 0, 0.5 + 0.5 * excess / (excess + 100.0), 0.0)

    def score(self, t_ms: Any, values: Any) -> Any:
        return replay(self, t_ms, values)


class Learner(Above):
    """The same, but it can be told; ``told`` counts."""

    name = "learner"

    def __init__(self) -> None:
        self.told: list[int] = []

    def explain(self, state: dict[str, Any], series: int, name: str = "", unit: str = "") -> str:
        return f"{name} is above 100, which it was told {len(self.told)} times to be fine"

    def accept(self, state: dict[str, Any], series: int) -> None:
        self.told.append(series)


class Feed:
    """Puts values in tick by tick, and lets a watcher look."""

    def __init__(self, host: Any, detector: Detector, **config: Any) -> None:
        self.host = host
        self.watcher = Watcher(host, attrs.evolve(CONFIG, **config), detector, ["zscore"])
        self.now = START

    def __call__(self, ticks: Sequence[dict[Labels, float]]) -> list[Finding]:
        for values in ticks:
            self.now += STEP
            self.host.clock.advance(STEP / 1000)
            self.host.put(self.now, values)
            self.watcher.look(self.now)
        return self.found

    @property
    def found(self) -> list[Finding]:
        out: list[Finding] = self.host.findings.list()
        return out


def quiet(one: Labels, ms: int) -> list[dict[Labels, float]]:
    return [{one: 1.0}] * (ms // STEP)


def test_an_alarm_is_a_finding_with_a_sentence_and_evidence_that_shows_it(host: Any) -> None:
    one = host.series("load", host="a")
    values = noise(400, 3)
    values[300] += 3000
    feed = Feed(host, AutoDetector())
    (found,) = feed([{one: x} for x in values[:310]])
    seen = found.observation
    assert (found.source, seen.kind, found.state) == ("auto", "anomaly", "open")
    assert seen.labels == one
    assert seen.start_ms == seen.end_ms == START + 301 * STEP
    assert seen.severity == "warning"
    assert seen.confidence == seen.details["score"] >= 0.75
    assert seen.details["value"] == values[300]
    assert seen.title == f'load{{host="a"}}: {values[300]:.0f} s (score {seen.confidence:.2f})'
    assert "times its usual spread above its usual" in seen.text
    first, second = seen.evidence
    matrix = PromqlEngine().range(host.store, first.query, first.start_ms, first.end_ms, STEP)
    assert isinstance(matrix, Matrix)
    assert matrix.values.max() == values[300]
    assert second.query == 'barograph_anomaly_score{host="a",metric="load"}'
    PromqlEngine().check(second.query)


def test_while_it_lasts_it_is_one_finding_and_it_settles_when_it_is_over(host: Any) -> None:
    one = host.series("load", host="a")
    feed = Feed(host, Above())
    feed(quiet(one, 300_000))
    began = feed.now + STEP
    (found,) = feed([{one: 150.0}])
    assert found.times == 1
    assert found.observation.end_ms == began
    (found,) = feed([{one: 300.0}, {one: 1.0}, {one: 200.0}])
    assert found.times == 2, "it got louder, then it did not"
    (found,) = feed(quiet(one, 50_000))
    assert found.times == 3, "a minute after"
    seen = found.observation
    assert (seen.start_ms, seen.end_ms) == (began, began + 3 * STEP)
    assert seen.details["alarms"] == 3
    assert seen.details["value"] == 200
    assert seen.details["score"] == pytest.approx(0.5 + 0.5 * 200 / 300), "its greatest"
    assert seen.text == 'load{host="a"} 200 s; above scores it 0.833, 3 times within this event.'
    (found,) = feed(quiet(one, QUIET_MS - 50_000))
    assert found.state == "open"
    (found,) = feed(quiet(one, 2 * SETTLE_MS))
    assert found.state == "resolved"
    assert found.history[-1].by == "barograph"
    (again,) = feed([{one: 150.0}])
    assert (again.id, again.state, again.times) == (found.id, "open", 4)
    assert again.observation.start_ms == feed.now, "another event of the same series"
    assert again.observation.details["alarms"] == 1


def test_an_event_that_lasts_is_written_once_a_minute(host: Any) -> None:
    one = host.series("load", host="a")
    (found,) = Feed(host, Above())([{one: 150.0}] * 61)  # ten minutes
    assert found.times == 11
    assert found.observation.details["alarms"] == 61


def test_the_evidence_of_a_counter_is_its_rate(host: Any) -> None:
    one = host.series("requests_total", MetricKind.COUNTER, path='/a"b')
    feed = Feed(host, Above())
    grown = np.cumsum(np.full(60, 500.0))  # 50 a second
    grown[50:] += np.arange(1, 11) * 2000.0
    (found,) = feed([{one: x} for x in grown])
    seen = found.observation
    assert seen.details["value"] == 250
    assert seen.details["unit"] == "/s"
    assert "250/s" in seen.title
    first = seen.evidence[0]
    assert first.query == 'rate(requests_total{path="/a\\"b"}[60s])'
    matrix = PromqlEngine().range(host.store, first.query, first.start_ms, first.end_ms, STEP)
    assert matrix.values.max() > 200


def test_what_another_detector_has_left_open_settles(host: Any) -> None:
    one = host.series("load", host="a")
    old = Feed(host, Above())
    old.watcher = Watcher(host, CONFIG, Above(), [])
    old([{one: 150.0}])
    feed = Feed(host, AutoDetector())
    feed.watcher = Watcher(host, CONFIG, AutoDetector(), ["above", "auto"])
    feed.now = old.now
    (found,) = feed(quiet(one, QUIET_MS + SETTLE_MS + STEP))
    assert (found.source, found.state) == ("above", "resolved")


def test_more_alarms_at_one_time_than_a_person_reads_are_counted(
    host: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph_anomaly.watching.MAX_TOLD", 3)
    many = [host.series("load", host=f"h{i}") for i in range(10)]
    feed = Feed(host, Above())
    found = feed([{one: 101.0 + i for i, one in enumerate(many)}])
    assert MAX_TOLD == 200
    assert {one.observation.labels for one in found} == set(many[-3:]), "the greatest scores"
    assert host.meter.value("barograph_anomaly_untold_total") == 7


def test_a_clock_that_is_set_back_loses_no_finding(host: Any) -> None:
    one = host.series("load", host="a")
    feed = Feed(host, Above())
    feed([{one: 1.0}, {one: 150.0}])
    feed.now -= 5 * STEP
    host.clock.set_wall(-50)
    feed.watcher._seen_ms[:] = 0
    (found,) = feed([{one: 900.0}])
    assert found.times == 2
    assert found.observation.start_ms <= found.observation.end_ms == feed.now


def test_a_very_long_name_is_cut_and_still_one_series_each(host: Any) -> None:
    a, b = (host.series("load", host="x" * 20_000 + end) for end in "ab")
    found = Feed(host, Above())([{a: 150.0, b: 150.0}])
    assert len({one.id for one in found}) == 2
    for one in found:
        assert len(one.observation.title) <= 120
        assert one.observation.evidence[0].query == "load"
        assert len(one.observation.fingerprint) < 200


# "This was fine".


def heard(host: Any, detector: Detector) -> Feed:
    feed = Feed(host, detector)
    host.findings.listen(feed.watcher.dismissed)
    return feed


def test_a_dismissal_teaches_the_detector_once(host: Any) -> None:
    a, b = host.series("load", host="a"), host.series("load", host="b")
    detector = Learner()
    assert isinstance(detector, TeachableDetector)
    feed = heard(host, detector)
    feed([{a: 1.0, b: 150.0}])
    (found,) = feed.found
    assert "told 0 times to be fine" in found.observation.text
    host.findings.change(found.id, "acknowledged", "page")
    assert detector.told == []
    host.findings.change(found.id, "dismissed", "page")
    assert [feed.watcher.series[i].labels for i in detector.told] == [b]
    assert feed.watcher.events() == []
    (found,) = feed([{a: 1.0, b: 160.0}] * 7)
    assert found.state == "dismissed", "the same event goes on"
    assert found.times == 2
    assert len(detector.told) == 1, "what came after the word was not meant"


def test_another_event_of_a_series_that_was_taught_is_told_again(host: Any) -> None:
    one = host.series("load", host="a")
    feed = heard(host, Learner())
    (found,) = feed([{one: 150.0}])
    host.findings.change(found.id, "dismissed", "page")
    feed(quiet(one, QUIET_MS + STEP))
    (found,) = feed([{one: 900.0}])
    assert found.state == "open"
    assert found.history[-1].by == "learner"
    assert "another event" in found.history[-1].note


def test_what_was_dismissed_stays_so_where_nothing_can_be_learnt(host: Any) -> None:
    one = host.series("load", host="a")
    feed = heard(host, Above())
    (found,) = feed([{one: 150.0}])
    host.findings.change(found.id, "dismissed", "page")
    feed(quiet(one, QUIET_MS + STEP))
    (found,) = feed([{one: 900.0}])
    assert (found.state, found.times) == ("dismissed", 2)


def test_the_mark_by_http_dismisses_the_finding_and_teaches_once(host: Any) -> None:
    from barograph.contracts import Request

    one = host.series("load", host="a")
    detector = Learner()
    feed = heard(host, detector)
    feed([{one: 150.0}])
    PLACE.watcher = feed.watcher
    answer = accept(Request(host, "POST", "/accept", {"series": ['load{host="a"}']}))
    assert answer.status == 204
    (found,) = feed.found
    assert (found.state, found.history[-1].by) == ("dismissed", "api")
    assert detector.told == [0]


def test_findings_of_others_teach_nothing(host: Any) -> None:
    one = host.series("load", host="a")
    detector = Learner()
    feed = heard(host, detector)
    (found,) = feed([{one: 150.0}])
    seen = found.observation
    for source, kind in (("other", "anomaly"), ("learner", "trend")):
        (other,) = host.findings.report(source, [attrs.evolve(seen, kind=kind)])
        host.findings.change(other.id, "dismissed", "page")
    assert detector.told == []


def test_a_dismissal_after_a_restart_is_learnt_of_the_kept_state(host: Any) -> None:
    one = host.series("load", host="a")
    first = heard(host, Learner())
    (found,) = first([{one: 150.0}])
    detector = Learner()
    second = heard(host, detector)
    second.now = first.now
    second(quiet(one, 3 * STEP))
    host.findings.change(found.id, "dismissed", "page")
    assert detector.told == [0]


def test_the_lifecycle_listens_while_it_runs(host: Any) -> None:
    one = host.series("load", host="a")
    watching = Watching(CONFIG)
    watching.start(host)
    eventually(lambda: PLACE.watcher is not None, 60.0)
    values = noise(400, 3)
    values[300] += 300
    feed = Feed(host, AutoDetector())
    assert PLACE.watcher is not None
    feed.watcher = PLACE.watcher
    (found,) = feed([{one: x} for x in values[:310]])
    assert feed.watcher.events() != []
    host.findings.change(found.id, "dismissed", "page")
    assert feed.watcher.events() == []
    watching.stop(5.0)
    assert host.findings._listeners == []


def test_the_words_of_the_kernel_are_those_of_the_source() -> None:
    from barograph_anomaly.source import SCORE

    assert SCORE.name == telling.SCORE


def test_a_unit_that_a_sender_made_up_is_cut_in_the_title() -> None:
    metric = Metric("m" * 90, unit="<b>" * 700)
    series = Series(1, Labels.of(metric.name), metric)
    event = telling.Event(series, True, 0, 1, 1, 0.9, 1e6, "")
    seen = telling.observation(event, "above", 1.0)
    assert seen.title.endswith("… (score 0.90)")
    assert seen.title.startswith("mmm")
