"""How the agent comes to its journal: a file that is damaged is set aside, and what it held is told."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from edge.errors import JournalError
from edge.journal.files import beside, complete, open_own, remove_journal, replace, sync, take_lock
from edge.journal.integrity import damage_at_start, forget_note
from edge.journal.migrate import refuse_old_sqlite
from edge.journal.reader import iso
from edge.journal.salvage import Salvaged, salvage
from edge.journal.store import Journal
from edge.journal.wal import patiently

log = logging.getLogger("lineside.journal")

CORRUPT, REPLACED = "corrupt", "replaced"
READY: Final = {".salvaged": CORRUPT, ".restored": REPLACED}
"""A journal that is complete and waits to take the place of another, and what that is then called."""


class SetAside(Struct, frozen=True):
    """A damaged journal that the agent has put out of its way."""

    file: Path
    """Where it is now; its log, if it had one, is beside it."""
    reason: str
    held: Salvaged

    def __str__(self) -> str:
        return " ".join(_told(self))


def nobody() -> None:
    """Nobody waits for the start."""


def begin(path: Path, alive: Callable[[], None] = nobody) -> tuple[Journal, SetAside | None]:
    """Open the journal, or create it; one that is damaged is set aside first. Raises JournalError.

    `alive` is called all the while that takes, which can be minutes.
    """
    refuse_old_sqlite(path)
    lock = take_lock(path)
    try:
        found = patiently(path, lambda: _made_ready(path, alive))
    except (apsw.Error, OSError) as error:
        raise JournalError(str(path), f"{error}; the disk must be seen to") from error
    finally:
        os.close(lock)
    return Journal(path), found


def _made_ready(path: Path, alive: Callable[[], None]) -> SetAside | None:
    for end, why in READY.items():
        if (ready := beside(path, end)).exists():
            log.warning("%s: what was begun before the agent was stopped is completed: %s", path, ready.name)
            complete(path, ready, why)
            forget_note(path)
    reason = damage_at_start(path)
    if not reason:
        return None
    log.error("%s is damaged: %s; what can be read of it is taken over", path, reason)
    held = _salvaged(path, alive)
    aside = SetAside(replace(path, beside(path, ".salvaged"), CORRUPT), reason, held)
    descriptor = open_own(path, beside(aside.file, ".txt"), os.O_WRONLY | os.O_TRUNC | os.O_CREAT)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(_told(aside)) + "\n")
    leave_news(path, str(aside))
    forget_note(path)
    log.error("%s", aside)
    return aside


def leave_news(path: Path, words: str) -> None:
    """What the agent is to record when it is up. Raises OSError, JournalError where the file is a link."""
    descriptor = open_own(path, beside(path, ".news"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with open(descriptor, "a", encoding="utf-8") as file:
        file.write(" ".join(words.splitlines()) + "\n")
        file.flush()
        os.fsync(file.fileno())


def news(path: Path) -> list[str]:
    """What was left for the agent, in sentences."""
    try:
        descriptor = open_own(path, beside(path, ".news"), os.O_RDONLY)
        with open(descriptor, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except (OSError, JournalError):
        return []


def forget_news(path: Path) -> None:
    """It is recorded. Raises OSError."""
    beside(path, ".news").unlink(missing_ok=True)


def _salvaged(path: Path, alive: Callable[[], None]) -> Salvaged:
    """Into a file of its own, complete when it has the name that `READY` knows."""
    part = beside(path, ".part")
    remove_journal(part)
    free = shutil.disk_usage(path.parent).free
    try:
        held = salvage(path, part, free, alive)
    except apsw.FullError:  # the state and the acknowledgements are small, and worth more than old events
        remove_journal(part)
        held = salvage(path, part, 0, alive)
    sync(part)
    part.rename(beside(path, ".salvaged"))
    sync(path.parent)
    return held


def _told(aside: SetAside) -> list[str]:
    """In sentences, for the log, an event and a file beside it."""
    held = aside.held
    told = [f"The journal was damaged ({aside.reason}) and is kept as {aside.file.name}."]
    if not held.last_seq:
        return [*told, "Nothing of it could be read; a new one begins at 1."]
    told += [
        f"It held records up to {held.last_seq}; {held.records} could be read, from {held.first_seq} on,"
        f" the newest of {iso(held.newest_ms)}.",
        f"They are in the new journal, with {held.rows} rows of the state.",
        f"Orders running: {', '.join(held.running) or 'none'}.",
    ]
    if held.waiting:
        told.append(f"{held.waiting} that a sink still waited for are sent.")
    if held.lost or held.bad:
        told += [
            f"At most {held.lost} records could not be read,"
            f" {held.waiting_lost} of them not acknowledged by every sink; {held.bad} rows made no sense.",
            "Counters go on from what could be read of them.",
        ]
    if held.left:
        told.append(f"The records up to {held.left} are only in the old file: the disk has no room for both.")
    return told
