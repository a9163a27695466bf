"""Free memory of the C library's heap goes back to the system."""

from __future__ import annotations

import platform

import pytest

from barograph.memory import give_back
from barograph.selfmetrics import rss_bytes

BLOCKS = 60_000
SIZE = 1000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing back")
def test_what_lies_free_between_blocks_in_use_is_given_back() -> None:
    blocks = [b"%d" % i + bytes(SIZE) for i in range(BLOCKS)]
    kept = blocks[::100]  # so that the heap cannot simply become shorter
    del blocks
    before = rss_bytes()
    assert give_back()
    assert before - rss_bytes() > BLOCKS * SIZE / 2
    assert kept[1].startswith(b"100")


def test_giving_back_nothing_is_no_error() -> None:
    give_back()
    assert give_back() in (True, False)
