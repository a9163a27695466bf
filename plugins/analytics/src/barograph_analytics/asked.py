"""Work that may take longer than a request: who asks again in the same way gets its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

KEEP_S = 600.0
"""An answer that nobody fetches is kept for so long."""

MOST = 8
"""Pieces of work that run, or whose answer waits, at most."""


class TooMany(Exception):
    """Too much is asked at once; the message says what to do."""


@attrs.define(eq=False)
class _Piece:
    done: threading.Event = attrs.field(factory=threading.Event)
    answer: Any = None
    error: Exception | None = None
    ended_s: float = 0.0


class Asked:
    """Pieces of work by key. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: dict[str, _Piece] = {}

    def ask(self, key: str, work: Callable[[], Any], wait_s: float) -> Any:
        """The answer of ``work()``, or None if it is not there within ``wait_s``; then it goes on,
        and the next who asks with this key gets it. Each answer is given once.

        Raises TooMany, and what ``work`` raises.
        """
        with self._lock:
            self._forget()
            piece = self._pieces.get(key)
            if piece is None:
                if len(self._pieces) >= MOST:
                    raise TooMany(f"{MOST} such questions are under way; ask again in a minute")
                piece = self._pieces[key] = _Piece()
                threading.Thread(
                    target=_carry_out, args=(piece, work), name="barograph-asked", daemon=True
                ).start()
        if not piece.done.wait(wait_s):
            return None
        with self._lock:
            if self._pieces.get(key) is piece:
                del self._pieces[key]
        if piece.error is not None:
            raise piece.error
        return piece.answer

    def _forget(self) -> None:
        now = time.monotonic()
        for key, piece in list(self._pieces.items()):
            if piece.done.is_set() and now - piece.ended_s > KEEP_S:
                del self._pieces[key]


def _carry_out(piece: _Piece, work: Callable[[], Any]) -> None:
    try:
        piece.answer = work()
    except Exception as error:  # noqa: BLE001 — raised where it is asked for
        piece.error = error
    piece.ended_s = time.monotonic()
    piece.done.set()
