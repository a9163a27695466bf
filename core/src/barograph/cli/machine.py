"""What ``barograph doctor`` tests of the machine: each function yields what it found."""

from __future__ import annotations

import os
import platform
import re
import resource
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from barograph.cli.console import size_text
from barograph.cli.findings import Finding, error, ok, warning

FREE_ERROR = 64 * 2**20
FREE_WARNING = 2**30
DESCRIPTORS_ERROR = 256
DESCRIPTORS_WARNING = 1024
CLOCK_SECONDS = 0.25
CLOCK_TOLERANCE = 0.05
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "ceph"})
"""File systems whose locks and shared memory SQLite's write-ahead log cannot rely on."""


def python() -> Iterator[Finding]:
    """The interpreter, and whether Barograph's packages fit together."""
    from importlib.metadata import distributions

    yield ok("python", f"{platform.python_version()} ({sys.executable})")
    kernel = [d for d in distributions() if d.name in ("barograph-core", "barograph-api")]
    versions = {d.version for d in kernel}
    text = ", ".join(sorted({f"{d.name} {d.version}" for d in kernel})) or "not installed by pip"
    if len(versions) > 1:
        yield error("packages", text, "install one version of all: pip install -U barograph")
    else:
        yield ok("packages", text)


def data_directory(directory: Path) -> Iterator[Finding]:
    """Whether the store can live there: rights, room, file system."""
    name = "data directory"
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        yield error(name, f"{there} is no directory", "choose another --data-dir")
        return
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"barograph")
            file.flush()
    except OSError as failure:
        told = f"cannot write to {there}: {failure.strerror}"
        yield error(name, told, f"give this user the right to write to {there}, or free space")
        return
    if there == directory:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & 0o077:
            remedy = f"chmod 700 {directory}"
            yield warning(name, f"{directory} is open to other users (mode {mode:o})", remedy)
        else:
            yield ok(name, f"{directory} is writable, for its owner only")
    else:
        yield ok(name, f"{directory} is not there yet; it can be made")
    kind = file_system(there)
    if kind in NETWORK_FILE_SYSTEMS:
        told = f"{there} is on a network file system ({kind}), where the store can be damaged"
        yield error("file system", told, "choose a --data-dir on a disk of this machine")
    room = os.statvfs(there)
    free = room.f_bavail * room.f_frsize
    told = f"{size_text(free)} free on the disk of {there}"
    if free < FREE_ERROR:
        yield error("disk space", told, "free space, or choose another --data-dir")
    elif free < FREE_WARNING:
        yield warning("disk space", told, "free space, or keep less: see [plugins.sqlite]")
    else:
        yield ok("disk space", told)
    if room.f_files and room.f_favail < 100:
        yield error("disk space", f"{room.f_favail} inodes free on the disk of {there}",
                    "delete files that are not needed")  # fmt: skip


_OCTAL = re.compile(r"\\([0-7]{3})")
"""How /proc/self/mounts writes spaces, tabs, newlines and back slashes."""


def file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The type of the file system that holds ``path``; "" where that cannot be known."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    real = path.resolve()
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[1]))
        depth = len(mount.parts)
        if depth >= best and real.is_relative_to(mount):
            best, kind = depth, fields[2]
    return kind


def lock(directory: Path) -> Iterator[Finding]:
    """Who writes to the store."""
    owners = lock_owners(directory)
    if not owners:
        yield ok("lock", "nobody writes to the store")
    for path, pid in owners:
        yield ok("lock", f"{path.name} is held by {process_text(pid)}")


def lock_owners(directory: Path, locks: Path = Path("/proc/locks")) -> list[tuple[Path, int]]:
    """(lock file, pid) of every lock file in ``directory`` that a process holds, as far as the
    kernel tells."""
    out = []
    try:
        lines = locks.read_text("ascii", "replace").splitlines()
        for path in sorted(directory.glob("*.lock")):
            about = path.stat()
            device = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}"
            owner = path.read_text("ascii", "replace").strip()
            for line in lines:
                fields = line.split()
                if len(fields) < 6 or fields[1] == "->":  # "->": waits for it
                    continue
                where, _, inode = fields[5].rpartition(":")
                # Layered file systems show another device; then the pid in the file must fit.
                if inode == str(about.st_ino) and (where == device or fields[4] == owner):
                    out.append((path, int(fields[4])))
    except (OSError, ValueError):
        return out  # no /proc, or a file that went away meanwhile
    return out


def process_text(pid: int, proc: Path = Path("/proc")) -> str:
    """``python3 (pid 12)``, as far as this user may know."""
    try:
        name = (proc / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"pid {pid}" if pid > 0 else "a process of another container"
    return f"{name} (pid {pid})"


def clock() -> Iterator[Finding]:
    """Whether the wall clock goes evenly, and whether somebody keeps it right."""
    wall, steady = time.time(), time.monotonic()
    time.sleep(CLOCK_SECONDS)
    drift = (time.time() - wall) - (time.monotonic() - steady)
    if abs(drift) > CLOCK_TOLERANCE:
        told = f"jumped by {drift:+.3f} s against the monotonic clock within {CLOCK_SECONDS} s"
        yield warning("clock", told, "something sets it in steps: check NTP")
    elif wall < 1_735_689_600:  # 2025-01-01
        yield error("clock", f"{time.strftime('%Y-%m-%d', time.gmtime(wall))} cannot be right",
                    "set the clock: samples are stored under its time")  # fmt: skip
    elif synchronised() is False:
        yield warning("clock", "goes evenly, but nothing keeps it right",
                      "switch on NTP, if several hosts are to be compared")  # fmt: skip
    else:
        yield ok("clock", f"goes evenly ({1000 * drift:+.1f} ms in {CLOCK_SECONDS} s)")


def synchronised() -> bool | None:
    """What the kernel thinks of its clock; None where it cannot be asked."""
    import ctypes

    if sys.platform != "linux":
        return None
    try:
        call = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    # struct timex begins with `modes`: 0 only reads. 5 is TIME_ERROR, "not synchronised".
    state = call(ctypes.create_string_buffer(512))
    return None if state < 0 else bool(state != 5)


def descriptors() -> Iterator[Finding]:
    """How many files and sockets a process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = "no limit" if soft == resource.RLIM_INFINITY else f"{soft} may be open"
    remedy = "raise it: ulimit -n 4096, or LimitNOFILE=4096 in the service's unit"
    if soft == resource.RLIM_INFINITY or soft >= DESCRIPTORS_WARNING:
        yield ok("open files", told)
    elif soft >= DESCRIPTORS_ERROR:
        yield warning("open files", told, remedy)
    else:
        yield error("open files", told, remedy)


def kernel(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """What the operating system lets a monitor see."""
    if not (proc / "stat").exists():
        told = "there is no /proc: processes and some figures of this host cannot be seen"
        yield warning("/proc", told, "on Linux: mount -t proc proc /proc")
    elif not (proc / "1" / "stat").exists():
        told = "processes of other users are hidden (hidepid)"
        yield warning("/proc", told, "run as root, or in the group of the mount option gid=")
    else:
        yield ok("/proc", "readable, with the processes of all users")
    try:
        (proc / "pressure" / "cpu").read_text("ascii")
        yield ok("pressure", "stall information is there")
    except OSError:
        told = "no pressure stall information (/proc/pressure): its charts stay empty"
        yield warning(
            "pressure", told, "Linux 4.20 or newer, with psi=1 on the kernel's command line"
        )
