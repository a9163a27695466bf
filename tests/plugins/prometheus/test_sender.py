"""The sender: order, outages, refusals, restarts, against a storage with faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import pytest
from answering import Answer, Site
from fakes import eventually
from naive_wire import decode
from written import plain_monitor

from barograph import PerformanceMonitor
from barograph.config import Duration, Size
from barograph.model import Batch, Labels, Metric, MetricKind
from barograph_prometheus import wire
from barograph_prometheus.destination import Destination
from barograph_prometheus.relabel import Relabel
from barograph_prometheus.sender import FIRST_PAUSE_S, Sender

Sample = tuple[str, int, float]


class Storage:
    """Takes remote write; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.status = 204
        self.samples: list[Sample] = []
        self.metadata: dict[str, wire.Metadata] = {}
        self.headers: Any = {}
        self._lock = threading.Lock()
        self.site = Site(self._answer)

    def _answer(self, path: str, headers: Any, body: bytes) -> Answer:
        if self.status != 204:
            return self.status, b"not now", {}
        raw = bytes(cramjam.snappy.decompress_raw(body))
        found = decode(raw)
        with self._lock:
            self.headers = headers
            for i, t, v in zip(found.series, found.t_ms.tolist(), found.values, strict=True):
                pairs = wire.labels_at(raw, found.starts[i], found.ends[i])
                self.samples.append((str(Labels(tuple(pairs))), t, float(v)))
            for a, b in found.metadata:
                one = wire.metadata_at(raw, a, b)
                self.metadata[one.name] = one
        return 204, b"", {}

    @property
    def url(self) -> str:
        return f"http://{self.site.address}/api/v1/write"

    def of(self, name: str) -> list[tuple[int, float]]:
        with self._lock:
            return [(t, v) for n, t, v in self.samples if n.startswith(name)]


@pytest.fixture
def storage() -> Iterator[Storage]:
    found = Storage()
    yield found
    found.site.close()


def sender(storage: Storage, **options: Any) -> Sender:
    # Nothing of the monitor's own is sent: tests count what they stored.
    own = Relabel(source_labels=("__name__",), regex="barograph_.*", action="drop")
    options.setdefault("batch_deadline", Duration(0.1))
    rules = (own, *options.pop("write_relabel_configs", ()))
    return Sender(Destination(storage.url, write_relabel_configs=rules, **options))


def store(monitor: PerformanceMonitor, name: str, t_ms: int, value: float) -> None:
    metric = Metric(name, MetricKind.COUNTER, "things", "Some help")
    refs = monitor.store.intern([(Labels.of(name, {"a": "1"}), metric)])
    monitor.ingest([Batch(refs, t_ms, refs * 0.0 + value)])


def test_what_is_stored_is_sent_in_order_with_what_is_known_of_it(
    monitor: PerformanceMonitor, storage: Storage
) -> None:
    one = sender(storage, external_labels={"dc": "x", "a": "never"})
    one.start(monitor)
    now = monitor.clock.now_ms()
    for i in range(50):
        store(monitor, "m_total", now + i, float(i))
    eventually(lambda: len(storage.of("m_total")) == 50)
    one.stop(2.0)
    assert storage.of('m_total{a="1",dc="x"}') == [(now + i, float(i)) for i in range(50)]
    said = storage.metadata["m_total"]
    assert (said.type, said.unit, said.help) == ("counter", "things", "Some help")
    assert storage.headers["content-encoding"] == "snappy"
    assert monitor.meter.value("barograph_remote_write_sent_total",
                               destination=storage.site.address) == 50  # fmt: skip


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_outage_loses_nothing(
    monitor: PerformanceMonitor, storage: Storage, status: int
) -> None:
    storage.status = status
    one = sender(storage, samples_per_request=10)
    one.start(monitor)
    now = monitor.clock.now_ms()
    for i in range(100):
        store(monitor, "m", now + i, float(i))
    retries = ("barograph_remote_write_retries_total", storage.site.address)
    eventually(lambda: monitor.meter.value(retries[0], destination=retries[1]) >= 1)
    storage.status = 204
    eventually(lambda: len(storage.of("m{")) == 100, 10 + 4 * FIRST_PAUSE_S)
    one.stop(2.0)
    assert storage.of("m{") == [(now + i, float(i)) for i in range(100)]


def test_what_waits_is_sent_after_a_restart(tmp_path: Path, storage: Storage) -> None:
    storage.status = 503
    with plain_monitor(tmp_path) as monitor:
        one = sender(storage)
        one.start(monitor)
        now = monitor.clock.now_ms()
        for i in range(20):
            store(monitor, "m", now + i, float(i))
        one.stop(2.0)
    storage.status = 204
    with plain_monitor(tmp_path) as monitor:
        two = sender(storage)
        two.start(monitor)
        eventually(lambda: len(storage.of("m{")) == 20)
        two.stop(2.0)
    assert storage.of("m{") == [(now + i, float(i)) for i in range(20)]


def test_what_is_refused_for_good_is_dropped_and_the_next_is_sent(
    monitor: PerformanceMonitor, storage: Storage
) -> None:
    storage.status = 400
    one = sender(storage)
    one.start(monitor)
    now = monitor.clock.now_ms()
    store(monitor, "bad", now, 1.0)
    lost = {"destination": storage.site.address, "reason": "refused"}
    eventually(lambda: monitor.meter.value("barograph_remote_write_lost_total", **lost) >= 1)
    assert "400" in one.error
    storage.status = 204
    store(monitor, "good", now, 2.0)
    eventually(lambda: storage.of("good"))
    one.stop(2.0)
    assert storage.of("bad") == []


def test_a_queue_that_is_full_drops_the_oldest_and_counts_it(
    monitor: PerformanceMonitor, storage: Storage
) -> None:
    storage.status = 503
    one = sender(storage, queue_size=Size(2**20), samples_per_request=1000)
    one.start(monitor)
    names = [(Labels.of("m", {"i": f"{i:04}-{'x' * 900}"}), Metric("m")) for i in range(1000)]
    refs = monitor.store.intern(names)
    now = monitor.clock.now_ms()
    import numpy as np

    rng = np.random.default_rng(0)
    lost = {"destination": storage.site.address, "reason": "queue_full"}

    def fill() -> bool:
        nonlocal now
        now += 1
        monitor.ingest([Batch(refs, now, rng.normal(size=1000))])
        return monitor.meter.value("barograph_remote_write_lost_total", **lost) > 0

    eventually(fill, 30)
    used = monitor.meter.value("barograph_remote_write_queue_bytes",
                               destination=storage.site.address)  # fmt: skip
    assert used <= 2**20
    one.stop(5.0)


def test_rules_say_what_is_sent(monitor: PerformanceMonitor, storage: Storage) -> None:
    rules = (
        Relabel(source_labels=("__name__",), regex="secret.*", action="drop"),
        Relabel(regex="a", action="labeldrop"),
    )
    one = sender(storage, write_relabel_configs=rules)
    one.start(monitor)
    now = monitor.clock.now_ms()
    store(monitor, "secret", now, 1.0)
    store(monitor, "open", now, 1.0)
    eventually(lambda: storage.of("open"))
    one.stop(2.0)
    assert {name for name, _, _ in storage.samples} == {"open"}
