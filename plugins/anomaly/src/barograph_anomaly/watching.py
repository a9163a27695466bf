"""The series under watch in a running monitor: which, their newest values, scores and events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np

from barograph.contracts import Problem, TeachableDetector
from barograph.detection import Watch, find_detector
from barograph.model import MetricKind, Ref, Series
from barograph.query import parse_selector
from barograph_anomaly.telling import (
    KIND,
    LOUDER,
    MAX_TOLD,
    QUIET_MS,
    TELL_MS,
    Event,
    Teller,
    fingerprint,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.contracts import Detector
    from barograph.findings import Finding
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

WARM = 5000
"""Series of the first update, or ``max_series`` if that is less: as many as make a difference."""

OWN = "barograph_anomaly_"


class Watcher:
    """Scores the newest values of chosen series each time ``look`` is called, and reports events.

    ``others``: names of detectors that may have watched before. ``look`` is called from one
    thread; everything else may be called from any.
    """

    def __init__(
        self, monitor: PerformanceMonitor, config: Config, detector: Detector,
        others: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._monitor, self._config = monitor, config
        self._teller = Teller(
            monitor.findings, detector.name, others, float(config.interval),
            teachable=isinstance(detector, TeachableDetector),
        )  # fmt: skip
        self._untold = monitor.meter.counter(
            "barograph_anomaly_untold_total", "Alarms that were too many at one time to be told"
        )
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
        self._alarm_ms = np.full(n, -np.inf)  # the newest alarm; none, once it was fine
        # Of the newest event: first and newest alarm, how many, greatest score, newest value.
        self._first_ms, self._heard_ms = np.full(n, -np.inf), np.full(n, -np.inf)
        self._alarms, self._peak, self._value = np.zeros(n), np.zeros(n), np.zeros(n)
        self._taught_ms = np.full(n, -np.inf)  # the newest dismissal that was learnt
        # Whether there is something to tell; when it was told last, and with what score.
        self._owed, self._told_ms, self._told_peak = np.zeros(n, bool), np.zeros(n), np.zeros(n)
        self._scores = np.zeros(n)
        self._groups: list[tuple[str, NDArray[np.int64]]] = []

    @property
    def detector(self) -> str:
        """The name of the detector."""
        return self._watch.detector.name

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
        told: list[Event] = []
        lasting: set[str] | None = None
        with self._lock:
            fresh = now_ms != self._looked_ms
            if fresh:
                self._began_ms = self._began_ms or now_ms
                starting = abs(now_ms - self._began_ms) < CHOOSE_MS  # series still turn up
                if starting or abs(now_ms - self._chosen_ms) >= CHOOSE_MS:
                    self._choose(now_ms)
                told = self._score(now_ms)
                self._looked_ms = now_ms
                if self._teller.settles(now_ms):
                    heard = np.flatnonzero(abs(now_ms - self._heard_ms) <= QUIET_MS).tolist()
                    lasting = {fingerprint(self.series[i].labels) for i in heard}
            recent = now_ms - self._alarm_ms <= RECENT_MS
            shares = [float(recent[members].mean()) for _, members in self._groups]
            out = np.append(self._scores, shares)
        if fresh:  # without the lock: who listens to findings may ask this watcher
            self._teller.tell(told)
            if lasting is not None:
                self._teller.settle(lasting, now_ms)
        return out

    def _score(self, now_ms: int) -> list[Event]:
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
        loud = fresh & (scores >= 0.5) & np.isfinite(given)
        self._alarm_ms[loud] = now_ms
        begins = loud & (abs(now_ms - self._heard_ms) > QUIET_MS)
        self._first_ms[begins], self._alarms[begins], self._peak[begins] = now_ms, 0, 0.0
        self._first_ms[loud] = np.minimum(self._first_ms[loud], now_ms)  # the clock was set back
        self._heard_ms[loud], self._value[loud] = now_ms, given[loud]
        self._alarms[loud] += 1
        self._peak[loud] = np.maximum(self._peak[loud], scores[loud])
        self._told_peak[begins], self._owed[loud] = -1.0, True
        louder = self._peak >= self._told_peak + LOUDER
        due = self._owed & (louder | (abs(now_ms - self._told_ms) >= TELL_MS))
        self._owed[due], self._told_ms[due], self._told_peak[due] = False, now_ms, self._peak[due]
        rows = np.flatnonzero(due)
        if len(rows) > MAX_TOLD:
            self._untold.add(len(rows) - MAX_TOLD)
            rows = rows[np.argsort(-self._peak[rows], kind="stable")[:MAX_TOLD]]
        return [self._event(i) for i in rows.tolist()]

    def _event(self, i: int) -> Event:
        return Event(
            self.series[i], bool(self._counters[i]), int(self._first_ms[i]), int(self._heard_ms[i]),
            int(self._alarms[i]), float(self._peak[i]), float(self._value[i]), self._text(i),
        )  # fmt: skip

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
        self._scores = carried(self._scores, 0.0)
        self._first_ms = carried(self._first_ms, -np.inf)
        self._heard_ms = carried(self._heard_ms, -np.inf)
        self._alarms, self._peak = carried(self._alarms, 0.0), carried(self._peak, 0.0)
        self._value, self._taught_ms = carried(self._value, 0.0), carried(self._taught_ms, -np.inf)
        self._owed = carried(self._owed.astype(float), 0.0) > 0
        self._told_ms, self._told_peak = carried(self._told_ms, 0.0), carried(self._told_peak, 0.0)
        self._groups = _groups(self.series)
        self.generation += 1

    def events(self) -> list[Event]:
        """The newest event of each series that had one, the newest first."""
        with self._lock:
            found = [self._event(i) for i in np.flatnonzero(np.isfinite(self._alarm_ms)).tolist()]
        return sorted(found, key=lambda event: -event.end_ms)

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

    def dismissed(self, finding: Finding) -> None:
        """A person says that a finding was fine: learn it, if it is of the newest event."""
        change = finding.history[-1]
        seen = finding.observation
        if (finding.source, seen.kind) != (self._watch.detector.name, KIND):
            return
        if change.state != "dismissed" or finding.state != "dismissed":
            return
        with self._lock:
            for i, one in enumerate(self.series):
                if one.labels == seen.labels and self._heard_ms[i] <= change.t_ms:
                    self._learn(i, change.t_ms)

    def _learn(self, i: int, t_ms: int) -> None:
        # What no alarm of this run has told was told before the start: the state knows it still.
        told = np.isfinite(self._alarm_ms[i]) or not np.isfinite(self._heard_ms[i])
        if told and t_ms > self._taught_ms[i]:
            self._taught_ms[i], self._alarm_ms[i] = t_ms, -np.inf
            if isinstance(self._watch.detector, TeachableDetector):
                self._watch.detector.accept(self._watch.state, i)

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

    A detector may compile what it needs for so many series, which takes seconds the first time:
    that is done in a thread of its own, and until it is over nothing is scored.
    """

    name = "anomaly"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._thread: threading.Thread | None = None
        self._path = Path()
        self._stopping = threading.Event()
        self._deafen: Callable[[], None] | None = None
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

        others = [one.name for _, one in monitor.plugins.call("barograph_detectors")]

        def listen(finding: Finding) -> None:
            watcher = PLACE.watcher
            if watcher is not None and finding.state == "dismissed":
                watcher.dismissed(finding)

        self._deafen = monitor.findings.listen(listen)

        def prepare() -> None:
            most = min(self._config.max_series, WARM)
            Watch(detector, most).update(0, np.zeros(most))
            watcher = Watcher(monitor, self._config, detector, others)
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
        if self._deafen is not None:
            self._deafen()
        if self._thread is not None:
            self._thread.join(max(until - time.monotonic(), 0.0))
        watcher, PLACE.watcher = PLACE.watcher, None
        if watcher is not None and watcher.series:
            watcher.save(self._path)
