"""What the index by time and the table of mentions cost: bytes written for an event, with and without.

A line at 1 part/s: every part is a commit of its own, and so is every scan and every test result.
"""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import apsw

from edge.journal import Journal
from edge.observation import Observation
from tests.bench.floor import STATIONS, Feeder, Shift, floor
from tests.bench.grown import Say, grow
from tests.bench.process import Figures, write_bytes

_WITHOUT = {
    "": (),
    "event_at": ("DROP INDEX event_at",),
    "mention": (
        "DROP TABLE mention",
        "CREATE VIEW mention AS SELECT '' AS subject, 0 AS seq",
        "CREATE TRIGGER left_out INSTEAD OF INSERT ON mention BEGIN SELECT 1; END",
    ),
}
_KINDS = {"counted": slice(1, 2), "scanned, counted and tested": slice(0, 3)}


def prices(folder: Path, units: int, measured: int, rounds: int, say: Say) -> Iterator[tuple[str, Figures]]:
    """For parts that are only counted, and for those with a serial number."""
    built = folder / "price.db"
    grow(built, units, say)
    for kind, observations in _KINDS.items():
        found: dict[str, list[float]] = {name: [] for name in _WITHOUT}
        for turn in range(rounds):
            for name, changes in _WITHOUT.items():
                say(f"{kind}, without {name or 'nothing'}, round {turn + 1} of {rounds}")
                found[name].append(_bytes_each(built, changes, observations, measured))
        medians = {name: statistics.median(values) for name, values in found.items()}
        yield (
            f"written for an event of parts {kind}, a commit each",
            {
                "bytes": medians[""],
                "of_them_event_at": medians[""] - medians["event_at"],
                "of_them_mention": medians[""] - medians["mention"],
                "noise_bytes": max(max(values) - min(values) for values in found.values()),
            },
        )


def _bytes_each(built: Path, changes: tuple[str, ...], observations: slice, measured: int) -> float:
    path = built.parent / "priced" / "journal.db"
    path.parent.mkdir()
    try:
        shutil.copyfile(built, path)
        db = apsw.Connection(str(path))
        for statement in (*changes, "VACUUM"):  # pages that were let go of would be used again first
            db.execute(statement)
        db.pragma("wal_checkpoint", "truncate")
        db.close()
        return _feed(path, observations, measured)
    finally:
        shutil.rmtree(path.parent)


def _feed(path: Path, observations: slice, measured: int) -> float:
    journal, shift = Journal(path), Shift("PRICE", 60_000_000)
    feeder = Feeder(floor(path.parent), journal)
    feeder.feed([*shift.begin(10**6)], 1)

    def unit(number: int) -> list[Observation]:
        return [*shift.unit(number, number // STATIONS + 1)][observations]

    feeder.feed(unit(0), 1)
    before, head = write_bytes(), journal.head
    for number in range(1, measured + 1):
        feeder.feed(unit(number), 1)
    found = (write_bytes() - before) / (journal.head - head)
    journal.close()
    return found
