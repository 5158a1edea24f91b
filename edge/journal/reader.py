"""Reads the journal beside its writer, in short transactions: delivery, board and demo use it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
from msgspec import Raw, Struct, json

from edge.contract import Record
from edge.errors import JournalError
from edge.journal.sql import QUERIES
from edge.production.state import Row, decode_row

CUMULATIVE = {"run_total", "order_good", "order_scrap", "order_rework"}
"""Figures of the owner that an event had at first: one that was moved is sent without them, and the
`attribution` events of its correction have those of both sides."""


class _Envelope(Struct, frozen=True):
    """The event as it leaves the house; the order of the keys is the order in the JSON."""

    v: int
    id: str
    seq: int
    type: str
    at: str
    stamp: str
    seen: str
    line: str
    station: str
    data: Raw
    context: Raw
    attribution: int


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


_encode = json.Encoder().encode
_decode = json.Decoder().decode


def iso(at_ms: int) -> str:
    """`2026-05-04T06:12:09.412Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
            raise JournalError(str(path), f"{error}; has the agent run here yet?") from error

    def close(self) -> None:
        self._db.close()

    def head(self) -> int:
        """seq of the newest event, 0 when there is none."""
        return int(self._ask("head")[0][0])

    def records(self, first: int, last: int, limit: int = 500) -> list[Record]:
        """Events of this range of seq, ascending, `limit` at the most."""
        return [self._record(*row) for row in self._ask("events_between", first, last, limit)]

    def facts(self, first: int, last: int, limit: int = 500) -> list[Fact]:
        """The same events as they were committed, to the byte."""
        return [Fact(*row) for row in self._ask("facts_between", first, last, limit)]

    def rows(self, prefix: str) -> Iterator[tuple[str, Row]]:
        """The core's rows whose key begins so, as they were last committed."""
        for key, body in self._ask("rows_with_prefix", prefix):
            yield key, decode_row(body)

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
        identity = f"{epoch}-{seq}"
        fields: dict[str, Any] = _decode(data)
        if attribution > 1 and (stale := fields.keys() & CUMULATIVE):
            fields = {key: value for key, value in fields.items() if key not in stale}
            data = _encode(fields)
        body = _encode(_Envelope(
            1, identity, seq, type_, iso(at_ms), stamp, iso(seen_ms), self._line, station,
            Raw(data), Raw(context.encode()), attribution,
        ))  # fmt: skip
        return Record(
            seq, identity, type_, at_ms, self._line, station, fields, _decode(context), attribution, body
        )
