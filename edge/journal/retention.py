"""What the journal lets go of, and when. Runs in the journal's thread; every call is one short transaction,
and raises NotRecorded where there was no room even for that, JournalError where the file cannot be trusted.

Production records are kept for `Keep.events`, whatever far ends have acknowledged, and after that until
every sink has them; no want of room takes them. Telemetry is kept for `Keep.telemetry` and then until every
sink has it; where room is short it is thinned and dropped before that. The newest record always stays: the
next one's `seq` is counted on from it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import apsw

from edge.errors import NotRecorded
from edge.journal.ranges import Ranges
from edge.journal.sql import QUERIES
from edge.journal.store import Journal
from edge.journal.thinning import thin
from edge.production.state import Run, decode_row, run_key

ROWS = 200
"""Rows that one transaction thins, drops or looks at, at the most: a few milliseconds' work."""
BYTES = 1 << 20
"""Of telemetry that one transaction drops."""
THIN_BYTES = 1 << 17
"""Of telemetry that one transaction thins: 20 ms of decoding and encoding."""
SANE_MS = 1_735_689_600_000
"""2025-01-01. A time before it is of a clock that nobody had set: it says nothing of a record's age."""
FURTHEST_MS = 30 * 86_400_000
"""How far a clock that nothing disciplines is believed to have gone on while the agent was away."""
YEAR = timedelta(days=365.25)


@dataclass(frozen=True, slots=True)
class Keep:
    """For how long, and how much."""

    events: timedelta = 2 * YEAR
    telemetry: timedelta = timedelta(days=30)
    cap: int = 4 * 10**9
    """Bytes on the disk: the file, its WAL and its reserve."""


@dataclass(frozen=True, slots=True)
class Freed:
    """Batches of telemetry that were thinned, or that are no longer there."""

    records: int = 0
    ranges: Sequence[tuple[int, int]] = ()
    """Their seqs, all of them."""
    unsent: Mapping[str, int] = field(default_factory=dict)
    """By sink, how many of them it had not acknowledged."""
    first_ms: int = 0
    last_ms: int = 0
    """UTC of the oldest and the newest of them, by when they were seen."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What waited for a sink."""

    waited: int
    """Records."""
    until: int
    """The newest seq that it is no longer waited with."""
    first_ms: int
    """UTC of the oldest; 0 where there was none."""


Progress = Mapping[str, Ranges]
"""By sink, what its far end has acknowledged."""


@contextmanager
def _transaction(journal: Journal) -> Iterator[apsw.Connection]:
    """Raises NotRecorded where a later try may succeed, JournalError."""
    try:
        with journal.transaction() as db:
            yield db
    except (apsw.FullError, apsw.BusyError) as error:
        raise NotRecorded(f"{journal.path}: {error}") from error


# --- who still waits ------------------------------------------------------------------------------


def _progress(db: apsw.Connection, sinks: Iterable[str]) -> Progress:
    """Of the line's sinks, and of any that its file has no longer: until it is forgotten it may come back."""
    found: dict[str, Ranges] = {name: Ranges() for name in sinks}
    for sink, first, last in db.execute(QUERIES["all_progress"]):
        found.setdefault(sink, Ranges()).add(first, last)
    for first, last in db.execute(QUERIES["never_given"]):  # nobody waits for numbers of no record
        for ranges in found.values():
            ranges.add(first, last)
    return found


def _settled(progress: Progress, first: int, last: int) -> list[tuple[int, int]]:
    """What nobody waits for any more."""
    waiting = Ranges()
    for ranges in progress.values():
        for gap in ranges.missing(first, last):
            waiting.add(*gap)
    return list(waiting.missing(first, last))


def _places(
    db: apsw.Connection, head: int, sinks: Iterable[str], *, acknowledged: bool
) -> list[tuple[int, int]]:
    """Ranges of seq from the oldest batch of telemetry to before the newest record."""
    first: int | None = db.execute(QUERIES["first_telemetry"], (0, head - 1)).get
    if first is None:
        return []
    return _settled(_progress(db, sinks), first, head - 1) if acknowledged else [(first, head - 1)]


# --- telemetry ------------------------------------------------------------------------------------


