"""What the core asks about events of the past, and the giving of their parts to other owners."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import groupby

import apsw
from msgspec import Struct, json

from edge.journal.ranges import Ranges
from edge.journal.sql import QUERIES
from edge.production.beside import Slice, View
from edge.production.context import Context
from edge.production.draft import Move
from edge.production.events import MOVED, Adjustment, Count, Cycle, Disposition
from edge.production.totals import NOTHING, SCRAPS, Totals, counted, disposed
from edge.production.traced import lot_subject
from edge.production.views import MOST_EVENTS, Since, Whole, Window, read_view

_decode_context = json.Decoder(Context).decode
_decode_count = json.Decoder(Count).decode
_decode_disposition = json.Decoder(Disposition).decode
_decode_adjustment = json.Decoder(Adjustment).decode
_decode_cycle = json.Decoder(Cycle).decode


def prepare(db: apsw.Connection) -> None:
    """Tables of this connection alone, in memory."""
    db.pragma("temp_store", "memory")
    db.execute(QUERIES["prepare_views"])
    db.executemany(QUERIES["add_moved_type"], [(name,) for name in MOVED])


class _Verdict(Struct):
    """Of a test, what adds up; its measurements are left unread."""

    first: bool = False
    first_pass: bool = False


class _Part(Struct, frozen=True):
    """What one event says, as far as it adds up with others of its kind."""

    kind: Hashable = None
    parts: int = 0
    scrap: int = 0
    cycles_s: float = 0.0


_UNCOUNTED = _Part()
_decode_verdict = json.Decoder(_Verdict).decode


class _Sum(Struct):
    """Of events of one context, type and kind."""

    first_ms: int
    last_ms: int
    events: int = 0
    parts: int = 0
    scrap: int = 0
    cycles_s: float = 0.0

    def add(self, at_ms: int, part: _Part) -> None:
        if at_ms < self.first_ms:
            self.first_ms = at_ms
        elif at_ms > self.last_ms:
            self.last_ms = at_ms
        self.events += 1
        self.parts += part.parts
        self.scrap += part.scrap
        self.cycles_s += part.cycles_s


def read(db: apsw.Connection, key: str) -> View:
    """What the events of a view add up to, by their context as it is now.

    They are added up one by one: GROUP BY would hold the data of all of them in memory.
    """
    _choose(db, key)
    if db.execute(QUERIES["count_chosen"]).get > MOST_EVENTS:
        return View(too_many=True)
    sums: dict[tuple[int, str, Hashable], _Sum] = {}
    for context, type_, at_ms, data in db.execute(QUERIES["read_chosen"]):
        part = _part(type_, data)
        of_kind = (context, type_, part.kind)
        found = sums.get(of_kind)
        if found is None:
            found = sums[of_kind] = _Sum(at_ms, at_ms)
        found.add(at_ms, part)
    slices: dict[str, Slice] = {}
    for (context, type_, kind), found in sums.items():
        body: str = db.execute(QUERIES["get_context"], (context,)).get
        slices[body] = _more(slices.get(body) or Slice(_decode_context(body), NOTHING, 0), type_, kind, found)
    return View(tuple(slices[body] for body in sorted(slices)))


def _part(type_: str, data: bytes) -> _Part:
    match type_:
        case "count":
            count = _decode_count(data)
            return _Part((count.role, count.counts, count.of_total, count.reason), count.produced)
        case "disposition":
            disposition = _decode_disposition(data)
            return _Part((disposition.disposition, disposition.reason), disposition.quantity)
        case "adjustment":
            adjustment = _decode_adjustment(data)
            return _Part(None, adjustment.good, adjustment.scrap)
        case "test":
            verdict = _decode_verdict(data)
            return _Part((verdict.first, verdict.first_pass))
        case "cycle":
            cycle = _decode_cycle(data)
            return _Part(None, cycle.cycles, 0, cycle.cycle_s * cycle.cycles)
    return _UNCOUNTED


def _more(before: Slice, type_: str, kind: Hashable, sums: _Sum) -> Slice:
    made, scrapped = NOTHING, ""
    cycles, seconds = before.cycles, before.cycles_s
    match type_, kind:
        case "count", (str(role), bool(counts), bool(of_total), str(scrapped)):
            made = counted(role, sums.parts, counts=counts, of_total=of_total)
        case "disposition", (str(disposition), str(reason)):
            made = disposed(disposition, sums.parts)
            scrapped = reason if disposition in SCRAPS else ""
        case "adjustment", _:
            made = Totals(added=sums.parts + sums.scrap, booked=sums.scrap)
        case "test", (True, bool(passed)):
            made = Totals(inspected=sums.events, first_pass=sums.events if passed else 0)
        case "cycle", _:
            cycles, seconds = cycles + sums.parts, round(seconds + sums.cycles_s, 3)
    return Slice(
        before.context, before.totals.and_(made), before.events + sums.events, cycles, seconds,
        min(before.first_ms or sums.first_ms, sums.first_ms), max(before.last_ms, sums.last_ms),
        _with_reason(before.reasons, scrapped, sums.parts),
    )  # fmt: skip


def _with_reason(reasons: Mapping[str, int], reason: str, parts: int) -> Mapping[str, int]:
    if not reason:
        return reasons
    found = {**reasons, reason: reasons.get(reason, 0) + parts}
    return {name: found[name] for name in sorted(found) if found[name]}


def apply(
    db: apsw.Connection, moves: Sequence[Move], context_id: Callable[[Context], int]
) -> list[tuple[int, int]]:
    """Give the events of the moves their new contexts, in this transaction. Returns ranges of their seqs."""
    moved = Ranges()
    for view, of_view in groupby(moves, lambda move: move.view):
        _choose(db, view)
        db.execute(QUERIES["forget_moves"])
        db.executemany(QUERIES["add_move"], [
            (context_id(one.source), context_id(one.target), one.version, _batch(one)) for one in of_view
        ])  # fmt: skip
        db.execute(QUERIES["mention_batches"])
        db.execute(QUERIES["move_chosen"])
        for first, last in as_ranges(seq for (seq,) in db.execute(QUERIES["moved_chosen"])):
            moved.add(first, last)
    return list(moved)


def _batch(move: Move) -> str | None:
    """The batch that the parts are of from now on, where it is another one."""
    batch = move.target.batch
    return None if batch is None or batch == move.source.batch else lot_subject(batch)


def _choose(db: apsw.Connection, key: str) -> None:
    db.execute(QUERIES["forget_chosen"])
    match read_view(key):
        case Since(station, boot, mono_ms):
            db.execute(QUERIES["choose_since"], (station, boot, mono_ms))
        case Window(station, from_ms, to_ms):
            db.execute(QUERIES["choose_window"], (station, from_ms, to_ms, MOST_EVENTS + 1, False))
        case Whole(station, from_ms, to_ms):
            db.execute(QUERIES["choose_window"], (station, from_ms, to_ms, MOST_EVENTS + 1, True))


CLOSE = 16
"""Seqs that were moved and lie so near to each other are sent again as one range, with those between."""
MOST_RANGES = 2_000


def as_ranges(seqs: Iterable[int]) -> list[tuple[int, int]]:
    """Few ranges that hold them all: to send an event again does no harm, many small ranges do."""
    ranges: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if ranges and seq - ranges[-1][1] <= CLOSE:
            ranges[-1] = ranges[-1][0], seq
        else:
            ranges.append((seq, seq))
    return ranges if len(ranges) <= MOST_RANGES else [(ranges[0][0], ranges[-1][1])]
