"""What a journal of each schema is made of, and which numbers in it can be believed.

Nothing is asked of a file's tables before they are known to be the journal's own: a view in the place of one
can be endless, and a trigger does what its author likes.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final

import apsw
from msgspec import DecodeError, Struct

from edge.journal.sql import QUERIES, migrations
from edge.production.baselines import Counter
from edge.production.state import Job, LineRow, Run, Station, decode_row

MOST_SEQ: Final = 1 << 48
"""No journal comes that far: a thousand records a second for nine thousand years."""
EARLIEST_MS, LATEST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The years 1 to 9999, UTC."""

_WORDS = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|--[^\n]*|\s+")
_FIRST = ("doubt", "line", "station/", "counter/", "job/", "")
"""Prefixes of keys, the most important ones first; the last is of all."""
_KINDS: Final = {"line": LineRow, "station": Station, "counter": Counter, "job": Job, "run": Run}
_EVERY = 1_000


class Piece(Struct, frozen=True):
    """A table, an index, a trigger or a view."""

    type: str
    name: str
    table: str
    sql: str
    """Without remarks, one blank between two words; empty of an index that SQLite made itself."""

    def __str__(self) -> str:
        return f"{self.type} {self.name}"


@cache
def pieces(version: int) -> frozenset[Piece]:
    """Of a journal that the first `version` steps have made."""
    db = apsw.Connection(":memory:")
    for step in migrations()[:version]:
        db.execute(step)
    found = _pieces(db)
    db.close()
    return found


@cache
def own_tables() -> frozenset[Piece]:
    """As any schema has them."""
    return frozenset(
        one for version in range(1, len(migrations()) + 1) for one in pieces(version) if one.type == "table"
    )


def tables(db: apsw.Connection) -> set[str]:
    """Names of those that are the journal's own. Raises apsw.Error."""
    return {one.name for one in _pieces(db) & own_tables()}


def _pieces(db: apsw.Connection) -> frozenset[Piece]:
    return frozenset(
        Piece(type_, name, table, _plain(sql or "")) for type_, name, table, sql in _rows(db, "pieces")
    )


def _plain(sql: str) -> str:
    return " ".join(_WORDS.sub(lambda found: found[1] or " ", sql).split())


class Strange(Struct, frozen=True):
    """How a file differs from a journal of its version."""

    missing: AbstractSet[Piece]
    """Or there otherwise."""
    foreign: AbstractSet[Piece]

    @property
    def acting(self) -> list[Piece]:
        """What does something by itself."""
        return sorted((one for one in self.foreign if one.type in ("trigger", "view")), key=str)

    def __str__(self) -> str:
        """Empty where there is nothing to tell."""
        told = [f"{one} is missing or not as it was made" for one in sorted(self.missing, key=str)]
        names = {(one.type, one.name) for one in self.missing}
        told += [
            f"{one} is not of Lineside"
            for one in sorted(self.foreign, key=str)
            if (one.type, one.name) not in names
        ]
        return "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")


def strange(db: apsw.Connection, version: int) -> Strange:
    """Of a file of this version, 0 to the newest. Raises apsw.Error."""
    found, wanted = _pieces(db), pieces(version)
    return Strange(wanted - found, found - wanted)


def absurd(db: apsw.Connection, version: int) -> str:
    """Which number cannot be true, in words; empty where all can. Only of a journal that is not `strange`.

    Raises apsw.Error.
    """
    newer = version > 1  # the first schema has fewer tables
    for table, first, last in _rows(db, "bounds", *["more_bounds"] * newer):
        if first is not None and not 0 <= first <= last <= MOST_SEQ:
            return f"table {table} has numbers from {first} to {last}"
    for table, first, last in _rows(db, "wrong_ranges", *["more_wrong_ranges"] * newer):
        return f"table {table} has a range from {first} to {last}"
    return ""


def absurd_time(db: apsw.Connection, version: int) -> str:
    """The same of the times of all records, which takes longer."""
    for name in ("wrong_times", "more_wrong_times")[:version]:
        for table, seq in db.execute(QUERIES[name], (EARLIEST_MS, LATEST_MS)).fetchall():
            return f"record {seq} of table {table} is of no year from 1 to 9999"
    return ""


def _rows(db: apsw.Connection, *names: str) -> Iterator[tuple[Any, ...]]:
    for name in names:
        yield from db.execute(QUERIES[name]).fetchall()


def garbage(db: apsw.Connection, go_on: Callable[[], bool]) -> str:
    """Which row of the state makes no sense, in words; empty where all do that were looked at.

    Only of a journal that is not `strange`. Raises apsw.Error.
    """
    for prefix in _FIRST:
        rows: Iterable[Any] = db.execute(QUERIES["rows_with_prefix"], (prefix,))
        for number, (key, body) in enumerate(rows):
            if not is_row(key, body):
                return f"row {ascii(key)[:60]} of its state makes no sense"
            if number % _EVERY == 0 and not go_on():
                return ""
    return ""


def is_row(key: object, body: object) -> bool:
    """Whether it was read as the core wrote it."""
    if not isinstance(key, str) or not isinstance(body, bytes):
        return False
    try:
        row = decode_row(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(row, _KINDS.get(key.partition("/")[0], Struct))
