"""The system sources: this machine, and machines that a test makes up."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from barograph import Sample
from barograph.query import parse_selector
from barograph.testing import check_metric_source, check_widget
from barograph_system import Config, barograph_metric_sources, barograph_widgets
from barograph_system.activity import ActivitySource
from barograph_system.slow import (
    ContainerSource,
    FilesystemSource,
    HostSource,
    SensorSource,
    plain,
)

Key = tuple[str, tuple[tuple[str, str], ...]]


def vector(source: ActivitySource) -> dict[Key, float]:
    values = source.collect_vector(0)
    if values is None:
        return {}
    labels = [(l.name, tuple(sorted(l.without_name().items()))) for l, _ in source.series()]
    return dict(zip(labels, values.tolist(), strict=True))


def key(name: str, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


def simple(samples: Any) -> dict[Key, float]:
    found: list[Sample] = list(samples)
    out = {key(s.name, **s.labels): s.value for s in found}
    assert len(out) == len(found), "a series twice"
    return out


def test_the_plugin_s_objects_keep_their_contracts() -> None:
    for source in barograph_metric_sources(Config()):
        check_metric_source(source)
    for widget in barograph_widgets():
        check_widget(widget)


# --- activity -----------------------------------------------------------------------------------


def test_this_machine_s_activity_agrees_with_psutil() -> None:
    source = ActivitySource(Config())
    source.series()
    found = vector(source)
    cpus = psutil.cpu_count()
    assert found[key("system_cpu_logical_count")] == cpus
    for i, times in enumerate(psutil.cpu_times(percpu=True)):
        assert found[
            key("system_cpu_time_seconds_total", cpu=str(i), mode="idle")
        ] == pytest.approx(times.idle, abs=5)
    memory = psutil.virtual_memory()
    assert found[key("system_memory_limit_bytes")] == memory.total
    states = sum(found[key("system_memory_usage_bytes", state=s)]
                 for s in ("used", "free", "cached", "buffers"))  # fmt: skip
    assert states == memory.total
    assert 0 < found[key("system_memory_utilization_ratio")] < 1
    assert found[key("system_load_average", period="1m")] == pytest.approx(
        os.getloadavg()[0], abs=1
    )


def counters(**fields: float) -> Any:
    return SimpleNamespace(**fields)


def cpu(user: float, idle: float, **more: float) -> Any:
    return counters(user=user, nice=0.0, system=0.0, idle=idle, **more)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A machine of two CPUs, a disk with a partition, an LVM volume and two interfaces."""
    disk = counters(read_bytes=1, write_bytes=2, read_count=3, write_count=4, busy_time=5000)
    link = counters(bytes_recv=1, bytes_sent=2, packets_recv=3, packets_sent=4, errin=5, errout=6,
                    dropin=7, dropout=8)  # fmt: skip
    one = SimpleNamespace(
        cpus=[cpu(10, 90), cpu(20, 80)],
        disks={"sda": disk, "sda1": disk, "dm-0": disk, "loop3": disk},
        links={"lo": link, "eth0": link, "veth12": link},
        source=lambda **more: ActivitySource(
            Config(**more), pressure=tmp_path / "pressure", blocks=tmp_path / "block"
        ),
        pressure=tmp_path / "pressure",
    )
    for name in ("sda", "dm-0", "loop3"):
        (tmp_path / "block" / name).mkdir(parents=True)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: one.cpus)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda **_: one.disks)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: one.links)
    return one


def test_utilization_is_the_share_of_time_that_was_not_idle(machine: Any) -> None:
    source = machine.source()
    source.series()
    assert math.isnan(vector(source)[key("system_cpu_utilization_ratio")])
    machine.cpus = [cpu(11, 91, iowait=2.0), cpu(23, 81)]
    assert vector(source)[key("system_cpu_utilization_ratio")] == pytest.approx(4 / 8)
    assert math.isnan(vector(source)[key("system_cpu_utilization_ratio")])  # no time has passed


def test_disks_without_parts_and_layers_and_links_without_the_local_one(machine: Any) -> None:
    source = machine.source()
    source.series()
    found = vector(source)
    devices = {dict(labels).get("device") for name, labels in found}
    assert devices == {None, "sda", "eth0"}
    assert found[key("system_disk_io_bytes_total", device="sda", direction="read")] == 1
    assert found[key("system_disk_operations_total", device="sda", direction="write")] == 4
    assert found[key("system_disk_io_time_seconds_total", device="sda")] == 5
    assert found[key("system_network_io_bytes_total", device="eth0", direction="transmit")] == 2
    assert found[key("system_network_packets_total", device="eth0", direction="receive")] == 3
    assert found[key("system_network_errors_total", device="eth0", direction="transmit")] == 6
    assert found[key("system_network_dropped_total", device="eth0", direction="receive")] == 7


