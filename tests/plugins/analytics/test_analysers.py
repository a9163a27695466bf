"""What the built-in analysers see in data with known truth, and what they leave untold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from made import CPU, DAY, DISK, END, HOUR, MEMORY, QUIET, VAR, a_day, asked, fill, noise, times

from barograph import Labels
from barograph.findings import Change, Evidence, Finding, FindingBook, Observation
from barograph.testing import check_analyser
from barograph_analytics import Config
from barograph_analytics.analysers import built_in
from barograph_analytics.analysers.change_points import ChangePoints
from barograph_analytics.analysers.correlations import Correlations
from barograph_analytics.analysers.incidents import Incidents, incident
from barograph_analytics.analysers.recurrences import Recurrences
from barograph_analytics.analysers.trends import Trends

CONFIG = Config()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("day")
    fill(path, *a_day())
    return path


def seen(analyser: Any, folder: Path, span_ms: int = DAY, **given: Any) -> list[Observation]:
    with asked(folder, **given) as data:
        return list(analyser.analyse(data, END - span_ms, END))


@pytest.mark.parametrize("analyser", built_in(CONFIG), ids=lambda one: str(one.name))
def test_each_keeps_its_contract(analyser: Any) -> None:
    check_analyser(analyser)


def test_each_keeps_its_contract_over_everything() -> None:
    every = Config(watch=('{__name__=~".+"}',), correlate="all")
    for analyser in (Correlations(every), ChangePoints(every)):
        check_analyser(analyser)


def test_a_drift_is_told_with_its_pace_and_its_start(day: Path) -> None:
    found = {str(one.labels): one for one in seen(Trends(CONFIG), day)}
    one = found[str(VAR)]
    assert one.kind == "trend"
    assert one.details["slope_per_second"] * 86_400 == pytest.approx(5e9, rel=0.05)  # type: ignore[operator]
    assert "rises by" in one.title
    assert " GB a day since Thu 14 Jan" in one.title
    assert abs(one.start_ms - (END - DAY)) < 2 * HOUR
    assert str(QUIET) not in found
    assert str(CPU) not in found


def test_the_evidence_of_a_drift_shows_the_series(day: Path) -> None:
    one = next(o for o in seen(Trends(CONFIG), day) if o.labels == VAR)
    shown = one.evidence[0]
    with asked(day) as data:
        matrix = data.query_range(shown.query, shown.start_ms, shown.end_ms, 600_000)
    assert [labels for labels, _ in matrix] == [VAR]


def test_a_share_that_fills_up_says_when_it_is_full(tmp_path: Path) -> None:
    t = times(DAY, 120_000)
    one = Labels.of("system_filesystem_utilization_ratio", {"mountpoint": "/"})
    rows = {one: 0.7 + 0.2 * np.arange(len(t)) / len(t) + noise(len(t), 3, spread=0.001)}
    fill(tmp_path, t, rows)
    (found,) = seen(Trends(CONFIG), tmp_path)
    assert found.severity == "critical"
    assert found.details["full_in_s"] == pytest.approx(DAY / 2000, rel=0.1)
    assert "reaches 100 % in" in found.text


def test_a_step_is_told_with_its_time_and_both_levels(day: Path) -> None:
    found = {str(one.labels): one for one in seen(ChangePoints(CONFIG), day)}
    one = found[str(MEMORY)]
    assert "went up from 2 GB to 3 GB at Fri 15 Jan 02:0" in one.title
    assert one.severity == "info"
    assert abs(one.start_ms - (END - 6 * HOUR)) <= 5 * 60_000
    assert " % more), and has stayed there for 5 h 5" in one.text
    assert str(QUIET) not in found


def test_a_counter_is_looked_at_by_its_rate(day: Path) -> None:
    found = {str(one.labels): one for one in seen(ChangePoints(CONFIG), day)}
    one = found[str(DISK)]
    assert one.evidence[0].query.startswith("rate(system_disk_io_bytes_total{")
    assert one.details["before"] == pytest.approx(2e6, rel=0.1)
    assert one.details["after"] == pytest.approx(5e6, rel=0.1)
    assert "MB/s" in one.title


def test_fingerprints_and_titles_are_the_same_in_every_run(day: Path) -> None:
    for analyser in (Trends(CONFIG), ChangePoints(CONFIG)):
        first, again = seen(analyser, day), seen(analyser, day)
        assert first == again
    later = seen(ChangePoints(CONFIG), day, DAY - 2 * HOUR)  # as a later run with a shorter past
    assert {o.fingerprint for o in later} == {
        o.fingerprint for o in seen(ChangePoints(CONFIG), day)
    }


def test_drifts_and_steps_too_small_to_matter_are_not_told(tmp_path: Path) -> None:
    t = times(DAY)
    n = len(t)
    rows = {
        MEMORY: np.where(t < END - 6 * HOUR, 2e9, 2.02e9) + noise(n, 1, spread=1e6),  # 1 %
        CPU: 0.01 + 0.02 * np.arange(n) / n + noise(n, 2, spread=1e-4),  # 2 points
        Labels.of("process_thread_count", {"process": "a"}): np.where(t < END - HOUR, 10.0, 12.0),
    }
    fill(tmp_path, t, rows)
    for analyser in (Trends(CONFIG), ChangePoints(CONFIG)):
        assert seen(analyser, tmp_path) == []


def test_many_changes_at_once_are_one_finding(tmp_path: Path) -> None:
    t = times(DAY, 120_000)
    rows = {
        Labels.of("process_memory_usage_bytes", {"process": f"p{i}", "host": "web-1"}): np.where(
            t < END - 6 * HOUR, 1e9, 1.5e9 + 1e8 * i
        )
        + noise(len(t), i, spread=1e7)
        for i in range(9)
    }
    alone = Labels.of("system_temperature_celsius", {"sensor": "cpu"})
    rows[alone] = np.where(t < END - 2 * HOUR, 40.0, 70.0) + noise(len(t), 20)
    fill(tmp_path, t, rows)
    many, one = seen(ChangePoints(CONFIG), tmp_path)
    assert many.title.startswith("9 series changed at Fri 15 Jan 02:0")
    assert many.labels.as_dict() == {"host": "web-1"}
    assert "process_memory_usage_bytes (p8) went up from 1 GB to 2.3 GB" in many.text
    assert len(many.evidence) == 5
    assert one.labels == alone
    assert seen(ChangePoints(CONFIG), tmp_path) == [many, one]


def test_what_happens_every_day_at_this_hour_is_no_change(tmp_path: Path) -> None:
    t = times(6 * DAY, 120_000)
    hours = (t / HOUR) % 24
    working = np.where((hours >= 3) & (hours < 15), 60.0, 20.0)
    new = np.where(t >= END - 4 * HOUR, 60.0, 20.0)
    usual = Labels.of("system_temperature_celsius", {"sensor": "usual"})
    odd = Labels.of("system_temperature_celsius", {"sensor": "odd"})
    rows = {usual: working + noise(len(t), 1), odd: new + noise(len(t), 2)}
    fill(tmp_path, t, rows)
    found = seen(ChangePoints(CONFIG), tmp_path)
    assert [one.labels for one in found] == [odd]


def test_no_more_series_are_read_than_allowed(tmp_path: Path) -> None:
    t = times(DAY, 120_000)
    step = np.where(t < END - 6 * HOUR, 10.0, 90.0)
    rows = {
        Labels.of("system_temperature_celsius", {"sensor": f"s{i:02d}"}): step + noise(len(t), i)
        for i in range(12)
    }
    fill(tmp_path, t, rows)
    found = seen(ChangePoints(attrs.evolve(CONFIG, max_series=5)), tmp_path)
    assert len(found) == 5


def test_an_expression_is_looked_at_as_it_stands(day: Path) -> None:
    text = "sum(system_memory_usage_bytes) / 1e9"
    (one,) = seen(ChangePoints(Config(watch=(text,))), day)
    assert one.evidence[0].query == text
    assert one.details["after"] == pytest.approx(3, rel=0.05)


# --- what was found before -----------------------------------------------------------------------


def kept(found: list[Finding]) -> Any:
    """A book of findings with their histories."""

    class Kept:
        def put_records(self, kind: str, rows: Any) -> None:
            """Nothing is written."""

        def remove_records(self, kind: str, ids: Any) -> None:
            """Nothing is written."""

        def records(self, kind: str) -> Any:
            import json

            from barograph.findings import as_json

            for one in found:
                yield one.id, one.last_ms, json.dumps(as_json(one))

    from barograph.clock import SystemClock

    return FindingBook(Kept(), SystemClock())


def anomaly(
    labels: Labels, spans: list[tuple[int, int]], id: str, state: Any = "resolved"
) -> Finding:  # fmt: skip
    history = []
    for first, last in spans:
        history += [Change(first, "open", "auto"), Change(last, "resolved", "barograph")]
    first, last = spans[-1]
    body = Observation(
        "anomaly", str(labels), f"{labels} is odd", "It is odd.", "warning", 0.9, first, last,
        (Evidence(str(labels), first, last),), labels,
    )  # fmt: skip
    return Finding(id, "auto", body, state, spans[0][0], last, len(spans), tuple(history))


def nightly(days: int, hour: float, length_ms: int = 600_000) -> list[tuple[int, int]]:
    midnight = END // DAY * DAY
    return [
        (first := round(midnight - d * DAY + hour * HOUR), first + length_ms)
        for d in reversed(range(1, days + 1))
    ]


def test_a_nightly_problem_is_told_with_its_hour_and_the_next_time() -> None:
    book = kept([anomaly(CPU, nightly(14, 2.0), "aaaa")])
    with asked_nothing(book) as data:
        found = list(Recurrences(CONFIG).analyse(data, END - 15 * DAY, END))
    (one,) = found
    assert one.kind == "recurrence"
    assert one.details["times"] == 14
    assert one.details["pattern"] == "time_of_day"
    assert "every day at 02:0" in one.title
    assert one.severity == "warning"
    midnight = END // DAY * DAY
    assert abs(float(one.details["next_ms"]) - (midnight + DAY + 2 * HOUR)) < HOUR  # type: ignore[arg-type]
    assert "The next one is expected at Sat 16 Jan 0" in one.text


def test_problems_that_always_come_together_are_paired() -> None:
    rng = np.random.default_rng(5)
    starts = sorted(END - 20 * DAY + int(x) for x in rng.uniform(0, 19 * DAY, 12))
    first = [(s, s + 900_000) for s in starts]
    second = [(s + 60_000, s + 960_000) for s in starts]
    book = kept([anomaly(CPU, first, "aaaa"), anomaly(MEMORY, second, "bbbb")])
    with asked_nothing(book) as data:
        found = list(Recurrences(CONFIG).analyse(data, END - 20 * DAY, END))
    pairs = [one for one in found if one.fingerprint.startswith("together")]
    (pair,) = pairs
    assert "comes with" in pair.title
    assert len(pair.evidence) == 2
    assert pair.details["lag_s"] == pytest.approx(60, abs=1)


def test_a_problem_that_a_person_dismissed_does_not_come_again() -> None:
    book = kept([anomaly(CPU, nightly(14, 2.0), "aaaa", "dismissed")])
    with asked_nothing(book) as data:
        assert list(Recurrences(CONFIG).analyse(data, END - 15 * DAY, END)) == []


def test_an_expression_with_a_value_only_at_times_tells_episodes(tmp_path: Path) -> None:
    t = times(10 * DAY, 300_000)
    hours = (t // HOUR) % 24
    fill(tmp_path, t, {CPU: np.where(hours == 3, 0.95, 0.2)})
    config = Config(watch=("system_cpu_utilization_ratio > 0.9",))
    (one,) = seen(Recurrences(config), tmp_path, 10 * DAY)
    assert one.details["pattern"] == "time_of_day"
    assert "every day at 03:0" in one.title


def asked_nothing(book: FindingBook) -> Any:
    """Questions where only the book has answers."""
    from contextlib import contextmanager

    from barograph.inquiry import Inquiry

    @contextmanager
    def made() -> Any:
        yield Inquiry(None, None, book=book)  # type: ignore[arg-type]

    return made()


def test_correlations_are_told_of_series_with_a_problem_only(tmp_path: Path) -> None:
    t = times(6 * HOUR, 30_000)
    n = len(t)
    drive = np.convolve(noise(n + 9, 1), np.ones(5) / 5, "same")[:n]
    latency = Labels.of("shop_latency_seconds")
    rows = {
        CPU: np.clip(0.4 + 0.1 * drive, 0, 1) + noise(n, 2, spread=0.003),
        latency: 0.2 + 0.05 * np.roll(drive, 4) + noise(n, 3, spread=0.002),
        QUIET: noise(n, 4, 50, 1),
    }
    fill(tmp_path, t, rows)
    watch = (*CONFIG.watch, "shop_latency_seconds")
    every = seen(Correlations(Config(watch=watch, correlate="all")), tmp_path, 6 * HOUR)
    assert [one.kind for one in every] == ["correlation"]
    (one,) = every
    assert {one.details["first"], one.details["second"]} == {str(CPU), str(latency)}
    assert one.details["first"] == str(CPU)  # it leads
    assert one.details["lag_s"] == pytest.approx(120, abs=30)
    config = Config(watch=watch)
    assert seen(Correlations(config), tmp_path, 6 * HOUR) == []
    book = kept([anomaly(latency, [(END - HOUR, END)], "aaaa", "open")])
    assert seen(Correlations(config), tmp_path, 6 * HOUR, book=book) == every


def test_an_incident_is_several_series_at_one_time() -> None:
    minute = 60_000
    alone = anomaly(CPU, [(END - 50 * minute, END - 49 * minute)], "a")
    first = anomaly(CPU, [(END - 30 * minute, END - 20 * minute)], "b")
    second = anomaly(MEMORY, [(END - 26 * minute, END - 18 * minute)], "c")
    assert incident([alone], END - HOUR, END) is None
    found = incident([second, alone, first], END - HOUR, END)
    assert found == (END - 30 * minute, END - 18 * minute)


def test_what_moved_in_an_incident_is_one_finding(tmp_path: Path) -> None:
    t = times(8 * HOUR, 15_000)
    n = len(t)
    during = (t >= END - 1_200_000) & (t < END - 300_000)
    rows = {Labels.of(f"app_{i}_queue", {"shard": "1"}): noise(n, i, 100, 2) for i in range(60)}
    cause = list(rows)[17]
    rows[cause] = rows[cause] + np.where(during, 60.0, 0.0)
    fill(tmp_path, t, rows)
    book = kept([
        anomaly(one, [(END - 1_190_000, END - 300_000)], id)
        for one, id in ((cause, "aaaa"), (list(rows)[3], "bbbb"))
    ])  # fmt: skip
    (one,) = seen(Incidents(CONFIG), tmp_path, HOUR, book=book)
    assert one.kind == "moved"
    assert one.fingerprint == f"moved {cause}"
    assert one.details["moved"][0] == str(cause)  # type: ignore[index]
    assert one.details["series"] == 60
    assert math.isfinite(one.confidence)
