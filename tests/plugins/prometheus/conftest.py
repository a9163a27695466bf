"""A real monitor over a real store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helper modules of these tests lie beside them

from written import plain_monitor

from barograph import PerformanceMonitor


@pytest.fixture
def monitor(tmp_path: Path) -> Iterator[PerformanceMonitor]:
    """Stores what it is given; has no sources but its own."""
    with plain_monitor(tmp_path) as running:
        yield running
