"""Widgets of the page's own kinds: a description, and queries that the page asks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from barograph.contracts import WidgetSpec
from barograph.query import RangeQuery

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor


SECTIONS = (
    "Overview", "CPU", "Memory", "Disk", "Network", "Processes", "Application",
)  # fmt: skip
"""Headings of the page, in this order; then those that plugins invent, and Barograph's own."""

LAST_SECTION = "Barograph"


def section_rank(section: str) -> int:
    """Where a section comes on the page; those with the same rank go by name."""
    if section in SECTIONS:
        return SECTIONS.index(section)
    return len(SECTIONS) + (section == LAST_SECTION)


@attrs.frozen
class SpecWidget:
    """A widget that its description says all about."""

    description: WidgetSpec

    def spec(self) -> WidgetSpec:
        return self.description

    def data(
        self, monitor: PerformanceMonitor, start_ms: int, end_ms: int, points: int
    ) -> Mapping[str, Any] | None:
        return None


def query(match: str, **options: Any) -> tuple[RangeQuery, ...]:
    """The one query of a chart: a selector, and what ``RangeQuery`` takes."""
    return (RangeQuery((match,), **options),)


def chart(id: str, title: str, queries: tuple[RangeQuery, ...], **described: Any) -> SpecWidget:
    """A widget with what ``WidgetSpec`` takes (default kind: ``timeseries``)."""
    return SpecWidget(WidgetSpec(id, title, queries, **described))
