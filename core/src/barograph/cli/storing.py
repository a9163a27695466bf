"""``barograph backup``, ``export`` and ``import``: work on the store, beside a running server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from barograph.cli.console import print_json, progress, say, size_text
from barograph.cli.failures import Cannot, Misused, NotThere
from barograph.cli.lookup import config_option, data_dir_option, load

if TYPE_CHECKING:
    from barograph.contracts import PortableStore, Store
    from barograph.plugins import PluginManager

FORMATS = ("parquet", "csv", "openmetrics")
SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".txt": "openmetrics", ".prom": "openmetrics",
            ".om": "openmetrics", ".openmetrics": "openmetrics"}  # fmt: skip

json_option = click.option("--json", "as_json", is_flag=True, help="The result, for scripts.")
format_option = click.option("--format", "format_", type=click.Choice(FORMATS),
                             help="Else by the ending of PATH.")  # fmt: skip


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@config_option
@data_dir_option
@json_option
def backup(
    target: Path, config_path: Path | None, data_dir: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Copy the store as it is now, also while a server writes.

    TARGET is a new file, or a directory, where the copy is named by its time. To restore: stop the
    server, and put the copy in the place of the store's file.
    """
    with opened(config_path, data_dir, read_only=True) as store:
        if target.is_dir():
            target /= time.strftime("barograph-%Y%m%dT%H%M%SZ.db", time.gmtime())
        with progress("Copying") as report:
            store.backup(target, report)
    size = target.stat().st_size
    if as_json:
        print_json({"path": str(target.absolute()), "bytes": size})
    else:
        say(f"{target} written ({size_text(size)})")


@click.command("export")
@click.argument("path", type=click.Path(path_type=Path))
@format_option
@click.option("--match", "selectors", multiple=True, metavar="SELECTOR",
              help="Only series that fit, such as 'system_cpu_ratio{cpu=\"0\"}'; may be given "
              "several times: series that fit any.")  # fmt: skip
@click.option("--from", "start", metavar="TIME", help="Not before: 2026-01-31, 2026-01-31T12:00Z "
              "(UTC unless it says otherwise), or a duration ago such as 6h.")  # fmt: skip
@click.option("--to", "end", metavar="TIME", help="Not after; written as --from.")
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
@config_option
@data_dir_option
@json_option
def export(
    path: Path, format_: str | None, selectors: tuple[str, ...], start: str | None,
    end: str | None, force: bool, config_path: Path | None, data_dir: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Write samples to a file, also while a server writes to the store."""
    from barograph.query import parse_selector

    kind = format_of(path, format_)
    t_min, t_max = moment(start, "--from"), moment(end, "--to")
    if t_min is not None and t_max is not None and t_min > t_max:
        raise Misused("--from is later than --to")
    try:
        matchers = [parse_selector(text) for text in selectors]
    except ValueError as error:
        raise Misused(str(error)) from None
    if path.exists() and not (force and path.is_file()):
        told = "--force overwrites it" if path.is_file() else "it is no file"
        raise Cannot(f"{path} exists already; {told}")
    with opened(config_path, data_dir, read_only=True) as store:
        refs = None
        if matchers:
            refs = sorted({s.ref for m in matchers for s in store.select(m)})
            if not refs:
                raise NotThere(f"no series fits {' or '.join(selectors)}")
        with progress("Exporting") as report:
            count = portable(store).export(
                path, kind, t_min=t_min, t_max=t_max, progress=report, refs=refs
            )
    if as_json:
        print_json({"path": str(path.absolute()), "format": kind, "samples": count})
    else:
        say(f"{count:,} samples written to {path} ({kind}, {size_text(path.stat().st_size)})")


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@format_option
@config_option
@data_dir_option
@json_option
def import_(
    path: Path, format_: str | None, config_path: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """Read samples from a file into the store; the server on it must be stopped.

    Importing a file twice does no harm: samples of one series and time are kept once.
    """
    kind = format_of(path, format_)
    if not path.is_file():
        raise NotThere(f"there is no file {path}")
    with opened(config_path, data_dir, read_only=False) as store, progress("Importing") as report:
        count = portable(store).import_(path, kind, report)
    if as_json:
        print_json({"path": str(path.absolute()), "format": kind, "samples": count})
    else:
        say(f"{count:,} samples read from {path} ({kind})")


@contextmanager
def opened(config_path: Path | None, data_dir: Path | None, *, read_only: bool) -> Iterator[Store]:
    """The configured store. Raises ConfigErrors, StoreError."""
    with opened_beside_plugins(config_path, data_dir, read_only=read_only) as (store, _):
        yield store


@contextmanager
def opened_beside_plugins(
    config_path: Path | None, data_dir: Path | None, *, read_only: bool
) -> Iterator[tuple[Store, PluginManager]]:
    """The configured store and the plugins. Raises ConfigErrors, StoreError."""
    from barograph.contracts import StoreMissing
    from barograph.plugins import PluginManager
    from barograph.stores import find_store

    plugins = PluginManager()
    where = None if data_dir is None else str(data_dir.absolute())
    config = load(config_path, {"monitor.data_dir": where}, plugins)
    plugins.load(config)
    store = find_store(config, plugins)
    try:
        store.open(read_only=read_only)
    except StoreMissing as error:
        raise NotThere(str(error)) from None
    try:
        yield store, plugins
    finally:
        store.close()


def portable(store: Store) -> PortableStore:
    """The store, if it can write and read files. Raises Failed."""
    from barograph.contracts import PortableStore

    if not isinstance(store, PortableStore):
        raise Cannot(f'the store "{store.name}" has no export and import')
    return store


def format_of(path: Path, named: str | None) -> str:
    """The named format, else the one that the file's ending stands for. Raises Failed."""
    kind = named or SUFFIXES.get(path.suffix.lower())
    if kind is None:
        told = f"the ending of {path} does not tell its format; add --format {'|'.join(FORMATS)}"
        raise Misused(told)
    return kind


def moment(text: str | None, flag: str) -> int | None:
    """Milliseconds since the epoch of a time or a duration ago. Raises Failed."""
    from datetime import UTC, datetime

    from barograph.config.units import parse_duration

    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        try:
            return round((time.time() - parse_duration(text)) * 1000)
        except (ValueError, OverflowError):
            told = f"{flag}: expected 2026-01-31, 2026-01-31T12:00Z or 6h (ago), not {text!r}"
            raise Misused(told) from None


commands: dict[str, Any] = {"backup": backup, "export": export, "import": import_}
