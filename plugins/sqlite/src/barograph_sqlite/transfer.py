"""Export and import: Parquet, CSV and OpenMetrics text."""

from __future__ import annotations

import csv
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from barograph.contracts import Progress, StoreError
from barograph.model import (
    STALE_NAN,
    Batch,
    Column,
    Labels,
    Matcher,
    MetricKind,
    Series,
    is_stale,
)
from barograph_sqlite.gathering import Gather, series_text
from barograph_sqlite.parquet import read_parquet, write_parquet

if TYPE_CHECKING:
    from barograph_sqlite.gathering import Gathered
    from barograph_sqlite.store import SqliteStore

FOREVER = 2**62
_HEADER = ["series", "kind", "unit", "t_ms", "value"]
IMPORT_SAMPLES = 200_000
"""Samples that are appended at once."""

PROGRESS_LINES = 10_000
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def export(
    store: SqliteStore, path: Path, format: str, matchers: Sequence[Matcher],
    t_min: int | None, t_max: int | None, progress: Progress | None,
    refs: Sequence[int] | None = None,
) -> int:  # fmt: skip
    """Write the samples of the series that fit (``refs``: of these series); how many samples."""
    _check_format(format)
    write = _WRITERS[format]
    found = store.select(matchers) if refs is None else store.series(refs)
    low = -FOREVER if t_min is None else t_min
    high = FOREVER if t_max is None else t_max
    # OpenMetrics wants the samples of one metric together; labels are sorted by name already.
    found.sort(key=lambda s: (s.labels.name, s.labels.pairs))
    partial = path.with_name(path.name + ".partial")
    try:
        count = write(partial, _columns(store, found, low, high, progress))
        partial.rename(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return count


def import_(store: SqliteStore, path: Path, format: str, progress: Progress | None) -> int:
    """Append the samples of a file; how many.

    What comes before a mistake in the file is stored; importing again does no harm.
    """
    _check_format(format)
    read = _READERS[format]
    if not path.exists():
        raise StoreError(f"there is no file {path}")
    count = 0
    try:
        for labels, metrics, which, t_ms, values in read(path, progress):
            refs = store.intern(list(zip(labels, metrics, strict=True)))
            store.append([Batch(refs[which], t_ms, values)])
            count += len(t_ms)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path}: not UTF-8 text: {error}") from None
    return count


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise StoreError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")


def _columns(
    store: SqliteStore, found: Sequence[Series], low: int, high: int, progress: Progress | None
) -> Iterator[tuple[Series, Column]]:
    for done, series in enumerate(found, 1):
        column = store.read([series.ref], low, high)[0]
        if len(column):
            yield series, column
        if progress is not None:
            progress(done, len(found))


def _lines(file: TextIO, path: Path, progress: Progress | None) -> Iterator[str]:
    """The lines of a file; ``progress`` in characters of its size in bytes."""
    total, done = path.stat().st_size, 0
    for number, line in enumerate(file, 1):
        done += len(line)
        if progress is not None and number % PROGRESS_LINES == 0:
            progress(min(done, total), total)
        yield line
    if progress is not None:
        progress(total, total)


# --- CSV ------------------------------------------------------------------------------------------


