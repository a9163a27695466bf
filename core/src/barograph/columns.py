"""Columns: samples of many series in few arrays, as a query engine works on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs
import numpy as np

from barograph.model import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Store

READ_SERIES = 512
"""Series that are read at once from a store that only has ``read``."""

Spend = Callable[[int], None]
"""Told of samples as they are read, or before; below 0: of so many too many. Raises to end it."""


@attrs.frozen(eq=False)
class Columns:
    """Samples of S series, in one of two forms.

    A *grid*, where all series have the same times (those of one source have): ``times`` int64[n]
    and ``grid`` float64[n, S], a row for each time. Else *flat*: series i owns
    ``offsets[i]:offsets[i+1]`` of ``t_ms`` int64[N] and ``values`` float64[N]. A grid is made flat
    when it is asked for it.
    """

    offsets: NDArray[np.int64]
    times: NDArray[np.int64] | None
    grid: NDArray[np.float64] | None
    _t_ms: NDArray[np.int64] | None = None
    _values: NDArray[np.float64] | None = None

    @classmethod
    def flat(
        cls, offsets: NDArray[np.int64], t_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> Columns:
        return cls(offsets, None, None, t_ms, values)

    @classmethod
    def shared(cls, times: NDArray[np.int64], grid: NDArray[np.float64]) -> Columns:
        """All series with the same times."""
        n, count = grid.shape
        return cls(np.arange(count + 1, dtype=np.int64) * n, times, grid)

    @classmethod
    def of(cls, parts: Sequence[Column]) -> Columns:
        """The columns of many series, flat."""
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        if not parts:
            return cls.flat(offsets, np.empty(0, np.int64), np.empty(0, np.float64))
        return cls.flat(
            offsets,
            np.concatenate([part.t_ms for part in parts]),
            np.concatenate([part.values for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @functools.cached_property
    def t_ms(self) -> NDArray[np.int64]:
        """int64[N], one series after another."""
        if self._t_ms is not None:
            return self._t_ms
        assert self.times is not None
        return np.tile(self.times, len(self))

    @functools.cached_property
    def values(self) -> NDArray[np.float64]:
        """float64[N], one series after another."""
        if self._values is not None:
            return self._values
        assert self.grid is not None
        return self.grid.T.reshape(-1)


@runtime_checkable
class ColumnStore(Protocol):
    """What a store can do besides: read many series at once."""

    def read_columns(
        self, refs: Sequence[int] | NDArray[np.int64], t_min: int, t_max: int, spend: Spend
    ) -> Columns:
        """What ``Store.read`` reads; ``spend`` is told of it before more than a part is there."""
        ...


def read_columns(
    store: Store, refs: NDArray[np.int64], t_min: int, t_max: int, spend: Spend
) -> Columns:
    """Raw samples with t_min <= t <= t_max of series (maybe none of some), in the order asked."""
    if isinstance(store, ColumnStore):
        return store.read_columns(refs, t_min, t_max, spend)
    out: list[Column] = []
    for first in range(0, len(refs), READ_SERIES):
        part = store.read(refs[first : first + READ_SERIES].tolist(), t_min, t_max)
        spend(sum(len(column) for column in part))
        out += part
    return Columns.of(out)
