"""The OTLP/HTTP receiver: POST /v1/metrics, protobuf or JSON, plain or gzip.

See the OpenTelemetry Protocol Specification, section OTLP/HTTP. 200: stored, but for what
``partial_success`` says; 400: not to be sent again; 503: to be sent again.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from barograph.contracts import Request, Response, StoreError
from barograph.model import Batch, Labels, Metric
from barograph_otlp.conversion import BadPoint, Converted, Converter, Limits

if TYPE_CHECKING:
    from barograph.monitor import PerformanceMonitor
    from barograph.senders import Sender
    from barograph_otlp import Config

PATH = "/v1/metrics"
MAX_BODY = 8 * 2**20
MAX_UNPACKED = 32 * 2**20
"""Bytes of a request, packed and unpacked."""

AHEAD_MS = 10 * 60_000
"""A point may be so far in the future."""

PROTOBUF, JSON = "application/x-protobuf", "application/json"


_UNREADABLE = (DecodeError, json_format.ParseError, json.JSONDecodeError, UnicodeDecodeError,
               RecursionError, TypeError, AttributeError)  # fmt: skip
"""What the readers raise for what they cannot read; the last two for JSON of an odd shape."""


class BadRequest(ValueError):
    """A request is answered with ``status``; the message says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Receiver:
    """Converts and stores what OpenTelemetry exporters send."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._monitor: PerformanceMonitor | None = None
        self._begin()

    def _begin(self) -> None:
        config = self._config
        self._converter = Converter(
            most=config.max_series, exponential=config.exponential_histograms == "convert",
            scope_labels=config.scope_labels, promoted=config.resource_labels,
        )  # fmt: skip
        self._refs: OrderedDict[Labels, tuple[int, int]] = OrderedDict()  # ref, last used in ms

    def __call__(self, request: Request) -> Response:
        """The answer to one request, in the request's own encoding."""
        kind = request.content_type.partition(";")[0].strip().lower()
        as_json = kind == JSON
        try:
            message = _message(request, kind)
            answer = self._take(request.monitor, message, request.sender)
            body = json_format.MessageToJson(answer).encode() if as_json else _bytes(answer)
            response = Response(body, JSON if as_json else PROTOBUF)
        except BadRequest as error:
            response = _failed(error.status, str(error), as_json=as_json)
        except StoreError as error:
            response = _failed(503, f"the points were not stored: {error}", as_json=as_json)
        with self._lock:
            request.monitor.meter.counter(
                "barograph_otlp_requests_total", "Requests of OTLP exporters, by answer",
                status=str(response.status),
            ).add()  # fmt: skip
        return response

    def _take(
        self, monitor: PerformanceMonitor, message: Any, sender: Sender | None
    ) -> ExportMetricsServiceResponse:
        now_ms = monitor.clock.now_ms()
        limits = self._limits(sender, now_ms)
        with self._lock:
            if self._monitor is not monitor:
                self._monitor = monitor
                self._begin()  # refs of another store mean nothing
            before = now_ms - round(self._config.forget_after * 1000)
            self._converter.totals.forget(before)
            self._forget(before)
            found = self._converter.convert(message, limits)
            batches = self._batches(monitor, found, sender, now_ms)
            # Under the lock: totals of differences must be stored in the order they grew.
            if batches:
                monitor.ingest(batches)
            self._tell(monitor, found)
        answer = ExportMetricsServiceResponse()
        if found.refused:
            answer.partial_success.rejected_data_points = min(
                sum(found.refused.values()), found.points
            )
            answer.partial_success.error_message = "; ".join(
                f"{n} refused: {found.examples[why]}" for why, n in sorted(found.refused.items())
            )
        return answer

    def _limits(self, sender: Sender | None, now_ms: int) -> Limits:
        """What is accepted of this sender's points."""
        oldest = now_ms - round(self._config.oldest * 1000)
        limits = Limits(oldest, now_ms + AHEAD_MS, now_ms, self._config.max_label_chars)
        if sender is None:
            return limits
        return attrs.evolve(
            limits, labels=min(limits.labels, sender.token.max_labels),
            label_chars=min(limits.label_chars, sender.token.max_label_chars),
            room=sender.room(now_ms),
        )  # fmt: skip

    def _batches(
        self, monitor: PerformanceMonitor, found: Converted, sender: Sender | None, now_ms: int
    ) -> list[Batch]:
        """Rows as batches, one for each time, in the order of time."""
        known = self._refs
        new: dict[Labels, Metric] = {}
        room = self._config.max_series - len(known)
        full = BadPoint("too_many_series", f"there are {self._config.max_series} series already")
        if sender is not None and (its_room := sender.room(now_ms)) < room:
            room, full = its_room, BadPoint("too_many_series", sender.full)
        for labels, metric, _, _ in found.rows:
            if labels not in known and labels not in new:
                if len(new) >= room:
                    found.refuse(full)
                else:
                    new[labels] = metric
        refs = monitor.store.intern(list(new.items())).tolist() if new else []
        known.update(zip(new, ((ref, now_ms) for ref in refs), strict=True))
        refused: set[int] = set()
        if sender is not None:
            refused = self._not_its_own(sender, found, now_ms)
            full = BadPoint("too_many_series", sender.full)
        by_time: dict[int, dict[int, float]] = {}
        for labels, _, t_ms, value in found.rows:
            entry = known.get(labels)
            if entry is not None and entry[0] in refused:
                found.refuse(full)
            elif entry is not None:
                known[labels] = (entry[0], now_ms)
                known.move_to_end(labels)
                by_time.setdefault(t_ms, {})[entry[0]] = value
        return [
            Batch(np.array(list(part), np.int64), t_ms, np.array(list(part.values()), np.float64))
            for t_ms, part in sorted(by_time.items())
        ]

    def _not_its_own(self, sender: Sender, found: Converted, now_ms: int) -> set[int]:
        """Refs of known series that a sender may not write: it has too many of its own."""
        known = self._refs
        refs = [known[labels][0] for labels, _, _, _ in found.rows if labels in known]
        wanted = np.array(refs, np.int64)
        return set(wanted[~sender.take(wanted, now_ms)].tolist()) if refs else set()

    def _forget(self, before_ms: int) -> None:
        known = self._refs
        while known and next(iter(known.values()))[1] < before_ms:
            known.popitem(last=False)

    def _tell(self, monitor: PerformanceMonitor, found: Converted) -> None:
        meter = monitor.meter
        meter.counter("barograph_otlp_points_total", "Data points that came").add(found.points)
        for why, n in found.refused.items():
            meter.counter("barograph_otlp_points_refused_total", "Data points that were not stored",
                          reason=why).add(n)  # fmt: skip
        meter.gauge("barograph_otlp_series", "Series that exporters send").set(len(self._refs))
        meter.gauge("barograph_otlp_delta_series",
                    "Series that come as differences and are added up").set(
            len(self._converter.totals)
        )  # fmt: skip


