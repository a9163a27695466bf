"""Loose samples: arrays of ref, time and value, and how they merge."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.model import Batch

MAX_TIME_MS = 2**62
"""Times beyond plus or minus this are refused: no clock has them."""

Part = tuple["NDArray[np.int64]", "NDArray[np.float64]"]
"""Times and values of one series."""


@attrs.frozen(eq=False)
class Piece:
    """Loose samples, in the order written or sorted by (ref, t)."""

    refs: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.refs)


EMPTY = Piece(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def checked(
    batch: Batch,
) -> tuple[NDArray[np.int64], int | NDArray[np.int64], NDArray[np.float64]]:
    """Refs, one time or a time for each, and values of a batch. Raises ValueError."""
    refs = np.ascontiguousarray(batch.refs, np.int64)
    values = np.ascontiguousarray(batch.values, np.float64)
    n = len(refs)
    if n != len(values):
        raise ValueError(f"a batch of {n} refs has {len(values)} values")
    if not (isinstance(batch.t_ms, np.ndarray) and batch.t_ms.ndim):
        t_ms = int(batch.t_ms)
        _check_times(t_ms, t_ms)
        return refs, t_ms, values
    times = np.ascontiguousarray(batch.t_ms, np.int64)
    if len(times) != n:
        raise ValueError(f"a batch of {n} refs has {len(times)} times")
    if n:
        _check_times(int(times.min()), int(times.max()))
    return refs, times, values


def _check_times(low: int, high: int) -> None:
    if low < -MAX_TIME_MS or high > MAX_TIME_MS:
        raise ValueError(f"times {low}..{high} ms are no times that a clock tells")


def merge_pieces(pieces: list[Piece]) -> Piece:
    """One piece sorted by (ref, t); of equal (ref, t) the later written is kept."""
    refs = np.concatenate([p.refs for p in pieces])
    t_ms = np.concatenate([p.t_ms for p in pieces])
    values = np.concatenate([p.values for p in pieces])
    order = np.lexsort((t_ms, refs))  # stable: equal keys stay in the order written
    refs, t_ms, values = refs[order], t_ms[order], values[order]
    if len(refs) > 1:
        last = np.empty(len(refs), bool)
        last[-1] = True
        np.logical_or(refs[1:] != refs[:-1], t_ms[1:] != t_ms[:-1], out=last[:-1])
        if not last.all():
            refs, t_ms, values = refs[last], t_ms[last], values[last]
    return Piece(refs, t_ms, values)


def join(parts: list[Part]) -> Part:
    """Parts of one series as one strictly rising column; of equal times the last part's wins."""
    if not parts:
        return EMPTY.t_ms, EMPTY.values
    if len(parts) == 1:
        return parts[0]
    t_ms = np.concatenate([t for t, _ in parts])
    values = np.concatenate([v for _, v in parts])
    if all(a[-1] < b[0] for (a, _), (b, _) in itertools.pairwise(parts)):
        return t_ms, values  # each part rises strictly: so does the whole
    order = np.argsort(t_ms, kind="stable")
    t_ms, values = t_ms[order], values[order]
    last = np.append(t_ms[1:] != t_ms[:-1], True)
    return t_ms[last], values[last]


def runs(refs: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """(ref, start, end) of each run in sorted ``refs``."""
    if not len(refs):
        return []
    cuts = [0, *(np.flatnonzero(np.diff(refs)) + 1).tolist(), len(refs)]
    return [(int(refs[a]), a, b) for a, b in itertools.pairwise(cuts)]


def without(piece: Piece, taken: Piece) -> Piece:
    """``piece`` without the samples of ``taken`` (equal ref, time and bits)."""
    keep = ~np.isin(_rows(piece), _rows(taken))
    return Piece(piece.refs[keep], piece.t_ms[keep], piece.values[keep])


def _rows(piece: Piece) -> NDArray[np.void]:
    kind = np.dtype([("r", np.int64), ("t", np.int64), ("v", np.int64)])
    out = np.empty(len(piece), kind)
    out["r"], out["t"], out["v"] = piece.refs, piece.t_ms, piece.values.view(np.int64)
    return out
