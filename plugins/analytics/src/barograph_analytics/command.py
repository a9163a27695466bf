"""``barograph analyze``: what changed, from the command line, also while a server writes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barograph.cli.console import print_json, progress, say, table, warn
from barograph.cli.failures import Cannot, CheckFailed, Misused, NotThere
from barograph.cli.lookup import config_option, data_dir_option
from barograph.cli.storing import moment, opened_beside_plugins

if TYPE_CHECKING:
    from barograph.contracts import Analyser, Progress, QueryEngine, Store
    from barograph.findings import Evidence, Observation
    from barograph.plugins import PluginManager
    from barograph_analytics.ranking import Ranking
    from barograph_analytics.running import Outcome

LAST = "24h"

KINDS = {"trend": "trends", "change_point": "change_points", "correlation": "correlations",
         "recurrence": "recurrences", "moved": "moved"}  # fmt: skip
"""Kind of a finding -> the analyser that sees it."""

SECONDS = 600.0
"""Time that one analyser may take while a person waits."""

EXIT_CODES = (
    "Exit codes: 0 done, whatever was found; 1 an analyser failed; 2 a mistake in the call, a "
    "query or the configuration; 3 the store cannot be read or no query engine runs; 4 no store, "
    "or no samples in that time."
)


@click.command("analyze", epilog=EXIT_CODES, short_help="Find what changed.")
@click.argument("queries", nargs=-1, metavar="[QUERY]...")
@click.option("--last", metavar="DURATION", help=f"How far back to look (default: {LAST}).")
@click.option("--start", metavar="TIME", help="Look from here on: 2026-01-31T12:00Z, or a duration "
              "ago such as 6h.")  # fmt: skip
@click.option("--end", metavar="TIME", help="... until here (default: now).")
@click.option("--moved", "incident", nargs=2, metavar="FROM TO",
              help="Rank all series by how they moved in this time, the likely cause "
              "first.")  # fmt: skip
@click.option("--match", metavar="SELECTOR", help="With --moved: only series that fit.")
@click.option("--only", multiple=True, metavar="KIND",
              help=f"Only {', '.join(KINDS)}, or an analyser of a plugin by its name; may be given "
              "several times.")  # fmt: skip
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="Findings of each analyser, or series that moved, at most.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The result, for scripts.")
@config_option
@data_dir_option
def analyze(
    queries: tuple[str, ...], last: str | None, start: str | None, end: str | None,
    incident: tuple[str, str] | None, match: str | None, only: tuple[str, ...], limit: int,
    as_json: bool, config_path: Path | None, data_dir: Path | None,
) -> None:  # fmt: skip
    """Find what changed: trends, steps, recurring problems, what moves together.

    Looks at the PromQL of each QUERY; without one, at what [plugins.analytics] watch names. Works
    on the data folder, also while a server writes to it, and changes nothing there.
    """
    if incident and (queries or last or start or end or only):
        raise Misused("--moved has its own times and looks at all series: leave out QUERY, --last, "
                      "--start, --end and --only; --match narrows it")  # fmt: skip
    if match and not incident:
        raise Misused("--match belongs to --moved; else give a QUERY")
    start_ms, end_ms = _moved_span(incident) if incident else _span(last, start, end)
    with opened_beside_plugins(config_path, data_dir, read_only=True) as (store, plugins):
        engine = _engine(plugins, queries)
        first_ms = _there(store, start_ms, end_ms)
        if incident:
            ranking = _ranked(store, engine, start_ms, end_ms, match, limit)
            _show_ranking(ranking, as_json, data_dir)
            return
        chosen = _chosen(plugins, queries, only)
        outcomes = _run(store, engine, chosen, start_ms, end_ms, limit)
        nothing = _without_series(store, queries, start_ms, end_ms)
    _show(outcomes, start_ms, end_ms, first_ms, as_json, data_dir)
    for text in nothing:
        warn(f"{text}: there is no such series in that time")
    failed = [one for one in outcomes if one.error]
    for one in failed:
        warn(f"the analyser {one.analyser} failed: {one.error}")
    if failed:
        raise CheckFailed(f"{len(failed)} of {len(outcomes)} analysers failed")


# --- what is asked ------------------------------------------------------------------------------


def _span(last: str | None, start: str | None, end: str | None) -> tuple[int, int]:
    from barograph.config.units import parse_duration

    if last is not None and start is not None:
        raise Misused("--last and --start both say when to begin: give one of them")
    end_ms = moment(end, "--end") or round(time.time() * 1000)
    start_ms = moment(start, "--start")
    if start_ms is None:
        try:
            start_ms = end_ms - round(parse_duration(last or LAST) * 1000)
        except ValueError as error:
            raise Misused(f"--last: {error}") from None
    if start_ms >= end_ms:
        raise Misused("--start is not before --end" if start else "--last must be more than 0")
    return start_ms, end_ms


def _moved_span(incident: tuple[str, str]) -> tuple[int, int]:
    start_ms, end_ms = (moment(text, "--moved") or 0 for text in incident)
    if start_ms >= end_ms:
        raise Misused("--moved: FROM is not before TO")
    return start_ms, end_ms


def _engine(plugins: PluginManager, queries: Sequence[str]) -> QueryEngine:
    from barograph.answer import QueryFailed, QueryInvalid
    from barograph.engines import find_engine

    try:
        engine = find_engine(plugins)
    except QueryFailed as error:
        raise Cannot(str(error)) from None
    for text in queries:
        try:
            engine.check(text)
        except QueryInvalid as error:
            raise Misused(f"{text}: {error}") from None
    return engine


def _there(store: Store, start_ms: int, end_ms: int) -> int:
    """When the store's samples begin (ms)."""
    from barograph.cli.console import time_text

    stats = store.stats()
    if stats.t_max is None or stats.t_min is None:
        raise NotThere("the store has no samples yet; `barograph run` collects them")
    if stats.t_max < start_ms or stats.t_min > end_ms:
        raise NotThere(
            f"no samples between {time_text(start_ms)} and {time_text(end_ms)}; there are some "
            f"from {time_text(stats.t_min)} to {time_text(stats.t_max)}: see --start and --end"
        )
    return stats.t_min


