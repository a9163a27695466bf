"""What a source gives becomes batches: what is stored, what is dropped, how ends are marked."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from fakes import Interner, VectorSource, flat
from hypothesis import given
from hypothesis import strategies as st

from barograph import Labels, Metric, MetricKind, Sample
from barograph.model import STALE_NAN, is_stale
from barograph.selfmetrics import Meter
from barograph.sources import CHURN_MS, MAX_LABEL_CHARS, REASONS, Intake, numbers

T = 1_700_000_000_000


class Taken:
    """An intake with what is behind and before it."""

    def __init__(self, ceiling: int = 100, labels: dict[str, str] | None = None) -> None:
        self.intern = Interner()
        self.meter = Meter()
        self.intake = Intake("src", self.intern, self.meter, ceiling, labels or {})
        self.now = T

    def samples(self, *found: Any) -> list[tuple[str, float]]:
        """(series, value) of one tick, in order; the ends of series as value "end"."""
        self.now += 1000
        batches = self.intake.samples(found, self.now)
        self.intake.accepted()
        return shown(flat(batches, self.intern), self.now)

    def vector(self, source: Any) -> list[tuple[str, Any]]:
        self.now += 1000
        batches = self.intake.vector(source, self.now)
        self.intake.accepted()
        return shown(flat(batches, self.intern), self.now)

    def dropped(self) -> dict[str, float]:
        values = {
            why: self.meter.value("barograph_samples_dropped_total", source="src", reason=why)
            for why in REASONS
        }
        return {why: n for why, n in values.items() if n}


def shown(samples: list[tuple[int, str, float]], now: int) -> list[tuple[str, Any]]:
    assert all(t == now for t, _, _ in samples)
    return [(name, "end" if is_stale(value) else value) for _, name, value in samples]


def one(name: str, value: Any = 1.0, **labels: Any) -> Sample:
    return Sample(name, value, labels)


# --- simple path ----------------------------------------------------------------------------------


def test_samples_get_the_tick_s_time_and_the_monitor_s_labels() -> None:
    taken = Taken(labels={"dc": "fra", "x": "monitor"})
    assert taken.samples(one("a", 1), one("a", 2, x="own")) == [
        ('a{dc="fra",x="monitor"}', 1.0),
        ('a{dc="fra",x="own"}', 2.0),
    ]


def test_the_first_samples_of_a_metric_say_what_it_is() -> None:
    taken = Taken()
    taken.samples(
        Sample("a_total", 1, {}, MetricKind.COUNTER, "bytes", "Help"),
        Sample("a_total", 1, {"i": "1"}),
    )
    assert taken.intern.metrics["a_total"] == Metric("a_total", MetricKind.COUNTER, "bytes", "Help")


def test_the_refs_array_stays_the_same_object_while_the_series_do() -> None:
    taken = Taken()
    first = taken.intake.samples([one("a"), one("b")], T)
    again = taken.intake.samples([one("a"), one("b")], T + 1000)
    assert again[0].refs is first[0].refs


def test_a_series_that_vanishes_is_marked_once_and_may_come_back() -> None:
    taken = Taken()
    taken.samples(one("a"), one("b"))
    assert taken.samples(one("a")) == [("a", 1.0), ("b", "end")]
    assert taken.samples(one("a")) == [("a", 1.0)]
    assert taken.samples(one("b", 5), one("a")) == [("b", 5.0), ("a", 1.0)]
    assert taken.samples() == [("a", "end"), ("b", "end")]
    assert taken.samples() == []


def test_the_end_of_a_series_is_told_again_until_it_was_handed_on() -> None:
    taken = Taken()
    taken.samples(one("a"), one("b"))
    for _ in range(2):  # the tick was over its deadline: its batches are dropped
        batches = taken.intake.samples([one("a")], taken.now)
        assert [v for _, name, v in flat(batches, taken.intern) if name == "b"] != []
    taken.intake.samples([one("a"), one("b")], taken.now)
    assert taken.samples(one("a"), one("b")) == [("a", 1.0), ("b", 1.0)]


@pytest.mark.parametrize(
    ("sample", "complaint"),
    [
        (None, "NoneType is no Sample"),
        (5, "int is no Sample"),
        (("a", 1.0), "tuple is no Sample"),
        (one("a b"), "metric name 'a b'"),
        (one(""), "metric name ''"),
        (one("1a"), "metric name '1a'"),
        (Sample(None, 1.0), "metric name None"),  # type: ignore[arg-type]
        (Sample("a", 1.0, None), "a: labels are NoneType, not a mapping"),  # type: ignore[arg-type]
        (Sample("a", 1.0, {"__name__": "b"}), "a: label name '__name__'"),
        (Sample("a", 1.0, {"x y": "b"}), "a: label name 'x y'"),
        (Sample("a", 1.0, {5: "b"}), "a: label name 5"),  # type: ignore[dict-item]
        (one("a", x=5), "a: label x is int, not text"),
        (one("a", x="y" * (MAX_LABEL_CHARS + 1)), "a: label x has 1025 characters"),
        (one("a", x="\udcff"), "a: label x cannot be written as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_proper_sample_is_dropped_counted_and_told_each_tick(
    sample: Any, complaint: str
) -> None:
    taken = Taken()
    for n in (1, 2):
        assert taken.samples(one("good"), sample) == [("good", 1.0)]
        assert taken.dropped() == {"bad_name": n}
        assert taken.intake.complaint == f"1 dropped (bad name: {complaint})"
    taken.samples(one("good"))
    assert taken.intake.complaint == ""


@pytest.mark.parametrize("value", ["1.5", "text", b"1", None, 1j, [], object(), 10**400])
def test_a_value_that_is_no_number_is_dropped_and_the_others_stay(value: Any) -> None:
    taken = Taken()
    for n in (1, 2):
        found = taken.samples(one("a", 1), one("b", value), one("c", 3))
        assert found == [("a", 1.0), ("c", 3.0)]
        assert taken.dropped() == {"not_a_number": n}
    assert taken.samples(one("a", 1), one("b", 2), one("c", 3))[1] == ("b", 2.0)


def test_numbers_of_many_kinds_are_taken() -> None:
    values = [1, 2.5, True, np.float32(0.5), np.int64(7), Decimal("1.25"), 2**53, -0.0, math.inf]
    found, bad = numbers(values)
    assert bad == []
    assert found.tolist() == [1, 2.5, 1, 0.5, 7, 1.25, 2**53, 0, math.inf]
    assert math.copysign(1, found[7]) == -1


def test_a_value_that_is_nan_is_stored_and_counted_but_never_taken_for_an_end() -> None:
    taken = Taken()
    found = taken.samples(one("a", math.nan), one("b", STALE_NAN))
    assert [str(value) for _, value in found] == ["nan", "nan"]
    assert taken.meter.value("barograph_samples_nan_total", source="src") == 2


def test_a_series_given_twice_in_a_tick_counts_once() -> None:
    taken = Taken()
    for n in (1, 2):
        assert taken.samples(one("a", 1, x="1"), one("a", 2, x="1")) == [('a{x="1"}', 1.0)]
        assert taken.dropped() == {"duplicate": n}


def test_a_million_series_are_cut_off_at_the_ceiling() -> None:
    taken = Taken(ceiling=10)
    looked_at = 0

    def flood() -> Any:
        nonlocal looked_at
        for i in range(1_000_000):
            looked_at += 1
            yield one("a", i, i=str(i))

    found = taken.samples(*[]) or taken.intake.samples(flood(), T)
    assert sum(map(len, found)) == 10  # type: ignore[arg-type]
    assert looked_at < 2000
    assert taken.dropped() == {"ceiling": 1000}
    assert "ceiling" in taken.intake.complaint


def test_labels_that_never_come_back_are_stopped_after_a_ceiling_of_them_an_hour() -> None:
    taken = Taken(ceiling=20)
    ticks = [taken.samples(one("steady"), one("a", 1, id=str(i))) for i in range(30)]
    stored = [n for tick in ticks for n, v in tick if v != "end" and n != "steady"]
    assert len(stored) == 19  # and one steady series
    assert taken.dropped() == {"churn": 11}
    assert taken.samples(one("steady"), one("a", 1, id="99"))[0] == ("steady", 1.0)
    taken.now += CHURN_MS // 2
    again = [taken.samples(one("a", 1, id=f"later{i}"), one("steady")) for i in range(20)]
    assert sum(any("later" in name and v != "end" for name, v in tick) for tick in again) == 10


def test_series_that_there_was_no_room_for_are_taken_later_if_they_stay() -> None:
    taken = Taken(ceiling=10)
    for i in range(10):
        taken.samples(one("a", 1, id=str(i)))
    late = [one("late", 1, i=str(i)) for i in range(3)]
    assert [name for name, v in taken.samples(*late) if v != "end"] == []
    assert taken.dropped() == {"churn": 3}
    taken.now += CHURN_MS
    assert [name for name, v in taken.samples(*late) if v != "end"] == [
        f'late{{i="{i}"}}' for i in range(3)
    ]
    source = VectorSource("v", series(*"abcdefghij"), np.ones(10))
    assert len([v for _, v in taken.vector(source) if v != "end"]) == 7
    taken.now += CHURN_MS
    assert len(taken.vector(source)) == 10


def test_what_is_no_iterable_is_told_plainly() -> None:
    with pytest.raises(TypeError, match="collect must give samples, not NoneType"):
        Taken().intake.samples(None, T)  # type: ignore[arg-type]


def test_all_series_end_with_their_source() -> None:
    taken = Taken()
    taken.samples(one("a"), one("b"))
    assert shown(flat(taken.intake.end(T), taken.intern), T) == [("a", "end"), ("b", "end")]
    assert taken.intake.end(T) == []


def test_an_intake_that_goes_on_after_another_ends_what_it_no_longer_has() -> None:
    taken = Taken()
    taken.samples(one("a"), one("b"))
    after = Intake("src", taken.intern, taken.meter, 100, {})
    after.adopt(taken.intake)
    assert shown(flat(after.samples([one("b", 2), one("c", 3)], T), taken.intern), T) == [
        ("b", 2.0), ("c", 3.0), ("a", "end"),
    ]  # fmt: skip


def test_a_store_that_refuses_new_series_leaves_the_intake_as_it_was() -> None:
    taken = Taken()
    taken.samples(one("a"))
    real = taken.intake._intern

    def refuse(series: Any) -> Any:
        raise OSError("disk full")

    taken.intake._intern = refuse
    with pytest.raises(OSError, match="disk full"):
        taken.samples(one("b"))
    taken.intake._intern = real
    assert taken.samples(one("b")) == [("b", 1.0), ("a", "end")]


proper = st.builds(
    lambda i, v: one("m", v, i=str(i)), st.integers(0, 5), st.floats() | st.integers(-5, 5)
)
junk = st.sampled_from(
    [None, 1, "x", one("no name"), one("m", "text"), one("m", None, i="2"), one("m", 1, i=3)]
)


@given(ticks=st.lists(st.lists(proper | junk, max_size=8), max_size=8))
def test_whatever_comes_each_series_has_one_value_a_tick_and_one_end_after_its_last(
    ticks: list[list[Any]],
) -> None:
    taken = Taken()
    alive: set[str] = set()
    for tick in ticks:
        found = taken.samples(*tick)
        names = [name for name, _ in found]
        assert len(names) == len(set(names))
        ended = {name for name, value in found if value == "end"}
        real = [s for s in tick if isinstance(s, Sample) and s.name == "m"
                and isinstance(s.labels.get("i", ""), str)]  # fmt: skip
        there = {str(Labels.of(s.name, s.labels)) for s in real}
        assert ended == alive - there
        assert {name for name, value in found if value != "end"} <= there
        alive = there
    total = sum(map(len, ticks))
    assert sum(taken.dropped().values()) <= total


# --- columnar path --------------------------------------------------------------------------------


def series(*names: str) -> list[tuple[Labels, Metric]]:
    return [(Labels.of("v", {"i": name}), Metric("v")) for name in names]


def test_a_vector_is_stored_as_it_was_declared() -> None:
    taken = Taken(labels={"dc": "fra"})
    source = VectorSource("v", series("a", "b"), np.array([1.0, math.nan]))
    found = taken.vector(source)
    assert [name for name, _ in found] == ['v{dc="fra",i="a"}', 'v{dc="fra",i="b"}']
    assert str(found[1][1]) == "nan"


def test_a_changed_set_of_series_is_asked_for_again_and_ends_are_marked() -> None:
    taken = Taken()
    source = VectorSource("v", series("a", "b"), np.array([1.0, 2.0]))
    taken.vector(source)
    answers = [None, np.array([3.0, 4.0])]
    source.declared, source.values = series("b", "c"), lambda now: answers.pop(0)
    assert taken.vector(source) == [('v{i="b"}', 3.0), ('v{i="c"}', 4.0), ('v{i="a"}', "end")]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros(3), "gave 3 values for 2 declared"),
        (np.zeros((2, 1)), "gave 2x1 values for 2 declared"),
        (1.0, "gave one bare values for 2 declared"),
        (["a", "b"], "must give numbers, not <U1 values"),
        ([1, None], "must give numbers, not object values"),
        (np.array([1j, 2]), "must give numbers, not complex128"),
        (None, "returned None twice in one tick"),
    ],
)  # fmt: skip
def test_a_vector_of_a_wrong_shape_or_kind_fails_its_tick(values: Any, why: str) -> None:
    taken = Taken()
    with pytest.raises(ValueError, match=why):
        taken.vector(VectorSource("v", series("a", "b"), values))
    good = VectorSource("v", series("a", "b"), [1, 2])
    assert taken.vector(good) == [('v{i="a"}', 1.0), ('v{i="b"}', 2.0)]


def test_bad_double_and_surplus_series_of_a_vector_are_left_out_and_counted() -> None:
    taken = Taken(ceiling=2)
    declared = [
        (Labels((("__name__", "bad name"),)), Metric("bad name")), *series("a", "a", "b", "c"),
    ]  # fmt: skip
    source = VectorSource("v", declared, np.arange(5.0))
    for n in (1, 2):
        assert taken.vector(source) == [('v{i="a"}', 1.0), ('v{i="b"}', 3.0)]
        assert taken.dropped() == {"bad_name": n, "duplicate": n, "ceiling": n}


def test_labels_in_any_order_are_the_same_series() -> None:
    taken = Taken()
    odd = Labels((("z", "1"), ("__name__", "v"), ("a", "2")))
    taken.vector(VectorSource("v", [(odd, Metric("v"))], [1.0]))
    assert list(taken.intern.refs) == [Labels.of("v", {"a": "2", "z": "1"})]


@pytest.mark.parametrize("declared", [[None], ["a"], [(1, 2)], [(Labels.of("a"), "x")]])
def test_a_declaration_that_is_none_is_told(declared: Any) -> None:
    with pytest.raises(ValueError, match=r"series\(\) must give \(Labels, Metric\)"):
        Taken().vector(VectorSource("v", declared, [1.0]))


def test_a_declaration_that_fails_is_asked_for_again() -> None:
    taken = Taken()
    source = VectorSource("v", series("a"), [1.0])
    taken.vector(source)
    answers: list[Any] = [None, [1.0, 2.0]]
    source.declared, source.values = [*series("a"), None], lambda now: answers.pop(0)
    with pytest.raises(ValueError, match="must give"):
        taken.vector(source)
    source.declared = series("a", "b")
    assert taken.vector(source) == [('v{i="a"}', 1.0), ('v{i="b"}', 2.0)]


def test_a_source_that_forgets_to_tell_of_a_change_loses_one_tick() -> None:
    taken = Taken()
    source = VectorSource("v", series("a"), [1.0])
    taken.vector(source)
    source.declared, source.values = series("a", "b"), [1.0, 2.0]
    with pytest.raises(ValueError, match="gave 2 values for 1"):
        taken.vector(source)
    assert taken.vector(source) == [('v{i="a"}', 1.0), ('v{i="b"}', 2.0)]
