"""One writer for one file: a lock that ends with its process, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from barograph.contracts import StoreLocked


class FileLock:
    """An advisory lock on ``path``, which holds the owner's pid for the other's message."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def take(self) -> None:
        """Raises StoreLocked with the owner's pid; OSError where the file cannot be made."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise StoreLocked(
                f"{self._path.parent} is in use by another Barograph (pid {owner}); stop that one, "
                "or choose another --data-dir"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
