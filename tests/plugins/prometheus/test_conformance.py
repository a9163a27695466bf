"""The kernel's checks on this plugin's objects, and its options from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from barograph import PerformanceMonitor
from barograph.config import ConfigErrors, load_config
from barograph.contracts import Lifecycle
from barograph.model import MetricKind
from barograph.testing import check_lifecycle, check_route
from barograph_prometheus import Config, barograph_lifecycle, barograph_routes
from barograph_prometheus.destination import Destination
from barograph_prometheus.families import Families
from barograph_prometheus.relabel import Relabel
from barograph_prometheus.scrape_config import Scrape
from barograph_prometheus.targets import read_target_files
from barograph_prometheus.wire import Metadata

FILE = """
[plugins.prometheus]
rule_files = ["RULES"]
[[plugins.prometheus.scrape]]
job_name = "a"
targets = ["127.0.0.1:1"]
[[plugins.prometheus.scrape.relabel_configs]]
regex = "x"
action = "labeldrop"
[[plugins.prometheus.remote_write]]
url = "http://127.0.0.1:1/api/v1/write"
"""


def options(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "barograph.toml"
    path.write_text(text)
    found = load_config(path, plugin_configs={"prometheus": Config}).plugins["prometheus"].options
    assert isinstance(found, Config)
    return found


def test_every_route_and_lifecycle_object_keeps_its_contract(
    monitor: PerformanceMonitor, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{record: a, expr: 1}]}]")
    config = options(tmp_path, FILE.replace("RULES", str(rules)))
    for route in barograph_routes(config):
        check_route(route)
    found: list[Lifecycle] = list(barograph_lifecycle(config))
    assert len(found) == 3
    for one in found:
        check_lifecycle(one, monitor, 2.0)


def test_without_options_nothing_runs_and_remote_write_is_taken() -> None:
    assert list(barograph_lifecycle(Config())) == []
    assert [r.path for r in barograph_routes(Config())] == ["/metrics", "/targets", "/api/v1/write"]
    assert [r.path for r in barograph_routes(Config(write=False))] == ["/metrics", "/targets"]


def test_jobs_and_storages_are_read_from_the_file(tmp_path: Path) -> None:
    config = options(tmp_path, FILE)
    rule = Relabel(regex="x", action="labeldrop")
    assert config.scrape == (
        Scrape(job_name="a", targets=("127.0.0.1:1",), relabel_configs=(rule,)),
    )
    assert config.remote_write == (Destination("http://127.0.0.1:1/api/v1/write"),)


MISTAKES = [
    ('[[plugins.prometheus.scrape]]\ntargets = ["a:1"]', 'needs a "job_name"'),
    ('[[plugins.prometheus.scrape]]\njob_name = "a"\nscrape_timeout = "1h"', "not be longer"),
    ('[[plugins.prometheus.scrape]]\njob_name = "a"\nlabels = {"a-b" = "x"}', "no label name"),
    ('[[plugins.prometheus.scrape]]\njob_name = "a"\ntarget_files = ["x.txt"]', ".json"),
    ('[[plugins.prometheus.scrape]]\njob_name = "a"\nrelabel_configs = [{regex = "("}]',
     "bad regular expression"),
    ('[[plugins.prometheus.scrape]]\njob_name = "a"\nrelabel_configs = [{action = "kep"}]',
     "not one of"),
    ("[[plugins.prometheus.remote_write]]\n", 'needs a "url"'),
    ('[[plugins.prometheus.remote_write]]\nurl = "host:1"', "no address"),
    ('[[plugins.prometheus.remote_write]]\nurl = "http://u:p@host/"', "password_file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_in_the_options_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigErrors) as error:
        options(tmp_path, text)
    assert told in str(error.value)


def test_target_files_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("- targets: [a:1, b:1]\n  labels: {env: x}\n- targets: [c:1]\n")
    (tmp_path / "b.yml").write_text("")
    first, second = read_target_files(str(tmp_path / "*.yml"))
    assert (first["targets"], second["targets"]) == (["a:1", "b:1"], ["c:1"])
    assert first["labels"] == {"env": "x", "__meta_filepath": str(tmp_path / "a.yml")}


@pytest.mark.parametrize(("family", "type_", "name", "kind", "unit"), [
    ("wait_seconds", "histogram", "wait_seconds_bucket", "counter", ""),
    ("wait_seconds", "histogram", "wait_seconds_sum", "counter", "seconds"),
    ("wait_seconds", "summary", "wait_seconds", "gauge", "seconds"),
    ("wait_seconds", "summary", "wait_seconds_count", "counter", ""),
    ("a", "counter", "a_total", "counter", "seconds"),
    ("a_count", "gauge", "a_count", "gauge", "seconds"),
    ("other", "gauge", "a_total", "counter", ""),
    ("other", "gauge", "a", "gauge", ""),
])  # fmt: skip
def test_what_a_series_is_by_its_family_or_its_name(
    family: str, type_: str, name: str, kind: str, unit: str
) -> None:
    families = Families()
    families.add(Metadata(family, type_, "Help", "seconds"))
    found = families.metric(name)
    assert (found.kind, found.unit) == (MetricKind(kind), unit)