def _chosen(plugins: PluginManager, queries: Sequence[str], only: Sequence[str]) -> list[Analyser]:
    from barograph.config.errors import nearest
    from barograph_analytics.worker import analysers_of

    options = plugins.options("analytics")
    watch = queries or (options.watch if options is not None else ())
    # Who asks for correlations by name, or names what to look at, wants all of them.
    there = analysers_of(plugins, watch, "all" if queries or only else None)
    found = {
        name: one for (plugin, name), one in there.items()
        if not queries or plugin == "analytics"
    }  # fmt: skip
    if not found:
        raise Cannot("no analyser runs; switch one on: barograph plugins enable analytics")
    names = []
    for text in only:
        name = KINDS.get(text, text)
        if name not in found:
            known = {*KINDS, *(n for n in found if n not in KINDS.values())}
            raise Misused(f"--only: there is no kind {text!r}{nearest(text, known)}")
        names.append(name)
    return [one for name, one in found.items() if not names or name in names]


# --- running ------------------------------------------------------------------------------------


def _run(
    store: Store, engine: QueryEngine, chosen: Sequence[Analyser], start_ms: int, end_ms: int,
    limit: int,
) -> list[Outcome]:  # fmt: skip
    from barograph.inquiry import Inquiry
    from barograph_analytics.running import book_over, run

    outcomes: list[Outcome] = []
    book = book_over(store)
    with progress("Analysing") as report:
        for number, one in enumerate(chosen):
            if report:
                report(number, len(chosen))
            data = Inquiry(store, engine, seconds=SECONDS, book=book)
            outcome = run(one, data, start_ms, end_ms, limit)
            book.report(one.name, outcome.observations)  # what follows may look at it
            outcomes.append(outcome)
    return outcomes


