"""Finding series by matchers and time, and remembering what was found."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import numpy as np

from barograph.model import Series
from barograph_sqlite.chunks import counter
from barograph_sqlite.head import FOREVER, NEVER, Head

FEW = 200
"""Series that the file is asked about one by one."""

MAX_RECENT = 50_000
"""Chunks that are looked through for series with samples since a time, before each candidate is
looked at by itself."""

MAX_REMEMBERED = 20_000
"""Series in remembered answers."""


class Remembered:
    """Answers to selections, as long as the set of series is the same (``version``)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[int, list[Series]]] = OrderedDict()
        self._series = 0

    def get(self, key: Hashable, version: int) -> list[Series] | None:
        found = self._answers.get(key)
        return list(found[1]) if found is not None and found[0] == version else None

    def put(self, key: Hashable, version: int, answer: list[Series]) -> None:
        """``version`` is of before the selection began."""
        with self._lock:
            self._forget(key)
            self._answers[key] = version, list(answer)
            self._series += len(answer) + 1
            while self._series > MAX_REMEMBERED:
                self._forget(next(iter(self._answers)))

    def _forget(self, key: Hashable) -> None:
        old = self._answers.pop(key, None)
        if old is not None:
            self._series -= len(old[1]) + 1


def in_range(
    connection: sqlite3.Connection, head: Head, refs: Sequence[int],
    t_min: int | None, t_max: int | None,
) -> list[int]:  # fmt: skip
    """Those of ``refs`` that may have samples or windows in [t_min, t_max]."""
    out = list(refs)
    if t_min is not None:
        out = _since(connection, head, out, t_min)
    if t_max is not None and t_max < _newest_of_all(connection, head):
        out = _until(connection, head, out, t_max)
    return out


def _since(connection: sqlite3.Connection, head: Head, refs: list[int], t_min: int) -> list[int]:
    newest = head.newest_of(refs)
    live = newest >= t_min
    if live.all():
        return refs
    # What the head knows of has its newest sample there; of the others the file tells.
    unknown = np.flatnonzero(newest == NEVER).tolist()
    recent: set[int] | None = None
    if len(unknown) > FEW and t_min > counter(connection, "dropped_until"):
        # (else rollups may be all that is left)
        rows = connection.execute(
            "SELECT ref FROM chunks WHERE t_max >= ? LIMIT ?", (t_min, MAX_RECENT + 1)
        ).fetchall()
        if len(rows) <= MAX_RECENT:
            recent = {ref for (ref,) in rows}
    for i in unknown:
        ref = refs[i]
        live[i] = _newest(connection, ref) >= t_min if recent is None else ref in recent
    return [ref for ref, there in zip(refs, live.tolist(), strict=True) if there]


def _newest(connection: sqlite3.Connection, ref: int) -> int:
    (newest,) = connection.execute(
        "SELECT max(m) FROM (SELECT max(t_max) m FROM chunks WHERE ref = ?1 AND late = 0 "
        "UNION ALL SELECT max(t_max) FROM chunks WHERE ref = ?1 AND late = 1 "
        "UNION ALL SELECT max(t_end) FROM windows WHERE ref = ?1)",
        (ref,),
    ).fetchone()
    return NEVER if newest is None else int(newest)


def _newest_of_all(connection: sqlite3.Connection, head: Head) -> int:
    (sealed,) = connection.execute("SELECT max(t_max) FROM chunks").fetchone()
    (rolled_up,) = connection.execute("SELECT max(t_end) FROM windows").fetchone()
    live = int(head.newest.max()) if len(head.newest) else NEVER
    return max(live, NEVER if sealed is None else sealed, NEVER if rolled_up is None else rolled_up)


def _until(connection: sqlite3.Connection, head: Head, refs: list[int], t_max: int) -> list[int]:
    if not refs:
        return []
    snapshot = head.snapshot()
    asked = np.array(refs, np.int64)
    oldest = np.full(len(refs), FOREVER, np.int64)
    for block, _ in snapshot.blocks:
        inside = block.find(asked) >= 0
        oldest[inside] = np.minimum(oldest[inside], block.times[0])
    for piece in (*snapshot.early, snapshot.tidy, *snapshot.recent):
        oldest[np.isin(asked, piece.refs[piece.t_ms <= t_max])] = NEVER
    unsure = [ref for ref, first in zip(refs, oldest.tolist(), strict=True) if first > t_max]
    begun = {ref for (ref,) in connection.execute(_STARTS_BY, (json.dumps(unsure), t_max))}
    later = set(unsure) - begun
    return [ref for ref in refs if ref not in later]


_STARTS_BY = (
    "SELECT j.value FROM json_each(?1) j WHERE "
    "(SELECT t_min FROM chunks WHERE ref = j.value AND late = 0 ORDER BY t_max LIMIT 1) <= ?2 "
    "OR (SELECT min(t_min) FROM chunks WHERE ref = j.value AND late = 1) <= ?2 "
    "OR (SELECT min(t_min) FROM windows WHERE ref = j.value) <= ?2"
)
"""Refs with a chunk or a window that begins at a time or before."""
