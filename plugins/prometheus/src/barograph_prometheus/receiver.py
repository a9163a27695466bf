"""The remote write receiver, versions 1.0 and 2.0: POST /api/v1/write.

See the Prometheus Remote-Write specifications. 204: everything is stored, and stays over a
``kill -9``. 400: something in the request can never be stored (what can is); do not send it again.
413, 415: the same, for its size or its kind. 503: not now; send it again. To version 2.0 headers
tell how much was stored.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

import attrs
import cramjam
import numpy as np

from barograph.contracts import Request, Response, StoreError
from barograph.model import Batch, Labels, Metric
from barograph_prometheus import wire
from barograph_prometheus.families import Families, described
from barograph_prometheus.kernels import Kernels
from barograph_prometheus.labelling import REASONS, BadLabels, LabelLimits, checked
from barograph_prometheus.refusals import Refused, refusal
from barograph_prometheus.sender_limits import NO_ROOM, verdict, within
from barograph_prometheus.wire import BadMessage, Decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from barograph.monitor import PerformanceMonitor
    from barograph.senders import Sender
    from barograph_prometheus import Config
    from barograph_prometheus.known import KnownSeries

MAX_BODY = 8 * 2**20
MAX_DECODED = 32 * 2**20
"""Bytes of a request, packed and unpacked."""

LOAD_SECONDS = 8.0
"""How long the first requests wait for the compiled kernels."""

MAX_SETS = 256
"""Sets of series whose refs are kept, so that the store meets the same array again."""

MAX_GROUPS = 64
"""Different times in a request up to which its samples are stored a time at once."""

AHEAD_MS = 10 * 60_000
"""A sample may be so far in the future."""

PROTOBUF = "application/x-protobuf"
MESSAGES = {"": 1, "prometheus.writerequest": 1, "io.prometheus.write.v2.request": 2}
"""Versions by the content type's parameter ``proto``, in small letters."""

PATH = "/api/v1/write"


