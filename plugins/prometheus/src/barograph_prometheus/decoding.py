"""Compiled kernels of the receiver: decode a WriteRequest, find its series, judge its samples.

Importing this module imports numba; the receiver does so in a thread of its own, when the first
request comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from barograph.rolling.kernels.compile import kernel, piece
from barograph_prometheus import wire
from barograph_prometheus.wire import BadMessage, Decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CUT, _LONG, _KIND, _FIELD, _ROOM = -1, -2, -3, -4, -5
_WHY = {
    _CUT: "a field is longer than its message",
    _LONG: "a number of more than ten bytes",
    _KIND: "a wire type that is none",
    _FIELD: "a field number that is none",
}


def decode(body: bytes) -> Decoded:
    """A WriteRequest as arrays; labels are not looked into. Raises BadMessage."""
    data = np.frombuffer(body, np.uint8)
    size = len(data)
    for series_room, sample_room in ((size // 24 + 16, size // 11 + 16), (size + 16, size + 16)):
        starts = np.empty(series_room, np.int64)
        ends = np.empty(series_room, np.int64)
        series = np.empty(sample_room, np.int64)
        t_ms = np.empty(sample_room, np.int64)
        bits = np.empty(sample_room, np.uint64)
        told = np.zeros(6, np.int64)
        code, at = _decode(data, starts, ends, series, t_ms, bits, told)
        if code != _ROOM:
            break
    if code < 0:
        raise BadMessage(f"{_WHY[code]}, at byte {at}")
    n, m = int(told[0]), int(told[1])
    wire.check_counts(n, int(told[5]))
    metadata: list[tuple[int, int]] = []
    if told[5]:
        metadata = [(a, b) for field, kind, a, b, _ in wire.fields(body, 0, size)
                    if field == 3 and kind == wire.BYTES]  # fmt: skip
    return Decoded(
        starts[:n], ends[:n], series[:m], t_ms[:m], bits[:m].view(np.float64), metadata,
        int(told[2]), int(told[3]), bool(told[4]),
    )  # fmt: skip


@piece
def _varint(data: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, int]:
    """The number at ``at`` and where it ends; a negative end is an error's code."""
    number = np.uint64(0)
    shift = np.uint64(0)
    for _ in range(10):
        if at >= end:
            return number, _CUT
        byte = data[np.uint64(at)]
        at += 1
        number |= np.uint64(byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += np.uint64(7)
    return number, _LONG


@piece
def _field(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int, int, int, np.uint64]:
    """(field, wire type, content, its end, number of a varint); a negative end is an error."""
    number = np.uint64(0)
    byte = data[np.uint64(at)]
    if 8 <= byte < 0x80:  # nearly every tag, and nearly every size, is one byte
        at += 1
        field, kind = int(byte >> 3), int(byte & 7)
    else:
        tag, at = _varint(data, at, end)
        if at < 0:
            return 0, 0, 0, at, number
        field, kind = int(tag >> np.uint64(3)), int(tag & np.uint64(7))
        if field < 1 or field > 536870911:
            return 0, 0, 0, _FIELD, number
    after = at
    if kind == 2:
        if at < end and data[np.uint64(at)] < 0x80:
            size = np.uint64(data[np.uint64(at)])
            at += 1
        else:
            size, at = _varint(data, at, end)
            if at < 0:
                return 0, 0, 0, at, number
        if size > np.uint64(end - at):
            return 0, 0, 0, _CUT, number
        after = at + int(size)
    elif kind == 0:
        number, after = _varint(data, at, end)
        if after < 0:
            return 0, 0, 0, after, number
    elif kind == 1:
        after = at + 8
    elif kind == 5:
        after = at + 4
    else:
        return 0, 0, 0, _KIND, number
    if after > end:
        return 0, 0, 0, _CUT, number
    return field, kind, at, after, number


@piece
def _word(data: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight bytes as a little-endian number: one load, once compiled (the index is unsigned, so
    that nothing looks whether it counts from the end)."""
    i = np.uint64(at)
    return (
        np.uint64(data[i])
        | np.uint64(data[i + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[i + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[i + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[i + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[i + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[i + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[i + np.uint64(7)]) << np.uint64(56)
    )


@piece
def _sample(data: NDArray[np.uint8], at: int, end: int) -> tuple[np.uint64, np.uint64, int]:
    """Value (its bits) and time of a Sample (1 double, 2 int64), and 0 or an error's code."""
    word, t = np.uint64(0), np.uint64(0)
    while at < end:
        field, kind, start, after, number = _field(data, at, end)
        if after < 0:
            return word, t, after
        if field == 1 and kind == 1:
            word = _word(data, start)
        elif field == 2 and kind == 0:
            t = number
        at = after
    return word, t, 0


@kernel
def _decode(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    series: NDArray[np.int64],
    t_ms: NDArray[np.int64],
    bits: NDArray[np.uint64],
    told: NDArray[np.int64],
) -> tuple[int, int]:
    """One pass, O(bytes). ``told``: series, samples, exemplars, histograms, scattered, metadata."""
    at, size = 0, len(data)
    n = m = 0
    while at < size:
        field, kind, start, end, _ = _field(data, at, size)
        if end < 0:
            return end, at
        at = end
        if field == 3 and kind == 2:
            told[5] += 1
        if field != 1 or kind != 2:
            continue
        if n == len(starts):
            return _ROOM, at
        first = last = start
        found = False
        inner_at = start
        while inner_at < end:
            inner, inner_kind, a, b, _ = _field(data, inner_at, end)
            if b < 0:
                return b, inner_at
            if inner_kind == 2 and inner == 1:
                if not found:
                    first, found = inner_at, True
                elif last != inner_at:
                    told[4] = 1
                last = b
            elif inner_kind == 2 and inner == 2:
                if m == len(t_ms):
                    return _ROOM, at
                word, t, wrong = _sample(data, a, b)
                if wrong < 0:
                    return wrong, inner_at
                series[m], t_ms[m], bits[m] = n, np.int64(t), word
                m += 1
            elif inner == 3:
                told[2] += 1
            elif inner == 4:
                told[3] += 1
            inner_at = b
        starts[n], ends[n] = first, last
        n += 1
    told[0], told[1] = n, m
    return 0, at


@piece
def _hash(data: NDArray[np.uint8], start: int, end: int, seed: np.uint64) -> np.uint64:
    """Of the bytes, eight at a time (multiply and fold)."""
    found = seed ^ np.uint64(end - start)
    at = start
    while at + 8 <= end:
        found = (found ^ _word(data, at)) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
        at += 8
    rest = np.uint64(0)
    while at < end:
        rest = rest << np.uint64(8) | np.uint64(data[np.uint64(at)])
        at += 1
    found = (found ^ rest) * np.uint64(0xBF58476D1CE4E5B9)
    return found ^ found >> np.uint64(32)


@piece
def _same(
    data: NDArray[np.uint8], start: int, end: int, arena: NDArray[np.uint8], at: int, size: int
) -> bool:
    if end - start != size:
        return False
    i = 0
    while i + 8 <= size:
        if _word(data, start + i) != _word(arena, at + i):
            return False
        i += 8
    while i < size:
        if data[start + i] != arena[at + i]:
            return False
        i += 1
    return True


@kernel
def find(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    slots: NDArray[np.int64],
    seed: np.uint64,
    hashes: NDArray[np.uint64],
    places: NDArray[np.int64],
    sizes: NDArray[np.int64],
    arena: NDArray[np.uint8],
    entries: NDArray[np.int64],
) -> int:
    """The entry of each span of bytes, or -1; how many are -1. O(bytes).

    ``slots`` (a power of two of them, more than twice the entries) hold entry + 1 by hash, with
    linear probing; an entry's bytes are ``arena[places[e] : places[e] + sizes[e]]``.
    """
    mask = np.uint64(len(slots) - 1)
    missing = 0
    for i in range(len(starts)):
        wanted = _hash(data, starts[i], ends[i], seed)
        slot = wanted & mask
        entry = -1
        while slots[slot] > 0:
            e = slots[slot] - 1
            if hashes[e] == wanted and _same(data, starts[i], ends[i], arena, places[e], sizes[e]):
                entry = e
                break
            slot = (slot + np.uint64(1)) & mask
        entries[i] = entry
        if entry < 0:
            missing += 1
    return missing


@kernel
def enter(
    first: int, count: int, slots: NDArray[np.int64], seed: np.uint64,
    hashes: NDArray[np.uint64], places: NDArray[np.int64], sizes: NDArray[np.int64],
    arena: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Put the entries ``first`` to ``first + count`` into the slots. O(their bytes)."""
    mask = np.uint64(len(slots) - 1)
    for e in range(first, first + count):
        hashes[e] = _hash(arena, places[e], places[e] + sizes[e], seed)
        slot = hashes[e] & mask
        while slots[slot] > 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = e + 1


@kernel
def judge(
    entries: NDArray[np.int64],
    series: NDArray[np.int64],
    t_ms: NDArray[np.int64],
    oldest: int,
    latest: int,
    refs_of: NDArray[np.int64],
    newest: NDArray[np.int64],
    refs: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Write each sample's ref into ``refs``: 0 where it may not be stored. O(samples).

    ``entries``: by series; -1 where there was no room for it. ``counts``: too old, too new, of
    refused series, out of order, at the time of the newest, and 1 if the times differ.
    """
    for i in range(len(series)):
        e, t = entries[series[i]], t_ms[i]
        ref = refs_of[e] if e >= 0 else 0
        if t != t_ms[0]:
            counts[5] = 1
        if ref <= 0:
            counts[2] += 1
            refs[i] = 0
        elif t < oldest:
            counts[0] += 1
            refs[i] = 0
        elif t > latest:
            counts[1] += 1
            refs[i] = 0
        else:
            refs[i] = ref
            if t > newest[e]:
                newest[e] = t
            elif t == newest[e]:
                counts[4] += 1
            else:
                counts[3] += 1


def compile_all() -> None:
    """Compile (or load from the cache) every kernel for the types that they are called with."""
    body = b"\x0a\x0a\x0a\x03\x0a\x01a\x12\x03\x10\x80\x01"
    found = decode(body)
    data = np.frombuffer(body, np.uint8)
    slots, ints, arena = np.zeros(16, np.int64), np.zeros(4, np.int64), np.zeros(16, np.uint8)
    hashes, seed, entries = np.zeros(4, np.uint64), np.uint64(1), np.zeros(1, np.int64)
    enter(0, 1, slots, seed, hashes, ints, ints, arena)
    find(data, found.starts, found.ends, slots, seed, hashes, ints, ints, arena, entries)
    counts = np.zeros(6, np.int64)
    judge(entries, found.series, found.t_ms, 0, 1, ints, ints.copy(), entries.copy(), counts)
