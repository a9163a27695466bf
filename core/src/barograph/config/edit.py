"""Writing configurations: the commented file of ``barograph init``, and single changes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from barograph.config.schema import describe


def template(plugin_configs: Mapping[str, type]) -> str:
    """A configuration with every option commented out at its default."""
    lines = [
        "# Barograph's configuration. Every option stands here at its default, commented out.",
        "# Durations read 5s, 1m30s, 7d; sizes 64MiB, 2GB. `barograph check-config` judges it.",
    ]
    section = ""
    for doc in describe(plugin_configs):
        if doc.section != section:
            section = doc.section
            lines += ["", f"[{section}]"]
        lines += textwrap.wrap(f"{doc.help}.", 98, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"# {doc.key} = {doc.default}")
    return "\n".join(lines) + "\n"


def set_enabled(path: Path, plugin: str, enabled: bool) -> None:
    """Switch a plugin in the file, keeping its comments and layout. Raises OSError."""
    import tomlkit

    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    plugins = document.setdefault("plugins", tomlkit.table(is_super_table=True))
    section = plugins.setdefault(plugin, tomlkit.table())
    section["enabled"] = enabled
    partial = path.with_name(path.name + ".partial")
    partial.write_text(tomlkit.dumps(document), "utf-8")
    partial.replace(path)
