"""Series and metrics: interning labels to refs, and finding series by matchers."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from barograph.model import Labels, Matcher, MatchOp, Metric, MetricKind, Ref, Series

MAX_KNOWN = 50_000
"""Interned series kept in memory; others are looked up in the file."""


def hash64(text: str) -> int:
    """A signed 64-bit hash of ``text`` that is the same in every process."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def posting_key(label: str, value: str) -> int:
    return hash64(f"{label}\0{value}")


def to_text(labels: Labels) -> str:
    return json.dumps(labels.pairs, separators=(",", ":"))


def from_text(text: str) -> Labels:
    return Labels(tuple((k, v) for k, v in json.loads(text)))


class SeriesIndex:
    """Interns series (through the writer's connection) and remembers the recent ones."""

    def __init__(self) -> None:
        self._refs: OrderedDict[Labels, int] = OrderedDict()
        self._metrics: dict[str, Metric] = {}

    def load_metrics(self, connection: sqlite3.Connection) -> None:
        for name, kind, unit, text in connection.execute("SELECT * FROM metrics"):
            self._metrics[name] = Metric(name, MetricKind(kind), unit, text)

    def metric(self, name: str) -> Metric:
        return self._metrics.get(name) or Metric(name)

    def metrics(self) -> list[Metric]:
        return [self._metrics[name] for name in sorted(self._metrics)]

    def known(self, labels: Labels) -> int | None:
        ref = self._refs.get(labels)
        if ref is not None:
            self._refs.move_to_end(labels)
        return ref

    def find(self, connection: sqlite3.Connection, labels: Labels) -> int | None:
        text = to_text(labels)
        row = connection.execute(
            "SELECT ref FROM series WHERE hash = ? AND labels = ?", (hash64(text), text)
        ).fetchone()
        return None if row is None else int(row[0])

    def add(
        self, connection: sqlite3.Connection, series: Iterable[tuple[Labels, Metric]]
    ) -> dict[Labels, int]:
        """Refs of ``series``, made where new; the caller holds a transaction."""
        out: dict[Labels, int] = {}
        for labels, metric in series:
            if labels in out:
                continue
            ref = self.find(connection, labels)
            if ref is None:
                text = to_text(labels)
                cursor = connection.execute(
                    "INSERT INTO series (hash, labels) VALUES (?, ?)", (hash64(text), text)
                )
                assert cursor.lastrowid is not None
                ref = cursor.lastrowid
                connection.executemany(
                    "INSERT OR IGNORE INTO postings VALUES (?, ?)",
                    [(posting_key(k, v), ref) for k, v in labels.pairs],
                )
            out[labels] = ref
            connection.execute(
                "INSERT OR IGNORE INTO metrics VALUES (?, ?, ?, ?)",
                (labels.name, str(metric.kind), metric.unit, metric.help),
            )
        return out

    def remember(self, refs: dict[Labels, int], series: Iterable[tuple[Labels, Metric]]) -> None:
        """After the commit of ``add``."""
        for labels, metric in series:
            self._metrics.setdefault(
                labels.name, Metric(labels.name, metric.kind, metric.unit, metric.help)
            )
        self._refs.update(refs)
        while len(self._refs) > MAX_KNOWN:
            self._refs.popitem(last=False)

    def forget(self, refs: set[int]) -> None:
        """Drop series that are no longer in the file."""
        self._refs = OrderedDict((k, v) for k, v in self._refs.items() if v not in refs)

    def select(
        self,
        connection: sqlite3.Connection,
        matchers: Sequence[Matcher],
        wanted: Callable[[int], bool] | None,
        limit: int | None,
    ) -> list[Series]:
        """Series that fit, sorted by labels; ``wanted(ref)`` decides whether one has samples."""
        fits = compiled(matchers)
        out: list[Series] = []
        for ref, text in self._candidates(connection, matchers):
            labels = from_text(text)
            if fits(labels) and (wanted is None or wanted(ref)):
                out.append(Series(Ref(ref), labels, self.metric(labels.name)))
        out.sort(key=lambda series: series.labels.pairs)
        return out if limit is None else out[:limit]

    def _candidates(
        self, connection: sqlite3.Connection, matchers: Sequence[Matcher]
    ) -> list[tuple[int, str]]:
        equal = [m for m in matchers if m.op is MatchOp.EQUAL and m.value]
        keys = [posting_key(m.label, m.value) for m in equal]
        if not keys:
            return connection.execute("SELECT ref, labels FROM series").fetchall()
        sizes = [
            connection.execute(
                "SELECT count(*) FROM (SELECT 1 FROM postings WHERE key = ? LIMIT 1000)", (key,)
            ).fetchone()[0]
            for key in keys
        ]
        keys = [key for _, key in sorted(zip(sizes, keys, strict=True))]
        probes = " ".join(
            "AND EXISTS (SELECT 1 FROM postings q WHERE q.key = ? AND q.ref = p.ref)"
            for _ in keys[1:]
        )
        return connection.execute(
            f"SELECT s.ref, s.labels FROM postings p JOIN series s ON s.ref = p.ref "  # noqa: S608
            f"WHERE p.key = ? {probes}",
            keys,
        ).fetchall()

    def series(self, connection: sqlite3.Connection, refs: Sequence[int]) -> list[Series]:
        out: list[Series] = []
        for ref in refs:
            row = connection.execute("SELECT labels FROM series WHERE ref = ?", (ref,)).fetchone()
            if row is not None:
                labels = from_text(row[0])
                out.append(Series(Ref(ref), labels, self.metric(labels.name)))
        return out


def compiled(matchers: Sequence[Matcher]) -> Callable[[Labels], bool]:
    """A test for all matchers; an absent label counts as "". Raises ValueError for a bad regex."""
    tests: list[tuple[str, Callable[[str], bool]]] = []
    for matcher in matchers:
        tests.append((matcher.label, _test(matcher)))

    def fits(labels: Labels) -> bool:
        return all(test(labels.get(label)) for label, test in tests)

    return fits


def _test(matcher: Matcher) -> Callable[[str], bool]:
    value = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda text: text == value
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda text: text != value
    try:
        pattern = re.compile(value, re.DOTALL)
    except re.error as error:
        raise ValueError(f"bad regular expression {value!r}: {error}") from None
    if matcher.op is MatchOp.REGEX:
        return lambda text: pattern.fullmatch(text) is not None
    return lambda text: pattern.fullmatch(text) is None
