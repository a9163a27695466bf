"""``barograph token``: tokens of programs that may write samples, and do nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from barograph import ingest_tokens
from barograph.cli.console import print_json, say, table, time_text
from barograph.cli.failures import Cannot, Failed, Misused, NotThere
from barograph.cli.lookup import config_option, data_dir_option, load

F = TypeVar("F", bound=Callable[..., Any])


def limit(name: str, default: int, help: str) -> Callable[[F], F]:
    """An option with a whole number from 1 on."""
    return click.option(name, type=click.IntRange(1), default=default, show_default=True,
                        metavar="N", help=help)  # fmt: skip


@click.group("token")
def token() -> None:
    """Ingest tokens: for programs that write samples, and may do nothing else.

    Such a token opens remote write, OTLP and the receiver of applications. A running server takes
    over at once what is created or revoked here.
    """


@token.command("create")
@click.argument("name")
@limit("--max-series", ingest_tokens.MAX_SERIES, "Series that it may write.")
@limit("--max-labels", ingest_tokens.MAX_LABELS, "Labels of one series, its name too.")
@limit("--max-label-chars", ingest_tokens.MAX_LABEL_CHARS, "Characters of a label's name or value.")
@config_option
@data_dir_option
def create(
    name: str, max_series: int, max_labels: int, max_label_chars: int,
    config_path: Path | None, data_dir: Path | None,
) -> None:  # fmt: skip
    """Make a token and print it: the only time that it can be seen.

    NAME says whose it is, such as web1. The token alone is on standard output, for scripts.
    """
    folder = folder_of(config_path, data_dir)
    try:
        made = ingest_tokens.create_token(
            folder, time.time_ns() // 1_000_000, name, max_series=max_series,
            max_labels=max_labels, max_label_chars=max_label_chars,
        )  # fmt: skip
    except ingest_tokens.BadName as error:
        raise Misused(str(error)) from None
    except ingest_tokens.TokenError as error:
        raise Cannot(str(error)) from None
    click.echo(made)
    say(f'the token "{name}" is shown this once; kept is its hash, in '
        f"{folder / ingest_tokens.FILE}", err=True)  # fmt: skip


@token.command("list")
@config_option
@data_dir_option
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def list_(config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """All tokens by name, with their limits."""
    known = read(folder_of(config_path, data_dir))
    if as_json:
        print_json([
            {"name": t.name, "created_ms": t.created_ms, "max_series": t.max_series,
             "max_labels": t.max_labels, "max_label_chars": t.max_label_chars}
            for t in known
        ])  # fmt: skip
    elif known:
        rows = [[t.name, str(t.max_series), str(t.max_labels), str(t.max_label_chars),
                 time_text(t.created_ms)] for t in known]  # fmt: skip
        table(["token", "series", "labels", "characters", "created"], rows)
    else:
        say("there is no token; make one with: barograph token create NAME")


@token.command("revoke")
@click.argument("name")
@config_option
@data_dir_option
def revoke(name: str, config_path: Path | None, data_dir: Path | None) -> None:
    """Make a token worthless, also for a server that runs."""
    folder = folder_of(config_path, data_dir)
    read(folder)
    try:
        ingest_tokens.revoke_token(folder, name)
    except ingest_tokens.TokenError as error:
        raise NotThere(str(error)) from None
    say(f'the token "{name}" is revoked')


def read(folder: Path) -> list[ingest_tokens.IngestToken]:
    """The tokens of a data folder. Raises Failed."""
    try:
        return ingest_tokens.read_tokens(folder)
    except ingest_tokens.TokenError as error:
        raise Cannot(str(error)) from None


def folder_of(config_path: Path | None, data_dir: Path | None) -> Path:
    """The data folder that holds for this call."""
    overrides = {"monitor.data_dir": None if data_dir is None else str(data_dir.absolute())}
    directory: Path = load(config_path, overrides).monitor.directory
    if directory.exists() and not directory.is_dir():
        raise Failed(f"{directory} is no directory; choose another --data-dir")
    return directory


commands = {"token": token}
