"""Samples in memory that are not in sealed chunks: blocks, and loose samples beside them.

A *block* holds the ticks of one recurring set of series as a matrix (rows are ticks): a tick is
one memory copy, and all its series seal together. What does not fit that shape (late samples,
sets seen too seldom, batches with times of their own) is *loose*: arrays of ref, time and value.

Laws that sealing and reading rely on:

* a block only takes a tick that is newer than all its series had anywhere before;
* the times of one series in different blocks do not interleave: when a series moves to another
  block and the first one is fed again, the first is frozen and a new one begun;
* a loose sample was written after any block row of the same series and time, so it wins.

Rows of a block below ``n`` never change, and loose arrays are replaced, not written to: a reader
takes a snapshot under the lock and copies at leisure.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max

BLOCK_ROWS = 1440
"""Ticks after which a block seals: the samples of a chunk."""

MAX_BLOCKS = 256
"""Live blocks; beyond it the least recently fed ones are dissolved into loose samples."""

_MAX_PIECES = 64

Newest = Callable[["NDArray[np.int64]"], "tuple[NDArray[np.int64], NDArray[np.int64]]"]
"""For refs: (newest time of any chunk, newest time of a regular chunk), NEVER where none."""


@attrs.define(eq=False)
class Block:
    """Ticks of one set of series. ``values[:n]`` are there to read; log rows first..last."""

    refset: int
    refs: NDArray[np.int64]
    slots: NDArray[np.int64]
    digest: bytes
    number: int
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    n: int = 0
    pending: int = 0
    first_log: int = 0
    last_log: int = 0
    _sorted: NDArray[np.int64] | None = None
    _order: NDArray[np.int64] | None = None

    @property
    def nbytes(self) -> int:
        return self.n * (len(self.refs) + 1) * 8

    def find(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[len(refs)]: the column of each ref, -1 where the block has none."""
        if self._sorted is None or self._order is None:
            self._order = np.argsort(self.refs, kind="stable")
            self._sorted = self.refs[self._order]
        at = np.minimum(np.searchsorted(self._sorted, refs), len(self._sorted) - 1)
        return np.where(self._sorted[at] == refs, self._order[at], -1)


@attrs.frozen(eq=False)
class Piece:
    """Loose samples, in the order written or sorted by (ref, t)."""

    refs: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.refs)


