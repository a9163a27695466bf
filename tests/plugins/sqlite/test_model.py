"""The store against a model of dicts, through every way of writing, sealing and reopening."""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from barograph.contracts import Problem, StoreError
from barograph.model import STALE_NAN, Batch, Column, Labels, Matcher, MatchOp, Metric
from barograph_sqlite import Config
from barograph_sqlite.store import FILE, SqliteStore

T0 = 1_700_000_000_000
RAW_S = 6 * 3600
SMALL = {
    "head": {"BLOCK_ROWS": 8, "MAX_BLOCKS": 4, "MAX_PIECES": 3, "MAX_SEEN": 3},
    "sealing": {
        "BLOCK_ROWS": 8, "SMALL_ROWS": 3, "MAX_BLOCKS": 4, "LOOSE_SAMPLES": 25, "LOOSE_SERIES": 2,
        "LOOSE_PER_SERIES": 0, "HEAD_BYTES": 4000,
    },
    "block": {"FIRST_ROWS": 2},
    "chunks": {"BLOCK_ROWS": 8},
    "store": {"HEAD_BYTES": 4000},
    "retention": {"CHUNKS_AT_ONCE": 3, "EVERY_MS": 1, "SWEEP_MS": 1},
}  # fmt: skip
"""Limits so small that a few steps reach them."""

values = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(width=64),
    st.sampled_from([STALE_NAN, -0.0, float("inf"), float("-inf"), 5e-324]),
)


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def as_dict(column: Column) -> dict[int, int]:
    assert (np.diff(column.t_ms) > 0).all(), "times do not strictly rise"
    return dict(zip(column.t_ms.tolist(), column.values.view(np.int64).tolist(), strict=True))


