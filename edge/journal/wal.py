"""The write-ahead log: kept small, and what is written to the disk counted.

SQLite's own checkpoint after a commit keeps its errors to itself. Here a failed fsync of the database is
an error as any other: the agent ends and starts again.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import apsw

from edge.errors import JournalError
from edge.journal.files import beside

log = logging.getLogger("lineside.journal")

MOST: Final = 16_000_000
"""Bytes; a log that is larger is held up by a reader, and that is said."""
CHECKPOINT_BYTES = 4_000_000
"""From here on its pages are written to the database, beside the readers."""
RESET_BYTES = 8_000_000
"""From here on the writer waits a moment for the readers, so that the log's file can be cut to nothing."""
PATIENCE_MS = 50
"""So long the writer waits for the readers, and not again before the log has grown by a quarter of
`CHECKPOINT_BYTES`."""
BUSY_MS = 5_000
PATIENCE_S = 10.0
"""So long a start waits for another process that opens, ends or recovers the file."""
AGAIN_S = 0.02
SAID_EVERY_S = 60.0
_FRAME_HEAD = 24
_READ_LOCKS = range(123, 128)
"""Bytes of the -shm file that readers hold: https://sqlite.org/walformat.html, 2.3.1 and 2.3.2, with the
locks of the unix VFS from byte 120 on."""


class Wal:
    """Of the one connection that writes. Its methods are called in the thread of that connection."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._page: int = db.pragma("page_size")
        self._pages = 0
        self._tried = 0
        self._checkpointed = 0
        """Bytes that checkpoints have written to the database."""
        self._taken = 0
        """Pages of the log as it is that are in the database."""
        self._written_before = self._pages_written()
        self._said_s = float("-inf")
        self.pinned = ""
        """Who holds the log up, in words, while it is larger than `MOST`."""
        self.written = 0
        """Bytes written to the disk since the journal was opened: to the log, and from it to the database.
        What the file system adds (its own journal, whole erase blocks of a flash card) is not in it."""
        db.wal_autocheckpoint(0)
        db.set_wal_hook(self._committed)

    @property
    def bytes(self) -> int:
        """Of the log, as far as it is in use; its file may be larger."""
        return self._pages * (self._page + _FRAME_HEAD)

    def tidy(self) -> None:
        """After a commit. Raises apsw.Error where the disk cannot be trusted any more."""
        self._tidy()
        logged = (self._pages_written() - self._written_before) * (self._page + _FRAME_HEAD)
        self.written = logged + self._checkpointed

    def _tidy(self) -> None:
        if self.bytes < CHECKPOINT_BYTES:
            self._tried, self.pinned = 0, ""
        elif self.bytes - self._tried >= CHECKPOINT_BYTES // 4:
            self._tried = self.bytes
            self.checkpoint(reset=self.bytes >= RESET_BYTES)
            if self.bytes > MOST:
                self._tell_pinned()

    def checkpoint(self, *, reset: bool = False) -> None:
        """Take the log's pages over into the database. Raises apsw.Error unless a later try may do it.

        `reset`: wait a moment for readers of older pages, then cut the file to nothing.
        """
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if reset else apsw.SQLITE_CHECKPOINT_PASSIVE
        self._db.set_busy_timeout(PATIENCE_MS)
        try:
            pages, taken = self._db.wal_checkpoint("main", mode)
        except (apsw.BusyError, apsw.LockedError):
            return
        except apsw.FullError as error:
            log.warning("%s: the log cannot be shortened: %s", self._path, error)
            return
        finally:
            self._db.set_busy_timeout(BUSY_MS)
        if reset:
            pages, taken = 0, self._pages
        self._checkpointed += max(0, taken - self._taken) * self._page
        self._pages, self._taken = pages, 0 if reset else taken

    def _committed(self, db: apsw.Connection, name: str, pages: int) -> int:
        if pages < self._pages:  # it began anew
            self._tried = self._taken = 0
        self._pages = pages
        return apsw.SQLITE_OK

    def _pages_written(self) -> int:
        return self._db.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0]

    def _tell_pinned(self) -> None:
        self.pinned = ", ".join(readers(self._path)) or "a reader that cannot be named"
        if time.monotonic() >= self._said_s + SAID_EVERY_S:
            self._said_s = time.monotonic()
            words = "%s: its log has %d MB, for an old state of it is being read by %s; end that"
            log.warning(words, self._path, self.bytes // 10**6, self.pinned)


ResultT = TypeVar("ResultT")


def patiently(path: Path, work: Callable[[], ResultT], patience_s: float = PATIENCE_S) -> ResultT:
    """Do it again until nobody else is recovering, ending or reading the file in a way that forbids it.

    That is nothing about the disk. Raises JournalError where it lasts, and whatever else `work` raises.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            return work()
        except (apsw.BusyError, apsw.LockedError, apsw.ProtocolError) as error:
            if time.monotonic() >= until:
                who = ", ".join(holders(path)) or "a process that cannot be named"
                words = f"is held by {who} for more than {patience_s:.0f} s; end that and start again"
                raise JournalError(str(path), words) from error
        time.sleep(AGAIN_S)


def holders(path: Path) -> list[str]:
    """Who has any lock on the journal or its log, by process; not this one."""
    found: set[int] = set()
    for file in (path, beside(path, "-shm")):
        with suppress(OSError):
            found.update(_holders(_locks(), file.stat().st_ino, {"READ", "WRITE"}, None))
    return [_named(process) for process in sorted(found - {os.getpid()})]


def readers(path: Path) -> list[str]:
    """Who reads the journal at this moment, by process: `sqlite3 (process 123)`.

    From /proc/locks and never from the file: a process that closes any descriptor of a file gives up
    all the locks that it has on it, SQLite's too.
    """
    try:
        inode = beside(path, "-shm").stat().st_ino
        found = set(_holders(_locks(), inode, {"READ"}, _READ_LOCKS))
    except OSError:
        return []
    return [_named(process) for process in sorted(found)]


def _locks() -> list[str]:
    return Path("/proc/locks").read_text(encoding="ascii").splitlines()


def _holders(lines: list[str], inode: int, kinds: set[str], places: range | None) -> Iterator[int]:
    """A line is `1: POSIX  ADVISORY  READ 5433 08:01:7864448 123 123`; one that waits has `->`.

    `places`: of the first byte; None: any.
    """
    for line in lines:
        match line.split():
            case [_, "POSIX", _, kind, process, place, first, _] if (
                kind in kinds
                and place.endswith(f":{inode}")
                and first.isdecimal()
                and (places is None or int(first) in places)
            ):
                yield int(process)
            case _:
                continue


def _named(process: int) -> str:
    try:
        name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return f"process {process}"
    return f"{name} (process {process})"
