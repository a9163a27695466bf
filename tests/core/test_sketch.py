"""The quantile sketch: its error, its order, and that merging is exact."""

from __future__ import annotations

import math

import numpy as np
from core import naive
from hypothesis import given
from hypothesis import strategies as st

from barograph.sketch import ACCURACY, count_runs, keys_of, quantile, value_of

normal = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
any_number = st.one_of(normal, st.floats(allow_nan=False))


def sketch(values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    n = len(values)
    groups, ones = np.zeros(n, np.int64), np.ones(n, np.int64)
    _, keys, counts = count_runs(groups, keys_of(np.array(values, np.float64)), ones, 1)
    return keys, counts


@given(st.lists(normal, min_size=1, max_size=80), st.floats(0, 1))
def test_a_quantile_is_within_one_percent(values: list[float], q: float) -> None:
    assert ACCURACY == 0.01
    naive.near(quantile(*sketch(values), q), naive.Window(values).quantile(q))


@given(st.lists(any_number, min_size=2, max_size=30))
def test_keys_are_ordered_as_the_values_are(values: list[float]) -> None:
    keys = keys_of(np.array(sorted(values)))
    assert (np.diff(keys.astype(np.int64)) >= 0).all()


@given(st.lists(any_number, min_size=1, max_size=30))
def test_a_bucket_s_middle_lies_in_its_bucket(values: list[float]) -> None:
    keys = keys_of(np.array([v for v in values if abs(v) > 1e-300 or v == 0] or [1.0]))
    middle = value_of(keys)
    assert keys_of(middle).tolist() == keys.tolist()


def test_zero_and_infinities_have_buckets_of_their_own() -> None:
    values = np.array([-np.inf, -1.0, -0.0, 0.0, 5e-324, 1.0, np.finfo(float).max, np.inf])
    keys = keys_of(values)
    assert keys[2] == keys[3] == 0
    assert len(set(keys.tolist())) == 7
    found = value_of(keys)
    assert found[0] == -np.inf
    assert found[-1] == np.inf
    assert np.isfinite(found[1:-1]).all()


def test_the_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(quantile(np.empty(0, np.int32), np.empty(0, np.int64), 0.5))


@given(st.lists(st.lists(any_number, max_size=20), min_size=1, max_size=6))
def test_merging_sketches_equals_the_sketch_of_all(parts: list[list[float]]) -> None:
    sketches = [sketch(part) for part in parts]
    keys = np.concatenate([k for k, _ in sketches])
    counts = np.concatenate([c for _, c in sketches])
    _, merged, merged_counts = count_runs(np.zeros(len(keys), np.int64), keys, counts, 1)
    whole, whole_counts = sketch([v for part in parts for v in part])
    assert merged.tolist() == whole.tolist()
    assert merged_counts.tolist() == whole_counts.tolist()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 5), st.integers(1, 9)), max_size=30))
def test_runs_are_counted_for_each_group(rows: list[tuple[int, int, int]]) -> None:
    groups, keys, counts = (np.array([r[i] for r in rows], np.int64) for i in range(3))
    offsets, out_keys, out_counts = count_runs(groups, keys.astype(np.int32), counts, 5)
    for group in range(5):
        wanted: dict[int, int] = {}
        for g, key, count in rows:
            if g == group:
                wanted[key] = wanted.get(key, 0) + count
        a, b = int(offsets[group]), int(offsets[group + 1])
        found = list(zip(out_keys[a:b].tolist(), out_counts[a:b].tolist(), strict=True))
        assert found == sorted(wanted.items())
