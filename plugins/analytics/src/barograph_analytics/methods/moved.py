"""What else moved: series ranked by how unusual a window is, the cause before its symptoms.

For each series:

1. *How far it went*: the largest mean of a minute in the window, less the median before the
   window, in the spread before it. Counters are taken by their rates, and what two days of
   history or more tell of the hour is taken off first where it predicts.
2. *How unusual that is*: the same figure at every place of the history; a random walk, a busy
   hour or a nightly job goes as far on any day. The figure is divided by the largest of the
   history. What lasts five minutes is also held against what lasted five minutes.
3. *Since when* (onset): the last time before the alarm at which a two-sided CUSUM was at zero (E.
   Page, "Continuous inspection schemes", Biometrika 41, 1954), its slack a third of the move.

What moves by chance moves at any time; an incident is a burst. If a series is the cause, the
onsets of the others are a mixture: some at any time, some after it, with a delay and a tail.
Series rank by that mixture's likelihood and by how unusual they are: the cause explains all that
follows, a symptom leaves what was before it to chance, and what moved for itself minutes earlier
explains the burst worse.

Cost: O(series x samples), with numpy: 2,000 series of 360 samples and 1,440 of history in 1 s.
Fails: where cause and symptoms begin within one step of the grid (then the order among them is
that of how unusual they are); where the cause is not among the series, or moves no more than it
does on any day; where less time than the window's length lies before it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 8
"""Samples before the window, and in it, below which a series is left out."""

HOLD_MS = 60_000
"""How long a mean must be away; the grid's own step, if that is more."""

LASTING_MS = 300_000
"""What lasts so long is also compared with what lasted so long."""

_SLACK = 0.75  # of the CUSUM, in spreads
_ALARM = 8.0
_FLOOR = 0.02  # of the median, below which a change is none where nothing ever moves
_DELAYS = range(1, 19)
_TAILS = (1.0, 2.0, 4.0, 10.0, 30.0)
_PARTS = (0.3, 0.6, 0.9)
_BLUR = np.array([0.1, 0.8, 0.1])
_PATIENCE = 6.0  # steps of delay that cost as much as a likelihood of 1 / e
_PRICE = 3.0
_TEMPER = 4.0
_UNUSUAL = 1.15  # times the largest of the history: below, it has been seen before
_STRONG = 2.5  # where unusual is unusual enough


@attrs.frozen
class Moved:
    """One series that moved. Values are rates per second for counters."""

    index: int
    score: float
    """In [0, 1]; the likeliest cause has the largest."""
    strength: float
    """How far it went, in its usual spreads."""
    direction: Literal["up", "down", "spread"]
    before: float
    during: float
    spread: float
    """Usual (robust) standard deviation before."""
    onset_ms: int
    share: float
    """Of the window's samples from the onset on, that lie outside the usual (three spreads)."""


