"""The analyser of the how-to keeps its contract, and finds what it says."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from barograph import Batch, Labels, Metric
from barograph.findings import FindingBook, Observation
from barograph.inquiry import Inquiry
from barograph.testing import check_analyser
from barograph_promql.engine import PromqlEngine
from barograph_sqlite.store import SqliteStore

PAGE = Path(__file__).resolve().parents[2] / "docs/how-to/write-an-analyser.md"
DAY_MS = 86_400_000
T0 = 1_700_000_000_000


@pytest.fixture
def module() -> Any:
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    found = types.ModuleType("fills_up")
    exec(code[0], found.__dict__)
    exec(code[-1], found.__dict__)  # what reports without the agent
    return found


def test_it_keeps_its_contract(module: Any) -> None:
    (analyser,) = module.barograph_analysers()
    check_analyser(analyser)


def test_it_tells_of_the_file_system_that_fills_and_of_no_other(
    module: Any, tmp_path: Path
) -> None:
    store = SqliteStore(tmp_path)
    store.open()
    name = "system_filesystem_utilization_ratio"
    refs = store.intern(
        [(Labels.of(name, {"mountpoint": path}), Metric(name)) for path in ("/", "/srv")]
    )
    for i in range(145):
        store.append([Batch(refs, T0 + i * 600_000, np.array([0.5, 0.2 + 0.002 * i]))])
    data = Inquiry(store, PromqlEngine())
    (seen,) = module.barograph_analysers()[0].analyse(data, T0, T0 + DAY_MS)
    assert isinstance(seen, Observation)
    assert seen.labels.get("mountpoint") == seen.fingerprint == "/srv"
    assert seen.title == "/srv filled by 29 % points in a day"
    shown = data.query_range(seen.evidence[0].query, T0, T0 + DAY_MS, 3_600_000)
    assert shown.values.max() == pytest.approx(0.488)
    from fakes import FakeClock

    monitor = types.SimpleNamespace(findings=FindingBook(store, FakeClock(T0 + DAY_MS)))
    module.told(monitor, [seen])
    assert [one.state for one in monitor.findings.list()] == ["open"]
    store.close()
