"""What became of a lot, a serial number or a run: the journal asked by name and not by seq.

Every answer goes by the newest owner of an event: what a correction moved is told of where it belongs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

from edge.contract import Record
from edge.errors import JournalError
from edge.journal import views
from edge.journal.reader import JournalReader
from edge.journal.sql import QUERIES
from edge.production.beside import Slice
from edge.production.slots import slots
from edge.production.state import Row, Run, Station, Unit, run_key, unit_key
from edge.production.supervising import LATE_MS
from edge.production.traced import lot_subject, unit_subject
from edge.production.views import Window

FOREVER_MS = 1 << 52
STRIDE = 100_000
"""Events looked through by one statement."""
PAGE = 500
SPAN_MS = 600_000
_NEAR = 2_000


class Use(Struct, frozen=True):
    """A lot of material in one run."""

    run: str
    material: str
    lot: str
    use: str
    """See `events.MaterialUsed`."""
    times: int
    quantity: float
    """In the unit that the lot is measured in."""


class Member(Struct, frozen=True):
    """A serial number and what it has to do with a lot."""

    unit: str
    listed: bool
    """The lot was in use when it was scanned."""
    member: bool
    """It is of this batch."""


class MadeUnder(Struct, frozen=True):
    """Serial numbers by what they were made under."""

    order: str | None
    operation: int | None
    item: str | None
    revision: str | None
    run: str | None
    station: str
    units: int


class TestedOn(Struct, frozen=True):
    """Tests by rig, program and the program's revision."""

    rig: str
    program: str
    revision: str | None
    units: int
    passed: int
    tests: int


class Entry(Struct, frozen=True):
    """One event as it is stored, and whose it is now."""

    epoch: str
    seq: int
    type: str
    at_ms: int
    stamp: str
    seen_ms: int
    mono_ms: int
    boot: str
    station: str
    context: str
    """JSON, as it was committed."""
    data: bytes
    """JSON, as it was committed."""
    version: int
    """Of the correction that moved it last; 1: none did."""
    owner: str | None
    """JSON; the context that it was given; None where it has its own."""
    mine: int
    """1: it is of the run that was asked for; 0: it was moved out of it."""


