"""What commands print: lines, tables and progress, plain wherever nobody watches."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from barograph.contracts import Progress


def plain() -> bool:
    """Whether colour is unwanted even on a terminal (NO_COLOR, or one that cannot)."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def say(line: str, *, err: bool = False) -> None:
    """One line, at once: the output may be a log. Colour only on a terminal."""
    click.echo(line, err=err, color=False if plain() else None)


def warn(line: str) -> None:
    """A line on stderr that does not end the command."""
    say(f"{click.style('warning', fg='yellow', bold=True)}: {line}", err=True)


def print_json(value: Any) -> None:
    """A value for scripts."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns. On a terminal the last one wraps; elsewhere no line is broken."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    watched = sys.stdout.isatty()
    console = Console(
        file=sys.stdout, no_color=plain() or None, highlight=False, soft_wrap=not watched,
        width=None if watched else 10_000,
    )  # fmt: skip
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, header in enumerate(headers):
        grid.add_column(header, no_wrap=number < len(headers) - 1, overflow="fold")
    for row in rows:
        # Text, not str: what plugins and labels say is never markup.
        grid.add_row(*(Text(_printable(cell)) for cell in row))
    with console.capture() as capture:
        console.print(grid)
    for line in capture.get().splitlines():
        say(line.rstrip())


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


@contextmanager
def progress(title: str) -> Iterator[Progress | None]:
    """A bar on stderr while long work runs; None (no reports wanted) if it is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(file=sys.stderr, no_color=plain() or None)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None)

        yield report


def size_text(count: float) -> str:
    """Bytes for a person."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def time_text(t_ms: int | None) -> str:
    """A time in UTC to the second."""
    from datetime import UTC, datetime

    if t_ms is None:
        return "never"
    try:
        return datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{t_ms} ms"
