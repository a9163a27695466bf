"""Samples in memory that are not in sealed chunks: blocks, and loose samples beside them.

A *block* holds the ticks of one recurring set of series as a matrix (rows are ticks): a tick is
one memory copy, and all its series seal together. What does not fit that shape (late samples,
sets seen for the first time, batches with times of their own) is *loose*: arrays of ref, time and
value.

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
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph_sqlite.block import BLOCK_ROWS, FIRST_ROWS, Block
from barograph_sqlite.loose import EMPTY, Part, Piece, merge_pieces, runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).min
FOREVER = np.iinfo(np.int64).max

MAX_BLOCKS = 256
"""Live blocks; beyond it the least recently fed ones are closed."""

MAX_SEEN = 1024
"""Sets of series that are remembered to have come once; a block begins with the second time."""

MAX_PIECES = 64
"""Unmerged pieces of loose samples."""

SPARE_SLOTS = 64
"""Series without samples in the head that are remembered beside as many as have some."""

Newest = Callable[["NDArray[np.int64]"], "tuple[NDArray[np.int64], NDArray[np.int64]]"]
"""For refs: (newest time of any chunk, newest time of a regular chunk), NEVER where none."""


@attrs.define
class Placed:
    """What one batch became: a row of ``block``, or loose samples (``piece``)."""

    block: Block | None
    piece: Piece | None
    late: Piece | None = None  # those of ``piece`` that are not newer than a regular chunk


@attrs.frozen(eq=False)
class Snapshot:
    """What the head held at one moment: blocks with their rows, and loose samples in layers: of
    equal series and time, a later layer's is the later written. ``tidy`` is sorted by (ref, t)."""

    blocks: list[tuple[Block, int]]
    early: list[Piece]
    tidy: Piece
    recent: list[Piece]


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
        self.blocks: OrderedDict[bytes, Block] = OrderedDict()  # least recently fed first
        self._by_identity: dict[int, Block] = {}  # by id() of what its ``fed`` keeps alive
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.frozen: list[Block] = []
        self.early: list[Piece] = []  # of blocks that were dissolved: older than all loose ones
        self.sorted = EMPTY
        self.pieces: list[Piece] = []
        self.dissolved: list[tuple[int, int, int]] = []  # (refset, first log row, last log row)
        self._undo: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._touched: list[Block] = []
        self._new_pieces: list[Piece] = []
        self._new_refsets: set[int] = set()
        self._notes: list[tuple[Block, int, int]] = []

    # --- writing: plan, then commit or roll back ------------------------------------------

    def place(
        self,
        refs: NDArray[np.int64],
        t_ms: int | NDArray[np.int64],
        values: NDArray[np.float64],
        refset_of: Callable[[NDArray[np.int64]], int],
        *,
        recurring: bool = False,
    ) -> Placed:
        """Decide where a batch goes and put it there, unseen until ``commit``.

        ``refset_of`` gives the number of a set that gets a block; a set that is not ``recurring``
        by the caller's knowledge gets one when it comes for the second time.
        """
        if not isinstance(t_ms, np.ndarray):
            block = self._block_for(refs, refset_of, recurring)
            if block is not None and not (self.newest[block.slots] >= t_ms).any():
                return self._row(self._room(block), t_ms, values)
            t_ms = np.full(len(refs), t_ms, np.int64)
        return self._loose(Piece(refs, t_ms, values))

    def _row(self, block: Block, t_ms: int, values: NDArray[np.float64]) -> Placed:
        slots = block.slots
        block.add(t_ms, values)
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

    def logged(self, block: Block, refset: int, number: int) -> None:
        """A row of ``block`` is row ``number`` of the log, once it is committed."""
        self._notes.append((block, refset, number))

    def commit(self) -> None:
        """Make what was placed visible."""
        for block, refset, number in self._notes:
            block.logged(refset, number)
        with self.lock:
            for block in self._touched:
                block.n = block.pending
            if self._new_pieces:
                self.pieces = [*self.pieces, *self._new_pieces]
        self._end()
        if len(self.pieces) > MAX_PIECES:
            self.tidy_up()

    def roll_back(self) -> None:
        """Forget what was placed since the last commit."""
        for slots, newest, owner in reversed(self._undo):
            self.newest[slots] = newest
            self._owner[slots] = owner
        for block in self._touched:
            block.pending = block.n
        # Sets that were numbered meanwhile have no number any more: SQLite may give it to another.
        for block in [b for b in self.blocks.values() if b.refset in self._new_refsets]:
            self.retire(block)
        with self.lock:
            self.frozen = [b for b in self.frozen if b.refset not in self._new_refsets]
        self._end()

    def _end(self) -> None:
        self._touched.clear()
        self._new_pieces = []
        self._new_refsets.clear()
        self._notes.clear()
        self._undo.clear()

    def _block_for(
        self, refs: NDArray[np.int64], refset_of: Callable[[NDArray[np.int64]], int], known: bool
    ) -> Block | None:
        block = self._by_identity.get(id(refs))
        if block is not None and block.fed is refs:
            self.blocks.move_to_end(block.digest)
            return block
        digest = hashlib.blake2b(refs.tobytes(), digest_size=16).digest()
        block = self.blocks.get(digest)
        if block is None:
            if not (known or self._came_before(digest)) or len(np.unique(refs)) != len(refs):
                return None
            slots = self._slots(refs)
            refset = refset_of(refs)
            self._new_refsets.add(refset)
            block = self._begin(refset, refs, slots, digest)
        with self.lock:
            self.blocks[digest] = block
        self.blocks.move_to_end(digest)
        self._feed(block, refs)
        return block

    def _came_before(self, digest: bytes) -> bool:
        before = digest in self._seen
        self._seen[digest] = None
        self._seen.move_to_end(digest)
        if len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return before

    def _feed(self, block: Block, refs: NDArray[np.int64] | None) -> None:
        if block.fed is not None:
            self._by_identity.pop(id(block.fed), None)
        block.fed = refs
        if refs is not None:
            self._by_identity[id(refs)] = block

    def _begin(
        self, refset: int, refs: NDArray[np.int64], slots: NDArray[np.int64], digest: bytes
    ) -> Block:
        self._numbers += 1
        values = np.empty((FIRST_ROWS, len(refs)), np.float64)
        times = np.empty(FIRST_ROWS, np.int64)
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
        fed = block.fed
        self._feed(block, None)
        self._feed(after, fed)
        with self.lock:
            self.frozen = [*self.frozen, block]
            self.blocks[block.digest] = after
        return after

    def retire(self, block: Block) -> None:
        """Close ``block`` without a successor."""
        self._feed(block, None)
        with self.lock:
            if block.n:
                self.frozen = [*self.frozen, block]
            self.blocks.pop(block.digest, None)

    def all_blocks(self) -> list[Block]:
        """Frozen and live blocks."""
        with self.lock:
            return [*self.frozen, *self.blocks.values()]

    # --- slots ------------------------------------------------------------------------------

    def _slots(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        slot_of = self._slot_of
        listed = refs.tolist()
        unknown = [ref for ref in dict.fromkeys(listed) if ref not in slot_of]
        if unknown:
            newest, sealed = self._newest_of(np.array(unknown, np.int64))
            start, end = len(slot_of), len(slot_of) + len(unknown)
            if end > len(self.newest):
                size = max(1024, 2 * end)
                self.newest = _grown(self.newest, size, NEVER)
                self.sealed = _grown(self.sealed, size, NEVER)
                self._owner = _grown(self._owner, size, 0)
            self.newest[start:end] = newest
            self.sealed[start:end] = sealed
            self._owner[start:end] = 0
            slot_of.update(zip(unknown, range(start, end), strict=True))
        return np.fromiter((slot_of[ref] for ref in listed), np.int64, len(listed))

    def slots(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slots of series that have samples in the head."""
        return self._slots(refs)

    def slot(self, ref: int) -> int | None:
        """The slot of a series that the head knows."""
        return self._slot_of.get(ref)

    def active(self) -> int:
        """How many series the head knows."""
        return len(self._slot_of)

    def newest_of(self, refs: Sequence[int]) -> NDArray[np.int64]:
        """int64[n]: the newest time of each series, NEVER where the head knows none."""
        with self.lock:
            slot_of, newest = self._slot_of, self.newest
        if not slot_of:
            return np.full(len(refs), NEVER, np.int64)
        # A series that gets its slot meanwhile has one beyond ``newest``, which may grow anew.
        get, end = slot_of.get, len(newest)
        slots = np.array([get(ref, end) for ref in refs], np.int64)
        out = newest[np.minimum(slots, end - 1)]
        out[slots >= end] = NEVER
        return out

    def forget_idle(self, spare: int = SPARE_SLOTS) -> None:
        """Give up the slots of series that neither a block nor a loose sample uses, if they are
        more than the used ones, a 32nd and ``spare``; with ``spare`` 0 in any case."""
        blocks = self.all_blocks()
        if spare and len(self._slot_of) < _worth(sum(len(b.refs) for b in blocks)) + spare:
            return  # cannot be many
        loose = [p.refs for p in (*self.early, self.sorted, *self.pieces)]
        used: set[int] = set(np.unique(np.concatenate(loose)).tolist())
        for block in blocks:
            used.update(block.refs.tolist())
        if spare and len(self._slot_of) < _worth(len(used)) + spare:
            return
        kept = [(ref, slot) for ref, slot in self._slot_of.items() if ref in used]
        old = np.array([slot for _, slot in kept], np.int64)
        size = max(1024, 2 * len(kept))
        with self.lock:
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
        return sum(len(p) for p in (*self.early, self.sorted, *self.pieces))

    def tidy_up(self) -> None:
        """Keep the pieces few, at a cost that is linear in the samples that come."""
        newer = merge_pieces(self.pieces)
        if 2 * len(newer) < len(self.sorted):
            with self.lock:
                self.pieces = [newer]
        else:
            self.consolidate()

    def consolidate(self) -> Piece:
        """All loose samples as one sorted piece."""
        if self.early or self.pieces:
            merged = merge_pieces([*self.early, self.sorted, *self.pieces])
            with self.lock:
                self.early, self.sorted, self.pieces = [], merged, []
        return self.sorted

    def replace_loose(self, piece: Piece) -> None:
        """The loose samples that remain after sealing (sorted)."""
        with self.lock:
            self.early, self.sorted, self.pieces = [], piece, []

    def dissolve(self, blocks: Iterable[Block]) -> None:
        """Turn frozen blocks into loose samples, older than all that are loose already."""
        gone = list(blocks)
        parts = []
        for block in gone:
            n, k = block.n, len(block.refs)
            refs, t_ms = np.tile(block.refs, n), np.repeat(block.times[:n], k)
            parts.append(Piece(refs, t_ms, block.values[:n].ravel().copy()))
        piece = merge_pieces(parts)
        numbers = {block.number for block in gone}
        with self.lock:
            self.frozen = [b for b in self.frozen if b.number not in numbers]
            self.early = [*self.early, piece]
        self.dissolved += [(refset, *rows) for b in gone for refset, rows in b.log.items()]
        if len(self.early) > MAX_PIECES:
            merged = merge_pieces(self.early)
            with self.lock:
                self.early = [merged]

    # --- reading ------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What there is to read now."""
        with self.lock:
            blocks = [(b, b.n) for b in [*self.frozen, *self.blocks.values()] if b.n]
            return Snapshot(blocks, self.early, self.sorted, self.pieces)

    @property
    def samples(self) -> int:
        return sum(b.n * len(b.refs) for b in self.all_blocks()) + self.loose

    @property
    def nbytes(self) -> int:
        return sum(b.nbytes for b in self.all_blocks()) + 24 * self.loose


def _worth(used: int) -> int:
    """Slots that are kept without a look at which of them are used."""
    return used + used // 32


def _grown(array: NDArray[np.int64], size: int, fill: int) -> NDArray[np.int64]:
    out = np.full(size, fill, np.int64)
    out[: len(array)] = array
    return out


def parts_of(
    snapshot: Snapshot, refs: NDArray[np.int64], t_min: int, t_max: int
) -> dict[int, list[Part]]:
    """For each ref its samples in [t_min, t_max] as parts, the later written ones last."""
    out: dict[int, list[Part]] = {}
    for block, n in snapshot.blocks:
        all_times, values = block.times[:n], block.values[:n]
        low = int(np.searchsorted(all_times, t_min))
        high = int(np.searchsorted(all_times, t_max, "right"))
        if low >= high:
            continue
        times = all_times[low:high]
        columns = block.find(refs)
        inside = np.flatnonzero(columns >= 0)
        rows = np.ascontiguousarray(values[low:high].take(columns[inside], axis=1).T)
        for ref, row in zip(refs[inside].tolist(), rows, strict=True):
            out.setdefault(ref, []).append((times, row))
    for piece in snapshot.early:
        _loose_parts(piece, refs, t_min, t_max, out)
    tidy = snapshot.tidy
    if len(tidy):
        starts = np.searchsorted(tidy.refs, refs).tolist()
        ends = np.searchsorted(tidy.refs, refs, "right").tolist()
        for ref, start, end in zip(refs.tolist(), starts, ends, strict=True):
            if start < end:
                t_ms = tidy.t_ms[start:end]
                low, high = int(t_ms.searchsorted(t_min)), int(t_ms.searchsorted(t_max, "right"))
                if low < high:
                    part = (t_ms[low:high], tidy.values[start:end][low:high])
                    out.setdefault(ref, []).append(part)
    for piece in snapshot.recent:
        _loose_parts(piece, refs, t_min, t_max, out)
    return out


def _loose_parts(
    piece: Piece, refs: NDArray[np.int64], t_min: int, t_max: int, out: dict[int, list[Part]]
) -> None:
    mask = (piece.t_ms >= t_min) & (piece.t_ms <= t_max)
    mask &= (piece.refs == refs[0]) if len(refs) == 1 else np.isin(piece.refs, refs)
    if not mask.any():
        return
    inside = merge_pieces([Piece(piece.refs[mask], piece.t_ms[mask], piece.values[mask])])
    for ref, start, end in runs(inside.refs):
        out.setdefault(ref, []).append((inside.t_ms[start:end], inside.values[start:end]))
