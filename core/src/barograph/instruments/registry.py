"""The registry: every instrument of a process, and snapshots of what they hold."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

if TYPE_CHECKING:
    from barograph.instruments.metrics import Across

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_RESERVED = frozenset({"le", "quantile"})

Pairs = tuple[tuple[str, str], ...]


@attrs.frozen
class Description:
    """What is fixed about an instrument.

    ``form``: ``counter``, ``gauge``, ``histogram`` (classic buckets) or ``sketch``. ``bounds``:
    upper bounds of a histogram's buckets, rising, without +Inf. ``across``: how a gauge's values
    of several processes become one.
    """

    name: str
    form: str
    unit: str = ""
    help: str = ""
    bounds: tuple[float, ...] = ()
    across: Across = "sum"


@attrs.frozen
class Reading:
    """What one child of an instrument holds since its process began.

    ``value``: a counter's total, a gauge's value, a histogram's or sketch's sum. ``counts``: by
    bucket index of ``Description.bounds`` (the last is +Inf), or by key of ``barograph.sketch``.
    """

    value: float
    counts: Mapping[int, int] = attrs.field(factory=dict)


class Instrument(Protocol):
    """A metric with all its children."""

    description: Description

    def read(self) -> Iterator[tuple[Pairs, Reading]]:
        """(labels, reading) of each child."""
        ...

    def forget(self) -> None:
        """Back to nothing: what was counted belongs to the parent of a forked process."""
        ...


class Registry:
    """Instruments by name; the same name and description twice is the same instrument."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instruments: dict[str, Instrument] = {}

    def add(self, instrument: Any) -> None:
        """Raises ValueError for a bad name, or one that stands for something else already."""
        name = instrument.description.name
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no metric name: letters, digits and _ only")
        with self._lock:
            if name in self._instruments:
                raise ValueError(
                    f"there is an instrument {name!r} already; make it once, at module level"
                )
            self._instruments[name] = instrument

    def read(self) -> list[tuple[Description, Pairs, Reading]]:
        """What every child of every instrument holds now."""
        with self._lock:
            found = list(self._instruments.values())
        return [(one.description, pairs, read) for one in found for pairs, read in one.read()]

    def forget(self) -> None:
        """Every instrument back to nothing."""
        self._lock = threading.Lock()  # after a fork another thread may have held it
        for one in list(self._instruments.values()):
            one.forget()

    def __len__(self) -> int:
        return len(self._instruments)


def check_labels(names: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError for a name that is none, is reserved or comes twice."""
    for name in names:
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            raise ValueError(f"{name!r} is no label name: letters, digits and _ only")
        if name in _RESERVED:
            raise ValueError(f"the label {name!r} is reserved for histograms")
    if len(set(names)) != len(names):
        raise ValueError(f"a label comes twice in {', '.join(names)}")
    return names


REGISTRY = Registry()
"""Where instruments go that are not told otherwise."""

if hasattr(os, "register_at_fork"):
    # The parent counts what it counted; a child starts at nothing.
    os.register_at_fork(after_in_child=REGISTRY.forget)
