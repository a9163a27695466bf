"""Findings: what analysers and detectors saw, with evidence and a life of its own."""

from barograph.findings.book import MAX_FINDINGS, FindingBook
from barograph.findings.observed import (
    SEVERITIES,
    STATES,
    Change,
    Evidence,
    Finding,
    Observation,
    Severity,
    State,
    as_json,
    from_json,
)

__all__ = [
    "MAX_FINDINGS",
    "SEVERITIES",
    "STATES",
    "Change",
    "Evidence",
    "Finding",
    "FindingBook",
    "Observation",
    "Severity",
    "State",
    "as_json",
    "from_json",
]
