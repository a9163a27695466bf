"""Requests of remote write, made and sent to a receiver; and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cramjam

from barograph import PerformanceMonitor, PluginManager
from barograph.config import Config, MonitorConfig, PluginSettings
from barograph.contracts import Request, Response
from barograph.model import Matcher
from barograph_prometheus import wire
from barograph_prometheus.receiver import Receiver

Pairs = Sequence[tuple[str, str]]

OTHERS = ("application", "otlp", "process", "prometheus", "runtime", "system", "template")


def plain_monitor(folder: Path) -> PerformanceMonitor:
    """Stores what it is given; has no sources but its own."""
    config = Config(
        monitor=MonitorConfig(data_dir=folder / "data"),
        plugins={name: PluginSettings(False) for name in OTHERS},
    )
    return PerformanceMonitor(config, plugins=PluginManager())


def series(labels: Mapping[str, str] | Pairs, *samples: tuple[int, float]) -> bytes:
    """One encoded TimeSeries; labels in the given order."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return wire.encode_series(
        wire.encode_pairs(pairs), [t for t, _ in samples], [v for _, v in samples]
    )


def packed(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def write(
    receiver: Receiver, monitor: PerformanceMonitor, parts: Iterable[bytes] | bytes, **headers: str
) -> Response:
    """The answer to one request."""
    body = parts if isinstance(parts, bytes) else packed(wire.encode(parts))
    given = {"content-encoding": "snappy", "content-type": "application/x-protobuf", **headers}
    kind = given["content-type"]
    return receiver(Request(monitor, "POST", "/api/v1/write", {}, body, kind, given))


def stored(monitor: PerformanceMonitor, name: str) -> dict[str, list[tuple[int, float]]]:
    """Samples by series of a metric, as text."""
    found = monitor.store.select([Matcher.equal("__name__", name)])
    columns = monitor.store.read([s.ref for s in found], 0, 2**61)
    return {
        str(s.labels): list(zip(c.t_ms.tolist(), c.values.tolist(), strict=True))
        for s, c in zip(found, columns, strict=True)
    }


def counted(monitor: PerformanceMonitor, name: str, **labels: Any) -> float:
    return monitor.meter.value(f"barograph_remote_write_{name}_total", **labels)
