"""Starting and stopping what plugins want to live as long as the monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from barograph.contracts import Lifecycle, Problem

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor


class Lifecycles:
    """The lifecycle objects that run, in the order in which they started."""

    def __init__(self) -> None:
        self._running: list[tuple[str, Lifecycle]] = []

    def start(
        self, objects: Iterable[tuple[str, Lifecycle]], monitor: PerformanceMonitor
    ) -> list[Problem]:
        """Start each; one that raises is told and left out."""
        told: list[Problem] = []
        for plugin, one in objects:
            try:
                one.start(monitor)
            except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
                what = f"{one.name} did not start: {type(error).__name__}: {error}"
                remedy = f"switch it off: barograph plugins disable {plugin}"
                told.append(Problem(what, f"plugin {plugin}", remedy))
            else:
                self._running.append((plugin, one))
        return told

    @property
    def problems(self) -> list[Problem]:
        """What those tell that have ``problems``."""
        return [told for _, one in list(self._running) for told in getattr(one, "problems", ())]

    def stop(self, deadline_s: float) -> list[Problem]:
        """Stop all, the last started first, within ``deadline_s`` together; what did not stop.

        Each is stopped in a thread of its own, so that one that hangs can be left behind.
        """
        told: list[Problem] = []
        until = time.monotonic() + deadline_s
        while self._running:
            plugin, one = self._running.pop()
            failed: list[str] = []
            left = max(until - time.monotonic(), 0.0)
            share = max(left / (len(self._running) + 1), 0.01)

            def work(
                one: Lifecycle = one, share: float = share, failed: list[str] = failed
            ) -> None:
                try:
                    one.stop(share)
                except Exception as error:  # noqa: BLE001 — a stranger's code; told by name
                    failed.append(f"{type(error).__name__}: {error}")

            thread = threading.Thread(target=work, name=f"barograph-stop-{plugin}", daemon=True)
            thread.start()
            thread.join(share)
            if thread.is_alive():
                failed.append(f"it took longer than {share:.2f} s")
            told += [
                Problem(f"{one.name} did not stop: {why}", f"plugin {plugin}") for why in failed
            ]
        return told
