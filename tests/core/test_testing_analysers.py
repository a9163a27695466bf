"""The check of analysers lets good ones pass and says what is wrong with bad ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from barograph import PluginManager, hookimpl
from barograph.config import Config
from barograph.contracts import Analyser
from barograph.findings import Evidence, Observation
from barograph.inquiry import Inquiry
from barograph.model import Labels
from barograph.testing import check_analyser


class Highest:
    """Tells each series that was above 90, once."""

    name = "highest"
    interval_s = 60.0
    window_s = 86_400.0
    query = '{__name__!=""}'

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        for labels, column in data.query_range(self.query, start_ms, end_ms, 600_000):
            if column.values.max() > 90:
                yield self.seen(labels, float(column.values.max()), start_ms, end_ms)

    def seen(self, labels: Labels, value: float, start_ms: int, end_ms: int) -> Observation:
        return Observation(
            "highest", str(labels), f"{labels.name} reached {value:.3g}", "Once.", "info", 1.0,
            start_ms, end_ms, (Evidence(str(labels), start_ms, end_ms),), labels,
        )  # fmt: skip


def test_a_good_analyser_passes() -> None:
    assert isinstance(Highest(), Analyser)
    check_analyser(Highest())


class Fussy(Highest):
    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        matrix = data.query_range(self.query, start_ms, end_ms, 600_000)
        assert len(matrix) > 0
        return super().analyse(data, start_ms, end_ms)


class Twice(Highest):
    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        for one in super().analyse(data, start_ms, end_ms):
            yield attrs.evolve(one, fingerprint="the same")


class Fickle(Highest):
    runs = itertools.count()

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        run = next(self.runs)
        for one in super().analyse(data, start_ms, end_ms):
            yield attrs.evolve(one, confidence=1 / (1 + run))


class Wordy(Highest):
    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        for one in super().analyse(data, start_ms, end_ms):
            evidence = Evidence("the load, please", start_ms, end_ms)
            yield attrs.evolve(one, evidence=(evidence,))


class Unsure(Highest):
    def seen(self, labels: Labels, value: float, start_ms: int, end_ms: int) -> Observation:
        one = super().seen(labels, value, start_ms, end_ms)
        return attrs.evolve(one, confidence=float("nan"))


class Telling(Highest):
    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Any:
        return [one.title for one in super().analyse(data, start_ms, end_ms)]


class Stubborn(Highest):
    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterable[Observation]:
        if data.cancelled():
            raise RuntimeError("I am not done")
        return super().analyse(data, start_ms, end_ms)


BAD = [
    (Fussy, "highest, an empty store: AssertionError"),
    (Twice, "two observations of kind highest have the fingerprint 'the same'"),
    (Fickle, "the same data give other observations the second time"),
    (Wordy, "the evidence 'the load, please' cannot be run"),
    (Unsure, r"ValueError: the confidence nan is not in \[0, 1\]"),
    (Telling, "a str is no Observation"),
    (Stubborn, "when nobody waits any more, it raises RuntimeError: I am not done"),
]


@pytest.mark.parametrize(("bad", "told"), BAD, ids=[bad.__name__ for bad, _ in BAD])
def test_a_bad_analyser_is_told_why(bad: type, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        check_analyser(bad())


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("name", "Not Plain", "analyser name 'Not Plain' is not plain"),
        ("interval_s", 0, "interval_s must be positive"),
        ("window_s", -1, "window_s must be positive"),
    ],
)
def test_a_name_an_interval_and_a_window_must_make_sense(field: str, value: Any, told: str) -> None:
    one = Highest()
    setattr(one, field, value)
    with pytest.raises(AssertionError, match=told):
        check_analyser(one)


def test_a_hook_gives_analysers_and_what_is_none_is_told() -> None:
    class Good:
        @hookimpl
        def barograph_analysers(self) -> list[Any]:
            return [Highest()]

    class Bad:
        @hookimpl
        def barograph_analysers(self) -> list[Any]:
            return [SimpleNamespace(name="x", interval_s=1.0)]

    manager = PluginManager()
    manager.register(Good(), "good")
    manager.register(Bad(), "bad")
    manager.load(Config())
    found = manager.call("barograph_analysers")
    assert [one.name for plugin, one in found if plugin == "good"] == ["highest"]
    (problem,) = [p for p in manager.problems if p.where == "plugin bad"]
    assert "SimpleNamespace is no Analyser: it has no analyse, window_s" in problem.what