def thin_telemetry(journal: Journal, sinks: Sequence[str], *, acknowledged: bool) -> Freed:
    """Thin the oldest batches that are whole. `acknowledged`: only what every sink has."""
    with _transaction(journal) as db:
        found: list[tuple[int, int]] = []
        places = _places(db, journal.head, sinks, acknowledged=acknowledged)
        for row in _oldest(db, "unthinned", places, THIN_BYTES):
            seq, seen_ms, name, at_ms, body = row
            thinned = thin(name, body)
            kept = (at_ms, body) if thinned is None else (thinned.at_ms, thinned.body)
            db.execute(QUERIES["thin"], (*kept, seq))
            found.append((seq, seen_ms))
        unsent = {} if acknowledged else _unsent(db, sinks, found)
    return _freed(found, {sink: len(missed) for sink, missed in unsent.items()})


def drop_telemetry(
    journal: Journal, sinks: Sequence[str], *, acknowledged: bool, before_ms: int | None = None
) -> Freed:
    """Drop the oldest batches; `before_ms`: only those that are older.

    What a sink had not acknowledged of them is booked as passed over: there is nothing left to send.
    """
    with _transaction(journal) as db:
        found: list[tuple[int, int]] = []
        places = _places(db, journal.head, sinks, acknowledged=acknowledged)
        for seq, seen_ms, _ in _oldest(db, "oldest_telemetry", places, BYTES):
            if before_ms is not None and seen_ms >= before_ms:
                break
            found.append((seq, seen_ms))
        for query in ("skip_rejected", "drop_rejected", "drop_telemetry"):
            db.executemany(QUERIES[query], [(seq, seq) for seq, _ in found])
        unsent = {} if acknowledged else _unsent(db, sinks, found)
        for sink, missed in unsent.items():
            ranges = Ranges(journal.progress(sink))
            ranges.add_all(missed)
            journal.put_progress(sink, ranges)
            db.execute(QUERIES["add_skipped"], (sink, len(missed)))
    return _freed(found, {sink: len(missed) for sink, missed in unsent.items()})


def _oldest(
    db: apsw.Connection, query: str, places: Sequence[tuple[int, int]], most: int
) -> list[tuple[Any, ...]]:
    """As many rows of these ranges as one transaction should hold; last in a row is the body, or its size."""
    found: list[tuple[Any, ...]] = []
    size = 0
    for first, last in places:
        for row in db.execute(QUERIES[query], (first, last, ROWS - len(found))):
            found.append(row)
            size += row[-1] if isinstance(row[-1], int) else len(row[-1])
            if size >= most:
                return found
        if len(found) >= ROWS:
            break
    return found


def _unsent(
    db: apsw.Connection, sinks: Iterable[str], found: Sequence[tuple[int, int]]
) -> dict[str, list[int]]:
    """By sink, which of these it has never acknowledged; what is only to be sent again, it had got."""
    progress = _progress(db, sinks)
    for sink, first, last in db.execute(QUERIES["all_recent"]):
        if sink in progress and first <= last:
            progress[sink].add(first, last)
    missed = {sink: [seq for seq, _ in found if seq not in ranges] for sink, ranges in progress.items()}
    return {sink: seqs for sink, seqs in missed.items() if seqs}


def _freed(found: Sequence[tuple[int, int]], unsent: Mapping[str, int]) -> Freed:
    ranges = Ranges()
    ranges.add_all(seq for seq, _ in found)
    times = [seen_ms for _, seen_ms in found]
    return Freed(len(found), tuple(ranges), unsent, min(times, default=0), max(times, default=0))


def can_trim(journal: Journal, sinks: Iterable[str]) -> bool:
    """Whether there is telemetry that every sink has."""
    with _transaction(journal) as db:
        places = _places(db, journal.head, sinks, acknowledged=True)
        return bool(_oldest(db, "oldest_telemetry", places, 1))


# --- production records ---------------------------------------------------------------------------


def drop_events(journal: Journal, sinks: Iterable[str], before_ms: int) -> int:
    """Drop the oldest events, if they are older and every sink has them. Returns how many.

    With them goes what is known of a serial number that no event tells of any more, and of a run that ended
    before that time. Orders and their totals stay: the name of an old order must not come in as a new one's.
    """
    with _transaction(journal) as db:
        rows: list[Any] = db.execute(QUERIES["oldest_events"], (0, ROWS)).fetchall()
        until = min(_old_until(db, rows, before_ms), journal.head - 1)
        if rows:
            until = min(until, _settled_until(_progress(db, sinks), rows[0][0], until))
        dropped = len([seq for seq, _ in rows if seq <= until])
        if dropped:
            _drop_until(db, rows[0][0], until, before_ms)
    return dropped


