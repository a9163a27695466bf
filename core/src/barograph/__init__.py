"""Barograph: performance monitoring that tells what is abnormal and what comes next."""

from __future__ import annotations

from importlib import import_module

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
