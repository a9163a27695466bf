"""Finding detectors, and series under watch that come, go, are kept and restored."""

from __future__ import annotations

import types
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph import PluginManager, hookimpl
from barograph.config import Config
from barograph.detection import Watch, find_detector, replay
from barograph.testing import check_detector


@attrs.define
class Jump:
    """Scores 1 where a value is more than 10 from the one before; good unless told to be bad."""

    name: str = "jump"
    fault: str = ""
    calls: int = 0

    def state(self, n: int) -> dict[str, Any]:
        if self.fault == "shape":
            return {"last": np.zeros(n + 1)}
        return {"last": np.full(n, np.nan)}

    def update(self, state: dict[str, Any], t_ms: int, values: Any) -> Any:
        self.calls += 1
        last = state["last"]
        with np.errstate(invalid="ignore", over="ignore"):
            out = np.where(np.abs(values - last) > 10, 1.0, 0.0)
        out[~np.isfinite(values)] = 0.0
        known = np.isfinite(values)
        last[known] = values[known]
        if self.fault == "writes":
            values[known] = 0.0
        if self.fault == "above":
            out *= 2
        if self.fault == "nan":
            out[~known] = np.nan
        if self.fault == "missing":
            out[~known] = 0.7
        if self.fault == "others" and len(out) > 1:
            out[:] = out.max()
            out[~known] = 0.0
        if self.fault == "hidden":
            out = np.where(known, out * (self.calls % 3 > 0), 0.0)
        return out

    def score(self, t_ms: Any, values: Any) -> Any:
        if self.fault == "future":
            steps = np.abs(np.diff(np.append(values, values[-1:]))) > 10
            return np.where(np.isfinite(values), steps, 0.0)
        return replay(self, t_ms, values)


def test_a_good_detector_passes() -> None:
    check_detector(Jump())


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("shape", "first axis"),
        ("writes", "wrote into the values"),
        ("above", "above 1"),
        ("nan", "is NaN"),
        ("missing", "must score 0"),
        ("others", "looks at other series"),
        ("hidden", "outside the state"),
        ("future", "score and update differ"),
    ],
)
def test_a_detector_that_breaks_a_law_fails_with_the_reason(fault: str, why: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_detector(Jump(fault=fault))
    assert why in str(caught.value)


def test_a_detector_needs_a_plain_name() -> None:
    with pytest.raises(AssertionError, match="not plain"):
        check_detector(Jump(name="My Detector"))


def plugins_with(*detectors: Any) -> PluginManager:
    module = types.ModuleType("more")

    @hookimpl
    def barograph_detectors() -> list[Any]:
        return list(detectors)

    module.barograph_detectors = barograph_detectors  # type: ignore[attr-defined]
    manager = PluginManager()
    manager.register(module, "aa")
    manager.load(Config())
    return manager


def test_a_detector_is_found_by_name_and_the_first_of_two_wins() -> None:
    one, two = Jump("jumpy"), Jump("jumpy")
    assert find_detector(plugins_with(one, two), "jumpy") is one


def test_a_name_that_is_none_is_told_with_the_nearest() -> None:
    with pytest.raises(LookupError, match='no detector "jumpi"; did you mean "jumpy"'):
        find_detector(plugins_with(Jump("jumpy")), "jumpi")


def test_what_is_no_detector_puts_its_plugin_out_by_name() -> None:
    manager = plugins_with(object())
    manager.call("barograph_detectors")
    assert any("is no Detector" in problem.what for problem in manager.problems)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "remove", "tick"]), st.integers(0, 5)), max_size=20)
)
def test_series_come_and_go_as_in_a_list(steps: list[tuple[str, int]]) -> None:
    watch, model = Watch(Jump()), []
    for i, (what, n) in enumerate(steps):
        if what == "add":
            watch.add(n)
            model += [None] * n
        elif what == "remove" and model:
            gone = {n % len(model), 2 * n % len(model)}
            watch.remove(sorted(gone))
            model = [one for j, one in enumerate(model) if j not in gone]
        else:
            values = [float((i * 7 + j * 11) % 40) for j in range(len(model))]
            wanted = [
                0.0 if old is None or abs(new - old) <= 10 else 1.0
                for old, new in zip(model, values, strict=True)
            ]
            assert watch.update(i, np.array(values)).tolist() == wanted
            model = list(values)
        assert len(watch) == len(model)


def test_a_tick_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="3 series under watch"):
        Watch(Jump(), 3).update(0, np.zeros(2))


@pytest.mark.parametrize(
    ("saved", "why"),
    [
        ({"first": np.zeros(2)}, "no state of jump"),
        ({"last": np.zeros((2, 3))}, "last is float64"),
        ({"last": np.zeros(2, np.int32)}, "last is int32"),
    ],
)
def test_a_state_of_something_else_is_refused(saved: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Watch(Jump(), 1).restore(saved)


def test_a_saved_state_is_a_copy() -> None:
    watch = Watch(Jump(), 1)
    watch.update(0, np.array([5.0]))
    kept = watch.save()
    watch.update(1, np.array([50.0]))
    again = Watch(Jump())
    again.restore(kept)
    assert again.update(1, np.array([50.0])).tolist() == [1.0]
    assert kept["last"].tolist() == [5.0]
