"""Series and metrics: interning labels to refs, and finding series by matchers."""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from barograph.model import Labels, Matcher, MatchOp, Metric, MetricKind, Ref, Series
from barograph_sqlite.chunks import bump
from barograph_sqlite.damage import Damage

MIN_KNOWN = 1024
"""Interned series kept in memory, or as many as are active if those are more; others are looked up
in the file."""


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


def add_series(connection: sqlite3.Connection, ref: int | None, text: str) -> int:
    """A new series (with the given ref) and what it is found by; the caller holds a transaction."""
    number = connection.execute(
        "INSERT INTO series (ref, hash, labels) VALUES (?, ?, ?)", (ref, hash64(text), text)
    ).lastrowid
    assert number is not None
    connection.executemany(
        "INSERT OR IGNORE INTO postings VALUES (?, ?)",
        [(posting_key(k, v), number) for k, v in from_text(text).pairs],
    )
    bump(connection, series=1)
    return number


def lost_labels(ref: int) -> str:
    """What a series is called whose labels are lost."""
    return to_text(Labels.of("barograph_rescued", {"ref": str(ref)}))


class SeriesIndex:
    """Interns series (through the writer's connection) and remembers the recent ones."""

    def __init__(self) -> None:
        self._refs: OrderedDict[Labels, int] = OrderedDict()
        self._labels: dict[int, Labels] = {}  # the same, the other way round
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
                ref = add_series(connection, None, to_text(labels))
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
        self._labels.update((ref, labels) for labels, ref in refs.items())

    def shrink(self, active: int) -> None:
        """Keep as many series in memory as ``active`` ones are worth."""
        while len(self._refs) > max(MIN_KNOWN, active):
            _, ref = self._refs.popitem(last=False)
            self._labels.pop(ref, None)

    def forget(self, refs: set[int]) -> None:
        """Drop series that are no longer in the file."""
        self._refs = OrderedDict((k, v) for k, v in self._refs.items() if v not in refs)
        self._labels = {ref: labels for labels, ref in self._refs.items()}

    def fitting(
        self, connection: sqlite3.Connection, matchers: Sequence[Matcher], refs: Sequence[int]
    ) -> list[Series]:
        """Those of ``refs`` that fit, sorted by labels."""
        fits = compiled(matchers)
        out = [series for series in self.series(connection, refs) if fits(series.labels)]
        out.sort(key=lambda series: series.labels.pairs)
        return out

    def candidates(self, connection: sqlite3.Connection, matchers: Sequence[Matcher]) -> list[int]:
        """Refs of all series that have the labels that ``matchers`` say outright."""
        equal = [m for m in matchers if m.op is MatchOp.EQUAL and m.value]
        keys = [posting_key(m.label, m.value) for m in equal]
        if not keys:
            return [ref for (ref,) in connection.execute("SELECT ref FROM series")]
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
        sql = f"SELECT p.ref FROM postings p WHERE p.key = ? {probes}"  # noqa: S608 — no text of others
        return [ref for (ref,) in connection.execute(sql, keys)]

    def missing(
        self, connection: sqlite3.Connection, refs: Sequence[int], damage: Damage
    ) -> set[int]:
        """Those of ``refs`` that are no series of the file."""
        sql, out = "SELECT 1 FROM series WHERE ref = ?", set()
        for ref in refs:
            try:
                if connection.execute(sql, (ref,)).fetchone() is None:
                    out.add(ref)
            except sqlite3.DatabaseError as error:
                damage.met(error, "series")
        return out

    def series(self, connection: sqlite3.Connection, refs: Sequence[int]) -> list[Series]:
        """The series of ``refs`` that there are."""
        sql = "SELECT labels FROM series WHERE ref = ?"
        known, out = self._labels, []
        for ref in refs:
            labels = known.get(ref)
            if labels is None:
                row = connection.execute(sql, (ref,)).fetchone()
                if row is None:
                    continue
                labels = from_text(row[0])
            out.append(Series(Ref(ref), labels, self.metric(labels.name)))
        return out


def compiled(matchers: Sequence[Matcher]) -> Callable[[Labels], bool]:
    """A test for all matchers; an absent label counts as "". Raises ValueError for a bad regex."""
    tests = [(matcher.label, _test(matcher)) for matcher in matchers]

    def fits(labels: Labels) -> bool:
        return all(test(labels.get(label)) for label, test in tests)

    return fits


def _test(matcher: Matcher) -> Callable[[str], bool]:
    value = matcher.value
    if matcher.op is MatchOp.EQUAL:
        return lambda text: text == value
    if matcher.op is MatchOp.NOT_EQUAL:
        return lambda text: text != value
    import re2  # linear in the text: no pattern can hold the process; loaded when one is used

    options = re2.Options()
    options.dot_nl, options.log_errors = True, False
    try:
        pattern = re2.compile(value, options)
    except (re2.error, UnicodeError) as error:
        why = error.args[0] if error.args else ""
        told = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(error)
        raise ValueError(f"bad regular expression {value!r}: {told}") from None
    wanted = matcher.op is MatchOp.REGEX
    return functools.lru_cache(4096)(lambda text: (pattern.fullmatch(text) is not None) == wanted)
