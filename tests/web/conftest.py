"""One server for all tests of the page, a browser for each module, a fresh page for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import Browser, Driver, driven, running_chromium
from serving import Server, running_server

STRANGER = """
from pathlib import Path

from barograph import Sample, hookimpl
from barograph.contracts import WidgetSpec
from barograph.widgets import chart, query

HOSTILE = "<img src=x onerror=alert(1)>"


class Source:
    name = "stranger"
    interval_s = 1.0

    def collect(self, now_ms):
        yield Sample("stranger_value", 1.0, {"who": HOSTILE}, help=HOSTILE)


class Own:
    def spec(self):
        return WidgetSpec("own", "Own kind", (), kind="stranger-dial", section="Stranger",
                          module="static/dial.js", order=30)

    def data(self, monitor, start_ms, end_ms, points):
        return {"said": HOSTILE}


@hookimpl
def barograph_metric_sources():
    return [Source()]


@hookimpl
def barograph_widgets():
    return [
        chart("hostile", HOSTILE + " title", query("stranger_value"), section="Stranger",
              help=HOSTILE + " help", bad=HOSTILE + " bad", unit=HOSTILE, order=10,
              drill_by=("who",)),
        chart("listed", "Listed", query("stranger_value"), kind="table", section="Stranger",
              order=25),
        Own(),
    ]
"""

FAULTY = """
from barograph import hookimpl
from barograph.contracts import WidgetSpec
from barograph.query import RangeQuery
from barograph.widgets import SpecWidget, chart, query


@hookimpl
def barograph_widgets():
    said = {"section": "Faulty"}
    module = WidgetSpec("module", "Broken module", (), kind="faulty-dial",
                        module="static/broken.js", **said)
    return [
        chart("broken", "Broken query", (RangeQuery(("not a selector ((",)),), **said),
        chart("never", "Never any data", query("faulty_never"), **said),
        chart("sound", "Sound", query("system_load_average"), **said),
        SpecWidget(module),
    ]
"""

SEER = """
import json

from barograph import Sample, hookimpl
from barograph.contracts import Route
from barograph.findings import Evidence, Observation
from barograph.model import Labels

SCORES = {}


class Scores:
    name = "seer"
    interval_s = 1.0

    def collect(self, now_ms):
        for metric, (labels, value) in SCORES.items():
            yield Sample("barograph_anomaly_score", value, {**labels, "metric": metric})


def see(request):
    told = json.loads(request.body)
    told["evidence"] = [Evidence(**one) for one in told["evidence"]]
    told["labels"] = Labels.of(told["labels"].pop("__name__", ""), told["labels"])
    [found] = request.monitor.findings.report("seer", [Observation(**told)])
    return {"id": found.id}


def score(request):
    told = json.loads(request.body)
    if told["value"] is None:
        SCORES.pop(told["metric"], None)
    else:
        SCORES[told["metric"]] = (told["labels"], told["value"])
    return {}


@hookimpl
def barograph_metric_sources():
    return [Scores()]


@hookimpl
def barograph_routes():
    return [Route("/see", see, methods=("POST",)), Route("/score", score, methods=("POST",))]
"""

DIAL = """
customElements.define("stranger-dial", class extends HTMLElement {
  set data(value) { this.textContent = value ? `dial says ${value.said}` : "no data"; }
});
"""


def install(folder: Path, name: str, text: str, static: dict[str, str]) -> None:
    """A plugin as pip would leave it."""
    package = folder / f"barograph_{name}"
    (package / "static").mkdir(parents=True)
    (package / "__init__.py").write_text(text)
    for file, content in static.items():
        (package / "static" / file).write_text(content)
    info = folder / f"barograph_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: barograph-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[barograph.plugins]\n{name} = barograph_{name}\n")


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment with more plugins: hostile names, faults, findings on demand, no start."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "stranger", STRANGER, {"dial.js": DIAL})
    install(folder, "faulty", FAULTY, {"broken.js": "throw new Error('it is broken');"})
    install(folder, "seer", SEER, {})
    install(folder, "crooked", "raise RuntimeError('<b>crooked</b> on purpose')", {})
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, strangers: dict[str, str]) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), env=strangers) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Not for the whole session: while it is open, no test of the same process can run a loop.
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def driver(server: Server, chromium: Browser) -> Iterator[Driver]:
    """A page that is signed in."""
    with driven(chromium, server.base_url) as one:
        one.page.context.request.get(server.url)
        yield one


@pytest.fixture
def phone(server: Server, chromium: Browser) -> Iterator[Driver]:
    """The same on a phone."""
    size = {"width": 390, "height": 844}
    with driven(chromium, server.base_url, viewport=size, has_touch=True, is_mobile=True) as one:
        one.page.context.request.get(server.url)
        yield one
