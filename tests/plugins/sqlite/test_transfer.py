"""Export and import: what goes out comes back; what is wrong in a file is told with its place."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugins.sqlite.filling import T0, all_samples, fill, interned, opened

from barograph.contracts import StoreError
from barograph.model import NAME, STALE_NAN, Batch, Labels, Matcher, Metric, MetricKind, is_stale
from barograph_sqlite.gathering import labels_of, series_text
from barograph_sqlite.index import from_text
from barograph_sqlite.store import SqliteStore

FORMATS = ("parquet", "csv", "openmetrics")
HOSTILE = [
    "plain", 'a "quoted" \\ back\\slash', "line\nfeed", "carriage\rreturn\r\n", "tab\t,comma;",
    "=cmd|' /C calc'!A0", "<img src=x onerror=alert(1)>", "Ünïcödé 日本 🎈", "\u2028\u0085\x0b\x0c",
    "'; DROP TABLE series; --", "{}", '"', "\\", "\\n", "#", "nul\0nul",
]  # fmt: skip
PLAIN_VALUES = [0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, math.inf, -math.inf, 0.1 + 0.2]


@pytest.fixture(autouse=True)
def parquet_is_there() -> None:
    pytest.importorskip("pyarrow")


def hostile(store: SqliteStore) -> list[Labels]:
    """A store of odd series: counters and gauges with units and help, values of every kind."""
    labels = []
    for i, text in enumerate(HOSTILE):
        name = "odd_bytes_total" if i % 2 else "odd_seconds"
        kind = MetricKind.COUNTER if i % 2 else MetricKind.GAUGE
        metric = Metric(name, kind, "bytes" if i % 2 else "seconds", f'Help "{HOSTILE[i % 3]}"')
        one = Labels.of(name, {"text": text, "i": str(i)})
        labels.append(one)
        (ref,) = store.intern([(one, metric)])
        values = [abs(v) for v in PLAIN_VALUES] if i % 2 else PLAIN_VALUES
        t_ms = T0 + np.arange(len(values)) * 1001
        refs = np.full(len(values), ref)
        store.append([Batch(refs, t_ms, np.array(values))])
    return labels


def contents(store: SqliteStore, *, exact_nan: bool = True) -> dict[Any, Any]:
    """Samples by labels, as bits."""
    out: dict[Any, Any] = {}
    for series in store.select([]):
        column = store.read([series.ref], -(2**62), 2**62)[0]
        bits = column.values.view(np.int64).tolist()
        if not exact_nan:
            bits = [b if not math.isnan(v) else "stale" if is_stale(v) else "nan"
                    for b, v in zip(bits, column.values.tolist(), strict=True)]  # fmt: skip
        if len(column):
            out[series.labels] = dict(zip(column.t_ms.tolist(), bits, strict=True))
    return out


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("sealed", [False, True])
def test_what_goes_out_comes_back(tmp_path: Path, format: str, sealed: bool) -> None:
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    labels = hostile(a)
    if sealed:
        a.seal()
    seen: list[tuple[int, int]] = []
    path = tmp_path / f"samples.{format}"
    count = a.export(path, format, progress=lambda done, total: seen.append((done, total)))
    assert count == len(labels) * len(PLAIN_VALUES)
    assert seen[-1] == (len(labels), len(labels))
    seen.clear()
    assert b.import_(path, format, progress=lambda done, total: seen.append((done, total))) == count
    assert seen[-1][0] == seen[-1][1] > 0
    assert contents(b) == contents(a)
    metrics = a.metrics()
    if format == "csv":  # a help text in each row would be more than the samples
        metrics = [Metric(m.name, m.kind, m.unit) for m in metrics]
    assert b.metrics() == metrics
    assert b.import_(path, format) == count
    assert contents(b) == contents(a)
    assert list(tmp_path.glob("*.partial")) == []
    a.close()
    b.close()


@pytest.mark.parametrize("format", FORMATS)
def test_nan_and_the_end_of_a_series_are_kept_as_far_as_the_format_can(
    tmp_path: Path, format: str
) -> None:
    payload = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    (ref,) = a.intern([(Labels.of("m"), Metric("m"))])
    values = np.array([1.0, math.nan, payload, STALE_NAN, 2.0])
    a.append([Batch(np.full(5, ref), T0 + np.arange(5), values)])
    path = tmp_path / "file"
    count = a.export(path, format)
    assert b.import_(path, format) == count == (4 if format == "openmetrics" else 5)
    found = contents(b, exact_nan=format == "parquet")
    wanted = contents(a, exact_nan=format == "parquet")
    if format == "openmetrics":
        del wanted[Labels.of("m")][T0 + 3]
    assert found == wanted
    a.close()
    b.close()


def test_what_openmetrics_cannot_say_of_counters_is_left_out(tmp_path: Path) -> None:
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    (ref,) = a.intern([(Labels.of("m_total"), Metric("m_total", MetricKind.COUNTER))])
    a.append([Batch(np.full(4, ref), T0 + np.arange(4), np.array([1.0, -1.0, math.nan, 3.0]))])
    assert a.export(tmp_path / "x", "openmetrics") == 2
    b.import_(tmp_path / "x", "openmetrics")
    assert list(contents(b)[Labels.of("m_total")]) == [T0, T0 + 3]
    a.close()
    b.close()


def test_openmetrics_keeps_metrics_apart_whose_families_have_one_name(tmp_path: Path) -> None:
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    names = [("m", MetricKind.GAUGE), ("m_total", MetricKind.COUNTER), ("n", MetricKind.COUNTER)]
    refs = a.intern([(Labels.of(name), Metric(name, kind)) for name, kind in names])
    a.append([Batch(refs, T0, np.array([1.0, 2.0, 3.0]))])
    a.export(tmp_path / "x", "openmetrics")
    b.import_(tmp_path / "x", "openmetrics")
    assert contents(b) == contents(a)
    a.close()
    b.close()


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_names_that_promql_does_not_have_come_back(tmp_path: Path, format: str) -> None:
    odd = [
        Labels.of("with space", {"label-dash": "x", "日本": "y"}),
        Labels.of('quo"te', {"a": "b"}), Labels.of("[list]"), Labels.of("m", {"lone": "\ud800"}),
        Labels.of("1digit"), Labels.of("inf"), Labels.of("sum"), Labels.of("offset", {"by": "x"}),
    ]  # fmt: skip
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    refs = a.intern([(one, Metric(one.name)) for one in odd])
    a.append([Batch(refs, T0, np.arange(len(odd), dtype=float))])
    a.export(tmp_path / "x", format)
    b.import_(tmp_path / "x", format)
    assert contents(b) == contents(a)
    a.close()
    b.close()


def test_openmetrics_tells_names_that_it_cannot_write(tmp_path: Path) -> None:
    store = opened(tmp_path)
    refs = store.intern([(Labels.of("with space"), Metric("with space"))])
    store.append([Batch(refs, T0, np.zeros(1))])
    with pytest.raises(StoreError, match=r"no way to write with space.*csv or parquet"):
        store.export(tmp_path / "x", "openmetrics")
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("x")] == []
    store.close()


@given(st.text(min_size=1), st.dictionaries(st.text(min_size=1), st.text()))
def test_any_labels_survive_as_text(name: str, labels: dict[str, str]) -> None:
    labels.pop(NAME, None)
    one = Labels.of(name, labels)
    text = series_text(one)
    text.encode()
    assert labels_of(text, "here") == one


def test_a_formula_in_a_unit_stays_text_in_a_spreadsheet(tmp_path: Path) -> None:
    a, b = opened(tmp_path / "a"), opened(tmp_path / "b")
    units = ["=1+1", "'=1", "+x", "-x", "@x", "'plain", "bytes"]
    names = [f"m{i}" for i in range(len(units))]
    refs = a.intern([(Labels.of(n), Metric(n, unit=u)) for n, u in zip(names, units, strict=True)])
    a.append([Batch(refs, T0, np.zeros(len(units)))])
    a.export(tmp_path / "x.csv", "csv")
    for line in (tmp_path / "x.csv").read_text().splitlines()[1:]:
        assert not any(cell[:1] in "=+@" for cell in line.split(","))
    b.import_(tmp_path / "x.csv", "csv")
    assert [m.unit for m in b.metrics()] == units
    a.close()
    b.close()


def test_only_the_range_and_the_series_that_were_asked_for_are_written(tmp_path: Path) -> None:
    store = opened(tmp_path / "a")
    refs = interned(store, 4)
    fill(store, refs, T0, 100)
    path = tmp_path / "x.csv"
    assert store.export(path, "csv", [Matcher.equal("i", "2")], T0 + 10_000, T0 + 19_999) == 10
    assert {line.split(",")[0] for line in path.read_text().splitlines()[1:]} == {'"m{i=""2""}"'}
    assert store.export(path, "csv", refs=refs[:2].tolist(), t_min=T0 + 99_000) == 2
    assert store.export(path, "csv", [Matcher.equal("i", "none")]) == 0
    reader = opened(tmp_path / "a", read_only=True)
    assert reader.export(path, "csv") == 400
    reader.close()
    store.close()


def test_a_large_file_is_appended_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("barograph_sqlite.transfer.IMPORT_SAMPLES", 70)
    monkeypatch.setattr("barograph_sqlite.transfer.PROGRESS_LINES", 10)
    monkeypatch.setattr("barograph_sqlite.parquet.ROWS_AT_ONCE", 70)
    a = opened(tmp_path / "a")
    refs = interned(a, 5)
    fill(a, refs, T0, 100)
    for format in FORMATS:
        b = opened(tmp_path / format)
        a.export(tmp_path / "x", format)
        seen: list[tuple[int, int]] = []
        b.import_(tmp_path / "x", format, progress=lambda d, t, s=seen: s.append((d, t)))
        assert len(seen) > 5
        assert seen == sorted(seen)
        assert contents(b) == contents(a)
        assert all_samples(b, np.array([s.ref for s in b.select([])])) == all_samples(a, refs)
        b.close()
    a.close()


# --- what is wrong in a file ----------------------------------------------------------------------

HEAD = "series,kind,unit,t_ms,value\n"


@pytest.mark.parametrize(
    ("format", "text", "told"),
    [
        ("csv", "", ":1: expected the columns series,kind,unit,t_ms,value"),
        ("csv", "a,b\n", ":1: expected the columns"),
        ("csv", HEAD + "m,gauge,,1,2\nm,gauge,,1\n", ":3: expected 5 columns, found 4"),
        ("csv", HEAD + "m,gauge,,1,2\nm,gauge,,soon,2\n", ":3: expected a time in ms and a number"),
        ("csv", HEAD + "m,gauge,,1,much\n", ":2: expected a time in ms and a number, found '1'"),
        ("csv", HEAD + "m,gauge,,1e3,1\n", ":2: expected a time in ms"),
        ("csv", HEAD + f"m,gauge,,{2**63},1\n", ":2: 9223372036854775808 ms is no time"),
        ("csv", HEAD + "m,dial,,1,2\n", ":2: kind 'dial' is neither gauge nor counter"),
        ("csv", HEAD + '"m{",gauge,,1,2\n', ":2: bad series selector 'm{'"),
        ("csv", HEAD + '"m{a=~""b""}",gauge,,1,2\n', ":2: 'm{a=~\"b\"}' is no series"),
        ("csv", HEAD + '"{a=""b""}",gauge,,1,2\n', ":2: series '{a=\"b\"}' has no metric name"),
        ("csv", HEAD + '"[1, 2]",gauge,,1,2\n', ":2: '[1, 2]' is no list of label names"),
        ("csv", HEAD + '"rate(m[5m])",gauge,,1,2\n', ":2: bad series selector 'rate(m[5m])'"),
        ("csv", HEAD.encode() + b"m\xff,gauge,,1,2\n", "not UTF-8 text"),
        ("openmetrics", "", "not OpenMetrics text: Missing # EOF"),
        ("openmetrics", "# TYPE m gauge\nm 1 1.0\nm{ 2 2.0\n# EOF\n", ":3: not OpenMetrics text"),
        ("openmetrics", "# TYPE m gauge\nm x 1.0\n# EOF\n", ":2: not OpenMetrics text"),
        ("openmetrics", "# TYPE m gauge\nm 1\n# EOF\n", "m has no time; history needs one"),
        ("openmetrics", b"# TYPE m gauge\nm{a=\"\xff\"} 1 1\n# EOF\n", "not UTF-8 text"),
        ("parquet", "no parquet at all", "not a Parquet file"),
        ("parquet", "", "not a Parquet file"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_with_its_place(
    tmp_path: Path, format: str, text: str | bytes, told: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    store = opened(tmp_path / "store")
    with pytest.raises(StoreError) as raised:
        store.import_(path, format)
    assert str(raised.value).startswith(str(path))
    assert told in str(raised.value)
    assert store.check() == []
    store.close()


def test_wrong_parquet_columns_are_told(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = {"series": ["m"], "kind": ["gauge"], "unit": [""], "t_ms": [T0], "value": [1.0]}
    store = opened(tmp_path / "store")
    for change, told in (
        ({"value": None}, "no column value; found kind, series, t_ms, unit"),
        ({"value": [None]}, "rows 0..0: column value has empty cells"),
        ({"series": [None]}, "rows 0..0: column series has empty cells"),
        ({"t_ms": ["noon"]}, "rows 0..0: "),
        ({"kind": ["dial"]}, "rows 0..0: kind 'dial' is neither gauge nor counter"),
        ({"series": ["m{"]}, "rows 0..0: bad series selector"),
    ):
        columns = {k: v for k, v in {**good, **change}.items() if v is not None}
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table(columns), path)
        with pytest.raises(StoreError) as raised:
            store.import_(path, "parquet")
        assert told in str(raised.value)
    pq.write_table(pa.table({**good, "t_ms": pa.array([T0], pa.timestamp("ms")),
                             "value": [7]}), path)  # fmt: skip
    assert store.import_(path, "parquet") == 1
    assert contents(store) == {Labels.of("m"): {T0: struct.unpack("<q", struct.pack("<d", 7.0))[0]}}
    store.close()


def test_files_and_formats_that_are_not_there_are_told(tmp_path: Path) -> None:
    store = opened(tmp_path / "store")
    with pytest.raises(StoreError, match="unknown format 'xls'; known: parquet, csv, openmetrics"):
        store.export(tmp_path / "x", "xls")
    with pytest.raises(StoreError, match="unknown format 'xls'"):
        store.import_(tmp_path / "x", "xls")
    with pytest.raises(StoreError, match="there is no file"):
        store.import_(tmp_path / "x", "csv")
    with pytest.raises(StoreError, match="cannot write"):
        store.export(tmp_path / "no such folder" / "x", "csv")
    store.close()


def test_labels_in_the_file_are_ascii_json(tmp_path: Path) -> None:
    """Whatever a label holds, the series table has plain text."""
    store = opened(tmp_path)
    labels = hostile(store)
    with store.writing() as connection:
        texts = [text for (text,) in connection.execute("SELECT labels FROM series ORDER BY ref")]
    assert all(text.isascii() for text in texts)
    assert [from_text(text) for text in texts] == labels
    store.close()
