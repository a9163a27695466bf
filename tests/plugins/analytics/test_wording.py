"""Numbers, times and series as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barograph import Labels
from barograph_analytics import wording
from barograph_analytics.floors import worth_telling
from barograph_analytics.reading import rate_window, selector_text, series_text, step_for


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.2e9, "bytes", "1.2 GB"),
        (999, "bytes", "999 B"),
        (999_600, "bytes", "1 MB"),
        (-3.5e6, "bytes/s", "-3.5 MB/s"),
        (0.84, "seconds", "840 ms"),
        (0.000_25, "seconds", "250 µs"),
        (90, "seconds", "90 s"),
        (7200, "seconds", "2 h"),
        (0.35, "seconds/s", "35 %"),
        (0.975, "ratio", "97.5 %"),
        (61.24, "celsius", "61.2 °C"),
        (3.2e9, "hertz", "3.2 GHz"),
        (1234567, "", "1,234,567"),
        (0, "bytes", "0 B"),
        (0.0123, "", "0.0123"),
        (12, "/s", "12/s"),
        (2, "cores", "2 cores"),
        (float("nan"), "bytes", "unknown"),
    ],
)
def test_amounts_have_units_that_people_use(value: float, unit: str, text: str) -> None:
    assert wording.amount(value, unit) == text


@given(st.floats(-1e18, 1e18), st.sampled_from(["", "bytes", "seconds", "ratio", "bytes/s", "x"]))
def test_every_amount_is_short_and_says_its_sign(value: float, unit: str) -> None:
    text = wording.amount(value, unit)
    assert 0 < len(text) <= 40
    assert text.startswith("-") == (value < 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "20 ms"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_000, "1 d 1 h"),
     (86_400 + 5, "1 d"), (0, "0 s")],
)  # fmt: skip
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert wording.lasting(seconds) == text


@pytest.mark.parametrize(
    ("name", "unit", "counter"),
    [
        ("system_memory_usage_bytes", "bytes", False),
        ("system_disk_io_bytes_total", "bytes", True),
        ("http_server_request_duration_seconds_count", "", True),
        ("http_server_request_duration_seconds_sum", "seconds", True),
        ("process_count", "", True),
        ("http_server_active_requests", "", False),
    ],
)
def test_units_and_counters_are_known_by_their_names(name: str, unit: str, counter: bool) -> None:
    assert wording.unit_of(name) == unit
    assert wording.is_counter(name) is counter


def test_a_series_is_spoken_with_its_values_and_without_what_all_share() -> None:
    labels = Labels.of("disk_usage_bytes", {"host": "web-1", "mountpoint": "/var", "state": "used"})
    assert wording.spoken(labels) == "disk_usage_bytes (/var, used)"


@given(st.text(max_size=300), st.text(max_size=300))
def test_whatever_a_label_holds_a_title_is_short_and_printable(name: str, value: str) -> None:
    text = wording.title(wording.spoken(Labels.of(name, {"a": value})) + " went up " + "x " * 50)
    assert len(text) <= 120
    assert text.isprintable()


def test_small_changes_are_not_worth_telling() -> None:
    def told(name: str, unit: str, before: float, after: float) -> bool:
        return worth_telling(after - before, before, after, name=name, unit=unit, least_share=0.1)

    assert told("system_memory_usage_bytes", "bytes", 1e9, 1.2e9)
    assert not told("system_memory_usage_bytes", "bytes", 10e9, 10.2e9)  # 2 %
    assert not told("system_memory_usage_bytes", "bytes", 1e6, 2e6)  # little
    assert told("system_filesystem_utilization_ratio", "ratio", 0.9, 0.97)
    assert not told("system_load_average", "", 0.02, 0.2)
    assert told("queue_length", "", 3, 9)


def test_selectors_quote_what_needs_it() -> None:
    one = Labels.of("disk_bytes", {"path": 'a"b\\c\nd'})
    assert series_text(one) == 'disk_bytes{path="a\\"b\\\\c\\nd"}'
    assert selector_text("disk.bytes", []) == '{__name__="disk.bytes"}'


def test_steps_and_windows_are_round() -> None:
    assert step_for(86_400_000, 1000) == 120_000
    assert step_for(7 * 86_400_000, 1000) == 900_000
    assert rate_window(15) == 60
    assert rate_window(1) == 5
