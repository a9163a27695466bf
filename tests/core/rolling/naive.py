"""Few-line twins of the rolling kernels, obviously right and slow."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

Row = Any


def windows_by_count(n: int, window: int) -> list[int]:
    return [max(0, i - window + 1) for i in range(n)]


def windows_by_time(t: Row, window: float) -> list[int]:
    return [min(j for j in range(i + 1) if t[i] - t[j] < window) for i in range(len(t))]


def apply(
    a: Row, starts: list[int], min_count: int, statistic: Callable[[Row, Row, int], float]
) -> Row:
    """``statistic(present values, their places, index of the newest)`` of every window."""
    out = np.full(len(a), np.nan)
    for i, start in enumerate(starts):
        places = [j for j in range(start, i + 1) if not np.isnan(a[j])]
        if len(places) >= min_count:
            out[i] = statistic(np.array([a[j] for j in places]), np.array(places), i)
    return out


def exact(values: Row) -> list[Fraction]:
    return [Fraction(float(v)) for v in values]


def total(v: Row, places: Row, i: int) -> float:
    return float(sum(exact(v)))


def mean(v: Row, places: Row, i: int) -> float:
    return float(sum(exact(v)) / len(v))


def exact_var(v: Row, ddof: int) -> Fraction:
    x = exact(v)
    m = sum(x) / len(x)
    return sum((a - m) ** 2 for a in x) / (len(x) - ddof)


def var(ddof: int) -> Callable[[Row, Row, int], float]:
    return lambda v, places, i: float(exact_var(v, ddof)) if len(v) > ddof else np.nan


def std(ddof: int) -> Callable[[Row, Row, int], float]:
    return lambda v, places, i: float(exact_var(v, ddof)) ** 0.5 if len(v) > ddof else np.nan


def zscore(ddof: int) -> Callable[[Row, Row, int], float]:
    def of(v: Row, places: Row, i: int) -> float:
        if len(v) <= ddof or places[-1] != i or len(set(v)) == 1:
            return np.nan
        distance = Fraction(float(v[-1])) - sum(exact(v)) / len(v)
        return float(distance) / float(exact_var(v, ddof)) ** 0.5

    return of


def slope(t: Row | None = None) -> Callable[[Row, Row, int], float]:
    def of(v: Row, places: Row, i: int) -> float:
        x = exact(v)
        k = [Fraction(float(p if t is None else t[p])) for p in places]
        spread = sum((a - sum(k) / len(k)) ** 2 for a in k)
        if spread == 0:
            return np.nan
        both = sum((a - sum(k) / len(k)) * (b - sum(x) / len(x)) for a, b in zip(k, x, strict=True))
        return float(both / spread)

    return of


def moment(v: Row, power: int) -> float:
    x = exact(v)
    m = sum(x) / len(x)
    return float(sum((a - m) ** power for a in x) / len(x))


def skew(ddof: int) -> Callable[[Row, Row, int], float]:
    def of(v: Row, places: Row, i: int) -> float:
        n = len(v)
        if len(set(v)) == 1 or (ddof and n < 3):
            return np.nan
        g = moment(v, 3) / moment(v, 2) ** 1.5
        return g * (n * (n - 1)) ** 0.5 / (n - 2) if ddof else g

    return of


def kurt(ddof: int) -> Callable[[Row, Row, int], float]:
    def of(v: Row, places: Row, i: int) -> float:
        n = len(v)
        if len(set(v)) == 1 or (ddof and n < 4):
            return np.nan
        g = moment(v, 4) / moment(v, 2) ** 2 - 3
        return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * g + 6) if ddof else g

    return of


def least(v: Row, places: Row, i: int) -> float:
    return float(min(v))


def greatest(v: Row, places: Row, i: int) -> float:
    return float(max(v))


def argleast(v: Row, places: Row, i: int) -> float:
    return float(min(i - p for a, p in zip(v, places, strict=True) if a == min(v)))


def arggreatest(v: Row, places: Row, i: int) -> float:
    return float(min(i - p for a, p in zip(v, places, strict=True) if a == max(v)))


def median(v: Row, places: Row, i: int) -> float:
    return float(np.median(v))


def quantile(q: float) -> Callable[[Row, Row, int], float]:
    return lambda v, places, i: float(np.quantile(v, q))


def iqr(v: Row, places: Row, i: int) -> float:
    return float(np.quantile(v, 0.75) - np.quantile(v, 0.25))


def mad(v: Row, places: Row, i: int) -> float:
    return float(np.median(np.abs(v - np.median(v))))


def rank(v: Row, places: Row, i: int) -> float:
    if places[-1] != i:
        return np.nan
    if len(v) == 1:
        return 0.0
    less, equal = int((v < v[-1]).sum()), int((v == v[-1]).sum())
    return float(2 * (less + (equal - 1) / 2) / (len(v) - 1) - 1)


def pairs(a: Row, b: Row, starts: list[int], min_count: int, ddof: int, *, correlate: bool) -> Row:
    out = np.full(len(a), np.nan)
    for i, start in enumerate(starts):
        keep = [j for j in range(start, i + 1) if not np.isnan(a[j]) and not np.isnan(b[j])]
        n = len(keep)
        if n < min_count:
            continue
        x, y = exact([a[j] for j in keep]), exact([b[j] for j in keep])
        mx, my = sum(x) / n, sum(y) / n
        both = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
        if not correlate:
            out[i] = float(both / (n - ddof)) if n > ddof else np.nan
            continue
        xx, yy = sum((p - mx) ** 2 for p in x), sum((q - my) ** 2 for q in y)
        if xx and yy:
            out[i] = float(both) / (float(xx) ** 0.5 * float(yy) ** 0.5)
    return out


def ewm(a: Row, ages: Callable[[int, int], float], decay: Callable[[float], float]) -> Any:
    """(means, variances, variances corrected for bias) with weights decay(ages(i, j))."""
    n = len(a)
    out = np.full((3, n), np.nan)
    for i in range(n):
        keep = [j for j in range(i + 1) if not np.isnan(a[j])]
        if not keep:
            continue
        # Weights relative to the newest value's, so that they do not all vanish in a long gap.
        w = [Fraction(decay(ages(keep[-1], j))) for j in keep]
        x = exact([a[j] for j in keep])
        m = sum(p * q for p, q in zip(w, x, strict=True)) / sum(w)
        squares = sum(p * (q - m) ** 2 for p, q in zip(w, x, strict=True))
        free = sum(w) - sum(p * p for p in w) / sum(w)
        out[:, i] = float(m), float(squares / sum(w)), float(squares / free) if free else np.nan
    return out


def inversions(x: Row) -> int:
    return sum(int(x[i] > x[j]) for i in range(len(x)) for j in range(i + 1, len(x)))


def slopes(t: Row, x: Row) -> list[float]:
    n = len(x)
    return sorted((x[j] - x[i]) / (t[j] - t[i]) for i in range(n) for j in range(i + 1, n))
