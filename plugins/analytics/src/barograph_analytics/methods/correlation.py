"""Which metrics move together, and which of them first.

Two random walks, two daily courses and two slow noises correlate highly and mean nothing by it.
So what is compared is what is *new* in each series: seasons are taken out, then each is predicted
from its own past (an autoregression, its order by Akaike's criterion), and what is left is ranked
and given normal scores, so that one spike cannot make a correlation. (L. Haugh, "Checking the
independence of two covariance-stationary time series", JASA 71, 1976.) Correlations of these at
every lag have a standard error that counts what autocorrelation is left (M. Bartlett, JRSS 8,
1946) and noise that comes and goes in both (products squared, H. White, Econometrica 48, 1980);
the best of all lags pays for the lags (Z. Šidák, JASA 62, 1967), and the pairs share one
false-discovery rate (Y. Benjamini and D. Yekutieli, Annals of Statistics 29, 2001, under any
dependence, or Y. Benjamini and Y. Hochberg, JRSS B 57, 1995).

Cost: O(series^2 x n x lags) multiplications as matrix products: 200 series, 720 samples, 31 lags
take about a second. Fails: a follower that is a slow average of its leader has little of the same
that is new; what follows later than the longest lag; fewer than some 60 samples.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

from barograph_analytics.methods.season import without_season

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 40
"""Samples below which nothing is said."""

MOST_MISSING = 0.3
"""A row with a larger part of NaN is left out."""

_ORDER = 12
_LAGS = 30


@attrs.frozen
class Correlation:
    """Two rows that move together; ``second`` follows ``first`` by ``lag_ms`` (0: at once)."""

    first: int
    second: int
    coefficient: float
    """Of what is new in each, in [-1, 1]."""
    lag_ms: int
    p: float
    """That independent rows correlate like this at any lag."""
    q: float
    """The share of false ones among all pairs that are at least as clear."""
    effective: float
    """Independent samples that the pair's are worth."""


