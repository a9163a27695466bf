"""False alarms of a detector on generated series in which nothing ever happens.

    python tests/quality/noise.py [--series N] [--detector NAME]

Every kind is a process whose law does not change (but for its time of day), so each alarm is a
false one. Samples come every 5 minutes for four weeks; the table has false alarms a day for each
series, by week.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import measures
import numpy as np

from barograph.contracts import Detector
from barograph_anomaly.catalog import detectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rng = np.random.Generator
    Table = NDArray[np.float64]

STEP_MS = 300_000
DAY = 288
WEEKS = 4
START_MS = 1_700_438_400_000  # a Monday, 00:00 UTC

HEADINGS = ("noise", *(f"week {w + 1}" for w in range(WEEKS)), "weeks 1-2", "all")


def smoothed(noise: Table, keep: float) -> Table:
    """An autoregression along the first axis, with the noise's spread."""
    out = np.empty_like(noise)
    last = noise[0]
    gain = np.sqrt(1.0 - keep * keep)
    for i, row in enumerate(noise):
        last = keep * last + gain * row
        out[i] = last
    return out


def daily(n: int) -> Table:
    """float64[n, 1]: a smooth day between 0 and 1."""
    hour = np.arange(n)[:, np.newaxis] / DAY
    wave: Table = 0.5 - 0.5 * np.cos(2.0 * np.pi * hour)
    return wave


def two_levels(rng: Rng, n: int, k: int) -> Table:
    """Switches between two levels, each held for two hours on average."""
    switched = rng.random((n, k)) < 1.0 / 24.0
    out: Table = 10.0 * (np.cumsum(switched, axis=0) % 2) + rng.normal(size=(n, k))
    return out


def bursts(rng: Rng, n: int, k: int) -> Table:
    """Quiet noise with bursts of any size, four a day."""
    burst = (rng.random((n, k)) < 4.0 / DAY) * rng.pareto(1.5, (n, k))
    return rng.normal(size=(n, k)) + 10.0 * burst


KINDS: dict[str, Callable[[Rng, int, int], Table]] = {
    "normal": lambda rng, n, k: rng.normal(size=(n, k)),
    "uniform": lambda rng, n, k: rng.random((n, k)),
    "autoregression 0.9": lambda rng, n, k: smoothed(rng.normal(size=(n, k)), 0.9),
    "autoregression 0.99": lambda rng, n, k: smoothed(rng.normal(size=(n, k)), 0.99),
    "exponential": lambda rng, n, k: rng.exponential(size=(n, k)),
    "Laplace": lambda rng, n, k: rng.laplace(size=(n, k)),
    "Student t, 5": lambda rng, n, k: rng.standard_t(5, (n, k)),
    "Student t, 3": lambda rng, n, k: rng.standard_t(3, (n, k)),
    "Student t, 2": lambda rng, n, k: rng.standard_t(2, (n, k)),
    "Cauchy": lambda rng, n, k: rng.standard_t(1, (n, k)),
    "log-normal 0.5": lambda rng, n, k: rng.lognormal(0.0, 0.5, (n, k)),
    "log-normal 1": lambda rng, n, k: rng.lognormal(0.0, 1.0, (n, k)),
    "log-normal 1.5": lambda rng, n, k: rng.lognormal(0.0, 1.5, (n, k)),
    "log-normal 2": lambda rng, n, k: rng.lognormal(0.0, 2.0, (n, k)),
    "log-normal 1, kept 0.9": lambda rng, n, k: np.exp(smoothed(rng.normal(size=(n, k)), 0.9)),
    "Pareto 3": lambda rng, n, k: rng.pareto(3.0, (n, k)),
    "Pareto 2": lambda rng, n, k: rng.pareto(2.0, (n, k)),
    "Pareto 1.5": lambda rng, n, k: rng.pareto(1.5, (n, k)),
    "Poisson 0.1": lambda rng, n, k: rng.poisson(0.1, (n, k)) * 1.0,
    "Poisson 5": lambda rng, n, k: rng.poisson(5.0, (n, k)) * 1.0,
    "two levels": two_levels,
    "bursts": bursts,
    "daily, Poisson": lambda rng, n, k: rng.poisson(5.0 + 100.0 * daily(n), (n, k)) * 1.0,
    "daily, log-normal 1": lambda rng, n, k: (0.2 + daily(n)) * rng.lognormal(0, 1, (n, k)),
}


def rates(detector: Detector, make: Callable[[Rng, int, int], Table], series: int) -> Table:
    """float64[WEEKS]: alarms a day for each series, by week."""
    n = WEEKS * 7 * DAY
    table = make(np.random.default_rng(20_240_301), n, series)
    t_ms = START_MS + STEP_MS * np.arange(n, dtype=np.int64)
    count = np.zeros(WEEKS)
    for column in table.T:
        scores = detector.score(t_ms, np.ascontiguousarray(column))
        for row in measures.alarms(scores, 0.5):
            count[row // (7 * DAY)] += 1.0
    return count / (7.0 * series)


def table(detector: Detector, series: int) -> list[tuple[str, ...]]:
    """A row for each kind, and one for the mean and the worst of all."""
    found = {kind: rates(detector, make, series) for kind, make in KINDS.items()}
    rows = {kind: np.append(r, [r[:2].mean(), r.mean()]) for kind, r in found.items()}
    whole = np.array(list(rows.values()))
    rows["mean of the kinds"] = whole.mean(axis=0)
    rows["the worst kind"] = whole.max(axis=0)
    return [(kind, *(f"{value:.3f}" for value in row)) for kind, row in rows.items()]


def report(detector: Detector, series: int, budget: float) -> str:
    rows = [HEADINGS, *table(detector, series)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    lines = [
        f"false alarms a day of {detector.name} on noise, {series} series a kind, a sample every "
        f"5 minutes; the budget is {budget}"
    ]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def main() -> int:
    known = {one.name: one for one in detectors()}
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--series", type=int, default=60, help="series of each kind (default 60)")
    parser.add_argument("--detector", default="auto", choices=known)
    given = parser.parse_args()
    print(report(known[given.detector], given.series, 0.1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
