"""Conformance checks: an author calls one line for each object that a plugin gives."""

from barograph.testing.analysers import check_analyser
from barograph.testing.checks import (
    check_aggregator,
    check_command,
    check_lifecycle,
    check_metric_source,
    check_route,
    check_store,
    check_widget,
)
from barograph.testing.detectors import check_detector
from barograph.testing.queries import check_query_engine
from barograph.testing.records import check_records

__all__ = [
    "check_aggregator",
    "check_analyser",
    "check_command",
    "check_detector",
    "check_lifecycle",
    "check_metric_source",
    "check_query_engine",
    "check_records",
    "check_route",
    "check_store",
    "check_widget",
]
