"""Conformance checks: an author calls one line for each object that a plugin gives."""

from barograph.testing.checks import (
    check_aggregator,
    check_command,
    check_lifecycle,
    check_metric_source,
    check_route,
    check_store,
    check_widget,
)

__all__ = [
    "check_aggregator",
    "check_command",
    "check_lifecycle",
    "check_metric_source",
    "check_route",
    "check_store",
    "check_widget",
]
