"""A bounded queue of requests in files, which survives restarts, kills and damaged ends."""

from __future__ import annotations

import os
import struct
import threading
import zlib
from pathlib import Path

import attrs

_HEAD = struct.Struct("<III")  # bytes of the body, samples in it, checksum of both and the body
_SENT = struct.Struct("<QQI")  # segment, bytes of it that are done, checksum

SEGMENTS = 16
"""A full queue loses its oldest sixteenth at once."""

MIN_SEGMENT = 64 * 1024


@attrs.frozen
class Entry:
    """One request that waits."""

    body: bytes
    samples: int


class DiskQueue:
    """First in, first out; at most ``max_bytes``, beyond which the oldest entries are dropped.

    Files ``NUMBER.queue`` in ``folder`` hold entries one after another; ``done`` says how far they
    have been taken. What was put in survives ``kill -9`` from the moment ``put`` returns. For one
    process; its threads may share it. Raises OSError where the disk does.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = max(max_bytes // SEGMENTS, MIN_SEGMENT)
        self._lock = threading.RLock()
        self._samples: dict[int, int] = {}  # that wait, by segment
        self._sizes: dict[int, int] = {}
        self.dropped = 0
        """Samples dropped since the start: the queue was full, or a file damaged at its end."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._at, self._offset = self._read_done()
        self._find()

    # --- what waits -----------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """Samples that wait."""
        with self._lock:
            return sum(self._samples.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the files."""
        with self._lock:
            return sum(self._sizes.values())

    def put(self, entry: Entry) -> None:
        """Add at the end."""
        check = _checksum(entry.samples, entry.body)
        record = _HEAD.pack(len(entry.body), entry.samples, check) + entry.body
        with self._lock:
            if len(record) > self._max_bytes:
                self.dropped += entry.samples
                return
            number = max(self._sizes, default=self._at)
            if self._sizes.get(number, 0) >= self._segment_bytes:
                number += 1
            while self._sizes and self.nbytes + len(record) > self._max_bytes:
                oldest = min(self._sizes)
                self._drop(oldest)
                number = max(number, oldest + 1)
            size = self._sizes.get(number, 0)
            with self._path(number).open("r+b" if size else "wb") as file:
                file.seek(size)  # behind what is whole, whatever a failed write has left
                file.write(record)
            self._sizes[number] = size + len(record)
            self._samples[number] = self._samples.get(number, 0) + entry.samples

    def first(self) -> Entry | None:
        """The oldest entry, which stays until ``take``."""
        with self._lock:
            found = self._first()
            return None if found is None else found[0]

    def take(self) -> None:
        """Remove the oldest entry."""
        with self._lock:
            found = self._first()
            if found is None:
                return
            entry, after = found
            self._samples[self._at] -= entry.samples
            self._offset = after
            if self._offset >= self._sizes[self._at]:
                self._remove(self._at)
            self._write_done()

    def drop_first(self, entry: Entry) -> bool:
        """Remove ``entry`` if it is still the oldest; whether it was."""
        with self._lock:
            if self.first() != entry:
                return False
            self.take()
            return True

    # --- files ----------------------------------------------------------------------------------

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012}.queue"

    def _first(self) -> tuple[Entry, int] | None:
        while self._sizes:
            number = min(self._sizes)
            if number != self._at:
                self._at, self._offset = number, 0
            found = _read(self._path(number), self._offset, self._sizes[number])
            if found is not None:
                return found
            self._drop(number)  # the file has changed under us: nothing more in it can be trusted
        return None

    def _drop(self, number: int) -> None:
        self.dropped += self._samples.get(number, 0)
        self._remove(number)

    def _remove(self, number: int) -> None:
        self._path(number).unlink(missing_ok=True)
        self._sizes.pop(number, None)
        self._samples.pop(number, None)
        if number == self._at:
            self._at, self._offset = number + 1, 0

    def _find(self) -> None:
        """Take in what is there; an end that is not whole is cut off."""
        for path in sorted(self._folder.glob("*.queue")):
            if not path.stem.isdigit():
                continue
            number = int(path.stem)
            if number < self._at:
                path.unlink()  # done already, but for its removal
                continue
            end = path.stat().st_size
            at, samples = self._offset if number == self._at else 0, 0
            while (found := _read(path, at, end)) is not None:
                entry, at = found
                samples += entry.samples
            if samples or at:
                self._sizes[number], self._samples[number] = at, samples
            if not samples:
                self._sizes.pop(number, None)
                self._samples.pop(number, None)
                path.unlink()
        if self._at not in self._sizes:
            self._at, self._offset = min(self._sizes, default=self._at + 1), 0

    def _read_done(self) -> tuple[int, int]:
        try:
            text = (self._folder / "done").read_bytes()
        except FileNotFoundError:
            return 0, 0
        if len(text) == _SENT.size:
            number, offset, check = _SENT.unpack(text)
            if check == zlib.crc32(text[:16]):
                return number, offset
        return 0, 0  # damaged: what was done is done again

    def _write_done(self) -> None:
        body = struct.pack("<QQ", self._at, self._offset)
        new = self._folder / "done.new"
        new.write_bytes(body + struct.pack("<I", zlib.crc32(body)))
        os.replace(new, self._folder / "done")  # noqa: PTH105 — the two names say it best


def _read(path: Path, at: int, end: int) -> tuple[Entry, int] | None:
    """The entry at ``at`` and where it ends; None if there is none that is whole."""
    if at + _HEAD.size > end:
        return None
    with path.open("rb") as file:
        file.seek(at)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        size, samples, check = _HEAD.unpack(head)
        if at + _HEAD.size + size > end:
            return None
        body = file.read(size)
    if len(body) < size or _checksum(samples, body) != check:
        return None
    return Entry(body, samples), at + _HEAD.size + size


def _checksum(samples: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<II", len(body), samples)))