class History(JournalReader):
    """A reader that also finds. Memory is bounded by the limits that its methods are given."""

    def __init__(self, path: Path, line: str) -> None:
        """Raises JournalError when there is no journal."""
        super().__init__(path, line)
        self._chosen = ""
        try:
            views.prepare(self._db)
            self._db.execute(QUERIES["prepare_history"])
        except apsw.Error as error:
            raise JournalError(str(path), str(error)) from error

    @property
    def line(self) -> str:
        """Name of the line."""
        return self._line

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything asked inside is of one moment. The agent goes on beside it."""
        self._db.execute(QUERIES["begin_reading"])
        try:
            self.head()  # SQLite takes its snapshot at the first read
            yield
        finally:
            self._db.execute(QUERIES["rollback"])
            self._chosen = ""

    # --- names ------------------------------------------------------------------------------

    def knows_unit(self, serial: str) -> bool:
        return bool(self._ask("mentions", unit_subject(serial))[0][0])

    def knows_lot(self, lot: str) -> bool:
        """Also a batch that only counts were given to."""
        return bool(self._ask("mentions", lot_subject(lot))[0][0] or self._ask("contexts_of_batch", lot, 1))

    def names_near(self, word: str) -> list[str]:
        """Serial numbers and lots that begin like this word, `_NEAR` of each kind at the most."""
        found: list[str] = []
        for kind in (unit_subject(""), lot_subject("")):
            begin = kind + word[: max(1, len(word) // 2)]
            names = self._ask("subjects_from", begin, begin + "\U0010ffff", _NEAR)
            found += [name.partition("/")[2] for (name,) in names]
        return found

    # --- runs -------------------------------------------------------------------------------

    def run(self, name: str) -> Run | None:
        """One that is on, one that has ended, or parts of no order."""
        running = next((run for run in self._running() if run.id == name), None)
        row = self._row(run_key(name)) if running is None else running
        return row if isinstance(row, Run) else None

    def _row(self, key: str) -> Row | None:
        found = self._ask("get_row", key)
        return self._decoded(key, found[0][0]) if found else None

    def runs(self, order: str | None, station: str | None, limit: int) -> list[Run]:
        """The newest first."""
        found = {run.id: run for run in self._running()}
        found = {
            name: run for name, run in found.items()
            if order in (None, run.order) and station in (None, run.station)
        }  # fmt: skip
        for key, body in self._ask("rows_of_runs", order, station, limit):
            row = self._decoded(str(key), body)
            if isinstance(row, Run):
                found.setdefault(row.id, row)
        newest = sorted(found.values(), key=lambda run: (run.started_ms, int(run.id[1:])), reverse=True)
        return newest[:limit]

    def _running(self) -> Iterator[Run]:
        for _, row in self.rows("station/"):
            if isinstance(row, Station):
                yield from (slot.run for slot in slots(row))
                if row.loose is not None:
                    yield row.loose

    def made(self, run: Run) -> list[Slice]:
        """What the run made, by batch and operator; the same context may come several times.

        Added up by spans of time, so that a run of a week takes no more memory than one of an hour.
        """
        from_ms, until_ms = _bounds(run)
        found: list[Slice] = []
        while (at_ms := self._ask("next_at", run.station, from_ms)[0][0]) is not None and at_ms < until_ms:
            from_ms = min(at_ms + SPAN_MS, until_ms)
            found += self._slices(run, Window(run.station, at_ms, from_ms))
        return found

    def _slices(self, run: Run, window: Window) -> list[Slice]:
        self._chosen = ""
        try:
            view = views.read(self._db, window.key)
        except apsw.Error as error:
            raise JournalError(str(self._path), str(error)) from error
        return [one for one in view.slices if one.context.run == run.id]

    def uses_in(self, run: Run) -> list[Use]:
        """What the run used of which lot."""
        self._choose(run)
        return [Use(*row) for row in self._ask("uses_in_chosen", run.id)]

    def unit_batches_in(self, run: Run) -> set[str | None]:
        """Batches that serial numbers of the run are of; None: some are of none."""
        self._choose(run)
        return {batch for (batch,) in self._ask("unit_batches_in_chosen", run.id)}

    def units_in(self, run: Run, batch: str | None, limit: int) -> list[Member]:
        """Serial numbers of a batch (or of none) that the run knows of, though no lot was named with them."""
        self._choose(run)
        return _members(self._ask("units_in_chosen", run.id, batch, limit))

    def _choose(self, run: Run) -> None:
        """What happened at its station in its time; asked about one run several times, looked for once."""
        if self._chosen != run.id:
            self._ask("forget_chosen")
            self._ask("choose_window", run.station, *_bounds(run), -1, 1)
            self._chosen = run.id

    # --- lots and units ---------------------------------------------------------------------

    def unit(self, serial: str) -> Unit | None:
        row = self._row(unit_key(serial))
        return row if isinstance(row, Unit) else None

    def about_unit(self, serial: str, limit: int) -> list[Record]:
        """The events of a serial number, ascending."""
        return [self._record(*row) for row in self._ask("events_about", unit_subject(serial), None, limit)]

    def lot_changes(self, lot: str, limit: int) -> list[Record]:
        """Where it was begun, split or merged."""
        return [self._record(*row) for row in self._ask("events_about", lot_subject(lot), "lot", limit)]

    def uses_of(self, lot: str) -> list[Use]:
        return [Use(*row) for row in self._ask("uses_of_lot", lot_subject(lot), lot)]

    def units_of(self, lot: str, limit: int) -> list[Member]:
        """Those scanned first come first."""
        return _members(self._ask("units_of_lot", lot_subject(lot), lot, limit))

    def count_units_of(self, lot: str) -> int:
        return int(self._ask("count_units_of_lot", lot_subject(lot), lot)[0][0])

    def made_of(self, lot: str, limit: int) -> list[MadeUnder]:
        return [MadeUnder(*row) for row in self._ask("made_of_lot", lot_subject(lot), lot, limit)]

    def tests_of(self, lot: str, limit: int) -> list[TestedOn]:
        return [TestedOn(*row) for row in self._ask("tests_of_lot", lot_subject(lot), lot, limit)]

    def batch_runs(self, batch: str, limit: int) -> list[str]:
        """Names of runs that may have made it: whether they did, `made` tells."""
        return [str(run) for (run,) in self._ask("contexts_of_batch", batch, limit)]

    # --- everything of one run --------------------------------------------------------------

    def collect(self, run: Run, head: int) -> None:
        """Find every event up to `head` that is the run's, or was; `collected` gives them.

        By its context alone: neither a late stamp nor a clock that went back hides one. What came before
        the run's begin is not looked at; what was given to it later is found by the correction.
        """
        for query in ("forget_mine", "forget_wanted"):
            self._ask(query)
        self._ask("choose_contexts", run.id)
        begun = self._ask("first_of_run", run.station, run.started_ms)[0][0]
        for first in range(begun or 1, head + 1, STRIDE):
            self._ask("want_said", first, min(first + STRIDE - 1, head))
        self._ask("want_given")

    def collected(self, type_: str | None = None) -> Iterator[Entry]:
        """The events that were found, ascending, a page at a time; of one type only, if it is named."""
        seq = 0
        while rows := self._ask("wanted_after", seq, type_, PAGE):
            for row in rows:
                yield Entry(*row)
            seq = rows[-1][1]

    def corrections_after(self, head: int) -> set[int]:
        """Versions of corrections that were said after this seq."""
        found: set[int] = set()
        last = self.head()
        for first in range(head + 1, last + 1, STRIDE):
            until = min(first + STRIDE - 1, last)
            found |= {int(version) for (version,) in self._ask("corrections_after", first, until)}
        return found


def _bounds(run: Run) -> tuple[int, int]:
    """From when to before when its events are looked for, by event time."""
    end_ms = FOREVER_MS if run.ended_ms is None else max(run.ended_ms, run.last_ms)
    return (run.first_ms or run.started_ms) - LATE_MS, end_ms + LATE_MS


def _members(rows: list[Any]) -> list[Member]:
    return [Member(unit, bool(listed), bool(member)) for unit, listed, member, _ in rows]
