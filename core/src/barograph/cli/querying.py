"""``barograph query``: PromQL over the store, also while a server writes to it."""

from __future__ import annotations

import csv
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barograph.cli.console import print_json, say, table
from barograph.cli.failures import Cannot, Misused
from barograph.cli.lookup import config_option, data_dir_option
from barograph.cli.storing import moment, opened_beside_plugins

if TYPE_CHECKING:
    from barograph.answer import Answer, Matrix
    from barograph.contracts import QueryEngine, Store

FORMATS = ("table", "csv", "json", "plot")
POINTS = 200
"""Steps of a range for which no step is given, at most."""

MAX_PLOTTED = 12
"""Lines of a plot in the terminal; more cannot be told apart."""

Row = tuple[int, dict[str, str], float]


@click.command("query")
@click.argument("expr")
@click.option(
    "--at", metavar="TIME", help="Evaluate at this time (default: now); written as --from."
)
@click.option("--from", "start", metavar="TIME", help="A range from here on: 2026-01-31T12:00Z, or "
              "a duration ago such as 6h.")  # fmt: skip
@click.option("--to", "end", metavar="TIME", help="The end of the range (default: now).")
@click.option("--step", metavar="DURATION", help=f"Time between points; else at most {POINTS}.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True,
              help="plot draws a range in the terminal.")  # fmt: skip
@click.option("--explain", is_flag=True, help="Instead of the values: the plan, what was read "
              "(series, chunks, samples, rollup level) and where the time went.")  # fmt: skip
@config_option
@data_dir_option
def query(
    expr: str, at: str | None, start: str | None, end: str | None, step: str | None, format_: str,
    explain: bool, config_path: Path | None, data_dir: Path | None,
) -> None:  # fmt: skip
    """Evaluate the PromQL expression EXPR, at one time or (with --from) over a range."""
    from barograph.answer import QueryError, QueryInvalid
    from barograph.engines import find_engine

    now = round(time.time() * 1000)
    if start is None and (end is not None or step is not None or format_ == "plot"):
        raise Misused(
            "--to, --step and --format plot belong to a range: add --from, such as --from 1h"
        )
    if start is not None and at is not None:
        raise Misused("--at is one time and --from begins a range: give one of them")
    if explain and format_ not in ("table", "json"):
        raise Misused("--explain is written as a table or with --format json")
    t_min, t_max = moment(start, "--from"), moment(end, "--to") or now
    if t_min is not None and t_min > t_max:
        raise Misused("--from is later than --to")
    with opened_beside_plugins(config_path, data_dir, read_only=True) as (store, plugins):
        try:
            engine = find_engine(plugins)
            first, last, width = 0, moment(at, "--at") or now, 0
            if t_min is not None:
                width = _step(step, t_max - t_min)
                # Steps on whole multiples: the same points whenever it is asked.
                first, last = t_min // width * width, t_max
            if explain:
                _show_explanation(engine, store, expr, (first, last, width), format_)
                return
            answer: Answer
            if width == 0:
                answer = engine.instant(store, expr, last)
            else:
                answer = engine.range(store, expr, first, last, width)
        except QueryInvalid as error:
            raise Misused(str(error)) from None
        except QueryError as error:
            raise Cannot(str(error)) from None
    _show(answer, format_, expr)


def _show_explanation(
    engine: QueryEngine, store: Store, expr: str, steps: tuple[int, int, int], format_: str
) -> None:
    from barograph.explanation import ExplainingEngine

    if not isinstance(engine, ExplainingEngine):
        raise Cannot(f"the query engine {engine.name} does not explain")
    found = engine.explain(store, expr, *steps)
    if format_ == "json":
        print_json(found.as_dict())
        return
    lines = [
        ("  " * depth + node.text, "" if node.series < 0 else f"{node.series:,}",
         f"{1000 * node.seconds:.2f}")
        for depth, node in found.plan.lines()
    ]  # fmt: skip
    table(("plan", "series", "ms"), lines)
    if found.reads:
        say("")
        reads = [
            (one.selector, f"{_clock(one.start_ms)} .. {_clock(one.end_ms)}",
             f"{one.found:,}", f"{one.series:,}", "" if one.chunks < 0 else f"{one.chunks:,}",
             f"{one.samples:,}", f"{one.level_ms / 1000:g} s" if one.level_ms else "raw",
             "yes" if one.shared_times else "no",
             f"{1000 * one.select_seconds:.2f}", f"{1000 * one.read_seconds:.2f}")
            for one in found.reads
        ]  # fmt: skip
        table(("read", "times", "found", "series", "chunks", "samples", "level", "same times",
               "select ms", "read ms"), reads)  # fmt: skip
    say("")
    table(("stage", "ms"), [(k, f"{1000 * v:.2f}") for k, v in found.stages.items()])