def _without_series(
    store: Store, queries: Sequence[str], start_ms: int, end_ms: int
) -> list[str]:  # fmt: skip
    """Plain selectors that no series fits: a name misspelt, most often."""
    from barograph.query import parse_selector

    empty = []
    for text in queries:
        try:
            matchers = parse_selector(text)
        except ValueError:
            continue  # an expression: that it has no value now and then is its sense
        if not store.select(matchers, start_ms, end_ms, 1):
            empty.append(text)
    return empty


def _ranked(
    store: Store, engine: QueryEngine, start_ms: int, end_ms: int, match: str | None, limit: int
) -> Ranking:
    from barograph.answer import QueryError, QueryInvalid
    from barograph.inquiry import Inquiry
    from barograph_analytics.ranking import EVERYTHING, rank

    data = Inquiry(store, engine, seconds=SECONDS)
    with progress("Ranking") as report:
        shown: Progress | None = report
        try:
            return rank(data, start_ms, end_ms, match=match or EVERYTHING, limit=limit,
                        progress=shown)  # fmt: skip
        except QueryInvalid as error:
            raise Misused(str(error)) from None
        except QueryError as error:
            raise Cannot(str(error)) from None


# --- what is shown ------------------------------------------------------------------------------


def _show(
    outcomes: Sequence[Outcome], start_ms: int, end_ms: int, first_ms: int, as_json: bool,
    data_dir: Path | None,
) -> None:  # fmt: skip
    from barograph_analytics.running import strongest, told

    if as_json:
        print_json(told(outcomes, start_ms, end_ms))
        return
    every = [seen for one in outcomes for seen in one.observations]
    ordered = strongest(every, len(every))
    if not ordered:
        young = f"; the first sample is of {_clock(first_ms)}" if first_ms > start_ms else ""
        say(f"nothing that stands out between {_clock(start_ms)} and {_clock(end_ms)}{young}")
    else:
        rows = [(str(n), o.severity, o.kind, f"{o.confidence:.0%}", _clock(o.start_ms), o.title)
                for n, o in enumerate(ordered, 1)]  # fmt: skip
        table(("", "severity", "kind", "sure", "since", "what"), rows)
        for number, one in enumerate(ordered, 1):
            _explain(number, one, data_dir)
    left_out = sum(one.left_out for one in outcomes)
    if left_out:
        say(f"{left_out:,} more that are weaker are not shown; raise --limit to see them")


def _explain(number: int, one: Observation, data_dir: Path | None) -> None:
    say("")
    say(f"{number}. {_printable(one.text)}")
    for shown in one.evidence:
        say(f"   {_command(shown, data_dir)}")


def _show_ranking(ranking: Ranking, as_json: bool, data_dir: Path | None) -> None:
    if as_json:
        print_json({
            "start_ms": ranking.start_ms, "end_ms": ranking.end_ms, "series": ranking.series,
            "moved": [one.as_json() for one in ranking.movers],
        })  # fmt: skip
        return
    say(f"{ranking.series:,} series between {_clock(ranking.start_ms)} and "
        f"{_clock(ranking.end_ms)}; {len(ranking.movers)} moved")  # fmt: skip
    if not ranking.movers:
        return
    rows = [(str(n), f"{one.score:.2f}", one.direction, _clock(one.onset_ms), str(one.labels))
            for n, one in enumerate(ranking.movers, 1)]  # fmt: skip
    table(("", "score", "went", "since", "series"), rows)
    for number, one in enumerate(ranking.movers, 1):
        say("")
        say(f"{number}. {_printable(one.text)}")
        say(f"   {_command(one.evidence, data_dir)}")


def _command(shown: Evidence, data_dir: Path | None) -> str:
    words = ["barograph query", shlex.quote(_printable(shown.query)),
             f"--from {_clock(shown.start_ms)} --to {_clock(shown.end_ms)}"]  # fmt: skip
    if data_dir is not None:
        words.append(f"--data-dir {shlex.quote(str(data_dir))}")
    return " ".join(words)


def _clock(t_ms: int) -> str:
    when = datetime.fromtimestamp(t_ms // 1000, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
