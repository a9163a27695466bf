"""Streaming statistics: the same as batch, whatever comes, goes and is saved in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from barograph import rolling

READINGS: dict[str, Any] = {
    "sum": lambda x, w, m: rolling.move_sum(x, w, m),
    "mean": lambda x, w, m: rolling.move_mean(x, w, m),
    "var": lambda x, w, m: rolling.move_var(x, w, m),
    "std": lambda x, w, m: rolling.move_std(x, w, m),
    "zscore": lambda x, w, m: rolling.move_zscore(x, w, m),
    "min": lambda x, w, m: rolling.move_min(x, w, m),
    "max": lambda x, w, m: rolling.move_max(x, w, m),
    "median": lambda x, w, m: rolling.move_median(x, w, m),
    "mad": lambda x, w, m: rolling.move_mad(x, w, m),
    "ewm_mean": lambda x, w, m: rolling.ewm_mean(x, w),
    "ewm_std": lambda x, w, m: rolling.ewm_std(x, w),
}


def padded(x: Any, window: int) -> Any:
    """A window of missing values first: batch windows by count need that many."""
    return np.concatenate([np.full(window, np.nan), x])


def assert_reads_as_batch(state: Any, slot: int, history: list[float]) -> None:
    x = padded(np.array(history), state.window)
    for name, batch in READINGS.items():
        want = batch(x, state.window, state.min_count)[-1]
        size = float(np.nanmax(np.abs(x), initial=0.0))
        np.testing.assert_allclose(
            getattr(state, name)()[slot], want, rtol=1e-9, atol=1e-9 + 1e-13 * size, err_msg=name
        )


class Streams(RuleBasedStateMachine):
    """Series that come and go; a model keeps what each slot has seen."""

    @initialize(window=st.integers(1, 12) | st.integers(60, 70), data=st.data())
    def start(self, window: int, data: Any) -> None:
        self.state = rolling.MovingState(
            window, min_count=data.draw(st.integers(1, window)), span=window
        )
        self.seen: dict[int, list[float]] = {}
        self.rng = np.random.default_rng(0)

    @rule(series=st.integers(1, 5))
    def add(self, series: int) -> None:
        for slot in self.state.add(series).tolist():
            assert slot not in self.seen
            self.seen[slot] = []

    @rule(data=st.data())
    def remove(self, data: Any) -> None:
        if self.seen:
            slot = data.draw(st.sampled_from(sorted(self.seen)))
            self.state.remove([slot])
            del self.seen[slot]

    @rule(ticks=st.integers(1, 9), kind=st.sampled_from(["noise", "gaps", "far", "ties"]))
    def tick(self, ticks: int, kind: str) -> None:
        for _ in range(ticks):
            values = self.rng.normal(size=len(self.state))
            if kind == "gaps":
                values[self.rng.random(len(values)) < 0.4] = np.nan
            elif kind == "far":
                values += 1e9
            elif kind == "ties":
                values = np.round(values)
            for slot in range(len(values)):
                if slot in self.seen:
                    self.seen[slot].append(float(values[slot]))
                else:
                    values[slot] = np.nan
            self.state.update(values)

    @rule()
    def save_and_restore(self) -> None:
        self.state = rolling.MovingState.from_bytes(self.state.to_bytes())

    @invariant()
    def reads_as_batch(self) -> None:
        for slot, history in getattr(self, "seen", {}).items():
            if history:
                assert_reads_as_batch(self.state, slot, history)


Streams.TestCase.settings = settings(max_examples=20, stateful_step_count=12, deadline=None)
TestStreams = Streams.TestCase


@given(
    window=st.integers(1, 100),
    seed=st.integers(0, 2**32 - 1),
    q=st.floats(0, 1),
    gaps=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=30)
def test_quantiles_read_as_batch(window: int, seed: int, q: float, gaps: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(250, 3)) if seed % 2 else rng.integers(0, 9, (250, 3)) * 1.0
    x[rng.random(x.shape) < gaps] = np.nan
    state = rolling.MovingState(window, 3, min_count=1, parts=["order"])
    for row in x:
        state.update(row)
    for slot in range(3):
        want = rolling.move_quantile(padded(x[:, slot], window), window, 1, q=q)[-1]
        np.testing.assert_allclose(state.quantile(q)[slot], want, rtol=1e-12, atol=1e-15)
        want = rolling.move_mad(padded(x[:, slot], window), window, 1)[-1]
        np.testing.assert_allclose(state.mad()[slot], want, rtol=1e-12, atol=1e-15)


def test_a_million_ticks_do_not_drift() -> None:
    rng = np.random.default_rng(1)
    series = 4
    state = rolling.MovingState(60, series, min_count=1, span=60)
    pool = 1e9 + 1e-2 * rng.normal(size=(10_000, series))
    pool[5000:, 1] -= 1e9
    pool[::1000, 2] = 1e14
    ticks = 1_000_000
    for i in range(ticks):
        state.update(pool[i % 10_000])
    last = pool[np.arange(ticks - 6000, ticks) % 10_000]
    for name in READINGS:
        batch = READINGS[name](np.ascontiguousarray(last.T), 60, 1)[:, -1]
        np.testing.assert_allclose(getattr(state, name)(), batch, rtol=1e-9, err_msg=name)


def test_jumps_and_outliers_leave_nothing_behind() -> None:
    rng = np.random.default_rng(2)
    x = 1e-3 * rng.normal(size=(400, 40))
    x[100, ::3] = 1e9
    x[150:, 1::3] += 1e9
    state = rolling.MovingState(50, 40, min_count=1)
    for i, row in enumerate(x):
        state.update(row)
        if i in (99, 120, 149, 151, 160, 199, 200, 250, 399):
            for slot in range(40):
                assert_reads_as_batch(state, slot, x[: i + 1, slot].tolist())
            want = rolling.move_var(x[: i + 1], min(50, i + 1), 1, axis=0)[-1]
            np.testing.assert_allclose(state.var(), want, rtol=1e-9)


def test_infinities_and_overflows_pass_without_a_trace() -> None:
    state = rolling.MovingState(5, 2, min_count=1)
    x = np.array([[1, 1], [np.inf, 1e200], [2, -1e200], [np.nan, 3], [3, 4]] + [[4, 5]] * 3)
    x = np.concatenate([x, np.arange(20.0).reshape(10, 2) % 7])
    for i, row in enumerate(x):
        state.update(row)
        if i >= 7:
            for slot in range(2):
                want = rolling.move_var(x[: i + 1, slot], 5, 1)[-1]
                np.testing.assert_allclose(state.var()[slot], want, rtol=1e-9, atol=1e-15)
    assert np.isfinite(state.mean()).all()


def test_removed_slots_are_used_again_and_start_empty() -> None:
    state = rolling.MovingState(3, 4, min_count=1)
    state.update([1.0, 2.0, 3.0, 4.0])
    state.remove([1, 2])
    assert np.isnan(state.mean()[[1, 2]]).all()
    assert np.isnan(state.ewm_mean()[[1, 2]]).all()
    assert state.add(3).tolist() == [1, 2, 4]
    state.update([5.0, 6.0, np.nan, 8.0, 9.0])
    np.testing.assert_array_equal(state.mean(), [3.0, 6.0, np.nan, 6.0, 9.0])
    np.testing.assert_array_equal(state.median(), [3.0, 6.0, np.nan, 6.0, 9.0])


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="at least 1 tick"):
        rolling.MovingState(0)
    with pytest.raises(ValueError, match="from 1 to 3"):
        rolling.MovingState(3, min_count=4)
    with pytest.raises(ValueError, match=r"unknown parts \['sort'\]"):
        rolling.MovingState(3, parts=["sort"])
    state = rolling.MovingState(3, 2, parts=["sums"])
    with pytest.raises(ValueError, match="2 slots"):
        state.update([1.0])
    with pytest.raises(ValueError, match='add "order" to its parts'):
        state.median()
    with pytest.raises(IndexError, match="from 0 to 1"):
        state.remove([2])
    state.remove([0])
    with pytest.raises(ValueError, match="free already"):
        state.remove([0, 1])
    with pytest.raises(ValueError, match="not a saved MovingState"):
        rolling.MovingState.from_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a saved MovingState"):
        rolling.MovingState.from_bytes(state.to_bytes()[:-30])
