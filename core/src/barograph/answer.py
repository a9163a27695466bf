"""What a query engine answers: a scalar, a string, a vector or a matrix; and how it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from barograph.model import Column, Labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@attrs.frozen
class Scalar:
    """One number at one time."""

    t_ms: int
    value: float


@attrs.frozen
class String:
    """A text at one time."""

    t_ms: int
    value: str


@attrs.frozen(eq=False)
class Vector:
    """One value of each series at one time.

    ``values`` float64[n] for the n ``labels``; in the order of the expression where it sorts.
    """

    t_ms: int
    labels: list[Labels]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)


@attrs.frozen(eq=False)
class Matrix:
    """Samples of each series over time, sorted by labels.

    Series i owns ``t_ms`` int64 and ``values`` float64 at ``offsets[i]:offsets[i+1]``, times
    rising. A series has at least one sample; a step without a value is left out.
    """

    labels: list[Labels]
    offsets: NDArray[np.int64]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def column(self, i: int) -> Column:
        """The samples of series ``i``."""
        a, b = int(self.offsets[i]), int(self.offsets[i + 1])
        return Column(self.t_ms[a:b], self.values[a:b])

    def __iter__(self) -> Iterator[tuple[Labels, Column]]:
        for i, labels in enumerate(self.labels):
            yield labels, self.column(i)


Answer = Scalar | String | Vector | Matrix


class QueryError(Exception):
    """A query has no answer; the message says why. ``kind`` is the error type of the HTTP API."""

    kind = "execution"


class QueryInvalid(QueryError):
    """The expression or its times make no sense."""

    kind = "bad_data"


class QueryFailed(QueryError):
    """The expression cannot be evaluated over this data."""


class QueryTooLarge(QueryFailed):
    """A limit on samples or series; the message names the option."""


class QueryTimeout(QueryError):
    """The query took longer than it may."""

    kind = "timeout"


class QueryCancelled(QueryError):
    """Who asked has gone."""

    kind = "canceled"
