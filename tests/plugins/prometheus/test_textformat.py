"""The text formats: against prometheus_client's own reader and writer, and hostile text."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from barograph.model import escape_label_value
from barograph_prometheus.textformat import (
    OPENMETRICS,
    BadExposition,
    parse_key,
    read_exposition,
)

names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=12)
label_sets = st.dictionaries(label_names, texts, max_size=4)
values = st.floats(allow_nan=True)


def bits(value: float) -> bytes:
    return struct.pack("<d", math.nan if math.isnan(value) else value)


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, str, dict[str, str], float, int | None]:
    name, labels, value = draw(names), draw(label_sets), draw(values)
    gap = draw(st.sampled_from(["", " "]))
    block = f"{gap},{gap}".join(
        f'{gap}{k}{gap}={gap}"{escape_label_value(v)}"' for k, v in labels.items()
    )
    if block and draw(st.booleans()):
        block += ","
    braces = f"{{{block}}}" if block or draw(st.booleans()) else ""
    time = draw(st.none() | st.integers(-(10**15), 10**15))
    text = f"{name}{gap if braces else ''}{braces} {value!r}" + ("" if time is None else f" {time}")
    return text, name, labels, value, time


@given(st.lists(lines(), max_size=8))
def test_what_is_written_by_the_rules_is_read_as_it_was_meant(given_: list[object]) -> None:
    text = "".join(f"{line[0]}\n" for line in given_)  # type: ignore[index]
    found = read_exposition(text.encode(), "text/plain; version=0.0.4")
    assert len(found.keys) == len(given_)
    for key, value, time, line in zip(found.keys, found.values, found.times, given_, strict=True):
        assert (*parse_key(key), bits(value), time) == (*line[1:3], bits(line[3]), line[4])  # type: ignore[index]


@st.composite
def registries(draw: st.DrawFn) -> CollectorRegistry:
    registry = CollectorRegistry()
    taken: set[str] = set()
    for kind in draw(st.lists(st.sampled_from([Counter, Gauge, Histogram]), max_size=4)):
        name = draw(names.filter(lambda n: n[0] != "_" and ":" not in n)) + f"_{len(taken)}x"
        taken.add(name)
        labels = sorted(draw(st.dictionaries(label_names, texts, max_size=2)).items())
        if any(k.startswith("__") or k == "le" for k, _ in labels):
            continue
        help_ = draw(st.text(st.characters(codec="ascii"), max_size=20))
        metric = kind(name, help_, [k for k, _ in labels], registry=registry)
        child = metric.labels(*(v for _, v in labels)) if labels else metric
        amount = draw(st.floats(0, 1e9))
        getattr(child, {Counter: "inc", Gauge: "set", Histogram: "observe"}[kind])(amount)
    return registry


@given(registries())
def test_it_reads_what_the_client_library_writes_as_the_library_does(
    registry: CollectorRegistry,
) -> None:
    text = generate_latest(registry).decode()
    found = read_exposition(text.encode(), "text/plain")
    mine = [(*parse_key(key), bits(v)) for key, v in zip(found.keys, found.values, strict=True)]
    wanted = [
        (sample.name, dict(sample.labels), bits(float(sample.value)))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    order = lambda one: (one[0], sorted(one[1].items()))  # noqa: E731
    assert sorted(mine, key=order) == sorted(wanted, key=order)
    openmetrics = read_exposition(generate_openmetrics(registry), OPENMETRICS)
    assert sorted(parse_key(k)[0] for k in openmetrics.keys) == sorted(one[0] for one in mine)


LINES = [
    ('a{b="c"} 1', {"b": "c"}, 1.0, None),
    ("a 1 1000", {}, 1.0, 1000),
    ("a 1 -1000", {}, 1.0, -1000),
    ("\ta  +Inf\t", {}, math.inf, None),
    ("a -inf", {}, -math.inf, None),
    ("a NaN", {}, math.nan, None),
    ("a{} 1e3", {}, 1000.0, None),
    ('a {b="c",} .5', {"b": "c"}, 0.5, None),
    (r'a{b="x\\y\"z\n{}"} 1', {"b": 'x\\y"z\n{}'}, 1.0, None),
    (r'a{b="\q"} 1', {"b": r"\q"}, 1.0, None),
    ('a{b="# } 1"} 2', {"b": "# } 1"}, 2.0, None),
    ('a{b="ü😀"} 2', {"b": "ü😀"}, 2.0, None),
]


@pytest.mark.parametrize(("line", "labels", "value", "time"), LINES)
def test_a_line(line: str, labels: dict[str, str], value: float, time: int | None) -> None:
    found = read_exposition(line.encode(), "")
    assert parse_key(found.keys[0]) == ("a", labels)
    assert bits(found.values[0]) == bits(value)
    assert found.times == [time]


BAD = [
    "a", "a b", "a 1 2 3", "a{b} 1", "1a 1", 'a{b="c" 1', 'a{b="c"}', "a 1_000", "a 0x10",
    "a ١", "a 1 1.5", "a-1", 'a{b="c"d="e"} 1', 'a{b="c",b="d"} 1', "a 1\r", "# TYPE a thing",
    '{b="c"} 1', 'a{b=c} 1', "a 1 2 # {} 1", 'a{1b="c"} 1',
]  # fmt: skip


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_is_none_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(BadExposition) as error:
        for key in read_exposition(f"ok 1\n{line}\n".encode(), "").keys:
            parse_key(key)
    assert "line 2" in str(error.value) or str(error.value).startswith("a: ")


def test_types_and_help_are_told_of_families() -> None:
    text = "# HELP a_total Says \\\\ and \\n more\n# TYPE a_total counter\na_total 1\n# so\n#\n"
    family = read_exposition(text.encode(), "").families["a_total"]
    assert (family.type, family.help) == ("counter", "Says \\ and \n more")


OPEN = """# TYPE a counter
# HELP a Some help
# UNIT a seconds
a_total{b="c"} 1.5 1700000000.123 # {trace_id="x # y"} 0.5 1699999999
a_created{b="c"} 1700000000
# EOF
"""


def test_openmetrics_with_times_in_seconds_and_exemplars_counted() -> None:
    found = read_exposition(OPEN.encode(), "application/openmetrics-text; version=1.0.0")
    assert found.keys == ['a_total{b="c"}', 'a_created{b="c"}']
    assert found.times == [1700000000123, None]
    assert found.exemplars == 1
    family = found.families["a"]
    assert (family.type, family.unit, family.help) == ("counter", "seconds", "Some help")


@pytest.mark.parametrize("text", ["", "a 1\n", "a 1\n# EOF\nb 1\n# EOF\n", "a  1\n# EOF", "\n# EOF",
                                  "a 1 1e99\n# EOF", "a 1 # {} \n# EOF"])  # fmt: skip
def test_openmetrics_that_is_cut_off_or_wrong_is_refused(text: str) -> None:
    with pytest.raises(BadExposition):
        read_exposition(text.encode(), OPENMETRICS)


NEAR = st.text(alphabet='ab{}=",\\ \t\n#1.+-eE', max_size=80).map(str.encode)


@given(st.binary(max_size=200) | NEAR, st.sampled_from([OPENMETRICS, "text/plain", ""]))
def test_no_bytes_are_a_defect(body: bytes, kind: str) -> None:
    with contextlib.suppress(BadExposition):
        for key in read_exposition(body, kind).keys:
            assert parse_key(key)[0]


def test_a_long_line_of_quotes_is_read_in_no_time() -> None:
    hostile = "a{" + 'b="' * 100_000
    with pytest.raises(BadExposition):
        read_exposition(hostile.encode(), "")
