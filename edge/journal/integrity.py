"""Whether the file is still what was written to it: looked at before it is opened, and while it is in use."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from edge.errors import JournalDamaged
from edge.journal.files import beside
from edge.journal.frames import commits_behind_damage
from edge.journal.sql import QUERIES, migrations

log = logging.getLogger("lineside.journal")

FIRST_AFTER_S = 60.0
"""After the start; until then the line has the machine to itself."""
EVERY_S = 86_400.0
AT_START_S = 2.0
"""After a stop that was none (a power cut, a kill) the start waits so long for a look at the pages."""
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
        beside(path, ".damaged").write_text(words + "\n", encoding="utf-8")
    except OSError as error:
        log.error("%s is damaged, and no note of it can be left: %s", path, error.strerror)


def forget_note(path: Path) -> None:
    beside(path, ".damaged").unlink(missing_ok=True)


def damage_at_start(path: Path) -> str:
    """What is wrong with a journal that nobody has open, empty where nothing is; a missing one is not.

    Raises apsw.Error and OSError where it cannot be looked at for another reason.
    """
    if not path.exists():
        return ""
    if (note := beside(path, ".damaged")).exists():
        return note.read_text(encoding="utf-8", errors="replace").strip() or "it was found to be damaged"
    log_file = beside(path, "-wal")
    ended_well = not log_file.exists() or not log_file.stat().st_size
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            version = db.pragma("user_version")
            if version == len(migrations()):
                db.execute(QUERIES["head"]).fetchall()
    except DAMAGE as error:
        return str(error)
    if not ended_well and (commits := commits_behind_damage(log_file)):
        return f"its log is damaged: {commits} commits behind that place, or more, are lost"
    if ended_well or not 0 < version <= len(migrations()):
        return ""
    until = time.monotonic() + AT_START_S
    return examine(path, "quick_check", lambda: time.monotonic() < until) or ""


def examine(path: Path, how: str, go_on: Callable[[], bool]) -> str | None:
    """Look at every page that is in use: empty where all are well, else what is wrong, or None where
    it was to go on no longer. `how`: `quick_check`, or `integrity_check` with every entry of every index.
    """
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            db.set_busy_timeout(2_000)
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
