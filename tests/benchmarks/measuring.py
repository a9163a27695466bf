"""What every benchmark shares: figures, the table of them, and what a process has used."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import attrs

REPORT = "BAROGRAPH_BENCH_REPORT"
"""Name of the environment variable with the file that ``run.py`` wants the figures in."""

ROOT = Path(__file__).resolve().parents[2]


@attrs.frozen
class Figure:
    """One measured number: ``reached`` has a value a round, in ``unit``.

    ``wanted`` bounds the median; whether from below or from above, ``better`` says. With a peer,
    ``wanted_ratio`` bounds median / peer's median the same way. Both None: only told.
    """

    name: str
    unit: str
    reached: Sequence[float]
    better: Literal["more", "less"] = "more"
    wanted: float | None = None
    peer: str = ""
    peer_reached: Sequence[float] = ()
    wanted_ratio: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.reached)

    @property
    def ratio(self) -> float | None:
        """Our median over the peer's."""
        if not self.peer_reached:
            return None
        return self.median / statistics.median(self.peer_reached)

    @property
    def verdict(self) -> str:
        """``pass``, ``short``, or "" where nothing is wanted."""
        bounds = [(self.median, self.wanted), (self.ratio, self.wanted_ratio)]
        checks = [
            value >= bound if self.better == "more" else value <= bound
            for value, bound in bounds
            if value is not None and bound is not None
        ]
        if not checks:
            return ""
        return "pass" if all(checks) else "short"


HEADINGS = ("figure", "wanted", "reached (min..max)", "peer", "ratio", "")


def table(figures: Sequence[Figure]) -> str:
    """The figures as text, a line each; notes below their lines."""
    rows = [_cells(figure) for figure in figures]
    widths = [max(len(row[i]) for row in [HEADINGS, *rows]) for i in range(len(HEADINGS))]
    lines = ["  ".join(h.ljust(w) for h, w in zip(HEADINGS, widths, strict=True)).rstrip()]
    lines.append("  ".join("-" * w for w in widths))
    for figure, row in zip(figures, rows, strict=True):
        lines.append("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
        if figure.note:
            lines.append(f"    {figure.note}")
    return "\n".join(lines)


def _cells(figure: Figure) -> tuple[str, ...]:
    sign = "≥" if figure.better == "more" else "≤"
    wanted = [] if figure.wanted is None else [f"{sign} {number(figure.wanted)} {figure.unit}"]
    if figure.wanted_ratio is not None:
        wanted.append(f"{sign} {number(figure.wanted_ratio)} x peer")
    reached = f"{number(figure.median)} {figure.unit}"
    if len(figure.reached) > 1:
        reached += f" ({number(min(figure.reached))}..{number(max(figure.reached))})"
    peer = ratio = ""
    if figure.ratio is not None:
        peer = f"{figure.peer} {number(statistics.median(figure.peer_reached))}"
        ratio = f"{figure.ratio:.2f}"
    return (figure.name, ", ".join(wanted), reached, peer, ratio, figure.verdict)


def number(value: float) -> str:
    """Three digits that count, and M or k for large ones."""
    for limit, unit in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / {'M': 1e6, 'k': 1e3}[unit]:.3g}{unit}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def main(measure: Callable[[bool, int], list[Figure]], rounds: int = 5) -> None:
    """A benchmark's command line: measure, print the table, and the line that repeats it."""
    script = Path(sys.argv[0]).resolve()
    text = (sys.modules["__main__"].__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true", help="less data: for development")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"rounds (default {rounds})")
    given = parser.parse_args()
    figures = measure(given.quick, given.rounds)
    print(f"\n{text}" + (" (quick: not the figures that count)" if given.quick else ""))
    print(table(figures))
    place = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script
    print("repeat: " + " ".join(["python", str(place), *sys.argv[1:]]), flush=True)
    if REPORT in os.environ:
        Path(os.environ[REPORT]).write_text(json.dumps([attrs.asdict(f) for f in figures]))


def tell(text: str) -> None:
    """A line about how far it is, on standard error."""
    print(text, file=sys.stderr, flush=True)


@attrs.define
class Spent:
    """Seconds of wall time and of this process's CPU time (all threads)."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def spending() -> Iterator[Spent]:
    """Measure the block."""
    spent = Spent()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield spent
    finally:
        spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
