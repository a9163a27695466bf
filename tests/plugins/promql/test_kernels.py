"""Each kernel over windows against a loop that is plainly what Prometheus's documentation says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from promql_compare import same

from barograph.model import STALE_NAN_BITS
from barograph_promql import over_time, rates
from barograph_promql.numbers import number_of, number_text
from barograph_promql.rows import Rows, Samples
from barograph_promql.selection import Windows, dense, fresh, newest, positions

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
MILD = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 7.25])
)


def loops(v: list[float]) -> dict[str, float]:
    """One window's values by plain loops."""
    total, error = 0.0, 0.0
    for x in v:
        total, error = kahan(x, total, error)
    mean, mean_error = 0.0, 0.0
    for n, x in enumerate(v, 1):
        if math.isinf(mean) and (math.isfinite(x) or x == mean):
            continue
        mean, mean_error = kahan(x / n - mean / n, mean, mean_error)
    known = [x for x in v if not math.isnan(x)]
    return {
        "total": total if math.isinf(total) else total + error,
        "mean": mean if math.isinf(mean) else mean + mean_error,
        "greatest": max(known, default=math.nan),
        "least": min(known, default=math.nan),
        "resets": float(sum(b < a for a, b in itertools.pairwise(v))),
        "changes": float(
            sum(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in itertools.pairwise(v))
        ),
    }


def kahan(x: float, total: float, error: float) -> tuple[float, float]:
    t = total + x
    if abs(total) >= abs(x):
        error += (total - t) + x
    else:
        error += (x - t) + total
    return t, error


@st.composite
def cut(draw: st.DrawFn, values: st.SearchStrategy[float] = FLOATS) -> tuple[np.ndarray, ...]:
    """Values, and windows over them that are not empty."""
    v = draw(st.lists(values, min_size=1, max_size=30))
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, len(v) - 1), st.integers(1, len(v))), min_size=1, max_size=8
        )
    )
    low = np.array([a for a, _ in pairs])
    high = np.array([min(a + n, len(v)) for a, n in pairs])
    return np.array(v), low, high


KERNELS: dict[str, Callable[..., np.ndarray]] = {
    "total": over_time.total, "mean": over_time.mean, "greatest": over_time.greatest,
    "least": over_time.least, "resets": rates.resets, "changes": rates.changes,
}  # fmt: skip


