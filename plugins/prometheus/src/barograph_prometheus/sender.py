"""Sending what is stored to a Prometheus-compatible storage, by remote write 1.0.

Samples go from memory into a queue on disk once they fill a request, or have waited long enough,
and from there, in order, to the storage. What it does not take now (5xx, 429, no answer) is tried
again, with growing pauses; what it refuses for good (other 4xx) is dropped and counted.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cramjam
import numpy as np
import tenacity
import urllib3

from barograph import __version__
from barograph.contracts import StoreError
from barograph.model import Batch, Labels, MetricKind, Series
from barograph_prometheus import wire
from barograph_prometheus.destination import Destination
from barograph_prometheus.disk_queue import DiskQueue, Entry
from barograph_prometheus.fetching import ScrapeFailed, secret
from barograph_prometheus.relabel import relabeller

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor

MAX_WAITING = 500_000
"""Samples that wait in memory for the disk; beyond it the oldest are dropped."""

MAX_KNOWN = 1_000_000
"""Series whose encoded labels are kept."""

FIRST_PAUSE_S, MAX_PAUSE_S = 0.5, 30.0
POLL_S = 0.5
MAX_ANSWER = 2048
"""Bytes of an answer that are read."""


class TryAgain(Exception):
    """The storage does not take a request now. ``after_s``: when it wants it again."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Refused(Exception):
    """The storage will never take a request."""


