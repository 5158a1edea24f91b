"""Takes what can be read of a damaged journal over into a new one, row by row.

The damaged file is only read. A row that was read is taken when it decodes: a page that SQLite finds
well-formed can still hold wrong bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import apsw
from msgspec import DecodeError, Struct, json

from edge.journal.integrity import DAMAGE
from edge.journal.migrate import migrate
from edge.journal.ranges import Ranges
from edge.journal.shape import EARLIEST_MS, LATEST_MS, MOST_SEQ, is_row, tables
from edge.journal.sql import QUERIES, migrations
from edge.journal.wal import BUSY_MS
from edge.production.context import Context
from edge.production.slots import slots
from edge.production.state import Station, decode_row

STRIDE = 1_000
"""Rows that are read at once; where that fails, they are sought in smaller and smaller pieces."""
MOST_FAILURES = 64
"""Strides that fail one after another; beyond it ever longer ones are skipped."""
BEYOND = 65_536
"""So far beyond every seq that is known of it is looked, where the newest of a table cannot be read."""
ROOM = 32_000_000
"""Bytes that are left free on the disk."""

_LAST: Final = {
    "head": {"event", "telemetry", "epoch"}, "last_event": {"event"}, "last_telemetry": {"telemetry"},
}  # fmt: skip
"""Queries for the newest seq, and the tables that they need."""

Rows = Sequence[tuple[Any, ...]]


class Salvaged(Struct):
    """What a damaged journal held, and what of it is in the new one."""

    records: int = 0
    """Events and batches of telemetry that could be read, and are in the new journal."""
    first_seq: int = 0
    last_seq: int = 0
    """The newest seq that it knew of; the new journal goes on after it."""
    newest_ms: int = 0
    """UTC, of the newest event that could be read."""
    running: tuple[str, ...] = ()
    """Orders that were on."""
    rows: int = 0
    """Of the state: orders, runs, counters' baselines."""
    bad: int = 0
    """Rows of any table that were read and made no sense."""
    lost: int = 0
    """Numbers of records that could not be read; no record need have been there."""
    waiting: int = 0
    """Records that not every sink had acknowledged and that are in the new journal."""
    waiting_lost: int = 0
    """The same, of the numbers that could not be read."""
    left: int = 0
    """Records, the oldest, that were left in the old file for want of room."""


_decode_context = json.Decoder(Context).decode


def _is_json(body: bytes) -> bool:
    try:
        json.decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _is_context(body: str) -> bool:
    try:
        _decode_context(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


MAKES_SENSE: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "event": ("data", _is_json),
    "context": ("body", _is_context),
}
"""By table, a column and what tells whether it was read as it was written. Telemetry has a sum of its own."""
KEYS: Final = 3
"""The step of the schema that changes keys of the state: done once more, for the old file may be of a schema
before it."""
NUMBERS: Final = {"seq", "first", "last", "first_seq"}
TIMES: Final = {"event": ("at_ms", "seen_ms"), "telemetry": ("at_ms", "seen_ms")}


class _Table(Struct):
    """One that both journals have."""

    name: str
    columns: list[str]
    """Those that both have."""
    key: list[str]
    numbered: bool
    """The key is one whole number: rows can be sought between two of them."""

    def query(self, name: str, order: str = "") -> str:
        """A statement for this table; `order`: that of the key, ASC or DESC."""
        text: str = QUERIES[name]
        ordered = ", ".join(f"{column} {order}" for column in self.key)
        columns, marks = ", ".join(self.columns), ", ".join("?" * len(self.columns))
        conflict = "REPLACE" if self.name == "secret" else "IGNORE"
        return text.format(
            table=self.name, columns=columns, key=self.key[0], order=ordered, marks=marks, conflict=conflict
        )  # fmt: skip


