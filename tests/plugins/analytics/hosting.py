"""A monitor fed by hand, as the agent needs it, and a stranger's plugin as pip installs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from made import END

from barograph import PluginManager
from barograph.clock import SystemClock
from barograph.config import Config as KernelConfig
from barograph.config import MonitorConfig, PluginSettings
from barograph.engines import find_engine
from barograph.findings import FindingBook
from barograph.inquiry import Inquiry
from barograph.selfmetrics import Meter
from barograph_analytics import Config
from barograph_sqlite.store import SqliteStore


class Host:
    """Store, book, meter and plugins of a monitor; time moves only when it is told."""

    def __init__(self, folder: Path, options: Config, *, configured: bool = True) -> None:
        self.store = SqliteStore(folder)
        self.store.open()
        self.clock, self.meter = FakeClock(END), Meter()
        self.config = KernelConfig(
            monitor=MonitorConfig(data_dir=folder),
            plugins={"analytics": PluginSettings(enabled=True, options=options)},
        )
        self.plugins = PluginManager()
        self.findings = FindingBook(self.store, self.clock, self.meter)
        self.store_is_configured = configured

    def load(self) -> None:
        """Take up the plugins; ``plugins.register`` comes before."""
        self.plugins.load(self.config)

    def inquiry(
        self, seconds: float | None = None, stopped: Callable[[], bool] | None = None
    ) -> Inquiry:
        return Inquiry(
            self.store, find_engine(self.plugins), stopped=stopped, clock=SystemClock(),
            seconds=seconds or 60.0, book=self.findings,
        )  # fmt: skip


STRANGER = """
import os, subprocess, sys, time
from barograph import Labels, hookimpl
from barograph.findings import Evidence, Observation


class One:
    interval_s, window_s = 60.0, 3600.0

    def __init__(self, name):
        self.name = name

    def analyse(self, data, start_ms, end_ms):
        print("noise on stdout", flush=True)
        if self.name == "hangs":
            time.sleep(1000)
        if self.name == "starts":
            child = subprocess.Popen(["sleep", "1000"])
            open(os.path.join(os.path.dirname(__file__), "child"), "w").write(f"{child.pid}.")
            child.wait()
        if self.name == "dies":
            print("it was the disk", file=sys.stderr, flush=True)
            os._exit(3)
        if self.name == "raises":
            raise KeyError("nothing here")
        if self.name == "eats":
            held = [bytearray(2**26) for _ in range(1000)]
        if self.name == "lies":
            yield "no observation"
        yield Observation(
            "custom", "one", "One thing", f"It runs in {os.getpid()}.", "info", 0.5, start_ms,
            end_ms, (Evidence("up", start_ms, end_ms),), Labels.of("up"), {"pid": os.getpid()},
        )


@hookimpl
def barograph_analysers():
    return [One(name) for name in NAMES]
"""


def install(folder: Path, patch: pytest.MonkeyPatch, *names: str) -> None:
    """A plugin ``stranger`` with analysers of these names, found by its entry point."""
    (folder / "stranger_plugin.py").write_text(f"NAMES = {names!r}\n{STRANGER}")
    info = folder / "barograph_stranger-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: barograph-stranger\nVersion: 0.1\n"
    )
    (info / "entry_points.txt").write_text("[barograph.plugins]\nstranger = stranger_plugin\n")
    patch.syspath_prepend(str(folder))
    patch.delitem(__import__("sys").modules, "stranger_plugin", raising=False)


def outcome_of(outcomes: Any, name: str) -> Any:
    (one,) = [one for one in outcomes if one.analyser == name]
    return one
