"""The compiled decoder against its plain twin, and against hostile bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive_wire import decode as plainly

from barograph_prometheus import decoding, wire
from barograph_prometheus.known import KnownSeries
from barograph_prometheus.wire import BadMessage, Decoded

numbers = st.integers(0, 2**64 - 1)
times = st.integers(-(2**63), 2**63 - 1)
values = st.floats(width=64, allow_nan=True)
pairs = st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=5)


def varint(number: int) -> bytes:
    return wire._varint(number)


def block(field: int, content: bytes) -> bytes:
    return wire._block(field, content)


@st.composite
def strange_fields(draw: st.DrawFn) -> bytes:
    """A field that this version of the message does not have, of any wire type."""
    tag = draw(st.integers(5, 2**29 - 1)) << 3
    kind = draw(st.sampled_from([0, 1, 2, 5]))
    content = {
        0: varint(draw(numbers)), 1: b"12345678", 2: varint(3) + b"abc", 5: b"1234"
    }[kind]  # fmt: skip
    return varint(tag | kind) + content


@st.composite
def series(draw: st.DrawFn) -> bytes:
    texts = [(k.encode("utf-8", "replace"), v.encode("utf-8", "replace")) for k, v in draw(pairs)]
    parts = [block(1, block(1, k) + block(2, v)) for k, v in texts]
    for t, v in draw(st.lists(st.tuples(times, values), max_size=4)):
        fields = [b"\x09" + struct.pack("<d", v), b"\x10" + varint(t)]
        parts.append(block(2, b"".join(draw(st.permutations(fields))[: draw(st.integers(0, 2))])))
    parts += [block(3, b"")] * draw(st.integers(0, 2)) + [block(4, b"")] * draw(st.integers(0, 1))
    parts += draw(st.lists(strange_fields(), max_size=2))
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    return b"".join(parts)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    parts = [block(1, one) for one in draw(st.lists(series(), max_size=6))]
    parts += [block(3, b"\x08\x01")] * draw(st.integers(0, 2))
    parts += draw(st.lists(strange_fields(), max_size=2))
    return b"".join(draw(st.permutations(parts)))


def same(mine: Decoded, plain: Decoded) -> None:
    for name in ("starts", "ends", "series", "t_ms"):
        assert getattr(mine, name).tolist() == getattr(plain, name).tolist(), name
    assert mine.values.tobytes() == plain.values.tobytes()
    for name in ("exemplars", "histograms", "scattered"):
        assert getattr(mine, name) == getattr(plain, name), name
    assert list(mine.metadata) == list(plain.metadata)


@given(requests())
def test_it_decodes_what_its_plain_twin_decodes(body: bytes) -> None:
    same(decoding.decode(body), plainly(body))


@given(requests(), st.data())
def test_damaged_bytes_are_refused_or_read_alike(body: bytes, data: st.DataObject) -> None:
    if body:
        at = data.draw(st.integers(0, len(body) - 1))
        cut = data.draw(st.booleans())
        body = body[:at] + (
            b"" if cut else bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
        )
    _alike(body)


@given(st.binary(max_size=60))
def test_random_bytes_are_refused_or_read_alike(body: bytes) -> None:
    _alike(body)


def _alike(body: bytes) -> None:
    try:
        plain = plainly(body)
    except BadMessage:
        with pytest.raises(BadMessage):
            decoding.decode(body)
    else:
        same(decoding.decode(body), plain)


@given(requests())
def test_gathered_labels_are_never_scattered(body: bytes) -> None:
    before, after = plainly(body), plainly(wire.gathered(body))
    assert not after.scattered
    assert after.t_ms.tolist() == before.t_ms.tolist()
    assert after.series.tolist() == before.series.tolist()
    assert after.values.tobytes() == before.values.tobytes()


def test_a_request_of_nothing_but_empty_samples_finds_room() -> None:
    body = block(1, block(2, b"") * 5000) + block(1, b"") * 3000
    found = decoding.decode(body)
    assert len(found.series) == 5000
    assert len(found.starts) == 3001


@given(st.lists(st.binary(max_size=40), unique=True, max_size=60), st.integers(1, 7))
def test_known_series_are_found_by_their_bytes(spans: list[bytes], step: int) -> None:
    known = KnownSeries(10_000)
    model: dict[bytes, int] = {}
    for first in range(0, len(spans), step):
        part = spans[first : first + step]
        refs = [first + i + 1 for i in range(len(part))]
        known.add(part, refs)
        model.update(zip(part, refs, strict=True))
    asked = [*spans, b"not there" * 9]
    body = b"".join(asked)
    ends = np.cumsum([len(s) for s in asked]).astype(np.int64)
    entries, missing = known.find(
        np.frombuffer(body, np.uint8), ends - [len(s) for s in asked], ends
    )
    assert missing == 1
    assert [int(known.refs[e]) if e >= 0 else None for e in entries] == [*model.values(), None]


def test_series_that_are_idle_make_room_for_new_ones() -> None:
    known = KnownSeries(100)
    known.add([b"%d" % i for i in range(100)], list(range(1, 101)))
    now = 1_700_000_000_000
    known.newest[:50] = now - 10_000
    assert known.room(50, 100, now)
    assert known.count == 50
    assert sorted(known.refs[:50].tolist()) == list(range(1, 51))
    assert known.newest[:50].tolist() == [now - 10_000] * 50
    assert not known.room(51, 100, now), "and not looked for again at once"


def test_a_thousand_series_survive_growing() -> None:
    known = KnownSeries(5000)
    spans = [b"series %d" % i for i in range(3000)]
    for span, ref in zip(spans, range(1, 3001), strict=True):
        known.add([span], [ref])
    body = b"".join(spans)
    ends = np.cumsum([len(s) for s in spans]).astype(np.int64)
    starts = ends - np.array([len(s) for s in spans])
    entries, missing = known.find(np.frombuffer(body, np.uint8), starts, ends)
    assert missing == 0
    assert known.refs[entries].tolist() == list(range(1, 3001))
    known.newest[:3000] = np.arange(3000)
    known.keep(lambda newest, refs: newest % 3 != 0)
    again, missing = known.find(np.frombuffer(body, np.uint8), starts, ends)
    assert missing == 1000
    kept = again >= 0
    assert known.refs[again[kept]].tolist() == [r for r in range(1, 3001) if (r - 1) % 3]
    assert known.newest[again[kept]].tolist() == [n for n in range(3000) if n % 3]
