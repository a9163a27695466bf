"""Naive twins: the same results in a few lines that are obviously right, at any cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from barograph.model import Windows


@attrs.define
class Window:
    """One rollup window, from all its values in time order."""

    values: list[float]

    @property
    def increase(self) -> float:
        """Growth from first to last; after a reset a counter has grown by what it shows."""
        total = 0.0
        for before, after in zip(self.values, self.values[1:], strict=False):
            total += after - before if after >= before else after
        return total

    def quantile(self, q: float) -> float:
        """The value of rank floor(q (n - 1))."""
        return sorted(self.values)[int(q * (len(self.values) - 1))]


def fold(samples: Iterable[tuple[int, float]], level_ms: int) -> dict[int, Window]:
    """Windows by their start; ``samples`` are (t_ms, value) in time order."""
    out: dict[int, Window] = {}
    for t, v in samples:
        if not math.isnan(v):
            out.setdefault(t // level_ms * level_ms, Window([])).values.append(v)
    return out


def assert_same(windows: Windows, wanted: dict[int, Window]) -> None:
    """Each column as it should be; sums to rounding, quantiles to 1 %."""
    from barograph.sketch import quantile_of

    assert windows.start_ms.tolist() == sorted(wanted)
    rows = [wanted[start] for start in sorted(wanted)]
    assert windows.count.tolist() == [len(w.values) for w in rows]
    assert windows.min.tolist() == [min(w.values) for w in rows]
    assert windows.max.tolist() == [max(w.values) for w in rows]
    assert windows.first.tolist() == [w.values[0] for w in rows]
    assert windows.last.tolist() == [w.values[-1] for w in rows]
    assert len(windows.sketch_offsets) == len(windows) + 1
    for i, row in enumerate(rows):
        scale = sum(abs(v) for v in row.values)
        close(float(windows.sum[i]), math.fsum(row.values), scale)
        close(float(windows.increase[i]), row.increase, 2 * scale)
    for q in (0.0, 0.25, 0.5, 0.99, 1.0):
        for found, row in zip(quantile_of(windows, q).tolist(), rows, strict=True):
            near(found, row.quantile(q))


def close(found: float, wanted: float, scale: float) -> None:
    """Equal but for the rounding of sums of numbers of this scale."""
    assert abs(found - wanted) <= 1e-9 * scale + 1e-12, (found, wanted)


def near(found: float, wanted: float, accuracy: float = 0.01) -> None:
    """Equal within a relative error."""
    assert abs(found - wanted) <= accuracy * abs(wanted) * (1 + 1e-9), (found, wanted)


def same_bits(a: Windows, b: Windows) -> None:
    """Equal columns and sketches (sums to rounding)."""
    exact: Any = ("start_ms", "count", "min", "max", "first", "last",
                  "sketch_offsets", "sketch_keys", "sketch_counts")  # fmt: skip
    for name in exact:
        assert getattr(a, name).tolist() == getattr(b, name).tolist(), name
