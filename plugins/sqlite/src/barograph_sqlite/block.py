"""Ticks of one recurring set of series, as a matrix that grows row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 1440
"""Ticks after which a block seals: the samples of a chunk."""

FIRST_ROWS = 64
"""Ticks that a new block has room for; the room doubles as it fills."""


@attrs.define(eq=False)
class Block:
    """Ticks of one set of series. ``values[:n]`` are there to read.

    ``log``: its rows in the log as (first, last) for each refset; after a restart, rows of several
    refsets with the same series can be one block.

    ``fed`` is the array object that its last batch named its series with: the next batch with the
    same object needs no look at its contents.
    """

    refset: int
    refs: NDArray[np.int64]
    slots: NDArray[np.int64]
    digest: bytes
    number: int
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    fed: NDArray[np.int64] | None = None
    n: int = 0
    pending: int = 0
    log: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    _lookup: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def nbytes(self) -> int:
        return self.n * (len(self.refs) + 1) * 8

    def add(self, t_ms: int, values: NDArray[np.float64]) -> None:
        """One more row, pending until the commit."""
        if self.pending == len(self.times):
            rows = min(2 * len(self.times), BLOCK_ROWS)
            self.times = _longer(self.times, rows)
            self.values = _longer(self.values, rows)
        self.times[self.pending] = t_ms
        self.values[self.pending] = values
        self.pending += 1

    def logged(self, refset: int, number: int) -> None:
        """Row ``number`` of the log is one of this block's."""
        first, _ = self.log.get(refset, (number, number))
        self.log[refset] = first, number

    def find(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[len(refs)]: the column of each ref, -1 where the block has none."""
        if self._lookup is None:
            order = np.argsort(self.refs, kind="stable")
            self._lookup = self.refs[order], order
        ordered, order = self._lookup
        at = np.minimum(np.searchsorted(ordered, refs), len(ordered) - 1)
        return np.where(ordered[at] == refs, order[at], -1)


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    out = np.empty((rows, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out