def _message(request: Request, kind: str) -> Any:
    """Raises BadRequest."""
    if kind not in (PROTOBUF, JSON):
        raise BadRequest(415, f"send {PROTOBUF} or {JSON}")
    body = request.body
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding == "gzip":
        body = unpacked(body)
    elif encoding not in ("", "identity"):
        raise BadRequest(415, "send the body plain or in gzip")
    message = ExportMetricsServiceRequest()
    try:
        if kind == JSON:
            tree = json.loads(body)
            if not isinstance(tree, dict):
                raise BadRequest(400, "a JSON object is wanted")
            json_format.ParseDict(tree, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
    except _UNREADABLE as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise BadRequest(400, f"this is no ExportMetricsServiceRequest: {told}") from None
    return message


def unpacked(body: bytes) -> bytes:
    """What a gzip body holds. Raises BadRequest."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        out = unpack.decompress(body, MAX_UNPACKED)
    except zlib.error as error:
        raise BadRequest(400, f"the body is not gzip: {error}") from None
    if unpack.unconsumed_tail:
        raise BadRequest(413, f"more than {MAX_UNPACKED} bytes when it is unpacked")
    if not unpack.eof:
        raise BadRequest(400, "the gzip body is cut off")
    return out


def _failed(status: int, message: str, *, as_json: bool) -> Response:
    """A google.rpc.Status with nothing but its message (field 2), in the request's encoding."""
    headers = {"retry-after": "1"} if status == 503 else {}
    if as_json:
        return Response(json.dumps({"message": message}).encode(), JSON, status, headers)
    text = message.encode()[:16_000]
    size, length = len(text), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    body = b"\x12" + length + bytes([size]) + text
    return Response(body, PROTOBUF, status, headers)


def _bytes(message: ExportMetricsServiceResponse) -> bytes:
    return bytes(message.SerializeToString())
