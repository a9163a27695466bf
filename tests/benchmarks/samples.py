"""Samples to measure with: made-up gauges, and a recorded host that goes on for a day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np
from measuring import ROOT
from numpy.typing import NDArray

from barograph.model import Labels, Metric, MetricKind

HOST = ROOT.parent / "shared" / "data" / "node_exporter_10min.npz"
START_MS = 1_800_000_000_000
DAY_S = 86_400

Columns = list[tuple[Labels, Metric]]


def gauge_series(n: int, name: str = "bench_gauge") -> Columns:
    """``n`` series of one metric."""
    metric = Metric(name, MetricKind.GAUGE, "", "Made up")
    return [(Labels.of(name, {"n": str(i), "host": f"h{i % 20}"}), metric) for i in range(n)]


def gauges(n: int, ticks: int, seed: int = 1) -> NDArray[np.float64]:
    """float64[ticks, n]: random walks with two decimals.

    Steps have a standard deviation of 0.05 to 2, each series its own (evenly over the logarithm):
    from temperatures to busy CPUs in percent.
    """
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(np.log(0.05), np.log(2.0), n))
    out = np.empty((ticks, n))
    level = random.uniform(5, 95, n)
    for start in range(0, ticks, 1000):
        stop = min(start + 1000, ticks)
        walk = level + np.cumsum(random.standard_normal((stop - start, n)) * size, axis=0)
        level = walk[-1]
        np.round(walk, 2, out=out[start:stop])
    return out


@attrs.frozen(eq=False)
class Recording:
    """A host's scrape, repeated: ``ticks(n)`` yields (t_ms, float64[series])."""

    series: Columns
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]  # [series, ticks of the recording]
    increase: NDArray[np.float64]  # of each series over the recording; 0 for gauges
    decimals: NDArray[np.int64]  # of each series' values; -1: as they are

    def ticks(self, n: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        """The first ``n`` ticks; counters go on rising from repetition to repetition."""
        length = len(self.t_ms)
        span = int(self.t_ms[-1] - self.t_ms[0]) + int(np.median(np.diff(self.t_ms)))
        for repetition in range(-(-n // length)):
            values = self.values + repetition * self.increase[:, None]
            for d in np.unique(self.decimals[self.decimals >= 0]).tolist():
                rows = self.decimals == d
                values[rows] = np.round(values[rows], d)
            rows_of_ticks = np.ascontiguousarray(values.T)
            for i in range(min(length, n - repetition * length)):
                yield int(self.t_ms[i]) + repetition * span, rows_of_ticks[i]


def recording(path: Path = HOST) -> Recording:
    """The recorded host. Raises FileNotFoundError."""
    with np.load(path) as file:
        names, t_ms, values = file["names"], file["t_ms"], file["values"]
    rising = (np.diff(values, axis=1) >= 0).all(axis=1) & (values[:, -1] > values[:, 0])
    increase = np.where(rising, values[:, -1] - values[:, 0], 0.0)
    series = [_series(str(n), bool(c)) for n, c in zip(names, rising, strict=True)]
    return Recording(series, t_ms, values, increase, _decimals(values))


def _series(text: str, counter: bool) -> tuple[Labels, Metric]:
    name, _, inner = text.partition("{")
    pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', inner)
    kind = MetricKind.COUNTER if counter else MetricKind.GAUGE
    return Labels.of(name, dict(pairs)), Metric(name, kind)


def _decimals(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Decimals that each row needs, so that adding to it makes no digits of its own."""
    out = np.full(len(values), -1, np.int64)
    for d in range(9, -1, -1):
        with np.errstate(invalid="ignore"):
            exact = (np.round(values, d) == values) | np.isnan(values)
        out[exact.all(axis=1)] = d
    return out


def spread(items: Sequence[int], n: int, seed: int = 1) -> list[int]:
    """``n`` of ``items`` at random, with repetition."""
    random = np.random.default_rng(seed)
    return [items[i] for i in random.integers(0, len(items), n).tolist()]
