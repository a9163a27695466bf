"""Counter and Gauge: recording into cells of the recording thread's own.

A cell belongs to one thread, by its id, so that adding to it needs no lock; a thread that gets the
id of one that has ended goes on with its cell. Reading sums the cells, and may miss what is being
recorded at that moment: the next reading has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Literal

from barograph.instruments.family import Child, Family
from barograph.instruments.registry import Description, Reading, Registry

Across = Literal["sum", "max", "min", "last"]
"""How the values of a gauge in several processes become one; ``last``: the newest set."""


class Cell:
    """What one thread has added; only that thread may change it."""

    __slots__ = ("sum",)

    def __init__(self, n: float) -> None:
        self.sum = n


def _empty(cells: dict[int, Cell]) -> None:
    """Back to nothing; the cells stay those that their threads hold."""
    for cell in list(cells.values()):
        cell.sum = 0.0


class CounterChild(Child):
    """A total that only grows."""

    __slots__ = ("_cells", "inc")

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n``; raises ValueError if it is negative or no number."""

    def __init__(self) -> None:
        cells: dict[int, Cell] = {}
        ident = get_ident

        def inc(n: float = 1.0) -> None:
            # One comparison refuses negative numbers and NaN.
            if n >= 0.0:
                try:
                    cells[ident()].sum += n
                except KeyError:
                    cells[ident()] = Cell(n)
            else:
                raise ValueError(f"a counter only grows: {n!r} cannot be added")

        self._cells, self.inc = cells, inc

    def read(self) -> Reading:
        return Reading(math.fsum(cell.sum for cell in list(self._cells.values())))

    def forget(self) -> None:
        _empty(self._cells)


class Counter(Family[CounterChild]):
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


class GaugeChild(Child):
    """A value that goes up and down: what was set last, and what was added since."""

    __slots__ = ("_base", "_cells", "_read", "inc")

    inc: Callable[..., None]
    """``inc(n=1.0)``: add ``n``."""

    def __init__(self) -> None:
        cells: dict[int, Cell] = {}
        ident = get_ident

        def inc(n: float = 1.0) -> None:
            try:
                cells[ident()].sum += n
            except KeyError:
                cells[ident()] = Cell(n)

        self._cells, self.inc = cells, inc
        self._base = 0.0
        self._read: Callable[[], float] | None = None

    def cell(self) -> Cell:
        """The calling thread's own, for code that records so often that a call costs too much."""
        return self._cells.setdefault(get_ident(), Cell(0.0))

    def dec(self, n: float = 1.0) -> None:
        """Take ``n`` away."""
        self.inc(-n)

    def set(self, value: float) -> None:
        """From now on it is ``value``."""
        # What other threads add during these two steps may be lost; set and inc of one gauge
        # from several threads have no defined order anyhow.
        _empty(self._cells)
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
        _empty(self._cells)
        self._base = 0.0


class Gauge(Family[GaugeChild]):
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
