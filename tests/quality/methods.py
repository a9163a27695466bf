"""How well the methods of the AnalyticsAgent find what was put into series, and nothing else.

    python tests/quality/methods.py [trends] [changes] [recurrences] [correlations] [incidents]
                                    [--seeds N]

Truth is generated; what is "held back" was not looked at while the methods were made. Real series
are those of ``../shared/data`` (skipped where it is missing): what is found in them before anything
is put in is not counted, because nobody knows whether it is true.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import corpus
import generated
import incidents
import numpy as np

from barograph_analytics.methods.change_points import ChangePoint, change_points
from barograph_analytics.methods.correlation import correlations
from barograph_analytics.methods.moved import moved
from barograph_analytics.methods.recurrence import Episode, recurrences, together
from barograph_analytics.methods.trend import trend

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.05
ALPHA = 0.01
N = generated.WEEK


@attrs.define
class Count:
    """What was there, what of it was found, and what was told that was not there."""

    there: int = 0
    found: int = 0
    wrong: int = 0

    def line(self) -> str:
        told = self.found + self.wrong
        precision = f"{self.found / told:6.2f}" if told else "     -"
        recall = f"{self.found / self.there:6.2f}" if self.there else "     -"
        numbers = f"({self.found} of {self.there}, {self.wrong} wrong)"
        return f"precision {precision}  recall {recall}  {numbers}"


def trends(seeds: int) -> None:
    print(
        f"\ntrends: a week at 5 min, alpha {ALPHA}; a drift of 2 to 5 deviations from some day on"
    )
    t = generated.times(N)
    for name, make in generated.BACKGROUNDS.items():
        count, late, covered = Count(), [], 0
        for seed in range(seeds):
            rng = np.random.default_rng((1, seed))
            x = make(rng, N)
            count.wrong += trend(t, x, alpha=ALPHA).significant
            start, size = int(rng.integers(0, N * 6 // 10)), rng.uniform(2, 5) * rng.choice((-1, 1))
            found = trend(t, x + _drift(N, start, size), alpha=ALPHA)
            right = found.significant and (found.change > 0) == (size > 0)
            count.there += 1
            count.found += right
            if right:
                late.append(abs(found.start_ms - int(t[start])) / 3_600_000)
                slope = size / ((N - start) * generated.STEP_MS / 1000)
                covered += found.low <= slope <= found.high
        middle = f"{np.median(late):.0f} h" if late else "-"
        share = covered / len(late) if late else float("nan")
        print(
            f"  {name:14} {count.line()}  start off by {middle}, slope in its interval {share:.2f}"
        )
    for name, make in generated.WANDERING.items():
        told = sum(
            trend(t, make(np.random.default_rng((2, seed)), N), alpha=ALPHA).significant
            for seed in range(seeds * 2)
        )
        print(f"  {name:14} told a trend in {told} of {seeds * 2}")
    _real("drift of 5 deviations from the middle on", seeds, _real_trend)


def _drift(n: int, start: int, size: float) -> NDArray[np.float64]:
    return np.maximum(np.arange(n) - start, 0) / (n - start) * size


def _real_trend(
    t: NDArray[np.int64], x: NDArray[np.float64], rng: np.random.Generator, count: Count
) -> None:
    before = trend(t, x, alpha=ALPHA)
    if before.significant:
        return
    size = 5 * _deviation(x) * rng.choice((-1, 1))
    found = trend(t, x + _drift(len(x), len(x) // 2, size), alpha=ALPHA)
    count.there += 1
    count.found += found.significant and (found.change > 0) == (size > 0)
    count.wrong += found.significant and (found.change > 0) != (size > 0)


def _deviation(x: NDArray[np.float64]) -> float:
    """Robust standard deviation about the level of 50 samples (a season is not noise)."""
    parts = np.array_split(x, max(len(x) // 50, 1))
    off = np.concatenate([part - np.median(part) for part in parts])
    return max(1.4826 * float(np.median(np.abs(off))), float(off.std()) / 3, 1e-12)


def changes(seeds: int) -> None:
    print(f"\nchange points: a week at 5 min, alpha {ALPHA}; found: within 2 % of the series")
    t = generated.times(N)
    for name, make in generated.BACKGROUNDS.items():
        counts = {"nothing": Count(), "level": Count(), "spread": Count()}
        for seed in range(seeds):
            rng = np.random.default_rng((3, seed))
            x = make(rng, N)
            _match(change_points(t, x, alpha=ALPHA), [], "level", counts["nothing"])
            places = sorted(rng.choice(np.arange(1, 8), int(rng.integers(1, 4)), False) * N // 8)
            steps = np.zeros(N)
            for place in places:
                steps[place:] += rng.uniform(3, 6) * rng.choice((-1, 1))
            _match(change_points(t, x + steps, alpha=ALPHA), places, "level", counts["level"])
            place = int(rng.integers(N // 5, N * 4 // 5))
            louder = rng.standard_normal(N) * 3 * (np.arange(N) >= place)
            found = change_points(t, x + louder, alpha=ALPHA)
            _match(found, [place], "spread", counts["spread"])
        for kind, count in counts.items():
            print(f"  {name:14} {kind:8} {count.line()}")
    for name, make in list(generated.WANDERING.items())[:2]:
        told = sum(
            bool(change_points(t, make(np.random.default_rng((4, seed)), N), alpha=ALPHA))
            for seed in range(seeds * 2)
        )
        print(f"  {name:14} told a change in {told} of {seeds * 2}")
    _real("level shift of 6 deviations in the middle", seeds, _real_change)


def _match(found: list[ChangePoint], places: list[int], kind: str, count: Count) -> None:
    near = N // 50
    right = [any(abs(one.index - p) <= near and one.kind == kind for one in found) for p in places]
    count.there += len(places)
    count.found += sum(right)
    count.wrong += sum(all(abs(one.index - p) > near for p in places) for one in found)


def _real_change(
    t: NDArray[np.int64], x: NDArray[np.float64], rng: np.random.Generator, count: Count
) -> None:
    before = [one.index for one in change_points(t, x, alpha=ALPHA)]
    place, near = len(x) // 2, max(len(x) // 50, 10)
    if any(abs(index - place) <= 3 * near for index in before):
        return
    y = x + 6 * _deviation(x) * rng.choice((-1, 1)) * (np.arange(len(x)) >= place)
    after = change_points(t, y, alpha=ALPHA)
    hit = [one for one in after if abs(one.index - place) <= near]
    new = [
        one for one in after
        if one not in hit and all(abs(one.index - index) > 3 * near for index in before)
    ]  # fmt: skip
    count.there += 1
    count.found += bool(hit)
    count.wrong += len(new)


def _real(
    what: str,
    seeds: int,
    put: Callable[[NDArray[np.int64], NDArray[np.float64], np.random.Generator, Count], None],
) -> None:
    folder = corpus.data_folder()
    rows = generated.real_rows(folder) if folder else {}
    if not rows:
        print("  real series: skipped, ../shared/data is not here")
        return
    count = Count()
    for i, (t, x) in enumerate(rows.values()):
        put(t, x, np.random.default_rng((5, i)), count)
    print(f"  {len(rows)} real series, {what}: {count.line()}")


def recurrence(seeds: int) -> None:
    days = 28
    print(f"\nrecurrences: {days} days with strays, alpha {ALPHA}")
    start, end = generated.MONDAY_MS, generated.MONDAY_MS + days * generated.DAY_MS
    for kind, pattern in generated.VISITS.items():
        right = wrong = timely = 0
        for seed in range(seeds * 4):
            starts, due = generated.visits(np.random.default_rng((6, seed)), kind, days)
            found = recurrences([Episode(s, s + 60_000, kind) for s in starts], start, end)
            told = found[0] if found else None
            right += told is not None and told.pattern == pattern
            wrong += told is not None and told.pattern not in (pattern, "none")
            if told is not None and told.next_ms is not None and due is not None:
                timely += abs(told.next_ms - due) <= generated.HOUR_MS
        name = "nothing told" if pattern == "none" else pattern
        print(f"  {kind:14} {name} in {right} of {seeds * 4}, something else in {wrong}"
              + ("" if pattern == "none" else f", next within an hour in {timely}"))  # fmt: skip
    count = Count()
    for seed in range(seeds * 2):
        rng = np.random.default_rng((7, seed))
        leads = rng.uniform(start, end, 10)
        all_starts = {"a": leads, "b": leads + rng.uniform(0, 240_000, 10)}
        for i in range(20):
            all_starts[f"other {i}"] = rng.uniform(start, end, int(rng.integers(3, 60)))
        row = [Episode(int(s), int(s) + 1, name) for name, ss in all_starts.items() for s in ss]
        found_pairs = {(one.first, one.second) for one in together(row, start, end)}
        count.there += 1
        count.found += ("a", "b") in found_pairs
        count.wrong += len(found_pairs - {("a", "b")})
    print(f"  together       {count.line()}")


def correlation(seeds: int) -> None:
    rows, n = 40, 720
    t = 60_000 * np.arange(n, dtype=np.int64)
    print(f"\ncorrelations: tables of {rows} series, {n} samples, stated rate {LEVEL}")
    for kind in generated.UNRELATED:
        share = {}
        for method in ("by", "bh"):
            tables = [
                correlations(
                    t, generated.unrelated(np.random.default_rng((8, seed)), kind, rows, n),
                    level=LEVEL, method=method,
                )
                for seed in range(seeds * 2)
            ]  # fmt: skip
            share[method] = sum(bool(found) for found in tables) / len(tables)
        print(f"  {kind:14} false-discovery rate (nothing is true): BY {share['by']:.3f}, "
              f"BH {share['bh']:.3f}")  # fmt: skip
    for method in ("by", "bh"):
        count, rates, lags = Count(), [], 0
        for seed in range(seeds * 2):
            table, true = generated.leaders(np.random.default_rng((9, seed)), rows, n)
            found = correlations(t, table, level=LEVEL, method=method)
            told = {(one.first, one.second): one.lag_ms // 60_000 for one in found}
            hit = [pair for pair in true if pair in told or pair[::-1] in told]
            wrong = sum(pair not in true and pair[::-1] not in true for pair in told)
            lags += sum(told.get(pair) == true[pair] for pair in hit)
            count.there += len(true)
            count.found += len(hit)
            count.wrong += wrong
            rates.append(wrong / max(len(told), 1))
        print(f"  leaders, {method.upper()}    {count.line()}  lag and direction right in {lags}; "
              f"false-discovery rate {np.mean(rates):.3f}")  # fmt: skip


def incident(seeds: int) -> None:
    print("\nincidents: 2,000 series, an hour at 10 s, a day before it at 1 min")
    seconds = []
    for kind in incidents.GENERATORS:
        places: list[int | None] = []
        for seed in range(1000, 1000 + seeds):
            one = incidents.incident(kind, seed)
            began = time.process_time()
            found = moved(
                one.t_ms, one.table, one.start_ms, one.end_ms,
                history_t_ms=one.past_t_ms, history=one.past,
            )  # fmt: skip
            seconds.append(time.process_time() - began)
            places.append(next((k for k, m in enumerate(found, 1) if m.index == one.cause), None))
        first = sum(place == 1 for place in places) / seeds
        third = sum(place is not None and place <= 3 for place in places) / seeds
        lost = sum(place is None for place in places)
        held = " (held back)" if kind == "burst" else ""
        print(f"  {kind + held:20} the cause is first in {first:.2f}, in the top 3 in {third:.2f}; "
              f"not in the top 20 in {lost} of {seeds}", flush=True)  # fmt: skip
    print(f"  {np.median(seconds):.2f} s of one core (median), {max(seconds):.2f} s at most")


PARTS: dict[str, Callable[[int], None]] = {
    "trends": trends,
    "changes": changes,
    "recurrences": recurrence,
    "correlations": correlation,
    "incidents": incident,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=20, help="repetitions of each case")
    given = parser.parse_args()
    if unknown := sorted(set(given.parts) - set(PARTS)):
        parser.error(f"no part is named {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in given.parts or PARTS:
        PARTS[name](given.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
