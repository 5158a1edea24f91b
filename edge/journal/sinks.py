"""What the journal knows of far ends: read beside the agent, and changed between two of its commits."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import apsw
from msgspec import Struct

from edge.errors import NotRecorded
from edge.journal.ranges import Ranges
from edge.journal.reader import JournalReader
from edge.journal.recent import Recent
from edge.journal.sql import QUERIES
from edge.journal.store import Journal

AT_ONCE = 2_000
"""Records that are looked for in one go."""


class Marked(NamedTuple):
    """A far end keeps marks: one has been found there again and again."""

    since_ms: int
    """UTC."""
    mono_ms: int
    """The monotonic clock of the boot."""
    boot: str


class Rejected(Struct, frozen=True):
    """An event that a far end will never take."""

    sink: str
    seq: int
    type: str
    """Empty where the event itself is no longer kept."""
    at_ms: int
    station: str
    reason: str


class SetAside(Struct, frozen=True):
    """An observation that the core could not decide."""

    id: int
    seen_ms: int
    observation: bytes
    """JSON; a text where no observation can be made of it."""
    error: str


class SinkReader(JournalReader):
    """What delivery and the commands about it ask for besides. Raises JournalError."""

    def recent(self, sink: str) -> list[Recent]:
        return [Recent(*row) for row in self._ask("get_recent", sink)]

    def marked(self, sink: str) -> Marked | None:
        """None where no mark was found at the far end, or it has gone."""
        found = self._ask("get_marked", sink)
        return Marked(*found[0]) if found else None

    def secret(self) -> bytes:
        """What this journal signs its marks with; empty where somebody has taken it out."""
        found = self._ask("get_secret")
        return bytes(found[0][0]) if found else b""

    def skipped(self, sink: str) -> int:
        """Records it was never given and never will be."""
        return int(self._ask("get_skipped", sink)[0][0])

    def never_given(self) -> list[tuple[int, int]]:
        """Ranges of numbers that no record ever had: a journal that was restored leaves them out."""
        return self._ask("never_given")

    def rejected_seqs(self, sink: str) -> list[int]:
        return [seq for (seq,) in self._ask("rejected_seqs", sink)]

    def rejected_events(self, sink: str | None = None, limit: int = 1_000) -> list[Rejected]:
        """Of one sink, or of all."""
        return [Rejected(*row) for row in self._ask("rejected_of", sink, limit)]

    def set_aside(self, after: int = 0, limit: int = 1_000) -> list[SetAside]:
        """Observations in quarantine, by their number."""
        return [SetAside(*row) for row in self._ask("quarantined_observations", after, limit)]

    def absent(self, first: int, last: int) -> tuple[Ranges, int]:
        """The numbers of a range under which there is no record, and up to where it has been looked for them.

        A record that may not be sent yet is there.
        """
        found = [seq for (seq,) in self._ask("kept_between", first, last, AT_ONCE)]
        last = max(found) if len(found) == AT_ONCE else last
        there = Ranges()
        there.add_all(found)
        return Ranges(there.missing(first, last)), last

    def seen_ms(self, first: int, last: int) -> int | None:
        """When the oldest record of a range was seen, UTC; None where there is none."""
        found = self._ask("first_seen", first, last)
        return int(found[0][0]) if found else None

    def identity(self, seq: int) -> str:
        """The id of this number's record, also where the record is no longer kept."""
        found = self._ask("epoch_of", seq)
        return f"{found[0][0]}-{seq}" if found else ""

    def sinks(self) -> list[str]:
        """Every name that was ever delivered to."""
        return [name for (name,) in self._ask("sinks_known")]


@contextmanager
def _transaction(journal: Journal) -> Iterator[apsw.Connection]:
    try:
        with journal.transaction() as db:
            yield db
    except apsw.Error as error:
        raise NotRecorded(f"{journal.path}: {error}") from error


def put_marked(journal: Journal, sink: str, marked: Marked) -> None:
    """A mark was found at this far end. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        db.execute(QUERIES["put_marked"], (sink, *marked))


def mark_gone(journal: Journal, sink: str, acknowledged: Iterable[tuple[int, int]]) -> None:
    """Its mark has gone, and with it what was acknowledged beside these. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        journal.put_progress(sink, acknowledged)
        db.execute(QUERIES["drop_marked"], (sink,))


def pass_over(journal: Journal, sink: str, ranges: Iterable[tuple[int, int]], count: int) -> None:
    """These will never be given to it; so many of them never were. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        acknowledged = Ranges(journal.progress(sink))
        for first, last in ranges:
            acknowledged.add(first, last)
        journal.put_progress(sink, acknowledged)
        db.execute(QUERIES["add_skipped"], (sink, count))


def try_again(journal: Journal, sink: str, seqs: Collection[int]) -> None:
    """What was rejected is to be sent once more. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        acknowledged = Ranges(journal.progress(sink))
        for seq in seqs:
            acknowledged.remove(seq, seq)
        journal.put_progress(sink, acknowledged)
        db.executemany(QUERIES["forget_rejected"], [(sink, seq) for seq in seqs])


def give_up(journal: Journal, sink: str, seqs: Collection[int]) -> None:
    """What was rejected is never to be sent. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        db.executemany(QUERIES["forget_rejected"], [(sink, seq) for seq in seqs])
        db.execute(QUERIES["add_skipped"], (sink, len(seqs)))


def rejected_seqs(journal: Journal, sink: str) -> list[int]:
    """Events that it will never take, ascending."""
    with _transaction(journal) as db:
        return [seq for (seq,) in db.execute(QUERIES["rejected_seqs"], (sink,))]


def set_aside(journal: Journal, numbers: Sequence[int]) -> list[bytes]:
    """Observations in quarantine, as they were stored. Raises NotRecorded where one is not there."""
    with _transaction(journal) as db:
        found = [db.execute(QUERIES["get_quarantined"], (number,)).get for number in numbers]
    if None in found:
        number = numbers[found.index(None)]
        raise NotRecorded(f"no observation {number} is in quarantine; see `lineside quarantine list`")
    return found


def forget_copies(journal: Journal, number: int) -> None:
    """An observation that was tried again in vain is in quarantine once. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        db.execute(QUERIES["forget_copies"], (number,))


def take_out(journal: Journal, numbers: Sequence[int]) -> None:
    """These observations are no longer in quarantine. Raises NotRecorded, JournalError."""
    with _transaction(journal) as db:
        db.executemany(QUERIES["forget_quarantined"], [(number,) for number in numbers])
