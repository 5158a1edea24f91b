"""Sink `file`: events as lines of JSON or line protocol, appended to a file that is rotated by its size.

The embedded default: it needs no server, and what a receipt names is on the disk.
"""

import asyncio
import errno
import fcntl
import logging
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field

from adapters._disk import disk_failure
from adapters._line_protocol import points
from edge.contract import (
    Duration,
    Outlet,
    Receipt,
    Record,
    Sink,
    SinkError,
    SinkRefused,
    SinkSettings,
    Size,
    Unmarked,
)

_log = logging.getLogger(__name__)

_SUFFIXES = {"json": "jsonl", "line-protocol": "lp"}
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_BLOCK = 65_536


class Settings(SinkSettings):
    """`[sink.NAME]` with `type = "file"`."""

    linger: Duration = timedelta(seconds=1)
    """How long events wait for company: each write costs the disk a flush."""
    format: Literal["json", "line-protocol"] = "json"
    folder: str | None = None
    """Where the files are; a folder of the sink's own in the agent's state unless given."""
    rotate: Size = Field(default="16MB", validate_default=True)
    """A file that would grow beyond this is closed, and a new one begun."""
    replay: Duration = timedelta(0)
    """What a receipt names is on the disk: nothing is sent again."""
    keep: int = Field(default=8, ge=1)
    """How many closed files stay; the oldest goes first."""

    def owns(self) -> list[str]:
        """The folder, where it is named: two would write into each other's files."""
        return [self.folder] if self.folder else []


class Log:
    """The files of one sink. Its methods block, and may be called from any thread."""

    def __init__(self, folder: Path, suffix: str, rotate: int, keep: int) -> None:
        self.path = folder / f"events.{suffix}"
        self._folder = folder
        self._suffix = suffix
        self._rotate = rotate
        self._keep = keep
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0

    def open(self) -> None:
        """Open for appending, without the torn line of a crash. Raises OSError."""
        with self._lock:
            self._open()

    def append(self, data: bytes) -> None:
        """Write whole lines; on the disk when this returns, or not there at all. Raises OSError.

        After a failure the file is closed: what a failed flush left behind is seen only by opening again.
        """
        with self._lock:
            try:
                self._be_current()
                if self._size and self._size + len(data) > self._rotate:
                    self._turn_over()
                self._write(data)
            except OSError:
                self._close()
                raise

    def close(self) -> None:
        with self._lock:
            self._close()

    def _open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = _cut_torn_line(fd, self.path)
            _flush_folder(self._folder)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _be_current(self) -> None:
        """A file that somebody moved or deleted would swallow what is written to it."""
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._fd), os.stat(self.path)):
                    return
            self._close()
            _log.warning("%s was moved or deleted; a new one is begun", self.path)
        self._open()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
            os.fsync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
            raise
        self._size += len(data)

    def _turn_over(self) -> None:
        closed = self._closed()
        stamp = datetime.now(UTC)
        if closed and (last := _stamp_of(closed[-1])) >= stamp:
            # The clock went back. The names must still sort by age, for the oldest is deleted.
            stamp = last + timedelta(microseconds=1)
        self._close()
        self.path.rename(self._folder / f"events-{stamp.strftime(_STAMP)}.{self._suffix}")
        self._open()
        for old in self._closed()[: -self._keep]:
            _log.info("%s is deleted; the %d newest stay", old, self._keep)
            old.unlink(missing_ok=True)

    def _closed(self) -> list[Path]:
        """The closed files, oldest first; a name that is not ours is not touched."""
        return sorted(path for path in self._folder.glob(f"events-*.{self._suffix}") if _is_ours(path))


def _is_ours(path: Path) -> bool:
    try:
        _stamp_of(path)
    except ValueError:
        return False
    return True


def _stamp_of(path: Path) -> datetime:
    """When a closed file was closed. Raises ValueError."""
    return datetime.strptime(path.stem.removeprefix("events-"), _STAMP).replace(tzinfo=UTC)


def _flush_folder(folder: Path) -> None:
    """A new name outlives a power cut only when its folder is flushed too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cut_torn_line(fd: int, path: Path) -> int:
    """Cut the file behind its last line feed, and give its size. No receipt named what is cut."""
    size = os.fstat(fd).st_size
    whole = _end_of_last_line(fd, size)
    if whole < size:
        os.ftruncate(fd, whole)
        os.fsync(fd)
        _log.warning("%s ended in a torn line; its %d bytes are cut off and come again", path, size - whole)
    return whole


def _end_of_last_line(fd: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def failure(sink: str, path: Path, error: OSError) -> SinkError:
    """What an error of the disk means for the sink."""
    if error.errno == errno.EAGAIN:
        return SinkRefused(sink, f"another process writes {path}; give each agent a folder of its own")
    free = "free some space, or lower rotate or keep"
    return disk_failure(sink, error, path, free=free, check="the disk")


class FileSink(Unmarked):
    """An open file. It has no notion of a current state."""

    def __init__(self, name: str, log: Log, as_lines: bool) -> None:
        self._name = name
        self._log = log
        self._as_lines = as_lines

    async def write(self, records: Sequence[Record]) -> Receipt:
        try:
            await asyncio.to_thread(self._append, records)
        except OSError as error:
            raise failure(self._name, self._log.path, error) from error
        return Receipt([record.seq for record in records])

    async def show(self, states: Mapping[str, bytes]) -> None:
        """States are not events; the file holds events."""

    def _append(self, records: Sequence[Record]) -> None:
        if self._as_lines:
            data = b"".join(text + b"\n" for record in records if (text := points(record)))
        else:
            data = b"".join(record.json + b"\n" for record in records)
        if data:
            self._log.append(data)


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Open the file. Raises SinkLost or SinkRefused."""
    folder = Path(settings.folder) if settings.folder is not None else outlet.folder
    log = Log(folder, _SUFFIXES[settings.format], settings.rotate, settings.keep)
    try:
        await asyncio.to_thread(log.open)
    except OSError as error:
        raise failure(outlet.name, log.path, error) from error
    try:
        yield FileSink(outlet.name, log, settings.format == "line-protocol")
    finally:
        # Waits for a write that was cancelled and still holds the file.
        await asyncio.to_thread(log.close)
