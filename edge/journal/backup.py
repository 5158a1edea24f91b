"""A copy of the journal while the agent goes on, and a journal put back from one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from edge.errors import BackupRefused, JournalError
from edge.journal.begin import REPLACED, leave_news
from edge.journal.files import (
    beside,
    lock_of,
    open_own,
    refuse_odd,
    remove_journal,
    replace,
    sync,
    take_lock,
)
from edge.journal.integrity import DAMAGE, examine, forget_note
from edge.journal.migrate import refuse_old_sqlite
from edge.journal.reader import iso
from edge.journal.shape import absurd, absurd_time, garbage, strange
from edge.journal.sql import QUERIES, migrations
from edge.journal.wal import BUSY_MS
from edge.plural import counted

RESTORED = "The journal was restored from"
"""So begin the words that the agent records after a restore."""
VOID = "void"
"""An epoch of numbers that the journal before had given: no record of this one has any of them."""
_WRITE = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW
_STEPS = 10_000
PAGES = 100
"""Copied at a time, so that Ctrl-C is heard."""


class Copied(Struct, frozen=True):
    """What is in a copy of a journal."""

    file: Path
    bytes: int
    records: int
    """Events and batches of telemetry."""
    head: int
    """seq of its newest record, 0 where it has none."""
    newest_ms: int
    """UTC of its newest record."""

    def __str__(self) -> str:
        newest = f", the newest of {iso(self.newest_ms)}" if self.newest_ms else ""
        size, records = f"{self.bytes / 10**6:.1f} MB", counted(self.records, "record")
        return f"{self.file}: {records} up to {self.head}{newest}; {size}, every page checked"


class Restored(Struct, frozen=True):
    """A journal that was put back."""

    copied: Copied
    aside: Path | None
    """Where the journal is that was there before."""
    next_seq: int


def back_up(journal: Path, out: Path) -> Copied:
    """Copy the journal as it is at this moment to a file that is not there yet, and check the copy.

    The agent may run: it is not held up, but its log cannot begin anew meanwhile. Raises BackupRefused,
    and leaves nothing behind then; JournalError where the journal is a link or a pipe.
    """
    _refuse_name(journal, out)
    if os.path.lexists(out):
        raise BackupRefused(out, "is there already; nothing is overwritten")
    if not journal.exists():
        raise BackupRefused(journal, "is not there: has the agent run here yet? --data names another folder")
    refuse_odd(journal)
    with _words(out), _cleared(_named(out)) as part:
        _copy(journal, part)
        copied = _checked(part, journal)
        sync(part)
        part.rename(out)
        sync(out.parent)
        return Copied(out, out.stat().st_size, copied.records, copied.head, copied.newest_ms)


def _refuse_name(journal: Path, out: Path) -> None:
    """Such a copy could be taken for the journal, or for a part of it, by the next start."""
    same = os.path.realpath(out.parent) == os.path.realpath(journal.parent)
    if same and (out.name.startswith(journal.name) or out.name == lock_of(journal).name):
        raise BackupRefused(out, f"is a name that {journal.name} keeps for itself; choose another name")


def _named(out: Path) -> Path:
    """A new, empty file in the folder of `out`, that only its owner can read. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=".lineside-", suffix=".part", dir=out.parent)
    os.close(descriptor)
    return Path(name)


def restore(backup: Path, journal: Path) -> Restored:
    """Put a checked copy of a backup in the journal's place. What was there is kept under another name.

    The next start begins a new epoch, and goes on above the highest number that either of the two has
    given. Raises JournalError where an agent has the journal in use, BackupRefused.
    """
    refuse_old_sqlite(journal)
    if not backup.is_file():
        raise BackupRefused(backup, "is no file")
    lock = take_lock(journal)
    try:
        if journal.exists() and journal.samefile(backup):
            raise BackupRefused(backup, "is the journal itself")
        with _words(backup), _cleared(_own_part(journal)) as part:
            return _restored(backup, journal, part)
    finally:
        os.close(lock)


