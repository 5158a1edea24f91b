"""The drill's own clock: its agent's wall clock is set through a file, the machine's is never touched."""

import mmap
import os
import struct
import time
from pathlib import Path

from edge.clock import SystemClock

_FORM = struct.Struct("<q?")
"""Milliseconds that the wall clock is ahead, and whether it counts as disciplined."""


class ClockFile:
    """Sixteen bytes that two processes share."""

    def __init__(self, path: Path) -> None:
        """Make it where it is not there: then the clock is right."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_new = os.fstat(descriptor).st_size == 0
            if is_new:
                os.ftruncate(descriptor, 16)
            self._shared = mmap.mmap(descriptor, 16)
        finally:
            os.close(descriptor)
        if is_new:
            self.set(0, synced=True)

    def set(self, ahead_ms: int, *, synced: bool) -> None:
        _FORM.pack_into(self._shared, 0, ahead_ms, synced)

    @property
    def ahead_ms(self) -> int:
        return int(_FORM.unpack_from(self._shared)[0])

    @property
    def synced(self) -> bool:
        return bool(_FORM.unpack_from(self._shared)[1])


class DrillClock(SystemClock):
    """The machine's clocks, the wall clock ahead by what the file says."""

    def __init__(self, file: ClockFile) -> None:
        super().__init__()
        self._file = file

    def synced(self) -> bool:
        return self._file.synced


def set_wall_clock(path: Path) -> DrillClock:
    """From now on this process takes the file's time for the time, in every module of it."""
    file, true_ns = ClockFile(path), time.time_ns

    def time_ns() -> int:
        return true_ns() + file.ahead_ms * 1_000_000

    # An adapter may ask the time by itself, and must get the same answer.
    vars(time).update(time_ns=time_ns, time=lambda: time_ns() / 1e9)
    return DrillClock(file)
