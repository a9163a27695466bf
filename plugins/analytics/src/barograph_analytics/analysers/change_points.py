"""Where a level or a spread changed for good: when, from what to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np

from barograph.findings import Evidence, Observation, Severity
from barograph.model import NAME, Labels
from barograph_analytics import wording
from barograph_analytics.floors import floor_of, worth_telling
from barograph_analytics.reading import Line, read, step_for

if TYPE_CHECKING:
    from barograph.inquiry import Inquiry
    from barograph_analytics import Config
    from barograph_analytics.methods.change_points import ChangePoint

LEAST_POINTS = 60
"""Of fewer nothing is said."""

LEAST_S = 600.0
"""A new level must have held for so long."""

MUCH = 1.0
"""A rise by so large a share of the level is a warning, if it is strong too."""

STRONG = 10.0

AT_ONCE_MS, MANY = 300_000, 6
"""So many series that change within so long are one finding."""

TOLD, MOST_NAMED = 5, 100
"""Changes of such a finding that are told, and series that are named in its details."""

DAY_MS = 86_400_000
DAYS = 7
"""Days before a change that are asked whether it is usual."""

LOOKS, LEAST_LOOKS = 200, 3
"""Looks at a day and more, and at least at the time of the change on one."""

NEAR = 0.5
"""A level so near the new one, in parts of the change, is the same."""

MOST_DAYS = 0.5


@attrs.frozen
class ChangePoints:
    """The last change of each line that is large and strong enough (``methods.change_points``)."""

    config: Config

    name = "change_points"

    @property
    def interval_s(self) -> float:
        return float(self.config.change_interval)

    @property
    def window_s(self) -> float:
        return float(self.config.change_window)

    def analyse(self, data: Inquiry, start_ms: int, end_ms: int) -> Iterator[Observation]:
        """A finding for each line that has changed and stayed so; one for many that did at once."""
        from barograph_analytics.methods.change_points import change_points  # numba

        config = self.config
        lines = read(data, config.watch, start_ms, end_ms, points=1000,
                     max_series=config.max_series)  # fmt: skip
        seen: list[Observation] = []
        for line in lines.lines:
            if data.cancelled():
                break
            here = np.flatnonzero(np.isfinite(line.values))
            if len(here) < LEAST_POINTS:
                continue
            t, x = lines.t_ms[here[0] : here[-1] + 1], line.values[here[0] : here[-1] + 1]
            found = change_points(t, x, alpha=config.significance)
            for kind in ("level", "spread"):
                told = [one for one in found if one.kind == kind and self._told(one, line)]
                # The last one: what came before is over. It must have held for a while.
                if not told or t[-1] - told[-1].t_ms < LEAST_S * 1000:
                    continue
                if not _usual_then(data, told[-1], line, int(t[-1])):
                    seen.append(_observed(told[-1], line, len(told), int(t[-1])))
        for group in _at_once(seen, max(AT_ONCE_MS, 2 * lines.step_ms)):
            if len({one.labels for one in group}) >= MANY:
                yield _together(group)
            else:
                yield from group

    def _told(self, one: ChangePoint, line: Line) -> bool:
        if one.kind == "spread":
            least = max(floor_of(line.labels.name, line.unit), 0.0)
            wide = max(one.before, one.after)
            return abs(one.size) >= 1.5 and wide >= least
        if abs(one.size) < self.config.least_strength:
            return False
        return worth_telling(
            one.after - one.before, one.before, one.after, name=line.labels.name, unit=line.unit,
            least_share=self.config.least_change,
        )  # fmt: skip


def _at_once(seen: list[Observation], within_ms: int) -> list[list[Observation]]:
    """Observations by time, those that begin within so long of each other together."""
    groups: list[list[Observation]] = []
    for one in sorted(seen, key=lambda o: (o.start_ms, o.fingerprint)):
        if groups and one.start_ms - groups[-1][0].start_ms <= within_ms:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _together(group: list[Observation]) -> Observation:
    """One finding for many lines: a restart or a release tells itself once."""
    order = ("info", "warning", "critical")
    by_size = sorted(group, key=lambda o: (-abs(float(str(o.details["size"]))), o.fingerprint))
    start_ms = group[0].start_ms
    shared = set(group[0].labels.without_name().items())
    for one in group:
        shared &= set(one.labels.without_name().items())
    first = wording.spoken(by_size[0].labels)
    count = len({one.labels for one in group})
    title = f"{count} series changed at {wording.moment(start_ms)}, most of all {first}"
    listed = " ".join(f"({i}) {one.title}." for i, one in enumerate(by_size[:TOLD], 1))
    text = (
        f"{count} series changed within {wording.lasting(AT_ONCE_MS / 1000)} of each other, as "
        f"after a restart, a release or a change of load. The largest, by their usual spreads: "
        f"{listed}"
    )
    return Observation(
        "change_point", f"change together {min(str(one.labels) for one in group)}",
        wording.title(title), text, max((o.severity for o in group), key=order.index),
        max(one.confidence for one in group), start_ms, max(one.end_ms for one in group),
        tuple(one.evidence[0] for one in by_size[:TOLD]), Labels(tuple(sorted(shared))),
        {"series": tuple(str(one.labels) for one in by_size[:MOST_NAMED]), "t_ms": start_ms},
    )  # fmt: skip


def _usual_then(data: Inquiry, one: ChangePoint, line: Line, end_ms: int) -> bool:
    """Whether the series did the same at this time on most of the days before: every morning is no
    change. A day tells if the series was there; without any, nothing is usual."""
    step_ms = step_for(end_ms - one.t_ms + DAY_MS, LOOKS)
    first_ms = one.t_ms - DAYS * DAY_MS
    found = [row for labels, row in data.query_range(line.expr, first_ms, end_ms, step_ms)
             if labels in (line.labels, Labels(_rest(line.labels)))]  # fmt: skip
    if len(found) != 1:
        return False
    t_ms, values = found[0].t_ms, found[0].values
    same = days = 0
    for day in range(1, DAYS + 1):
        then = (t_ms >= one.t_ms - day * DAY_MS) & (t_ms <= end_ms - day * DAY_MS)
        x = values[then & np.isfinite(values)]
        if len(x) >= LEAST_LOOKS:
            days += 1
            level = float(np.median(x))
            if one.kind == "spread":
                level = float(1.4826 * np.median(np.abs(x - level)))
            same += abs(level - one.after) <= NEAR * abs(one.after - one.before)
    return days > 0 and same >= days * MOST_DAYS


def _rest(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in labels.pairs if pair[0] != NAME)


def _observed(one: ChangePoint, line: Line, count: int, end_ms: int) -> Observation:
    what, at = wording.spoken(line.labels), wording.moment(one.t_ms)
    before, after = (wording.amount(x, line.unit) for x in (one.before, one.after))
    held = wording.lasting((end_ms - one.t_ms) / 1000)
    direction = "up" if one.after > one.before else "down"
    change = one.after - one.before
    if one.kind == "level":
        title = f"{what} went {direction} from {before} to {after} at {at}"
        by = wording.share(change, one.before)
        text = (
            f"{what} went {direction} at {at}, from {before} to {after}"
            f"{f' ({by})' if by else ''}, and has stayed there for {held}. The step is "
            f"{abs(one.size):.1f} times the usual spread; chance would show it with "
            f"{wording.chance(one.p)}."
        )
    else:
        wider = "wider" if one.size > 0 else "narrower"
        title = f"{what} swings {wider} since {at}: {before} to {after}"
        text = (
            f"{what} swings {2 ** abs(one.size):.1f} times {wider} since {at}: its spread went "
            f"from {before} to {after}, and has stayed so for {held}. Chance would show it with "
            f"{wording.chance(one.p)}."
        )
    if count > 1:
        text += f" It is the last of {count} such changes in the time that was looked at."
    margin_ms = max(end_ms - one.t_ms, LEAST_S * 1000)
    details = {"before": one.before, "after": one.after, "size": one.size, "p": one.p,
               "t_ms": one.t_ms, "unit": line.unit, "what": one.kind}  # fmt: skip
    return Observation(
        "change_point", f"change {one.kind} {direction} {line.key}", wording.title(title), text,
        _severity(one), wording.sure(one.confidence), one.t_ms, end_ms,
        (Evidence(line.expr, max(one.start_ms, one.t_ms - round(margin_ms)), end_ms,
                  f"the values before and after {at}"),),
        line.labels, details,
    )  # fmt: skip


def _severity(one: ChangePoint) -> Severity:
    much = one.after - one.before >= MUCH * max(abs(one.before), 1e-12)
    return "warning" if one.kind == "level" and much and abs(one.size) >= STRONG else "info"
