"""Servers to ask: one for all tests of a module, or one of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sites import Site, running_site


@pytest.fixture(scope="session", autouse=True)
def frequent_frames() -> Iterator[None]:
    """More frames a second than people want to see, so that tests need fewer seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("barograph_api.live.FRAME_GAP_S", 0.1)
        patch.setattr("barograph_api.live.GATHER_S", 0.02)
        yield


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """For a test that changes the server's state."""
    with running_site(tmp_path) as site:
        yield site
