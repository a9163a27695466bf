"""Batch functions over windows by count and by time, against their naive twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from core.rolling import naive
from core.rolling.series import long_rows, rows, rows_and_windows, times_for
from hypothesis import given, settings
from hypothesis import strategies as st

from barograph import rolling

# function, twin made for (ddof, times), relative and absolute tolerance
STATISTICS: dict[str, tuple[Any, float, float]] = {
    "move_sum": (lambda ddof, t: naive.total, 1e-12, 1e-7),
    "move_mean": (lambda ddof, t: naive.mean, 1e-12, 1e-7),
    "move_var": (lambda ddof, t: naive.var(ddof), 1e-9, 0.0),
    "move_std": (lambda ddof, t: naive.std(ddof), 1e-9, 0.0),
    "move_zscore": (lambda ddof, t: naive.zscore(ddof), 1e-9, 1e-9),
    "move_slope": (lambda ddof, t: naive.slope(t), 1e-9, 1e-6),
    "move_skew": (lambda ddof, t: naive.skew(ddof), 1e-9, 1e-9),
    "move_kurt": (lambda ddof, t: naive.kurt(ddof), 1e-8, 1e-8),
    "move_min": (lambda ddof, t: naive.least, 0.0, 0.0),
    "move_max": (lambda ddof, t: naive.greatest, 0.0, 0.0),
    "move_argmin": (lambda ddof, t: naive.argleast, 0.0, 0.0),
    "move_argmax": (lambda ddof, t: naive.arggreatest, 0.0, 0.0),
    "move_median": (lambda ddof, t: naive.median, 1e-14, 0.0),
    "move_iqr": (lambda ddof, t: naive.iqr, 1e-9, 1e-6),
    "move_mad": (lambda ddof, t: naive.mad, 1e-9, 1e-6),
    "move_rank": (lambda ddof, t: naive.rank, 0.0, 1e-12),
}


@pytest.mark.parametrize("name", STATISTICS)
@given(given_row=rows_and_windows(), ddof=st.integers(0, 2))
def test_windows_by_count_are_as_the_naive_twin_has_them(
    name: str, given_row: Any, ddof: int
) -> None:
    x, window, min_count = given_row
    make, relative, absolute = STATISTICS[name]
    got = getattr(rolling, name)(x, window, min_count, ddof=ddof)
    starts = naive.windows_by_count(len(x), window)
    want = naive.apply(x, starts, min_count, make(ddof, None))
    np.testing.assert_allclose(got, want, rtol=relative, atol=absolute)


@given(row=long_rows(), ddof=st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_long_rows_are_as_the_naive_twin_has_them(row: Any, ddof: int) -> None:
    x, window, min_count = row
    starts = naive.windows_by_count(len(x), window)
    # Some windows only, as fractions take their time; and all around a change.
    steps = np.abs(np.diff(np.nan_to_num(x)))
    near = np.arange(-2, window + 2) + int(np.argmax(steps))
    some = np.unique(np.concatenate([np.arange(0, len(x), 29), near[near < len(x)], [len(x) - 1]]))
    for name in ("move_sum", "move_mean", "move_var", "move_std", "move_zscore"):
        make, relative, absolute = STATISTICS[name]
        got = getattr(rolling, name)(x, window, min_count, ddof=ddof)
        for i in some[some >= 0]:
            places = starts[i] + np.flatnonzero(~np.isnan(x[starts[i] : i + 1]))
            enough = len(places) >= min_count
            want = make(ddof, None)(x[places], places, i) if enough else np.nan
            np.testing.assert_allclose(got[i], want, rtol=relative, atol=absolute, err_msg=name)


@pytest.mark.parametrize("name", STATISTICS)
@given(data=st.data(), x=rows(), duration=st.integers(1, 40), ddof=st.integers(0, 1))
def test_windows_by_time_are_as_the_naive_twin_has_them(
    name: str, data: Any, x: Any, duration: int, ddof: int
) -> None:
    t = data.draw(times_for(len(x)))
    min_count = data.draw(st.integers(1, min(3, len(x))))
    make, relative, absolute = STATISTICS[name]
    got = getattr(rolling, name)(x, duration, min_count, ddof=ddof, t=t)
    starts = naive.windows_by_time(t, duration)
    want = naive.apply(x, starts, min_count, make(ddof, t - t[0]))
    np.testing.assert_allclose(got, want, rtol=relative, atol=absolute)


@given(given_row=rows_and_windows(), q=st.floats(0, 1))
def test_a_moving_quantile_is_numpys_of_each_window(given_row: Any, q: float) -> None:
    x, window, min_count = given_row
    got = rolling.move_quantile(x, window, min_count, q=q)
    starts = naive.windows_by_count(len(x), window)
    want = naive.apply(x, starts, min_count, naive.quantile(q))
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-9)


def spread(x: Any) -> float:
    present = x[~np.isnan(x)]
    return float(np.ptp(present)) if len(present) else 0.0


@pytest.mark.parametrize("correlate", [False, True])
@given(given_row=rows_and_windows(), ddof=st.integers(0, 1), data=st.data())
def test_covariance_and_correlation_are_as_the_naive_twin_has_them(
    correlate: bool, given_row: Any, ddof: int, data: Any
) -> None:
    x, window, min_count = given_row
    y = data.draw(rows(len(x), len(x)))
    function = rolling.move_corr if correlate else rolling.move_cov
    t = data.draw(st.none() | times_for(len(x)))
    starts = naive.windows_by_count(len(x), window)
    if t is not None:
        starts = naive.windows_by_time(t, window)
    got = function(x, y, window, min_count, ddof=ddof, t=t)
    want = naive.pairs(x, y, starts, min_count, ddof, correlate=correlate)
    size = spread(x) * spread(y)
    absolute = 1e-9 if correlate else 1e-12 * size
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=absolute)


@pytest.mark.parametrize("span", [1, 1.5, 4, 20, 33.3, 300])
@given(x=rows(most=200), data=st.data())
def test_exponential_weights_are_as_the_naive_twin_has_them(span: float, x: Any, data: Any) -> None:
    x = x[:60] if span < 20 else x
    keep = 1 - 2 / (span + 1)
    t = data.draw(st.none() | times_for(len(x)))
    if t is None:
        want = naive.ewm(x, lambda i, j: i - j, lambda age: keep**age)
    else:
        want = naive.ewm(
            x, lambda i, j: float(t[i] - t[j]), lambda age: float(np.exp(-2 * age / span))
        )
    np.testing.assert_allclose(rolling.ewm_mean(x, span, t=t), want[0], rtol=1e-12, atol=1e-7)
    np.testing.assert_allclose(rolling.ewm_std(x, span, t=t) ** 2, want[1], rtol=1e-8, atol=1e-12)
    got = rolling.ewm_std(x, span, t=t, ddof=1) ** 2
    both = np.isfinite(got) & np.isfinite(want[2])
    np.testing.assert_allclose(got[both], want[2][both], rtol=1e-7, atol=1e-12)
    assert (np.isfinite(got) <= np.isfinite(want[2])).all()


@pytest.mark.parametrize("window", [1, 2, 5, 9, 17, 40])
def test_infinities_count_where_they_are_and_leave_no_trace(window: int) -> None:
    rng = np.random.default_rng(window)
    x = rng.normal(size=150)
    x[40], x[45], x[100] = np.inf, -np.inf, np.inf
    starts = naive.windows_by_count(len(x), window)
    for name in ("move_min", "move_max", "move_argmin", "move_argmax", "move_rank"):
        want = naive.apply(x, starts, 1, STATISTICS[name][0](0, None))
        np.testing.assert_array_equal(getattr(rolling, name)(x, window, 1), want)
    with np.errstate(invalid="ignore"):
        sums = naive.apply(x, starts, 1, lambda v, places, i: float(v.sum()))
        np.testing.assert_allclose(rolling.move_sum(x, window, 1), sums, rtol=1e-12, atol=1e-12)
        medians = naive.apply(x, starts, 1, naive.median)
    np.testing.assert_allclose(rolling.move_median(x, window, 1), medians, rtol=1e-12)
    clear = [i for i, s in enumerate(starts) if np.isfinite(x[s : i + 1]).all()]
    want = naive.apply(x[clear], list(range(len(clear))), 1, naive.mean)
    for name in ("move_var", "move_skew", "move_kurt", "move_slope", "move_zscore", "move_mad"):
        got = getattr(rolling, name)(x, window, 1)
        without = np.where(np.isfinite(x), x, 0.0)
        np.testing.assert_allclose(
            got[clear], getattr(rolling, name)(without, window, 1)[clear], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("n", [700, 3000])
@pytest.mark.parametrize(
    "make",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: np.exp(4 * rng.normal(size=n)),
        lambda rng, n: rng.standard_cauchy(n),
        lambda rng, n: np.where(np.arange(n) % 2, 1e6, 0) + rng.normal(size=n),
        lambda rng, n: np.where(rng.random(n) < 0.5, 1e200, rng.normal(size=n)),
        lambda rng, n: np.arange(n)[::-1] * 1e-300,
        lambda rng, n: rng.integers(0, 4, n) * 1.0,
    ],
    ids=["normal", "lognormal", "cauchy", "two modes", "huge", "falling", "few values"],
)
def test_order_statistics_of_many_chunks_and_shapes_of_data(n: int, make: Any) -> None:
    rng = np.random.default_rng(n)
    x = make(rng, n)
    x[rng.random(n) < 0.02] = np.nan
    for window in (61, 300):
        starts = naive.windows_by_count(n, window)
        for name, twin in (
            ("move_median", naive.median),
            ("move_mad", naive.mad),
            ("move_iqr", naive.iqr),
            ("move_rank", naive.rank),
        ):
            want = naive.apply(x, starts, 1, twin)
            got = getattr(rolling, name)(x, window, 1)
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * (name == "move_rank"))