@pytest.fixture(params=["in_turn", "one_by_one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of a kernel over windows, whatever their number and length."""
    for module in (over_time, rates):
        monkeypatch.setattr(
            module, "one_by_one", lambda low, high, least=0: request.param == "one_by_one"
        )
    return str(request.param)


@pytest.mark.parametrize("name", KERNELS)
@given(case=cut())
def test_a_kernel_equals_its_loop(name: str, way: str, case: tuple[np.ndarray, ...]) -> None:
    v, low, high = case
    if name == "mean" and way == "one_by_one":
        v = np.clip(v, -1e6, 1e6)
    with np.errstate(all="ignore"):
        got = KERNELS[name](v, low, high)
    for value, a, b in zip(got.tolist(), low, high, strict=True):
        want = loops(v[a:b].tolist())[name]
        if name == "mean" and way == "one_by_one":
            assert same(value, want, 1e-9) or abs(value - want) < 1e-9
        else:
            assert same(value, want, 0.0), f"{value} for {want} over {v[a:b].tolist()}"


@given(cut(st.sampled_from([1.0, 2.0, math.inf, -math.inf, math.nan, 1e308, -1e308])))
def test_both_ways_agree_on_what_is_not_finite(case: tuple[np.ndarray, ...]) -> None:
    v, low, high = case
    with np.errstate(all="ignore"):
        for kernel in (over_time.total, over_time.mean, over_time.deviation):
            ways = []
            for alone in (False, True):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(over_time, "one_by_one", lambda *_, alone=alone: alone)
                    ways.append(kernel(v, low, high))
            finite = np.isfinite(ways[0])
            assert (finite == np.isfinite(ways[1])).all()
            assert np.array_equal(ways[0][~finite], ways[1][~finite], equal_nan=True)


def test_few_long_windows_are_taken_one_by_one() -> None:
    assert over_time.one_by_one(np.array([0]), np.array([86_400]))
    assert not over_time.one_by_one(np.array([0]), np.array([999]), over_time.LONG)
    assert not over_time.one_by_one(np.zeros(2000, np.int64), np.full(2000, 30))
    assert not over_time.one_by_one(np.zeros(0, np.int64), np.zeros(0, np.int64))


@given(cut(st.floats(-1e6, 1e6)))
def test_variance_is_the_mean_square_of_deviations(way: str, case: tuple[np.ndarray, ...]) -> None:
    v, low, high = case
    got = over_time.variance(v, low, high)
    for value, a, b in zip(got, low, high, strict=True):
        assert math.isclose(value, float(np.var(v[a:b])), rel_tol=1e-6, abs_tol=1e-3)


@given(cut(st.floats(-1e6, 1e6)), st.floats(0, 1))
def test_a_quantile_is_numpys(way: str, case: tuple[np.ndarray, ...], q: float) -> None:
    v, low, high = case
    got = over_time.quantile(v, low, high, np.full(len(low), q))
    for value, a, b in zip(got, low, high, strict=True):
        assert math.isclose(value, float(np.quantile(v[a:b], q)), rel_tol=1e-9, abs_tol=1e-6)


@given(cut(MILD), st.sampled_from([-0.5, 1.5, math.nan, 0.0, 1.0]))
def test_nan_is_the_least_of_a_window(way: str, case: tuple[np.ndarray, ...], q: float) -> None:
    v, low, high = case
    with np.errstate(all="ignore"):
        got = over_time.quantile(v, low, high, np.full(len(low), q))
    outside = {-0.5: -math.inf, 1.5: math.inf}
    for value, a, b in zip(got.tolist(), low, high, strict=True):
        window = sorted(v[a:b].tolist(), key=lambda x: (not math.isnan(x), x))
        if q == 0 and len(window) > 1:
            want = window[0] + window[1] * 0  # what is next weighs nothing, but NaN and Inf do
        elif q == 1:
            want = window[-1] + window[-1] * 0
        elif q == 0:
            want = window[0] + window[0] * 0
        else:
            want = outside.get(q, math.nan)
        assert same(value, want, 1e-12)


@given(cut(st.floats(0, 1e6)), st.booleans(), st.booleans())
def test_an_increase_is_the_growth_stretched(
    way: str, case: tuple[np.ndarray, ...], counter: bool, rate: bool
) -> None:
    v, low, high = case
    keep = high - low >= 2
    low, high = low[keep], high[keep]
    t = 1000 * np.arange(len(v)) ** 2 + 7
    start, end = t[low] - 1500, t[high - 1] + 300
    with np.errstate(all="ignore"):
        got = rates.extrapolated(
            t, v, low, high, start, end,
            counter=counter, per_second_of_ms=60_000 if rate else 0,
        )  # fmt: skip
    for i, value in enumerate(got.tolist()):
        want = increase(
            t[low[i] : high[i]], v[low[i] : high[i]], int(start[i]), int(end[i]), counter
        )
        assert same(value, want / 60 if rate else want, 1e-12)


def increase(t: np.ndarray, v: np.ndarray, start: int, end: int, counter: bool) -> float:
    times, values = t.tolist(), v.tolist()
    grown = values[-1] - values[0]
    if counter:
        for a, b in itertools.pairwise(values):
            grown += a if b < a else 0.0
    sampled = (times[-1] - times[0]) / 1000
    interval = sampled / (len(times) - 1)
    before, after = (times[0] - start) / 1000, (end - times[-1]) / 1000
    if counter and grown > 0 and values[0] >= 0:
        before = min(before, sampled * (values[0] / grown))
    stretched = sampled
    for gap in (before, after):
        stretched += gap if gap < interval * 1.1 else interval / 2
    return float(grown * (stretched / sampled))


@given(cut(st.floats(-1e3, 1e3)))
def test_the_line_is_the_least_squares_one(way: str, case: tuple[np.ndarray, ...]) -> None:
    v, low, high = case
    keep = high - low >= 2
    low, high = low[keep], high[keep]
    t = 1_700_000_000_000 + 1000 * np.arange(len(v))
    with np.errstate(all="ignore"):
        slope, value = rates.regression(t, v, low, high, t[low])
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        want = np.polyfit((t[a:b] - t[a]) / 1000, v[a:b], 1)
        assert np.allclose([slope[i], value[i]], want, rtol=1e-6, atol=1e-6)


@st.composite
def stored(draw: st.DrawFn) -> Samples:
    """Samples of a few series, of the same times or not."""
    shared = draw(st.booleans())
    times = st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True).map(sorted)
    first = draw(times)
    columns = [first if shared else draw(times) for _ in range(draw(st.integers(1, 4)))]
    values = [draw(st.lists(st.sampled_from([1.0, 2.0, math.nan, STALE]),
                            min_size=len(c), max_size=len(c))) for c in columns]  # fmt: skip
    offsets = np.append(0, np.cumsum([len(c) for c in columns]))
    return Samples(
        [(("i", str(i)),) for i in range(len(columns))],
        offsets, np.concatenate(columns), np.array([x for v in values for x in v]),
    )  # fmt: skip


STALE = float(np.array([STALE_NAN_BITS], np.int64).view(np.float64)[0])


def is_stale(value: float) -> bool:
    return bool(np.array([value]).view(np.int64)[0] == STALE_NAN_BITS)


@given(stored(), st.integers(-5, 45), st.integers(1, 9), st.integers(1, 6), st.integers(0, 20))
def test_the_newest_sample_is_found(
    samples: Samples, first: int, step: int, count: int, lookback: int
) -> None:
    at = first + step * np.arange(count)
    rows = newest(samples, at, lookback)
    times = newest(samples, at, lookback, times=True)
    assert rows.labels == times.labels
    for i, labels in enumerate(samples.labels):
        row = rows.labels.index(labels) if labels in rows.labels else None
        a, b = samples.offsets[i], samples.offsets[i + 1]
        for k, t in enumerate(at):
            before = [j for j in range(a, b) if samples.t_ms[j] <= t]
            last = before[-1] if before else None
            there = (
                last is not None
                and samples.t_ms[last] >= t - lookback
                and not is_stale(float(samples.values[last]))
            )
            assert (row is not None and bool(rows.there[row, k])) == there
            if there:
                assert same(float(rows.values[row, k]), float(samples.values[last]))
                assert times.values[row, k] == samples.t_ms[last] / 1000


@given(stored(), st.integers(-5, 45), st.integers(1, 9), st.integers(1, 6), st.integers(0, 20))
def test_a_window_holds_what_lies_in_it(
    samples: Samples, first: int, step: int, count: int, range_: int
) -> None:
    end = first + step * np.arange(count)
    kept = fresh(samples)
    found = Windows(kept, end - range_, end)
    low, high = found.places(0, len(kept.labels)) if kept.labels else (end[:0], end[:0])
    some = np.zeros(len(end), np.bool_)
    for i, labels in enumerate(samples.labels):
        row = kept.labels.index(labels) if labels in kept.labels else None
        a, b = samples.offsets[i], samples.offsets[i + 1]
        for k, t in enumerate(end):
            want = [
                int(samples.t_ms[j]) for j in range(a, b)
                if t - range_ <= samples.t_ms[j] <= t and not is_stale(float(samples.values[j]))
            ]  # fmt: skip
            some[k] |= bool(want)
            if row is None:
                assert not want
            else:
                assert kept.t_ms[low[row, k] : high[row, k]].tolist() == want
    assert (found.filled() == some).all()


@given(stored(), st.lists(st.integers(-10, 60), min_size=1, max_size=8).map(sorted))
def test_one_search_for_all_equals_one_for_each(samples: Samples, at: list[int]) -> None:
    for after in (False, True):
        found = positions(samples, 0, len(samples.labels), np.array(at), after=after)
        for i in range(len(samples.labels)):
            a, b = samples.offsets[i], samples.offsets[i + 1]
            side = "right" if after else "left"
            assert (found[i] == a + samples.t_ms[a:b].searchsorted(at, side)).all()


def test_times_far_apart_are_searched_one_by_one() -> None:
    times = np.array([-(2**59), 5, 2**59, 4, 6])
    samples = Samples([(("i", "0"),), (("i", "1"),)], np.array([0, 3, 5]), times, np.zeros(5))
    found = positions(samples, 0, 2, np.array([4, 5, 2**60]), after=True)
    assert found.tolist() == [[1, 2, 3], [4, 4, 5]]


def test_rows_turn_into_samples_of_what_is_there() -> None:
    there = np.array([[True, False, True], [False, False, False]])
    rows = Rows([(("i", "0"),), (("i", "1"),)], np.arange(6.0).reshape(2, 3), there)
    samples = dense(rows, np.array([10, 20, 30]))
    assert samples.labels == [(("i", "0"),)]
    assert samples.offsets.tolist() == [0, 2]
    assert samples.t_ms.tolist() == [10, 30]
    assert samples.values.tolist() == [0.0, 2.0]


@given(FLOATS)
def test_a_number_reads_back_from_its_text(value: float) -> None:
    text = number_text(value)
    assert "e" not in text.lower().replace("nan", "")
    back = number_of(text)
    assert back is not None
    assert same(back, value, 0.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("+Inf", math.inf), ("inf", math.inf), ("-Infinity", -math.inf), (".5", 0.5),
     ("5.", 5.0), ("1e3", 1000.0), ("0x1p-2", 0.25), ("1_0", 10.0), ("", None), ("x", None),
     ("1__0", None), ("_1", None), ("1_", None), ("0x_1p4", 16.0), ("0x1_0p0", 16.0),
     ("1_.5", None), ("1e1_0", 1e10), ("i_nf", None),
     (" 1", None), ("0x10", None), ("١", None), ("0x1p99999", None)],
)  # fmt: skip
def test_a_bound_is_read_as_go_reads_it(text: str, value: float | None) -> None:
    assert number_of(text) == value
