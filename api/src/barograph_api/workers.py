"""Threads for work that may take long, so that no request holds the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from barograph.selfmetrics import Meter

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""A thread without work ends after so long."""


class Busy(Exception):
    """The work was not done in time, or not begun; the message says what to do."""


class Workers:
    """At most ``size`` calls run and ``waiting`` wait; nobody waits longer than ``seconds``.

    A thread cannot be stopped from outside. A call that takes too long therefore keeps its place
    until it ends, and only the one who asked is sent away: what runs is bounded at all times.
    """

    def __init__(self, name: str, size: int, waiting: int, seconds: float, meter: Meter) -> None:
        self.name, self.seconds = name, seconds
        self._places = asyncio.Semaphore(size)
        self._room = waiting
        self._idle: list[SimpleQueue[Callable[[], None]]] = []  # what feeds threads that wait
        self._running = 0
        self._gauge = meter.gauge(
            "barograph_workers_running", "Calls in the server's threads", workers=name
        )
        self._refused = meter.counter(
            "barograph_workers_refused_total", "Requests sent away: too many or too long",
            workers=name,
        )  # fmt: skip

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """The answer of ``function(*arguments)``. Raises Busy, and what ``function`` raises."""
        if self._room <= 0:
            self._refused.add()
            raise Busy("too many requests at one time; ask again in a second")
        self._room -= 1
        try:
            async with asyncio.timeout(self.seconds):
                try:
                    await self._places.acquire()
                finally:
                    self._room += 1
                return await self._begin(function, arguments)
        except TimeoutError:
            self._refused.add()
            raise Busy(f"no answer within {self.seconds:g} s; ask for less") from None

    def _begin(self, function: Callable[..., T], arguments: tuple[Any, ...]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._running += 1
        self._gauge.set(self._running)

        def done(result: Any, error: BaseException | None) -> None:
            self._running -= 1
            self._gauge.set(self._running)
            self._places.release()
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)

        feed = self._idle.pop() if self._idle else self._new_thread()

        def work() -> None:
            result: Any = None
            error: BaseException | None = None
            try:
                result = function(*arguments)
            except TimeoutError as problem:  # else it would read as this call's own time limit
                error = RuntimeError(f"timed out: {problem}")
            except Exception as problem:  # noqa: BLE001 — handed on to the one who asked
                error = problem
            self._idle.append(feed)  # before the answer: what comes next finds this thread
            with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits
                loop.call_soon_threadsafe(done, result, error)

        feed.put(work)
        return answer

    def _new_thread(self) -> SimpleQueue[Callable[[], None]]:
        """The feed of a thread that does one call after another, and ends when there are none."""
        feed: SimpleQueue[Callable[[], None]] = SimpleQueue()

        def serve() -> None:
            while True:
                try:
                    work = feed.get(timeout=IDLE_SECONDS)
                except Empty:
                    try:
                        self._idle.remove(feed)
                    except ValueError:  # a call is on its way
                        continue
                    return
                work()
                del work  # and with it what was asked and answered

        # A daemon: a plugin's handler that never returns must not keep the process from its end.
        threading.Thread(target=serve, name=f"barograph-{self.name}", daemon=True).start()
        return feed
