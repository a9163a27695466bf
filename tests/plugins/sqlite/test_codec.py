"""Columns to bytes and back: every bit, or an error that says so."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from barograph.model import Windows
from barograph_sqlite import codec
from barograph_sqlite.codec import (
    DamagedRecord,
    decode_column,
    decode_values,
    decode_windows,
    encode_column,
    encode_windows,
    is_sound,
    pack,
    unpack,
)

I64 = st.integers(-(2**63), 2**63 - 1)
LIMITS = st.sampled_from([-(2**63), 2**63 - 1, 0, -1, 2**62, -(2**62)])
ODD = [0x7FF0000000000002, 0x7FF8000000000001, -1, 0x7FF0000000000000, -(2**63), 1, 0]
"""Bits of: a series' end, NaN with payload, NaN of all ones, infinity, -0.0, 5e-324, 0.0."""


@st.composite
def floats(draw: st.DrawFn) -> np.ndarray:
    """float64 arrays made of bits: any NaN payload may come."""
    n = draw(st.integers(0, 40))
    bits = draw(st.lists(st.one_of(I64, st.sampled_from(ODD)), min_size=n, max_size=n))
    shape = draw(st.sampled_from(["as drawn", "constant", "decimals", "counter"]))
    array = np.array(bits, np.int64).view(np.float64)
    if shape == "constant" and n:
        array = np.repeat(array[:1], n)
    elif shape == "decimals":
        array = np.round(np.array([b % 10_000 for b in bits], np.float64) / 100, 2)
    elif shape == "counter":
        array = np.cumsum(np.array([b % 100 for b in bits], np.float64))
    return array


@st.composite
def integers(draw: st.DrawFn) -> np.ndarray:
    start, step = draw(st.one_of(I64, LIMITS)), draw(st.one_of(st.integers(-5, 5), I64, LIMITS))
    n = draw(st.integers(0, 40))
    if draw(st.booleans()):
        return np.array(draw(st.lists(st.one_of(I64, LIMITS), min_size=n, max_size=n)), np.int64)
    with np.errstate(over="ignore"):
        return np.int64(start) + np.arange(n, dtype=np.int64) * np.int64(step)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@given(floats())
def test_floats_come_back_bit_for_bit(array: np.ndarray) -> None:
    assert same_bits(unpack(pack(array), np.float64, len(array)), array)


@given(integers())
def test_integers_come_back_whatever_their_steps(array: np.ndarray) -> None:
    assert same_bits(unpack(pack(array), np.int64, len(array)), array)


@given(hnp.arrays(np.int32, st.integers(0, 60)))
def test_sketch_keys_come_back(array: np.ndarray) -> None:
    assert same_bits(unpack(pack(array), np.int32, len(array)), array)


