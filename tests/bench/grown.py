"""A journal of many units, made fast: the core decides one block of real events, SQL repeats it.

Every copy has its own serials, orders, runs, contexts, times and seq, and its rows of state and mention; it
goes through the journal's own schema, with its indexes in place.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
from msgspec.structs import replace

from edge.journal import Journal
from edge.production.state import LINE, LineRow
from tests.bench.floor import STATIONS, Feeder, Shift, floor

BLOCK_UNITS = 2_000
EVENTS_A_UNIT = 5
"""Two of its scan, two of its count, one of its test."""
BYTES_A_UNIT = 1_200
"""In the file: its events, their indexes, its row and its mentions."""
_TOKEN = "K00000"
_SPAN_MS = 900_000
"""From the begin of a block to that of the next."""

Say = Callable[[str], None]

_COPY = (
    """INSERT OR IGNORE INTO main.context SELECT id + :shift,
         replace(replace(body, :old, :new), '"run":"r', '"run":"r' || :k || '0')
       FROM block.context JOIN temp.own USING (id)""",
    """INSERT INTO main.event SELECT event.seq + :k * :events, type, at_ms - :back, stamp, seen_ms - :back,
         mono_ms - :back, boot, station, context + CASE WHEN own.id IS NULL THEN 0 ELSE :shift END,
         CAST(replace(CAST(data AS TEXT), :old, :new) AS BLOB)
       FROM block.event LEFT JOIN temp.own ON own.id = event.context ORDER BY event.seq""",
    """INSERT INTO main.mention SELECT replace(subject, :old, :new), seq + :k * :events FROM block.mention""",
    """INSERT INTO main.state SELECT replace(replace(key, :old, :new), 'run/r', 'run/r' || :k || '0'),
         CAST(replace(replace(CAST(body AS TEXT), :old, :new), '"id":"r', '"id":"r' || :k || '0') AS BLOB)
       FROM block.state WHERE key LIKE '%/' || '%' || :old || '%' OR key LIKE 'run/%'""",
)
_LAST = """INSERT INTO main.state SELECT key, CAST(replace(CAST(body AS TEXT), :old, :new) AS BLOB)
           FROM block.state WHERE key NOT IN (SELECT key FROM main.state)
             AND NOT (key LIKE '%/' || '%' || :old || '%' OR key LIKE 'run/%')"""


def token(block: int) -> str:
    """What all names of a block have in them."""
    return f"K{block + 1:05}"


def grow(path: Path, units: int, say: Say) -> int:
    """Make a journal of so many units. Returns its number of events."""
    folder = path.parent / f"{path.stem}-block"
    folder.mkdir(parents=True)
    _one_block(folder)
    Journal(path).close()
    blocks = units // BLOCK_UNITS
    db = _bulk(path, folder / "block.db")
    try:
        events = _repeat(db, blocks, say)
    finally:
        db.close()
        shutil.rmtree(folder)
    journal = Journal(path)
    line = journal.row(LINE)
    assert isinstance(line, LineRow)
    journal.commit((), {LINE: replace(line, runs=10**9)})
    journal.close()
    return events


def _one_block(folder: Path) -> None:
    journal = Journal(folder / "block.db")
    feeder, shift = Feeder(floor(folder), journal), Shift(_TOKEN)
    feeder.feed([*shift.begin(BLOCK_UNITS // STATIONS)], 1)
    for number in range(BLOCK_UNITS):
        feeder.feed([*shift.unit(number, number // STATIONS + 1)], 3)
    feeder.feed([*shift.end(BLOCK_UNITS)], 1)
    journal.close()


def _bulk(path: Path, block: Path) -> apsw.Connection:
    """Without a journal or a flush: it is made anew where it fails."""
    db = apsw.Connection(str(path))
    for name, value in (("journal_mode", "off"), ("synchronous", "off"), ("cache_size", -200_000)):
        db.pragma(name, value)
    db.execute("ATTACH ? AS block", (str(block),))
    db.execute("INSERT INTO main.boot SELECT * FROM block.boot")
    db.execute("CREATE TEMP TABLE own (id INTEGER PRIMARY KEY)")
    db.execute("""INSERT INTO own SELECT id FROM block.context WHERE instr(body, ?)""", (_TOKEN,))
    db.execute("INSERT INTO main.context SELECT * FROM block.context WHERE id NOT IN (SELECT id FROM own)")
    return db


def _repeat(db: apsw.Connection, blocks: int, say: Say) -> int:
    events = int(db.execute("SELECT max(seq) FROM block.event").get)
    contexts = int(db.execute("SELECT max(id) FROM block.context").get)
    for block in range(blocks):
        values = {
            "k": block, "events": events, "shift": (block + 1) * contexts, "old": _TOKEN,
            "new": token(block), "back": (blocks - 1 - block) * _SPAN_MS,
        }  # fmt: skip
        with db:
            for statement in (*_COPY, *([_LAST] if block == blocks - 1 else [])):
                db.execute(statement, values)
        if block % 10 == 9 or block == blocks - 1:
            say(f"{(block + 1) * events:,} of {blocks * events:,} events")
    return blocks * events


def on_terminal(text: str) -> None:
    """Progress, on one line that is written over."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()