class StoreMachine(RuleBasedStateMachine):
    """``model[ref][t]``: all bit patterns written there, the newest last."""

    limits: ClassVar[dict[str, dict[str, int]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        for module, names in self.limits.items():
            self.stack.enter_context(patch.multiple(f"barograph_sqlite.{module}", **names))
        self.top = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.folders = 0
        self.folder = self.top / "0"
        self.now = T0
        self.cutoff = 0
        self.model: dict[int, dict[int, list[int]]] = {}
        self.labels: dict[int, Labels] = {}
        self.sets: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        self.store = self.opened()
        self.reader: SqliteStore | None = None

    def opened(self, *, read_only: bool = False) -> SqliteStore:
        store = SqliteStore(self.folder, Config(raw_retention=RAW_S, rollup_retention=10 * RAW_S))
        store.open(read_only=read_only)
        return store

    def teardown(self) -> None:
        problems: list[Problem] = self.store.check()
        self.store.close()
        if self.reader is not None:
            self.reader.close()
        self.stack.close()
        assert problems == []
        assert self.store.problems == []

    # --- writing --------------------------------------------------------------------------------

    @initialize(n=st.integers(1, 4))
    def first_series(self, n: int) -> None:
        self.intern(n)

    @rule(n=st.integers(1, 4))
    def intern(self, n: int) -> None:
        series = []
        for i in range(n):
            number = len(self.labels) + i
            extra = {"i": str(number), "odd": str(number % 2), "empty": ""}
            series.append((Labels.of("m", extra), Metric("m")))
        refs = self.store.intern(series)
        assert refs.tolist() == self.store.intern(series).tolist()
        for ref, (labels, _) in zip(refs.tolist(), series, strict=True):
            assert ref not in self.labels
            self.labels[ref], self.model[ref] = labels, {}
        self.sets.append(refs)

    @rule(data=st.data())
    def choose_set(self, data: st.DataObject) -> None:
        known = sorted(self.model)
        picked = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=6, unique=True))
        self.sets.append(np.array(picked, np.int64))

    def wrote(self, refs: list[int], times: list[int], numbers: list[float]) -> None:
        for ref, t, v in zip(refs, times, numbers, strict=True):
            self.model[ref].setdefault(t, []).append(bits(v))

    @rule(data=st.data(), step=st.sampled_from([1, 1000, 1000, 1000, 0, -1, -5000, 4_000_000]),
          ticks=st.integers(1, 12), same_object=st.booleans())  # fmt: skip
    def ticks(self, data: st.DataObject, step: int, ticks: int, same_object: bool) -> None:
        refs = data.draw(st.sampled_from(self.sets))
        for i in range(ticks):
            self.now += step if i == 0 else max(step, 1)
            row = data.draw(st.lists(values, min_size=len(refs), max_size=len(refs)))
            given = refs if same_object else refs.copy()
            self.store.append([Batch(given, self.now, np.array(row, np.float64))])
            self.wrote(refs.tolist(), [self.now] * len(refs), row)

    @rule(data=st.data(), n=st.integers(0, 30))
    def scattered(self, data: st.DataObject, n: int) -> None:
        """Any refs at any times, duplicates too, in several batches of one call."""
        batches = []
        ref, offset = st.sampled_from(sorted(self.model)), st.integers(-20, 20)
        rows = data.draw(st.lists(st.tuples(ref, offset, values), min_size=n, max_size=n))
        for part in (rows[: n // 2], rows[n // 2 :]):
            refs, times, numbers = (list(x) for x in zip(*part, strict=True)) if part else ([],) * 3
            times = [self.now + 500 * t for t in times]
            batches.append(
                Batch(np.array(refs, np.int64), np.array(times, np.int64),
                      np.array(numbers, np.float64))
            )  # fmt: skip
            self.wrote(refs, times, numbers)
        self.store.append(batches)

    @rule(data=st.data())
    def a_refused_append_stores_nothing(self, data: st.DataObject) -> None:
        refs = data.draw(st.sampled_from(self.sets)).copy()
        good = Batch(refs, self.now + 1, np.zeros(len(refs)))
        again = Batch(refs, self.now + 2, np.zeros(len(refs)))
        bad = Batch(refs, self.now + 3, np.zeros(len(refs) + 1))
        with pytest.raises(ValueError, match="refs has"):
            self.store.append([good, again, bad])

    # --- keeping house --------------------------------------------------------------------------

    @rule()
    def seal(self) -> None:
        self.store.seal()
        assert self.store.stats().head_samples == 0

    @rule(later_ms=st.sampled_from([0, 1000, 700_000, 4_000_000, 9_000_000]),
          times=st.integers(1, 4))  # fmt: skip
    def maintain(self, later_ms: int, times: int) -> None:
        self.now += later_ms
        for _ in range(times):
            self.store.maintain(self.now)
        self.cutoff = max(self.cutoff, self.now - RAW_S * 1000)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store.close()
        with pytest.raises(StoreError, match="not open for writing"):
            self.store.append([])
        self.store.open()
        self.intern_again()

    @rule()
    def be_killed(self) -> None:
        """The files as they are at this moment, without any closing."""
        self.folders += 1
        after = self.top / str(self.folders)
        after.mkdir()
        for suffix in ("", "-wal"):
            source = self.folder / f"{FILE}{suffix}"
            if source.exists():
                shutil.copy(source, after)
        self.store.close()
        if self.reader is not None:
            self.reader.close()
            self.reader = None
        self.folder = after
        self.store = self.opened()
        self.intern_again()

    def intern_again(self) -> None:
        """As sources do after a start. A series that had nothing any more gets a new ref."""
        old = sorted(self.labels)
        new = self.store.intern([(self.labels[ref], Metric("m")) for ref in old])
        changed = {a: b for a, b in zip(old, new.tolist(), strict=True) if a != b}
        for a, b in changed.items():
            assert all(t < self.cutoff for t in self.model.pop(a))
            self.labels[b], self.model[b] = self.labels.pop(a), {}
        self.sets = [
            np.array([changed.get(ref, ref) for ref in one.tolist()], np.int64)
            if changed else one for one in self.sets
        ]  # fmt: skip

    @rule()
    def begin_reader(self) -> None:
        if self.reader is None:
            self.reader = self.opened(read_only=True)

    # --- reading --------------------------------------------------------------------------------

    @rule(data=st.data(), low=st.integers(-60, 10), length=st.integers(-1, 80))
    def read(self, data: st.DataObject, low: int, length: int) -> None:
        refs = data.draw(st.lists(st.sampled_from([*self.model, 10**9]), max_size=4))
        t_min = self.now + low * 1000
        self.compare(self.store, refs, t_min, t_min + length * 1000)

    @rule()
    def read_all(self) -> None:
        self.compare(self.store, sorted(self.model), -(2**62), 2**62)

    @rule()
    def read_all_from_beside(self) -> None:
        if self.reader is not None:
            self.compare(self.reader, sorted(self.model), -(2**62), 2**62)

    def compare(self, store: SqliteStore, refs: list[int], t_min: int, t_max: int) -> None:
        columns = store.read(refs, t_min, t_max)
        assert len(columns) == len(refs)
        for ref, column in zip(refs, columns, strict=True):
            found = as_dict(column)
            wanted = {t: v for t, v in self.model.get(ref, {}).items() if t_min <= t <= t_max}
            assert found.keys() <= wanted.keys()
            for t, written in wanted.items():
                if t >= self.cutoff:
                    assert found[t] == written[-1]
                elif t in found:  # retention takes what is too old in its own time
                    assert found[t] in written

    @rule(odd=st.sampled_from(["0", "1", "7"]),
          op=st.sampled_from(list(MatchOp)), timed=st.booleans(), low=st.integers(-30, 5),
          length=st.integers(0, 40))  # fmt: skip
    def select(self, odd: str, op: MatchOp, timed: bool, low: int, length: int) -> None:
        matchers = [Matcher.equal("__name__", "m"), Matcher("odd", op, odd)]
        fits: Callable[[str], bool] = lambda v: (v == odd) == (op in ("=", "=~"))  # noqa: E731
        t_min, t_max = self.now + low * 1000, self.now + (low + length) * 1000
        times = (t_min, t_max) if timed else (None, None)
        for store in (self.store, self.reader):
            if store is None:
                continue
            found = store.select(matchers, *times)
            assert [s.labels.pairs for s in found] == sorted(s.labels.pairs for s in found)
            chosen = {s.ref for s in found}
            assert all(self.labels[s.ref] == s.labels for s in found)
            right = {r for r, labels in self.labels.items() if fits(labels.get("odd"))}
            alive = {r for r in right if any(t >= self.cutoff for t in self.model[r])}
            assert chosen <= right
            if not timed:
                assert alive <= chosen
                continue
            for ref in right:
                now = {t for t in self.model[ref] if t >= self.cutoff}
                if any(t_min <= t <= t_max for t in now):
                    assert ref in chosen
                elif not any(t <= t_max for t in self.model[ref]) or not any(
                    t >= t_min for t in self.model[ref]
                ):
                    assert ref not in chosen

    @invariant()
    def stats_add_up(self) -> None:
        stats = self.store.stats()
        assert stats.series <= len(self.labels)
        kept = sum(1 for times in self.model.values() for t in times if t >= self.cutoff)
        written = sum(len(v) for times in self.model.values() for v in times.values())
        assert kept <= stats.samples <= written
        recent = [t for times in self.model.values() for t in times if t >= self.cutoff]
        if recent:
            assert stats.t_max is not None
            assert stats.t_max == max(recent)


class SmallLimits(StoreMachine):
    """The same with limits that a few samples reach."""

    limits = SMALL


TestStore = StoreMachine.TestCase
TestStoreWithSmallLimits = SmallLimits.TestCase