class Receiver:
    """Decodes, interns, judges and stores what senders write."""

    def __init__(self, config: Config) -> None:
        self._oldest_ms = round(config.write_oldest * 1000)
        self._limits = LabelLimits(
            config.max_labels, config.max_label_chars, config.max_label_chars
        )
        self._most = config.write_max_series
        self._families = Families()
        self._lock = threading.RLock()
        self._known: KnownSeries | None = None
        self._sets: OrderedDict[bytes, NDArray[np.int64]] = OrderedDict()
        self._monitor: PerformanceMonitor | None = None
        self._kernels = Kernels("known", "decoding")
        self._version_2 = Kernels("decoding_v2")

    def __call__(self, request: Request) -> Response:
        """The answer to one request."""
        try:
            response = self._answer(request)
        except StoreError as error:
            response = refusal(503, f"the samples were not stored: {error}")
        except BadMessage as error:
            response = refusal(400, f"this is no WriteRequest: {error}")
        self._count(request.monitor, response.status)
        return response

    def _answer(self, request: Request) -> Response:
        encoding = request.headers.get("content-encoding", "snappy").strip().lower()
        version = version_of(request.content_type)
        if not version:
            return refusal(415, f"send {PROTOBUF} with a prometheus.WriteRequest (version 1) or an "
                           "io.prometheus.write.v2.Request (version 2)")  # fmt: skip
        if encoding != "snappy":
            return refusal(415, "send the body in snappy's block format")
        size, _ = wire.varint(request.body, 0, len(request.body))
        if size > MAX_DECODED:
            return refusal(413, f"a request of {size} bytes; at most {MAX_DECODED}")
        try:
            body = bytes(cramjam.snappy.decompress_raw(request.body))
        except cramjam.DecompressionError as error:
            return refusal(400, f"the body is not snappy: {error}")
        if not self._kernels.ready(LOAD_SECONDS):
            return refusal(503, self._kernels.told)
        decoded: Decoded
        if version == 2:
            if not self._version_2.ready(LOAD_SECONDS):
                return refusal(503, self._version_2.told)
            body, decoded = self._version_2["decoding_v2"].decode(body)
        else:
            decoded = self._kernels["decoding"].decode(body)
            if decoded.scattered:
                body = wire.gathered(body)
                decoded = self._kernels["decoding"].decode(body)
        return self._store(request, body, decoded, version)

    # --- storing ------------------------------------------------------------------------------

    def _store(self, request: Request, body: bytes, decoded: Decoded, version: int) -> Response:
        monitor, refused = request.monitor, Refused()
        counts: Counter[str] = Counter(exemplars=decoded.exemplars)
        with self._lock:
            for start, end in decoded.metadata:
                self._families.add(wire.metadata_at(body, start, end))
            known = self._known_of(monitor)
            now_ms = monitor.clock.now_ms()
            entries = self._entries(request, known, body, decoded, now_ms, refused)
            batches = self._batches(known, decoded, entries, now_ms, refused, counts)
        if batches:
            monitor.ingest(batches)
            counts["samples"] = sum(map(len, batches))
        if version == 2:  # which has no 2xx for what is left out
            refused.add("histogram", decoded.histograms, "native histograms are not stored")
        response = refusal(400, str(refused)) if refused.counts else Response(b"", "", 204)
        if version == 1:
            refused.add("histogram", decoded.histograms)
        else:
            response = attrs.evolve(response, headers=written(counts["samples"]))
        self._tell(monitor, counts, refused)
        return response

    def _known_of(self, monitor: PerformanceMonitor) -> KnownSeries:
        """The known series of this monitor's store; refs of another's mean nothing."""
        if self._monitor is not monitor or self._known is None:
            self._monitor, self._known = monitor, self._kernels["known"].KnownSeries(self._most)
            self._sets.clear()
        assert self._known is not None
        return self._known

    def _entries(
        self, request: Request, known: KnownSeries, body: bytes, decoded: Decoded, now_ms: int,
        refused: Refused,
    ) -> NDArray[np.int64]:  # fmt: skip
        """The entry of each series; below 0 for one that may not be written (``NO_ROOM``)."""
        data = np.frombuffer(body, np.uint8)
        entries, missing = known.find(data, decoded.starts, decoded.ends)
        if missing:
            new = self._new(request.sender, body, decoded, entries, now_ms, refused)
            if new and known.room(len(new), sum(map(len, new)), now_ms):
                good = [one for one in new.values() if not isinstance(one, int)]
                refs = iter(request.monitor.store.intern(good).tolist() if good else [])
                found = [one if isinstance(one, int) else next(refs) for one in new.values()]
                known.add(list(new), found)
            entries = known.find(data, decoded.starts, decoded.ends)[0]
        if request.sender is not None:
            within(request.sender, body, decoded, known, entries, now_ms, refused)
        return entries

    def _new(
        self, sender: Sender | None, body: bytes, decoded: Decoded, entries: NDArray[np.int64],
        now_ms: int, refused: Refused,
    ) -> dict[bytes, int | tuple[Labels, Metric]]:  # fmt: skip
        """What is unknown yet, by its label bytes; of a sender only what it may write."""
        new: dict[bytes, int | tuple[Labels, Metric]] = {}
        room = len(entries) if sender is None else sender.room(now_ms)
        for i in np.flatnonzero(entries < 0).tolist():
            span = body[decoded.starts[i] : decoded.ends[i]]
            if span in new or len(new) >= room:
                continue
            if sender is None or not verdict(sender, span, refused):
                new[span] = self._look(span, i, decoded, refused)
        return new

    def _look(
        self, span: bytes, i: int, decoded: Decoded, refused: Refused
    ) -> int | tuple[Labels, Metric]:
        """Labels and metric of a new series, or minus the place of why they are refused."""
        try:
            labels = checked(wire.labels_at(span, 0, len(span)), self._limits)
        except BadLabels as error:
            refused.example(error.reason, str(error))
            return -1 - REASONS.index(error.reason)
        said = None if decoded.described is None else decoded.described(i)
        if said is None or (said.type == wire.TYPES[0] and not said.help):
            return labels, self._families.metric(labels.name)
        return labels, described(labels.name, said)

    def _batches(
        self, known: KnownSeries, decoded: Decoded, entries: NDArray[np.int64], now_ms: int,
        refused: Refused, counts: Counter[str],
    ) -> list[Batch]:  # fmt: skip
        """What may be stored of a request, as batches in the order of their times."""
        series, t_ms, values = decoded.series, decoded.t_ms, decoded.values
        if not len(series):
            return []
        refs = np.empty(len(series), np.int64)
        found = np.zeros(6, np.int64)
        self._kernels["decoding"].judge(
            entries, series, t_ms, now_ms - self._oldest_ms, now_ms + AHEAD_MS, known.refs,
            known.newest, refs, found,
        )  # fmt: skip
        old, new, bad, late, same, mixed = found.tolist()
        counts["late"], counts["same_time"] = late, same
        refused.add("too_old", old, f"samples older than {self._oldest_ms // 1000} s")
        refused.add("too_new", new, f"samples over {AHEAD_MS // 1000} s in the future")
        if bad:
            self._tell_bad(known, entries[series], refused)
        if old or new or bad:
            good = refs > 0
            refs, t_ms, values = refs[good], t_ms[good], values[good]
        if not len(refs):
            return []
        if not mixed:
            return [Batch(self._same(refs), int(t_ms[0]), values)]
        return self._by_time(refs, t_ms, values)

    def _tell_bad(self, known: KnownSeries, entries: NDArray[np.int64], refused: Refused) -> None:
        room = int((entries == NO_ROOM).sum())
        refused.add("too_many_series", room, f"there are {self._most} series already")
        codes, each = np.unique(entries[entries < NO_ROOM], return_counts=True)
        for code, n in zip(codes.tolist(), each.tolist(), strict=True):
            refused.add(REASONS[NO_ROOM - 1 - code], n)
        codes, each = np.unique(known.refs[entries[entries >= 0]], return_counts=True)
        for code, n in zip(codes.tolist(), each.tolist(), strict=True):
            if code < 0:
                refused.add(REASONS[-1 - code], n)

    def _by_time(
        self, refs: NDArray[np.int64], t_ms: NDArray[np.int64], values: NDArray[np.float64]
    ) -> list[Batch]:
        """A batch for each time, or one for all if there are many."""
        order = np.argsort(t_ms, kind="stable")
        times = t_ms[order]
        cuts = (np.flatnonzero(np.diff(times)) + 1).tolist()
        if len(cuts) >= min(MAX_GROUPS, len(refs) // 8 + 1):
            return [Batch(refs, t_ms, values)]
        parts = itertools.pairwise([0, *cuts, len(times)])
        return [
            Batch(self._same(refs[order[a:b]]), int(times[a]), values[order[a:b]]) for a, b in parts
        ]

    def _same(self, refs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The array that stands for this sequence of refs: the store knows it by identity."""
        key = refs.tobytes()
        known = self._sets.get(key)
        if known is not None:
            self._sets.move_to_end(key)
            return known
        self._sets[key] = refs
        if len(self._sets) > MAX_SETS:
            self._sets.popitem(last=False)
        return refs

    # --- counting -----------------------------------------------------------------------------

    def _count(self, monitor: PerformanceMonitor, status: int) -> None:
        with self._lock:
            monitor.meter.counter(
                "barograph_remote_write_requests_total", "Requests of remote write, by answer",
                status=str(status),
            ).add()  # fmt: skip

    def _tell(self, monitor: PerformanceMonitor, counts: Counter[str], refused: Refused) -> None:
        meter = monitor.meter
        with self._lock:
            for what, n in counts.items():
                if n:
                    name = f"barograph_remote_write_{what}_total"
                    meter.counter(name, _COUNTED[what]).add(n)
            for why, n in refused.counts.items():
                meter.counter(
                    "barograph_remote_write_dropped_total", "Samples that were not stored",
                    reason=why,
                ).add(n)  # fmt: skip
            known = 0 if self._known is None else self._known.count
            meter.gauge("barograph_remote_write_series", "Series that senders write").set(known)


def version_of(content_type: str) -> int:
    """1 or 2, as a content type says; 0 if it is another's."""
    kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if kind not in (PROTOBUF, ""):
        return 0
    named = [p.removeprefix("proto=").strip('"') for p in parameters if p.startswith("proto=")]
    return MESSAGES.get(named[0] if named else "", 0)


def written(samples: int) -> dict[str, str]:
    """The headers that tell a sender of version 2.0 what was stored."""
    counts = {"Samples": samples, "Histograms": 0, "Exemplars": 0}
    return {f"X-Prometheus-Remote-Write-{what}-Written": str(n) for what, n in counts.items()}


_COUNTED = {
    "samples": "Samples that senders wrote and that are stored",
    "late": "Samples that came after a newer one of their series; they are stored",
    "same_time": "Samples at the time of another of their series; the later written is stored",
    "exemplars": "Exemplars that came; they are not stored",
}