def _old_until(db: apsw.Connection, rows: Sequence[tuple[int, int]], before_ms: int) -> int:
    """seq of the last that is old, with none before it that is not; a clock that was not set is of no age."""
    until = 0
    for seq, seen_ms in rows:
        if seen_ms >= before_ms:
            return until
        if seen_ms >= SANE_MS:
            until = seq
    if not rows or until:
        return until
    later: int | None = db.execute(QUERIES["first_sane"], (rows[-1][0], SANE_MS)).get
    return int(rows[-1][0]) if later is not None and later < before_ms else 0


def _settled_until(progress: Progress, first: int, last: int) -> int:
    """Up to where, from the first, everybody has everything."""
    gaps = [next(ranges.missing(first, last), None) for ranges in progress.values()]
    return min((gap[0] - 1 for gap in gaps if gap), default=last)


def _drop_until(db: apsw.Connection, first: int, until: int, before_ms: int) -> None:
    between = (first, until)
    subjects = [subject for (subject,) in db.execute(QUERIES["subjects_between"], between)]
    runs = [run for (run,) in db.execute(QUERIES["runs_between"], between) if run]
    for query in ("drop_mentions", "drop_attributions", "skip_rejected", "drop_rejected", "drop_events"):
        db.execute(QUERIES[query], between)
    for subject in subjects:
        if subject.startswith("unit/") and not db.execute(QUERIES["mentions"], (subject,)).get:
            db.execute(QUERIES["drop_row"], (subject,))
    for key in map(run_key, runs):
        body = db.execute(QUERIES["get_row"], (key,)).get
        row = None if body is None else decode_row(body)
        if isinstance(row, Run) and row.ended_ms is not None and _end_ms(row) < before_ms:
            db.execute(QUERIES["drop_row"], (key,))


def _end_ms(run: Run) -> int:
    return max(run.ended_ms or 0, run.last_ms, run.until_ms)


# --- a dead sink, and the time --------------------------------------------------------------------


def forget_sink(journal: Journal, sink: str, *, configured: bool) -> Forgotten:
    """Nothing waits for this sink any more.

    One that the line still has goes on with what comes from now on; of any other the books are closed. Raises
    NotRecorded where nobody knows the name, JournalError.
    """
    with _transaction(journal) as db:
        known = {name for (name,) in db.execute(QUERIES["sinks_known"])}
        if not configured and sink not in known:
            raise NotRecorded(f"no sink is called {sink!r}; known are {', '.join(sorted(known)) or 'none'}")
        ranges = _progress(db, [sink])[sink]
        gaps = list(ranges.missing(1, journal.head))
        waited = sum(last - first + 1 for first, last in gaps)
        seen = db.execute(QUERIES["first_seen"], gaps[0]).fetchall() if gaps else []
        journal.put_progress(sink, [(1, journal.head)] if configured and journal.head else [])
        db.execute(QUERIES["drop_recent_of"], (sink,))
        db.execute(QUERIES["drop_marked"], (sink,))
        if configured:
            db.execute(QUERIES["add_skipped"], (sink, waited))
        else:
            db.execute(QUERIES["drop_rejected_of"], (sink,))
            db.execute(QUERIES["drop_skipped_of"], (sink,))
    return Forgotten(waited, journal.head, int(str(seen[0][0])) if seen else 0)


def today_ms(journal: Journal, wall_ms: int, passed_ms: int | None, *, synced: bool) -> int:
    """What time it is, for the age of what is kept: nothing is dropped because a clock has jumped.

    A clock that nothing disciplines may not have gone on by more than the agent has seen pass since it last
    asked (`passed_ms`), nor by more than 30 days while the agent was away (None).
    """
    with _transaction(journal) as db:
        last_ms: int | None = db.execute(QUERIES["get_calendar"]).get
        now_ms = wall_ms
        if last_ms is not None and last_ms >= SANE_MS and not synced:
            furthest = last_ms + (FURTHEST_MS if passed_ms is None else passed_ms)
            now_ms = max(last_ms, min(wall_ms, furthest))
        db.execute(QUERIES["put_calendar"], (now_ms,))
    return now_ms
