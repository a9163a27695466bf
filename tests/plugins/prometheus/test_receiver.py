"""The receiver over a real store: what is stored, what is answered, what is counted."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_wire import decode as plainly
from written import counted, packed, series, stored, write

from barograph import PerformanceMonitor
from barograph.contracts import StoreFull
from barograph.model import STALE_NAN_BITS, Matcher
from barograph_prometheus import Config, wire
from barograph_prometheus.families import Families
from barograph_prometheus.receiver import MAX_DECODED, Receiver
from barograph_prometheus.wire import Metadata

Both = tuple[Receiver, PerformanceMonitor]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(Config())


@pytest.fixture
def now(monitor: PerformanceMonitor) -> int:
    return monitor.clock.now_ms()


def detail(response: object) -> str:
    return str(json.loads(response.body)["detail"])  # type: ignore[attr-defined]


def test_samples_are_stored_when_the_answer_comes(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    labels = {"__name__": "app_requests_total", "host": "a"}
    for i in range(5):
        assert write(receiver, monitor, [series(labels, (now + i, float(i)))]).status == 204
        found = stored(monitor, "app_requests_total")
        assert found == {
            'app_requests_total{host="a"}': [(now + k, float(k)) for k in range(i + 1)]
        }
    assert counted(monitor, "samples") == 5
    assert counted(monitor, "requests", status="204") == 5


def test_many_series_with_times_of_their_own(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    parts = [
        series(
            {"__name__": "m", "i": str(i)}, (now - 1000 * i, float(i)), (now - 1000 * i + 1, -1.0)
        )
        for i in range(300)
    ]
    assert write(receiver, monitor, parts).status == 204
    found = stored(monitor, "m")
    assert len(found) == 300
    for i in range(300):
        assert found[f'm{{i="{i}"}}'] == [(now - 1000 * i, float(i)), (now - 1000 * i + 1, -1.0)]


def test_a_few_times_in_one_request_are_stored_a_time_at_once(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    for round_ in range(4):
        parts = [
            series({"__name__": "m", "i": str(i)}, (now + 10 * round_ + i % 3, float(round_)))
            for i in range(90)
        ]
        assert write(receiver, monitor, parts).status == 204
    found = stored(monitor, "m")
    for i in range(90):
        want = [(now + 10 * r + i % 3, float(r)) for r in range(4)]
        assert found[f'm{{i="{i}"}}'] == want


def test_late_samples_are_stored_and_counted(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    labels = {"__name__": "m"}
    for t in (now, now - 5000, now + 10):
        assert write(receiver, monitor, [series(labels, (t, 1.0))]).status == 204
    assert [t for t, _ in stored(monitor, "m")["m"]] == [now - 5000, now, now + 10]
    assert counted(monitor, "late") == 1


def test_a_request_sent_twice_is_stored_once(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    parts = [series({"__name__": "m", "i": str(i)}, (now, float(i))) for i in range(10)]
    assert [write(receiver, monitor, parts).status for _ in range(3)] == [204] * 3
    assert all(len(samples) == 1 for samples in stored(monitor, "m").values())
    assert counted(monitor, "same_time") == 20


def test_of_two_values_at_one_time_the_later_written_is_stored(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    write(receiver, monitor, [series({"__name__": "m"}, (now, 1.0))])
    assert write(receiver, monitor, [series({"__name__": "m"}, (now, 2.0))]).status == 204
    assert stored(monitor, "m") == {"m": [(now, 2.0)]}


@pytest.mark.parametrize("away_ms", [-2 * 86_400_000, 3_600_000, 2**62, -(2**63)])
def test_samples_of_another_age_are_refused_and_the_others_stored(
    receiver: Receiver, monitor: PerformanceMonitor, now: int, away_ms: int
) -> None:
    far = max(-(2**63), min(now + away_ms, 2**63 - 1))
    answer = write(receiver, monitor, [
        series({"__name__": "m", "i": "good"}, (now, 1.0)),
        series({"__name__": "m", "i": "bad"}, (far, 1.0)),
    ])  # fmt: skip
    assert answer.status == 400
    assert "1 samples dropped" in detail(answer)
    assert stored(monitor, "m")['m{i="good"}'] == [(now, 1.0)]
    assert not stored(monitor, "m").get('m{i="bad"}')
    why = "too_old" if away_ms < 0 else "too_new"
    assert counted(monitor, "dropped", reason=why) == 1


BAD_LABELS = [
    ("name", [("host", "a")]),
    ("name", [("__name__", "has space")]),
    ("name", [("__name__", "")]),
    ("label_name", [("__name__", "m"), ("ho-st", "a")]),
    ("label_name", [("__name__", "m"), ("größe", "a")]),
    ("label_value", [("__name__", "m"), ("a", "zero\0byte")]),
    ("duplicate_label", [("__name__", "m"), ("a", "1"), ("a", "2")]),
    ("duplicate_label", [("__name__", "m"), ("__name__", "n")]),
    ("too_long", [("__name__", "m"), ("a", "x" * 2000)]),
    ("too_many_labels", [("__name__", "m"), *((f"l{i}", "x") for i in range(100))]),
]


@pytest.mark.parametrize(("reason", "labels"), BAD_LABELS)
def test_bad_labels_are_refused_and_the_other_series_stored(
    receiver: Receiver, monitor: PerformanceMonitor, now: int, reason: str,
    labels: list[tuple[str, str]],
) -> None:  # fmt: skip
    for i in range(3):
        parts = [series(labels, (now + i, 1.0)), series({"__name__": "good"}, (now + i, 1.0))]
        answer = write(receiver, monitor, parts)
        assert answer.status == 400, detail(answer)
        assert counted(monitor, "dropped", reason=reason) == i + 1
    assert len(stored(monitor, "good")["good"]) == 3


def test_labels_in_any_order_with_empty_ones_are_one_series(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    write(receiver, monitor, [series([("b", "2"), ("__name__", "m"), ("a", "1")], (now, 1.0))])
    write(receiver, monitor, [
        series([("__name__", "m"), ("a", "1"), ("b", "2"), ("c", "")], (now + 1, 2.0))
    ])  # fmt: skip
    assert stored(monitor, "m") == {'m{a="1",b="2"}': [(now, 1.0), (now + 1, 2.0)]}


def test_labels_that_stand_apart_in_the_message_are_read(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    sample = series([], (now, 3.0))
    one = wire.encode_pairs([("__name__", "m")]) + sample + wire.encode_pairs([("a", "1")])
    assert write(receiver, monitor, [one]).status == 204
    assert stored(monitor, "m") == {'m{a="1"}': [(now, 3.0)]}


def test_more_series_than_allowed_are_refused_and_known_ones_stored(
    monitor: PerformanceMonitor, now: int
) -> None:
    receiver = Receiver(Config(write_max_series=10))
    ten = [series({"__name__": "m", "i": str(i)}, (now, 1.0)) for i in range(10)]
    assert write(receiver, monitor, ten).status == 204
    more = [series({"__name__": "m", "i": str(i)}, (now + 1, 1.0)) for i in range(8, 14)]
    answer = write(receiver, monitor, more)
    assert answer.status == 400
    assert "there are 10 series already" in detail(answer)
    assert counted(monitor, "dropped", reason="too_many_series") == 4
    assert len(stored(monitor, "m")) == 10
    assert len(stored(monitor, "m")['m{i="9"}']) == 2


def test_special_values_keep_their_bits(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    (stale,) = struct.unpack("<d", struct.pack("<Q", STALE_NAN_BITS))
    given = [math.inf, -math.inf, math.nan, stale, -0.0, 5e-324]
    parts = [series({"__name__": "m"}, *((now + i, v) for i, v in enumerate(given)))]
    assert write(receiver, monitor, parts).status == 204
    ref = monitor.store.select([Matcher.equal("__name__", "m")])[0].ref
    column = monitor.store.read([ref], 0, 2**61)[0]
    assert column.values.tobytes() == struct.pack("<6d", *given)


def test_metadata_says_what_a_metric_is(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    said = [wire.Metadata("requests", "counter", "What came", "things"),
            wire.Metadata("lag_total", "gauge", "Not what it looks like")]  # fmt: skip
    assert write(receiver, monitor, packed(wire.encode([], said))).status == 204
    parts = [series({"__name__": n}, (now, 1.0)) for n in ("requests", "lag_total", "plain_total")]
    assert write(receiver, monitor, parts).status == 204
    known = {m.name: m for m in monitor.store.metrics()}
    assert (known["requests"].kind, known["requests"].unit) == ("counter", "things")
    assert known["requests"].help == "What came"
    assert (known["lag_total"].kind, known["plain_total"].kind) == ("gauge", "counter")


def test_of_long_words_on_a_family_only_the_beginning_is_kept() -> None:
    families = Families()
    families.add(Metadata("m", "gauge", "h" * 10**6, "u" * 10**6))
    families.add(Metadata("n" * 10**6, "gauge"))
    assert [len(one.help) + len(one.unit) for one in families._known.values()] == [1024 + 64]
    assert families.metric("m").help == "h" * 1024


def test_exemplars_and_native_histograms_are_counted(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    one = series({"__name__": "m"}, (now, 1.0)) + wire._block(3, b"") + wire._block(4, b"")
    assert write(receiver, monitor, [one]).status == 204
    assert counted(monitor, "exemplars") == 1
    assert counted(monitor, "dropped", reason="histogram") == 1


BAD = [
    (415, b"", {"content-type": "application/json"}),
    (415, b"", {"content-type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}),
    (415, b"", {"content-encoding": "gzip"}),
    (400, b"", {}),
    (400, b"\xff" * 20, {}),
    (400, packed(b"\x0a\x05abc"), {}),
    (400, packed(b"\x0b"), {}),
    (413, wire._varint(MAX_DECODED + 1) + b"\0", {}),
    (400, packed(b"\x0a\x00" * (wire.MAX_SERIES + 1)), {}),  # small when packed
    (400, packed(b"\x1a\x00" * (wire.MAX_SERIES + 1)), {}),
    (400, packed(wire._block(1, b"\x0a\x00" * (wire.MAX_PAIRS + 1))), {}),
]


@pytest.mark.parametrize(("status", "body", "headers"), BAD)
def test_what_is_no_request_is_answered_as_the_protocol_says(
    receiver: Receiver, monitor: PerformanceMonitor, status: int, body: bytes,
    headers: dict[str, str],
) -> None:  # fmt: skip
    answer = write(receiver, monitor, body, **headers)
    assert answer.status == status
    assert detail(answer)
    assert counted(monitor, "requests", status=str(status)) == 1


def test_an_empty_request_is_fine(receiver: Receiver, monitor: PerformanceMonitor) -> None:
    assert write(receiver, monitor, []).status == 204


def test_a_store_that_is_full_asks_to_send_again_and_then_takes_it(
    receiver: Receiver, monitor: PerformanceMonitor, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise StoreFull("no space left")

    parts = [series({"__name__": "m"}, (now, 1.0))]
    with monkeypatch.context() as broken:
        broken.setattr(monitor.store, "append", full)
        answer = write(receiver, monitor, parts)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
    assert write(receiver, monitor, parts).status == 204
    assert stored(monitor, "m") == {"m": [(now, 1.0)]}


def test_a_receiver_that_begins_anew_goes_on_with_the_same_series(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    write(receiver, monitor, [series({"__name__": "m", "a": "1"}, (now, 1.0))])
    again = Receiver(Config())
    assert (
        write(again, monitor, [series({"__name__": "m", "a": "1"}, (now + 1, 2.0))]).status == 204
    )
    assert stored(monitor, "m") == {'m{a="1"}': [(now, 1.0), (now + 1, 2.0)]}


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Receiver, PerformanceMonitor]]:
    from barograph import PluginManager
    from barograph.config import Config as Whole
    from barograph.config import MonitorConfig, PluginSettings

    off = ("application", "otlp", "process", "prometheus", "runtime", "system", "template")
    folder = tmp_path_factory.mktemp("shared")
    config = Whole(monitor=MonitorConfig(data_dir=folder),
                   plugins={name: PluginSettings(False) for name in off})  # fmt: skip
    with PerformanceMonitor(config, plugins=PluginManager()) as running:
        yield Receiver(Config()), running


@given(body=st.binary(max_size=200), snappy=st.booleans())
def test_no_bytes_are_a_defect(shared: Both, body: bytes, snappy: bool) -> None:
    receiver, monitor = shared
    assert write(receiver, monitor, packed(body) if snappy else body).status in (204, 400, 413)


NAMES = st.sampled_from(["__name__", "a", "b", "ü", "", "c" * 300])
VALUES = st.sampled_from(["m", "n", "", "x\0", "v" * 2000, "ok", "9", "\n"])


@given(
    st.lists(st.tuples(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.booleans()), max_size=5)
)
def test_any_labels_are_stored_or_refused(
    shared: Both, parts: list[tuple[list[tuple[str, str]], bool]]
) -> None:
    receiver, monitor = shared
    now = monitor.clock.now_ms()
    request = [series(labels, (now if fresh else 5, 1.0)) for labels, fresh in parts]
    answer = write(receiver, monitor, request)
    assert answer.status in (204, 400)
    assert len(plainly(wire.encode(request)).series) == len(parts)