def _step(text: str | None, span_ms: int) -> int:
    from barograph.config.units import parse_duration
    from barograph.range import step_for

    if text is None:
        return step_for(max(span_ms, 1), POINTS)
    try:
        width = round(parse_duration(text) * 1000)
    except ValueError as error:
        raise Misused(f"--step: {error}") from None
    if width <= 0:
        raise Misused("--step must be at least 1ms")
    return width


def _show(answer: Answer, format_: str, expr: str) -> None:
    from barograph.answer import Matrix, String
    from barograph.answer_text import data_of, number_text

    if format_ == "json":
        print_json(data_of(answer))
        return
    if isinstance(answer, String):
        say(answer.value)
        return
    rows = _rows(answer)
    if format_ == "csv":
        _write_csv(rows)
    elif not rows:
        say(f"no series: {expr} has no value there")
    elif format_ == "plot" and isinstance(answer, Matrix):
        _plot(answer, expr)
    elif isinstance(answer, Matrix):
        shown = [(_clock(t), _named(labels), number_text(value)) for t, labels, value in rows]
        table(("time", "series", "value"), shown)
    else:
        table(("series", "value"), [(_named(labels), number_text(v)) for _, labels, v in rows])


def _rows(answer: Answer) -> list[Row]:
    from barograph.answer import Matrix, Scalar, Vector

    if isinstance(answer, Scalar):
        return [(answer.t_ms, {}, answer.value)]
    if isinstance(answer, Vector):
        values = answer.values.tolist()
        return [
            (answer.t_ms, labels.as_dict(), value)
            for labels, value in zip(answer.labels, values, strict=True)
        ]
    assert isinstance(answer, Matrix)
    return [
        (t, labels.as_dict(), value)
        for labels, column in answer
        for t, value in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
    ]


def _named(labels: dict[str, str]) -> str:
    from barograph.model import NAME, Labels

    rest = {k: v for k, v in labels.items() if k != NAME}
    return str(Labels.of(labels.get(NAME, ""), rest)) or "{}"


def _clock(t_ms: int) -> str:
    when = datetime.fromtimestamp(t_ms / 1000, UTC)
    return when.isoformat(timespec="milliseconds" if t_ms % 1000 else "seconds").replace(
        "+00:00", "Z"
    )


def _write_csv(rows: list[Row]) -> None:
    from barograph.answer_text import number_text

    names = sorted({name for _, labels, _ in rows for name in labels})
    writer = csv.writer(sys.stdout)
    writer.writerow(["time", *names, "value"])
    for t, labels, value in rows:
        cells = [labels.get(name, "") for name in names]
        writer.writerow([_clock(t), *(_harmless(cell) for cell in cells), number_text(value)])


def _harmless(cell: str) -> str:
    """A label that a spreadsheet would take for a formula, marked as text."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _plot(answer: Matrix, expr: str) -> None:
    import plotext

    plotext.clear_figure()
    plotext.theme("clear" if not sys.stdout.isatty() else "default")
    plotext.date_form(
        "Y-m-d H:M" if int(answer.t_ms.max() - answer.t_ms.min()) > 86_400_000 else "H:M:S"
    )
    for labels, column in list(answer)[:MAX_PLOTTED]:
        times = plotext.datetimes_to_string(
            [datetime.fromtimestamp(t / 1000) for t in column.t_ms.tolist()]
        )
        plotext.plot(
            times, column.values.tolist(), label=_named(labels.as_dict()), marker="braille"
        )
    plotext.title(expr)
    plotext.plot_size(None, 24)
    click.echo(plotext.build())
    if len(answer) > MAX_PLOTTED:
        say(f"{len(answer) - MAX_PLOTTED} more series are not drawn; try topk({MAX_PLOTTED}, ...)")


commands: dict[str, Any] = {"query": query}