EMPTY = Piece(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


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


@attrs.define
class Placed:
    """What one batch became: a row of ``block``, or loose samples (``piece``)."""

    block: Block | None
    piece: Piece | None
    late: Piece | None = None  # those of ``piece`` that are not newer than a regular chunk


class Head:
    """Blocks and loose samples. Writers call it one at a time; readers at any time."""

    def __init__(self, newest: Newest) -> None:
        self.lock = threading.Lock()
        self._newest_of = newest
        self._slot_of: dict[int, int] = {}
        self.newest = np.empty(0, np.int64)
        self.sealed = np.empty(0, np.int64)
        self._owner = np.empty(0, np.int64)
        self._numbers = 0
        self.blocks: dict[bytes, Block] = {}  # by digest, least recently fed first
        self._by_identity: dict[int, tuple[NDArray[np.int64], Block]] = {}
        self.frozen: list[Block] = []
        self.sorted = EMPTY
        self.pieces: list[Piece] = []
        self.dissolved: list[tuple[int, int, int]] = []  # (refset, first log row, last log row)
        self.loose_log = 0  # newest log row of loose samples
        self._undo: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._touched: list[Block] = []
        self._new_pieces: list[Piece] = []

    # --- writing: plan, then commit or roll back ------------------------------------------

    def place(
        self,
        refs: NDArray[np.int64],
        t_ms: int | NDArray[np.int64],
        values: NDArray[np.float64],
        refset_of: Callable[[NDArray[np.int64]], int],
    ) -> list[Placed]:
        """Decide where a batch goes and put it there, unseen until ``commit``."""
        if not isinstance(t_ms, np.ndarray):
            block = self._block_for(refs, refset_of)
            if block is not None and not (self.newest[block.slots] >= t_ms).any():
                block = self._room(block)
                return [self._row(block, t_ms, values)]
            t_ms = np.full(len(refs), t_ms, np.int64)
        return [self._loose(Piece(refs, t_ms, values))]

    def _row(self, block: Block, t_ms: int, values: NDArray[np.float64]) -> Placed:
        slots = block.slots
        block.times[block.pending] = t_ms
        block.values[block.pending] = values
        block.pending += 1
        self._undo.append((slots, self.newest[slots], self._owner[slots]))
        self.newest[slots] = t_ms
        self._owner[slots] = block.number
        self._touched.append(block)
        return Placed(block, None)

    def _loose(self, piece: Piece) -> Placed:
        slots = self._slots(piece.refs)
        late = piece.t_ms <= self.sealed[slots]
        self._undo.append((slots, self.newest[slots], self._owner[slots]))
        np.maximum.at(self.newest, slots, piece.t_ms)
        self._new_pieces.append(piece)
        found = None
        if late.any():
            found = Piece(piece.refs[late], piece.t_ms[late], piece.values[late])
        return Placed(None, piece, found)

    def commit(self) -> None:
        """Make what was placed visible."""
        with self.lock:
            for block in self._touched:
                block.n = block.pending
            if self._new_pieces:
                self.pieces = [*self.pieces, *self._new_pieces]
        self._touched.clear()
        self._new_pieces = []
        self._undo.clear()
        if len(self.pieces) > _MAX_PIECES:
            self.consolidate()

    def roll_back(self) -> None:
        """Forget what was placed since the last commit."""
        for slots, newest, owner in reversed(self._undo):
            self.newest[slots] = newest
            self._owner[slots] = owner
        for block in self._touched:
            block.pending = block.n
        self._touched.clear()
        self._new_pieces = []
        self._undo.clear()

    def _block_for(
        self, refs: NDArray[np.int64], refset_of: Callable[[NDArray[np.int64]], int]
    ) -> Block | None:
        known = self._by_identity.get(id(refs))
        if known is not None and known[0] is refs:
            block = known[1]
            self.blocks[block.digest] = self.blocks.pop(block.digest)
            return block
        digest = hashlib.blake2b(refs.tobytes(), digest_size=16).digest()
        found = self.blocks.pop(digest, None)
        if found is None:
            if len(np.unique(refs)) != len(refs):
                return None
            found = self._begin(refset_of(refs), refs, self._slots(refs), digest)
        self.blocks[digest] = found
        if len(self._by_identity) > 4 * MAX_BLOCKS:
            self._by_identity.clear()
        self._by_identity[id(refs)] = (refs, found)
        return found

    def _begin(
        self, refset: int, refs: NDArray[np.int64], slots: NDArray[np.int64], digest: bytes
    ) -> Block:
        self._numbers += 1
        values = np.empty((BLOCK_ROWS, len(refs)), np.float64)  # memory is taken row by row
        times = np.empty(BLOCK_ROWS, np.int64)
        return Block(refset, refs, slots, digest, self._numbers, times, values)

    def _room(self, block: Block) -> Block:
        """The block, or its successor if it is full or its series were fed elsewhere since."""
        if block.pending == 0:
            return block
        if block.pending < BLOCK_ROWS and (self._owner[block.slots] == block.number).all():
            return block
        return self.freeze(block)

    def freeze(self, block: Block) -> Block:
        """Close ``block`` for writing (it waits to be sealed); its successor."""
        after = self._begin(block.refset, block.refs, block.slots, block.digest)
        with self.lock:
            self.frozen = [*self.frozen, block]
            self.blocks[block.digest] = after
        for key, (refs, old) in list(self._by_identity.items()):
            if old is block:
                self._by_identity[key] = (refs, after)
        return after

    def retire(self, block: Block) -> None:
        """Close ``block`` without a successor."""
        with self.lock:
            if block.n:
                self.frozen = [*self.frozen, block]
            self.blocks.pop(block.digest, None)
        for key, (_, old) in list(self._by_identity.items()):
            if old is block:
                del self._by_identity[key]

    # --- slots ------------------------------------------------------------------------------

    def _slots(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        slot_of = self._slot_of
        listed = refs.tolist()
        unknown = [ref for ref in dict.fromkeys(listed) if ref not in slot_of]
        if unknown:
            start = len(slot_of)
            for i, ref in enumerate(unknown, start):
                slot_of[ref] = i
            if len(slot_of) > len(self.newest):
                size = max(1024, 2 * len(slot_of))
                self.newest = _grown(self.newest, size, NEVER)
                self.sealed = _grown(self.sealed, size, NEVER)
                self._owner = _grown(self._owner, size, 0)
            end = len(slot_of)
            newest, sealed = self._newest_of(np.array(unknown, np.int64))
            self.newest[start:end] = newest
            self.sealed[start:end] = sealed
            self._owner[start:end] = 0
        return np.fromiter((slot_of[ref] for ref in listed), np.int64, len(listed))

    def slot(self, ref: int) -> int | None:
        """The slot of a series that the head knows."""
        return self._slot_of.get(ref)

    def active(self) -> int:
        """How many series the head knows."""
        return len(self._slot_of)

    def forget_idle(self) -> None:
        """Give up the slots of series that neither a block nor a loose sample uses."""
        loose = np.concatenate([self.sorted.refs, *(p.refs for p in self.pieces)])
        used: set[int] = set(np.unique(loose).tolist())
        blocks = [*self.blocks.values(), *self.frozen]
        for block in blocks:
            used.update(block.refs.tolist())
        if len(self._slot_of) < 2 * len(used) + 1024:
            return
        kept = [(ref, slot) for ref, slot in self._slot_of.items() if ref in used]
        old = np.array([slot for _, slot in kept], np.int64)
        size = max(1024, 2 * len(kept))
        self.newest = _grown(self.newest[old], size, NEVER)
        self.sealed = _grown(self.sealed[old], size, NEVER)
        self._owner = _grown(self._owner[old], size, 0)
        self._slot_of = {ref: i for i, (ref, _) in enumerate(kept)}
        for block in blocks:
            block.slots = self._slots(block.refs)

    # --- loose samples ------------------------------------------------------------------------

    @property
    def loose(self) -> int:
        """How many loose samples there are."""
        return len(self.sorted) + sum(len(p) for p in self.pieces)

    def consolidate(self) -> Piece:
        """All loose samples as one sorted piece."""
        if self.pieces:
            newer = merge_pieces(self.pieces)
            small = 2 * len(newer) < len(self.sorted) and len(self.pieces) > 1
            if small and len(self.pieces) <= 2 * _MAX_PIECES:
                with self.lock:
                    self.pieces = [newer]
                return self.sorted
            merged = merge_pieces([self.sorted, newer])
            with self.lock:
                self.sorted, self.pieces = merged, []
        return self.sorted

    def consolidate_fully(self) -> Piece:
        """Like ``consolidate``, with nothing left aside."""
        if self.pieces:
            merged = merge_pieces([self.sorted, *self.pieces])
            with self.lock:
                self.sorted, self.pieces = merged, []
        return self.sorted

    def replace_loose(self, piece: Piece) -> None:
        """The loose samples that remain after sealing (sorted)."""
        with self.lock:
            self.sorted, self.pieces = piece, []

    def dissolve(self, block: Block) -> None:
        """Turn a frozen block into loose samples, older than all that are loose already."""
        n, k = block.n, len(block.refs)
        piece = Piece(
            np.tile(block.refs, n), np.repeat(block.times[:n], k), block.values[:n].ravel().copy()
        )
        with self.lock:
            self.frozen = [b for b in self.frozen if b is not block]
            self.sorted = merge_pieces([piece, self.sorted])
            self.dissolved.append((block.refset, block.first_log, block.last_log))

    # --- reading ------------------------------------------------------------------------------

    def snapshot(self) -> tuple[list[tuple[Block, int]], Piece, list[Piece]]:
        """Blocks with their rows, sorted loose samples, newer loose pieces."""
        with self.lock:
            blocks = [(b, b.n) for b in [*self.frozen, *self.blocks.values()] if b.n]
            return blocks, self.sorted, self.pieces

    @property
    def samples(self) -> int:
        with self.lock:
            rows = sum(b.n * len(b.refs) for b in [*self.frozen, *self.blocks.values()])
        return rows + self.loose

    @property
    def nbytes(self) -> int:
        blocks = sum(b.nbytes for b in [*self.frozen, *self.blocks.values()])
        return blocks + 24 * self.loose


def _grown(array: NDArray[np.int64], size: int, fill: int) -> NDArray[np.int64]:
    out = np.full(size, fill, np.int64)
    out[: len(array)] = array
    return out


Part = tuple["NDArray[np.int64]", "NDArray[np.float64]"]


def parts_of(
    snapshot: tuple[list[tuple[Block, int]], Piece, list[Piece]],
    refs: NDArray[np.int64],
    t_min: int,
    t_max: int,
) -> dict[int, list[Part]]:
    """For each ref its samples in [t_min, t_max] as parts, the later written ones last."""
    blocks, tidy, pieces = snapshot
    out: dict[int, list[Part]] = {}
    for block, n in blocks:
        low = int(np.searchsorted(block.times[:n], t_min))
        high = int(np.searchsorted(block.times[:n], t_max, "right"))
        if low >= high:
            continue
        times = block.times[low:high]
        columns = block.find(refs).tolist()
        for ref, column in zip(refs.tolist(), columns, strict=True):
            if column >= 0:
                part = (times, block.values[low:high, column].copy())
                out.setdefault(ref, []).append(part)
    if len(tidy):
        starts = np.searchsorted(tidy.refs, refs).tolist()
        ends = np.searchsorted(tidy.refs, refs, "right").tolist()
        for ref, start, end in zip(refs.tolist(), starts, ends, strict=True):
            if start < end:
                t_ms = tidy.t_ms[start:end]
                low, high = np.searchsorted(t_ms, t_min), np.searchsorted(t_ms, t_max, "right")
                if low < high:
                    part = (t_ms[low:high], tidy.values[start:end][low:high])
                    out.setdefault(ref, []).append(part)
    for piece in pieces:
        mask = (piece.t_ms >= t_min) & (piece.t_ms <= t_max)
        mask &= (piece.refs == refs[0]) if len(refs) == 1 else np.isin(piece.refs, refs)
        if mask.any():
            inside = merge_pieces([Piece(piece.refs[mask], piece.t_ms[mask], piece.values[mask])])
            cuts = np.flatnonzero(np.diff(inside.refs)) + 1
            for at, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(inside)], strict=True):
                part = (inside.t_ms[at:end], inside.values[at:end])
                out.setdefault(int(inside.refs[at]), []).append(part)
    return out


def join(parts: list[Part]) -> Part:
    """Parts of one series as one strictly rising column; of equal times the last part's wins."""
    if not parts:
        return EMPTY.t_ms, EMPTY.values
    if len(parts) == 1:
        return parts[0]
    t_ms = np.concatenate([t for t, _ in parts])
    values = np.concatenate([v for _, v in parts])
    if (t_ms[1:] > t_ms[:-1]).all():
        return t_ms, values
    order = np.argsort(t_ms, kind="stable")
    t_ms, values = t_ms[order], values[order]
    last = np.append(t_ms[1:] != t_ms[:-1], True)
    return t_ms[last], values[last]
