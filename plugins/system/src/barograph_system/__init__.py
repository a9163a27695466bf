"""The host: CPU, memory, disks, network, pressure, temperatures, cgroup limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from barograph.config import Duration, option, options
from barograph.hookspecs import hookimpl

if TYPE_CHECKING:
    from barograph.contracts import ColumnarSource, MetricSource, Widget


@options
class Config:
    """Options of ``[plugins.system]``."""

    interval: Duration = option("1s", help="Time between samples of CPU, memory, disk and network "
                                "activity", minimum=0.1)  # fmt: skip
    slow_interval: Duration = option("10s", help="Time between samples of what changes slowly: "
                                     "file systems, temperatures, limits", minimum=1)  # fmt: skip
    exclude_devices: tuple[str, ...] = option(
        ("loop*", "ram*", "zram*", "sr*", "fd*", "dm-*", "md*"), help="Disks to leave out (globs); "
        "dm-* and md* lie on other disks, whose traffic holds theirs",
    )  # fmt: skip
    exclude_interfaces: tuple[str, ...] = option(
        ("veth*", "br-*", "docker*"), help="Network interfaces to leave out (globs)"
    )
    exclude_filesystems: tuple[str, ...] = option(
        ("squashfs", "tmpfs", "devtmpfs", "overlay", "fuse.*"), help="File system types to leave "
        "out, except at / (globs)",
    )  # fmt: skip


@hookimpl
def barograph_metric_sources(config: Config) -> Sequence[MetricSource | ColumnarSource]:
    # psutil and numpy: when it runs
    from barograph_system.activity import ActivitySource
    from barograph_system.slow import ContainerSource, FilesystemSource, HostSource, SensorSource

    slow = (HostSource, FilesystemSource, SensorSource, ContainerSource)
    return [ActivitySource(config), *(source(config) for source in slow)]


@hookimpl
def barograph_widgets() -> Sequence[Widget]:
    from barograph_system.widgets import widgets

    return widgets()
