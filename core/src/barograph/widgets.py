"""Widgets of the page's own kinds: a description, and queries that the page asks itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from barograph.contracts import WidgetSpec
from barograph.query import RangeQuery

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor


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
