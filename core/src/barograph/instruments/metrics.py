"""Counter, Gauge, Histogram, Timer: recording into cells of the recording thread's own.

A cell belongs to one thread, by its id, so that adding to it needs no lock; a thread that gets the
id of one that has ended goes on with its cell. Reading sums the cells, and may miss what is being
recorded at that moment: the next reading has it.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from threading import get_ident
from time import perf_counter
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar, cast

from barograph.instruments.registry import (
    REGISTRY,
    Description,
    Pairs,
    Reading,
    Registry,
    check_labels,
)

Across = Literal["sum", "max", "min", "last"]
"""How the values of a gauge in several processes become one; ``last``: the newest set."""

MAX_CHILDREN = 2000
"""Label combinations of one instrument; what comes beyond them is recorded as one more child."""

OVERFLOW: Pairs = (("otel_metric_overflow", "true"),)
"""Labels of the child that stands for all combinations beyond the limit (OpenTelemetry's)."""

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bucket bounds for durations, as OpenTelemetry's semantic conventions advise."""

_GAMMA = 1.01 / 0.99
_LOG_GAMMA = math.log(_GAMMA)
_ZERO_AT = 40_000  # as in barograph.sketch, which reads these keys

C = TypeVar("C", bound="Child")
F = TypeVar("F", bound=Callable[..., Any])


class Child:
    """One label combination of an instrument."""

    def read(self) -> Reading:
        raise NotImplementedError(type(self).__name__)

    def forget(self) -> None:
        raise NotImplementedError(type(self).__name__)


class _Family(Generic[C]):
    """An instrument's children by label values."""

    def __init__(
        self, description: Description, labels: Sequence[str], registry: Registry | None
    ) -> None:
        self.description = description
        self._names = check_labels(tuple(labels))
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], C] = {}
        self._overflow: C | None = None
        self._only = self._new() if not self._names else None
        if self._only is not None:
            self._children[()] = self._only
        (REGISTRY if registry is None else registry).add(self)

    def _new(self) -> C:
        raise NotImplementedError(type(self).__name__)

    def labels(self, **values: object) -> C:
        """The child with these label values; bind it once where they are known.

        Raises ValueError if the names are not those that the instrument was made with.
        """
        try:
            key = tuple([str(values[name]) for name in self._names])
        except KeyError:
            key = ()
        if len(values) != len(self._names) or len(key) != len(self._names):
            wanted = ", ".join(self._names) or "none"
            given = ", ".join(values) or "none"
            raise ValueError(f"{self.description.name} has the labels {wanted}; given were {given}")
        child = self._children.get(key)
        return child if child is not None else self._add(key)

    def _add(self, key: tuple[str, ...]) -> C:
        with self._lock:
            child = self._children.get(key)
            if child is None and len(self._children) < MAX_CHILDREN:
                child = self._children[key] = self._new()
            if child is None:
                self._overflow = child = self._overflow or self._new()
            return child

    def read(self) -> Iterator[tuple[Pairs, Reading]]:
        for key, child in list(self._children.items()):
            yield tuple(zip(self._names, key, strict=True)), child.read()
        if self._overflow is not None:
            yield OVERFLOW, self._overflow.read()

    def forget(self) -> None:
        self._lock = threading.Lock()  # after a fork another thread may have held it
        for child in [*self._children.values(), *([self._overflow] if self._overflow else [])]:
            child.forget()

    def __getattr__(self, name: str) -> Any:
        # What records is set by an instrument without labels only.
        if name in ("inc", "observe", "timed"):
            self._sole()
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def _sole(self) -> C:
        if self._only is None:
            wanted = ", ".join(self._names)
            raise ValueError(f"{self.description.name} has labels: call .labels({wanted}) first")
        return self._only


# --- counters -------------------------------------------------------------------------------


class _Cell:
    """What one thread has added."""

    __slots__ = ("sum",)

    def __init__(self, n: float) -> None:
        self.sum = n


