"""Whether the monitor works, in checks that a person and a load balancer understand."""

from __future__ import annotations

import attrs


@attrs.frozen
class Check:
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str = ""


@attrs.frozen
class Health:
    """``live``: the process does its work; ``ready``: samples flow into the store."""

    live: bool
    ready: bool
    checks: list[Check]
