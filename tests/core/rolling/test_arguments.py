"""Shapes, types, axes and mistakes, alike for all moving statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from barograph import rolling

ONE_ROW = [
    "move_sum",
    "move_mean",
    "move_std",
    "move_var",
    "move_min",
    "move_max",
    "move_median",
    "move_quantile",
    "move_rank",
    "move_argmin",
    "move_argmax",
    "move_mad",
    "move_iqr",
    "move_zscore",
    "move_slope",
    "move_skew",
    "move_kurt",
]
ALL = [*ONE_ROW, "ewm_mean", "ewm_std", "move_cov", "move_corr"]


def call(name: str, a: Any, *args: Any, **options: Any) -> Any:
    function = getattr(rolling, name)
    if name in ("move_cov", "move_corr"):
        return function(a, np.sin(np.arange(np.size(a))).reshape(np.shape(a)), *args, **options)
    return function(a, *args, **options)


@pytest.mark.parametrize("name", [*ONE_ROW, "ewm_mean", "ewm_std"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_every_axis_is_done_as_rows_are(name: str, axis: int) -> None:
    a = np.random.default_rng(1).normal(size=(20, 21, 22))
    got = call(name, a, 5, axis=axis)
    want = np.apply_along_axis(lambda row: call(name, row, 5), axis, a)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ALL)
def test_float32_stays_and_everything_else_becomes_float64(name: str) -> None:
    a = np.arange(30) % 7
    want = call(name, a.astype(np.float64), 5)
    for dtype in (np.int8, np.uint64, np.float16, bool):
        got = call(name, a.astype(dtype), 5)
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, call(name, a.astype(dtype).astype(np.float64), 5))
    got = call(name, a.astype(np.float32), 5)
    if name not in ("move_cov", "move_corr"):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want.astype(np.float32))
    assert call(name, [1, 2, 3, 4], 2).shape == (4,)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("name", ["move_sum", "move_mean", "move_var", "move_std", "move_min"])
def test_long_rows_of_float32_are_computed_in_float64(name: str, gaps: bool) -> None:
    rng = np.random.default_rng(11)
    a = (1e4 + rng.normal(size=(3, 3000))).astype(np.float32)
    if gaps:
        a[rng.random(a.shape) < 0.05] = np.nan
    got = call(name, a, 60, 5)
    assert got.dtype == np.float32
    want = call(name, a.astype(np.float64), 60, 5)
    np.testing.assert_allclose(got, want, rtol=1e-7)


def test_pairs_are_float32_only_if_both_are() -> None:
    a = np.arange(9, dtype=np.float32)
    assert rolling.move_cov(a, a, 3).dtype == np.float32
    assert rolling.move_cov(a, a.astype(np.float64), 3).dtype == np.float64


@pytest.mark.parametrize("name", ALL)
def test_views_and_read_only_arrays_are_read_and_left_alone(name: str) -> None:
    a = np.random.default_rng(2).normal(size=60)
    want = call(name, a[::-2].copy(), 4)
    np.testing.assert_array_equal(call(name, a[::-2], 4), want)
    a.flags.writeable = False
    before = a.copy()
    np.testing.assert_array_equal(call(name, a, 4), call(name, before, 4))
    np.testing.assert_array_equal(a, before)


@pytest.mark.parametrize("name", [n for n in ALL if not n.startswith("ewm")])
@pytest.mark.parametrize(
    ("window", "min_count", "error", "says"),
    [
        (0, None, ValueError, "from 1 to 10"),
        (-1, None, ValueError, "from 1 to 10"),
        (11, None, ValueError, "from 1 to 10"),
        (2.5, None, TypeError, "number of values"),
        (3, 0, ValueError, "at least 1"),
        (3, 4, ValueError, "at most 3"),
        (3, 1.5, TypeError, "min_count"),
    ],
)
def test_windows_and_counts_that_cannot_be_are_told(
    name: str, window: Any, min_count: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(name, np.arange(10.0), window, min_count)


@pytest.mark.parametrize("name", ALL)
def test_arrays_that_cannot_be_are_told(name: str) -> None:
    with pytest.raises(ValueError, match="at least one axis"):
        call(name, 3.0, 1)
    with pytest.raises(TypeError, match="real numbers"):
        call(name, np.arange(4) * 1j, 2)
    with pytest.raises(ValueError, match="out of bounds"):
        call(name, np.arange(4.0), 2, axis=1)
    if not name.startswith("ewm"):
        with pytest.raises(ValueError, match="from 1 to 0"):
            call(name, np.empty(0), 1)


@pytest.mark.parametrize("name", ALL)
def test_times_that_cannot_be_are_told(name: str) -> None:
    x = np.arange(4.0)
    with pytest.raises(ValueError, match="one time a value"):
        call(name, x, 2, t=[1, 2, 3])
    with pytest.raises(ValueError, match=r"t\[2\] is less than t\[1\]"):
        call(name, x, 2, t=[1, 3, 2, 4])
    with pytest.raises(ValueError, match="not finite"):
        call(name, x, 2, t=[1, np.nan, 2, 4])
    with pytest.raises(ValueError, match="greater than 0"):
        call(name, x, 0, t=[1, 2, 3, 4])


def test_times_may_be_integers_floats_or_datetimes() -> None:
    x = np.random.default_rng(3).normal(size=50)
    seconds = np.cumsum(np.random.default_rng(4).integers(0, 5, 50))
    want = rolling.move_mean(x, 7, t=seconds)
    np.testing.assert_array_equal(rolling.move_mean(x, 7.0, t=seconds.astype(float)), want)
    dates = np.datetime64("2024-02-28T23:59:30", "s") + seconds.astype("m8[s]")
    np.testing.assert_array_equal(rolling.move_mean(x, np.timedelta64(7, "s"), t=dates), want)
    np.testing.assert_array_equal(
        rolling.move_mean(x, np.timedelta64(7000, "ms"), t=dates.astype("M8[ns]")), want
    )


def test_a_fraction_of_an_integer_time_is_not_cut_off() -> None:
    t = np.arange(6)
    np.testing.assert_array_equal(rolling.move_sum(np.ones(6), 2.5, t=t), [1, 2, 3, 3, 3, 3])


def test_wild_options_are_told() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        rolling.move_quantile([1.0, 2.0], 2, q=1.5)
    with pytest.raises(ValueError, match="ddof is -1"):
        rolling.move_var([1.0, 2.0], 2, ddof=-1)
    with pytest.raises(ValueError, match="0 and 1 only"):
        rolling.ewm_std([1.0, 2.0], 2, ddof=2)
    with pytest.raises(ValueError, match="span"):
        rolling.ewm_mean([1.0, 2.0], 0.5)
    with pytest.raises(ValueError, match="same shape"):
        rolling.move_cov([1.0, 2.0], [1.0], 1)
    with pytest.raises(AttributeError, match="no attribute 'move_mode'"):
        rolling.move_mode  # noqa: B018