def moved(
    t_ms: NDArray[np.int64],
    table: NDArray[np.float64],
    start_ms: int,
    end_ms: int,
    *,
    history_t_ms: NDArray[np.int64] | None = None,
    history: NDArray[np.float64] | None = None,
    counters: NDArray[np.bool_] | None = None,
    limit: int = 20,
) -> list[Moved]:
    """The rows of table float64[series, n] that moved in [start_ms, end_ms], likeliest cause first.

    ``t_ms`` int64[n], rising, holds the window and a time before it, at least as long and better
    three times so. ``history`` float64[series, m] at ``history_t_ms`` int64[m], coarser, up to the
    grid's start: a day or a week. ``counters`` bool[series]: which only rise; guessed if None. NaN
    is a missing sample. ``ValueError`` for shapes that do not fit each other.
    """
    t, x, past_t, past = _checked(t_ms, table, history_t_ms, history, counters)
    window = (t >= start_ms) & (t <= end_ms)
    before = t < start_ms
    if not len(x) or window.sum() < LEAST or before.sum() < LEAST:
        return []
    t, x = t[: np.flatnonzero(window)[-1] + 1], x[:, : np.flatnonzero(window)[-1] + 1]
    first = int(np.flatnonzero(window)[0])
    rising = _rising(x[:, :first], past) if counters is None else np.asarray(counters, bool)
    x = _rates(t, x, rising)
    past = _rates(past_t, past, rising)
    x, past = _off_the_hour(t, x, past_t, past)
    level, spread = _usual(x[:, :first], past)
    # Where all was 0 there is no usual: any move is one of ten spreads.
    went = np.nan_to_num(np.abs(x[:, first:] - level[:, None])).max(axis=1)
    spread = np.where(spread > 0, spread, np.where(went > 0, went / 10.0, 1.0))
    here = (np.isfinite(x[:, first:]).sum(axis=1) >= LEAST) & np.isfinite(level)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        z = (x - level[:, None]) / spread[:, None]
    z = np.clip(np.where(np.isfinite(z), z, np.nan), -1e6, 1e6)
    step = float(np.median(np.diff(t)))
    hold = max(round(HOLD_MS / step), 1)
    past_z = (past - level[:, None]) / spread[:, None]
    past_z = np.clip(np.where(np.isfinite(past_z), past_z, np.nan), -1e6, 1e6)
    coarse = float(np.median(np.diff(past_t))) if len(past_t) > 1 else step
    gap = float(t[first] - t[0]), float(t[-1] - t[first])
    far = _far(z[:, first:], hold)
    unusual = far / np.maximum(_usual_far(z[:, :first], past_z, hold, step, coarse, gap), 1.0)
    # What lasts is held against what lasted: lone spikes of the history are no match for it.
    lasting = round(LASTING_MS / step)
    if hold < lasting <= z.shape[1] - first:
        smooth, past_smooth = _without_lone(z), _without_lone(past_z)
        long = _far(smooth[:, first:], lasting)
        usual = _usual_far(smooth[:, :first], past_smooth, lasting, step, coarse, gap)
        unusual = np.maximum(unusual, long / np.maximum(usual, 1.0))
    unusual = np.where(here, unusual, 0.0)
    onset, up = _onsets(z, far, first, hold)
    return _ranked(t, x, z, first, far, unusual, onset, up, level, spread, limit)


