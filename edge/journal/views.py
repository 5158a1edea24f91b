"""What the core asks about events of the past, and the giving of their parts to other owners."""

from collections.abc import Callable, Iterable, Sequence

import apsw
from msgspec import json

from edge.journal.sql import QUERIES
from edge.production.draft import Move
from edge.production.events import MOVED, lot_subject
from edge.production.state import Context, Slice, View
from edge.production.totals import NOTHING, Totals, counted, disposed
from edge.production.views import Since, Window, read_view

_decode_context = json.Decoder(Context).decode


def prepare(db: apsw.Connection) -> None:
    """Tables of this connection alone, in memory."""
    db.pragma("temp_store", "memory")
    db.execute("CREATE TEMP TABLE chosen (seq INTEGER PRIMARY KEY, context INTEGER NOT NULL)")
    db.execute("CREATE TEMP TABLE moved (type TEXT PRIMARY KEY)")
    db.executemany("INSERT INTO temp.moved VALUES (?)", [(name,) for name in MOVED])


def read(db: apsw.Connection, key: str) -> View:
    """What the events of a view add up to, by their context as it is now."""
    _choose(db, key)
    slices: dict[str, Slice] = {}
    for body, kind, *figures in db.execute(QUERIES["add_up_chosen"]):
        before = slices.get(body) or Slice(_decode_context(body), NOTHING, 0)
        slices[body] = _more(before, kind, *figures)
    return View(tuple(slices.values()))


def _more(
    before: Slice, type_: str, kind: str, counts: int, first: int, events: int, first_ms: int, last_ms: int,
    parts: float, scrap: float, cycles_s: float,
) -> Slice:  # fmt: skip
    made = NOTHING
    cycles, seconds = before.cycles, before.cycles_s
    if type_ == "count":
        made = counted(kind, int(parts), counts=bool(counts))
    elif type_ == "disposition":
        made = disposed(kind, int(parts))
    elif type_ == "adjustment":
        made = Totals(added=int(parts + scrap), booked=int(scrap))
    elif type_ == "test" and first:
        made = Totals(inspected=events, first_pass=events if kind else 0)
    elif type_ == "cycle":
        cycles, seconds = cycles + int(parts), round(seconds + cycles_s, 3)
    return Slice(
        before.context, before.totals.and_(made), before.events + events, cycles, seconds,
        min(before.first_ms or first_ms, first_ms), max(before.last_ms, last_ms),
    )  # fmt: skip


def apply(db: apsw.Connection, moves: Sequence[Move], context_id: Callable[[Context], int]) -> list[int]:
    """Give the events of the moves their new contexts, in this transaction. Returns their seqs."""
    moved: list[int] = []
    chosen = ""
    for move in moves:
        if move.view != chosen:
            _choose(db, move.view)
            chosen = move.view
        source, target = context_id(move.source), context_id(move.target)
        if move.target.batch is not None and move.target.batch != move.source.batch:
            values = (source, "unit", lot_subject(move.target.batch))
            db.execute(QUERIES["mention_batch"], values)
        found = db.execute(QUERIES["move_chosen"], (source, target, move.version))
        moved += [int(seq) for (seq,) in found]
    return moved


def _choose(db: apsw.Connection, key: str) -> None:
    db.execute(QUERIES["forget_chosen"])
    match read_view(key):
        case Since(station, boot, mono_ms):
            db.execute(QUERIES["choose_since"], (station, boot, mono_ms))
        case Window(station, from_ms, to_ms):
            db.execute(QUERIES["choose_window"], (station, from_ms, to_ms))


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
