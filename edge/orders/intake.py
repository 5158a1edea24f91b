"""Orders of a file are handed to the agent, and what became of each is told with its line."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from edge.observation import Outcome, Verdict, WorkOrder
from edge.orders.files import Parsed, RowFault

Intake = Callable[[Sequence[WorkOrder]], Awaitable[Sequence[Outcome]]]
"""Answers with an outcome for each, when they are on disk. Raises NotRecorded."""


class Entry(Struct, frozen=True):
    """What became of one row."""

    row: int
    """Which row it is, from 1 without a header; 0: it is about the file as such."""
    line: int
    """Where it begins in the file, from 1."""
    id: str
    """The order's id as it stands there; empty where there is none that can be read."""
    verdict: Verdict
    words: str
    """What happened, or why it was refused."""


class Taken(Struct, frozen=True):
    """What became of all rows."""

    accepted: int
    """Orders that are new or changed."""
    duplicates: int
    """Orders that were here already, just so."""
    refused: int
    """Rows that change nothing; each says why."""
    orders: tuple[Entry, ...]
    """Every row, in the order of the file."""


async def take_in(parsed: Parsed, intake: Intake) -> Taken:
    """Hand over the good rows. Raises NotRecorded; to hand them over again does no harm."""
    rows = parsed.rows
    outcomes = await intake([row.order for row in rows]) if rows else ()
    entries = [
        Entry(row.row, row.line, row.order.id, outcome.verdict, outcome.words)
        for row, outcome in zip(rows, outcomes, strict=True)
    ]
    entries = sorted([*entries, *_refused(parsed.faults)], key=lambda entry: entry.row)
    counts = Counter(entry.verdict for entry in entries)
    accepted, duplicates = counts[Verdict.ACCEPTED], counts[Verdict.DUPLICATE]
    return Taken(accepted, duplicates, len(entries) - accepted - duplicates, tuple(entries))


def _refused(faults: Sequence[RowFault]) -> Iterator[Entry]:
    """One entry a row, whatever is wrong with it."""
    for row, of_row in groupby(faults, key=lambda fault: fault.row):
        found = list(of_row)
        words = "; ".join(str(fault) for fault in found)
        yield Entry(row, found[0].line, found[0].id, Verdict.REFUSED, words)
