"""Sums and histograms of differences (delta temporality) made cumulative."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from barograph.model import Labels

MAX_PARTS = 5000
"""Parts of one total: a sender whose bounds are others each time would else add to them forever."""


@attrs.define
class Total:
    """What a series of differences adds up to. ``parts``: value, or bucket counts, sum, count."""

    parts: dict[str, float]
    t_ms: int
    touched_ms: int


class Accumulator:
    """Totals by series, bounded; the one that nobody has added to for longest goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._totals: OrderedDict[Labels, Total] = OrderedDict()

    def add(
        self, labels: Labels, t_ms: int, parts: dict[str, float], now_ms: int
    ) -> dict[str, float] | None:
        """The total with ``parts`` added; None if the difference is not newer than the last one
        (sent twice, or out of order).

        A part that comes new begins at zero; one that does not come stays, but for a total that
        would have more than ``MAX_PARTS``: it begins anew.
        """
        known = self._totals.get(labels)
        if known is None:
            while len(self._totals) >= self._most:
                self._totals.popitem(last=False)
            known = self._totals[labels] = Total(dict(parts), t_ms, now_ms)
            return dict(known.parts)
        if t_ms <= known.t_ms:
            return None
        if len(known.parts.keys() | parts.keys()) > MAX_PARTS:
            known.parts = {}
        for name, value in parts.items():
            known.parts[name] = known.parts.get(name, 0.0) + value
        known.t_ms, known.touched_ms = t_ms, now_ms
        self._totals.move_to_end(labels)
        return dict(known.parts)

    def forget(self, before_ms: int) -> None:
        """Forget totals that nobody has added to since."""
        while self._totals:
            first = next(iter(self._totals))
            if self._totals[first].touched_ms >= before_ms:
                return
            del self._totals[first]

    def __contains__(self, labels: Labels) -> bool:
        return labels in self._totals

    def __len__(self) -> int:
        return len(self._totals)
