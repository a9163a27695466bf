"""Series that share their times are evaluated together: the same values as one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from promql_compare import same

from barograph.clock import SystemClock
from barograph.columns import Columns
from barograph.model import STALE_NAN_BITS
from barograph_promql.aggregation import aggregate
from barograph_promql.grids import GRID_FUNCTIONS
from barograph_promql.labelsets import LabelBook, LabelList, grouped
from barograph_promql.limits import Budget
from barograph_promql.plan import Aggregate
from barograph_promql.range_functions import apply
from barograph_promql.rows import Rows, Samples
from barograph_promql.selection import Windows, fresh, newest

STALE = float(np.array([STALE_NAN_BITS], np.int64).view(np.float64)[0])
VALUES = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(0, 50).map(float),
    st.sampled_from([0.0, 0.1, 1e17, -1e17, 1e-300, math.nan, math.inf, -math.inf, STALE]),
)


def budget() -> Budget:
    return Budget(SystemClock(), 60.0, 10**9, 10**6, None)


@st.composite
def grids(draw: st.DrawFn, values: st.SearchStrategy[float] = VALUES) -> tuple[Samples, Samples]:
    """The same samples as a grid, and flat."""
    n, count = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    gaps = draw(st.lists(st.integers(1, 30), min_size=n, max_size=n))
    times = np.cumsum(np.array(gaps, np.int64)) * 1000
    cells = draw(st.lists(values, min_size=n * count, max_size=n * count))
    grid = np.array(cells, np.float64).reshape(n, count)
    labels = [(("__name__", "m"), ("i", str(i))) for i in range(count)]
    columns = Columns.shared(times, grid)
    flat = Samples(list(labels), columns.offsets, columns.t_ms.copy(), columns.values.copy())
    return Samples(LabelList(labels), columns.offsets, columns=columns), flat


def windows_of(samples: Samples, at: np.ndarray, range_ms: int) -> Windows:
    return Windows(fresh(samples), at - range_ms, at)


def as_rows(rows: Rows) -> dict[tuple[tuple[str, str], ...], list[float | None]]:
    return {
        labels: [v if t else None for v, t in zip(values, there, strict=True)]
        for labels, values, there in zip(
            rows.labels, rows.values.tolist(), rows.there.tolist(), strict=True
        )
    }


def agree(one: Rows, other: Rows) -> None:
    mine, theirs = as_rows(one), as_rows(other)
    assert list(mine) == list(theirs)
    for labels, values in mine.items():
        for a, b in zip(values, theirs[labels], strict=True):
            assert (a is None) == (b is None), (labels, values, theirs[labels])
            if a is not None and b is not None:
                assert same(a, b, 1e-12), (labels, a, b)


@pytest.mark.parametrize("name", sorted(GRID_FUNCTIONS))
@settings(max_examples=60)
@given(grids(), st.integers(1, 400), st.integers(1, 60), st.integers(1, 25))
def test_a_window_on_a_grid_has_the_value_that_it_has_alone(
    name: str, both: tuple[Samples, Samples], range_s: int, step_s: int, steps: int
) -> None:
    at = np.arange(steps, dtype=np.int64) * step_s * 1000
    found = [apply(name, windows_of(one, at, range_s * 1000), at, [], budget()) for one in both]
    agree(*found)


@given(grids(), st.integers(1, 400), st.integers(1, 60), st.integers(1, 25), st.booleans())
def test_the_newest_sample_on_a_grid_is_the_one_that_it_is_alone(
    both: tuple[Samples, Samples], lookback_s: int, step_s: int, steps: int, times: bool
) -> None:
    at = np.arange(steps, dtype=np.int64) * step_s * 1000
    agree(*[newest(one, at, lookback_s * 1000, times=times) for one in both])


@given(st.floats(1e-3, 1e3), st.floats(1e9, 1e18), st.integers(5, 40))
def test_a_sum_after_values_far_greater_is_not_lost(small: float, great: float, n: int) -> None:
    """Where a difference of running sums would have no digits left."""
    values = np.array([great] * 5 + [small] * n)
    times = np.arange(len(values), dtype=np.int64) * 1000
    columns = Columns.shared(times, values[:, None])
    samples = Samples(LabelList([(("i", "0"),)]), columns.offsets, columns=columns)
    at = np.arange(5000 + 2000, int(times[-1]) + 1, 1000)
    for name, want in (("sum_over_time", 3 * small), ("avg_over_time", small)):
        rows = apply(name, Windows(samples, at - 2000, at), at, [], budget())
        assert np.allclose(rows.values, want, rtol=1e-14, atol=0)


CANCELLING = st.one_of(
    st.sampled_from([0.1, 0.2, -0.3, 0.0, 1e17, -1e17, 1.0, 3.3]), st.floats(-1, 1), st.floats()
)


@pytest.mark.parametrize("name", ["avg_over_time", "max_over_time", "rate", "sum_over_time"])
@settings(max_examples=60)
@given(grids(CANCELLING), st.integers(1, 400), st.integers(1, 60))
def test_a_grid_gives_the_same_bits(
    name: str, both: tuple[Samples, Samples], range_s: int, step_s: int
) -> None:
    """What is made of a value, such as ``ceil``, may hang on its last one."""
    at = np.arange(20, dtype=np.int64) * step_s * 1000
    one, other = (
        apply(name, windows_of(samples, at, range_s * 1000), at, [], budget()) for samples in both
    )
    assert one.labels == other.labels
    assert np.array_equal(one.there, other.there)
    assert np.array_equal(one.values[one.there], other.values[other.there], equal_nan=True)


@given(
    st.integers(1, 3), st.integers(2, 4), st.integers(64, 120),
    st.sampled_from(["topk", "bottomk"]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_topk_of_many_rows_is_that_of_all_of_them(
    k: int, steps: int, count: int, op: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, (count, steps)).astype(np.float64)  # many are equal
    rows = Rows([(("i", str(i)),) for i in range(count)], values, np.ones(values.shape, bool))
    found = as_rows(aggregate(Aggregate(op, None, None), rows, np.full(steps, float(k)), budget()))  # type: ignore[arg-type]
    for step in range(steps):
        keys = values[:, step] * (-1 if op == "topk" else 1)
        want = {str(i) for i in np.argsort(keys, kind="stable")[:k]}
        got = {dict(labels)["i"] for labels, row in found.items() if row[step] is not None}
        assert got == want


LABELS = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3), max_size=8
)


@given(LABELS, st.lists(st.sampled_from("abcd"), max_size=3, unique=True), st.booleans())
def test_what_a_list_of_labels_remembers_is_what_would_be_worked_out(
    found: list[dict[str, str]], names: list[str], without: bool
) -> None:
    plain = [(("__name__", "m"), *sorted(one.items())) for one in found]
    kept = LabelList(plain)
    for _ in range(2):
        mine, theirs = (grouped(one, tuple(names), without) for one in (kept, plain))
        assert mine[0] == theirs[0]
        assert mine[1].tolist() == theirs[1].tolist()
        assert kept.nameless() == [tuple(p for p in one if p[0] != "__name__") for one in plain]
        assert kept.distinct == (len(set(plain)) == len(plain))


class Anything:
    """A store to be known by."""


def test_a_book_keeps_no_more_series_than_it_may() -> None:
    from barograph.model import Labels, Metric, Ref, Series
    from barograph_promql import labelsets

    book, store = LabelBook(), Anything()
    series = [Series(Ref(i), Labels.of("m", {"i": str(i)}), Metric("m")) for i in range(2000)]
    first = book.labels(store, np.arange(2000), series)  # type: ignore[arg-type]
    assert book.labels(store, np.arange(2000), series) is first  # type: ignore[arg-type]
    for n in range(1, 40):
        book.labels(store, np.arange(n, 2000), series[n:])  # type: ignore[arg-type]
    kept = book._stores[store]  # type: ignore[index]
    assert sum(len(one) for one in kept.values()) <= labelsets.MAX_SERIES
    assert book.labels(store, np.arange(2000), series) is not first  # type: ignore[arg-type]
    del store
    assert not book._stores


class Unhashable:
    """A store that is equal to others, and so no key."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def test_a_store_that_cannot_be_a_key_is_asked_all_the_same() -> None:
    from barograph.model import Labels, Metric, Ref, Series

    series = [Series(Ref(1), Labels.of("m"), Metric("m"))]
    found = LabelBook().labels(Unhashable(), np.array([1]), series)  # type: ignore[arg-type]
    assert found == [(("__name__", "m"),)]
