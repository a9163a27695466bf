"""``multivariate``: the series of one host (or job) together; who leaves the others' company?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from barograph.detection import replay

if TYPE_CHECKING:
    from numpy.typing import NDArray

FACTORS = 4
"""Common movements that are followed: load, traffic, memory pressure, and one to spare."""

WEIGHT = 1 / 288
LEAST = 48
LIMIT = 6.0
FOLLOW = 0.02
"""Step of the factors towards each tick (Oja 1982)."""

ROUNDS = 4

NORMAL_SCALE = 1.2533


@attrs.frozen
class MultivariateDetector:
    """Standardised series, less what a few common factors say of them (streaming principal
    components), in their usual rests. All series of one state belong together.

    A series alone is judged by its distance to its own mean. O(n · FACTORS²) a tick.
    """

    name: str = "multivariate"
    limit: float = LIMIT

    def state(self, n: int) -> dict[str, NDArray[Any]]:
        """float64[n] each, ``loadings`` float64[n, FACTORS]."""
        zeros = {part: np.zeros(n) for part in ("seen", "mean", "scale", "rest")}
        return {**zeros, "loadings": np.zeros((n, FACTORS))}

    def update(
        self, state: dict[str, NDArray[Any]], t_ms: int, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores float64[n]; series without a sample take no part in this tick."""
        here = np.flatnonzero(np.isfinite(values))
        out = np.zeros(len(values))
        if not len(here):
            return out
        x = np.clip(values[here], -1e150, 1e150)
        z = _standardise(state, here, x)
        rest = z - _common(state, here, z)
        seen, usual = state["seen"][here], state["rest"][here]
        away = np.abs(rest) / (NORMAL_SCALE * usual + 1e-9)
        out[here] = np.where(seen > 2 * LEAST, away / (away + self.limit), 0.0)
        since = np.maximum(seen - LEAST, 1.0)
        clipped = np.where(seen > 2 * LEAST, np.minimum(np.abs(rest), 5 * usual + 0.01),
                           np.abs(rest))  # fmt: skip
        state["rest"][here] += np.maximum(WEIGHT, 1 / since) * (clipped - usual)
        return out

    def score(self, t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of one series alone."""
        return replay(self, t_ms, values)


def _standardise(
    state: dict[str, NDArray[Any]], here: NDArray[np.int64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances to the running means in running mean deviations, clipped to 20; 0 in the first
    samples. Means and deviations are then moved."""
    seen, mean, scale = state["seen"][here], state["mean"][here], state["scale"][here]
    mean = np.where(seen == 0, x, mean)
    away = x - mean
    unit = np.maximum(NORMAL_SCALE * scale, 1e-3 * np.abs(mean))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = np.where(unit > 0, away / unit, np.sign(away) * 20.0)
    z = np.where(seen >= LEAST, np.clip(z, -20, 20), 0.0)
    weight = np.maximum(WEIGHT, 1 / (seen + 1))
    bounded = np.where(seen >= LEAST, np.clip(away, -5 * unit, 5 * unit), away)
    state["mean"][here] = mean + weight * bounded
    state["scale"][here] = scale + weight * (np.abs(bounded) - scale)
    state["seen"][here] = seen + 1
    return np.asarray(z, np.float64)


def _common(
    state: dict[str, NDArray[Any]], here: NDArray[np.int64], z: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the factors, as they were before this tick, say of ``z``; they then follow it.

    Least squares over the series that are here, in rounds in which those that are far off count
    less (Huber 1964): one that leaves the others must not pull them along.
    """
    factors = min(FACTORS, len(state["seen"]) // 3)
    if not factors:
        return np.zeros(len(z))
    loadings = state["loadings"]
    if not loadings[:, :factors].any(axis=0).all():
        _begin(loadings, factors)
    part = loadings[here, :factors]
    usual = NORMAL_SCALE * state["rest"][here] + 1e-3
    weights = np.ones(len(z))
    for _ in range(ROUNDS):
        weighted = part * weights[:, np.newaxis]
        inverse = np.linalg.inv(part.T @ weighted + 1e-3 * np.eye(factors))
        activity = inverse @ (weighted.T @ z)
        # Each series' own share is taken out: it must not explain itself.
        own = np.clip(np.einsum("ij,jk,ik->i", weighted, inverse, part), 0.0, 0.95)
        said = (part @ activity - own * z) / (1 - own)
        weights = np.minimum(1.0, 3.0 * usual / np.maximum(np.abs(z - said), 1e-12)) ** 2
    bounded = np.clip(z, -5, 5)
    loadings[here, :factors] += FOLLOW * np.outer(weights * (bounded - part @ activity), activity)
    basis, upper = np.linalg.qr(loadings[:, :factors])
    loadings[:, :factors] = basis * np.where(np.diag(upper) < 0, -1.0, 1.0)
    return np.asarray(said, np.float64)


def _begin(loadings: NDArray[np.float64], factors: int) -> None:
    """Smooth waves over the series, orthogonal: any start will do, but it must be the same."""
    place = (np.arange(len(loadings)) + 0.5) / len(loadings)
    for factor in range(factors):
        loadings[:, factor] = np.cos(np.pi * factor * place)
    loadings[:, :factors], _ = np.linalg.qr(loadings[:, :factors])