class Salvage:
    """From the damaged file `old` to the file `new`, which must not be there. `salvage` does it all."""

    def __init__(
        self, old: apsw.Connection, new: apsw.Connection, size: int, free: int, alive: Callable[[], None]
    ) -> None:
        self._old = old
        self._new = new
        self._alive = alive
        self._share = min(1.0, max(0.0, (free - ROOM) / max(1, size)))
        """Of the records, what there is room for."""
        self._there = Ranges()
        self._unread = Ranges()
        self._whole = True
        self.found = Salvaged()

    def run(self) -> None:
        """Raises apsw.Error for what is wrong with the new one."""
        tables = {one.name: one for one in self._tables()}
        records = [tables.pop(name) for name in ("event", "telemetry") if name in tables]
        for table in tables.values():
            self._copy_all(table)
        self._new.execute(migrations()[KEYS - 1])
        self.found.last_seq = self._last_seq()
        for table in records:
            self._copy_records(table)
        self._new.execute(QUERIES["mend_contexts"])
        self._new.execute(QUERIES["mend_boots"])
        self._sum_up()

    def _tables(self) -> Iterator[_Table]:
        own = tables(self._old)
        for (name,) in self._new.execute(QUERIES["tables"]).fetchall():
            if name not in own:
                continue
            try:
                there = {column for column, _, _ in self._old.execute(QUERIES["columns"], (name,))}
            except DAMAGE:
                continue
            ours: list[tuple[Any, ...]] = self._new.execute(QUERIES["columns"], (name,)).fetchall()
            key = [column for column, _, place in ours if place]
            kinds = [kind for _, kind, place in ours if place]
            if there.issuperset(key):
                columns = [column for column, _, _ in ours if column in there]
                yield _Table(str(name), columns, key, kinds == ["INTEGER"])

    # --- reading ------------------------------------------------------------------------------

    def _copy_all(self, table: _Table) -> None:
        if table.numbered:
            for rows in self._numbered(table, 0, self._max(table) or BEYOND):
                self._put(table, rows)
            return
        last = None
        for rows in self._named(table, "ASC", None):
            last = rows[-1]
            self._put(table, rows)
        if not self._whole:
            for rows in self._named(table, "DESC", last):
                self._put(table, rows)

    def _named(self, table: _Table, way: str, until: tuple[Any, ...] | None) -> Iterator[Rows]:
        """From one end as far as it can be read, or `until` a row; `_whole` where nothing stopped it."""
        rows: list[tuple[Any, ...]] = []
        self._whole = False
        try:
            for row in self._old.execute(table.query("salvage_ordered", way)):
                if row == until:
                    break
                rows.append(row)
                if len(rows) == STRIDE:
                    yield rows
                    rows = []
            self._whole = True
        except DAMAGE:
            pass
        if rows:
            yield rows

    def _numbered(self, table: _Table, first: int, last: int) -> Iterator[Rows]:
        onwards, between = table.query("salvage_onwards"), table.query("salvage_between")
        place = table.columns.index(table.key[0])
        failures, stride = 0, STRIDE
        while first <= last:
            try:
                rows: list[tuple[Any, ...]] = self._old.execute(onwards, (first, STRIDE)).fetchall()
            except DAMAGE:
                failures += 1
                stride = STRIDE if failures <= MOST_FAILURES else stride * 2
                yield from self._pieces(between, first, min(last, first + STRIDE - 1))
                self._skip(first + STRIDE, min(last, first + stride - 1))
                first += stride
                continue
            if not rows:
                return
            failures, stride = 0, STRIDE
            yield rows
            first = rows[-1][place] + 1

    def _pieces(self, between: str, first: int, last: int) -> Iterator[Rows]:
        pieces = [(first, last)]
        while pieces:
            low, high = pieces.pop()
            try:
                rows = self._old.execute(between, (low, high)).fetchall()
            except DAMAGE:
                if low == high:
                    self._skip(low, high)
                else:
                    middle = (low + high) // 2
                    pieces += [(middle + 1, high), (low, middle)]
                continue
            if rows:
                yield rows

    def _skip(self, first: int, last: int) -> None:
        if first <= last:
            self._unread.add(first, last)

    def _max(self, table: _Table) -> int:
        try:
            found = self._old.execute(table.query("salvage_last")).get
        except DAMAGE:
            return 0
        return found or 0

    def _last_seq(self) -> int:
        """Also where the newest events cannot be read: others speak of them."""
        known = [self._new.execute(QUERIES["last_spoken_of"]).get or 0]
        own = tables(self._old)
        for query, needed in _LAST.items():
            if not needed <= own:
                continue
            try:
                known.append(self._old.execute(QUERIES[query]).get or 0)
            except DAMAGE:
                continue
        return max(int(seq) for seq in known if seq <= MOST_SEQ)

    # --- writing ------------------------------------------------------------------------------

    def _copy_records(self, table: _Table) -> None:
        self._unread = Ranges(self._unread if table.name == "telemetry" else ())
        newest = self.found.last_seq
        first = 0
        if self._share < 1:
            first = int(newest * (1 - self._share))
            self.found.left = max(0, first - 1)
        last = newest if self._max(table) else newest + BEYOND
        place = table.columns.index("seq")
        at = table.columns.index("at_ms")
        for rows in self._numbered(table, first, last):
            taken = self._put(table, rows)
            self._there.add_all(row[place] for row in taken)
            if table.name == "event" and taken:
                self.found.newest_ms = max(self.found.newest_ms, *(row[at] for row in taken))

    def _put(self, table: _Table, rows: Rows) -> Rows:
        """Those that make sense. Raises apsw.FullError."""
        self._alive()
        taken = list(self._sensible(table, rows))
        self.found.bad += len(rows) - len(taken)
        insert = table.query("salvage_put")
        with self._new:
            for row in taken:
                try:
                    self._new.execute(insert, row)
                except (apsw.ConstraintError, apsw.MismatchError):
                    self.found.bad += 1
        return taken

    def _sensible(self, table: _Table, rows: Rows) -> Iterator[tuple[Any, ...]]:
        makes_sense = _sense_of(table)
        yield from (row for row in rows if makes_sense(row))

    # --- what became of it --------------------------------------------------------------------

    def _sum_up(self) -> None:
        found = self.found
        ranges = list(self._there)
        found.records = len(self._there)
        if ranges:
            found.first_seq, found.last_seq = ranges[0][0], max(ranges[-1][1], found.last_seq)
        self._unread_is_of_its_own(ranges)
        found.lost = len(self._unread)
        settled = self._settled()
        found.waiting = _outside(settled, self._there)
        found.waiting_lost = _outside(settled, self._unread)
        found.rows = self._new.execute(QUERIES["count_rows"]).get
        found.running = tuple(sorted(set(self._running())))

    def _unread_is_of_its_own(self, ranges: Iterable[tuple[int, int]]) -> None:
        """A number that one table could not give may be of the other. None is beyond the newest."""
        for first, last in ranges:
            self._unread.remove(first, last)
        self._unread.remove(self.found.last_seq + 1, 1 << 62)

    def _settled(self) -> Ranges:
        """What every sink that has ever acknowledged anything has acknowledged."""
        waiting = Ranges()
        of_sinks: dict[str, Ranges] = {}
        for sink, first, last in self._new.execute(QUERIES["all_progress"]):
            of_sinks.setdefault(sink, Ranges()).add(first, last)
        for acknowledged in of_sinks.values():
            for gap in acknowledged.missing(0, self.found.last_seq):
                waiting.add(*gap)
        return Ranges(waiting.missing(0, self.found.last_seq) if of_sinks else ())

    def _running(self) -> Iterator[str]:
        for _, body in self._new.execute(QUERIES["rows_with_prefix"], ("station/",)):
            row = decode_row(body)
            if isinstance(row, Station):
                yield from (slot.run.order for slot in slots(row) if slot.run.order)


