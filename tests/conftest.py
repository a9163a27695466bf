"""What holds for all tests: property-test profiles, and no silent skips where CI installs all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

CI = os.environ.get("CI") == "true"
FULL = os.environ.get("BAROGRAPH_FULL") == "1"
PROGRAMS = ("chromium", "playwright", "prometheus")
"""What tests may skip for where it is missing; CI installs it, so there it is a failure."""

_common = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile("quick", max_examples=60, **_common)
settings.register_profile("full", max_examples=400, **_common)
settings.load_profile("full" if FULL else "quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not FULL:
        skip = pytest.mark.skip(reason="a long run; set BAROGRAPH_FULL=1")
        for item in items:
            if "full" in item.keywords:
                item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    return _no_missing_program((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    return _no_missing_program((yield))


def _no_missing_program(report: Any) -> Any:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else "").lower()
        if any(name in reason for name in PROGRAMS):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI, where nothing may be missing: {reason}"
    return report