def correlations(
    t_ms: NDArray[np.int64],
    table: NDArray[np.float64],
    *,
    most_lag_ms: int | None = None,
    level: float = 0.05,
    method: Literal["by", "bh"] = "by",
    limit: int = 1000,
) -> list[Correlation]:
    """Pairs of rows of table float64[series, n] at t_ms int64[n] (even steps), clearest first.

    ``most_lag_ms``: the longest lag (default 30 steps, at most an eighth of the range). ``level``:
    the false-discovery rate. ``method``: "by" holds it under any dependence, "bh" finds more and
    holds it where the tests depend positively. ``ValueError`` for shapes that do not fit.
    """
    t, x = np.asarray(t_ms, np.int64), np.asarray(table, np.float64)
    if x.ndim != 2 or t.shape != (x.shape[1],):
        raise ValueError(f"table must be float64[series, {len(t)}] for its times, not {x.shape}")
    if (np.diff(t) <= 0).any():
        raise ValueError("t_ms must rise from sample to sample")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, but must be between 0 and 1")
    n = len(t)
    if n < LEAST or len(x) < 2:
        return []
    step = float(np.median(np.diff(t)))
    lags = min(_LAGS, n // 8) if most_lag_ms is None else int(most_lag_ms / step)
    lags = min(max(lags, 0), n // 4)
    rows, new = _innovations(t, x)
    if len(rows) < 2:
        return []
    n = new.shape[1]
    best, at = _best_lags(new, lags)
    first, second = np.triu_indices(len(rows), 1)
    lag = at[first, second]
    r = best[first, second]
    # A cheap bound first: what is not clear without corrections is not clear with them.
    looks = 2 * lags + 1
    pairs = len(first)
    rough = np.minimum(_two_sided(np.abs(r) * math.sqrt(n)) * looks, 1.0)
    p = np.ones(pairs)
    effective = np.full(pairs, float(n))
    memory = _memory(new, max(lags, 10))
    for k in np.flatnonzero(rough < level).tolist():
        i, j = int(first[k]), int(second[k])
        p[k], effective[k] = _p(new, memory, i, j, int(lag[k]), float(r[k]), looks)
    q = _adjusted(p, method)
    told = np.flatnonzero(q <= level)
    told = told[np.argsort(p[told], kind="stable")][:limit]
    out = []
    for k in told.tolist():
        i, j, after = int(rows[first[k]]), int(rows[second[k]]), int(lag[k])
        leads, follows = (i, j) if after >= 0 else (j, i)
        out.append(
            Correlation(
                leads, follows, min(max(float(r[k]), -1.0), 1.0), round(abs(after) * step),
                float(p[k]), float(q[k]), float(effective[k]),
            )
        )  # fmt: skip
    return out


def _innovations(
    t: NDArray[np.int64], x: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(rows that can be used, float64[rows, n]: normal scores of what is new in each)."""
    kept, out = [], []
    for i, row in enumerate(x):
        here = np.isfinite(row)
        if here.mean() < 1.0 - MOST_MISSING or here.sum() < LEAST:
            continue
        clean = row[here]
        if np.ptp(clean) <= 1e-12 * float(np.abs(clean).max()):
            continue
        rest, _ = without_season(t[here], clean)
        rest = rest - np.median(rest)
        scale = float(np.abs(rest).max())
        if scale == 0.0:
            continue
        full = np.interp(t, t[here], rest / scale)
        new = _whitened(_without_slow(full))
        new[~here] = np.nan
        scores = _normal_scores(new)
        if scores is not None:
            kept.append(i)
            out.append(scores)
    return np.array(kept, np.int64), np.array(out) if out else np.zeros((0, len(t)))


def _without_slow(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without its slowest cosines, one for each 60 samples: seasons that were seen once or twice,
    and trends, are shared by chance."""
    from scipy.fft import dct, idct  # slow to import

    line = np.linspace(x[0], x[-1], len(x))  # cosines do not like ends that differ
    waves = dct(x - line, norm="ortho")
    waves[: len(x) // 60 + 1] = 0.0
    return np.asarray(idct(waves, norm="ortho"))


def _whitened(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What x[n] is off its prediction from its own past, with spikes pulled in for the fit."""
    n = len(x)
    order = min(_ORDER, n // 10)
    reach = 6 * 1.4826 * float(np.median(np.abs(np.diff(x))))
    steps = np.diff(x, prepend=x[0])
    y = x[0] + np.cumsum(np.clip(steps, -reach, reach)) if reach > 0 else x
    past = np.stack([y[order - k : n - k] for k in range(1, order + 1)], axis=1)
    target = y[order:]
    best, new = np.inf, target
    coefficients = np.zeros(1)
    for k in range(1, order + 1):
        design = np.column_stack([np.ones(n - order), past[:, :k]])
        fit, *_ = np.linalg.lstsq(design, target, rcond=None)
        left = target - design @ fit
        cost = (n - order) * math.log(max(float(left @ left) / (n - order), 1e-300)) + 2 * k
        if cost < best:
            best, new, coefficients = cost, left, fit
    k = len(coefficients) - 1
    design = np.column_stack([np.ones(n - k), *(x[k - m : n - m] for m in range(1, k + 1))])
    new = x[k:] - design @ coefficients
    return np.concatenate([np.full(k, np.nan), new])


def _normal_scores(x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Ranks as standard normal values, 0 where unknown; variance 1 over all n. None if flat."""
    from scipy.special import ndtri  # slow to import
    from scipy.stats import rankdata

    here = np.isfinite(x)
    known = x[here]
    # Rounding is no news.
    rounded = np.round(known / max(float(np.abs(known).max()), 1e-300), 12)
    scores = ndtri(rankdata(rounded) / (len(known) + 1.0))
    scores -= scores.mean()
    spread = float(np.sqrt(np.mean(scores**2)))
    if spread < 0.2:  # nearly all are tied: it hardly ever moves
        return None
    out = np.zeros(len(x))
    out[here] = scores / spread
    return np.asarray(out * math.sqrt(len(x) / len(known)))


def _best_lags(
    new: NDArray[np.float64], lags: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(r float64[rows, rows], lag int64[rows, rows]) of the largest correlation; the lag is
    positive where the column follows the row."""
    n = new.shape[1]
    r = new @ new.T / n
    at = np.zeros(r.shape, np.int64)
    for lag in range(1, lags + 1):
        after = new[:, : n - lag] @ new[:, lag:].T / n
        for found, sign in ((after, 1), (after.T, -1)):
            larger = np.abs(found) > np.abs(r)
            r = np.where(larger, found, r)
            at[larger] = sign * lag
    return r, at


def _memory(new: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """float64[rows, lags]: autocorrelation that is left."""
    n = new.shape[1]
    return np.stack(
        [(new[:, : n - k] * new[:, k:]).sum(axis=1) / n for k in range(1, lags + 1)], axis=1
    )


def _p(
    new: NDArray[np.float64], memory: NDArray[np.float64], i: int, j: int, lag: int, r: float,
    looks: int,
) -> tuple[float, float]:  # fmt: skip
    n = new.shape[1]
    a, b = (new[i], new[j]) if lag >= 0 else (new[j], new[i])
    a, b = a[: n - abs(lag)], b[abs(lag) :]
    # Of independent rows; where both are loud at the same times, the products are larger.
    loud = float((a * a) @ (b * b)) / n if abs(r) < 0.5 else 1.0
    repeats = 1.0 + 2.0 * float(memory[i] @ memory[j])
    effective = n / max(repeats, 1.0) / max(loud, 1.0)
    if effective <= 4.0:
        return 1.0, effective
    r = min(abs(r), 1.0 - 1e-12)
    z = math.atanh(r) * math.sqrt(effective - 3.0)
    single = math.erfc(z / math.sqrt(2))
    return -math.expm1(looks * math.log1p(-min(single, 1.0 - 1e-16))), effective


def _two_sided(z: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import erfc

    return np.asarray(erfc(z / math.sqrt(2)))


def _adjusted(p: NDArray[np.float64], method: Literal["by", "bh"]) -> NDArray[np.float64]:
    """The false-discovery rate at which each would be told."""
    m = len(p)
    order = np.argsort(p, kind="stable")
    factor = float((1.0 / np.arange(1, m + 1)).sum()) if method == "by" else 1.0
    stepped = p[order] * m * factor / np.arange(1, m + 1)
    out = np.empty(m)
    out[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return out
