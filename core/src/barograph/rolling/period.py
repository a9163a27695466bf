"""Autocorrelation and the periods of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_CANDIDATES = 64  # peaks of the spectrum that are looked at
_FALSE_ALARM = 0.001  # that noise alone gives a candidate, over all frequencies
_LEAST_CORRELATION = 0.1


@attrs.frozen
class Period:
    """A length after which a series repeats: ``steps`` (values), its ``correlation`` at that lag,
    and the ``power`` of its frequency, as a part of the variance."""

    steps: int
    correlation: float
    power: float


def autocorrelation(x: ArrayLike, lags: int | None = None) -> NDArray[np.float64]:
    """float64[lags + 1]: correlation of x[n] with itself 0..lags steps later (default n - 1).

    Sums of products are over n, the usual biased estimate; with NaN, over the pairs that exist,
    scaled to that. NaN if x is flat. By FFT, O(n log n) (scipy's, which is as fast as there is).
    """
    values = _row(x)
    n = len(values)
    most = n - 1 if lags is None else lags
    if not 0 <= most < n:
        raise ValueError(f"lags is {lags}, but must be from 0 to {n - 1}")
    here = np.isfinite(values)
    if not here.any():
        return np.full(most + 1, np.nan)
    centred = np.where(here, values, 0.0)
    # Twice: the mean of large numbers is known to their precision only.
    for _ in range(2):
        centred = np.where(here, centred - centred[here].mean(), 0.0)
    scale = np.abs(centred).max()
    if scale == 0.0:
        return np.full(most + 1, np.nan)
    products = _lagged(centred / scale, most)
    if not here.all():
        pairs = np.round(_lagged(here.astype(np.float64), most))
        expected = pairs[0] * (n - np.arange(most + 1)) / n
        products = np.divide(
            products * expected, pairs, out=np.full(most + 1, np.nan), where=pairs > 0
        )
    out: NDArray[np.float64] = products / products[0]
    return out


def find_periods(x: ArrayLike, *, most: int = 3) -> list[Period]:
    """Periods of x[n] that are seen at least twice over, strongest first, at most ``most``.

    Peaks of the spectrum that red noise (a random walk, say) would not give are refined on the
    autocorrelation, and must stand on a hill of it (M. Vlachos et al., "On Periodicity Detection
    and Structural Periodic Similarity", SDM 2005; the background is that of C. Torrence and G.
    Compo, Bulletin of the AMS 79, 1998). A straight trend is taken out first, NaN are filled from
    neighbours. Multiples of a period that correlate no better do not count. Empty where there is
    none. O(n log n).
    """
    values = _row(x)
    n = len(values)
    here = np.isfinite(values)
    if here.sum() < 8:
        return []
    at = np.arange(n)
    filled = np.interp(at, at[here], values[here])
    line = np.polynomial.Polynomial.fit(at, filled, 1)
    rest = filled - line(at)
    spread = rest.std()
    if spread <= 1e-14 * max(float(np.abs(filled).max()), 1e-300):
        return []
    rest = rest / spread
    power = np.abs(np.fft.rfft(rest)) ** 2 / n**2 * 2
    correlation = autocorrelation(rest, n // 2)
    limit = _red_noise(len(power), n, float(correlation[1])) * float(power[1:].sum())
    limit *= np.log(len(power) / _FALSE_ALARM)
    power[:2] = 0.0  # below two repetitions
    # The estimate over n falls with the lag, which would pull tops of hills to the left.
    correlation *= n / (n - np.arange(len(correlation)))
    found: list[Period] = []
    for k in np.argsort(power)[::-1][:_CANDIDATES].tolist():
        if power[k] < limit[k]:
            continue
        steps = _top_of_hill(correlation, n / (k + 1), n / (k - 1))
        if steps is None or correlation[steps] < _LEAST_CORRELATION:
            continue
        if any(_is_told_by(other, steps, float(correlation[steps])) for other in found):
            continue
        found.append(Period(steps, float(correlation[steps]), float(power[k])))
    found.sort(key=lambda period: -period.correlation * period.power)
    return found[:most]


def _red_noise(frequencies: int, n: int, correlation: float) -> NDArray[np.float64]:
    """float64[frequencies]: how the power of an AR(1) process is spread; sums to 1 but for [0]."""
    step = min(max(correlation, 0.0), 1.0 - 1.0 / n)
    angle = 2 * np.pi * np.arange(frequencies) / n
    spread: NDArray[np.float64] = 1.0 / (1.0 + step * step - 2.0 * step * np.cos(angle))
    return np.asarray(spread / spread[1:].sum())


def _top_of_hill(correlation: NDArray[np.float64], shortest: float, longest: float) -> int | None:
    """The lag at the top of a hill that is at ``shortest`` to ``longest``, if there is one.

    Small hills of noise are smoothed away.
    """
    size = len(correlation)
    low, high = max(int(shortest), 2), min(int(np.ceil(longest)), size - 2)
    if low > high:
        return None
    width = low // 12
    sums = np.cumsum(np.concatenate(([0.0], correlation)))
    at = np.arange(size)
    start, stop = np.maximum(at - width, 0), np.minimum(at + width + 1, size)
    smooth = (sums[stop] - sums[start]) / (stop - start)
    lag = low + int(np.argmax(smooth[low : high + 1]))
    # The place of a spectral line is known to one step of frequency: the top may lie just outside.
    while lag + 1 < size - 1 and smooth[lag + 1] > smooth[lag]:
        lag += 1
    while lag > 2 and smooth[lag - 1] > smooth[lag]:
        lag -= 1
    if not smooth[lag - 1] < smooth[lag] >= smooth[lag + 1]:
        return None
    return _comb(correlation, lag)


def _comb(correlation: NDArray[np.float64], lag: int) -> int:
    """The lag within a tenth of ``lag`` that, with its multiples, correlates best: they tell it
    more finely than the top of one hill."""
    best, lag_of_best = -np.inf, lag
    times = np.arange(1, min((len(correlation) - 1) // lag, 8) + 1)
    for near in range(max(lag - lag // 10 - 1, 2), lag + lag // 10 + 2):
        at = times * near
        at = at[at < len(correlation)]
        if not len(at):
            break
        mean = float(correlation[at].mean())
        if mean > best:
            best, lag_of_best = mean, near
    return lag_of_best


def _is_told_by(known: Period, steps: int, correlation: float) -> bool:
    """Whether ``steps`` is the known period, or a multiple of it that correlates no better."""
    times = max(round(steps / known.steps), 1)
    if abs(steps - times * known.steps) > max(0.05 * known.steps, 1.0):
        return False
    return times == 1 or correlation < known.correlation + _LEAST_CORRELATION


def _lagged(x: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Sums of x[i] x[i + k] for k = 0..most."""
    from scipy import fft  # slow to import

    size = fft.next_fast_len(len(x) + most, real=True)
    spectrum = fft.rfft(x, size)
    out: NDArray[np.float64] = fft.irfft(spectrum * np.conj(spectrum), size)[: most + 1]
    return out


def _row(x: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(x, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"this is of one row of values, not of shape {values.shape}")
    if np.isinf(values).any():
        raise ValueError("x has an infinity; this needs finite values or NaN")
    return values
