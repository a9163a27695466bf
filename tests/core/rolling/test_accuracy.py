"""Large offsets, long runs and jumps: compared with exact arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.rolling import naive

from barograph import rolling

CHECKED = 40  # windows of a long series that are worked out in fractions


def checked(x: Any, window: int, got: Any, twin: Any) -> float:
    """The greatest relative error at some places, the last among them."""
    worst = 0.0
    for i in np.linspace(window - 1, len(x) - 1, CHECKED).astype(int):
        part = x[i - window + 1 : i + 1]
        places = np.flatnonzero(~np.isnan(part))
        if not len(places) or places[-1] != window - 1:
            continue
        want = twin(part[places], places, window - 1)
        worst = max(worst, abs(got[i] - want) / abs(want))
    return worst


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("noise", [1.0, 1e-3])
def test_a_million_steps_of_small_noise_at_1e9_keep_nine_digits(noise: float, gaps: bool) -> None:
    rng = np.random.default_rng(5)
    x = 1e9 + noise * rng.normal(size=1_000_000)
    if gaps:
        x[rng.random(x.size) < 0.05] = np.nan
    for window in (60, 600):
        for name, twin in (
            ("move_sum", naive.total),
            ("move_mean", naive.mean),
            ("move_var", naive.var(0)),
            ("move_std", naive.std(0)),
            ("move_zscore", naive.zscore(0)),
        ):
            assert checked(x, window, getattr(rolling, name)(x, window, 1), twin) < 1e-9, name


@pytest.mark.parametrize("window", [60, 600])
def test_what_has_passed_leaves_no_error_behind(window: int) -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=20_000)
    x[500:540] = 1e15 * rng.normal(size=40)
    x[3000:9000] += 1e12
    clean = x.copy()
    clean[500:540] = 0.0
    after = slice(540 + window, 3000)
    for name in ("move_sum", "move_var", "move_skew", "move_kurt", "move_slope"):
        got, want = (getattr(rolling, name)(series, window, 1) for series in (x, clean))
        np.testing.assert_allclose(got[after], want[after], rtol=1e-9, atol=1e-11)
    assert checked(x[9000:], window, rolling.move_var(x, window)[9000:], naive.var(0)) < 1e-12


def test_a_gap_before_a_jump_loses_nothing() -> None:
    # The value that a window's sums are about is missing, and the next is far from the others.
    rng = np.random.default_rng(7)
    for gap in range(1, 40):
        x = rng.normal(size=160)
        x[60 : 60 + gap] = np.nan
        x[60 + gap :] += 1e9
        for window in (20, 37):
            starts = naive.windows_by_count(len(x), window)
            want = naive.apply(x, starts, 1, naive.var(0))
            np.testing.assert_allclose(rolling.move_var(x, window, 1), want, rtol=1e-9)


def test_a_flat_window_has_no_variance_at_all() -> None:
    x = np.concatenate([np.random.default_rng(8).normal(size=100), np.full(200, 0.1)])
    assert (rolling.move_var(x, 50)[150:] == 0).all()
    for name in ("move_zscore", "move_skew", "move_kurt"):
        assert np.isnan(getattr(rolling, name)(x, 50)[150:]).all()


def test_weighted_deviation_keeps_its_digits_after_a_jump() -> None:
    rng = np.random.default_rng(9)
    noise = rng.normal(size=60_000)
    x = noise.copy()
    x[30_000:] += 1e9
    for span in (5, 60, 600):
        late = slice(30_000 + 40 * span, None)
        got, want = rolling.ewm_std(x, span)[late], rolling.ewm_std(noise, span)[late]
        # x itself has lost the noise's last digits: 1e9 is known to 1e-7.
        np.testing.assert_allclose(got, want, rtol=1e-5)
    tail = naive.ewm(x[-500:], lambda i, j: i - j, lambda age: (2 / 3) ** age)
    np.testing.assert_allclose(rolling.ewm_std(x, 5)[-1] ** 2, tail[1][-1], rtol=1e-9)
