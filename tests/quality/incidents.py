"""Generated incidents: a cause, its symptoms, and everything else that a fleet's series do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np
from scipy.signal import lfilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["cascade", "wave", "saturation", "burst"]

GENERATORS: tuple[Kind, ...] = ("cascade", "wave", "saturation", "burst")
"""``burst`` was held back while the method was made."""

STEP_MS = 10_000
FINE = 360
PAST = 1440
DAY_MS = 86_400_000


@attrs.frozen(eq=False)
class Incident:
    """t_ms int64[360] at 10 s, table float64[series, 360], past_t_ms int64[1440] at 1 min, past
    float64[series, 1440]; the window that a person asks about; the true cause's row and time."""

    kind: Kind
    t_ms: NDArray[np.int64]
    table: NDArray[np.float64]
    past_t_ms: NDArray[np.int64]
    past: NDArray[np.float64]
    start_ms: int
    end_ms: int
    cause: int
    cause_ms: int


def incident(kind: Kind, seed: int, series: int = 2000) -> Incident:
    """A day and an hour of ``series`` series; the incident is in the last 10 to 25 minutes."""
    rng = np.random.default_rng((seed, GENERATORS.index(kind)))
    start = 1_700_000_000_000 + int(rng.integers(0, 1440)) * 60_000
    t_ms = start + STEP_MS * np.arange(FINE, dtype=np.int64)
    # The history ends where the hour begins; both are parts of one course at 10 s.
    values, rate = _courses(rng, series, t_ms)
    window = int(rng.integers(60, 150))
    begins = FINE - window
    cause = int(rng.integers(series))
    onset = begins + int(rng.integers(0, 30))
    spread = _spread(values)
    _by_chance(rng, values, spread, share=rng.uniform(0.002, 0.01))
    shifts = _spread_out(kind, rng, series, cause, onset)
    for row, (place, size, ramp) in shifts.items():
        course = np.clip((np.arange(FINE) - place + 1) / max(ramp, 1), 0.0, 1.0)
        values[row, -FINE:] += spread[row] * size * course
    values[rate] = np.maximum(values[rate], 0.0)
    values[rate] = np.cumsum(values[rate] * STEP_MS / 1000, axis=1)
    missing = rng.random(series) < 0.02
    values[missing] = np.where(rng.random((missing.sum(), values.shape[1])) < 0.1, np.nan,
                               values[missing])  # fmt: skip
    past = values[:, :-FINE][:, 5::6].copy()
    return Incident(
        kind, t_ms, values[:, -FINE:].copy(),
        start - 60_000 * np.arange(PAST, 0, -1, dtype=np.int64), past,
        int(t_ms[begins]), int(t_ms[-1]), cause, int(t_ms[onset]),
    )  # fmt: skip


def _courses(
    rng: np.random.Generator, series: int, t_ms: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(float64[series, day and hour at 10 s], which are rates of counters)."""
    n = PAST * 6 + FINE
    t = t_ms[-1] - STEP_MS * np.arange(n - 1, -1, -1)
    out = rng.standard_normal((series, n))
    what = rng.choice(6, series, p=(0.3, 0.2, 0.2, 0.1, 0.1, 0.1))
    slow = rng.uniform(0.3, 0.98, series)
    for row in np.flatnonzero(what == 1):
        out[row] = lfilter([np.sqrt(1 - slow[row] ** 2)], [1, -slow[row]], out[row])
    day = 2 * np.pi * (t % DAY_MS) / DAY_MS
    for row in np.flatnonzero(what == 2):
        out[row] = out[row] + rng.uniform(1, 10) * np.sin(day + rng.uniform(0, 2 * np.pi))
    walks = what == 3
    out[walks] = np.cumsum(out[walks], axis=1) * 0.1 + 0.3 * rng.standard_normal((walks.sum(), n))
    switches = what == 4
    chance = rng.uniform(0.002, 0.05, (switches.sum(), 1))
    out[switches] = np.cumsum(rng.random((switches.sum(), n)) < chance, axis=1) % 2
    heavy = what == 5
    out[heavy] = rng.standard_t(3, (heavy.sum(), n))
    scale, level = 10 ** rng.uniform(-3, 4, (series, 1)), rng.uniform(5, 30, (series, 1))
    rate = (what < 3) & (rng.random(series) < 0.3)
    level[rate] = rng.uniform(12, 30, (rate.sum(), 1))
    flat = rng.random(series) < 0.05
    out[flat] = 0.0
    return (out + level) * scale, rate


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit of what is injected: each series' standard deviation within the hour, or that of
    what it wanders from hour to hour, where that is more."""
    part = values[:, -FINE:]
    means = values[:, : values.shape[1] // FINE * FINE].reshape(len(values), -1, FINE).mean(axis=2)
    found = np.maximum(part.std(axis=1), np.diff(means, axis=1).std(axis=1))
    size = np.abs(part).max(axis=1)
    return np.asarray(np.where(found > 1e-9 * size, found, 0.05 * size))


def _by_chance(
    rng: np.random.Generator,
    values: NDArray[np.float64],
    spread: NDArray[np.float64],
    share: float,
) -> None:
    """Some series jump for themselves, at any time of the hour."""
    for row in np.flatnonzero(rng.random(len(values)) < share):
        place = int(rng.integers(30, FINE - 3))
        values[row, values.shape[1] - FINE + place :] += (
            spread[row] * rng.uniform(3, 12) * rng.choice((-1, 1))
        )


def _spread_out(
    kind: Kind, rng: np.random.Generator, series: int, cause: int, onset: int
) -> dict[int, tuple[int, float, int]]:
    """Row -> (first index, size in spreads, steps until it is there), the cause's among them."""
    sign = float(rng.choice((-1.0, 1.0)))
    size = float(rng.uniform(5, 15))
    share = float(10 ** rng.uniform(-2.0, -0.7))
    rows = np.flatnonzero(rng.random(series) < share)
    rows = rows[rows != cause]
    out = {cause: (onset, sign * size, 1)}
    if kind == "cascade":  # hop by hop, each a little later; symptoms may be larger
        for row in rows.tolist():
            hops = int(rng.integers(1, 5))
            lag = int(sum(rng.integers(1, 7, hops)))
            out[row] = (onset + lag, rng.choice((-1, 1)) * size * rng.uniform(0.4, 2.5), 1)
    elif kind == "wave":  # after a delay, all about the same time, as ramps
        delay = int(rng.integers(3, 12))
        for row in rows.tolist():
            lag = delay + int(rng.exponential(4))
            out[row] = (
                onset + lag,
                rng.choice((-1, 1)) * size * rng.uniform(0.5, 3),
                int(rng.integers(1, 8)),
            )
    elif kind == "saturation":  # the cause itself fills up in a minute or two; symptoms jump
        ramp = int(rng.integers(2, 9))
        out[cause] = (onset, sign * size * 1.5, ramp)
        for row in rows.tolist():
            lag = ramp + int(rng.gamma(2, 4))
            out[row] = (
                onset + lag,
                rng.choice((-1, 1)) * size * rng.uniform(0.5, 2),
                int(rng.integers(1, 4)),
            )
    else:  # lags that are spread widely (Pareto), few symptoms at first, many later
        for row in rows.tolist():
            lag = 2 + int(min(rng.pareto(1.2) * 3, 45))
            out[row] = (
                onset + lag,
                rng.choice((-1, 1)) * size * rng.lognormal(0, 0.7),
                int(rng.integers(1, 4)),
            )
    return out