class Sender:
    """One destination: a thread that queues, and one that sends. A lifecycle object."""

    def __init__(self, destination: Destination) -> None:
        self._to = destination
        self.name = f"prometheus-remote-write-{destination.label}"
        self._relabel = relabeller(destination.write_relabel_configs)
        self._lock = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self.error = ""

    # --- lifecycle ------------------------------------------------------------------------------

    def start(self, monitor: PerformanceMonitor) -> None:
        """Begin to take what is stored. Raises OSError if the queue's folder cannot be used."""
        self._monitor, self._stop = monitor, threading.Event()
        self._waiting: deque[Batch] = deque()
        self._count, self._since_s = 0, 0.0
        self._known: dict[int, bytes | None] = {}
        self._told: set[str] = set()
        folder = queue_folder(monitor.config.monitor.directory, self._to.url)
        self._queue = DiskQueue(folder, self._to.queue_size)
        tls: dict[str, Any] = {"ca_certs": self._to.ca_file} if self._to.ca_file else {}
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False, **tls)
        self._make_cells()
        self._forget = monitor.on_stored(self._taken)
        self._threads = [
            threading.Thread(target=work, name=f"barograph-{what}", daemon=True)
            for work, what in ((self._fill, "remote-write-queue"), (self._ship, "remote-write"))
        ]
        for thread in self._threads:
            thread.start()

    def _make_cells(self) -> None:
        meter, to = self._monitor.meter, self._to.label
        self._sent = meter.counter("barograph_remote_write_sent_total", "Samples that were sent",
                                   destination=to)  # fmt: skip
        self._retries = meter.counter("barograph_remote_write_retries_total",
                                      "Requests that were not taken and are tried again",
                                      destination=to)  # fmt: skip
        self._lost = {
            why: meter.counter("barograph_remote_write_lost_total",
                               "Samples that were not sent, by reason", destination=to, reason=why)
            for why in ("queue_full", "memory_full", "refused", "disk")
        }  # fmt: skip
        self._depth = meter.gauge("barograph_remote_write_queue_samples",
                                  "Samples that wait on disk", destination=to)  # fmt: skip
        self._bytes = meter.gauge("barograph_remote_write_queue_bytes",
                                  "Size of the queue on disk", "bytes", destination=to)  # fmt: skip
        self._show()

    def stop(self, deadline_s: float) -> None:
        """Put what waits in memory on disk and end; the rest is sent after the next start."""
        if self._stop.is_set() or not self._threads:
            return
        self._forget()
        self._stop.set()
        with self._lock:
            self._lock.notify_all()
        until = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._pool.clear()

    # --- from memory to disk --------------------------------------------------------------------

    def _taken(self, batches: list[Batch]) -> None:
        """What was stored; called by who stored it."""
        with self._lock:
            if not self._waiting:
                self._since_s = self._monitor.clock.monotonic()
            for batch in batches:
                self._waiting.append(batch)
                self._count += len(batch)
            while self._count > MAX_WAITING:
                gone = self._waiting.popleft()
                self._count -= len(gone)
                self._lost["memory_full"].add(len(gone))
            if self._count >= self._to.samples_per_request:
                self._lock.notify_all()

    def _fill(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                if not self._due():
                    self._lock.wait(POLL_S)
                taken = self._take() if self._due() else []
            self._put(taken)
        with self._lock:
            taken = self._take()
        self._put(taken)

    def _due(self) -> bool:
        if not self._waiting:
            return False
        waited = self._monitor.clock.monotonic() - self._since_s
        full = self._count >= self._to.samples_per_request
        return full or waited >= self._to.batch_deadline

    def _take(self) -> list[Batch]:
        taken = list(self._waiting)
        self._waiting.clear()
        self._count = 0
        return taken

    def _put(self, batches: Sequence[Batch]) -> None:
        """Encode batches into requests, onto the disk."""
        if not batches:
            return
        refs = np.concatenate([b.refs for b in batches])
        times = np.concatenate([np.broadcast_to(np.asarray(b.t_ms), len(b)) for b in batches])
        values = np.concatenate([b.values for b in batches])
        try:
            metadata = self._learn(refs)
            size = self._to.samples_per_request
            for a in range(0, len(refs), size):
                part = slice(a, a + size)
                self._put_request(refs[part], times[part], values[part], metadata)
                metadata = []
            self._lost["queue_full"].add(self._queue.dropped)
            self._queue.dropped = 0
        except (OSError, StoreError, UnicodeError) as error:
            self.error = f"the queue on disk does not take samples: {error}"
            self._lost["disk"].add(len(refs))
        self._show()

    def _put_request(
        self, refs: Any, times: Any, values: Any, metadata: list[wire.Metadata]
    ) -> None:
        order = np.argsort(refs, kind="stable")  # samples of a series together, in their order
        refs, times, values = refs[order], times[order], values[order]
        cuts = np.flatnonzero(np.diff(refs)) + 1
        parts: list[bytes] = []
        count = 0
        bounds = [0, *cuts.tolist(), len(refs)]
        for a, b in itertools.pairwise(bounds):
            labels = self._known.get(int(refs[a]))
            if labels is None:
                continue
            by_time = np.argsort(times[a:b], kind="stable")
            t_ms, each = times[a:b][by_time].tolist(), values[a:b][by_time].tolist()
            parts.append(wire.encode_series(labels, t_ms, each))
            count += int(b - a)
        if parts:
            body = bytes(cramjam.snappy.compress_raw(wire.encode(parts, metadata)))
            self._queue.put(Entry(body, count))

    def _learn(self, refs: Any) -> list[wire.Metadata]:
        """Encoded labels of series that are new; what is told of their metrics."""
        new = [ref for ref in np.unique(refs).tolist() if ref not in self._known]
        if len(self._known) + len(new) > MAX_KNOWN:
            self._known.clear()
            new = np.unique(refs).tolist()
        said: list[wire.Metadata] = []
        for series in self._monitor.store.series(new) if new else ():
            self._known[series.ref] = self._labels(series)
            metric = series.metric
            if metric.name not in self._told and len(self._told) < MAX_KNOWN:
                self._told.add(metric.name)
                kind = "counter" if metric.kind is MetricKind.COUNTER else "gauge"
                said.append(wire.Metadata(metric.name, kind, metric.help, metric.unit))
        for ref in new:
            self._known.setdefault(ref, None)
        return said

    def _labels(self, series: Series) -> bytes | None:
        """A series' labels as they are sent; None if it is not."""
        kept = self._relabel({**self._to.external_labels, **series.labels.as_dict()})
        if kept is None or "__name__" not in kept:
            return None
        return wire.encode_labels(Labels(tuple(sorted(kept.items()))))

    # --- from disk to the storage -----------------------------------------------------------------

    def _ship(self) -> None:
        while not self._stop.is_set():
            try:
                entry = self._queue.first()
                if entry is None:
                    self._monitor.clock.wait(self._stop, POLL_S)
                    continue
                self._deliver(entry)
            except OSError as error:
                self.error = f"the queue on disk cannot be read: {error}"
                self._monitor.clock.wait(self._stop, MAX_PAUSE_S)
            self._show()

    def _deliver(self, entry: Entry) -> None:
        """Send one entry until it is taken, refused or dropped from the queue, or this stops."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TryAgain), wait=_pause,
            stop=tenacity.stop_when_event_set(self._stop), before_sleep=self._not_taken,
            sleep=lambda seconds: _nothing(self._monitor.clock.wait(self._stop, seconds)),
        )  # fmt: skip
        try:
            retrying(self._send, entry)
        except tenacity.RetryError:
            return  # stopped: it stays on disk
        except Refused as error:
            self.error = str(error)
            if self._queue.drop_first(entry):
                self._lost["refused"].add(entry.samples)
        else:
            self.error = ""
            if self._queue.drop_first(entry):
                self._sent.add(entry.samples)

    def _not_taken(self, state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        self.error = str(state.outcome.exception())
        self._retries.add()
        self._show()

    def _send(self, entry: Entry) -> None:
        """Raises TryAgain, Refused."""
        try:
            answer = self._pool.request(
                "POST", self._to.url, body=entry.body, headers=self._headers(), redirect=False,
                timeout=urllib3.Timeout(total=float(self._to.timeout)), preload_content=False,
            )  # fmt: skip
            try:
                text = answer.read(MAX_ANSWER).decode("utf-8", "replace").strip()
                answer.drain_conn()
            finally:
                answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ScrapeFailed) as error:
            raise TryAgain(f"{type(error).__name__}: {error}"[:300]) from None
        if 200 <= answer.status < 300:
            return
        told = f"it answered {answer.status}: {text[:200]}"
        if answer.status == 429 or answer.status >= 500:
            after = answer.headers.get("retry-after", "")
            raise TryAgain(told, float(after) if after.isdigit() and len(after) < 6 else 0.0)
        raise Refused(told)

    def _headers(self) -> dict[str, str]:
        headers = {
            "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0", "User-Agent": f"Barograph/{__version__}",
        }  # fmt: skip
        if self._to.bearer_token_file:
            headers["Authorization"] = f"Bearer {secret(self._to.bearer_token_file)}"
        elif self._to.username:
            password = secret(self._to.password_file) if self._to.password_file else ""
            headers |= urllib3.make_headers(basic_auth=f"{self._to.username}:{password}")
        return headers

    def _show(self) -> None:
        self._depth.set(self._queue.samples)
        self._bytes.set(self._queue.nbytes)


_growing = tenacity.wait_exponential_jitter(multiplier=FIRST_PAUSE_S, max=MAX_PAUSE_S)


def _pause(state: tenacity.RetryCallState) -> float:
    """Growing pauses, or what the storage asked for."""
    error = state.outcome.exception() if state.outcome is not None else None
    wanted = error.after_s if isinstance(error, TryAgain) else 0.0
    return max(min(wanted, 10 * MAX_PAUSE_S), _growing(state))


def _nothing(_: object) -> None:
    return None


def queue_folder(directory: Path, url: str) -> Path:
    """Where a destination's queue lies in the data folder."""
    digest = hashlib.blake2b(url.encode(), digest_size=6).hexdigest()
    return directory / "remote-write" / digest
