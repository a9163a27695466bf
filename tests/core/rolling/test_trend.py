"""Mann-Kendall and Theil-Sen against all pairs listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.rolling import naive
from core.rolling.series import rows
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from barograph import rolling


@given(x=rows(3, 60))
def test_mann_kendall_counts_all_pairs(x: Any) -> None:
    present = x[~np.isnan(x)]
    n = len(present)
    if n < 2:
        with pytest.raises(ValueError, match="at least 2"):
            rolling.mann_kendall(x)
        return
    got = rolling.mann_kendall(x)
    falling, rising = naive.inversions(present), naive.inversions(-present)
    assert (got.s, got.n) == (rising - falling, n)
    ties = np.unique(present, return_counts=True)[1]
    variance = n * (n - 1) * (2 * n + 5) - sum(c * (c - 1) * (2 * c + 5) for c in ties)
    assert got.variance == pytest.approx(variance / 18)
    assert 0 <= got.p <= 1
    assert (got.p == 1) == (abs(got.s) <= 1)


@given(x=rows(2, 120), seed=st.integers(0, 100))
def test_theil_sen_is_the_median_of_all_slopes(x: Any, seed: int) -> None:
    t = np.cumsum(np.random.default_rng(seed).integers(1, 9, len(x))).astype(float) + 1e6
    keep = ~np.isnan(x)
    if keep.sum() < 2:
        with pytest.raises(ValueError, match="at least 2"):
            rolling.theil_sen(x, t)
        return
    slopes = naive.slopes(t[keep], x[keep])
    got = rolling.theil_sen(x, t)
    size = max(abs(s) for s in slopes)
    assert got.slope == pytest.approx(np.median(slopes), rel=1e-9, abs=1e-13 * size)
    assert got.low <= got.slope + 1e-13 * size
    assert got.slope <= got.high + 1e-13 * size


@pytest.mark.parametrize("kind", ["normal", "ties", "trend", "mostly zero"])
def test_slopes_are_selected_right_when_there_are_too_many_to_list(kind: str) -> None:
    rng = np.random.default_rng(1)
    n = 1500
    x = {
        "normal": rng.normal(size=n),
        "ties": rng.integers(0, 3, n).astype(float),
        "trend": 0.25 * np.arange(n) + rng.normal(size=n),
        "mostly zero": np.where(rng.random(n) < 0.1, rng.normal(size=n), 0.0),
    }[kind]
    i, j = np.triu_indices(n, 1)
    slopes = (x[j] - x[i]) / (j - i)
    got = rolling.theil_sen(x)
    assert got.slope == pytest.approx(np.median(slopes), rel=1e-9, abs=1e-15)
    reference = stats.theilslopes(x)
    assert got.low == pytest.approx(reference.low_slope, rel=0.01, abs=1e-5)
    assert got.high == pytest.approx(reference.high_slope, rel=0.01, abs=1e-5)
    assert got.intercept == pytest.approx(np.median(x - got.slope * np.arange(n)))


def test_the_interval_holds_the_true_slope_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    lines = [rolling.theil_sen(0.1 * np.arange(60) + rng.normal(size=60)) for _ in range(300)]
    inside = sum(line.low <= 0.1 <= line.high for line in lines)
    assert 270 <= inside <= 297


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="must rise"):
        rolling.theil_sen([1.0, 2.0, 3.0], [1.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="infinity"):
        rolling.theil_sen([1.0, np.inf])
    with pytest.raises(ValueError, match="level"):
        rolling.theil_sen([1.0, 2.0], level=1.0)
    with pytest.raises(ValueError, match="one row"):
        rolling.mann_kendall(np.ones((2, 2)))
