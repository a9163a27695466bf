"""The series under watch in a running monitor: which, their newest values, scores and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import attrs
import numpy as np

from barograph.contracts import Problem, TeachableDetector
from barograph.detection import Watch, find_detector
from barograph.model import Labels, MetricKind, Ref, Series
from barograph.query import parse_selector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Detector
    from barograph.monitor import PerformanceMonitor
    from barograph_anomaly import Config

FILE = "anomaly.npz"
"""What is known of the series, in the data folder, from one run to the next."""

CHOOSE_MS = 60_000
"""Time between two choices of the series to watch, after as long a start in which each look
chooses."""

GONE_MS = 600_000
"""A series without a sample for so long is watched no more."""

RECENT_MS = 600_000
"""For so long after an alarm a series counts as anomalous in its groups' shares."""

GROUP_LABELS = ("host", "instance", "job", "service")

MAX_GROUPS = 1000

OWN = "barograph_anomaly_"


@attrs.frozen
class Event:
    """The newest event of a series, with a sentence about it."""

    labels: Labels
    t_ms: int
    score: float
    text: str


class Watcher:
    """Scores the newest values of chosen series each time ``look`` is called.

    ``look`` is called from one thread; everything else may be called from any.
    """

    def __init__(self, monitor: PerformanceMonitor, config: Config, detector: Detector) -> None:
        self._monitor, self._config = monitor, config
        self._lock = threading.Lock()
        self._watch = Watch(detector)
        self._began_ms = self._chosen_ms = self._looked_ms = 0
        self._blank()
        self.generation = 0

    def _blank(self) -> None:
        n = len(self._watch)
        self.series: list[Series] = []
        self._refs = np.empty(0, np.int64)
        self._counters = np.zeros(n, bool)
        self._seen_ms, self._before = np.zeros(n), np.full(n, np.nan)
        self._alarm_ms, self._alarm_score = np.full(n, -np.inf), np.zeros(n)
        self._scores = np.zeros(n)
        self._groups: list[tuple[str, NDArray[np.int64]]] = []

    @property
    def groups(self) -> list[str]:
        """Names of the groups: ``all``, an area of metrics, or ``label=value``."""
        return [name for name, _ in self._groups]

    def follow(self, config: Config) -> None:
        """Take over which series to watch; the next look chooses anew."""
        with self._lock:
            if config != self._config:
                self._config, self._chosen_ms = config, 0

    def look(self, now_ms: int) -> NDArray[np.float64]:
        """float64[series + groups]: scores, then shares. A second look at one time changes
        nothing."""
        with self._lock:
            if now_ms != self._looked_ms:
                self._began_ms = self._began_ms or now_ms
                starting = abs(now_ms - self._began_ms) < CHOOSE_MS  # series still turn up
                if starting or abs(now_ms - self._chosen_ms) >= CHOOSE_MS:
                    self._choose(now_ms)
                self._score(now_ms)
                self._looked_ms = now_ms
            recent = now_ms - self._alarm_ms <= RECENT_MS
            shares = [float(recent[members].mean()) for _, members in self._groups]
            return np.append(self._scores, shares)

    def _score(self, now_ms: int) -> None:
        times, values, _, _ = self._monitor.latest.get(self._refs)
        fresh = (times > self._seen_ms) & (now_ms - times < GONE_MS)
        passed = np.where(self._seen_ms > 0, times - self._seen_ms, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = (values - self._before) / passed * 1000.0
        rates[rates < 0] = np.nan  # a reset
        given = np.where(self._counters, rates, values)
        self._seen_ms[fresh], self._before[fresh] = times[fresh], values[fresh]
        scores = self._watch.update(now_ms, np.where(fresh, given, np.nan))
        self._scores = np.where(fresh, scores, self._scores)
        loud = fresh & (scores >= 0.5)
        self._alarm_ms[loud], self._alarm_score[loud] = now_ms, scores[loud]

    def _choose(self, now_ms: int) -> None:
        self._chosen_ms = now_ms
        found: dict[Ref, Series] = {}
        for text in self._config.watch:
            room = self._config.max_series - len(found)
            for one in self._monitor.store.select(parse_selector(text), now_ms - GONE_MS, None):
                if room > 0 and one.ref not in found and not one.labels.name.startswith(OWN):
                    found[one.ref] = one
                    room -= 1
        kept = [i for i, one in enumerate(self.series) if one.ref in found]
        if len(kept) < len(self.series):
            self._watch.remove(sorted(set(range(len(self.series))) - set(kept)))
        here = {self.series[i].ref for i in kept}
        new = [one for ref, one in found.items() if ref not in here]
        if not new and len(kept) == len(self.series):
            return
        self._watch.add(len(new))
        self.series = [self.series[i] for i in kept] + new
        self._refs = np.array([one.ref for one in self.series], np.int64)
        self._counters = np.array([o.metric.kind is MetricKind.COUNTER for o in self.series], bool)

        def carried(rows: NDArray[np.float64], fill: float) -> NDArray[np.float64]:
            return np.append(rows[kept], np.full(len(new), fill))

        self._seen_ms, self._before = carried(self._seen_ms, 0.0), carried(self._before, np.nan)
        self._alarm_ms = carried(self._alarm_ms, -np.inf)
        self._alarm_score, self._scores = carried(self._alarm_score, 0.0), carried(self._scores, 0)
        self._groups = _groups(self.series)
        self.generation += 1

    def events(self) -> list[Event]:
        """The newest event of each series that had one, the newest first."""
        with self._lock:
            found = [
                Event(self.series[i].labels, int(self._alarm_ms[i]), float(self._alarm_score[i]),
                      self._text(i))
                for i in np.flatnonzero(np.isfinite(self._alarm_ms)).tolist()
            ]  # fmt: skip
        return sorted(found, key=lambda event: -event.t_ms)

    def _text(self, i: int) -> str:
        detector = self._watch.detector
        if not isinstance(detector, TeachableDetector):
            return ""
        one = self.series[i]
        unit = one.metric.unit + ("/s" if self._counters[i] else "")
        return detector.explain(self._watch.state, i, str(one.labels), unit)

    def accept(self, series: str) -> bool:
        """The newest event of the series with these labels was fine; False if it has none.

        Raises ValueError if the detector cannot learn.
        """
        with self._lock:
            detector = self._watch.detector
            if not isinstance(detector, TeachableDetector):
                raise ValueError(f"the detector {detector.name} cannot be told")
            for i, one in enumerate(self.series):
                if str(one.labels) == series and np.isfinite(self._alarm_ms[i]):
                    detector.accept(self._watch.state, i)
                    self._alarm_ms[i] = -np.inf
                    return True
        return False

    def save(self, path: Path) -> None:
        """Keep what is known of the series. Raises OSError."""
        with self._lock:
            kept = {f"state_{name}": rows for name, rows in self._watch.save().items()}
            labels = [str(one.labels) for one in self.series]
        target = path.with_suffix(".tmp.npz")
        kept["detector"] = np.array(self._watch.detector.name)
        kept["series"] = np.array(labels, dtype=np.str_)
        np.savez_compressed(target, allow_pickle=False, **kept)
        target.chmod(0o600)
        target.replace(path)

    def load(self, path: Path, now_ms: int) -> None:
        """Choose the series, and go on from what was kept of those that are still there.

        Raises OSError, ValueError, KeyError, EOFError or BadZipFile for a file that cannot be
        used; all then start anew.
        """
        with self._lock, np.load(path, allow_pickle=False) as file:
            name = self._watch.detector.name
            if str(file["detector"]) != name:
                raise ValueError(f"it is of the detector {file['detector']}, not {name}")
            known = Watch(self._watch.detector)
            known.restore({key[6:]: file[key] for key in file.files if key.startswith("state_")})
            rows = {text: i for i, text in enumerate(file["series"].tolist())}
            self._choose(now_ms)
            here = [(i, rows[str(o.labels)]) for i, o in enumerate(self.series)
                    if str(o.labels) in rows]  # fmt: skip
            if here:
                mine, theirs = map(np.array, zip(*here, strict=True))
                for part, array in self._watch.state.items():
                    array[mine] = known.state[part][theirs]


def _groups(series: Sequence[Series]) -> list[tuple[str, NDArray[np.int64]]]:
    members: dict[str, list[int]] = {}
    for i, one in enumerate(series):
        names = ["all", one.labels.name.partition("_")[0]]
        names += [f"{label}={one.labels.get(label)}" for label in GROUP_LABELS
                  if one.labels.get(label)]  # fmt: skip
        for name in names:
            if name in members or len(members) < MAX_GROUPS:
                members.setdefault(name, []).append(i)
    return [(name, np.array(rows, np.int64)) for name, rows in members.items()]


class _Place:
    """Where the source and the routes find the watcher of the monitor that runs."""

    watcher: Watcher | None = None


PLACE = _Place()


class Watching:
    """Makes a watcher when the monitor starts, and keeps what it knows when the monitor stops.

    Compiling the detector takes seconds the first time: that is done in a thread of its own, and
    until it is over nothing is scored.
    """

    name = "anomaly"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._thread: threading.Thread | None = None
        self._path = Path()
        self._stopping = threading.Event()
        self.problem: Problem | None = None

    def start(self, monitor: PerformanceMonitor) -> None:
        """Raises LookupError if there is no such detector."""
        detector = find_detector(monitor.plugins, self._config.detector)
        for text in self._config.watch:
            parse_selector(text)
        self._path = monitor.config.monitor.directory / FILE
        self._stopping.clear()
        failed = monitor.meter.counter(
            "barograph_anomaly_restore_errors_total", "Kept states that could not be used"
        )

        def prepare() -> None:
            warm = Watch(detector, 2)
            warm.update(0, np.zeros(2))
            watcher = Watcher(monitor, self._config, detector)
            try:
                watcher.load(self._path, monitor.clock.now_ms())
            except FileNotFoundError:
                pass  # the first run
            except (OSError, ValueError, KeyError, EOFError, BadZipFile):
                failed.add()
            if not self._stopping.is_set():
                PLACE.watcher = watcher

        self._thread = threading.Thread(target=prepare, name="barograph-anomaly", daemon=True)
        self._thread.start()

    def stop(self, deadline_s: float) -> None:
        """Raises OSError if what is known cannot be kept."""
        self._stopping.set()
        until = time.monotonic() + deadline_s / 2
        if self._thread is not None:
            self._thread.join(max(until - time.monotonic(), 0.0))
        watcher, PLACE.watcher = PLACE.watcher, None
        if watcher is not None and watcher.series:
            watcher.save(self._path)
