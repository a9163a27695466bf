"""How columns become bytes: pcodec, and shorter forms for the columns that need no codec.

A packed array is one tag byte and a body:

``c``  all elements have the same bits: that one element
``r``  an arithmetic progression of int64: start and step
``=``  the same bits as the previous array of the record
``p``  pcodec's standalone format
``x``  the elements as they are (when pcodec would not be shorter)

Every form gives back the same bits: NaN payloads, infinities and -0.0 included. A record is
several packed arrays of known dtypes, with a CRC-32 before them that begins with the number of
elements, so that a damaged record is told and never decoded into wrong numbers.
"""

from __future__ import annotations

import functools
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
    """The array of ``n`` elements that ``pack`` made ``data`` from. Raises DamagedRecord."""
    tag, body = bytes(data[:1]), data[1:]
    try:
        array = _unpack(tag, body, dtype, n)
    except (ValueError, RuntimeError, struct.error) as error:
        raise DamagedRecord(f"packing {tag!r}: {error}") from None
    if array is None or array.dtype != dtype or len(array) != n:
        found = "none" if array is None else f"{len(array)} {array.dtype}"
        raise DamagedRecord(f"packing {tag!r} gave {found}, expected {n} {np.dtype(dtype)}")
    return array


def _unpack(tag: bytes, body: bytes | memoryview, dtype: Any, n: int) -> NDArray[Any] | None:
    if tag == PCO:
        return simple_decompress(bytes(body))  # type: ignore[no-any-return]
    if tag == RANGE:
        start, step = _PAIR.unpack(body)
        return start + step * np.arange(n, dtype=np.int64)  # type: ignore[no-any-return]
    if tag == CONST:
        (only,) = np.frombuffer(body, dtype)[:, None]
        return np.repeat(only, n)
    if tag == PLAIN:
        return np.frombuffer(body, dtype).copy()
    raise ValueError("unknown")


def encode_column(t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> bytes:
    """A chunk's record: CRC-32, length of the packed times, packed times, packed values."""
    return join_times(pack(t_ms), values)


def join_times(times: bytes, values: NDArray[np.float64]) -> bytes:
    """``encode_column`` for times that are packed already (many series share their times)."""
    body = _LENGTHS.pack(len(times)) + times + pack(values)
    return _CRC.pack(zlib.crc32(body, len(values))) + body


def decode_column(record: bytes, n: int) -> Column:
    """The column of ``n`` samples. Raises DamagedRecord."""
    packed, values = split_column(record, n)
    return Column(unpack_times(packed, n), unpack_values(values, n))


def split_column(record: bytes, n: int) -> tuple[bytes, memoryview]:
    """The packed times and the packed values of a sound record. Raises DamagedRecord."""
    view = _checked(record, n)
    (length,) = _LENGTHS.unpack_from(view)
    return bytes(view[4 : 4 + length]), view[4 + length :]


def unpack_values(packed: memoryview, n: int) -> NDArray[np.float64]:
    """The values of ``split_column``. Raises DamagedRecord."""
    return unpack(packed, np.float64, n)


@functools.lru_cache(64)
def unpack_times(packed: bytes, n: int) -> NDArray[np.int64]:
    """Many series share their times: the array is read-only, and decoded once."""
    t_ms = unpack(packed, np.int64, n)
    t_ms.flags.writeable = False
    return t_ms


def decode_values(record: bytes, n: int) -> NDArray[np.float64]:
    """The values alone, for scans that need no times. Raises DamagedRecord."""
    view = _checked(record, n)
    (length,) = _LENGTHS.unpack_from(view)
    return unpack(view[4 + length :], np.float64, n)


def is_sound(record: bytes, n: int) -> bool:
    """Whether the record's checksum fits it, and ``n``."""
    return len(record) >= 8 and zlib.crc32(memoryview(record)[4:], n) == _CRC.unpack_from(record)[0]


def _checked(record: bytes, n: int) -> memoryview:
    if not is_sound(record, n):
        raise DamagedRecord("checksum does not fit")
    return memoryview(record)[4:]


def encode_arrays(arrays: Sequence[NDArray[Any]], n: int) -> bytes:
    """A record of several arrays, ``n`` long the first; an array equal to the one before it costs
    four bytes."""
    parts: list[bytes] = []
    before: bytes | None = None
    for array in arrays:
        packed = pack(array)
        part = SAME if packed == before and array.itemsize == 8 else packed
        before = packed
        parts += [_LENGTHS.pack(len(part)), part]
    body = b"".join(parts)
    return _CRC.pack(zlib.crc32(body, n)) + body


SUM_BEFORE, AS_BEFORE = -1, -2
"""Lengths for ``decode_arrays``: the sum of the array before, the length of the array before."""


def decode_arrays(
    record: bytes, n: int, dtypes: Sequence[Any], lengths: Sequence[int]
) -> list[NDArray[Any]]:
    """The arrays of a record. Raises DamagedRecord."""
    view = _checked(record, n)
    at = 0
    out: list[NDArray[Any]] = []
    before = view[:0]
    for dtype, length in zip(dtypes, lengths, strict=True):
        size = int.from_bytes(view[at : at + 4], "little")
        part = view[at + 4 : at + 4 + size]
        at += 4 + size
        if part[:1] == SAME:
            part = before
        if length == SUM_BEFORE:
            length = int(out[-1].sum())
        elif length == AS_BEFORE:
            length = len(out[-1])
        out.append(unpack(part, dtype, length))
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
        ],
        len(w),
    )  # fmt: skip


def decode_windows(record: bytes, level_ms: int, n: int) -> Windows:
    """The ``n`` windows of a record. Raises DamagedRecord."""
    start, count, last, first, low, high, total, increase, sizes, keys, counts = decode_arrays(
        record, n, _WINDOW_DTYPES, (n,) * 9 + (SUM_BEFORE, AS_BEFORE)
    )
    offsets = np.zeros(n + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return Windows(
        level_ms=level_ms, start_ms=start, count=count, sum=total, min=low, max=high,
        first=first, last=last, increase=increase,
        sketch_offsets=offsets, sketch_keys=keys, sketch_counts=counts,
    )  # fmt: skip
