"""What all instruments share: children by label values, bounded, and read together."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

from barograph.instruments.registry import (
    REGISTRY,
    Description,
    Pairs,
    Reading,
    Registry,
    check_labels,
)

MAX_CHILDREN = 2000
"""Label combinations of one instrument; what comes beyond them is recorded as one more child."""

OVERFLOW: Pairs = (("otel_metric_overflow", "true"),)
"""Labels of the child that stands for all combinations beyond the limit (OpenTelemetry's)."""

C = TypeVar("C", bound="Child")


class Child(ABC):
    """One label combination of an instrument."""

    @abstractmethod
    def read(self) -> Reading:
        """What it holds since its process began."""

    @abstractmethod
    def forget(self) -> None:
        """Back to nothing."""


class Family(ABC, Generic[C]):
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

    @abstractmethod
    def _new(self) -> C:
        """A child without anything in it."""

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
