"""What ``barograph run`` does at SIGINT, SIGTERM and SIGHUP."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import attrs

from barograph.cli.console import say

RELOAD_SECONDS = 0.5
"""How long stopping waits for a reload under way."""


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP from the first moment on.

    SIGHUP asks for a reload, except from a terminal that is being closed: that ends the server, as
    its user expects (under nohup it does not).

    Before ``ready``, SIGINT and SIGTERM interrupt what runs (exit code 130). Afterwards the server
    has its own handlers; without one, ``wait`` is told through a pipe, since a handler may not take
    a lock that the interrupted code holds.
    """

    def __init__(self) -> None:
        self._ready = self._held = self._asked = self._hung_up = self._over = False
        self._turn = threading.Lock()
        # Under nohup SIGHUP is ignored: the end of the terminal is not to matter.
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._terminal = None if ignored else Terminal.of_this_process()
        self._read, self._write = os.pipe()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        signal.signal(signal.SIGHUP, self._hang_up)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._ready:
            os.write(self._write, b"e")
        elif self._held and not self._asked:
            self._asked = True  # a second one does not wait
        else:
            raise KeyboardInterrupt

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        if self._ready:
            os.write(self._write, b"h")
        else:
            self._hung_up = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM wait for the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._asked:
            raise KeyboardInterrupt

    def ready(self) -> bool:
        """From now on the end is a clean one; whether SIGHUP has come before."""
        self._ready = True
        return self._hung_up

    def wait(self, on_reload: Callable[[], None]) -> None:
        """Until SIGINT or SIGTERM; ``on_reload`` at each SIGHUP."""
        while os.read(self._read, 1) == b"h":
            on_reload()

    def over(self) -> None:
        """Stopping begins, which has a deadline and is not to be disturbed."""
        self._ready = True
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._over = True
        if self._turn.acquire(timeout=RELOAD_SECONDS):  # a reload under way ends first
            self._turn.release()

    def in_turn(self, work: Callable[[], None]) -> threading.Thread:
        """Run ``work`` in a thread of its own (no event loop waits for it), one at a time, and
        none any more once it is ``over``."""

        def locked() -> None:
            with self._turn:
                if self._over:
                    return
                if self._terminal is not None and self._terminal.gone():
                    self._terminal.leave()
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                try:
                    work()
                except Exception as error:  # noqa: BLE001 — told; the server goes on
                    say(f"reloading failed: {type(error).__name__}: {error}")

        thread = threading.Thread(target=locked, name="reload", daemon=True)
        thread.start()
        return thread


@attrs.frozen
class Terminal:
    """The terminal that a process was started on. ``streams``: descriptors that write to it."""

    streams: tuple[int, ...]

    @classmethod
    def of_this_process(cls) -> Terminal | None:
        """None for a service, a job of cron, a container without one."""
        if not os.isatty(0):
            return None
        return cls(tuple(stream for stream in (1, 2) if os.isatty(stream)))

    def gone(self) -> bool:
        """Whether it has been closed: what was a terminal then answers as none."""
        return not os.isatty(0)

    def leave(self) -> None:
        """What is still said goes nowhere: writing to a closed terminal is an error."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in self.streams:
            os.dup2(nowhere, stream)
        os.close(nowhere)
