"""``auto``: the default detector."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from barograph_anomaly.automatic.layout import (
    COUNTER,
    EVENT_CENTRE,
    EVENT_MS,
    EVENT_NUMBER,
    EVENT_RECORD,
    EVENT_SAMPLE,
    EVENT_SCALE,
    EVENT_VALUE,
    EVENT_WHICH,
    FLOATS,
    FRESH,
    KIND,
    LOCAL,
    LONG,
    MEAN_LONG,
    MEAN_MIDDLE,
    MEAN_SHORT,
    MIDDLE,
    PEAK,
    PEAK_AT,
    PEAK_COUNT,
    PEAKS,
    RUN,
    SEASON,
    SHORT,
    SPENT,
    SPREAD_LONG,
    SPREAD_MIDDLE,
    STEP,
    TAILS,
    VALUE,
)
from barograph_anomaly.wording import digits, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY_MS = 86_400_000.0

LIKE_IT = 1.3
"""An event so many times an accepted one is still like it."""

_OVER = {
    MEAN_SHORT: SHORT, MEAN_MIDDLE: MIDDLE, MEAN_LONG: LONG,
    SPREAD_MIDDLE: MIDDLE, SPREAD_LONG: LONG,
}  # fmt: skip


@attrs.frozen
class AutoDetector:
    """Many views of a series, each with its own record of what has been; see
    docs/explanation/anomaly.md.

    ``budget``: false alarms a day that each series may have. ``memory_days``: how long a record
    of the past stands.
    """

    budget: float = 0.1
    memory_days: float = 120.0
    name: str = "auto"

    def state(self, n: int) -> dict[str, NDArray[Any]]:
        """``floats`` float64[n, FLOATS] and ``ints`` int32[n, INTS], as ``layout`` says."""
        return {"floats": np.zeros((n, FLOATS)), "ints": np.tile(FRESH, (n, 1))}

    def update(
        self, state: dict[str, NDArray[Any]], t_ms: int, values: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores float64[n]; about 0.4 µs a series, of a few hundred series 70 µs."""
        return self._run(state, np.array([t_ms], np.int64), values[np.newaxis, :]).ravel()

    def score(self, t_ms: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of one series' history, the same as from ``update``."""
        return self._run(self.state(1), t_ms, values[:, np.newaxis]).ravel()

    def _run(
        self, state: dict[str, NDArray[Any]], t_ms: NDArray[np.int64],
        table: NDArray[np.float64],
    ) -> NDArray[np.float64]:  # fmt: skip
        from barograph_anomaly.automatic.steps import RUN

        out = np.empty(table.shape)
        RUN(*table.shape, state["floats"], state["ints"], t_ms, np.ascontiguousarray(table),
            self.budget, self.memory_days * DAY_MS, out)  # fmt: skip
        return out

    def explain(
        self, state: dict[str, NDArray[Any]], series: int, name: str = "", unit: str = ""
    ) -> str:
        """One sentence about the newest event; "" if there was none."""
        f, k = state["floats"][series], state["ints"][series]
        if f[EVENT_MS] == 0:
            return ""
        what = name or "the value"
        text = _sentence(f, what, unit + ("/s" if k[KIND] == COUNTER else ""))
        return text[0].upper() + text[1:] if not name else text

    def accept(self, state: dict[str, NDArray[Any]], series: int) -> None:
        """Take the record excess of each tail that spoke since the newest event began as usual,
        and give the alarm back to the budget."""
        f, k = state["floats"][series], state["ints"][series]
        if f[EVENT_MS] == 0:
            return
        since = k[PEAK_AT : PEAK_AT + TAILS] >= f[EVENT_NUMBER]
        for which in np.flatnonzero(since).tolist():
            peaks = f[PEAK + which * PEAKS : PEAK + (which + 1) * PEAKS]
            peaks[:] = LIKE_IT * peaks[: k[PEAK_COUNT + which]].max()
            k[PEAK_COUNT + which] = PEAKS
        f[SPENT] = max(f[SPENT] - 1.0, 0.0)
        f[EVENT_MS] = 0.0


def _sentence(f: NDArray[np.float64], what: str, unit: str) -> str:
    view, below = divmod(int(f[EVENT_WHICH]), 2)
    value, centre, scale = f[EVENT_VALUE], f[EVENT_CENTRE], f[EVENT_SCALE]
    sample = quantity(f[EVENT_SAMPLE], unit)
    side = "below" if below else "above"

    def shown(number: float) -> str:
        return quantity(number, unit)

    times = abs(value - centre) / scale if scale > 0 else math.inf
    spreads = f"{digits(times)} times its usual spread" if times < 1e6 else "far"
    if view == VALUE:
        before = centre - f[EVENT_RECORD] if below else centre + f[EVENT_RECORD]
        least = "least" if below else "most"
        seen = f"; the {least} before was {shown(before)}" if f[EVENT_RECORD] > 0 else ""
        return f"{what} {sample}, {spreads} {side} its usual {shown(centre)}{seen}"
    if view == STEP:
        way = "fell" if value < 0 else "rose"
        usual = f"its steps are usually about {shown(scale)}"
        return f"{what} {way} by {shown(abs(value))} in one step to {sample}; {usual}"
    if view in (MEAN_SHORT, MEAN_MIDDLE, MEAN_LONG):
        over = f"has averaged {shown(value)} over about {_OVER[view]:.0f} samples"
        return f"{what} {over}, {spreads} {side} its usual {shown(centre)}"
    if view in (SPREAD_MIDDLE, SPREAD_LONG):
        ratio = math.exp(min(value - centre, 50.0))
        much = "only " if ratio < 1 else ""
        over = f"over about {_OVER[view]:.0f} samples"
        return f"{what} {sample}: it varies {much}{digits(ratio)} times as much as usual {over}"
    if view == SEASON:
        edge = f[EVENT_SAMPLE] - value
        limit = "lowest" if below else "highest"
        return (
            f"{what} {sample}, {shown(abs(value))} {side} the usual {limit} of "
            f"{shown(edge)} for this time of day"
        )
    if view == LOCAL:
        over = f"the mean of the last {MIDDLE:.0f} samples"
        return f"{what} {sample}, {digits(abs(value))} times their spread {side} {over}"
    if view == RUN:
        return f"{what} has been exactly {sample} for {math.expm1(value):.0f} samples"
    way = "fallen" if value < 0 else "risen"
    return (
        f"{what} {sample}: it has {way} by {shown(abs(value))} within about {LONG:.0f} samples, "
        f"{digits(times)} times what is usual"
    )
