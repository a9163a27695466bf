"""What rises or falls over days: since when, how fast, and when a share will be used up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.findings import Evidence, Observation, Severity
from barograph_analytics import wording
from barograph_analytics.floors import worth_telling
from barograph_analytics.reading import Line, read

if TYPE_CHECKING:
    from barograph.inquiry import Inquiry
    from barograph_analytics import Config
    from barograph_analytics.methods.trend import Trend

LEAST_POINTS = 40
"""Of fewer nothing is said."""

LEAST_SHARE = 0.5
"""A trend is told once it has gone on for so much of the time that the series was there."""

STILL_SHARE = 0.1
"""... and only if it goes on: its end is no further from the end than this share of the time."""

DAY_S = 86_400.0


@attrs.frozen
class Trends:
    """Mann-Kendall and Theil-Sen over each line, season taken out (``methods.trend``)."""

    config: Config

    name = "trends"

    @property
    def interval_s(self) -> float:
        return float(self.config.trend_interval)

    @property
    def window_s(self) -> float:
        return float(self.config.trend_window)

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterator[Observation]:
        """A finding for each line that goes on rising or falling."""
        from barograph_analytics.methods.trend import trend  # numba: only when it looks

        config = self.config
        lines = read(data, config.watch, start_ms, end_ms, points=1000,
                     max_series=config.max_series)  # fmt: skip
        for line in lines.lines:
            if data.cancelled():
                return
            here = np.flatnonzero(np.isfinite(line.values))
            if len(here) < LEAST_POINTS:
                continue
            t, x = lines.t_ms[here[0] : here[-1] + 1], line.values[here[0] : here[-1] + 1]
            found = trend(t, x, alpha=config.significance)
            if self._told(found, line, int(t[0]), int(t[-1])):
                yield _observed(found, line)

    def _told(self, found: Trend, line: Line, first_ms: int, last_ms: int) -> bool:
        if not found.significant or found.strength < self.config.least_strength:
            return False
        whole = max(last_ms - first_ms, 1)
        if found.end_ms - found.start_ms < LEAST_SHARE * whole:
            return False  # it may turn again
        if last_ms - found.end_ms > STILL_SHARE * whole:
            return False
        return worth_telling(
            found.change, found.before, found.after, name=line.labels.name, unit=line.unit,
            least_share=self.config.least_change,
        )  # fmt: skip


def _observed(found: Trend, line: Line) -> Observation:
    a_day = found.slope * DAY_S
    seconds = (found.end_ms - found.start_ms) / 1000
    verb = "rises" if found.direction == "rising" else "falls"
    pace, per = (a_day, "a day") if seconds > 0.5 * DAY_S else (found.slope * 3600, "an hour")
    scale = 86_400.0 if per == "a day" else 3600.0
    what, since = wording.spoken(line.labels), wording.moment(found.start_ms)
    full_s = _full_in(found, line.unit)
    text = [
        f"{what} {verb} by {wording.amount(abs(pace), line.unit)} {per} since {since}: from "
        f"{wording.amount(found.before, line.unit)} to {wording.amount(found.after, line.unit)} in "
        f"{wording.lasting(seconds)}.",
        f"The pace lies between {wording.amount(found.low * scale, line.unit)} and "
        f"{wording.amount(found.high * scale, line.unit)} {per} ({found.level:.0%} interval); the "
        f"change is {found.strength:.1f} times the usual spread, and chance would show such a "
        f"trend with {wording.chance(found.p)}.",
    ]
    if found.period_ms:
        text.append(f"A season of {wording.lasting(found.period_ms / 1000)} is taken out.")
    if full_s is not None:
        text.append(f"At this pace it reaches 100 % in {wording.lasting(full_s)}.")
    details: dict[str, float | str] = {
        "slope_per_second": found.slope, "slope_low": found.low, "slope_high": found.high,
        "change": found.change, "before": found.before, "after": found.after, "p": found.p,
        "tau": found.tau, "strength": found.strength, "period_s": found.period_ms / 1000,
        "unit": line.unit,
    }  # fmt: skip
    if full_s is not None:
        details["full_in_s"] = full_s
    title = f"{what} {verb} by {wording.amount(abs(pace), line.unit)} {per} since {since}"
    return Observation(
        "trend", f"trend {found.direction} {line.key}", wording.title(title), " ".join(text),
        _severity(full_s), _confidence(found), found.start_ms, found.end_ms,
        (Evidence(line.expr, found.start_ms, found.end_ms, "the values since it began"),),
        line.labels, {k: v for k, v in details.items() if isinstance(v, str) or math.isfinite(v)},
    )  # fmt: skip


def _full_in(found: Trend, unit: str) -> float | None:
    """Seconds until a share that rises is used up."""
    if unit != "ratio" or found.slope <= 0 or found.after < 0.5:
        return None
    return max(1.0 - found.after, 0.0) / found.slope


def _severity(full_s: float | None) -> Severity:
    if full_s is None:
        return "info"
    return "critical" if full_s < DAY_S else "warning" if full_s < 7 * DAY_S else "info"


def _confidence(found: Trend) -> float:
    return wording.sure(min(1 - found.p, found.strength / (1 + found.strength)))
