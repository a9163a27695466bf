"""Reading a configuration: TOML or YAML, then environment, then flags; all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import tomli
from cattrs import Converter

from barograph.config.errors import ConfigErrors, Mistake, nearest
from barograph.config.schema import SECTIONS, Config, PluginSettings, type_text
from barograph.config.units import Duration, Size, parse_duration, parse_size

PREFIX = "BAROGRAPH_"
RESERVED = {"BAROGRAPH_CONFIG", "BAROGRAPH_TOKEN", "BAROGRAPH_CI", "BAROGRAPH_FULL",
            "BAROGRAPH_SKIP_WEB"}  # fmt: skip
"""Variables with a meaning of their own."""


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
        self._places: dict[tuple[str, ...], tuple[int, int]] = {}
        self._origin: dict[tuple[str, ...], str] = {}
        self._convert = converter()

    def load(self, env: Mapping[str, str], overrides: Mapping[str, Any]) -> Config:
        tree = self._read() if self._path is not None else {}
        for name, text in env.items():
            if name.startswith(PREFIX) and name not in RESERVED:
                keys = tuple(name[len(PREFIX) :].lower().split("__"))
                self._put(tree, keys, _plain(text), name)
        for dotted, value in overrides.items():
            keys = tuple(dotted.split("."))
            self._put(tree, keys, value, f"flag --{keys[-1].replace('_', '-')}")
        parts: dict[str, Any] = {}
        for section, value in tree.items():
            if section == "plugins":
                continue
            if section not in SECTIONS:
                hint = nearest(section, [*SECTIONS, "plugins"])
                self._mistake((section,), f'unknown section "{section}"{hint}')
            else:
                parts[section] = self._section(section, SECTIONS[section], value)
        plugins = self._plugin_settings(tree.get("plugins", {}))
        if self._mistakes:
            raise ConfigErrors(self._mistakes)
        config = Config(**parts, plugins=plugins, path=self._path)
        self._levels(config)
        if self._mistakes:
            raise ConfigErrors(self._mistakes)
        return config

    def _levels(self, config: Config) -> None:
        levels = config.rollup.levels_ms
        for fine, coarse in zip((1, *levels), levels, strict=False):
            if coarse <= 0 or coarse % fine or coarse == fine:
                self._mistake(
                    ("rollup", "levels"),
                    '"levels" in [rollup]: each must be a multiple of the one before, such as '
                    '["5s", "1m", "5m", "1h"]',
                )
                return

    # --- sections -----------------------------------------------------------------------------

    def _section(self, section: str, cls: type, value: Any) -> Any:
        keys = tuple(section.split("."))
        if not isinstance(value, dict):
            self._mistake(keys, f"[{section}] must be a table of options, not {value!r}")
            return cls()
        hints = get_type_hints(cls)
        fields = {field.name: field for field in attrs.fields(cls)}
        chosen: dict[str, Any] = {}
        for key, raw in value.items():
            if key not in fields:
                message = f'unknown key "{key}" in [{section}]{nearest(str(key), fields)}'
                self._mistake((*keys, key), message)
                continue
            try:
                chosen[key] = self._value(raw, hints[key], fields[key].metadata)
            except Exception as error:  # noqa: BLE001 — cattrs wraps what hooks raise
                self._mistake((*keys, key), f'"{key}" in [{section}]: {_reason(error)}')
        return cls(**chosen)

    def _value(self, raw: Any, kind: Any, metadata: Mapping[str, Any]) -> Any:
        value = self._convert.structure(raw, kind)
        low, high = metadata.get("minimum"), metadata.get("maximum")
        if low is not None and value < low:
            raise ValueError(f"must be at least {low}, not {raw!r}")
        if high is not None and value > high:
            raise ValueError(f"must be at most {high}, not {raw!r}")
        choices = metadata.get("choices")
        if choices is not None and value not in choices:
            raise ValueError(f"{raw!r} is not one of {', '.join(map(str, choices))}")
        return value

    def _plugin_settings(self, tree: Any) -> dict[str, PluginSettings]:
        if not isinstance(tree, dict):
            self._mistake(("plugins",), "[plugins] must hold tables such as [plugins.system]")
            tree = {}
        settings: dict[str, PluginSettings] = {}
        for name, value in tree.items():
            keys = ("plugins", name)
            if name not in self._plugins:
                close = nearest(str(name), self._plugins) if self._plugins else ""
                hint = close if "did you mean" in close else ""
                message = f'plugin "{name}" is not installed'
                remedy = f"; install it with: pip install barograph-{name}"
                self._mistake(keys, message + (hint or remedy))
            elif not isinstance(value, dict):
                self._mistake(keys, f"[plugins.{name}] must be a table, not {value!r}")
            else:
                rest = dict(value)
                enabled = rest.pop("enabled", True)
                if not isinstance(enabled, bool):
                    told = f'"enabled" in [plugins.{name}]: expected true or false, not {enabled!r}'
                    self._mistake((*keys, "enabled"), told)
                    enabled = True
                settings[name] = PluginSettings(enabled, self._options(name, rest))
        for name in self._plugins:
            if name not in settings:
                settings[name] = PluginSettings(True, self._options(name, {}))
        return settings

    def _options(self, name: str, rest: dict[str, Any]) -> Any:
        cls = self._plugins[name]
        if cls is not None:
            return self._section(f"plugins.{name}", cls, rest)
        for key in rest:
            message = f'unknown key "{key}" in [plugins.{name}]: this plugin has no options'
            self._mistake(("plugins", name, key), message)
        return None

    # --- where things stand ---------------------------------------------------------------------

    def _mistake(self, keys: tuple[str, ...], message: str) -> None:
        where = self._origin.get(keys, "")
        if not where and self._path is not None:
            at = self._places.get(keys) or self._places.get(keys[:-1])
            where = f"{self._path}:{at[0]}:{at[1]}" if at else str(self._path)
        self._mistakes.append(Mistake(where, ".".join(map(str, keys)), message))

    def _put(self, tree: dict[str, Any], keys: tuple[str, ...], value: Any, origin: str) -> None:
        for depth in range(1, len(keys) + 1):
            self._origin.setdefault(keys[:depth], origin)
        self._origin[keys] = origin
        node = tree
        for key in keys[:-1]:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                below = node[key] = {}
            node = below
        node[keys[-1]] = value

    def _read(self) -> dict[str, Any]:
        assert self._path is not None
        try:
            text = self._path.read_bytes().decode("utf-8")
        except OSError as error:
            told = f"cannot read the configuration: {error.strerror or error}"
            raise ConfigErrors([Mistake(str(self._path), "", told)]) from None
        except UnicodeDecodeError as error:
            told = f"the configuration is not UTF-8 text: byte {error.start}"
            raise ConfigErrors([Mistake(str(self._path), "", told)]) from None
        tree = self._yaml(text) if self._path.suffix in (".yaml", ".yml") else self._toml(text)
        if not isinstance(tree, dict):
            told = "the configuration must be a table of sections"
            raise ConfigErrors([Mistake(str(self._path), "", told)])
        return tree

    def _toml(self, text: str) -> Any:
        try:
            tree = tomli.loads(text)
        except (tomli.TOMLDecodeError, RecursionError) as error:
            line = re.search(r"line (\d+), column (\d+)", str(error))
            where = f"{self._path}:{line[1]}:{line[2]}" if line else str(self._path)
            told = f"not valid TOML: {str(error).split(' (at')[0]}"
            raise ConfigErrors([Mistake(where, "", told)]) from None
        section: tuple[str, ...] = ()
        for number, line_text in enumerate(text.splitlines(), 1):
            header = re.match(r"\s*\[\[?\s*([^\[\]]+?)\s*\]", line_text)
            if header:
                section = _split_key(header[1])
                for depth in range(1, len(section) + 1):
                    self._places.setdefault(section[:depth], (number, line_text.index("[") + 1))
                continue
            key = re.match(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=", line_text)
            if key:
                keys = section + _split_key(key[1])
                column = len(line_text) - len(line_text.lstrip()) + 1
                self._places.setdefault(keys, (number, column))
        return tree

    def _yaml(self, text: str) -> Any:
        import yaml

        try:
            node = yaml.compose(text, yaml.SafeLoader)
            tree = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"{self._path}:{mark.line + 1}:{mark.column + 1}" if mark else str(self._path)
            told = f"not valid YAML: {getattr(error, 'problem', None) or error}"
            raise ConfigErrors([Mistake(where, "", told)]) from None

        def walk(node: Any, keys: tuple[str, ...]) -> None:
            if isinstance(node, yaml.MappingNode) and len(keys) < 8:
                for name, value in node.value:
                    below = (*keys, str(name.value))
                    self._places[below] = (name.start_mark.line + 1, name.start_mark.column + 1)
                    walk(value, below)

        walk(node, ())
        return {} if tree is None else tree


def converter() -> Converter:
    """cattrs with our units, and without silent conversions ("3" is no number, true no integer)."""
    out = Converter()

    def exact(kind: type, *accepted: type) -> None:
        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, accepted) or (kind is not bool and isinstance(value, bool)):
                raise ValueError(f"expected {_article(type_text(kind))}, not {value!r}")
            return kind(value)

        out.register_structure_hook(kind, structure)

    exact(str, str)
    exact(int, int)
    exact(float, int, float)
    exact(bool, bool)
    exact(Path, str, Path)
    out.register_structure_hook(Duration, lambda v, _: parse_duration(v))
    out.register_structure_hook(Size, lambda v, _: parse_size(v))

    def texts(value: Any, kind: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise ValueError(f"expected a {type_text(kind)}, not {value!r}")
        inner = Duration if kind == tuple[Duration, ...] else str
        return tuple(out.structure(v, inner) for v in value)

    def table(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"expected a table of texts, not {value!r}")
        return {out.structure(k, str): out.structure(v, str) for k, v in value.items()}

    for kind, hook in (
        (tuple[str, ...], texts), (tuple[Duration, ...], texts), (Mapping[str, str], table)
    ):  # fmt: skip
        out.register_structure_hook_func(lambda t, k=kind: t == k, hook)
    return out


def _article(words: str) -> str:
    return words if words.startswith("true") else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _reason(error: BaseException) -> str:
    inner = getattr(error, "exceptions", None)
    return _reason(inner[0]) if inner else str(error)


def _split_key(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))


def _plain(text: str) -> Any:
    """An environment variable's text as the TOML value it looks like, else as text."""
    try:
        return tomli.loads(f"v = {text}")["v"]
    except (tomli.TOMLDecodeError, RecursionError):
        return text
