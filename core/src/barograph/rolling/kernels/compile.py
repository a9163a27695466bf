"""How kernels are compiled: numba's ``njit`` behind a typed name, with an on-disk cache.

Importing this module imports numba. Public modules import kernel modules inside the functions that
need them, so that importing ``barograph.rolling`` costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_config: Any = numba.config
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: F) -> F:
    """Compiles a kernel at its first call: no GIL, IEEE division, cached on disk.

    The cache is in ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache folder, whether the
    package's own folder can be written or not.
    """
    if _config.CACHE_DIR:
        return numba.njit(function, cache=True, **_OPTIONS)  # type: ignore[no-any-return]
    # Set for this one function: where other libraries keep theirs is not ours to say.
    fingerprint = _fingerprint(Path(function.__code__.co_filename).parent)
    _config.CACHE_DIR = str(cache_directory() / fingerprint)
    try:
        return numba.njit(function, cache=True, **_OPTIONS)  # type: ignore[no-any-return]
    finally:
        _config.CACHE_DIR = ""


def piece(function: F) -> F:
    """A part that kernels are built of; compiled into each of them, never cached alone."""
    return numba.njit(function, **_OPTIONS)  # type: ignore[no-any-return]


@functools.cache
def cache_directory() -> Path:
    """Where compiled kernels are kept: the user's cache folder, or a new temporary one if that
    cannot be written (a service without a home)."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "barograph" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        # New, not a known name: compiled code is loaded from it, so nobody else may have made it.
        return Path(tempfile.mkdtemp(prefix="barograph-kernels-"))


@functools.cache
def _fingerprint(folder: Path) -> str:
    """Of all sources in a folder: numba looks at a kernel's own file only, but pieces from its
    neighbours are compiled into it."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        status = path.stat()
        digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
