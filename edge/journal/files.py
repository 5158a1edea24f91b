"""The journal's files on disk: its lock, its names, and how one is put in another's place."""

import errno
import fcntl
import os
import stat
import time
from pathlib import Path

from edge.errors import JournalError

_LONGEST_PID = 20
_LOOK_S = 0.02
"""So much longer than anybody who only looks holds the lock."""
_ENDS = (
    "", "-wal", "-shm", "-journal", ".part", ".part-journal", ".salvaged", ".restored", ".damaged", ".news",
    ".reserve",
)  # fmt: skip
"""Of every name beside the journal that is opened or put in its place."""
_ODD = {errno.ELOOP: stat.S_IFLNK, errno.ENXIO: stat.S_IFIFO, errno.EISDIR: stat.S_IFDIR}
"""What a file is that cannot be opened, by the error."""


def beside(path: Path, end: str) -> Path:
    """`journal.db` and `-wal`: `journal.db-wal`."""
    return path.with_name(path.name + end)


def lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


def refuse_odd(path: Path) -> None:
    """Links and pipes in the place of the journal or of a file of its own. Raises JournalError, OSError.

    Through a link two agents would write one journal under two locks, and a command of root's would write
    to whatever a link points to. A pipe would never end.
    """
    for file in (*(beside(path, end) for end in _ENDS), lock_of(path)):
        try:
            mode = os.lstat(file).st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        _refuse_mode(path, file, mode)


def _refuse_mode(path: Path, file: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        words = f"{file.name} is a symbolic link, and it must be a file; name the folder that it points to"
        raise JournalError(str(path), words)
    if not stat.S_ISREG(mode):
        raise JournalError(str(path), f"{file.name} is no regular file; move it away")


def open_own(path: Path, file: Path, flags: int, mode: int = 0o640) -> int:
    """A descriptor of a file beside the journal `path`, never of what a link points to.

    As root, a file that is made belongs to the owner of the folder. Raises JournalError where it is no file
    of the folder's owner, OSError.
    """
    safe = flags & ~(os.O_CREAT | os.O_EXCL) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            if not flags & os.O_EXCL:
                return _checked(path, file, os.open(file, safe), made=False)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
        except OSError as error:
            _refuse_mode(path, file, _ODD.get(error.errno or 0, stat.S_IFREG))
            raise
        try:
            return _checked(path, file, os.open(file, safe | os.O_CREAT | os.O_EXCL, mode), made=True)
        except FileExistsError:  # made by another in between
            if flags & os.O_EXCL:
                raise


def _checked(path: Path, file: Path, descriptor: int, *, made: bool) -> int:
    try:
        there, folder = os.fstat(descriptor), os.stat(file.parent)
        _refuse_mode(path, file, there.st_mode)
        if os.geteuid() == 0:
            owners = {0, folder.st_uid, os.lstat(path).st_uid if os.path.lexists(path) else 0}
            if there.st_nlink > 1 or there.st_uid not in owners:
                raise JournalError(str(path), f"{file.name} has another owner or another name; move it away")
            if made:
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def take_lock(path: Path) -> int:
    """The descriptor that holds it; closing it gives it back. The folder is made. Raises JournalError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        refuse_odd(path)
        lock = open_own(path, lock_of(path), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        _lock(lock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, _LONGEST_PID, 0).decode("ascii", "replace")
        os.close(lock)
        who = f" (process {holder})" if holder.isdecimal() else ""
        raise JournalError(str(path), f"another agent is using it; stop that one first{who}") from None
    except OSError as error:
        os.close(lock)
        raise _cannot_write(path, error) from error
    return lock


def _cannot_write(path: Path, error: OSError) -> JournalError:
    if error.errno == errno.EROFS and os.path.lexists(path):
        words = "the file system has turned read-only: see dmesg, repair it and mount it again"
        return JournalError(str(path), words)
    return JournalError(str(path), f"{error.strerror}; choose a folder that can be written")


def _lock(descriptor: int) -> None:
    """Raises BlockingIOError where another has it for longer than a look takes."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(_LOOK_S)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_in_use(path: Path) -> bool:
    """Whether an agent, or a command in its place, holds the lock; also where nobody may look."""
    try:
        lock = os.open(lock_of(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def sync(path: Path) -> None:
    """A file's content, or a folder's names, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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
    for end in ("", "-wal", "-shm", "-journal"):
        beside(path, end).unlink(missing_ok=True)
