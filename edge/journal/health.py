"""How the journal is, for people: its size, its wear, whether its pages are well."""

import time
from contextlib import suppress

from msgspec import Struct

from edge.journal.integrity import Integrity
from edge.journal.store import Journal
from edge.journal.wal import MOST

LEAST_S = 60.0
"""Before it, what was written says nothing of a day."""


class JournalStatus(Struct, frozen=True):
    """Sizes in bytes."""

    file: int = 0
    log: int = 0
    """Of the write-ahead log, as far as it is in use."""
    written: int = 0
    """To the disk, since the agent has started."""
    seconds: float = 0.0
    """Since then."""
    pages: str = ""
    """What the last check found: `ok`, or what is wrong."""
    checked_s: float | None = None
    """How long ago that was."""
    pinned: str = ""
    """Who keeps the log from getting smaller."""

    @property
    def written_a_day(self) -> int | None:
        """At the rate since the start; None where that is not long ago."""
        return int(self.written / self.seconds * 86_400) if self.seconds >= LEAST_S else None


class JournalHealth:
    """Asked in the event loop's thread: it touches no connection."""

    def __init__(self, journal: Journal, integrity: Integrity) -> None:
        self._journal = journal
        self._integrity = integrity
        self._since_s = time.monotonic()

    def status(self) -> JournalStatus:
        wal, checked, now = self._journal.wal, self._integrity.checked_mono_s, time.monotonic()
        size = 0
        with suppress(OSError):
            size = self._journal.path.stat().st_size
        return JournalStatus(
            size, wal.bytes, wal.written, now - self._since_s, self._integrity.result,
            None if checked is None else now - checked, wal.pinned,
        )  # fmt: skip


def told(status: JournalStatus) -> list[str]:
    """In sentences."""
    day = status.written_a_day
    wear = "" if day is None else f", {day / 10**6:.0f} MB a day at that rate"
    checked = "" if status.checked_s is None else f" ({status.checked_s / 3600:.1f} h ago)"
    log = f"{status.log / 10**6:.1f} MB of {MOST / 10**6:.0f} at most"
    lines = [
        f"  file: {status.file / 10**6:.1f} MB, log: {log}",
        f"  written to the disk since the agent started: {status.written / 10**6:.1f} MB{wear}",
        f"  pages: {status.pages}{checked}",
    ]
    return [*lines, f"  its log is held up by {status.pinned}; end that"] if status.pinned else lines