def test_what_is_left_out_is_the_user_s_choice(machine: Any) -> None:
    source = machine.source(exclude_devices=(), exclude_interfaces=("eth*",))
    source.series()
    devices = {dict(labels).get("device") for _, labels in vector(source)}
    assert devices == {None, "sda", "dm-0", "loop3", "veth12"}


@pytest.mark.parametrize("change", ["cpu", "disk", "link"])
def test_a_device_that_comes_or_goes_has_the_series_declared_anew(
    machine: Any, change: str
) -> None:
    source = machine.source()
    before = len(source.series())
    assert source.collect_vector(0) is not None
    if change == "cpu":
        machine.cpus = machine.cpus[:1]
    elif change == "disk":
        machine.disks = {}
    else:
        machine.links = {**machine.links, "eth1": machine.links["eth0"]}
    assert source.collect_vector(0) is None
    after = len(source.series())
    values = source.collect_vector(0)
    assert values is not None
    assert len(values) == after != before


def test_a_machine_without_disk_counters_has_none(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Any:
        raise NotImplementedError("no /proc/diskstats")

    monkeypatch.setattr(psutil, "disk_io_counters", refuse)
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: None)
    source = machine.source()
    names = {l.name for l, _ in source.series()}
    assert not any("disk" in name or "network" in name for name in names)
    assert source.collect_vector(0) is not None


def test_pressure_is_read_where_the_kernel_counts_it(machine: Any) -> None:
    machine.pressure.mkdir()
    line = "avg10=0.00 avg60=0.00 avg300=0.00 total="
    (machine.pressure / "cpu").write_text(f"some {line}2500000\nfull {line}500000\n")
    (machine.pressure / "io").write_text(f"some {line}1000000\n")
    source = machine.source()
    source.series()
    name = "system_pressure_stalled_seconds_total"
    found = vector(source)
    assert {k: v for k, v in found.items() if k[0] == name} == {
        key(name, resource="cpu", kind="some"): 2.5,
        key(name, resource="cpu", kind="full"): 0.5,
        key(name, resource="io", kind="some"): 1.0,
    }
    (machine.pressure / "io").unlink()
    (machine.pressure / "cpu").write_text("some nonsense\n")
    values = source.collect_vector(0)
    assert values is not None
    assert np.isnan(values[-3:]).all()


# --- file systems -------------------------------------------------------------------------------


def mount(device: str, where: Any, kind: str = "ext4") -> Any:
    return SimpleNamespace(device=device, mountpoint=str(where), fstype=kind)


def filesystems(
    monkeypatch: pytest.MonkeyPatch, mounts: list[Any], **options: Any
) -> dict[Key, float]:
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    return simple(FilesystemSource(Config(**options)).collect(0))


def places(found: dict[Key, float]) -> set[str]:
    return {dict(labels)["mountpoint"] for _, labels in found}


def test_each_file_system_is_told_once_and_the_root_always(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, snap = tmp_path / "data", tmp_path / "snap"
    data.mkdir()
    snap.mkdir()
    mounts = [mount("/dev/a", data), mount("/dev/a", tmp_path), mount("/dev/s", snap, "squashfs"),
              mount("/dev/gone", tmp_path / "gone")]  # fmt: skip
    assert places(filesystems(monkeypatch, mounts)) == {str(data), "/"}
    overlay = [mount("overlay", "/", "overlay")]
    found = filesystems(monkeypatch, overlay)
    assert places(found) == {"/"}
    assert places(filesystems(monkeypatch, mounts, exclude_filesystems=("ext*",))) == {
        str(snap),
        "/",
    }


def test_space_is_told_as_df_tells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = filesystems(monkeypatch, [mount("/dev/root", "/")])
    usage = psutil.disk_usage("/")
    labels = {"device": "/dev/root", "mountpoint": "/", "type": "ext4"}
    used = found[key("system_filesystem_usage_bytes", **labels, state="used")]
    assert used == pytest.approx(usage.used, rel=0.02)
    ratio = found[key("system_filesystem_utilization_ratio", **labels)]
    assert ratio == pytest.approx(usage.percent / 100, abs=0.01)


def test_a_name_that_is_no_utf8_becomes_a_label_that_can_be_stored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(odd)  # noqa: PTH102 — bytes that no text has
    found = filesystems(monkeypatch, [mount("/dev/x", os.fsdecode(odd))])
    assert f"{tmp_path}/??" in places(found)
    assert plain("é") == "é"


# --- sensors, host ------------------------------------------------------------------------------


def test_sensors_of_the_same_name_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(label: str, current: float | None) -> Any:
        return SimpleNamespace(label=label, current=current)

    chips = {"nvme": [reading("Composite", 30.0), reading("Composite", 40.0), reading("", 5.0)],
             "k10": [reading("Tctl", None)]}  # fmt: skip
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips, raising=False)
    monkeypatch.setattr(psutil, "sensors_fans", lambda: {"case": [reading("", 900)]}, raising=False)
    source = SensorSource(Config())
    assert simple(source.collect(0)) == {
        key("system_temperature_celsius", sensor="nvme Composite"): 30,
        key("system_temperature_celsius", sensor="nvme Composite 2"): 40,
        key("system_temperature_celsius", sensor="nvme 2"): 5,
        key("system_fan_speed_rpm", fan="case 0"): 900,
    }
    check_metric_source(source)
    for name in ("sensors_temperatures", "sensors_fans"):
        monkeypatch.delattr(psutil, name)
    assert simple(source.collect(0)) == {}


