"""The labelled series of ``../shared/data/anomaly``."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]


def data_folder() -> Path | None:
    """The folder of test data, None where it is missing (``BAROGRAPH_DATA`` names another)."""
    folder = Path(os.environ.get("BAROGRAPH_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@attrs.frozen(eq=False)
class Labelled:
    """A series with its anomalies: t_ms int64[n], values float64[n], windows as rows (first, last),
    both included."""

    name: str
    t_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    windows: tuple[tuple[int, int], ...]

    @property
    def group(self) -> str:
        return self.name.split("/")[0]

    @property
    def days(self) -> float:
        return float(self.t_ms[-1] - self.t_ms[0]) / 86_400_000


def load(folder: Path) -> list[Labelled]:
    """All series of the corpus, by name."""
    labels = json.loads((folder / "windows.json").read_text())
    return [
        series(name, folder / f"{name}.gz", spans)
        for name, spans in sorted(labels.items())
        if (folder / f"{name}.gz").exists()
    ]


def series(name: str, path: Path, spans: list[list[str]]) -> Labelled:
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    t_ms = np.array([to_ms(row["timestamp"]) for row in rows], np.int64)
    values = np.array([float(row["value"]) for row in rows])
    windows = []
    for start, end in spans:
        first = int(np.flatnonzero(t_ms == to_ms(start))[0])
        last = int(np.flatnonzero(t_ms == to_ms(end))[0])
        windows.append((first, last))
    return Labelled(name, t_ms, values, tuple(windows))


def host_day(file: Path) -> dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """A day of a host's metrics at 1 s: ten recorded minutes again and again, counters as growth;
    series that never moved are left out. Name -> (t_ms, values)."""
    recorded = np.load(file)
    names, table = recorded["names"].tolist(), recorded["values"]
    t_ms = int(recorded["t_ms"][0]) + 1000 * np.arange(86_400, dtype=np.int64)
    out = {}
    for name, row in zip(names, table, strict=True):
        steps = np.diff(row)
        if not steps.any():
            continue
        grows = (steps >= 0).all() and any(w in name for w in ("_total", "_count", "_sum"))
        values = np.append(steps[:1], steps) if grows else row
        out[name] = (t_ms, np.resize(values, len(t_ms)))
    return out


def to_ms(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    return round(moment.timestamp() * 1000)
