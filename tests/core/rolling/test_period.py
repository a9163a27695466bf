"""Autocorrelation and periods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.rolling.series import rows
from hypothesis import given

from barograph import rolling


def naive_autocorrelation(x: Any) -> Any:
    n = len(x)
    d = np.where(np.isfinite(x), x - np.nanmean(x), np.nan)
    out = np.full(n, np.nan)
    for k in range(n):
        products = d[: n - k] * d[k:]
        pairs = np.isfinite(products).sum()
        if pairs:
            out[k] = np.nansum(products) / pairs * (n - k) / n
    return out / out[0]


@given(x=rows(2, 80))
def test_autocorrelation_is_as_the_naive_twin_has_it(x: Any) -> None:
    present = x[~np.isnan(x)]
    got = rolling.autocorrelation(x)
    if len(set(present.tolist())) < 2:
        assert np.isnan(got).all()
        return
    # The mean of values near 1e9 is known to 1e-7 only, in the twin as well.
    np.testing.assert_allclose(got, naive_autocorrelation(x), atol=2e-6)


def test_periods_are_found_within_noise_and_trend() -> None:
    rng = np.random.default_rng(3)
    t = np.arange(5000)
    for period in (7, 24, 60, 288, 1440):
        for scale, offset in ((1.0, 0.0), (1e-3, 1e9), (1e6, -5.0)):
            noise = 0.5 * rng.normal(size=t.size)
            y = offset + scale * (np.sin(2 * np.pi * t / period) + 0.0005 * t + noise)
            assert abs(rolling.find_periods(y)[0].steps - period) <= period // 50


def test_a_day_within_a_week_gives_both() -> None:
    t = np.arange(168 * 20)
    noise = 0.3 * np.random.default_rng(4).normal(size=t.size)
    y = np.sin(2 * np.pi * t / 24) + 2 * (t // 24 % 7 > 4) + noise
    assert {period.steps for period in rolling.find_periods(y)} >= {24, 168}


def test_a_short_peak_that_comes_again_is_found_and_gaps_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    t = np.arange(4000)
    y = (t % 60 < 3) + 0.1 * rng.normal(size=t.size)
    y[rng.random(t.size) < 0.1] = np.nan
    assert rolling.find_periods(y)[0].steps == 60


def test_noise_and_random_walks_have_no_period() -> None:
    rng = np.random.default_rng(6)
    noise = [bool(rolling.find_periods(rng.normal(size=1000))) for _ in range(100)]
    walks = [bool(rolling.find_periods(np.cumsum(rng.normal(size=1000)))) for _ in range(100)]
    assert sum(noise) <= 2
    assert sum(walks) <= 5
    for flat in (np.full(100, 0.1), np.arange(100.0), np.full(100, np.nan), [1.0, 2.0]):
        assert rolling.find_periods(flat) == []


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(ValueError, match="from 0 to 3"):
        rolling.autocorrelation([1.0, 2.0, 1.0, 3.0], 4)
    with pytest.raises(ValueError, match="infinity"):
        rolling.find_periods([1.0, np.inf])
    with pytest.raises(ValueError, match="one row"):
        rolling.autocorrelation(np.ones((2, 2)))