def _sense_of(table: _Table) -> Callable[[tuple[Any, ...]], bool]:
    """Whether a row of this table can have been written so."""
    at = table.columns.index
    numbers = [at(name) for name in table.columns if name in NUMBERS]
    times = [at(name) for name in TIMES.get(table.name, ())]
    both = (at("first"), at("last")) if {"first", "last"} <= set(table.columns) else None
    column, is_sound = MAKES_SENSE.get(table.name, ("", None))

    def makes_sense(row: tuple[Any, ...]) -> bool:
        if not all(isinstance(row[place], int) and 0 <= row[place] <= MOST_SEQ for place in numbers):
            return False
        if both is not None and row[both[0]] > row[both[1]]:
            return False
        if not all(isinstance(row[place], int) and EARLIEST_MS <= row[place] <= LATEST_MS for place in times):
            return False
        if table.name == "state":
            return is_row(row[at("key")], row[at("body")])
        return is_sound is None or (isinstance(row[at(column)], bytes | str) and is_sound(row[at(column)]))

    return makes_sense


def _outside(settled: Ranges, numbers: Ranges) -> int:
    return sum(
        end - begin + 1 for first, last in numbers for begin, end in settled.missing(first, last)
    )  # fmt: skip


def salvage(path: Path, new: Path, free: int, alive: Callable[[], None]) -> Salvaged:
    """All that can be read of `path`, in a journal at `new` that is complete in the end.

    `free`: bytes of the disk. `alive` is called all the time. Raises apsw.Error and OSError for what is
    wrong with the new one, and for the disk.
    """
    with closing(apsw.Connection(str(new))) as db:
        db.pragma("journal_mode", "memory")  # no one has it yet: after a kill it is begun again
        db.pragma("synchronous", "off")
        migrate(db, new)
        old = _opened(path)
        if old is None:
            return Salvaged()
        with closing(old):
            work = Salvage(old, db, path.stat().st_size, free, alive)
            work.run()
        found = work.found
        if found.last_seq:
            db.execute(QUERIES["begin_epoch"], (found.last_seq + 1, "salvaged"))
    return found


def _opened(path: Path) -> apsw.Connection | None:
    """None where nothing of it can be read."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(BUSY_MS)
        db.pragma("writable_schema", True)  # nothing is written; else a file without its end is refused
        db.execute(QUERIES["tables"]).fetchall()
    except DAMAGE:
        return None
    return db
