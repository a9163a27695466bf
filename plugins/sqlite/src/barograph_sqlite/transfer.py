"""Export, import and archive: Parquet, CSV and OpenMetrics text."""

from __future__ import annotations

import csv
import itertools
import math
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from barograph.contracts import Progress, StoreError
from barograph.model import (
    NAME,
    STALE_NAN,
    Batch,
    Column,
    Labels,
    Matcher,
    Metric,
    MetricKind,
    Series,
    is_stale,
)
from barograph.query import parse_selector

if TYPE_CHECKING:
    from barograph_sqlite.store import SqliteStore

FORMATS = ("parquet", "csv", "openmetrics")
FOREVER = 2**62
_HEADER = ["series", "kind", "unit", "t_ms", "value"]
_IMPORT_SAMPLES = 500_000


class Following:
    """A snapshot of a file that another process may be writing: one transaction, head in step."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._lent: Any = None

    def __enter__(self) -> sqlite3.Connection:
        self._store._write.acquire()
        try:
            self._lent = self._store._readers.lend()
            connection: sqlite3.Connection = self._lent.__enter__()
            self._outer = not connection.in_transaction
            connection.execute("BEGIN")
            self._connection = connection
            self._store.follow(connection)
        except BaseException:
            self._store._write.release()
            raise
        return connection

    def __exit__(self, *error: object) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._lent.__exit__(*error)
        finally:
            self._store._write.release()


def export(
    store: SqliteStore, path: Path, format: str, matchers: Sequence[Matcher],
    t_min: int | None, t_max: int | None, progress: Progress | None,
) -> int:  # fmt: skip
    """Write the samples of the series that fit; how many samples."""
    if format not in FORMATS:
        raise StoreError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    found = store.select(matchers)
    low = -FOREVER if t_min is None else t_min
    high = FOREVER if t_max is None else t_max
    # OpenMetrics wants the samples of one metric together; labels are sorted by name already.
    found.sort(key=lambda s: (s.labels.name, s.labels.pairs))
    columns = _columns(store, found, low, high, progress)
    writer = {"parquet": _write_parquet, "csv": _write_csv, "openmetrics": _write_openmetrics}
    partial = path.with_name(path.name + ".partial")
    try:
        count = writer[format](partial, columns)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.rename(path)
    return count


def _columns(
    store: SqliteStore, found: Sequence[Series], low: int, high: int, progress: Progress | None
) -> Iterator[tuple[Series, Column]]:
    for done, series in enumerate(found, 1):
        column = store.read([series.ref], low, high)[0]
        if len(column):
            yield series, column
        if progress is not None:
            progress(done, len(found))


def _write_csv(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for series, column in columns:
            fixed = [selector_text(series.labels), str(series.metric.kind), series.metric.unit]
            writer.writerows(
                [*fixed, t, "stale" if is_stale(v) else repr(v)]
                for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True)
            )
            count += len(column)
    return count


def _write_openmetrics(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for _, group in itertools.groupby(columns, key=lambda pair: pair[0].labels.name):
            for i, (series, column) in enumerate(group):
                metric, name = series.metric, series.labels.name
                counter = metric.kind is MetricKind.COUNTER and name.endswith("_total")
                if i == 0:
                    family = name.removesuffix("_total") if counter else name
                    file.write(f"# TYPE {family} {'counter' if counter else 'gauge'}\n")
                    if metric.help:
                        text = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
                        file.write(f"# HELP {family} {text}\n".replace('"', '\\"'))
                for t, v in zip(column.t_ms.tolist(), column.values.tolist(), strict=True):
                    if math.isnan(v) or (counter and v < 0):
                        continue  # OpenMetrics has no staleness, and no such counters
                    value = "+Inf" if v == math.inf else "-Inf" if v == -math.inf else repr(v)
                    file.write(f"{series.labels} {value} {t // 1000}.{t % 1000:03d}\n")
                    count += 1
        file.write("# EOF\n")
    return count


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError(
            "Parquet needs pyarrow; install it with: pip install 'barograph-sqlite[parquet]'"
        ) from None
    return pa, pq


def _write_parquet(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    pa, pq = _pyarrow()
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [("series", text), ("kind", text), ("unit", text), ("help", text),
         ("t_ms", pa.int64()), ("value", pa.float64())]
    )  # fmt: skip
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for series, column in columns:
            n = len(column)
            names = [selector_text(series.labels), str(series.metric.kind), series.metric.unit,
                     series.metric.help]  # fmt: skip
            fixed = [
                pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([name]))
                for name in names
            ]
            arrays = [*fixed, pa.array(column.t_ms), pa.array(column.values)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += n
    return count


def archive(store: SqliteStore, connection: sqlite3.Connection, ids: Sequence[int]) -> Path:
    """Chunks that retention is about to drop, as one Parquet file below DATA_DIR/archive."""
    from barograph_sqlite.codec import DamagedRecord, decode_column

    folder = store.data_dir / "archive"
    folder.mkdir(mode=0o700, exist_ok=True)

    def columns() -> Iterator[tuple[Series, Column]]:
        for chunk in ids:
            row = connection.execute("SELECT ref, n, body FROM chunks WHERE id = ?", (chunk,))
            ref, n, body = row.fetchone()
            found = store._index.series(connection, [ref])
            try:
                column = decode_column(body, n)
            except DamagedRecord as error:
                store.damage.found(f"chunk {chunk} of series {ref}", str(error))
                continue
            if found:
                yield found[0], column

    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = folder / f"samples-{stamp}-{ids[0]}.parquet"
    partial = path.with_name(path.name + ".partial")
    _write_parquet(partial, columns())
    partial.rename(path)
    return path


def selector_text(labels: Labels) -> str:
    """A series as text that ``parse_selector`` reads back, whatever its labels hold."""
    return str(labels)


def import_(store: SqliteStore, path: Path, format: str, progress: Progress | None) -> int:
    """Append the samples of a file; how many."""
    if format not in FORMATS:
        raise StoreError(f"unknown format {format!r}; known: {', '.join(FORMATS)}")
    if not path.exists():
        raise StoreError(f"there is no file {path}")
    reader = {"parquet": _read_parquet, "csv": _read_csv, "openmetrics": _read_openmetrics}
    count = 0
    for labels_list, metrics, which, t_ms, values in reader[format](path, progress):
        refs = store.intern(list(zip(labels_list, metrics, strict=True)))
        store.append([Batch(refs[which], np.asarray(t_ms, np.int64), np.asarray(values))])
        count += len(t_ms)
        if progress is not None:
            progress(count, 0)
    return count


_Piece = tuple[list[Labels], list[Metric], Any, Any, Any]


def _labels(text: str, where: str) -> Labels:
    try:
        pairs = {m.label: m.value for m in parse_selector(text)}
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from None
    if NAME not in pairs:
        raise StoreError(f"{where}: series {text!r} has no metric name")
    return Labels.of(pairs.pop(NAME), pairs)


class _Gather:
    """Collects rows into pieces of bounded size."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.labels: list[Labels] = []
        self.metrics: list[Metric] = []
        self._at: dict[str, int] = {}
        self.which: list[int] = []
        self.t_ms: list[int] = []
        self.values: list[float] = []

    def series(self, text: str, kind: str, unit: str, help: str, where: str) -> int:
        at = self._at.get(text)
        if at is None:
            labels = _labels(text, where)
            if kind not in ("gauge", "counter"):
                raise StoreError(f"{where}: kind {kind!r} is neither gauge nor counter")
            at = self._at[text] = len(self.labels)
            self.labels.append(labels)
            self.metrics.append(Metric(labels.name, MetricKind(kind), unit, help))
        return at

    def piece(self) -> _Piece:
        which, t_ms = np.array(self.which, np.int64), np.array(self.t_ms, np.int64)
        out = (self.labels, self.metrics, which, t_ms, np.array(self.values, np.float64))
        self.clear()
        return out


