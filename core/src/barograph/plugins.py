"""Finding, loading and calling plugins."""

from __future__ import annotations

import contextvars
import functools
import importlib.metadata
import itertools
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, get_type_hints

import attrs
import pluggy

from barograph import contracts, hookspecs
from barograph.config.errors import nearest
from barograph.config.schema import Config, Unjudged, default_of
from barograph.contracts import Problem

GROUP = "barograph.plugins"

MAX_OBJECTS = 1000
"""Objects that one plugin may give for one hook."""

HOOK_SECONDS = 15.0
"""Time that a plugin may take for one hook."""

HOOKS = tuple(name for name in dir(hookspecs) if name.startswith("barograph_"))

_WANTED: Mapping[str, tuple[type, ...]] = {
    "barograph_metric_sources": (contracts.MetricSource, contracts.ColumnarSource),
    "barograph_aggregators": (contracts.Aggregator,),
    "barograph_stores": (contracts.Store,),
    "barograph_query_engines": (contracts.QueryEngine,),
    "barograph_detectors": (contracts.Detector,),
    "barograph_analysers": (contracts.Analyser,),
    "barograph_widgets": (contracts.Widget,),
    "barograph_routes": (contracts.Route,),
    "barograph_lifecycle": (contracts.Lifecycle,),
}
"""What the objects of a hook must be able to do; commands are checked by who adds them."""


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
        self._clashes: list[Problem] = []
        self._failed: dict[str, Any] = {}  # plugins that a hook put out, with their options then
        self._discovered = False

    def discover(self) -> list[PluginInfo]:
        """All installed plugins, imported; what fails has its ``error`` set."""
        if not self._discovered:
            self._discovered = True
            points = importlib.metadata.entry_points(group=GROUP)
            for point in sorted(points, key=lambda p: (p.name, p.dist.name if p.dist else "")):
                self._load(point)
        return [self._infos[name] for name in sorted(self._infos)]

    def _load(self, point: importlib.metadata.EntryPoint) -> None:
        info = PluginInfo(point.name, module=point.value)
        if point.dist is not None:
            info.dist, info.version = point.dist.name, point.dist.version
        there = self._infos.get(info.name)
        if there is not None:
            # The same package may lie on the path twice; a plugin given by the program wins.
            if there.dist and (there.dist, there.module) != (info.dist, info.module):
                what = (
                    f"two packages bring a plugin of this name, {there.dist} and {info.dist}; "
                    f"{there.dist}'s is used"
                )
                remedy = f"uninstall one: pip uninstall {info.dist}"
                self._clashes.append(Problem(what, f"plugin {info.name}", remedy, "warning"))
            return
        self._infos[info.name] = info
        try:
            plugin = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 — a stranger's code; told by name
            info.error = f"import failed: {_told(error)}"
            return
        self._add(info, plugin)

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin object that is not installed (embedding programs, tests).

        It wins over an installed one of the same name that was not discovered yet. Raises
        ValueError for a name that is taken.
        """
        if name in self._infos:
            raise ValueError(f'there is a plugin named "{name}" already; choose another name')
        info = PluginInfo(name, module=getattr(plugin, "__name__", type(plugin).__name__))
        self._infos[name] = info
        self._add(info, plugin)

    def _add(self, info: PluginInfo, plugin: object) -> None:
        try:
            _check_options(getattr(plugin, "Config", None))
            self._manager.register(plugin, info.name)
            info.hooks = tuple(
                name for name in HOOKS
                if any(i.plugin_name == info.name for i in self._caller(name).get_hookimpls())
            )  # fmt: skip
            self._check_hooks(info, plugin)
        except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
            info.error = _told(error)
            if self._manager.has_plugin(info.name):
                self._manager.unregister(name=info.name)
            return
        self._objects[info.name] = plugin

    def _check_hooks(self, info: PluginInfo, plugin: object) -> None:
        for name in dir(plugin):
            marked = self._manager.parse_hookimpl_opts(plugin, name) is not None
            if marked and name not in HOOKS:
                raise TypeError(f'there is no hook "{name}"{nearest(name, HOOKS)}')
            if name in HOOKS and not marked:
                raise TypeError(f"{name} is not marked with @barograph.hookimpl")
        if not info.hooks:
            raise TypeError(
                "it implements none of Barograph's hooks; does the entry point name the module "
                "with its @barograph.hookimpl functions?"
            )

    def _caller(self, hook: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller

    def config_classes(self) -> dict[str, type | None]:
        """Option classes of all plugins; None: no options; Unjudged: it could not be imported."""
        self.discover()
        return {
            name: getattr(self._objects[name], "Config", None) if name in self._objects
            else Unjudged
            for name in sorted(self._infos)
        }  # fmt: skip

    def load(self, config: Config) -> None:
        """Take enabled plugins, their options and order from ``config``.

        A plugin that a hook put out gets another chance when its options have changed.
        """
        self.discover()
        for name, info in self._infos.items():
            settings = config.plugins.get(name)
            info.enabled = settings is None or settings.enabled
            options = settings.options if settings is not None else None
            cls = getattr(self._objects.get(name), "Config", None)
            if options is None and cls is not None:
                options = cls()
            self._options[name] = options
            if name in self._failed and (not info.enabled or self._failed[name] != options):
                del self._failed[name]
                info.error = ""
        first = [name for name in config.monitor.plugin_order if name in self._objects]
        self._order = first + [name for name in sorted(self._objects) if name not in first]

    def options(self, name: str) -> Any:
        """The options that a plugin runs with; None if it has none."""
        return self._options.get(name)

    def call(
        self, hook: str, *, only: Collection[str] | None = None, **arguments: Any
    ) -> list[tuple[str, Any]]:
        """What every enabled plugin (of ``only``) gives for ``hook``, flattened, with its name.

        A plugin that raises or hangs is out, for all hooks, with its reason in ``problems``.
        """
        implementations = {i.plugin_name: i for i in self._caller(hook).get_hookimpls()}
        out: list[tuple[str, Any]] = []
        for name in self._order or sorted(self._objects):
            info, implementation = self._infos[name], implementations.get(name)
            if implementation is None or not info.enabled or info.error:
                continue
            if only is not None and name not in only:
                continue
            offered = {"config": self._options.get(name), **arguments}
            given = {k: offered[k] for k in implementation.argnames if k in offered}
            ask = functools.partial(_ask, hook, implementation.function, given)
            try:
                out += [(name, item) for item in _in_time(ask, HOOK_SECONDS)]
            except (Exception, SystemExit) as error:  # noqa: BLE001 — a stranger's; told by name
                self._failed[name] = self._options.get(name)
                info.error = f"{hook} failed: {_told(error)}"
        return out

    @property
    def problems(self) -> list[Problem]:
        """Plugins that do not run although they are enabled, and names that clash."""
        return [
            Problem(
                info.error, f"plugin {info.name}",
                f"update it, or switch it off: barograph plugins disable {info.name}",
            )
            for info in self._infos.values() if info.error and info.enabled
        ] + self._clashes  # fmt: skip


def _ask(hook: str, function: Callable[..., Any], given: Mapping[str, Any]) -> list[Any]:
    return _checked(hook, function(**given))


def _in_time(ask: Callable[[], list[Any]], seconds: float) -> list[Any]:
    """What ``ask`` returns or raises; TimeoutError if it takes longer than ``seconds``.

    It runs in a thread, which cannot be ended: one that hangs is left to itself.
    """
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.extend(ask())
        except BaseException as error:  # noqa: BLE001 — raised again, by who waits
            raised.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="barograph-hook", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer in {seconds:g} s")
    if raised:
        raise raised[0]
    return found


def _check_options(cls: Any) -> None:
    """Raises TypeError if an option class cannot be filled from a file."""
    if cls is None:
        return
    if not isinstance(cls, type) or not attrs.has(cls):
        raise TypeError("its Config is no attrs class; decorate it with @barograph.config.options")
    get_type_hints(cls)
    for field in attrs.fields(cls):
        if field.init:
            default_of(field)


def _checked(hook: str, found: Any) -> list[Any]:
    """The objects that a hook gave. Raises TypeError if it is no list, or one is none."""
    if not isinstance(found, Iterable) or isinstance(found, str | bytes | Mapping):
        raise TypeError(f"it must return a list, not {type(found).__name__}")
    items = list(itertools.islice(found, MAX_OBJECTS + 1))
    if len(items) > MAX_OBJECTS:
        raise TypeError(f"it returned more than {MAX_OBJECTS} objects")
    wanted = _WANTED.get(hook, (object,))
    for item in items:
        if not isinstance(item, wanted):
            names = " or ".join(cls.__name__ for cls in wanted)
            lacks = _lacks(item, wanted[0])
            raise TypeError(
                f"{type(item).__name__} is no {names}" + (f": {lacks}" if lacks else "")
            )
    return items


def _lacks(item: Any, protocol: type) -> str:
    members = [n for n in dir(protocol) if not n.startswith("_")]
    members += [n for n in getattr(protocol, "__annotations__", {}) if not n.startswith("_")]
    missing = sorted({n for n in members if not hasattr(item, n)})
    return f"it has no {', '.join(missing)}" if missing else ""


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
