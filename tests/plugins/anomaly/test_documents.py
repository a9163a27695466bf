"""The plugin's documents keep their word."""

from __future__ import annotations

import re
import types
from pathlib import Path

from barograph import PluginManager
from barograph.config import Config
from barograph.detection import find_detector
from barograph.testing import check_detector
from barograph_anomaly.catalog import detectors

ROOT = Path(__file__).resolve().parents[3]
HOW_TO = ROOT / "docs/how-to/write-a-detector.md"
README = ROOT / "plugins/anomaly/README.md"
EXPLANATION = ROOT / "docs/explanation/anomaly.md"


def python_of(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def test_the_how_to_builds_a_detector_of_twenty_lines_that_passes_the_check() -> None:
    plugin, check = python_of(HOW_TO)
    body = plugin[plugin.index("class ") : plugin.index("@hookimpl")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20
    module = types.ModuleType("empties_fast")
    exec(plugin, module.__dict__)
    exec(check, module.__dict__)
    module.test_the_detector_keeps_its_contract()
    manager = PluginManager()
    manager.register(module, "emptying")
    manager.load(Config())
    check_detector(find_detector(manager, "emptying"))


def test_the_readmes_example_finds_its_anomaly() -> None:
    (code,) = python_of(README)
    exec(code, {})


def test_every_detector_is_in_the_readme_and_explained() -> None:
    for one in detectors():
        assert f"`{one.name}`" in README.read_text("utf-8"), one.name
        assert f"`{one.name}`" in EXPLANATION.read_text("utf-8"), one.name