def _read_csv(path: Path, progress: Progress | None) -> Iterator[_Piece]:
    gather = _Gather()
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if next(rows, None) != _HEADER:
            raise StoreError(f"{path}:1: expected the columns {','.join(_HEADER)}")
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if len(row) != len(_HEADER):
                raise StoreError(f"{where}: expected {len(_HEADER)} columns, found {len(row)}")
            text, kind, unit, t_ms, value = row
            gather.which.append(gather.series(text, kind, unit, "", where))
            try:
                gather.t_ms.append(int(t_ms))
                gather.values.append(STALE_NAN if value == "stale" else float(value))
            except ValueError:
                raise StoreError(
                    f"{where}: {t_ms!r}, {value!r} is no time in ms and number"
                ) from None
            if len(gather.which) >= _IMPORT_SAMPLES:
                yield gather.piece()
    if gather.which:
        yield gather.piece()


def _read_parquet(path: Path, progress: Progress | None) -> Iterator[_Piece]:
    pa, pq = _pyarrow()
    try:
        file = pq.ParquetFile(path)
        missing = {*_HEADER} - set(file.schema_arrow.names)
    except (pa.ArrowInvalid, OSError) as error:
        raise StoreError(f"{path}: {error}") from None
    if missing:
        raise StoreError(f"{path}: no column {', '.join(sorted(missing))}")
    names = [n for n in (*_HEADER, "help") if n in file.schema_arrow.names]
    for batch in file.iter_batches(batch_size=_IMPORT_SAMPLES, columns=names):
        gather = _Gather()
        text = batch.column("series").dictionary_encode() if not pa.types.is_dictionary(
            batch.column("series").type) else batch.column("series")  # fmt: skip
        first = {code: row for row, code in reversed(list(enumerate(text.indices.to_pylist())))}
        codes = np.zeros(len(text.dictionary), np.int64)
        for code, row in first.items():
            kind, unit = (batch.column(n)[row].as_py() for n in ("kind", "unit"))
            help = batch.column("help")[row].as_py() if "help" in names else ""
            codes[code] = gather.series(text.dictionary[code].as_py(), kind, unit, help, str(path))
        which = codes[text.indices.to_numpy()]
        t_ms, values = (batch.column(n).to_numpy() for n in ("t_ms", "value"))
        yield gather.labels, gather.metrics, which, t_ms, values


def _read_openmetrics(path: Path, progress: Progress | None) -> Iterator[_Piece]:
    from prometheus_client.openmetrics.parser import text_fd_to_metric_families

    gather = _Gather()
    with path.open(encoding="utf-8") as file:
        try:
            for family in text_fd_to_metric_families(file):
                for sample in family.samples:
                    kind = "counter" if family.type == "counter" else "gauge"
                    labels = Labels.of(sample.name, sample.labels)
                    at = gather.series(
                        str(labels), kind, family.unit, family.documentation, str(path)
                    )
                    if sample.timestamp is None:
                        raise StoreError(f"{path}: {labels} has no time; history needs one")
                    gather.which.append(at)
                    gather.t_ms.append(round(float(sample.timestamp) * 1000))
                    gather.values.append(float(sample.value))
                    if len(gather.which) >= _IMPORT_SAMPLES:
                        yield gather.piece()
        except ValueError as error:
            raise StoreError(f"{path}: not OpenMetrics text: {error}") from None
    if gather.which:
        yield gather.piece()
