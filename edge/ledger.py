"""The loss ledger: every interval in which something could have been missed, and what was recovered of it.

It is read from events that the journal finds by their subject, and needs no running agent. See ledger.md.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from edge.contract import Record
from edge.journal import JournalReader
from edge.ledger_book import Book
from edge.ledger_entries import Cause, Interval, Recovery
from edge.production import Line
from edge.production.losses import LOSS

__all__ = ["Cause", "Interval", "Ledger", "Recovery", "read_ledger"]

PAGE = 1_000


class Ledger(Struct, frozen=True):
    """The intervals of a span of time, the oldest first."""

    line: str
    from_ms: int | None
    to_ms: int | None
    intervals: tuple[Interval, ...]
    parts: int
    """Recovered by counters."""
    uncertain: int
    """Intervals that leave a question open."""


def read_ledger(
    reader: JournalReader,
    line: Line,
    from_ms: int | None = None,
    to_ms: int | None = None,
    away: Sequence[str] | None = None,
) -> Ledger:
    """Intervals that overlap the span. Raises JournalError.

    `away`: no agent has the journal in use, and this is what the next one is to record of it, in words.
    """
    found = [one for one in _intervals(reader, line, away) if _overlaps(one, from_ms, to_ms)]
    found.sort(key=lambda one: (one.since_ms, one.seq))
    return Ledger(
        line.name, from_ms, to_ms, tuple(found), sum(one.parts for one in found),
        sum(bool(one.uncertain) for one in found),
    )  # fmt: skip


def _overlaps(one: Interval, from_ms: int | None, to_ms: int | None) -> bool:
    ends_before = from_ms is not None and one.until_ms is not None and one.until_ms < from_ms
    return not ends_before and not (to_ms is not None and one.since_ms >= to_ms)


def _intervals(reader: JournalReader, line: Line, away: Sequence[str] | None) -> Iterator[Interval]:
    book, found = Book(line, reader), list[Interval]()
    for record in _records(reader):
        found += book.take(record)
    if away is not None:
        book.nobody(away)
    return (book.settled(one) for one in (*found, *book.rest()))


def _records(reader: JournalReader) -> Iterator[Record]:
    after = 0
    while found := reader.about(LOSS, after, PAGE):
        yield from found
        after = found[-1].seq
