"""Writing configurations: the commented file of ``barograph init``, and single changes."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from barograph.config.errors import ConfigErrors, Mistake
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
    """Switch a plugin in the file, keeping its comments, layout and mode.

    A file that is new gets mode 0600. Raises OSError, and ConfigErrors for a file that cannot be
    edited: it is YAML, not valid TOML, or has no table where one is needed.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = path.resolve()  # the file itself, not a link to it
    if path.suffix in (".yaml", ".yml"):
        told = (
            f"YAML is not edited, to keep its comments; write it yourself: "
            f"plugins: {{{plugin}: {{enabled: {str(enabled).lower()}}}}}"
        )
        raise ConfigErrors([Mistake(str(path), f"plugins.{plugin}", told)])
    try:
        text = path.read_bytes().decode("utf-8-sig") if path.exists() else ""
        document = tomlkit.parse(text)
        plugins = document.setdefault("plugins", tomlkit.table(is_super_table=True))
        section = plugins.setdefault(plugin, tomlkit.table())
        section["enabled"] = enabled
        written = tomlkit.dumps(document)
    except (TOMLKitError, UnicodeDecodeError, TypeError, AttributeError) as error:
        told = f"[plugins.{plugin}] cannot be edited: {error}"
        raise ConfigErrors([Mistake(str(path), f"plugins.{plugin}", told)]) from None
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(written.encode())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
