"""Barograph: performance monitoring that tells what is abnormal and what comes next."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barograph.config import Config as Config
    from barograph.contracts import WidgetSpec as WidgetSpec
    from barograph.hookspecs import hookimpl as hookimpl
    from barograph.instruments.connection import connect as connect
    from barograph.model import Batch as Batch
    from barograph.model import Labels as Labels
    from barograph.model import Metric as Metric
    from barograph.model import MetricKind as MetricKind
    from barograph.model import Sample as Sample
    from barograph.monitor import PerformanceMonitor as PerformanceMonitor
    from barograph.plugins import PluginManager as PluginManager
    from barograph.query import RangeQuery as RangeQuery

__version__ = "0.1.0"

_WHERE = {
    "hookimpl": "hookspecs",
    "Batch": "model",
    "Labels": "model",
    "Metric": "model",
    "MetricKind": "model",
    "Sample": "model",
    "RangeQuery": "query",
    "WidgetSpec": "contracts",
    "Config": "config",
    "PerformanceMonitor": "monitor",
    "PluginManager": "plugins",
    "connect": "instruments.connection",
}

__all__ = ["__version__", *_WHERE]


def __getattr__(name: str) -> object:
    # Each name is imported when it is first used: `barograph --help` needs none of them.
    if name in _WHERE:
        return getattr(import_module(f"barograph.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'barograph' has no attribute {name!r}")
