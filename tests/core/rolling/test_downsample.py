"""Downsampling for charts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.rolling.series import rows
from hypothesis import given
from hypothesis import strategies as st

from barograph import rolling


def naive_lttb(t: Any, y: Any, points: int) -> list[int]:
    n = len(y)
    edges = [1 + (n - 2) * b // (points - 2) for b in range(points - 1)]
    chosen = [0]
    for b in range(points - 2):
        after = slice(edges[b + 1], edges[b + 2] if b + 2 < len(edges) else n)
        mt, my = t[after].mean(), y[after].mean()
        p = chosen[-1]
        areas = [
            abs((t[p] - mt) * (y[i] - y[p]) - (t[p] - t[i]) * (my - y[p]))
            for i in range(edges[b], edges[b + 1])
        ]
        chosen.append(edges[b] + int(np.argmax(areas)))
    return [*chosen, n - 1]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(4, 300), data=st.data())
def test_lttb_is_as_the_naive_twin_has_it(seed: int, n: int, data: Any) -> None:
    points = data.draw(st.integers(3, n - 1))
    rng = np.random.default_rng(seed)
    t, y = np.cumsum(rng.integers(1, 5, n)).astype(float), rng.normal(size=n)
    assert rolling.lttb(t, y, points).tolist() == naive_lttb(t - t[0], y, points)


@given(y=rows(1, 400), points=st.integers(3, 40))
def test_points_rise_are_few_and_keep_the_ends(y: Any, points: int) -> None:
    t = np.arange(len(y)) * 5000 + 1_700_000_000_000
    there = np.flatnonzero(~np.isnan(y))
    got = rolling.minmax_lttb(t, y, points)
    assert len(got) <= points
    assert (np.diff(got) > 0).all()
    assert not np.isnan(y[got]).any()
    if len(there) <= points:
        assert got.tolist() == there.tolist()
    else:
        assert len(got) >= 3
        assert (got[0], got[-1]) == (there[0], there[-1])


def test_a_single_spike_in_a_million_points_is_kept() -> None:
    y = np.random.default_rng(1).normal(size=1_000_000)
    for spike in (137, 500_001, 999_990):
        y[spike] = 1000.0
    got = set(rolling.minmax_lttb(np.arange(y.size), y, 800).tolist())
    assert {137, 500_001, 999_990} <= got


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        rolling.minmax_lttb([1, 2], [1, 2], 2)
    with pytest.raises(ValueError, match="one row each"):
        rolling.minmax_lttb([1, 2], [1, 2, 3], 3)
    assert rolling.minmax_lttb([], [], 3).tolist() == []
