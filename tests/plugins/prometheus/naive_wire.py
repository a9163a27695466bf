"""Plain twins of the compiled kernels, obviously right and slow."""

from __future__ import annotations

import struct

import numpy as np

from barograph_prometheus.wire import BYTES, FIXED64, VARINT, Decoded, fields


def decode(body: bytes) -> Decoded:
    """Raises BadMessage."""
    starts: list[int] = []
    ends: list[int] = []
    series: list[int] = []
    times: list[int] = []
    values: list[float] = []
    metadata: list[tuple[int, int]] = []
    exemplars = histograms = 0
    scattered = False
    for field, kind, start, end, _ in fields(body, 0, len(body)):
        if field == 3 and kind == BYTES:
            metadata.append((start, end))
        if field != 1 or kind != BYTES:
            continue
        first = last = start
        found = False
        before = start  # where the field begins
        for inner, inner_kind, a, b, _ in fields(body, start, end):
            if inner_kind == BYTES and inner == 1:
                if not found:
                    first, found = before, True
                elif last != before:
                    scattered = True
                last = b
            elif inner_kind == BYTES and inner == 2:
                t, value = _sample(body, a, b)
                series.append(len(starts))
                times.append(t)
                values.append(value)
            elif inner == 3:
                exemplars += 1
            elif inner == 4:
                histograms += 1
            before = b
        starts.append(first)
        ends.append(last)
    return Decoded(
        np.array(starts, np.int64), np.array(ends, np.int64), np.array(series, np.int64),
        np.array(times, np.int64), np.array(values, np.float64), metadata, exemplars, histograms,
        scattered,
    )  # fmt: skip


def _sample(body: bytes, start: int, end: int) -> tuple[int, float]:
    t, value = 0, 0.0
    for field, kind, a, _, number in fields(body, start, end):
        if field == 1 and kind == FIXED64:
            (value,) = struct.unpack_from("<d", body, a)
        elif field == 2 and kind == VARINT:
            t = number - 2**64 if number >= 2**63 else number
    return t, value
