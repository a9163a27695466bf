"""What ``barograph doctor`` finds."""

from __future__ import annotations

import attrs


@attrs.frozen
class Finding:
    """One thing tested. ``level``: "ok", "warning" or "error"; ``remedy``: what to do about it."""

    name: str
    level: str
    detail: str
    remedy: str = ""


def ok(name: str, detail: str, remedy: str = "") -> Finding:
    """All is well; ``remedy`` then says what one could still do."""
    return Finding(name, "ok", detail, remedy)


def warning(name: str, detail: str, remedy: str) -> Finding:
    """Barograph works, but less well."""
    return Finding(name, "warning", detail, remedy)


def error(name: str, detail: str, remedy: str) -> Finding:
    """Something will not work."""
    return Finding(name, "error", detail, remedy)
