"""What the dashboard shows of the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from barograph.contracts import WidgetSpec
from barograph.query import RangeQuery

if TYPE_CHECKING:
    from barograph.contracts import Widget
    from barograph.monitor import PerformanceMonitor


@attrs.frozen
class SpecWidget:
    """A widget that its description says all about."""

    description: WidgetSpec

    def spec(self) -> WidgetSpec:
        return self.description

    def data(
        self, monitor: PerformanceMonitor, start_ms: int, end_ms: int, points: int
    ) -> Mapping[str, Any] | None:
        return None


def q(match: str, **options: Any) -> tuple[RangeQuery, ...]:
    return (RangeQuery((match,), **options),)


def widgets() -> list[Widget]:
    """Overview tiles, then CPU, memory, disk and network."""
    tile = {"kind": "stat", "section": "Overview"}
    specs = [
        WidgetSpec("cpu", "CPU", q("system_cpu_utilization_ratio", legend="busy"), order=10,
                   unit="ratio", minimum=0, maximum=1, **tile,
                   help="Share of all CPUs' time that did work.",
                   bad="Near 100 % for minutes while work waits (see load and pressure)."),
        WidgetSpec("memory", "Memory", q("system_memory_utilization_ratio", legend="used"),
                   order=20, unit="ratio", minimum=0, maximum=1, **tile,
                   help="Share of memory that no program could get at once.",
                   bad="Above 90 %: the system will swap or end programs."),
        WidgetSpec("disk", "Fullest disk",
                   q("system_filesystem_utilization_ratio", agg="max", legend="used"), order=30,
                   unit="ratio", minimum=0, maximum=1, **tile,
                   help="The file system with the least space left.",
                   bad="Above 90 %: databases and logs stop when it is full."),
        WidgetSpec("net-in", "Received", q('system_network_io_bytes_total{direction="receive"}',
                   fn="rate", agg="sum", legend="in"), order=40, unit="bytes/s", **tile,
                   help="Bytes a second that came in over all interfaces.",
                   bad="At the link's capacity: requests wait."),
        WidgetSpec("net-out", "Sent", q('system_network_io_bytes_total{direction="transmit"}',
                   fn="rate", agg="sum", legend="out"), order=50, unit="bytes/s", **tile,
                   help="Bytes a second that went out over all interfaces.",
                   bad="At the link's capacity: answers wait."),
        WidgetSpec("load", "Load", q('system_load_average{period="1m"}', legend="1 min"), order=60,
                   **tile, help="Tasks that ran or waited to run, averaged over a minute.",
                   bad="Well above the number of CPUs: tasks wait their turn."),
        WidgetSpec("cpu-modes", "CPU by mode", q('system_cpu_time_seconds_total{mode!="idle"}',
                   fn="rate", agg="sum", by=("mode",), legend="{mode}"), section="CPU", order=10,
                   unit="cores", stacked=True, minimum=0, drill_by=("cpu", "mode"),
                   help="What the CPUs' time went to, in CPUs.",
                   bad="Much iowait: disks are too slow. Much steal: the host is overbooked."),
        WidgetSpec("cpu-cores", "CPU by core", q(
                   'system_cpu_time_seconds_total{mode!~"idle|iowait"}', fn="rate", agg="sum",
                   by=("cpu",), legend="CPU {cpu}"), section="CPU", order=20, unit="ratio",
                   minimum=0, maximum=1, drill_by=("mode",),
                   help="How busy each core is.",
                   bad="One core at 100 % and others idle: a program that cannot share its work."),
        WidgetSpec("load-average", "Load average", q("system_load_average", legend="{period}"),
                   section="CPU", order=30, minimum=0,
                   help="Tasks that ran or waited, averaged over 1, 5 and 15 minutes.",
                   bad="The short average far above the long one: load is rising."),
        WidgetSpec("cpu-pressure", "CPU pressure", q(
                   'system_pressure_stalled_seconds_total{resource="cpu"}', fn="rate",
                   legend="{kind}"), section="CPU", order=40, unit="ratio", minimum=0,
                   help="Share of time in which tasks were ready but had no CPU.",
                   bad="Above 10 %: programs are slowed for want of CPU."),
        WidgetSpec("memory-states", "Memory by state", q("system_memory_usage_bytes",
                   legend="{state}"), section="Memory", order=10, unit="bytes", stacked=True,
                   minimum=0, help="What memory holds; cached and buffers can be given back.",
                   bad="Used grows without end: a leak."),
        WidgetSpec("swap", "Swap", q("system_swap_usage_bytes", legend="{state}"),
                   section="Memory", order=20, unit="bytes", stacked=True, minimum=0,
                   help="Swap space in use and free.", bad="Used swap that grows: memory is short."),
        WidgetSpec("paging", "Swapping", q("system_paging_io_bytes_total", fn="rate",
                   legend="{direction}"), section="Memory", order=30, unit="bytes/s", minimum=0,
                   help="Bytes a second moved to and from swap.",
                   bad="More than now and then: everything becomes slow."),
        WidgetSpec("memory-pressure", "Memory pressure", q(
                   'system_pressure_stalled_seconds_total{resource="memory"}', fn="rate",
                   legend="{kind}"), section="Memory", order=40, unit="ratio", minimum=0,
                   help="Share of time in which tasks waited for memory.",
                   bad="Anything above a few per cent."),
        WidgetSpec("disk-io", "Disk throughput", q("system_disk_io_bytes_total", fn="rate",
                   agg="sum", by=("direction",), legend="{direction}"), section="Disk", order=10,
                   unit="bytes/s", minimum=0, drill_by=("device", "direction"),
                   help="Bytes read and written a second.", bad="Flat at the disk's limit."),
        WidgetSpec("disk-time", "Disk busy", q("system_disk_io_time_seconds_total", fn="rate",
                   legend="{device}"), section="Disk", order=20, unit="ratio", minimum=0,
                   drill_by=("device",), help="Share of time each disk had work to do.",
                   bad="Near 100 % on a single spinning disk: requests queue."),
        WidgetSpec("disk-ops", "Disk operations", q("system_disk_operations_total", fn="rate",
                   agg="sum", by=("direction",), legend="{direction}"), section="Disk", order=30,
                   unit="ops/s", minimum=0, drill_by=("device", "direction"),
                   help="Reads and writes a second.", bad="Flat at the disk's limit."),
        WidgetSpec("filesystems", "File systems", q("system_filesystem_utilization_ratio",
                   legend="{mountpoint}"), section="Disk", order=40, unit="ratio", minimum=0,
                   maximum=1, drill_by=("mountpoint",), help="How full each file system is.",
                   bad="Above 90 %, or rising steadily."),
        WidgetSpec("network-io", "Network throughput", q("system_network_io_bytes_total",
                   fn="rate", agg="sum", by=("direction",), legend="{direction}"),
                   section="Network", order=10, unit="bytes/s", minimum=0,
                   drill_by=("device", "direction"), help="Bytes received and sent a second.",
                   bad="Flat at the link's capacity."),
        WidgetSpec("network-packets", "Packets", q("system_network_packets_total", fn="rate",
                   agg="sum", by=("direction",), legend="{direction}"), section="Network",
                   order=20, unit="packets/s", minimum=0, drill_by=("device", "direction"),
                   help="Packets received and sent a second.",
                   bad="Many small packets: look for chatty programs."),
        WidgetSpec("network-errors", "Network errors and drops", (
                   RangeQuery(("system_network_errors_total",), "rate", "sum", legend="errors"),
                   RangeQuery(("system_network_dropped_total",), "rate", "sum", legend="dropped")),
                   section="Network", order=30, unit="packets/s", minimum=0, drill_by=("device",),
                   help="Packets lost or damaged a second.", bad="Anything steadily above zero."),
        WidgetSpec("io-pressure", "I/O pressure", q(
                   'system_pressure_stalled_seconds_total{resource="io"}', fn="rate",
                   legend="{kind}"), section="Disk", order=50, unit="ratio", minimum=0,
                   help="Share of time in which tasks waited for disks.",
                   bad="Above 10 %: storage slows programs down."),
    ]  # fmt: skip
    return [SpecWidget(spec) for spec in specs]
