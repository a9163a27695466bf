"""What of a changed configuration can be taken over while running, and what cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_type_hints

import attrs

from barograph.config.schema import SECTIONS, toml_text

if TYPE_CHECKING:
    from barograph.config import Config
    from barograph.plugins import PluginInfo

AT_ONCE = {
    ("monitor", "interval"), ("monitor", "shutdown_deadline"), ("monitor", "plugin_order"),
}  # fmt: skip
"""Options of the kernel that change without a restart."""

AT_START = {
    "barograph_stores": "store",
    "barograph_aggregators": "aggregator",
    "barograph_query_engines": "query engine",
    "barograph_routes": "routes",
    "barograph_lifecycle": "lifecycle objects",
}
"""Hooks that are asked at the start only, and what they bring."""


def with_next_start(old: Config, new: Config) -> list[str]:
    """A sentence for each changed option of the kernel that needs a restart."""
    told: list[str] = []
    for section, cls in SECTIONS.items():
        hints = get_type_hints(cls)
        for field in attrs.fields(cls):
            before = getattr(getattr(old, section), field.name)
            after = getattr(getattr(new, section), field.name)
            if before != after and (section, field.name) not in AT_ONCE:
                a, b = (toml_text(value, hints[field.name]) for value in (before, after))
                told.append(f"[{section}] {field.name} changes from {a} to {b} with the next start")
    return told


def changed_plugins(old: Config, new: Config) -> set[str]:
    """Plugins whose options or state differ."""
    before = {name: (s.enabled, s.options) for name, s in old.plugins.items()}
    after = {name: (s.enabled, s.options) for name, s in new.plugins.items()}
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def plugin_sentences(info: PluginInfo, was_enabled: bool) -> list[str]:
    """What became of a plugin whose section has changed."""
    if info.error:
        return [f"plugin {info.name}: {info.error}; what it collected before goes on"]
    brought = [text for hook, text in AT_START.items() if hook in info.hooks]
    later = f"; its {' and '.join(brought)} with the next start" if brought else ""
    if not info.enabled:
        return [f"plugin {info.name}: switched off{later}"]
    if not was_enabled:
        return [f"plugin {info.name}: switched on{later}"]
    if brought and not {"barograph_metric_sources", "barograph_widgets"} & set(info.hooks):
        return [f"plugin {info.name}: its {' and '.join(brought)} take the new options over with "
                "the next start"]  # fmt: skip
    return [f"plugin {info.name}: options taken over{later}"]