def _checked(
    t_ms: NDArray[np.int64],
    table: NDArray[np.float64],
    history_t_ms: NDArray[np.int64] | None,
    history: NDArray[np.float64] | None,
    counters: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    t, x = np.asarray(t_ms, np.int64), np.asarray(table, np.float64)
    if x.ndim != 2 or t.shape != (x.shape[1],):
        raise ValueError(f"table must be float64[series, {len(t)}] for its times, not {x.shape}")
    if (history is None) != (history_t_ms is None):
        raise ValueError("history and history_t_ms go together")
    past_t = np.zeros(0, np.int64) if history_t_ms is None else np.asarray(history_t_ms, np.int64)
    past = np.zeros((len(x), 0)) if history is None else np.asarray(history, np.float64)
    if past.shape != (len(x), len(past_t)):
        raise ValueError(
            f"history must be float64[{len(x)}, {len(past_t)}] for its times, not {past.shape}"
        )
    if counters is not None and np.shape(counters) != (len(x),):
        raise ValueError(f"counters must be bool[{len(x)}], not of shape {np.shape(counters)}")
    for name, times in (("t_ms", t), ("history_t_ms", past_t)):
        if (np.diff(times) <= 0).any():
            raise ValueError(f"{name} must rise from sample to sample")
    old = past_t < (t[0] if len(t) else 0)
    x = np.where(np.isfinite(x), x, np.nan)
    return t, x, past_t[old], np.where(np.isfinite(past[:, old]), past[:, old], np.nan)


def _rising(before: NDArray[np.float64], past: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows look like counters: never negative, they rise at least 4 times before the window,
    and fall at most twice, then to less than a tenth (a restart); so too in the history."""
    out = (np.nan_to_num(np.diff(before, axis=1)) > 0).sum(axis=1) >= 4
    for part in (before, past):
        steps = np.diff(part, axis=1)
        falls = steps < 0
        with np.errstate(invalid="ignore"):
            restart = falls & (part[:, 1:] < 0.1 * part[:, :-1])
            out &= ~(part < 0).any(axis=1) & (falls.sum(axis=1) <= 2)
        out &= (falls == restart).all(axis=1)
    return np.asarray(out)


def _rates(
    t: NDArray[np.int64], x: NDArray[np.float64], rising: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """``x`` with the counters' rates per second, the first sample's unknown; a restart is NaN."""
    if not rising.any() or x.shape[1] < 2:
        return x
    out = x.copy()
    steps = np.diff(x[rising], axis=1)
    rates = np.where(steps >= 0, steps / (np.diff(t) / 1000.0), np.nan)
    out[rising] = np.concatenate([np.full((len(rates), 1), np.nan), rates], axis=1)
    return out


def _off_the_hour(
    t: NDArray[np.int64],
    x: NDArray[np.float64],
    past_t: NDArray[np.int64],
    past: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both, less what the day before did at the same minute, smoothed, for rows where it predicts.

    It predicts where the last day's course of the hours explains what is known of the last hours.
    Needs at least two days of history; one day alone only tells what is usual.
    """
    day = 86_400_000
    if past.shape[1] < 96 or past_t[-1] - past_t[0] < 2 * day:
        return x, past
    step = float(np.median(np.diff(past_t)))
    cells = round(day / step)
    if cells < 24:
        return x, past
    phase = (past_t % day) * cells // day
    rounds = (past_t[-1] - past_t) // day
    number = int(rounds.max()) + 1
    folded = np.full((number, cells, len(past)), np.nan)
    folded[rounds, phase] = past.T
    width = max(cells // 48, 1)
    with np.errstate(all="ignore"):
        shape = _nan_median(folded, 0)  # [cells, series]
    shape = np.where(np.isfinite(shape), shape, _nan_median(shape, 0))
    kernel = np.ones(2 * width + 1) / (2 * width + 1)
    wrapped = np.concatenate([shape[-width:], shape, shape[:width]])
    sums = np.cumsum(np.concatenate([np.zeros((1, shape.shape[1])), wrapped]), axis=0)
    smooth = ((sums[2 * width + 1 :] - sums[: -2 * width - 1]) * kernel[0]).T
    expected = smooth[:, phase]
    with np.errstate(all="ignore"):
        plain = _spreads(past - _nan_median(past, 1)[:, None])
        rest = past - expected
        left = _spreads(rest - _nan_median(rest, 1)[:, None])
    helps = left < 0.7 * plain
    at = (t % day) * cells / day
    low = np.floor(at).astype(np.int64) % cells
    part = at - np.floor(at)
    now = smooth[:, low] * (1 - part) + smooth[:, (low + 1) % cells] * part
    return (
        np.where(helps[:, None], x - now + _nan_median(now, 1)[:, None], x),
        np.where(helps[:, None], rest + _nan_median(now, 1)[:, None], past),
    )


def _nan_median(x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """As ``np.nanmedian``, ten times as fast: NaN sort to the end."""
    ordered = np.sort(x, axis=axis)
    number = np.isfinite(ordered).sum(axis=axis, keepdims=True)
    low, high = np.maximum((number - 1) // 2, 0), np.minimum(number // 2, x.shape[axis] - 1)
    middle = np.take_along_axis(ordered, low, axis) + np.take_along_axis(ordered, high, axis)
    return np.asarray(np.where(number > 0, middle / 2, np.nan).squeeze(axis))


def _spreads(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.4826 * _nan_median(np.abs(x), 1)


def _usual(
    before: NDArray[np.float64], past: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(level, spread) float64[series] each: medians before the window; where hardly anything moves,
    the larger deviations of all that is known."""
    some = np.isfinite(before).sum(axis=1) >= LEAST
    level = np.where(some, _nan_median(before, 1), np.nan)
    off = before - level[:, None]
    spread = _spreads(off)
    with np.errstate(invalid="ignore"):
        clean = np.where(np.isfinite(off), off, 0.0)
        number = np.maximum(np.isfinite(off).sum(axis=1), 1)
        deviation = np.sqrt((np.minimum(clean**2, 25 * np.maximum(spread, 1e-300)[:, None] ** 2))
                            .sum(axis=1) / number)  # fmt: skip
        spread = np.maximum(spread, deviation)
        rare = np.sqrt((clean**2).sum(axis=1) / number)
        if past.shape[1]:
            wide = past - _nan_median(past, 1)[:, None]
            known = np.maximum(np.isfinite(wide).sum(axis=1), 1)
            rare = np.maximum(
                rare, np.sqrt(np.where(np.isfinite(wide), wide**2, 0.0).sum(axis=1) / known)
            )
        spread = np.where(spread > 0, spread, rare)
    largest = np.nanmax(np.where(np.isfinite(before), np.abs(before), 0.0), axis=1)
    floor = np.maximum(_FLOOR * np.abs(np.nan_to_num(level)), 1e-9 * largest)
    spread = np.where(spread > 1e-9 * largest, spread, floor)
    return level, spread


def _means(z: NDArray[np.float64], hold: int) -> NDArray[np.float64]:
    """Means of each ``hold`` samples in a row, at least half of them known; NaN otherwise."""
    here = np.isfinite(z)
    sums = np.cumsum(np.where(here, z, 0.0), axis=1)
    number = np.cumsum(here, axis=1)
    sums[:, hold:] -= sums[:, :-hold].copy()
    number[:, hold:] -= number[:, :-hold].copy()
    sums, number = sums[:, hold - 1 :], number[:, hold - 1 :]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(number * 2 >= hold, sums / number, np.nan)


def _far(z: NDArray[np.float64], hold: int) -> NDArray[np.float64]:
    """float64[series]: the largest mean of ``hold`` samples, either way; 0 where none is known."""
    means = np.abs(_means(z, min(hold, z.shape[1])))
    return np.asarray(np.nanmax(np.where(np.isfinite(means), means, 0.0), axis=1))


def _usual_far(
    before: NDArray[np.float64],
    past: NDArray[np.float64],
    hold: int,
    step: float,
    coarse: float,
    gap: tuple[float, float],
) -> NDArray[np.float64]:
    """float64[series]: how far it went before, as ``_far`` would have said it then.

    The time before the window, and its second half against the median of its first; and in the
    history, means as long as ``hold`` steps against the mean of as long a time as there is before
    the window (``gap[0]``, ms) that ended as long ago as the window lasts (``gap[1]``) or half.
    """
    half = before.shape[1] // 2
    with np.errstate(all="ignore"):
        middle = np.nan_to_num(_nan_median(before[:, :half], 1))
    usual = np.maximum(_far(before[:, half:] - middle[:, None], hold), _far(before, hold))
    if past.shape[1] < 2 * LEAST:
        return np.asarray(usual)
    long = max(round(gap[0] / coarse), LEAST)
    size = max(round(hold * step / coarse), 1)
    base, values = _means(past, long), _means(past, size)
    for apart in {max(round(gap[1] / coarse), 1), max(round(gap[1] / coarse / 2), 1)}:
        now = values[:, max(long + apart - size, 0) :]
        then = base[:, : now.shape[1]]
        if then.shape[1]:
            far = np.abs(now[:, : then.shape[1]] - then)
            usual = np.maximum(usual, np.nanmax(np.where(np.isfinite(far), far, 0.0), axis=1))
    return np.asarray(usual)


def _without_lone(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle of each three neighbours; the ends as they are."""
    if z.shape[1] < 3:
        return z
    a, b, c = z[:, :-2], z[:, 1:-1], z[:, 2:]
    out = z.copy()
    with np.errstate(invalid="ignore"):
        out[:, 1:-1] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return np.where(np.isfinite(out), out, z)


def _onsets(
    z: NDArray[np.float64], far: NDArray[np.float64], first: int, hold: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(index of each series' onset in the table, its length for none; whether up): see the module,
    step 3. The slack is a third of how far the series went: what is less is on its way or noise."""
    begin = max(first - hold, 0)
    slack = np.clip(far / 3.0, _SLACK, 1e5)[:, None]
    value = np.clip(np.nan_to_num(z[:, begin:]), -3.0 * slack, 3.0 * slack)
    best = np.full(len(z), z.shape[1], np.int64)
    up = np.ones(len(z), bool)
    at = np.arange(value.shape[1])[None, :]
    rows = np.arange(len(z))
    for sign in (1.0, -1.0):
        sums = np.cumsum(sign * value - slack, axis=1)
        height = sums - np.minimum(np.minimum.accumulate(sums, axis=1), 0.0)
        zero = np.maximum.accumulate(np.where(height <= 0.0, at, -1), axis=1)
        alarm = height >= _ALARM * slack / 3.0
        some = alarm.any(axis=1)
        start = begin + zero[rows, np.argmax(alarm, axis=1)] + 1
        earlier = some & (start < best)
        best = np.where(earlier, start, best)
        up = np.where(earlier, sign > 0, up)
    return best, up


def _ranked(
    t: NDArray[np.int64], x: NDArray[np.float64], z: NDArray[np.float64], first: int,
    far: NDArray[np.float64], unusual: NDArray[np.float64], onset: NDArray[np.int64],
    up: NDArray[np.bool_], level: NDArray[np.float64], spread: NDArray[np.float64], limit: int,
) -> list[Moved]:  # fmt: skip
    told = np.flatnonzero((unusual >= _UNUSUAL) & (onset < len(t)) & (far >= 3.0))
    if not len(told):
        return []
    evidence = np.minimum(np.log(unusual[told] / _UNUSUAL) / math.log(_STRONG / _UNUSUAL), 1.0)
    when = onset[told]
    likely = _causes(when, evidence, len(t) - first) + _PRICE * evidence
    score = np.exp((likely - likely.max()) / _TEMPER)
    out = []
    for i in np.argsort(-score, kind="stable")[:limit].tolist():
        row, start = int(told[i]), int(when[i])
        start = min(start, len(t) - 1)
        part = z[row, start:]
        part = part[np.isfinite(part)]
        values = x[row, start:]
        values = values[np.isfinite(values)]
        during = float(np.median(values)) if len(values) else float(level[row])
        away = abs(during - float(level[row])) > 1.5 * float(spread[row])
        out.append(
            Moved(
                row, float(score[i]), float(far[row]),
                ("up" if up[row] else "down") if away else "spread",
                float(level[row]), during, float(spread[row]), int(t[start]),
                float((np.abs(part) > 3).mean()) if len(part) else 0.0,
            )
        )  # fmt: skip
    return out


def _causes(
    when: NDArray[np.int64], evidence: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """float64[k]: log-likelihood of all onsets, if what began at each one's caused the others.

    Onsets of the rest are a mixture: uniform over the window (by chance), or after a delay of d
    steps with an exponential tail of mean s; the best d, s and mixture count, long delays less.
    """
    if len(when) == 1:
        return np.zeros(1)
    # By time, not by series: there are fewer, however many moved.
    times, place = np.unique(when, return_inverse=True)
    lag = times[None, :] - times[:, None]  # [cause, other]
    reach = int(np.abs(lag).max())
    at = np.arange(-reach, reach + 1)
    own = 0.1 + evidence
    weights = np.bincount(place, weights=own)
    best = np.full(len(when), -np.inf)
    for delay in _DELAYS:
        for scale in _TAILS:
            tail = np.where(at >= delay, np.exp(-(at - delay) / scale), 0.0)
            tail *= 1.0 - math.exp(-1.0 / scale)
            # An onset is known to a step or so.
            density = np.convolve(np.pad(tail, 1), _BLUR, "valid")
            for part in _PARTS:
                value = np.log((1.0 - part) / (length + reach) + part * density)
                others = (value[lag + reach] @ weights)[place] - own * value[reach]
                best = np.maximum(best, others - delay / _PATIENCE)
    return best
