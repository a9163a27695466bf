"""Makes the reference from the code: ``docs/reference/generated/*.md``."""

from __future__ import annotations

import inspect
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import click

from barograph import PerformanceMonitor, hookspecs
from barograph.cli import main
from barograph.config import Config, MonitorConfig
from barograph.config.schema import describe
from barograph.model import NAME, Metric
from barograph.plugins import PluginManager

OUT = Path(__file__).parent / "reference" / "generated"
SECONDS = 12.0
"""Long enough for every source's first tick, the slow ones' too."""


def configuration() -> str:
    """Every option of the kernel and of the installed plugins."""
    found = PluginManager().config_classes()
    lines = [
        "# Configuration",
        "",
        "Every option with its default. `barograph init` writes all of them into a file, and",
        "`barograph check-config` judges one. A variable `BAROGRAPH_SECTION__KEY` sets a key too",
        "(`BAROGRAPH_SERVER__PORT=8080`, `BAROGRAPH_PLUGINS__PROCESS__TOP=5`), and a flag of",
        "`barograph run` comes last.",
    ]
    section = ""
    for option in describe({name: cls for name, cls in found.items() if cls is not None}):
        if option.section != section:
            section = option.section
            lines += ["", f"## `[{section}]`", "", "| option | type | default | meaning |",
                      "| --- | --- | --- | --- |"]  # fmt: skip
        cells = (f"`{option.key}`", option.type, f"`{option.default}`", option.help)
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Every metric that a running monitor stored on the machine that made this page."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(monitor=MonitorConfig(data_dir=Path(folder)))
        with PerformanceMonitor(config) as monitor:
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                time.sleep(0.5)
            labels: dict[str, set[str]] = {}
            for series in monitor.store.select([]):
                names = {name for name, _ in series.labels.pairs if name != NAME}
                labels.setdefault(series.labels.name, set()).update(names)
            found = monitor.store.metrics()
    lines = [
        "# Metrics",
        "",
        "What a monitor with all built-in plugins stores, read off a running one. A machine shows",
        "only what it has: no temperatures without sensors, no pressure without a kernel that",
        "counts it. What comes only with use (an analysis, a scrape, a sender, a request to an",
        "application) stands in the README of its plugin.",
    ]
    titles = (("system_", "The host"), ("container_", "The container"),
              ("process_", "Processes"), ("python_", "The Python runtime"),
              ("cpython_", "The garbage collector of CPython"),
              ("barograph_", "The monitor itself"))  # fmt: skip
    for prefix, title in titles:
        group = [m for m in found if m.name.startswith(prefix)]
        if group:
            lines += ["", f"## {title}", "", *_metric_table(group, labels)]
    rest = [m for m in found if not m.name.startswith(tuple(prefix for prefix, _ in titles))]
    if rest:
        lines += ["", "## Others", "", *_metric_table(rest, labels)]
    return "\n".join(lines) + "\n"


def _metric_table(group: Iterable[Metric], labels: dict[str, set[str]]) -> list[str]:
    lines = ["| metric | kind | unit | labels | meaning |", "| --- | --- | --- | --- | --- |"]
    for metric in group:
        named = ", ".join(f"`{name}`" for name in sorted(labels.get(metric.name, ())))
        lines.append(_row((f"`{metric.name}`", str(metric.kind), metric.unit, named, metric.help)))
    return lines


def hooks() -> str:
    """The hooks of hookspecs.py, with its introduction."""
    lines = ["# Hooks", "", _markdown(inspect.getdoc(hookspecs))]
    for name, function in vars(hookspecs).items():
        if name.startswith("barograph_"):
            text = _markdown(inspect.getdoc(function))
            signature = str(inspect.signature(function)).replace("'", "")
            lines += ["", f"## `{name}`", "", "```python", f"def {name}{signature}: ...", "```",
                      "", text]  # fmt: skip
    return "\n".join(lines) + "\n"


def _markdown(docstring: str | None) -> str:
    """What a docstring marks as code, marked as Markdown does."""
    return (docstring or "").replace("``", "`")


def commands() -> str:
    """Every command's help, as the terminal shows it."""
    lines = ["# Commands"]

    def walk(command: click.Command, context: click.Context) -> None:
        lines.extend(["", f"## `{context.command_path}`", "", "```text", command.get_help(context),
                      "```"])  # fmt: skip
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                if inner is not None and not inner.hidden:
                    walk(inner, click.Context(inner, info_name=name, parent=context))

    walk(main, click.Context(main, info_name="barograph", max_content_width=100))
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for page in (configuration, metrics, hooks, commands):
        (OUT / f"{page.__name__}.md").write_text(page(), "utf-8")
    sys.stdout.write(f"wrote {OUT}\n")