@pytest.mark.parametrize(
    "answer", [None, SimpleNamespace(current=0), FileNotFoundError, RuntimeError]
)
def test_a_machine_that_tells_no_frequency_still_tells_its_uptime(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    def frequency() -> Any:
        if isinstance(answer, type):
            raise answer
        return answer

    monkeypatch.setattr(psutil, "cpu_freq", frequency)
    found = simple(HostSource(Config()).collect(0))
    assert set(found) == {key("system_uptime_seconds")}
    assert found[key("system_uptime_seconds")] > 0


def test_frequency_is_in_hertz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=2400.0))
    assert simple(HostSource(Config()).collect(0))[key("system_cpu_frequency_hertz")] == 2.4e9


# --- containers ---------------------------------------------------------------------------------


def cgroup(root: Path, files: dict[str, str]) -> dict[str, float]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    source = ContainerSource(Config(), root)
    check_metric_source(source)
    return {s.name.removeprefix("container_"): s.value for s in source.collect(0)}


CGROUPS: list[tuple[dict[str, str], dict[str, float]]] = [
    ({}, {}),
    ({"memory.max": "max\n", "memory.current": "5\n", "cpu.max": "max 100000\n"}, {}),
    ({"memory.max": "1073741824\n", "memory.current": "0\n"},
     {"memory_limit_bytes": 2**30, "memory_usage_bytes": 0}),
    ({"cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 5\nthrottled_usec 2500000\n"},
     {"cpu_limit_cores": 1.5, "cpu_throttled_seconds_total": 2.5}),
    ({"cpu.max": "150000 0\n"}, {}),
    ({"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu/cpu.cfs_quota_us": "-1\n",
      "cpu/cpu.cfs_period_us": "100000\n"}, {}),
    ({"memory/memory.limit_in_bytes": "4096\n", "memory/memory.usage_in_bytes": "1024\n",
      "cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n",
      "cpu/cpu.stat": "nr_periods 1\nthrottled_time 3000000000\n"},
     {"memory_limit_bytes": 4096, "memory_usage_bytes": 1024, "cpu_limit_cores": 0.5,
      "cpu_throttled_seconds_total": 3}),
    ({"memory.max": "garbage\n", "cpu.max": "\n"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "wanted"), CGROUPS)
def test_the_limits_of_a_container(
    tmp_path: Path, files: dict[str, str], wanted: dict[str, float]
) -> None:
    assert cgroup(tmp_path, files) == wanted


# --- widgets --------------------------------------------------------------------------------------


def test_every_metric_that_a_chart_shows_is_one_that_a_source_gives(machine: Any) -> None:
    machine.pressure.mkdir()
    for resource in ("cpu", "memory", "io"):
        (machine.pressure / resource).write_text("some total=1\n")
    names = {l.name for l, _ in machine.source().series()}
    slow: list[Callable[[Config], Any]] = [
        HostSource,
        FilesystemSource,
        SensorSource,
        ContainerSource,
    ]
    names |= {s.name for make in slow for s in make(Config()).collect(0)}
    asked = {
        matcher.value for widget in barograph_widgets() for query in widget.spec().queries
        for text in query.match for matcher in parse_selector(text) if matcher.label == "__name__"
    }  # fmt: skip
    assert asked <= names
