"""Scraping: one target's series over its scrapes, and many targets that do not mind each other."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answering import Answer, Site
from fakes import Interner, eventually, flat
from written import stored

from barograph import PerformanceMonitor
from barograph.config import Duration, Size
from barograph.model import is_stale
from barograph_prometheus.relabel import Relabel
from barograph_prometheus.scrape_config import Scrape
from barograph_prometheus.scraper import Scraper
from barograph_prometheus.scraping import Outcome, Scraping
from barograph_prometheus.targets import BadTargets, Target, static_group, targets_of

T = 1_700_000_000_000


def target(**options: Any) -> Target:
    job = Scrape(job_name="j", targets=("host:1",), **options)
    return targets_of(job, [static_group(job)])[0]


class One:
    """A target whose answers are given; what is stored of them, as a table."""

    def __init__(self, **options: Any) -> None:
        self.interner = Interner()
        self.scraping = Scraping(target(**options), self.interner)
        self.now = T

    def scrape(self, text: str, kind: str = "text/plain") -> dict[str, float | str]:
        self.now += 1000
        return self.table(self.scraping.answered(text.encode(), kind, self.now))

    def fail(self) -> dict[str, float | str]:
        self.now += 1000
        return self.table(self.scraping.failed("no answer", self.now))

    def table(self, outcome: Outcome) -> dict[str, float | str]:
        self.outcome = outcome
        batches = self.scraping.report(outcome, 0.25, self.now)
        out: dict[str, float | str] = {}
        for t, name, value in flat(batches, self.interner):
            at = "" if t == self.now else f" @{t}"
            name = name.replace('{instance="host:1",job="j"}', "")
            out[name + at] = "stale" if is_stale(value) else value
        return out


def own(up: int, scraped: int = 0, kept: int = 0, added: int = 0) -> dict[str, float]:
    return {"up": up, "scrape_duration_seconds": 0.25, "scrape_samples_scraped": scraped,
            "scrape_samples_post_metric_relabeling": kept,
            "scrape_series_added": added}  # fmt: skip


def test_samples_get_the_labels_of_their_target() -> None:
    one = One()
    assert one.scrape("a 1\nb 2\n") == {"a": 1, "b": 2} | own(1, 2, 2, 2)
    assert one.scrape("a 3\nb 4\n") == {"a": 3, "b": 4} | own(1, 2, 2, 0)


def test_series_that_vanish_and_come_back() -> None:
    one = One()
    one.scrape("a 1\nb 2\n")
    assert one.scrape("a 3\n") == {"a": 3, "b": "stale"} | own(1, 1, 1, 0)
    assert one.scrape("a 3\n") == {"a": 3} | own(1, 1, 1, 0)
    assert one.scrape("b 1\na 4\n") == {"a": 4, "b": 1} | own(1, 2, 2, 1)


def test_a_target_that_is_down_ends_all_its_series_once() -> None:
    one = One()
    one.scrape("a 1\nb 2\n")
    assert one.fail() == {"a": "stale", "b": "stale"} | own(0)
    assert one.fail() == own(0)
    assert one.scrape("a 1\nb 2\n") == {"a": 1, "b": 2} | own(1, 2, 2, 2)


def test_an_answer_that_is_half_wrong_is_not_stored_at_all() -> None:
    one = One()
    one.scrape("a 1\n")
    assert one.scrape("a 2\nb\n") == {"a": "stale"} | own(0)
    assert "line 2" in one.outcome.error


def test_times_of_a_target_are_kept_or_not() -> None:
    one = One(honor_timestamps=True)
    near = T - 5000
    assert one.scrape(f"a 1 {near}\nb 2\n") == {f"a @{near}": 1, "b": 2} | own(1, 2, 2, 1)
    assert one.scrape("b 2\n") == {"b": 2} | own(1, 1, 1, 0), "who has own times ends by itself"
    assert one.scrape(f"a 1 5000\nc 1 {T * 2}\nb 2\n") == {"b": 2} | own(1, 3, 3, 0)
    assert one.outcome.far == 2
    other = One(honor_timestamps=False)
    assert other.scrape("a 1 5000\n") == {"a": 1} | own(1, 1, 1, 1)


def test_labels_that_both_have() -> None:
    text = 'a{job="x",instance="y"} 1\n'
    name = 'a{exported_instance="y",exported_job="x",instance="host:1",job="j"}'
    assert One().scrape(text)[name] == 1
    assert One(honor_labels=True).scrape(text)['a{instance="y",job="x"}'] == 1
    twice = 'a{job="x",exported_job="z"} 1\n'
    name = 'a{exported_exported_job="x",exported_job="z",instance="host:1",job="j"}'
    assert One().scrape(twice)[name] == 1


def test_rules_for_series_drop_and_change() -> None:
    rules = (
        Relabel(source_labels=("__name__",), regex="go_.*", action="drop"),
        Relabel(source_labels=("__name__",), regex="old_(.*)", target_label="__name__"),
    )
    one = One(metric_relabel_configs=rules)
    assert one.scrape("go_x 1\nold_a 2\nb 3\n") == {"a": 2, "b": 3} | own(1, 3, 2, 2)


def test_the_same_series_twice_in_one_answer_counts_once() -> None:
    assert One().scrape("a 1\nb 2\na 3\n") == {"a": 1, "b": 2} | own(1, 3, 3, 2)


@pytest.mark.parametrize(("options", "text", "told"), [
    ({"sample_limit": 2}, "a 1\nb 1\nc 1\n", "sample_limit"),
    ({"label_limit": 4}, 'a{b="1",c="2"} 1\n', "at most 4"),
    ({"label_value_length_limit": 8}, 'a{b="123456789"} 1\n', "9 characters"),
    ({"label_name_length_limit": 8}, 'a{b23456789="1"} 1\n', "9 characters"),
])  # fmt: skip
def test_beyond_a_limit_the_scrape_fails(options: dict[str, int], text: str, told: str) -> None:
    one = One(**options)
    assert one.scrape(text) == own(0)
    assert told in one.outcome.error


def test_a_target_that_is_gone_ends_its_own_series_too() -> None:
    one = One()
    one.scrape("a 1\n")
    ends = {name for _, name, value in flat(one.scraping.end(one.now), one.interner)
            if is_stale(value)}  # fmt: skip
    assert len(ends) == 6


def test_a_target_with_ever_new_series_is_not_remembered_for_ever() -> None:
    one = One()
    for i in range(40):
        one.scrape("".join(f'a{{i="{i}-{k}"}} 1\n' for k in range(100)))
    assert len(one.scraping._known) < 1500


def test_exemplars_are_counted() -> None:
    one = One()
    one.scrape('a_total 1 # {t="x"} 1\n# EOF\n', "application/openmetrics-text")
    assert one.outcome.exemplars == 1


# --- targets ------------------------------------------------------------------------------------


def test_a_target_gets_its_address_from_its_labels() -> None:
    rules = (
        Relabel(source_labels=("__address__",), regex="drop.*", action="drop"),
        Relabel(source_labels=("__address__",), target_label="__param_target"),
        Relabel(source_labels=("__param_target",), target_label="instance"),
        Relabel(target_label="__address__", replacement="prober:9115"),
        Relabel(target_label="__scrape_interval__", replacement="1m"),
    )
    job = Scrape(job_name="p", targets=("https://a/b", "drop-me"), params="module=http",
                 metrics_path="/probe", relabel_configs=rules)  # fmt: skip
    (found,) = targets_of(job, [static_group(job)])
    assert found.url == "http://prober:9115/probe?module=http&target=https%3A%2F%2Fa%2Fb"
    assert dict(found.labels) == {"job": "p", "instance": "https://a/b"}
    assert found.interval_s == 60


@pytest.mark.parametrize(("scheme", "address", "url"), [
    ("http", "host", "http://host:80/metrics"), ("https", "host", "https://host:443/metrics"),
    ("http", "[::1]:9", "http://[::1]:9/metrics"), ("http", "1.2.3.4:5", "http://1.2.3.4:5/metrics"),
])  # fmt: skip
def test_a_port_that_is_not_named(scheme: str, address: str, url: str) -> None:
    job = Scrape(job_name="j", targets=(address,), scheme=scheme)
    assert targets_of(job, [static_group(job)])[0].url == url


def test_what_is_no_address_is_refused() -> None:
    for address in ("http://host:1/metrics", "a b", "host/path"):
        job = Scrape(job_name="j", targets=(address,))
        with pytest.raises(BadTargets, match="no address"):
            targets_of(job, [static_group(job)])


def test_targets_are_spread_over_their_interval() -> None:
    job = Scrape(job_name="j", targets=tuple(f"h{i}:1" for i in range(300)))
    offsets = np.array([t.offset_ms for t in targets_of(job, [static_group(job)])])
    counts, _ = np.histogram(offsets, bins=10, range=(0, 15_000))
    assert counts.min() > 10
    assert targets_of(job, [static_group(job)])[0].offset_ms == offsets[0], "the same each time"


# --- many targets -------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterator[Site]:
    release = threading.Event()

    def answer(path: str, headers: Any, body: bytes) -> Answer:
        if path == "/hang":
            release.wait(30)
        if path == "/flood":
            return 200, b"".join(b"flood_%d 1\n" % i for i in range(400_000)), {}
        if path == "/bomb":
            return 200, gzip.compress(b"#" * 50_000_000), {"content-encoding": "gzip"}
        if path == "/broken":
            return 500, b"", {}
        return 200, gzip.compress(b"fine 1\n"), {"content-encoding": "gzip"}

    site = Site(answer)
    yield site
    release.set()
    site.close()


def test_targets_that_hang_or_flood_delay_no_other(
    monitor: PerformanceMonitor, hanging: Site
) -> None:
    def job(name: str, **more: Any) -> Scrape:
        pace = {"scrape_interval": Duration(1.0), "scrape_timeout": Duration(1.0), **more}
        return Scrape(job_name=name, targets=(hanging.address,), metrics_path=f"/{name}", **pace)

    limits = {"flood": {"body_size_limit": Size(2**20)}, "bomb": {"body_size_limit": Size(2**20)}}
    jobs = [job(n, **limits.get(n, {})) for n in ("fine", "hang", "flood", "bomb", "broken")]
    scraper = Scraper(jobs, 100)
    scraper.start(monitor)
    try:

        def ups() -> dict[str, list[float]]:
            return {name.partition('job="')[2][:-2]: [v for _, v in samples]
                    for name, samples in stored(monitor, "up").items()}  # fmt: skip

        found = eventually(lambda: (f := ups()) and len(f) == 5 and min(map(len, f.values())) >= 3
                           and len(f["fine"]) >= 4 and f, 20)  # fmt: skip
        assert set(found["fine"]) == {1.0}
        for name in ("hang", "flood", "bomb", "broken"):
            assert set(found[name]) == {0.0}, name
        (times,) = stored(monitor, "fine").values()
        steps = np.diff([t for t, _ in times])
        assert set((steps % 1000).tolist()) == {0}, "the good target is asked when it is due"
    finally:
        scraper.stop(2.0)


def test_targets_come_and_go_with_their_files(
    monitor: PerformanceMonitor, hanging: Site, tmp_path: Path
) -> None:
    path = tmp_path / "some.json"
    job = Scrape(job_name="f", target_files=(str(tmp_path / "*.json"),), labels={"team": "a"},
                 scrape_interval=Duration(0.5), scrape_timeout=Duration(0.5))  # fmt: skip
    scraper = Scraper([job], 100)

    def group(*addresses: str) -> None:
        path.write_text(json.dumps([{"targets": addresses, "labels": {"env": "x"}}]))
        scraper.look()

    group_ = hanging.address
    path.write_text(json.dumps([{"targets": [group_], "labels": {"env": "x"}}]))
    scraper.start(monitor)
    try:
        name = f'up{{env="x",instance="{group_}",job="f",team="a"}}'
        eventually(lambda: stored(monitor, "up").get(name))
        path.write_text("{ not json")
        scraper.look()
        assert len(scraper.loops()) == 1, "what was good stays"
        assert monitor.meter.value("barograph_scrape_target_files_failed_total") >= 1
        group()
        assert scraper.loops() == []
        ended = lambda: is_stale(stored(monitor, "up")[name][-1][1])  # noqa: E731
        eventually(ended)
        assert is_stale(next(iter(stored(monitor, "fine").values()))[-1][1])
    finally:
        scraper.stop(2.0)


def test_more_targets_than_allowed_are_left_out_and_counted(
    monitor: PerformanceMonitor, hanging: Site
) -> None:
    job = Scrape(job_name="m", targets=tuple(f"127.0.0.{i}:1" for i in range(1, 9)))
    scraper = Scraper([job], 3)
    scraper.start(monitor)
    try:
        eventually(lambda: len(scraper.loops()) == 3)
        assert monitor.meter.value("barograph_scrape_targets_dropped") == 5
    finally:
        scraper.stop(2.0)


@pytest.mark.parametrize("text", [
    "{}", "[1]", '[{"targets": "x"}]', '[{"targets": [1]}]', '[{"other": 1}]',
    '[{"targets": ["a:1"], "labels": {"a-b": "x"}}]', '[{"targets": ["a:1"], "labels": {"a": 1}}]',
    "[" * 5000, "\ud800",
])  # fmt: skip
def test_a_file_that_is_no_list_of_groups_is_refused(tmp_path: Path, text: str) -> None:
    from barograph_prometheus.targets import read_target_files

    path = tmp_path / "t.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadTargets):
        read_target_files(str(path))
