"""The journal's room: its cap, what is left of it, and the reserve that lets it free itself.

At the cap SQLite says that the disk is full, so both are one path: nothing is recorded until there is room.
A full SQLite file cannot delete either, for what is deleted goes through the log first. So some pages, and a
file beside the journal, are kept back for that.
"""

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from edge.errors import JournalError, NotRecorded
from edge.journal.begin import SetAside, begin, nobody
from edge.journal.files import beside, open_own
from edge.journal.store import Journal
from edge.journal.wal import MOST as WAL_MOST

log = logging.getLogger("lineside.journal")

RESERVE_MOST = 16_000_000
"""Bytes of the reserve file, and as many in pages; a sixteenth of the cap, where that is less."""

BLOCK = 4096
FULL = 1_000_000
"""Bytes: with less left, a start that fails is taken to fail for it."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Filling:
    """Bytes, of the journal's file."""

    used: int
    """By records; what was dropped is free to be used again, though the file does not get smaller."""
    capacity: int
    """What it may grow to: by its cap, or by what is left on the disk, whichever is less."""
    disk_free: int
    """What is left on the disk beside the reserve."""
    by_disk: bool
    """The disk is what bounds it."""

    @property
    def share(self) -> float:
        """0.0 to 1.0."""
        return min(1.0, self.used / self.capacity)

    @property
    def left(self) -> int:
        return max(0, self.capacity - self.used)


class Room:
    """All methods but `give_up_reserve` are called in the journal's thread."""

    def __init__(self, path: Path, cap: int) -> None:
        """`cap`: bytes of the journal's file, its log and its reserve together."""
        self._path = path
        self._reserve = min(RESERVE_MOST, cap // 16) // BLOCK * BLOCK
        self._data = cap - min(WAL_MOST, cap // 4) - 2 * self._reserve

    def open(self, journal: Journal) -> None:
        """Set the cap, lay the reserve by. Raises NotRecorded where a later try may succeed, JournalError."""
        try:
            with journal.transaction() as db:
                self._limit(db, 0)
        except (apsw.FullError, apsw.BusyError) as error:
            raise NotRecorded(f"{self._path}: {error}") from error
        self._lay_by()

    def measure(self, journal: Journal) -> Filling:
        """Raises NotRecorded where it cannot be told now, JournalError."""
        try:
            with journal.transaction() as db:
                page, pages, unused = (
                    db.pragma(name) for name in ("page_size", "page_count", "freelist_count")
                )
            disk = os.statvfs(self._path.parent)
        except (apsw.FullError, apsw.BusyError, OSError) as error:
            raise NotRecorded(f"{self._path}: {error}") from error
        free = disk.f_bavail * disk.f_frsize
        if free > 2 * self._reserve and not _reserve_of(self._path).exists():
            self._lay_by()
        by_disk = pages * page + free < self._data
        capacity = max(page, pages * page + free if by_disk else max(self._data, pages * page))
        return Filling((pages - unused) * page, capacity, free, by_disk)

    def with_reserve(self, journal: Journal, work: Callable[[], ResultT]) -> ResultT:
        """Do something that frees room, with the reserve if it needs it.

        Raises NotRecorded where even that is not enough, JournalError.
        """
        try:
            return self._raised(journal, work)
        except NotRecorded:
            if not give_up_reserve(self._path):
                raise
        try:
            return self._raised(journal, work)
        finally:
            journal.wal.checkpoint(reset=True)
            self._lay_by()

    def _raised(self, journal: Journal, work: Callable[[], ResultT]) -> ResultT:
        try:
            try:
                with journal.transaction() as db:
                    self._limit(db, self._reserve)
                return work()
            finally:
                with journal.transaction() as db:
                    self._limit(db, 0)
        except (apsw.FullError, apsw.BusyError) as error:
            raise NotRecorded(f"{self._path}: {error}") from error

    def _limit(self, db: apsw.Connection, more: int) -> None:
        """Below what it has already, SQLite takes that."""
        db.pragma("max_page_count", max(1, (self._data + more) // db.pragma("page_size")))

    def _lay_by(self) -> None:
        """Where the disk has no room for it, it is tried again when there is some."""
        file = _reserve_of(self._path)
        with suppress(OSError, JournalError):
            descriptor = open_own(self._path, file, os.O_RDWR | os.O_CREAT)
            try:
                if os.fstat(descriptor).st_size != self._reserve:
                    os.ftruncate(descriptor, 0)
                    os.posix_fallocate(descriptor, 0, self._reserve)
            except OSError:
                file.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def begin_with_reserve(path: Path, alive: Callable[[], None] = nobody) -> tuple[Journal, SetAside | None]:
    """As `begin`, also on a disk that is full: a start writes to it. Raises JournalError."""
    try:
        return begin(path, alive)
    except JournalError:
        if not _is_full(path) or not give_up_reserve(path):
            raise
    log.error("%s: the disk is full; the journal begins in the room of its reserve", path)
    return begin(path, alive)


def _is_full(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < FULL


def give_up_reserve(path: Path) -> bool:
    """Give its room on the disk to the journal. False where there is none."""
    try:
        _reserve_of(path).unlink()
    except OSError:
        return False
    return True


def _reserve_of(path: Path) -> Path:
    return beside(path, ".reserve")
