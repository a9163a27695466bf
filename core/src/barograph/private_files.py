"""Files that only their owner may read, replaced as a whole."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str, *, for_folders_user: bool = False) -> None:
    """Replace a file as a whole; only its owner may read it. Raises OSError.

    ``for_folders_user``: what root writes into the folder of another user becomes that user's.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            owner = path.parent.stat()
            if for_folders_user and os.geteuid() == 0 and owner.st_uid != 0:
                # By its descriptor: whose folder it is could put a link in the place of the name.
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