def _write_csv(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for series, column in columns:
            unit = series.metric.unit
            # A spreadsheet must not take text of others for a formula.
            quoted = f"'{unit}" if _FORMULA.match(unit) else unit
            fixed = [series_text(series.labels), str(series.metric.kind), quoted]
            writer.writerows(
                [*fixed, t, "stale" if is_stale(v) else repr(v)]
                for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
            )
            count += len(column)
    return count


def _read_csv(path: Path, progress: Progress | None) -> Iterator[Gathered]:
    gather = Gather()
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(_lines(file, path, progress))
        try:
            if next(rows, None) != _HEADER:
                raise StoreError(f"{path}:1: expected the columns {','.join(_HEADER)}")
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if len(row) != len(_HEADER):
                    raise StoreError(f"{where}: expected {len(_HEADER)} columns, found {len(row)}")
                text, kind, unit, t_ms, value = row
                unit = unit[1:] if unit[:1] == "'" and _FORMULA.match(unit) else unit
                which = gather.series(text, kind, unit, "", where)
                try:
                    time = int(t_ms)
                    number = STALE_NAN if value == "stale" else float(value)
                except ValueError:
                    raise StoreError(
                        f"{where}: expected a time in ms and a number, found {t_ms!r}, {value!r}"
                    ) from None
                if abs(time) > FOREVER:
                    raise StoreError(f"{where}: {time} ms is no time that a clock tells")
                gather.add(which, time, number)
                if len(gather) >= IMPORT_SAMPLES:
                    yield gather.piece()
        except csv.Error as error:
            raise StoreError(f"{path}:{rows.line_num}: {error}") from None
    if len(gather):
        yield gather.piece()


# --- OpenMetrics ----------------------------------------------------------------------------------

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def _write_openmetrics(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    """Markers of a series' end and values that a counter cannot have are left out: the format has
    no way to say them."""
    count = 0
    families: set[str] = set()
    with path.open("w", newline="", encoding="utf-8") as file:
        for name, group in itertools.groupby(columns, key=lambda pair: pair[0].labels.name):
            counter = False
            for i, (series, column) in enumerate(group):
                if i == 0:
                    counter = _write_family(file, series, families)
                count += _write_samples(file, series.labels, column, counter)
            families.add(name)
        file.write("# EOF\n")
    return count


def _write_family(file: TextIO, series: Series, families: set[str]) -> bool:
    """The lines before a metric's samples; whether it is a counter there."""
    metric, name = series.metric, series.labels.name
    family = name.removesuffix("_total")
    counter = metric.kind is MetricKind.COUNTER and family != name and family not in families
    if not counter:
        family = name
    families.add(family)
    kind = "unknown" if metric.kind is MetricKind.COUNTER and not counter else metric.kind
    file.write(f"# TYPE {family} {kind}\n")
    if metric.unit and family.endswith(f"_{metric.unit}"):
        file.write(f"# UNIT {family} {metric.unit}\n")
    if metric.help:
        text = metric.help.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        file.write(f"# HELP {family} {text}\n")
    return counter


def _write_samples(file: TextIO, labels: Labels, column: Column, counter: bool) -> int:
    plain = _NAME.fullmatch(labels.name) and all(_LABEL.fullmatch(k) for k, _ in labels.pairs)
    if not plain:
        raise StoreError(f"OpenMetrics has no way to write {labels}; export to csv or parquet")
    count = 0
    for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True):
        if is_stale(v) or (counter and not v >= 0):
            continue
        value = "+Inf" if v == math.inf else "-Inf" if v == -math.inf else repr(v)
        file.write(f"{labels} {value} {'-' * (t < 0)}{abs(t) // 1000}.{abs(t) % 1000:03d}\n")
        count += 1
    return count


def _read_openmetrics(path: Path, progress: Progress | None) -> Iterator[Gathered]:
    from prometheus_client.openmetrics.parser import text_fd_to_metric_families

    gather = Gather()
    line = 0

    def counted(lines: Iterator[str]) -> Iterator[str]:
        nonlocal line
        for text in lines:
            line += 1
            yield text

    with path.open(encoding="utf-8", newline="\n") as file:
        families = text_fd_to_metric_families(  # type: ignore[no-untyped-call]
            counted(_lines(file, path, progress))
        )
        while True:
            try:
                family = next(families, None)
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                raise StoreError(f"{path}:{line}: not OpenMetrics text: {error}") from None
            if family is None:
                break
            kind = "counter" if family.type == "counter" else "gauge"
            for sample in family.samples:
                labels = Labels.of(sample.name, sample.labels)
                where = f"{path}, before line {line}"
                if sample.timestamp is None:
                    raise StoreError(f"{where}: {labels} has no time; history needs one")
                which = gather.series(
                    series_text(labels), kind, family.unit, family.documentation, where
                )
                gather.add(which, round(float(sample.timestamp) * 1000), float(sample.value))
                if len(gather) >= IMPORT_SAMPLES:
                    yield gather.piece()
    if len(gather):
        yield gather.piece()


_WRITERS: dict[str, Callable[[Path, Iterable[tuple[Series, Column]]], int]] = {
    "parquet": write_parquet, "csv": _write_csv, "openmetrics": _write_openmetrics,
}  # fmt: skip
_READERS: dict[str, Callable[[Path, Progress | None], Iterator[Gathered]]] = {
    "parquet": read_parquet, "csv": _read_csv, "openmetrics": _read_openmetrics,
}  # fmt: skip
FORMATS = tuple(_WRITERS)