class CounterChild(Child):
    """A total that only grows."""

    __slots__ = ("_cells", "inc")

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n``; raises ValueError if it is negative or no number."""

    def __init__(self) -> None:
        cells: dict[int, _Cell] = {}
        ident = get_ident

        def inc(n: float = 1.0) -> None:
            # One comparison refuses negative numbers and NaN.
            if n >= 0.0:
                try:
                    cells[ident()].sum += n
                except KeyError:
                    cells[ident()] = _Cell(n)
            else:
                raise ValueError(f"a counter only grows: {n!r} cannot be added")

        self._cells, self.inc = cells, inc

    def read(self) -> Reading:
        return Reading(math.fsum(cell.sum for cell in list(self._cells.values())))

    def forget(self) -> None:
        self._cells.clear()


class Counter(_Family[CounterChild]):
    """Counts what happens; its name ends in ``_total``."""

    def __init__(
        self, name: str, help: str = "", *, labels: Sequence[str] = (), unit: str = "",
        registry: Registry | None = None,
    ) -> None:  # fmt: skip
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}_total")
        super().__init__(Description(name, "counter", unit, help), labels, registry)
        if self._only is not None:
            self.inc = self._only.inc

    def _new(self) -> CounterChild:
        return CounterChild()

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n`` (of an instrument without labels)."""


# --- gauges ---------------------------------------------------------------------------------


class GaugeChild(Child):
    """A value that goes up and down: what was set last, and what was added since."""

    __slots__ = ("_base", "_cells", "_read", "inc")

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n``."""

    def __init__(self) -> None:
        cells: dict[int, _Cell] = {}
        ident = get_ident

        def inc(n: float = 1.0) -> None:
            try:
                cells[ident()].sum += n
            except KeyError:
                cells[ident()] = _Cell(n)

        self._cells, self.inc = cells, inc
        self._base = 0.0
        self._read: Callable[[], float] | None = None

    def dec(self, n: float = 1.0) -> None:
        """Take ``n`` away."""
        self.inc(-n)

    def set(self, value: float) -> None:
        """From now on it is ``value``."""
        # What other threads add during these two steps may be lost; set and inc of one gauge
        # from several threads have no defined order anyhow.
        self._cells.clear()
        self._base = float(value)

    def set_function(self, read: Callable[[], float]) -> None:
        """Ask ``read()`` at each collection."""
        self._read = read

    def read(self) -> Reading:
        if self._read is not None:
            try:
                return Reading(float(self._read()))
            except Exception:  # noqa: BLE001 — a stranger's function: it has no value just now
                return Reading(math.nan)
        return Reading(self._base + math.fsum(cell.sum for cell in list(self._cells.values())))

    def forget(self) -> None:
        self._cells.clear()
        self._base = 0.0


class Gauge(_Family[GaugeChild]):
    """Holds a value; ``across`` says what several processes' values make together."""

    def __init__(
        self, name: str, help: str = "", *, labels: Sequence[str] = (), unit: str = "",
        across: Across = "sum", registry: Registry | None = None,
    ) -> None:  # fmt: skip
        described = Description(name, "gauge", unit, help, across=across)
        super().__init__(described, labels, registry)
        if self._only is not None:
            self.inc = self._only.inc

    def _new(self) -> GaugeChild:
        return GaugeChild()

    def set(self, value: float) -> None:
        """From now on it is ``value`` (of an instrument without labels)."""
        self._sole().set(value)

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n`` (of an instrument without labels)."""

    def dec(self, n: float = 1.0) -> None:
        """Take ``n`` away (of an instrument without labels)."""
        self._sole().inc(-n)

    def set_function(self, read: Callable[[], float]) -> None:
        """Ask ``read()`` at each collection (of an instrument without labels)."""
        self._sole().set_function(read)


# --- histograms -----------------------------------------------------------------------------


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

    __slots__ = ("_cells", "observe", "timed")

    observe: Callable[[float], None]
    """``observe(value)``: count ``value``; NaN raises ValueError."""

    timed: Callable[[], Timed]
    """``with child.timed():`` observes the seconds that its block takes."""

    def __init__(self, bounds: tuple[float, ...] | None) -> None:
        self._cells: dict[int, Any] = {}
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

    def forget(self) -> None:
        self._cells.clear()


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


class Histogram(_Family[HistogramChild]):
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