@pytest.mark.parametrize("bits", ODD)
@pytest.mark.parametrize("n", [1, 2, 3, 1440])
def test_one_odd_value_repeated_or_among_others(bits: int, n: int) -> None:
    odd = np.full(n, bits, np.int64).view(np.float64)
    mixed = np.arange(n, dtype=np.float64)
    mixed[n // 2] = odd[0]
    for array in (odd, mixed):
        assert same_bits(unpack(pack(array), np.float64, n), array)


def test_regular_times_and_constant_values_cost_a_few_bytes() -> None:
    times = np.arange(1440, dtype=np.int64) * 1000 + 1_700_000_000_000
    assert len(encode_column(times, np.zeros(1440))) < 40


@given(floats(), st.data())
def test_a_column_comes_back(values: np.ndarray, data: st.DataObject) -> None:
    n = len(values)
    times = np.array(data.draw(st.lists(I64, min_size=n, max_size=n, unique=True)), np.int64)
    times.sort()
    record = encode_column(times, values)
    column = decode_column(record, n)
    assert same_bits(column.t_ms, times)
    assert same_bits(column.values, values)
    assert same_bits(decode_values(record, n), values)
    assert is_sound(record, n)


@given(floats(), st.data())
def test_a_damaged_record_is_always_told(values: np.ndarray, data: st.DataObject) -> None:
    """A changed byte, a cut, an addition, a wrong count: an error, never numbers."""
    n = len(values)
    record = bytearray(encode_column(np.arange(n, dtype=np.int64) * 999, values))
    what = data.draw(st.sampled_from(["flip", "cut", "add", "count", "run"]))
    wrong_n = n
    if what == "flip":
        at = data.draw(st.integers(0, len(record) - 1))
        record[at] ^= data.draw(st.integers(1, 255))
    elif what == "cut":
        del record[data.draw(st.integers(0, len(record) - 1)) :]
    elif what == "add":
        record += data.draw(st.binary(min_size=1, max_size=9))
    elif what == "run":  # up to four bytes in a row: what a CRC-32 finds without fail
        at = data.draw(st.integers(0, len(record) - 4))
        before = bytes(record[at : at + 4])
        record[at : at + 4] = data.draw(st.binary(min_size=4, max_size=4))
        assume(record[at : at + 4] != before)
    else:
        wrong_n = data.draw(st.integers(0, 2**31).filter(lambda x: x != n))
    with pytest.raises(DamagedRecord):
        decode_column(bytes(record), wrong_n)
    with pytest.raises(DamagedRecord):
        decode_values(bytes(record), wrong_n)


@given(st.binary(max_size=60), st.integers(0, 100))
def test_bytes_of_something_else_are_no_array(body: bytes, n: int) -> None:
    """Without the checksum's help: the body may be anything, the length must still fit."""
    for dtype in (np.int64, np.float64, np.int32):
        for tag in (codec.RANGE, codec.CONST, codec.PLAIN, b"?", b""):
            try:
                array = unpack(tag + body, dtype, n)
            except DamagedRecord:
                continue
            assert len(array) == n
            assert array.dtype == dtype


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    n = draw(st.integers(1, 8))
    column = lambda: draw(hnp.arrays(np.float64, n))  # noqa: E731
    sizes = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    offsets = np.append(0, np.cumsum(sizes)).astype(np.int64)
    keys = draw(hnp.arrays(np.int32, int(offsets[-1])))
    counts = draw(hnp.arrays(np.int64, int(offsets[-1])))
    start = np.cumsum(draw(hnp.arrays(np.int64, n, elements=st.integers(1, 9)))) * 60_000
    count = draw(hnp.arrays(np.int64, n, elements=st.integers(1, 100)))
    return Windows(60_000, start, count, column(), column(), column(), column(), column(), column(),
                   offsets, keys, counts)  # fmt: skip


@given(windows())
def test_windows_come_back(w: Windows) -> None:
    back = decode_windows(encode_windows(w), 60_000, len(w))
    for name in ("start_ms", "count", "sum", "min", "max", "first", "last", "increase",
                 "sketch_offsets", "sketch_keys", "sketch_counts"):  # fmt: skip
        assert same_bits(getattr(back, name), getattr(w, name)), name


@given(windows(), st.data())
def test_damaged_windows_are_told(w: Windows, data: st.DataObject) -> None:
    record = bytearray(encode_windows(w))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedRecord):
        decode_windows(bytes(record), 60_000, len(w))


def test_a_record_is_what_older_files_hold() -> None:
    """The format is kept: bytes written once must be read for ever."""
    record = encode_column(np.array([5, 10, 15], np.int64), np.array([2.5, 2.5, 2.5]))
    body = struct.pack("<I", 17) + b"r" + struct.pack("<qq", 5, 5) + b"c" + struct.pack("<d", 2.5)
    assert record[4:] == body
    assert decode_column(bytes.fromhex(KEPT), 3).values.tolist() == [2.5, 2.5, 2.5]


KEPT = "ae0cf821110000007205000000000000000500000000000000630000000000000440"
