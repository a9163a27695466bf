"""The documents keep their word: code in them runs, links lead somewhere, metrics are explained."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from barograph import PluginManager
from barograph.config import Config
from barograph.testing import check_metric_source, check_widget

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "core/*.md", "api/*.md", "plugins*/*/*.md")
    for path in ROOT.glob(pattern)
    if "generated" not in path.parts
)


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


def links(text: str) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    for link in links(path.read_text("utf-8")):
        if not link.startswith(("http:", "https:", "#", "mailto:")):
            target = path.parent / link.partition("#")[0]
            assert target.exists(), f"{link} leads nowhere"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_in_documents_compiles(path: Path) -> None:
    for code in blocks(path, "python"):
        flags = __import__("ast").PyCF_ALLOW_TOP_LEVEL_AWAIT
        compile(code, str(path), "exec", flags=flags)


def test_the_plugin_in_the_readme_has_ten_lines_and_works() -> None:
    code = next(b for b in blocks(ROOT / "README.md", "python") if "hookimpl" in b)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    module = types.ModuleType("readme_plugin")
    exec(code, module.__dict__)
    manager = PluginManager()
    manager.register(module, "readme")
    manager.load(Config())
    found = [s for name, s in manager.call("barograph_metric_sources") if name == "readme"]
    assert [p for p in manager.problems if "readme" in p.where] == []
    check_metric_source(found[0])


def test_the_how_to_builds_a_source_with_options_and_a_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / "docs/how-to/write-a-metric-source.md"
    plugin, *rest = blocks(page, "python")
    (tmp_path / "job").write_text("")
    module = types.ModuleType("spool_watch")
    exec(plugin.replace("/var/spool/cron", str(tmp_path)), module.__dict__)
    source = module.barograph_metric_sources()[0]
    assert [sample.value for sample in source.collect(0)] == [1]
    check_metric_source(source)
    chart = next(code for code in rest if "barograph_widgets" in code)
    exec("from barograph import hookimpl\n" + chart, module.__dict__)
    for widget in module.barograph_widgets():
        check_widget(widget)


def test_every_readme_of_a_plugin_has_the_same_headings() -> None:
    wanted = ["What it does", "Metrics", "Options", "Example", "Troubleshooting"]
    for path in sorted(ROOT.glob("plugins*/*/README.md")):
        headings = re.findall(r"^## (.+)$", path.read_text("utf-8"), re.MULTILINE)
        assert headings[: len(wanted)] == wanted, f"{path.parent.name}: {headings}"


def test_every_option_of_a_plugin_is_in_its_readme() -> None:
    for name, cls in PluginManager().config_classes().items():
        paths = list(ROOT.glob(f"plugins*/{name}/README.md"))
        if cls is None or not paths:
            continue
        text = paths[0].read_text("utf-8")
        for field in cls.__attrs_attrs__:  # type: ignore[attr-defined]
            assert f"`{field.name}`" in text, f"{name}: option {field.name} is not in its README"
