"""A stranger copies the template, installs it with pip, and sees its metric in the store."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from installing import ROOT, build, fresh, run

PROGRAM = """
import sys, time
from pathlib import Path
from barograph import Config, PerformanceMonitor
from barograph.config import MonitorConfig
from barograph.model import Matcher

name = sys.argv[2]
config = Config(monitor=MonitorConfig(data_dir=Path(sys.argv[1])))
with PerformanceMonitor(config) as monitor:
    until = time.monotonic() + 30
    values = []
    while len(values) < 2 and time.monotonic() < until:
        time.sleep(0.1)
        found = monitor.store.select([Matcher.equal("__name__", name)])
        values = [v for s in found for v in monitor.store.read([s.ref], 0, 2**62)[0].values]
    print(len(values), all(0 <= v <= 1 for v in values), monitor.problems)
"""


def copied(folder: Path, name: str) -> Path:
    """The template under another name, changed in the lines that its README names."""
    target = folder / name
    shutil.copytree(
        ROOT / "plugins-contrib" / "template", target, ignore=shutil.ignore_patterns("__pycache__")
    )
    (target / "src" / "barograph_template").rename(target / "src" / f"barograph_{name}")
    for path in (target / "pyproject.toml", target / "src" / f"barograph_{name}" / "__init__.py"):
        text = path.read_text("utf-8")
        assert "template" in text
        text = re.sub("template", name, text)
        path.write_text(re.sub("Template", name.capitalize(), text), "utf-8")
    return target


def test_a_copy_of_the_template_installed_with_pip_has_its_metric_in_the_store(
    tmp_path: Path,
) -> None:
    wheels = build(tmp_path / "wheels", "barograph-core", "barograph-sqlite", "barograph-rollup",
                   "barograph-template")  # fmt: skip
    assert len(wheels) == 4
    plugin = copied(tmp_path, "example")
    python = fresh(tmp_path / "venv", *wheels, plugin)
    (tmp_path / "program.py").write_text(PROGRAM)
    for name in ("template_random_value", "example_random_value"):
        out = run(str(python), "program.py", str(tmp_path / "data"), name, cwd=tmp_path)
        assert re.fullmatch(r"[2-9] True \[\]\n", out), out
    listed = run(str(python), "-m", "barograph", "plugins", "list", "--json", cwd=tmp_path)
    assert '"example"' in listed
