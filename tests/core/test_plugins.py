# ruff: noqa: E501 — tables of cases, a line each
"""The plugin manager: real packages on the path, good ones and broken ones."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from barograph import hookimpl
from barograph.config import Config, MonitorConfig, PluginSettings, load_config
from barograph.config.schema import Unjudged
from barograph.plugins import MAX_OBJECTS, PluginManager

Install = Callable[..., None]
OWN = {info.name for info in PluginManager().discover()}

SOURCE = """
from barograph import Sample, hookimpl

class Source:
    name, interval_s = "{name}", 1.0
    def collect(self, now_ms):
        yield Sample("{name}_value", 1)

@hookimpl
def barograph_metric_sources():
    return [Source()]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(name, code)``: a package with one plugin, as pip would lay it out."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)

    def one(name: str, code: str, dist: str = "", module: str = "") -> None:
        dist, module = dist or f"stranger-{name}", module or f"stranger_{name}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{dist.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[barograph.plugins]\n{name} = {module}\n")

    yield one  # type: ignore[misc]
    for name in set(sys.modules) - modules:
        if name.startswith("stranger_"):
            del sys.modules[name]


def loaded(config: Config | None = None) -> PluginManager:
    manager = PluginManager()
    manager.load(config or Config())
    return manager


def told(manager: PluginManager) -> dict[str, str]:
    return {p.where.removeprefix("plugin "): p.what for p in manager.problems}


def names(manager: PluginManager, hook: str = "barograph_metric_sources") -> list[str]:
    """Plugins that answer, but for those of this repository."""
    return [name for name, _ in manager.call(hook) if name not in OWN]


def test_an_installed_plugin_is_found_with_its_package(install: Install) -> None:
    install("good", SOURCE.format(name="good"))
    manager = loaded()
    info = next(i for i in manager.discover() if i.name == "good")
    assert (info.dist, info.version, info.module) == ("stranger-good", "1.5", "stranger_good")
    assert info.hooks == ("barograph_metric_sources",)
    assert "good" in names(manager)
    assert told(manager) == {}


BROKEN = [
    ("import none_such_module", "import failed: ModuleNotFoundError: No module named 'none_such_module'"),
    ("def (", "import failed: SyntaxError: invalid syntax"),
    ("import sys; sys.exit(3)", "import failed: SystemExit: 3"),
    ("x = 1", "TypeError: it implements none of Barograph's hooks; does the entry point name the module "
     "with its @barograph.hookimpl functions?"),
    ("""
     from barograph import hookimpl
     @hookimpl
     def barograph_metric_source(): return []
     """, 'TypeError: there is no hook "barograph_metric_source"; did you mean "barograph_metric_sources"?'),
    ("def barograph_metric_sources(): return []",
     "TypeError: barograph_metric_sources is not marked with @barograph.hookimpl"),
    ("""
     from barograph import hookimpl
     @hookimpl
     def barograph_widgets(settings): return []
     """, "settings"),
    ("""
     from barograph import hookimpl
     class Config: x = 1
     @hookimpl
     def barograph_widgets(config): return []
     """, "TypeError: its Config is no attrs class; decorate it with @barograph.config.options"),
    ("""
     import attrs
     from barograph import hookimpl
     @attrs.frozen
     class Config: x: int
     @hookimpl
     def barograph_widgets(config): return []
     """, 'TypeError: option "x" needs a default'),
    ("""
     from __future__ import annotations
     import attrs
     from barograph import hookimpl
     @attrs.frozen
     class Config: x: Nonesuch = 1
     @hookimpl
     def barograph_widgets(config): return []
     """, "NameError: name 'Nonesuch' is not defined"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "why"), BROKEN, ids=lambda v: " ".join(v.split())[:50])
def test_a_plugin_that_cannot_be_used_is_named_with_its_reason_and_others_run(
    install: Install, code: str, why: str
) -> None:
    install("broken", code)
    install("good", SOURCE.format(name="good"))
    manager = loaded()
    assert why in told(manager)["broken"]
    assert manager.config_classes()["broken"] is Unjudged
    assert names(manager) == ["good"]
    remedies = [p.remedy for p in manager.problems if p.where == "plugin broken"]
    assert remedies == ["update it, or switch it off: barograph plugins disable broken"]


