"""Finding, loading and calling plugins."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from typing import Any

import attrs
import pluggy

from barograph import hookspecs
from barograph.config.schema import Config
from barograph.contracts import Problem

GROUP = "barograph.plugins"


@attrs.define
class PluginInfo:
    """An installed plugin; ``error`` says why it does not run ("" if it does)."""

    name: str
    dist: str = ""
    version: str = ""
    module: str = ""
    enabled: bool = True
    error: str = ""
    hooks: tuple[str, ...] = ()


class PluginManager:
    """Plugins by entry point (group ``barograph.plugins``); one that fails stops no other."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager("barograph")
        self._manager.add_hookspecs(hookspecs)
        self._infos: dict[str, PluginInfo] = {}
        self._objects: dict[str, Any] = {}
        self._options: dict[str, Any] = {}
        self._order: list[str] = []
        self._discovered = False

    def discover(self) -> list[PluginInfo]:
        """All installed plugins, imported; what fails has its ``error`` set."""
        if not self._discovered:
            self._discovered = True
            points = importlib.metadata.entry_points(group=GROUP)
            for point in sorted(points, key=lambda p: p.name):
                if point.name in self._infos:
                    continue
                info = PluginInfo(point.name, module=point.value)
                if point.dist is not None:
                    info.dist, info.version = point.dist.name, point.dist.version
                try:
                    self._add(info, point.load())
                except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
                    info.error = f"import failed: {type(error).__name__}: {error}"
                self._infos[point.name] = info
        return [self._infos[name] for name in sorted(self._infos)]

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin object that is not installed (embedding programs, tests)."""
        info = PluginInfo(name, module=getattr(plugin, "__name__", type(plugin).__name__))
        self._infos[name] = info
        try:
            self._add(info, plugin)
        except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
            info.error = f"{type(error).__name__}: {error}"

    def _add(self, info: PluginInfo, plugin: object) -> None:
        hooks = tuple(
            name for name in dir(hookspecs)
            if name.startswith("barograph_") and hasattr(plugin, name)
        )  # fmt: skip
        if not hooks:
            raise TypeError("it implements none of Barograph's hooks")
        self._manager.register(plugin, info.name)
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError:
            self._manager.unregister(name=info.name)
            raise
        info.hooks = hooks
        self._objects[info.name] = plugin

    def config_classes(self) -> dict[str, type | None]:
        """Option classes of the plugins that could be imported (None: no options)."""
        self.discover()
        return {name: getattr(p, "Config", None) for name, p in sorted(self._objects.items())} | {
            info.name: None for info in self._infos.values() if info.name not in self._objects
        }

    def load(self, config: Config) -> None:
        """Take enabled plugins, their options and order from ``config``."""
        self.discover()
        for name, info in self._infos.items():
            settings = config.plugins.get(name)
            info.enabled = settings is None or settings.enabled
            options = settings.options if settings is not None else None
            cls = getattr(self._objects.get(name), "Config", None)
            if options is None and cls is not None:
                options = cls()
            self._options[name] = options
        first = [name for name in config.monitor.plugin_order if name in self._objects]
        self._order = first + [name for name in sorted(self._objects) if name not in first]

    def options(self, name: str) -> Any:
        return self._options.get(name)

    def call(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """What every enabled plugin gives for ``hook``, flattened, with the plugin's name.

        A plugin that raises is out, for all hooks, with its reason in ``problems``.
        """
        out: list[tuple[str, Any]] = []
        for name in self._order or sorted(self._objects):
            info = self._infos[name]
            implementation = getattr(self._objects[name], hook, None)
            if implementation is None or not info.enabled or info.error:
                continue
            given = {"config": self._options.get(name), **arguments}
            wanted = pluggy._hooks.varnames(implementation)[0]
            try:
                found = implementation(**{k: v for k, v in given.items() if k in wanted})
                if not isinstance(found, Iterable):
                    raise TypeError(f"{hook} must return a list, not {type(found).__name__}")
                out += [(name, item) for item in found]
            except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
                info.error = f"{hook} failed: {type(error).__name__}: {error}"
        return out

    @property
    def problems(self) -> list[Problem]:
        """Plugins that do not run although they are enabled."""
        return [
            Problem(
                info.error, f"plugin {info.name}",
                f"update it, or switch it off: barograph plugins disable {info.name}",
            )
            for info in self._infos.values() if info.error and info.enabled
        ]  # fmt: skip
