"""The protobuf messages of remote write 1.0, read and written byte by byte.

``WriteRequest``: 1 repeated TimeSeries, 3 repeated MetricMetadata. ``TimeSeries``: 1 repeated Label
(1 name, 2 value), 2 repeated Sample (1 double, 2 int64 ms), 3 exemplars, 4 native histograms.
``MetricMetadata``: 1 type, 2 metric family, 4 help, 5 unit. See the encoding guide of Protocol
Buffers for tags, varints and wire types. Here is what is needed now and then; the hot path is
compiled, in ``decoding``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.model import Labels

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELD = 2**29 - 1
MAX_SERIES = 200_000
"""Series, and words on families, of one message: a packed one of nothings would have millions."""

MAX_PAIRS = 1000
"""Labels of a series, the empty ones too, that are looked at."""

TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info",
         "stateset")  # fmt: skip
"""MetricMetadata.MetricType, by number."""


class BadMessage(ValueError):
    """What came is no message of its kind; the message says where it goes wrong."""


@attrs.frozen(eq=False)
class Decoded:
    """A WriteRequest as arrays over its bytes.

    ``starts`` and ``ends`` int64[n]: where in ``body`` the labels of the n series stand, as label
    fields one after another. ``series`` int64[m]: which series each of the m samples is of;
    ``t_ms`` int64[m], ``values`` float64[m]. ``scattered``: some series had something between
    its labels; their spans are not labels alone. ``described``: what version 2 says with each
    series; the name in it is "".
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    series: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    metadata: Sequence[tuple[int, int]] = ()
    exemplars: int = 0
    histograms: int = 0
    scattered: bool = False
    described: Callable[[int], Metadata] | None = None


@attrs.frozen
class Metadata:
    """What a sender says of a metric family."""

    name: str
    type: str
    help: str = ""
    unit: str = ""


def check_counts(series: int, families: int = 0) -> None:
    """Raises BadMessage for more than one message may have."""
    for what, count in (("series", series), ("metric families", families)):
        if count > MAX_SERIES:
            raise BadMessage(f"it has {count:,} {what}; send at most {MAX_SERIES:,} at once")


# --- reading ------------------------------------------------------------------------------------


def gathered(body: bytes) -> bytes:
    """The same WriteRequest with each series' labels one after another. Raises BadMessage."""
    out: list[bytes] = []
    for field, kind, start, end, _ in fields(body, 0, len(body)):
        if kind != BYTES or field != 1:
            if kind == BYTES and field == 3:
                out.append(_block(3, body[start:end]))
            continue
        labels: list[bytes] = []
        rest: list[bytes] = []
        for inner, inner_kind, a, b, _ in fields(body, start, end):
            if inner_kind == BYTES:
                (labels if inner == 1 else rest).append(_block(inner, body[a:b]))
        out.append(_block(1, b"".join(labels + rest)))
    return b"".join(out)


def labels_at(body: bytes, start: int, end: int) -> list[tuple[str, str]]:
    """The labels in a span, in the order in which they came. Raises BadMessage."""
    out: list[tuple[str, str]] = []
    for field, kind, a, b, _ in fields(body, start, end):
        if field != 1 or kind != BYTES:
            continue
        if len(out) == MAX_PAIRS:
            raise BadMessage(f"a series with more than {MAX_PAIRS} labels")
        texts = {1: b"", 2: b""}
        for inner, inner_kind, c, d, _ in fields(body, a, b):
            if inner in texts and inner_kind == BYTES:
                texts[inner] = body[c:d]
        try:
            out.append((texts[1].decode(), texts[2].decode()))
        except UnicodeDecodeError:
            raise BadMessage(f"a label is no UTF-8 text: {texts[1]!r:.80}") from None
    return out


def metadata_at(body: bytes, start: int, end: int) -> Metadata:
    """The MetricMetadata in a span. Raises BadMessage."""
    number, texts = 0, {2: "", 4: "", 5: ""}
    for field, kind, a, b, value in fields(body, start, end):
        if field == 1 and kind == VARINT:
            number = value
        elif field in texts and kind == BYTES:
            try:
                texts[field] = body[a:b].decode()
            except UnicodeDecodeError:
                raise BadMessage("metadata that is no UTF-8 text") from None
    kind_name = TYPES[number] if number < len(TYPES) else TYPES[0]
    return Metadata(texts[2], kind_name, texts[4], texts[5])


def fields(body: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(field, wire type, first byte of its content, end, number of a varint) of a message."""
    at = start
    while at < end:
        tag, at = varint(body, at, end)
        field, kind = tag >> 3, tag & 7
        if not 1 <= field <= MAX_FIELD:
            raise BadMessage(f"field number {field} at byte {at}")
        number, after = 0, at
        if kind == VARINT:
            number, after = varint(body, at, end)
        elif kind == FIXED64:
            after = at + 8
        elif kind == FIXED32:
            after = at + 4
        elif kind == BYTES:
            size, at = varint(body, at, end)
            after = at + size
        else:
            raise BadMessage(f"wire type {kind} at byte {at}")
        if after > end:
            raise BadMessage(f"field {field} at byte {at} is longer than its message")
        yield field, kind, at, after, number
        at = after


def varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    """A base-128 number of at most ten bytes, and where it ends. Raises BadMessage."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise BadMessage(f"the message ends in a number, at byte {at}")
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at
    raise BadMessage(f"a number of more than ten bytes at byte {at}")


# --- writing ------------------------------------------------------------------------------------


def encode(series: Iterable[bytes], metadata: Iterable[Metadata] = ()) -> bytes:
    """A WriteRequest of encoded series (see ``encode_series``)."""
    parts = [_block(1, one) for one in series]
    parts += [_block(3, _metadata(one)) for one in metadata]
    return b"".join(parts)


def encode_series(labels: bytes, t_ms: Iterable[int], values: Iterable[float]) -> bytes:
    """A TimeSeries of labels (see ``encode_labels``) and samples."""
    return labels + b"".join(
        _block(2, b"\x09" + struct.pack("<d", v) + b"\x10" + _varint(t))
        for t, v in zip(t_ms, values, strict=True)
    )


def encode_labels(labels: Labels) -> bytes:
    """Label fields, sorted by name as the protocol wants them."""
    return encode_pairs(labels.pairs)


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Label fields in the given order."""
    return b"".join(
        _block(1, _block(1, name.encode()) + _block(2, value.encode())) for name, value in pairs
    )


def _metadata(one: Metadata) -> bytes:
    out = b"\x08" + _varint(TYPES.index(one.type)) + _block(2, one.name.encode())
    return out + _block(4, one.help.encode()) + _block(5, one.unit.encode())


def _block(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
