"""What was found damaged, and the note that the next start shall save what is readable."""

from __future__ import annotations

import threading
from pathlib import Path

from barograph.contracts import Problem
from barograph_sqlite.schema import is_damage

MAX_PROBLEMS = 50


class Damage:
    """Damage met so far, each place once, for the one who asks.

    ``note``: a file beside the store. It is made when the file's pages themselves are damaged, and
    makes the next writer save the readable rows into a new file.
    """

    def __init__(self, note: Path) -> None:
        self.problems: list[Problem] = []
        self.count = 0
        self.note = note
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def found(self, where: str, why: str) -> None:
        """Count it, and tell it if its place is new."""
        with self._lock:
            self.count += 1
            if where in self._seen or len(self._seen) >= MAX_PROBLEMS:
                return
            self._seen.add(where)
            self.problems.append(
                Problem(
                    f"damaged data: {why}",
                    where,
                    "the rest stays readable; `barograph doctor --store` gives the whole list; "
                    "restore a backup if you need what is lost",
                )
            )

    def met(self, error: BaseException, where: str) -> None:
        """Take note of an error that SQLite raised because of damaged pages; raise all others."""
        if not is_damage(error):
            raise error
        self.found(where, str(error))
        self.save_next_time()

    def save_next_time(self) -> None:
        """Ask the next writer to save what is readable."""
        try:
            self.note.touch(0o600)
        except OSError as error:
            self.found(str(self.note), f"cannot be made ({error}): make it, and restart")
