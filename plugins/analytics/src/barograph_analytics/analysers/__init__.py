"""The built-in analysers: each looks in one way at what is watched, or at what was found before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barograph_analytics.analysers.change_points import ChangePoints
from barograph_analytics.analysers.correlations import Correlations
from barograph_analytics.analysers.incidents import Incidents
from barograph_analytics.analysers.recurrences import Recurrences
from barograph_analytics.analysers.trends import Trends

if TYPE_CHECKING:
    from barograph.contracts import Analyser
    from barograph_analytics import Config

KINDS = ("trend", "change_point", "correlation", "recurrence", "moved")
"""Kinds of what they see."""


def built_in(config: Config) -> list[Analyser]:
    """All of them, with these options."""
    return [
        Trends(config), ChangePoints(config), Recurrences(config), Correlations(config),
        Incidents(config),
    ]  # fmt: skip
