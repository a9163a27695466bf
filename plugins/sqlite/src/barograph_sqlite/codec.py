"""How columns become bytes: pcodec, and shorter forms for the columns that need no codec.

A packed array is one tag byte and a body:

``c``  all elements have the same bits: that one element
``r``  an arithmetic progression of int64: start and step
``=``  the same bits as the previous array of the record
``p``  pcodec's standalone format
``x``  the elements as they are (when pcodec would not be shorter)

Every form gives back the same bits: NaN payloads, infinities and -0.0 included. A record is
several packed arrays of known dtypes, with a CRC-32 before them, so that a damaged record is told
and never decoded into wrong numbers.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pcodec import ChunkConfig
from pcodec.standalone import simple_compress, simple_decompress

from barograph.model import Column, Windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CONFIG = ChunkConfig(compression_level=8)
_CRC = struct.Struct("<I")
_PAIR = struct.Struct("<qq")
_LENGTHS = struct.Struct("<I")

CONST, RANGE, SAME, PCO, PLAIN = b"c", b"r", b"=", b"p", b"x"


class DamagedRecord(ValueError):
    """A record's checksum does not fit its bytes."""


def pack(array: NDArray[Any]) -> bytes:
    """Tag and body of one array of int64, int32 or float64."""
    n = len(array)
    if n == 0:
        return PLAIN
    bits = array.view(np.int64 if array.itemsize == 8 else np.int32)
    if bits[0] == bits[-1] and (bits == bits[0]).all():
        return CONST + array[:1].tobytes()
    if array.dtype == np.int64 and n > 2:
        step = int(array[1]) - int(array[0])
        # Wrapping differences are exact modulo 2**64, and so is the decoder's arithmetic.
        if abs(step) < 2**62 and (np.diff(array) == step).all() and _fits(int(array[0]), step, n):
            return RANGE + _PAIR.pack(int(array[0]), step)
    body: bytes = simple_compress(np.ascontiguousarray(array), _CONFIG)
    if len(body) < array.nbytes:
        return PCO + body
    return PLAIN + array.tobytes()


def _fits(start: int, step: int, n: int) -> bool:
    return -(2**63) <= start + step * (n - 1) < 2**63


def unpack(data: bytes | memoryview, dtype: Any, n: int) -> NDArray[Any]:
    """The array of ``n`` elements that ``pack`` made ``data`` from."""
    tag = bytes(data[:1])
    body = data[1:]
    if tag == PCO:
        return simple_decompress(bytes(body))  # type: ignore[no-any-return]
    if tag == RANGE:
        start, step = _PAIR.unpack(body)
        return start + step * np.arange(n, dtype=np.int64)  # type: ignore[no-any-return]
    if tag == CONST:
        return np.repeat(np.frombuffer(body, dtype), n)
    if tag == PLAIN:
        return np.frombuffer(body, dtype).copy()
    raise DamagedRecord(f"unknown packing {tag!r}")


def encode_column(t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> bytes:
    """A chunk's record: CRC-32, length of the packed times, packed times, packed values."""
    return join_times(pack(t_ms), values)


def join_times(times: bytes, values: NDArray[np.float64]) -> bytes:
    """``encode_column`` for times that are packed already (many series share their times)."""
    body = _LENGTHS.pack(len(times)) + times + pack(values)
    return _CRC.pack(zlib.crc32(body)) + body


def decode_column(record: bytes, n: int) -> Column:
    """The column of ``n`` samples. Raises DamagedRecord."""
    view = _checked(record)
    (length,) = _LENGTHS.unpack_from(view)
    t_ms = unpack(view[4 : 4 + length], np.int64, n)
    values = unpack(view[4 + length :], np.float64, n)
    return Column(t_ms, values)


def decode_values(record: bytes, n: int) -> NDArray[np.float64]:
    """The values alone, for scans that need no times. Raises DamagedRecord."""
    view = _checked(record)
    (length,) = _LENGTHS.unpack_from(view)
    return unpack(view[4 + length :], np.float64, n)


def _checked(record: bytes) -> memoryview:
    view = memoryview(record)
    if len(view) < 8 or zlib.crc32(view[4:]) != _CRC.unpack_from(view)[0]:
        raise DamagedRecord("checksum does not fit")
    return view[4:]


def encode_arrays(arrays: Sequence[NDArray[Any]]) -> bytes:
    """A record of several arrays; an array equal to the one before it costs one byte."""
    parts: list[bytes] = []
    before: bytes | None = None
    for array in arrays:
        packed = pack(array)
        part = SAME if packed == before and array.itemsize == 8 else packed
        before = packed
        parts += [_LENGTHS.pack(len(part))[:3], part]
    body = b"".join(parts)
    return _CRC.pack(zlib.crc32(body)) + body


def decode_arrays(record: bytes, dtypes: Sequence[Any], lengths: Sequence[int]) -> list[Any]:
    """The arrays of a record. A length of -1 means: the sum of the array before (offsets known
    as counts). Raises DamagedRecord."""
    view = _checked(record)
    at = 0
    out: list[Any] = []
    before = view[:0]
    for dtype, length in zip(dtypes, lengths, strict=True):
        size = int.from_bytes(view[at : at + 3], "little")
        part = view[at + 3 : at + 3 + size]
        at += 3 + size
        if part[:1] == SAME:
            part = before
        n = int(out[-1].sum()) if length == -1 else length
        if length == -2:
            n = len(out[-1])
        out.append(unpack(part, dtype, n))
        before = part
    return out


_I8, _F8, _I4 = np.int64, np.float64, np.int32
_WINDOW_DTYPES = (_I8, _I8, _F8, _F8, _F8, _F8, _F8, _F8, _I8, _I4, _I8)


def encode_windows(windows: Windows) -> bytes:
    """A record of rollup windows: eight columns, sketch sizes, keys and counts."""
    sizes = np.diff(windows.sketch_offsets)
    w = windows
    return encode_arrays(
        [
            w.start_ms, w.count, w.last, w.first, w.min, w.max, w.sum, w.increase,
            sizes, w.sketch_keys, w.sketch_counts,
        ]
    )  # fmt: skip


def decode_windows(record: bytes, level_ms: int, n: int) -> Windows:
    """The ``n`` windows of a record. Raises DamagedRecord."""
    start, count, last, first, low, high, total, increase, sizes, keys, counts = decode_arrays(
        record, _WINDOW_DTYPES, (n,) * 9 + (-1, -2)
    )
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return Windows(
        level_ms=level_ms, start_ms=start, count=count, sum=total, min=low, max=high,
        first=first, last=last, increase=increase,
        sketch_offsets=offsets, sketch_keys=keys, sketch_counts=counts,
    )  # fmt: skip
