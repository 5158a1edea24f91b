"""Reads the journal beside its writer, in short transactions: delivery, board and demo use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
from msgspec import DecodeError, Struct, json

from edge.batches import unpack
from edge.errors import JournalError
from edge.journal.retiming import later_frames
from edge.journal.sql import QUERIES
from edge.production.state import Row, decode_row
from edge.record import TELEMETRY, Record, iso

__all__ = ["CUMULATIVE", "Fact", "JournalReader", "Record", "Said", "iso"]

CUMULATIVE = {"run_total", "order_good", "order_scrap", "order_rework"}
"""Figures of the owner that an event had at first: one that was moved is sent without them, and the
`attribution` events of its correction have those of both sides."""
MOST_BYTES = 1_000_000
"""Of batches of telemetry in one answer, for they can be large; one is always given."""


class Fact(Struct, frozen=True):
    """An event as it is stored: what the core said, and nothing that was added later."""

    epoch: str
    seq: int
    type: str
    at_ms: int
    seen_ms: int
    mono_ms: int
    boot: str
    station: str
    context: str
    """JSON."""
    data: bytes
    """JSON."""


class Said(Struct, frozen=True):
    """A scan, or what was said without one."""

    seq: int
    at_ms: int
    station: str
    type: str
    data: bytes
    """JSON."""


_encode = json.Encoder().encode
_decode = json.Decoder().decode


class JournalReader:
    """A read-only connection of its own. Every method raises JournalError when it cannot be read."""

    def __init__(self, path: Path, line: str) -> None:
        """Raises JournalError when there is no journal."""
        self._line = line
        self._path = path
        try:
            self._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._db.set_busy_timeout(2_000)
            self._db.execute(QUERIES["head"]).fetchall()
        except apsw.Error as error:
            raise JournalError(
                str(path), f"{error}; has the agent run here yet? --data names another folder"
            ) from error

    def close(self) -> None:
        self._db.close()

    def head(self) -> int:
        """seq of the newest event, 0 when there is none."""
        return int(self._ask("head")[0][0])

    def records(self, first: int, last: int, limit: int = 500) -> list[Record]:
        """Events and batches of telemetry of this range of seq, ascending, `limit` at the most.

        Fewer can come where batches are large. Whatever lies between two that are given, or before the first,
        is not there; nothing is said of what lies after the last, but for an empty list: the range is empty.
        """
        batches, are_all = self._batches(first, last, limit)
        if not are_all and (more := self._first_batch(batches[-1].seq + 1, last)):
            last = more - 1
        events = self.events(first, last, limit)
        merged = sorted([*events, *batches], key=_seq) if batches else events
        return merged[:limit]

    def events(self, first: int, last: int, limit: int = 500) -> list[Record]:
        """The same without telemetry."""
        return [self._record(*row) for row in self._ask("events_between", first, last, limit)]

    def _batches(self, first: int, last: int, limit: int) -> tuple[list[Record], bool]:
        """Telemetry alone; False where `MOST_BYTES` have ended it."""
        found: list[Record] = []
        size = 0
        try:
            for row in self._db.execute(QUERIES["telemetry_between"], (first, last, limit)):
                found.append(self._batch(*row))
                size += len(found[-1].body)
                if size >= MOST_BYTES:
                    return found, False
        except apsw.Error as error:
            raise JournalError(str(self._path), str(error)) from error
        return found, True

    def _first_batch(self, first: int, last: int) -> int | None:
        found: int | None = self._ask("first_telemetry", first, last)[0][0]
        return found

    def facts(self, first: int, last: int, limit: int = 500) -> list[Fact]:
        """The same events as they were committed, to the byte."""
        return [Fact(*row) for row in self._ask("facts_between", first, last, limit)]

    def said(self, after: int, limit: int) -> list[Said]:
        """The newest scans after this seq, those that waited in vain, and flags for the person at the station
        (`no_unit`, `verdict_differs`, `badge_ended`); oldest first."""
        return [Said(*row) for row in reversed(self._ask("said_after", after, limit))]

    def about(self, subject: str, after: int, limit: int) -> list[Record]:
        """Events that are part of a subject's history, those after this seq, ascending."""
        return [self._record(*row) for row in self._ask("about_after", subject, after, limit)]

    def last_seen(self) -> int | None:
        """When the newest record was seen, UTC milliseconds; None where there is none."""
        rows = self._ask("last_seen")
        return int(rows[0][0]) if rows else None

    def seen_before(self, seq: int) -> int | None:
        """When the newest record before this one's epoch was seen, UTC milliseconds; None: there is none."""
        rows = self._ask("seen_before", seq)
        return int(rows[0][0]) if rows else None

    def rows(self, prefix: str) -> Iterator[tuple[str, Row]]:
        """The core's rows whose key begins so, as they were last committed."""
        for key, body in self._ask("rows_with_prefix", prefix):
            yield key, self._decoded(key, body)

    def _decoded(self, key: str, body: bytes) -> Row:
        try:
            return decode_row(body)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            words = f"row {ascii(key)[:60]} of its state makes no sense; the agent's next start sets it aside"
            raise JournalError(str(self._path), words) from error

    def progress(self, sink: str) -> list[tuple[int, int]]:
        return self._ask("get_progress", sink)

    def rejected(self) -> dict[str, int]:
        """How many events each sink's far end will never take."""
        return dict(self._ask("count_rejected"))

    def quarantined(self) -> int:
        """How many observations the core could not decide."""
        return int(self._ask("count_quarantined")[0][0])

    def _ask(self, query: str, *values: int | str | None) -> list[Any]:
        """Every row of a named query, its transaction ended. Raises JournalError."""
        try:
            return self._db.execute(QUERIES[query], values).fetchall()
        except apsw.Error as error:
            raise JournalError(str(self._path), str(error)) from error

    def _record(
        self, epoch: str, seq: int, type_: str, at_ms: int, stamp: str, seen_ms: int, station: str,
        context: str, attribution: int, data: bytes,
    ) -> Record:  # fmt: skip
        if attribution > 1:
            data = _without_totals(data)
        return Record(
            seq, f"{epoch}-{seq}", type_, at_ms, stamp, seen_ms, self._line, station, data, context.encode(),
            attribution,
        )  # fmt: skip

    def _batch(
        self, epoch: str, seq: int, name: str, at_ms: int, stamp: str, seen_ms: int, station: str,
        context: str, body: bytes, shift_ms: int,
    ) -> Record:  # fmt: skip
        frames = unpack(name, body)
        if shift_ms:
            frames = later_frames(frames, shift_ms)
        return Record(
            seq, f"{epoch}-{seq}", TELEMETRY, at_ms, stamp, seen_ms, self._line, station, frames,
            context.encode(), name=name,
        )  # fmt: skip


def _seq(record: Record) -> int:
    return record.seq


def _without_totals(data: bytes) -> bytes:
    fields: dict[str, Any] = _decode(data)
    if not fields.keys() & CUMULATIVE:
        return data
    return _encode({key: value for key, value in fields.items() if key not in CUMULATIVE})
