"""Memory that the C library keeps although nobody uses it."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable


def give_back() -> bool:
    """Give free memory of the C library's heap back to the system; whether there was any.

    glibc keeps what large temporary arrays leave behind, more with each larger one: over days a
    process that needs 40 MB holds 100. Does nothing with other C libraries.
    """
    trim = _malloc_trim()
    return trim is not None and bool(trim(0))


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
