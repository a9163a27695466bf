"""Histogram and Timer: distributions, by buckets or as a sketch, and timing what runs.

Cells belong to the recording thread, as in ``barograph.instruments.metrics``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from threading import get_ident
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

from barograph.instruments.family import Child, Family
from barograph.instruments.registry import Description, Reading, Registry

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bucket bounds for durations, as OpenTelemetry's semantic conventions advise."""

_GAMMA = 1.01 / 0.99
_LOG_GAMMA = math.log(_GAMMA)
_ZERO_AT = 40_000  # as in barograph.sketch, which reads these keys

F = TypeVar("F", bound=Callable[..., Any])


def timing(observe: Callable[[float], None], function: F) -> F:
    """``function`` with each call's time observed; a generator's from first to last value."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return await function(*args, **kwargs)
            finally:
                observe(perf_counter() - started)

        return cast(F, timed_coroutine)
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def timed_async_generator(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                async for value in function(*args, **kwargs):
                    yield value
            finally:
                observe(perf_counter() - started)

        return cast(F, timed_async_generator)
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def timed_generator(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return (yield from function(*args, **kwargs))
            finally:
                observe(perf_counter() - started)

        return cast(F, timed_generator)

    @functools.wraps(function)
    def timed_function(*args: Any, **kwargs: Any) -> Any:
        started = perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            observe(perf_counter() - started)

    return cast(F, timed_function)


class Timed(Protocol):
    """One timing of a block; made anew for each, so that blocks may nest and interleave."""

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class HistogramChild(Child):
    """Counts of values by bucket, or by key of a sketch, and their sum."""

    __slots__ = ("_bounds", "_cells", "observe", "timed")

    observe: Callable[[float], None]
    """``observe(value)``: count ``value``; NaN raises ValueError."""

    timed: Callable[[], Timed]
    """``with child.timed():`` observes the seconds that its block takes."""

    def __init__(self, bounds: tuple[float, ...] | None) -> None:
        self._cells: dict[int, Any] = {}
        self._bounds = bounds
        if bounds is None:
            self.observe, self.timed = _into_sketch(self._cells)
        else:
            self.observe, self.timed = _into_buckets(self._cells, bounds)

    def time(self, function: F) -> F:
        """A decorator that observes the seconds of each call."""
        return timing(self.observe, function)

    def read(self) -> Reading:
        counts: dict[int, int] = {}
        sums: list[float] = []
        for cell in list(self._cells.values()):
            found = cell.copy()  # one step: the owner may be adding to it
            sums.append(found.pop("sum") if isinstance(found, dict) else found.pop())
            for key, n in found.items() if isinstance(found, dict) else enumerate(found):
                if n:
                    counts[key] = counts.get(key, 0) + n
        return Reading(math.fsum(sums), counts)

    def cell(self) -> list[float]:
        """The calling thread's own counts by bucket, and their sum last: for code that records so
        often that a call costs too much. Only that thread may change it. Raises ValueError for a
        sketch."""
        if self._bounds is None:
            raise ValueError("a sketch has no buckets to count in")
        return self._cells.setdefault(  # type: ignore[no-any-return]
            get_ident(), [*([0] * (len(self._bounds) + 1)), 0.0]
        )

    def forget(self) -> None:
        for cell in list(self._cells.values()):  # they stay those that their threads hold
            if isinstance(cell, dict):
                cell.clear()
                cell["sum"] = 0.0
            else:
                cell[:] = [*([0] * (len(cell) - 1)), 0.0]


# Both makers return (observe, timed). What observing does stands in both once more, since a call
# costs as much as all the rest.


def _into_buckets(
    cells: dict[int, list[float]], bounds: tuple[float, ...]
) -> tuple[Callable[[float], None], Callable[[], Timed]]:
    """Cells: counts by bucket, and the sum last."""
    ident, find, clock = get_ident, bisect_left, perf_counter
    empty: list[float] = [*([0] * (len(bounds) + 1)), 0.0]

    def observe(value: float) -> None:
        if value != value:
            raise ValueError("NaN cannot be observed")
        try:
            cell = cells[ident()]
        except KeyError:
            cell = cells[ident()] = empty.copy()
        cell[find(bounds, value)] += 1
        cell[-1] += value

    class BucketTimed:
        __slots__ = ("_started",)

        def __enter__(self) -> None:
            self._started = clock()

        def __exit__(self, *_: object) -> None:
            value = clock() - self._started
            try:
                cell = cells[ident()]
            except KeyError:
                cell = cells[ident()] = empty.copy()
            cell[find(bounds, value)] += 1
            cell[-1] += value

    return observe, BucketTimed


def _into_sketch(
    cells: dict[int, dict[Any, float]],
) -> tuple[Callable[[float], None], Callable[[], Timed]]:
    """Cells: counts by the keys of ``barograph.sketch``, and the sum as ``"sum"``."""
    ident, log, ceil, clock = get_ident, math.log, math.ceil, perf_counter

    def observe(value: float) -> None:
        if 0.0 < value < math.inf:
            key = ceil(log(value) / _LOG_GAMMA) + _ZERO_AT
        elif value == 0:
            key = 0
        elif -math.inf < value < 0:
            key = -(ceil(log(-value) / _LOG_GAMMA) + _ZERO_AT)
        else:
            raise ValueError(f"{value!r} cannot be observed")
        try:
            cell = cells[ident()]
        except KeyError:
            cell = cells[ident()] = {"sum": 0.0}
        cell["sum"] += value
        try:
            cell[key] += 1
        except KeyError:
            cell[key] = 1

    class SketchTimed:
        __slots__ = ("_started",)

        def __enter__(self) -> None:
            self._started = clock()

        def __exit__(self, *_: object) -> None:
            observe(clock() - self._started)

    return observe, SketchTimed


class Histogram(Family[HistogramChild]):
    """The distribution of values: classic buckets, or (``sketch=True``) quantiles within 1 %.

    ``buckets``: upper bounds, rising; +Inf is added. Default: for seconds.
    """

    def __init__(
        self, name: str, help: str = "", *, labels: Sequence[str] = (), unit: str = "",
        buckets: Sequence[float] = SECONDS, sketch: bool = False,
        registry: Registry | None = None,
    ) -> None:  # fmt: skip
        bounds = tuple(float(b) for b in buckets if b != math.inf)
        rising = all(a < b for a, b in itertools.pairwise(bounds))
        if not sketch and (not bounds or not rising):
            raise ValueError(f"buckets must rise, such as (0.1, 0.5, 1), not {tuple(buckets)}")
        form = "sketch" if sketch else "histogram"
        unit = unit or ("seconds" if name.endswith("_seconds") else "")
        self._bounds = None if sketch else bounds
        described = Description(name, form, unit, help, () if sketch else bounds)
        super().__init__(described, labels, registry)
        if self._only is not None:
            self.observe, self.timed = self._only.observe, self._only.timed

    observe: Callable[[float], None]
    """``observe(value)``: count ``value`` (of an instrument without labels)."""

    timed: Callable[[], Timed]
    """``with histogram.timed():`` observes its block's seconds (without labels)."""

    def _new(self) -> HistogramChild:
        return HistogramChild(self._bounds)

    def time(self, function: F) -> F:
        """A decorator that observes each call's seconds (without labels)."""
        return timing(self._sole().observe, function)


def Timer(
    name: str, help: str = "", *, labels: Sequence[str] = (), registry: Registry | None = None
) -> Histogram:
    """A histogram of seconds kept as a sketch: any quantile within 1 %, no buckets to choose."""
    if not name.endswith("_seconds"):
        raise ValueError(f"a timer's name ends in _seconds: {name}_seconds")
    return Histogram(name, help, labels=labels, sketch=True, registry=registry)
