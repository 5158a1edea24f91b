"""Whether the file is still what was written to it: looked at before it is opened, and while it is in use."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from edge.errors import JournalDamaged, JournalError
from edge.journal.files import beside, open_own
from edge.journal.frames import commits_behind_damage
from edge.journal.shape import absurd, garbage, strange
from edge.journal.sql import QUERIES, migrations
from edge.journal.wal import BUSY_MS

log = logging.getLogger("lineside.journal")

FIRST_AFTER_S = 60.0
"""After the start; until then the line has the machine to itself."""
EVERY_S = 86_400.0
AT_START_S = 2.0
"""After a stop that was none (a power cut, a kill) the start waits so long for a look at the pages."""
ROWS_S = 1.0
"""So long the rows of the state are looked at, the stations' and the counters' first."""
WORK_S, REST_S = 0.01, 0.03
"""How the check in the background goes; it pins the log, so it does not rest once that has grown."""
GROWN = 8_000_000
"""Bytes of the log's file."""
FAULTS = 5
_STEPS = 10_000
"""Of SQLite's machine, some 0.2 ms, between two looks at the time."""

DAMAGE: Final = (apsw.CorruptError, apsw.NotADBError, apsw.IOError)
"""What SQLite says of pages that are not what they were, or that the disk gives back no more."""


def note_damage(path: Path, words: str) -> None:
    """For the next start, which then sets the file aside."""
    try:
        descriptor = open_own(path, beside(path, ".damaged"), os.O_WRONLY | os.O_CREAT)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(words + "\n")
    except (OSError, JournalError) as error:
        log.error("%s is damaged, and no note of it can be left: %s", path, error)


def forget_note(path: Path) -> None:
    beside(path, ".damaged").unlink(missing_ok=True)


def damage_at_start(path: Path) -> str:
    """What is wrong with a journal that nobody writes, empty where nothing is; a missing one is not.

    Raises JournalError where it is somebody else's, apsw.Error and OSError where it cannot be looked at.
    """
    if not path.exists():
        return ""
    if (note := beside(path, ".damaged")).exists():
        return note.read_text(encoding="utf-8", errors="replace").strip() or "it was found to be damaged"
    log_file = beside(path, "-wal")
    ended_well = not _size(log_file)
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(BUSY_MS)
            version = int(db.pragma("user_version"))
            if 0 <= version <= len(migrations()) and (reason := _not_a_journal(db, path, version)):
                return reason
    except DAMAGE as error:
        return str(error)
    if not ended_well and (commits := _commits_behind_damage(log_file)):
        return f"its log is damaged: {commits} commits behind that place, or more, are lost"
    if ended_well or not 0 < version <= len(migrations()):
        return ""
    until = time.monotonic() + AT_START_S
    return examine(path, "quick_check", lambda: time.monotonic() < until) or ""


def _not_a_journal(db: apsw.Connection, path: Path, version: int) -> str:
    """What a stranger, or a worn card, has made of it. Raises JournalError where a person must look."""
    found = strange(db, version)
    if found.acting:
        names = " and ".join(map(str, found.acting[:3]))
        words = f"{names} is in it and is not of Lineside; remove that or restore a backup"
        raise JournalError(str(path), words)
    if not version:
        if found.foreign:
            raise JournalError(str(path), f"is the database of something else ({found}); use another folder")
        return ""
    if found.missing:
        return str(found)
    until = time.monotonic() + ROWS_S
    return absurd(db, version) or garbage(db, lambda: time.monotonic() < until)


def _size(file: Path) -> int:
    """0 where it is not there, or not any more: a reader that ends can take the log away."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _commits_behind_damage(log_file: Path) -> int:
    try:
        return commits_behind_damage(log_file)
    except FileNotFoundError:
        return 0


def examine(path: Path, how: str, go_on: Callable[[], bool]) -> str | None:
    """Look at every page that is in use: empty where all are well, else what is wrong, or None where
    it was to go on no longer. `how`: `quick_check`, or `integrity_check` with every entry of every index.
    """
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(BUSY_MS)
            db.set_progress_handler(lambda: not go_on(), _STEPS)
            faults: list[str] = []
            for (table,) in db.execute(QUERIES["tables"]).fetchall():  # each pins the log for itself
                faults += [words for (words,) in db.execute(QUERIES[how], (table,)) if words != "ok"]
    except apsw.InterruptError:
        return None
    except DAMAGE as error:
        return str(error)
    more = f", and {len(faults) - FAULTS} more" if len(faults) > FAULTS else ""
    return "; ".join(faults[:FAULTS]) + more


def examine_whole(path: Path) -> str:
    """The same at once, to its end, for a person who waits. Raises JournalError where it cannot be read."""
    try:
        return examine(path, "integrity_check", lambda: True) or ""
    except apsw.Error as error:  # held by another all the while, say
        raise JournalError(str(path), f"cannot be checked: {error}") from error


class Pace:
    """Lets a check in the background go on, a little at a time, until it is told to stop."""

    def __init__(self, path: Path) -> None:
        self._log = beside(path, "-wal")
        self._rested_s = time.monotonic()
        self.stopped = threading.Event()

    def go_on(self) -> bool:
        """Called in the thread of the check."""
        if time.monotonic() - self._rested_s >= WORK_S:
            if self._may_rest():
                self.stopped.wait(REST_S)
            self._rested_s = time.monotonic()
        return not self.stopped.is_set()

    def _may_rest(self) -> bool:
        try:
            return self._log.stat().st_size < GROWN
        except OSError:
            return True


class Integrity:
    """Checks a journal that is in use, once a day."""

    def __init__(self, path: Path, first_after_s: float = FIRST_AFTER_S, every_s: float = EVERY_S) -> None:
        self._path = path
        self._first_after_s = first_after_s
        self._every_s = every_s
        self.result = "not checked since the start"
        """In words; `ok` where every page was well."""
        self.checked_mono_s: float | None = None
        """When, by `time.monotonic`."""

    async def run(self) -> None:
        """Until cancelled. Raises JournalDamaged, and has then left a note for the next start."""
        await asyncio.sleep(self._first_after_s)
        while True:
            await self._check()
            await asyncio.sleep(self._every_s)

    async def _check(self) -> None:
        pace, began = Pace(self._path), time.monotonic()
        try:
            found = await asyncio.to_thread(examine, self._path, "integrity_check", pace.go_on)
        except apsw.Error as error:  # no room for its temporary files, say; that is nothing about the pages
            self.result = f"cannot be checked: {error}"
            log.warning("%s: %s", self._path, self.result)
            return
        finally:
            pace.stopped.set()
        self.checked_mono_s = time.monotonic()
        if found:
            self.result = found
            note_damage(self._path, found)
            raise JournalDamaged(str(self._path), f"{found}; it is set aside at the next start")
        self.result = "ok"
        log.info("%s: every page is well, checked in %.1f s", self._path, self.checked_mono_s - began)
