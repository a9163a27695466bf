"""Work in a thread of the monitor, with pauses that leave the interpreter to others."""

from __future__ import annotations

import threading
import time

SHARE = 0.25
"""Of one core, that paced work takes at most."""

PIECE_S = 0.01
"""After so much work there is a pause."""

LONGEST_S = 1.0
"""The longest pause: after one query that could not be interrupted."""


class Pace:
    """Asked whether to stop, as ``Inquiry`` does between the steps of its work; pauses first."""

    def __init__(self, stopping: threading.Event, share: float = SHARE) -> None:
        self._stopping, self._rest = stopping, 1.0 / share - 1.0
        self._worked = threading.local()

    def __call__(self) -> bool:
        now = time.thread_time()
        spent = now - getattr(self._worked, "since", now)
        if spent >= PIECE_S:
            self._stopping.wait(min(spent * self._rest, LONGEST_S))
            now = time.thread_time()
        if spent >= PIECE_S or not hasattr(self._worked, "since"):
            self._worked.since = now
        return self._stopping.is_set()
