"""Series whose truth is known, because it was put there: backgrounds, trends, changes, leaders and
followers, visits. Incidents are in ``incidents.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Row = NDArray[np.float64]
    Rng = np.random.Generator

STEP_MS = 300_000
DAY = 288
WEEK = 7 * DAY
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MONDAY_MS = 1_699_833_600_000
"""A Monday, 0:00 UTC."""


def ar(rng: Rng, n: int, r: float) -> Row:
    """AR(1) of variance 1."""
    return np.asarray(lfilter([np.sqrt(1 - r * r)], [1, -r], rng.standard_normal(n + 500))[500:])


def daily(rng: Rng, n: int, jitter: float = 0.2) -> Row:
    """A course of the day of amplitude 1 with a second harmonic, each day a little different."""
    phase = 2 * np.pi * np.arange(n) / DAY
    size = 1 + jitter * rng.standard_normal(n // DAY + 1)
    course = np.sin(phase + rng.uniform(0, 6)) + 0.5 * np.sin(2 * phase + rng.uniform(0, 6))
    return np.asarray(course * size[np.arange(n) // DAY])


def long_memory(rng: Rng, n: int, d: float = 0.3) -> Row:
    """Fractional noise (1 - B) ** -d of white noise, of variance about 1."""
    k = np.arange(1, n)
    weights = np.concatenate(([1.0], np.cumprod((k - 1 + d) / k)))
    noise = rng.standard_normal(2 * n)
    out = np.fft.irfft(np.fft.rfft(noise) * np.fft.rfft(weights, 2 * n), 2 * n)[n:]
    return np.asarray(out / out.std())


BACKGROUNDS: dict[str, Callable[[Rng, int], Row]] = {
    "white": lambda rng, n: rng.standard_normal(n),
    "AR(1) 0.8": lambda rng, n: ar(rng, n, 0.8),
    "heavy tails": lambda rng, n: rng.standard_t(3, n) / np.sqrt(3),
    "counts": lambda rng, n: rng.poisson(2.0, n) / np.sqrt(2.0),
    "daily": lambda rng, n: 3 * daily(rng, n) + ar(rng, n, 0.5),
    "spikes": lambda rng, n: rng.standard_normal(n) + 20 * (rng.random(n) < 0.005),
    # Held back: not looked at while methods were made.
    "held back": lambda rng, n: 2 * daily(rng, n, 0.1) + long_memory(rng, n, 0.2)
    + 0.3 * rng.standard_t(4, n),
}  # fmt: skip
"""Nothing happens in them; the noise has a deviation of about 1."""

WANDERING: dict[str, Callable[[Rng, int], Row]] = {
    "random walk": lambda rng, n: np.cumsum(rng.standard_normal(n)),
    "AR(1) 0.99": lambda rng, n: ar(rng, n, 0.99),
    "two levels": lambda rng, n: rng.standard_normal(n) + rng.uniform(3, 8) * level(rng, n),
}


def level(rng: Rng, n: int) -> Row:
    return (np.arange(n) >= rng.integers(n // 5, n * 4 // 5)).astype(float)


def times(n: int) -> NDArray[np.int64]:
    return MONDAY_MS + STEP_MS * np.arange(n, dtype=np.int64)


def real_rows(folder: Path) -> dict[str, tuple[NDArray[np.int64], Row]]:
    """Gauges of a real host that move in most samples, and labelled series without a label."""
    import corpus

    out = {}
    host = folder / "node_exporter_10min.npz"
    if host.exists():
        recorded = np.load(host)
        for name, row in zip(recorded["names"].tolist(), recorded["values"], strict=True):
            steps = np.diff(row)
            if (steps != 0).mean() > 0.5 and (steps < 0).any() and np.isfinite(row).all():
                out[name] = (recorded["t_ms"].astype(np.int64), row.astype(float))
    if (folder / "anomaly").is_dir():
        for one in corpus.load(folder / "anomaly"):
            if not one.windows and len(np.unique(one.values)) > 50:
                t, first = np.unique(one.t_ms, return_index=True)
                out[one.name] = (t, one.values[first])
    return out


def leaders(
    rng: Rng, rows: int, n: int, steps_most: int = 10
) -> tuple[Row, dict[tuple[int, int], int]]:
    """(float64[rows, n], true pairs -> lag): every fifth row leads the next one."""
    kinds: list[Callable[[Rng, int], Row]] = [
        lambda g, m: np.cumsum(g.standard_normal(m)),
        lambda g, m: ar(g, m, 0.8),
        lambda g, m: 3 * daily(g, m) + ar(g, m, 0.5),
        lambda g, m: g.standard_t(3, m),
    ]
    table = np.array([kinds[i % len(kinds)](rng, n + steps_most) for i in range(rows)])
    true = {}
    for i in range(0, rows - 1, 5):
        lag = int(rng.integers(0, steps_most))
        own = float(np.std(np.diff(table[i]))) * rng.uniform(0.5, 1.5)
        table[i + 1] = rng.choice((-2.0, 2.0)) * np.roll(table[i], lag)
        table[i + 1] += own * rng.standard_normal(n + steps_most)
        true[i, i + 1] = lag
    return table[:, steps_most:].copy(), true


def unrelated(rng: Rng, kind: str, rows: int, n: int) -> Row:
    """Rows that have nothing to do with each other, whatever they look like."""
    day = np.arange(n) % DAY
    makers: dict[str, Callable[[], Row]] = {
        "random walks": lambda: np.cumsum(rng.standard_normal(n)),
        "seasonal": lambda: 4 * daily(rng, n) + ar(rng, n, 0.6),
        "AR(1) 0.95": lambda: ar(rng, n, 0.95),
        "trends": lambda: ar(rng, n, 0.5) + np.linspace(0, rng.normal() * 10, n),
        "heavy tails": lambda: rng.standard_t(2, n),
        "loud by day": lambda: rng.standard_normal(n) * (1 + 4 * (day < 100)),
        "held back": lambda: np.cumsum(long_memory(rng, n, 0.3)) * 0.1 + 3 * daily(rng, n)
        + rng.exponential(1.0, n),
    }  # fmt: skip
    return np.array([makers[kind]() for _ in range(rows)])


UNRELATED = ("random walks", "seasonal", "AR(1) 0.95", "trends", "heavy tails", "loud by day",
             "held back")  # fmt: skip


def visits(rng: Rng, kind: str, days: int) -> tuple[list[int], int | None]:
    """(starts in ms, when the next is due) of trouble that comes by this pattern, with strays."""
    minute = 60_000
    hour = float(rng.uniform(0, 24)) * HOUR_MS
    wait = rng.uniform(2.5, 9.5) * HOUR_MS
    starts: list[float]
    due: float | None
    if kind == "daily":
        starts = [d * DAY_MS + hour + rng.normal(0, 8 * minute) for d in range(days)]
        starts = [s for s in starts if rng.random() < 0.85]
        due = days * DAY_MS + hour
    elif kind == "working days":
        starts = [d * DAY_MS + hour + rng.normal(0, 5 * minute) for d in range(days) if d % 7 < 5]
        due = days * DAY_MS + hour  # a run ends on a Sunday
    elif kind == "weekly":
        day = int(rng.integers(7))
        starts = [
            (w * 7 + day) * DAY_MS + hour + rng.normal(0, 10 * minute) for w in range(days // 7)
        ]
        due = (days + day) * DAY_MS + hour
    elif kind == "interval":
        at, starts = float(rng.uniform(0, wait)), []
        while at < days * DAY_MS:
            starts.append(at)
            at += wait * (1 + rng.normal(0, 0.01))
        due = starts[-1] + wait
    elif kind == "bursts":
        starts = [
            s + rng.uniform(0, 3) * HOUR_MS
            for s in rng.uniform(0, days * DAY_MS, int(rng.integers(2, 8)))
            for _ in range(int(rng.integers(3, 9)))
        ]
        due = None
    else:  # by chance
        starts, due = list(rng.uniform(0, days * DAY_MS, int(rng.integers(3, 60)))), None
    if due is not None:
        starts += list(rng.uniform(0, days * DAY_MS, len(starts) // 10))
    inside = [int(s) for s in starts if 0 <= s < days * DAY_MS]
    return sorted(MONDAY_MS + s for s in inside), None if due is None else MONDAY_MS + round(due)


VISITS = {"daily": "time_of_day", "working days": "time_of_day", "weekly": "time_of_week",
          "interval": "interval", "by chance": "none", "bursts": "none"}  # fmt: skip
