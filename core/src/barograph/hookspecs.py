"""Every hook of Barograph, on one page.

A plugin is a Python package with an entry point in the group ``barograph.plugins`` that names a
module. The module (or object) has functions marked ``@barograph.hookimpl`` named as below, and, if
it has options, an attrs class named ``Config`` that is filled from ``[plugins.NAME]`` in the
configuration. Every hook that builds objects is given that filled ``config`` (``None`` for a plugin
without options). A plugin implements just the hooks it needs, and takes just the arguments it uses.

The answers of all plugins are joined: each returns a list, and the kernel works with all of them,
in the order of plugin names unless ``[monitor] plugin_order`` says otherwise. A hook that raises,
hangs or returns what it should not disables that one plugin, by name and with its reason, until
its options change; all others run. Every option of ``Config`` has a default.

Module import must be cheap (no numpy, no heavy library): ``barograph --help`` imports every
plugin. Import the heavy parts inside the hooks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from barograph.contracts import (
        Aggregator,
        Analyser,
        ColumnarSource,
        Detector,
        Lifecycle,
        MetricSource,
        QueryEngine,
        Route,
        Store,
        Widget,
    )

hookspec = pluggy.HookspecMarker("barograph")
hookimpl = pluggy.HookimplMarker("barograph")
"""Marks a function of a plugin as the implementation of the hook of the same name."""


@hookspec
def barograph_metric_sources(config: Any) -> Sequence[MetricSource | ColumnarSource]:
    """What to collect. Called once at start and again when the plugin's options change.

    Each source is collected in a thread of its own at its own interval.
    """
    return []


@hookspec
def barograph_aggregators(config: Any) -> Sequence[Aggregator]:
    """How to fold samples into windows. The kernel uses the one named in ``[rollup] aggregator``
    (default ``rollup``)."""
    return []


@hookspec
def barograph_stores(config: Any, data_dir: Path) -> Sequence[Store]:
    """Where samples are kept. The kernel opens the one named in ``[storage] store`` (default
    ``sqlite``); it must put its files below ``data_dir``."""
    return []


@hookspec
def barograph_query_engines(config: Any) -> Sequence[QueryEngine]:
    """What evaluates expressions over a store. An engine is given the store with each query, so
    it holds no data of its own."""
    return []


@hookspec
def barograph_detectors(config: Any) -> Sequence[Detector]:
    """What says how abnormal a sample is. A detector is found by its name
    (``barograph.detection.find_detector``); the first of two that share one is used."""
    return []


@hookspec
def barograph_analysers(config: Any) -> Sequence[Analyser]:
    """What looks at stored data and gives observations, which become findings. The plugin
    ``analytics`` runs all of them, each at its own interval and on demand."""
    return []


@hookspec
def barograph_widgets(config: Any) -> Sequence[Widget]:
    """What to show on the dashboard. Widgets are sorted by section, then ``order``."""
    return []


@hookspec
def barograph_routes(config: Any) -> Sequence[Route]:
    """HTTP routes, mounted by the server below ``/api/plugins/NAME``, or where a protocol wants
    them (``Route.absolute``)."""
    return []


@hookspec
def barograph_commands() -> Sequence[click.Command]:
    """Commands to add to ``barograph``. Called before any configuration is read, so it has no
    ``config``; a name that is taken already is reported and left out."""
    return []


@hookspec
def barograph_lifecycle(config: Any) -> Sequence[Lifecycle]:
    """Objects that start and stop with the monitor; started after the store is open and before
    the first tick, stopped in reverse order before the store closes."""
    return []
