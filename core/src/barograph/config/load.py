"""Reading a configuration: TOML or YAML, then environment, then flags; all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import tomli

from barograph.config.errors import ConfigErrors, Mistake, clipped, nearest
from barograph.config.places import Keys, Places, toml_places, yaml_places
from barograph.config.schema import (
    SECTIONS,
    Config,
    PluginSettings,
    RollupConfig,
    Unjudged,
)
from barograph.config.structure import FromEnv, shown, structure

PREFIX = "BAROGRAPH_"
RESERVED = {
    "BAROGRAPH_CONFIG", "BAROGRAPH_TOKEN", "BAROGRAPH_CI", "BAROGRAPH_FULL", "BAROGRAPH_SKIP_WEB",
    "BAROGRAPH_SOCKET", "BAROGRAPH_URL", "BAROGRAPH_INGEST_TOKEN", "BAROGRAPH_SERVICE",
}  # fmt: skip
"""Variables with a meaning of their own."""


MAX_LEVELS = 8


def load_config(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    plugin_configs: Mapping[str, type | None] | None = None,
) -> Config:
    """The configuration of ``path`` (none: defaults), ``env`` and ``overrides`` ("server.port").

    ``plugin_configs``: installed plugins with their option classes. Raises ConfigErrors.
    """
    return _Loader(path, dict(plugin_configs or {})).load(env or {}, overrides or {})


class _Loader:
    def __init__(self, path: Path | None, plugins: dict[str, type | None]) -> None:
        self._path = path
        self._plugins = plugins
        self._mistakes: list[Mistake] = []
        self._places: Places = {}
        self._origin: dict[Keys, str] = {}

    def load(self, env: Mapping[str, str], overrides: Mapping[str, Any]) -> Config:
        tree = self._read() if self._path is not None else {}
        for name, text in env.items():
            if name.startswith(PREFIX) and name not in RESERVED:
                self._put(tree, self._variable(name), FromEnv(text), name)
        for dotted, value in overrides.items():
            keys = tuple(dotted.split("."))
            self._put(tree, keys, value, f"flag --{keys[-1].replace('_', '-')}")
        parts: dict[str, Any] = {}
        for section, value in tree.items():
            if section == "plugins":
                continue
            if section in SECTIONS:
                parts[section] = self._section(section, SECTIONS[section], value)
            else:
                self._mistake((str(section),), self._unknown(str(section), value))
        plugins = self._plugin_settings(tree.get("plugins", {}))
        self._levels(parts.get("rollup"))
        for name in parts["monitor"].plugin_order if "monitor" in parts else ():
            if name not in self._plugins:
                told = (
                    f'"plugin_order" in [monitor] names "{clipped(name)}", which is not installed'
                )
                self._mistake(("monitor", "plugin_order"), told + nearest(name, self._plugins))
        if self._mistakes:
            raise ConfigErrors(self._mistakes)
        return Config(**parts, plugins=plugins, path=self._path)

    # --- sections -----------------------------------------------------------------------------

    def _unknown(self, section: str, value: Any) -> str:
        if not isinstance(value, dict):
            homes = [name for name, cls in SECTIONS.items() if section in attrs.fields_dict(cls)]
            if homes:
                return f'"{section}" stands outside a section; it belongs under [{homes[0]}]'
        if section in self._plugins:
            return f"unknown section [{section}]; options of a plugin stand in [plugins.{section}]"
        return f'unknown section "{clipped(section)}"{nearest(section, [*SECTIONS, "plugins"])}'

    def _section(self, section: str, cls: type, value: Any) -> Any:
        keys = tuple(section.split(".", 1))
        if not isinstance(value, dict):
            self._mistake(keys, f"[{section}] must be a table of options, not {shown(value)}")
            return cls()
        hints = get_type_hints(cls)
        fields = {field.name: field for field in attrs.fields(cls) if field.init}
        chosen: dict[str, Any] = {}
        for key, raw in value.items():
            if key not in fields:
                message = f'unknown key "{clipped(key)}" in [{section}]{nearest(str(key), fields)}'
                self._mistake((*keys, str(key)), message)
                continue
            try:
                chosen[fields[key].alias] = structure(raw, hints[key], fields[key].metadata)
            except ValueError as error:
                self._mistake((*keys, key), f'"{key}" in [{section}]: {error}')
        try:
            return cls(**chosen)
        except Exception as error:  # noqa: BLE001 — a validator of a plugin's own; told
            self._mistake(keys, f"[{section}]: {error}")
            return cls()

    def _levels(self, rollup: RollupConfig | None) -> None:
        if rollup is None:
            return
        levels = rollup.levels_ms
        pairs = zip((1, *levels), levels, strict=False)
        rising = all(coarse > 0 and coarse % fine == 0 for fine, coarse in pairs)
        if not rising or len(set(levels)) < len(levels):
            wrong = "each must be a multiple of the one before"
        elif not 1 <= len(levels) <= MAX_LEVELS:
            wrong = f"there must be one at least, and at most {MAX_LEVELS}"
        else:
            return
        example = 'such as ["5s", "1m", "5m", "1h"]'
        self._mistake(("rollup", "levels"), f'"levels" in [rollup]: {wrong}, {example}')

    def _plugin_settings(self, tree: Any) -> dict[str, PluginSettings]:
        if not isinstance(tree, dict):
            self._mistake(("plugins",), "[plugins] must hold tables such as [plugins.system]")
            tree = {}
        settings: dict[str, PluginSettings] = {}
        for name, value in tree.items():
            keys = ("plugins", str(name))
            if name not in self._plugins:
                self._mistake(keys, self._not_installed(str(name)))
            elif not isinstance(value, dict):
                told = f"[plugins.{name}] must be a table of options, not {shown(value)}"
                self._mistake(keys, told)
            else:
                rest = dict(value)
                enabled = True
                try:
                    enabled = structure(rest.pop("enabled", True), bool, {})
                except ValueError as error:
                    told = f'"enabled" in [plugins.{name}]: {error}'
                    self._mistake((*keys, "enabled"), told)
                settings[name] = PluginSettings(enabled, self._options(name, rest))
        for name in self._plugins:
            if name not in settings:
                settings[name] = PluginSettings(True, self._options(name, {}))
        return settings

    def _not_installed(self, name: str) -> str:
        hint = nearest(name, self._plugins)
        if "did you mean" not in hint:
            plain = re.fullmatch(r"[A-Za-z0-9._-]{1,60}", name)
            hint = f"; install it with: pip install barograph-{name}" if plain else ""
        return f'plugin "{clipped(name)}" is not installed{hint}'

    def _options(self, name: str, rest: dict[str, Any]) -> Any:
        cls = self._plugins[name]
        if cls is Unjudged:
            return None
        if cls is not None:
            return self._section(f"plugins.{name}", cls, rest)
        for key in rest:
            message = (
                f'unknown key "{clipped(key)}" in [plugins.{name}]: this plugin has no options'
            )
            self._mistake(("plugins", name, str(key)), message)
        return None

    # --- where things stand ---------------------------------------------------------------------

    def _mistake(self, keys: Keys, message: str) -> None:
        where = self._origin.get(keys, "")
        if not where and self._path is not None:
            above = (keys[:n] for n in range(len(keys), 0, -1))
            at = next((self._places[k] for k in above if k in self._places), None)
            where = f"{self._path}:{at[0]}:{at[1]}" if at else str(self._path)
        self._mistakes.append(Mistake(where, ".".join(keys), message))

    def _variable(self, name: str) -> Keys:
        """Keys of ``BAROGRAPH_SECTION__KEY``; a plugin's ``-`` and ``.`` are written ``_``."""
        keys = tuple(name[len(PREFIX) :].lower().split("__"))
        if len(keys) > 1 and keys[0] == "plugins" and keys[1] not in self._plugins:
            plain = {re.sub(r"[-.]", "_", plugin.lower()): plugin for plugin in self._plugins}
            keys = ("plugins", plain.get(keys[1], keys[1]), *keys[2:])
        return keys

    def _put(self, tree: dict[str, Any], keys: Keys, value: Any, origin: str) -> None:
        node = tree
        for depth, key in enumerate(keys[:-1], 1):
            below = node.get(key, {})
            if not isinstance(below, dict):
                message = f"[{clipped('.'.join(keys[:depth]))}] must be a table, not {shown(below)}"
                self._mistake(keys[:depth], message)
                below = {}
            if key not in node:
                self._origin[keys[:depth]] = origin
            node[key] = node = dict(below)  # a copy: YAML aliases share one
        node[keys[-1]] = value
        self._origin[keys] = origin

    def _read(self) -> dict[str, Any]:
        assert self._path is not None
        try:
            text = self._path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            told = f"the configuration is not UTF-8 text: byte {error.start}"
            raise ConfigErrors([Mistake(str(self._path), "", told)]) from None
        except (OSError, ValueError) as error:
            told = f"cannot read the configuration: {getattr(error, 'strerror', None) or error}"
            raise ConfigErrors([Mistake(str(self._path), "", told)]) from None
        tree = self._yaml(text) if self._path.suffix in (".yaml", ".yml") else self._toml(text)
        if not isinstance(tree, dict):
            told = "the configuration must be a table of sections"
            raise ConfigErrors([Mistake(str(self._path), "", told)])
        return tree

    def _toml(self, text: str) -> Any:
        try:
            tree = tomli.loads(text)
            self._places = toml_places(text)
        except (ValueError, RecursionError) as error:
            found = re.search(r"line (\d+), column (\d+)", str(error))
            lines = text.rstrip("\n").split("\n")
            at = f"{found[1]}:{found[2]}" if found else f"{len(lines)}:{len(lines[-1]) + 1}"
            told_where = found or "end of document" in str(error)
            where = f"{self._path}:{at}" if told_where else str(self._path)
            told = f"not valid TOML: {_first_line(str(error).split(' (at')[0])}"
            raise ConfigErrors([Mistake(where, "", told)]) from None
        return tree

    def _yaml(self, text: str) -> Any:
        import yaml

        try:
            node = yaml.compose(text, yaml.SafeLoader)
            tree = yaml.safe_load(text)
        except Exception as error:  # noqa: BLE001 — it raises what it likes for odd tags
            mark = getattr(error, "problem_mark", None)
            where = f"{self._path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self._path)
            told = f"not valid YAML: {_first_line(getattr(error, 'problem', None) or str(error))}"
            raise ConfigErrors([Mistake(where, "", told)]) from None
        self._places, twice = yaml_places(node)
        for keys, (line, column) in twice:
            where = f"{self._path}:{line}:{column}"
            self._mistakes.append(
                Mistake(where, ".".join(keys), f'"{clipped(keys[-1])}" stands twice')
            )
        return {} if tree is None else tree


def _first_line(text: str) -> str:
    return text.split("\n")[0][:200]