RETURNS = [
    ("None", "TypeError: it must return a list, not NoneType"),
    ("'text'", "TypeError: it must return a list, not str"),
    ("{'a': 1}", "TypeError: it must return a list, not dict"),
    ("5", "TypeError: it must return a list, not int"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("exit(1)", "SystemExit: 1"),
    ("[object()]", "TypeError: object is no MetricSource or ColumnarSource: it has no collect, interval_s, name"),
    ("(1 / x for x in (1, 0))", "ZeroDivisionError: division by zero"),
    ("__import__('itertools').count()", f"TypeError: it returned more than {MAX_OBJECTS} objects"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "why"), RETURNS)
def test_a_hook_that_raises_or_gives_nonsense_puts_its_plugin_out(
    install: Install, code: str, why: str
) -> None:
    install(
        "bad",
        f"""
        from barograph import hookimpl
        @hookimpl
        def barograph_metric_sources(): return {code}
        @hookimpl
        def barograph_aggregators(): return []
    """,
    )
    install("good", SOURCE.format(name="good"))
    manager = loaded()
    assert names(manager) == ["good"]
    assert told(manager) == {"bad": f"barograph_metric_sources failed: {why}"}
    assert "bad" not in names(manager, "barograph_aggregators")


def test_a_hook_that_hangs_puts_its_plugin_out_and_holds_up_no_other(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph.plugins.HOOK_SECONDS", 0.2)
    install(
        "stuck",
        """
        import threading
        from barograph import hookimpl
        @hookimpl
        def barograph_metric_sources():
            threading.Event().wait()
    """,
    )
    install("good", SOURCE.format(name="good"))
    manager = loaded()
    assert names(manager) == ["good"]
    reason = "barograph_metric_sources failed: TimeoutError: no answer in 0.2 s"
    assert told(manager) == {"stuck": reason}


def test_two_packages_with_a_plugin_of_one_name_are_told_and_one_runs(install: Install) -> None:
    install("twin", SOURCE.format(name="a"), dist="pkg-a", module="stranger_a")
    install("twin", SOURCE.format(name="b"), dist="pkg-b", module="stranger_b")
    manager = loaded()
    assert names(manager) == ["twin"]
    assert told(manager) == {
        "twin": "two packages bring a plugin of this name, pkg-a and pkg-b; pkg-a's is used"
    }


def test_a_plugin_of_the_program_wins_over_an_installed_one_of_its_name(install: Install) -> None:
    install("twin", SOURCE.format(name="installed"))

    class Mine:
        @staticmethod
        @hookimpl
        def barograph_lifecycle() -> list[Any]:
            return []

    manager = PluginManager()
    manager.register(Mine, "twin")
    manager.load(Config())
    assert "twin" not in names(manager)
    assert told(manager) == {}
    with pytest.raises(ValueError, match='a plugin named "twin" already'):
        manager.register(Mine, "twin")


def test_a_disabled_plugin_is_not_asked(install: Install) -> None:
    install("good", SOURCE.format(name="good"))
    manager = loaded(Config(plugins={"good": PluginSettings(enabled=False)}))
    assert names(manager) == []
    manager.load(Config(plugins={"good": PluginSettings(enabled=True)}))
    assert names(manager) == ["good"]


def test_plugins_answer_by_name_unless_an_order_is_given(install: Install) -> None:
    for name in ("alpha", "beta", "gamma"):
        install(name, SOURCE.format(name=name))
    assert names(loaded()) == ["alpha", "beta", "gamma"]
    config = Config(monitor=MonitorConfig(plugin_order=("gamma", "beta")))
    assert names(loaded(config)) == ["gamma", "beta", "alpha"]


OPTIONS = """
from barograph import Sample, hookimpl
from barograph.config import option, options

@options
class Config:
    divisor: int = option(1, help="A number")

class Source:
    interval_s = 1.0
    def __init__(self, name): self.name = name
    def collect(self, now_ms): return []

@hookimpl
def barograph_metric_sources(config):
    return [Source(f"source{1 // config.divisor}")]
"""


def test_options_are_filled_from_the_file_and_given_to_the_hooks(
    install: Install, tmp_path: Path
) -> None:
    install("opt", OPTIONS)
    path = tmp_path / "b.toml"
    path.write_text("[plugins.opt]\ndivisor = -1\n")
    manager = PluginManager()
    manager.load(load_config(path, plugin_configs=manager.config_classes()))
    assert [s.name for n, s in manager.call("barograph_metric_sources") if n == "opt"] == [
        "source-1"
    ]
    assert manager.options("opt").divisor == -1
    assert loaded().options("opt").divisor == 1  # without a configuration: the defaults


def test_a_plugin_put_out_by_a_hook_gets_another_chance_with_new_options(
    install: Install, tmp_path: Path
) -> None:
    install("opt", OPTIONS)
    manager = PluginManager()
    classes = manager.config_classes()
    for divisor, works in ((0, False), (0, False), (1, True), (0, False), (2, True)):
        config = load_config(overrides={"plugins.opt.divisor": divisor}, plugin_configs=classes)
        manager.load(config)
        assert (names(manager) == ["opt"]) is works
        assert ("opt" in told(manager)) is not works


def test_only_the_named_plugins_are_asked_when_some_are_named(install: Install) -> None:
    for name in ("alpha", "beta"):
        install(name, SOURCE.format(name=name))
    manager = loaded()
    found = manager.call("barograph_metric_sources", only={"beta"})
    assert [name for name, _ in found] == ["beta"]


def test_a_broken_plugin_s_options_do_not_stop_the_start(install: Install, tmp_path: Path) -> None:
    install("broken", "import none_such_module")
    path = tmp_path / "b.toml"
    path.write_text("[plugins.broken]\nanything = 1\n")
    manager = PluginManager()
    manager.load(load_config(path, plugin_configs=manager.config_classes()))
    assert "broken" in told(manager)
