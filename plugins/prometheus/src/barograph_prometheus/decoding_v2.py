"""The compiled decoder of remote write 2.0: labels come as places in a table of texts.

``Request``: 4 repeated text (the table), 5 repeated TimeSeries. ``TimeSeries``: 1 repeated places
of label names and values by turns, 2 repeated Sample (1 double, 2 int64 ms), 3 native histograms,
4 exemplars, 5 Metadata (1 type, 3 place of the help, 4 place of the unit), 6 created timestamp. See
the Prometheus Remote-Write 2.0 specification.

Labels are written out as version 1 has them, so that a series is the same one in both versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph_prometheus import wire
from barograph_prometheus.decoding import _ROOM, _WHY, _field, _sample, _varint
from barograph_prometheus.wire import BadMessage, Decoded, Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LABELS_BYTES = 64 * 2**20
"""Bytes that the labels of a request may have when they are written out."""

MAX_SAID = 4096
"""Bytes of a help or unit that are read: any number of series may point to the same one."""

_PLACE, _ODD = -6, -7
_MORE_WHY = {
    **_WHY,
    _PLACE: "a place that its table of texts does not have",
    _ODD: "a label name without a value",
}


def decode(body: bytes) -> tuple[bytes, Decoded]:
    """A Request as arrays, and the bytes of the labels that they point to. Raises BadMessage."""
    data = np.frombuffer(body, np.uint8)
    size = len(data)
    texts = np.empty((size + 2) // 2, np.int64), np.empty((size + 2) // 2, np.int64)
    code, at = _texts(data, *texts)
    if code < 0:
        raise BadMessage(f"{_MORE_WHY[code]}, at byte {at}")
    froms, tos = texts[0][:code], texts[1][:code]
    places = np.empty(size + 1, np.int64)
    room = 4 * size + 4096
    while True:
        out = np.empty(room, np.uint8)
        starts = np.empty(size // 2 + 1, np.int64)
        ends, about = np.empty_like(starts), np.zeros((len(starts), 3), np.int64)
        series, t_ms = np.empty_like(starts), np.empty_like(starts)
        bits, told = np.empty(len(starts), np.uint64), np.zeros(4, np.int64)
        code, at = _decode(data, froms, tos, places, out, starts, ends, about, series, t_ms, bits,
                           told)  # fmt: skip
        if code != _ROOM:
            break
        if room >= MAX_LABELS_BYTES:
            raise BadMessage(f"its labels have more than {MAX_LABELS_BYTES} bytes")
        room = min(4 * room, MAX_LABELS_BYTES)
    if code < 0:
        raise BadMessage(f"{_MORE_WHY[code]}, at byte {at}")
    n, m, size = int(told[0]), int(told[1]), int(code)
    wire.check_counts(n)

    def metadata(i: int) -> Metadata:
        kind, help_, unit = about[i].tolist()
        name = wire.TYPES[kind] if kind < len(wire.TYPES) else wire.TYPES[0]
        return Metadata("", name, said(help_), said(unit))

    def said(place: int) -> str:
        start, end = (int(froms[place]), int(tos[place])) if place else (0, 0)
        try:
            if end - start > MAX_SAID:  # maybe cut within a letter
                return body[start : start + MAX_SAID].decode("utf-8", "ignore")
            return body[start:end].decode()
        except UnicodeDecodeError:
            raise BadMessage("metadata that is no UTF-8 text") from None

    return out[:size].tobytes(), Decoded(
        starts[:n], ends[:n], series[:m], t_ms[:m], bits[:m].view(np.float64), (),
        int(told[2]), int(told[3]), described=metadata,
    )  # fmt: skip


@kernel
def _texts(
    data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[int, int]:
    """Where the texts of the table stand: their number (or an error's code), and how far it got.
    O(fields)."""
    at, size, n = 0, len(data), 0
    while at < size:
        field, kind, start, end, _ = _field(data, at, size)
        if end < 0:
            return end, at
        if field == 4 and kind == 2:
            starts[n], ends[n] = start, end
            n += 1
        at = end
    return n, at


@kernel
def _decode(
    data: NDArray[np.uint8],
    froms: NDArray[np.int64],
    tos: NDArray[np.int64],
    places: NDArray[np.int64],
    out: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    about: NDArray[np.int64],
    series: NDArray[np.int64],
    t_ms: NDArray[np.int64],
    bits: NDArray[np.uint64],
    told: NDArray[np.int64],
) -> tuple[int, int]:
    """The bytes written to ``out`` (or an error's code), and how far it got. O(bytes in and out).

    ``about``: type, place of the help, place of the unit of each series. ``told``: series, samples,
    exemplars, histograms.
    """
    at, size, n, m, made = 0, len(data), 0, 0, 0
    while at < size:
        field, kind, start, end, _ = _field(data, at, size)
        if end < 0:
            return end, at
        at = end
        if field != 5 or kind != 2:
            continue
        count = 0
        inner_at = start
        while inner_at < end:
            inner, inner_kind, a, b, number = _field(data, inner_at, end)
            if b < 0:
                return b, inner_at
            if inner == 1 and inner_kind == 2:
                while a < b:
                    number, a = _varint(data, a, b)
                    if a < 0:
                        return a, inner_at
                    if number >= np.uint64(len(froms)):
                        return _PLACE, inner_at
                    places[count] = np.int64(number)
                    count += 1
            elif inner == 1 and inner_kind == 0:
                if number >= np.uint64(len(froms)):
                    return _PLACE, inner_at
                places[count] = np.int64(number)
                count += 1
            elif inner == 2 and inner_kind == 2:
                word, t, wrong = _sample(data, a, b)
                if wrong < 0:
                    return wrong, inner_at
                series[m], t_ms[m], bits[m] = n, np.int64(t), word
                m += 1
            elif inner == 3:
                told[3] += 1
            elif inner == 4:
                told[2] += 1
            elif inner == 5 and inner_kind == 2:
                while a < b:
                    part, part_kind, _, after, number = _field(data, a, b)
                    if after < 0:
                        return after, inner_at
                    if part_kind == 0 and part == 1:
                        about[n, 0] = np.int64(number & np.uint64(0x7FFFFFFF))
                    elif part_kind == 0 and (part == 3 or part == 4):
                        if number >= np.uint64(len(froms)):
                            return _PLACE, inner_at
                        about[n, 1 if part == 3 else 2] = np.int64(number)
                    a = after
            inner_at = b
        if count % 2:
            return _ODD, at
        starts[n] = made
        for i in range(0, count, 2):
            name, value = places[i], places[i + 1]
            long, longer = tos[name] - froms[name], tos[value] - froms[value]
            whole = 2 + _width(long) + long + _width(longer) + longer
            if made + 1 + _width(whole) + whole > len(out):
                return _ROOM, at
            made = _head(out, made, 0x0A, whole)
            made = _copy(data, froms[name], long, out, _head(out, made, 0x0A, long))
            made = _copy(data, froms[value], longer, out, _head(out, made, 0x12, longer))
        ends[n] = made
        n += 1
    told[0], told[1] = n, m
    return made, at


@piece
def _width(number: int) -> int:
    """Bytes of a number as a varint."""
    wide = 1
    while number > 0x7F:
        number >>= 7
        wide += 1
    return wide


@piece
def _head(out: NDArray[np.uint8], at: int, tag: int, size: int) -> int:
    """Write a field's tag and its content's size; where its content begins."""
    out[at] = tag
    at += 1
    while size > 0x7F:
        out[at] = size & 0x7F | 0x80
        size >>= 7
        at += 1
    out[at] = size
    return at + 1


@piece
def _copy(data: NDArray[np.uint8], start: int, size: int, out: NDArray[np.uint8], at: int) -> int:
    for i in range(size):
        out[at + i] = data[start + i]
    return at + size


def compile_all() -> None:
    """Compile (or load from the cache) the kernels for the types that they are called with."""
    decode(b"\x22\x00\x22\x01a\x2a\x04\x0a\x02\x00\x01")
