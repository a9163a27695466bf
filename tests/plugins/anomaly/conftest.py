"""Helper modules of these tests lie beside them, and the quality measures in tests/quality."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "quality")]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Any]:
    from hosts import Host

    from barograph_anomaly.watching import PLACE

    one = Host(tmp_path)
    yield one
    PLACE.watcher = None
    one.store.close()
