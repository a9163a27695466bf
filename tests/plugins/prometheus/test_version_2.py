"""Remote write 2.0: decoded like its plain twin, and stored as the same series as version 1's."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import counted, packed, series, stored, write

from barograph import PerformanceMonitor
from barograph.contracts import Response
from barograph_prometheus import Config, decoding_v2, wire
from barograph_prometheus.receiver import Receiver, version_of
from barograph_prometheus.wire import BYTES, VARINT, BadMessage

KIND = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
COUNTER, HISTOGRAM = 1, 3


class Request2:
    """Builds a request with a table of its texts."""

    def __init__(self) -> None:
        self.texts = [""]
        self.series: list[bytes] = []

    def place(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def add(
        self, labels: dict[str, str], *samples: tuple[int, float], kind: int = 0, help: str = "",
        unit: str = "", loose: bool = False, more: bytes = b"",
    ) -> Request2:  # fmt: skip
        places = [self.place(text) for pair in labels.items() for text in pair]
        if loose:  # as a sender that does not pack writes them
            body = b"".join(b"\x08" + wire._varint(place) for place in places)
        else:
            body = wire._block(1, b"".join(wire._varint(place) for place in places))
        for t, value in samples:
            sample = b"\x09" + struct.pack("<d", value) + b"\x10" + wire._varint(t)
            body += wire._block(2, sample)
        said = b"".join(
            wire._varint(field << 3) + wire._varint(number)
            for field, number in ((1, kind), (3, self.place(help)), (4, self.place(unit)))
        )
        self.series.append(body + wire._block(5, said) + b"\x30\x05" + more)
        return self

    def body(self, *, texts_last: bool = False) -> bytes:
        texts = b"".join(wire._block(4, text.encode()) for text in self.texts)
        rest = b"".join(wire._block(5, one) for one in self.series)
        return rest + texts if texts_last else texts + rest


def plainly(body: bytes) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    """The obviously right twin: label bytes of each series, and (series, time, value) of samples.
    Raises BadMessage."""
    fields = list(wire.fields(body, 0, len(body)))
    texts = [body[a:b] for field, kind, a, b, _ in fields if (field, kind) == (4, BYTES)]
    labels: list[bytes] = []
    samples: list[tuple[int, int, bytes]] = []
    for field, kind, start, end, _ in fields:
        if (field, kind) != (5, BYTES):
            continue
        places: list[int] = []
        for inner, inner_kind, a, b, number in wire.fields(body, start, end):
            if (inner, inner_kind) == (1, VARINT):
                places.append(number)
            elif (inner, inner_kind) == (1, BYTES):
                while a < b:
                    number, a = wire.varint(body, a, b)
                    places.append(number)
            elif (inner, inner_kind) == (2, BYTES):
                t, value = 0, bytes(8)
                for part, part_kind, c, d, n in wire.fields(body, a, b):
                    if (part, part_kind) == (1, wire.FIXED64):
                        value = body[c:d]
                    elif (part, part_kind) == (2, VARINT):
                        t = n - 2**64 if n >= 2**63 else n
                samples.append((len(labels), t, value))
            elif (inner, inner_kind) == (5, BYTES):
                for part, part_kind, _, _, n in wire.fields(body, a, b):
                    if part_kind == VARINT and part in (3, 4) and n >= len(texts):
                        raise BadMessage("a place that is not there")
        if len(places) % 2 or any(place >= len(texts) for place in places):
            raise BadMessage("places that are not there")
        pairs = zip(places[::2], places[1::2], strict=True)
        labels.append(b"".join(
            wire._block(1, wire._block(1, texts[a]) + wire._block(2, texts[b])) for a, b in pairs
        ))  # fmt: skip
    return labels, samples


def compiled(body: bytes) -> tuple[list[bytes], list[tuple[int, int, bytes]]]:
    out, found = decoding_v2.decode(body)
    labels = [out[a:b] for a, b in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]
    bits = found.values.tobytes()
    values = [bits[i : i + 8] for i in range(0, len(bits), 8)]
    return labels, list(zip(found.series.tolist(), found.t_ms.tolist(), values, strict=True))


texts = st.text(max_size=12) | st.just("x" * 300)
samples = st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats()), max_size=3)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    made = Request2()
    for _ in range(draw(st.integers(0, 4))):
        labels = draw(st.dictionaries(texts, texts, max_size=4))
        made.add(labels, *draw(samples), kind=draw(st.integers(0, 9)), help=draw(texts),
                 loose=draw(st.booleans()))  # fmt: skip
    return made.body(texts_last=draw(st.booleans()))


@given(requests())
def test_it_decodes_what_its_plain_twin_decodes(body: bytes) -> None:
    assert compiled(body) == plainly(body)


@given(requests(), st.data())
def test_damaged_bytes_are_refused_or_read_alike(body: bytes, data: st.DataObject) -> None:
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3)) if body else 0):
        damaged[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    given = bytes(damaged[: data.draw(st.integers(0, len(body)))])
    try:
        wanted = plainly(given)
    except BadMessage:
        with pytest.raises(BadMessage):
            compiled(given)
    else:
        assert compiled(given) == wanted


def test_labels_that_grow_without_measure_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_v2, "MAX_LABELS_BYTES", 2**20)
    made = Request2()
    long = "v" * 60_000
    for i in range(100):
        made.add({"__name__": f"m{i}", "a": long})
    with pytest.raises(BadMessage, match="more than 1048576 bytes"):
        decoding_v2.decode(made.body())


# --- the receiver ---------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Receiver:
    return Receiver(Config())


@pytest.fixture
def now(monitor: PerformanceMonitor) -> int:
    return monitor.clock.now_ms()


def send(receiver: Receiver, monitor: PerformanceMonitor, made: Request2) -> Response:
    return write(receiver, monitor, packed(made.body()), **{"content-type": KIND})


def told(response: Response) -> tuple[int, str, str, str]:
    """Status, and the headers about samples, histograms, exemplars."""
    names = [f"X-Prometheus-Remote-Write-{w}-Written" for w in ("Samples", "Histograms",
                                                               "Exemplars")]  # fmt: skip
    return (response.status, *(response.headers[name] for name in names))  # type: ignore[return-value]


def test_samples_are_stored_and_the_headers_count_them(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    made = Request2().add({"__name__": "m", "i": "1"}, (now, 1.0), (now + 1, 2.0))
    made.add({"__name__": "m", "i": "2"}, (now, 3.0))
    assert told(send(receiver, monitor, made)) == (204, "3", "0", "0")
    assert stored(monitor, "m") == {
        'm{i="1"}': [(now, 1.0), (now + 1, 2.0)], 'm{i="2"}': [(now, 3.0)],
    }  # fmt: skip


def test_both_versions_write_the_same_series(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    labels = {"__name__": "m", "a": "ü"}
    assert write(receiver, monitor, [series(labels, (now, 1.0))]).status == 204
    send(receiver, monitor, Request2().add(labels, (now + 1, 2.0)))
    assert stored(monitor, "m") == {'m{a="ü"}': [(now, 1.0), (now + 1, 2.0)]}
    assert receiver._known is not None
    assert receiver._known.count == 1


def test_what_is_said_of_a_series_is_what_is_known_of_its_metric(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    made = Request2().add({"__name__": "odd"}, (now, 1.0), kind=COUNTER, help="What came",
                          unit="bytes")  # fmt: skip
    made.add({"__name__": "h_bucket", "le": "1"}, (now, 1.0), kind=HISTOGRAM, help="Sizes",
             unit="bytes")  # fmt: skip
    made.add({"__name__": "plain_total"}, (now, 1.0))
    send(receiver, monitor, made)
    known = {m.name: (str(m.kind), m.unit, m.help) for m in monitor.store.metrics()}
    assert known["odd"] == ("counter", "bytes", "What came")
    assert known["h_bucket"] == ("counter", "", "Sizes")
    assert known["plain_total"] == ("counter", "", "")


def test_a_long_help_that_many_series_share_is_read_in_part_only() -> None:
    help = "é" * (decoding_v2.MAX_SAID // 2) + "more"
    made = Request2().add({"__name__": "a"}, help="x" + help).add({"__name__": "b"}, help=help[:9])
    _, decoded = decoding_v2.decode(made.body())
    assert decoded.described is not None
    assert decoded.described(0).help == "x" + "é" * (decoding_v2.MAX_SAID // 2 - 1)
    assert decoded.described(1).help == help[:9]


def test_more_series_than_one_message_may_have_are_refused() -> None:
    with pytest.raises(BadMessage, match="200,001 series"):
        decoding_v2.decode(b"\x22\x00" + b"\x2a\x00" * (wire.MAX_SERIES + 1))


def test_a_part_that_is_refused_is_not_counted_as_written(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    made = Request2().add({"__name__": "m"}, (now, 1.0), (5, 1.0)).add({"a": "no name"}, (now, 1.0))
    answer = send(receiver, monitor, made)
    assert told(answer) == (400, "1", "0", "0")
    assert "1 samples dropped: samples older" in json.loads(answer.body)["detail"]


def test_exemplars_are_left_out_and_native_histograms_refused(
    receiver: Receiver, monitor: PerformanceMonitor, now: int
) -> None:
    exemplar = Request2().add({"__name__": "m"}, (now, 1.0), more=wire._block(4, b""))
    assert told(send(receiver, monitor, exemplar)) == (204, "1", "0", "0")
    assert counted(monitor, "exemplars") == 1
    native = Request2().add({"__name__": "n"}, more=wire._block(3, b""))
    answer = send(receiver, monitor, native)
    assert told(answer) == (400, "0", "0", "0")
    assert "native histograms are not stored" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x2a\x04\x0a\x02\x00\x01", "does not have"),  # no table
        (b"\x22\x00\x2a\x03\x0a\x01\x00", "without a value"),
        (b"\x22\x00\x2a\x07\x0a\x01", "longer than its message"),
        (b"\x22\x00\x2a\x04\x2a\x02\x18\x07", "does not have"),  # of the help
    ],
)
def test_what_is_no_request_of_version_2_says_why(
    receiver: Receiver, monitor: PerformanceMonitor, body: bytes, why: str
) -> None:
    answer = write(receiver, monitor, packed(body), **{"content-type": KIND})
    assert (answer.status, why in json.loads(answer.body)["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("", 1), ("application/x-protobuf", 1), ("application/x-protobuf; charset=x", 1),
        ("application/x-protobuf;proto=prometheus.WriteRequest", 1),
        (KIND, 2), (KIND.replace(";", " ; "), 2), (KIND.replace("io.", '"io.') + '"', 2),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", 0),
        ("application/json;proto=io.prometheus.write.v2.Request", 0), ("text/plain", 0),
    ],
)  # fmt: skip
def test_the_content_type_says_the_version(kind: str, version: int) -> None:
    assert version_of(kind) == version
