"""Kernels that run in two ways: as the plain Python that they are, or compiled by numba.

Both give the same bits. Compiled they are a hundred times as fast, but numba with its compiler
takes about 125 MB of memory as long as the process lives; a host's few series do not need that.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

AT_ONCE = 500
"""Samples of one call up to which it is run as plain Python: at most some 35 ms."""

IN_ALL = 20_000
"""Samples of histories that are run as plain Python before they are worth compiling: 1.5 s."""

_pieces: set[Callable[..., Any]] = set()


def piece(function: F) -> F:
    """Marks a part that kernels are built of; it stays what it is."""
    _pieces.add(function)
    return function


class Kernel:
    """Runs ``function`` as it is while there is little to do, and compiled once there is much.

    The function writes its results into arrays that it is given. Compiling takes seconds the first
    time, and about one second from the cache on disk.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.plain = function
        self._compiled: Callable[..., None] | None = None
        self._run_plain = 0

    @property
    def compiled(self) -> Callable[..., None]:
        """The compiled function; made now, if it is not there yet."""
        if self._compiled is None:
            from barograph.rolling.kernels.compile import kernel  # imports numba

            self._compiled = kernel(_twin(self.plain))
        return self._compiled

    def __call__(self, ticks: int, series: int, *arguments: Any) -> None:
        """Work on ``ticks`` samples of ``series`` series; one tick is a stream's."""
        if ticks > 1:
            self._run_plain += ticks * series
        if self._compiled is None and ticks * series <= AT_ONCE and self._run_plain <= IN_ALL:
            with np.errstate(all="ignore"):  # as compiled: a division by zero is an infinity
                self.plain(*arguments)
        else:
            self.compiled(*arguments)


@functools.cache
def _compiled_piece(function: Callable[..., Any]) -> Callable[..., Any]:
    from barograph.rolling.kernels.compile import piece as compiled

    return compiled(_twin(function))


def _twin(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same code, in which the names of pieces mean the compiled ones."""
    assert isinstance(function, types.FunctionType)
    known = function.__globals__
    pieces = {
        name: _compiled_piece(known[name]) for name in function.__code__.co_names
        if isinstance(known.get(name), types.FunctionType) and known[name] in _pieces
    }  # fmt: skip
    twin = types.FunctionType(
        function.__code__, {**known, **pieces}, function.__name__, function.__defaults__
    )
    twin.__qualname__, twin.__module__ = function.__qualname__, function.__module__
    return twin
