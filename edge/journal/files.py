"""The journal's files on disk: its lock, its names, and how one is put in another's place."""

import fcntl
import os
from pathlib import Path

from edge.errors import JournalError

_LONGEST_PID = 20


def beside(path: Path, end: str) -> Path:
    """`journal.db` and `-wal`: `journal.db-wal`."""
    return path.with_name(path.name + end)


def take_lock(path: Path) -> int:
    """The descriptor that holds it; closing it gives it back. The folder is made. Raises JournalError."""
    file = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise JournalError(str(path), f"{error.strerror}; choose a folder that can be written") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, _LONGEST_PID, 0).decode("ascii", "replace")
        os.close(lock)
        who = f" (process {holder})" if holder.isdecimal() else ""
        raise JournalError(str(path), f"another agent is using it; stop that one first{who}") from None
    except OSError as error:
        os.close(lock)
        raise JournalError(str(path), f"{error.strerror}; choose a folder that can be written") from error
    return lock


def sync(path: Path) -> None:
    """A file's content, or a folder's names, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace(path: Path, new: Path, why: str) -> Path:
    """Put a complete, synced journal in place of the one that is there, if any. Raises OSError.

    The old one becomes `journal.db.WHY-1` with its log, or the next free number; its name is returned.
    Killed at any instant, `complete` does the rest at the next start, for `new` is there to the last.
    """
    aside = _newest(path, why, 1)
    if path.exists():
        path.rename(aside)
    complete(path, new, why)
    return aside


def complete(path: Path, new: Path, why: str) -> None:
    """The end of `replace`. Raises OSError."""
    if path.exists():
        replace(path, new, why)
        return
    if (log := beside(path, "-wal")).exists():  # of the file that was renamed last; it is no use to another
        log.rename(beside(_newest(path, why, 0), "-wal"))
    beside(path, "-shm").unlink(missing_ok=True)
    sync(path.parent)
    new.rename(path)
    sync(path.parent)


def _newest(path: Path, why: str, more: int) -> Path:
    number = 0
    while beside(path, f".{why}-{number + 1}").exists():
        number += 1
    return beside(path, f".{why}-{max(1, number + more)}")


def remove_journal(path: Path) -> None:
    """A journal that was never completed, with its log."""
    for end in ("", "-wal", "-shm"):
        beside(path, end).unlink(missing_ok=True)