def _own_part(journal: Path) -> Path:
    """A new, empty file beside the journal, of the folder's owner. Raises OSError, JournalError."""
    part = beside(journal, ".part")
    remove_journal(part)
    os.close(open_own(journal, part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return part


def _restored(backup: Path, journal: Path, part: Path) -> Restored:
    _copy(backup, part)
    copied = _checked(part, backup)
    head = max(copied.head, _head(journal))
    with closing(apsw.Connection(str(part), flags=_WRITE)) as db:
        db.execute(QUERIES["begin_epoch"], (copied.head + 1, VOID))
        db.execute(QUERIES["begin_epoch"], (head + 1, "restored"))
    sync(part)
    new = beside(journal, ".restored")
    part.rename(new)
    was_there = journal.exists()
    aside = replace(journal, new, REPLACED)
    forget_note(journal)
    result = Restored(copied, aside if was_there else None, head + 1)
    leave_news(journal, told(result))
    return result


def told(restored: Restored) -> str:
    """In sentences, for the terminal and for an event."""
    copied = restored.copied
    words = [f"{RESTORED} {copied}."]
    if restored.aside is not None:
        words.append(f"What was there before is kept as {restored.aside.name}.")
    words.append(
        f"The next record is {restored.next_seq}, of a new epoch. What was made since the backup comes from "
        "the counters, once more where a far end has it already."
    )
    return " ".join(words)


def _copy(source: Path, part: Path) -> None:
    """One snapshot of the source, in an empty file."""
    with (
        closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as old,
        closing(apsw.Connection(os.path.realpath(part), flags=_WRITE)) as new,
    ):
        old.set_busy_timeout(BUSY_MS)
        new.pragma("journal_mode", "off")  # it is thrown away where it is not completed
        new.pragma("synchronous", "off")
        old.execute(QUERIES["begin_reading"])
        old.execute(QUERIES["tables"]).fetchall()  # the snapshot is taken by the first read
        with new.backup("main", old, "main") as copying:
            while not copying.done:
                copying.step(PAGES)
        new.pragma("journal_mode", "delete")  # one file, until it is used


def _checked(part: Path, source: Path) -> Copied:
    """Raises BackupRefused where it is no journal, or not a whole one."""
    with closing(apsw.Connection(str(part), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.set_progress_handler(lambda: False, _STEPS)  # Python is asked now and then, and hears Ctrl-C
        version = db.pragma("user_version")
        if not 0 < version <= len(migrations()):
            known = len(migrations())
            raise BackupRefused(source, f"is of schema {version}, and this Lineside knows 1 to {known}")
        if found := str(strange(db, version)):
            raise BackupRefused(source, f"is no journal of Lineside: {found}")
        if fault := examine(part, "integrity_check", lambda: True):
            raise BackupRefused(source, f"is damaged: {fault}; take an older backup")
        for fault in (absurd(db, version), absurd_time(db, version), garbage(db, lambda: True)):
            if fault:
                raise BackupRefused(source, f"is damaged: {fault}; take an older backup")
        tables = ("count_records", "count_batches")[:version]  # the first schema has no telemetry
        rows: list[Any] = [db.execute(QUERIES[name]).fetchone() for name in tables]
        head: Any = db.execute(QUERIES["head" if version > 1 else "last_event"]).get
        records, newest_ms = sum(count for count, _ in rows), max(at_ms or 0 for _, at_ms in rows)
        return Copied(source, part.stat().st_size, records, int(head or 0), newest_ms)


def _head(journal: Path) -> int:
    """Of what is in place; 0 where it cannot be read, for then nobody knows."""
    if not journal.exists():
        return 0
    with (
        suppress(*DAMAGE),
        closing(apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)) as db,
    ):
        db.set_busy_timeout(BUSY_MS)
        version = db.pragma("user_version")
        if 0 < version <= len(migrations()) and not strange(db, version).missing and not absurd(db, version):
            found: Any = db.execute(QUERIES["head" if version > 1 else "last_event"]).get
            return int(found or 0)
    return 0


@contextmanager
def _cleared(part: Path) -> Iterator[Path]:
    try:
        yield part
    except BaseException:
        remove_journal(part)
        raise


@contextmanager
def _words(file: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise BackupRefused(file, f"cannot be read or written: {error}") from error
    except apsw.Error as error:
        raise BackupRefused(file, str(error)) from error
    except JournalError:
        raise
    except OSError as error:
        raise BackupRefused(file, error.strerror or str(error)) from error
