"""Event loops whose lag is worth knowing: who runs one names it here, and plugins read the list."""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_lock = threading.Lock()
_loops: dict[str, weakref.ref[AbstractEventLoop]] = {}


def watch_loop(loop: AbstractEventLoop, name: str = "main") -> str:
    """Let ``loop`` be watched until it is closed or forgotten; the name it got.

    A name that another living loop has gets a number. Watching a loop twice changes nothing.
    """
    with _lock:
        alive = _alive()
        for known, one in alive.items():
            if one is loop:
                return known
        chosen, n = name, 1
        while chosen in alive:
            n += 1
            chosen = f"{name}-{n}"
        _loops[chosen] = weakref.ref(loop)
        return chosen


def forget_loop(loop: AbstractEventLoop) -> None:
    """Watch ``loop`` no longer."""
    with _lock:
        for name, one in _alive().items():
            if one is loop:
                del _loops[name]


def watched_loops() -> dict[str, AbstractEventLoop]:
    """The loops to watch, by name; closed ones are left out."""
    with _lock:
        return _alive()


def running_loop() -> AbstractEventLoop | None:
    """The event loop that runs in this thread, None if none does."""
    asyncio = sys.modules.get("asyncio")  # not imported: then none runs
    return None if asyncio is None else asyncio._get_running_loop()


def _alive() -> dict[str, AbstractEventLoop]:
    alive: dict[str, AbstractEventLoop] = {}
    for name, ref in list(_loops.items()):
        loop = ref()
        if loop is None or loop.is_closed():
            del _loops[name]
        else:
            alive[name] = loop
    return alive
