"""Samples in Parquet files: columns series, kind, unit, help, t_ms, value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from barograph.contracts import Progress, StoreError
from barograph.model import Column, Series
from barograph_sqlite.gathering import Gather, Gathered, series_text

ROWS_AT_ONCE = 500_000
_NEEDED = ("series", "kind", "unit", "t_ms", "value")


def require_parquet() -> tuple[Any, Any]:
    """pyarrow and pyarrow.parquet. Raises StoreError that says how to install them."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise StoreError(
            "Parquet needs pyarrow; install it with: pip install 'barograph-sqlite[parquet]'"
        ) from None
    return pa, pq


def write_parquet(path: Path, columns: Iterable[tuple[Series, Column]]) -> int:
    """Write the samples of many series; how many."""
    pa, pq = require_parquet()
    text = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [("series", text), ("kind", text), ("unit", text), ("help", text),
         ("t_ms", pa.int64()), ("value", pa.float64())]
    )  # fmt: skip
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for series, column in columns:
            n = len(column)
            metric = series.metric
            names = [series_text(series.labels), str(metric.kind), metric.unit, metric.help]
            fixed = [
                pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array([name]))
                for name in names
            ]
            # Without from_pandas, NaN stays NaN, with its bits.
            arrays = [*fixed, pa.array(column.t_ms), pa.array(column.values)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += n
    return count


def read_parquet(path: Path, progress: Progress | None) -> Iterator[Gathered]:
    """The samples of a file in pieces. Raises StoreError."""
    pa, pq = require_parquet()
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: not a Parquet file: {error}") from None
    there = set(file.schema_arrow.names)
    missing = [name for name in _NEEDED if name not in there]
    if missing:
        raise StoreError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(sorted(there))}"
        )
    names = [*_NEEDED, *(["help"] if "help" in there else [])]
    done, total = 0, int(file.metadata.num_rows)
    try:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=names):
            where = f"{path}: rows {done}..{done + len(batch) - 1}"
            yield _piece(pa, batch, names, where)
            done += len(batch)
            if progress is not None:
                progress(done, total)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: damaged behind row {done}: {error}") from None


def _piece(pa: Any, batch: Any, names: list[str], where: str) -> Gathered:
    for name in names:
        if batch.column(name).null_count:
            raise StoreError(f"{where}: column {name} has empty cells")
    try:
        t_ms = batch.column("t_ms").cast(pa.int64()).to_numpy()
        values = batch.column("value").cast(pa.float64()).to_numpy()
        texts = {n: batch.column(n).cast(pa.string()) for n in names if n not in ("t_ms", "value")}
    except pa.ArrowException as error:
        raise StoreError(f"{where}: {error}") from None
    series = texts["series"].dictionary_encode()
    codes = series.indices.to_numpy()
    _, first = np.unique(codes, return_index=True)
    gather = Gather()
    at = np.zeros(len(series.dictionary), np.int64)
    for row in first.tolist():
        kind, unit, help = (
            texts[n][row].as_py() if n in texts else "" for n in ("kind", "unit", "help")
        )
        at[codes[row]] = gather.series(texts["series"][row].as_py(), kind, unit, help, where)
    return gather.labels, gather.metrics, at[codes], t_ms, values
