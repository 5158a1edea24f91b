"""The sole writer of the journal's file: one transaction holds events and state together."""

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
from msgspec import DecodeError, json

from edge.batches import Batch
from edge.errors import JournalDamaged, JournalError, JournalFull, NotRecorded
from edge.journal import retiming, views
from edge.journal.files import take_lock
from edge.journal.integrity import note_damage
from edge.journal.migrate import migrate, refuse_old_sqlite
from edge.journal.ranges import Ranges
from edge.journal.recent import Recent
from edge.journal.sql import QUERIES
from edge.journal.standstill import Standstill
from edge.journal.wal import BUSY_MS, Wal, patiently
from edge.observation import Observation
from edge.production.context import Context
from edge.production.draft import Hold, Move, Restamp
from edge.production.events import Event, subjects
from edge.production.state import Row, decode_row, encode_row
from edge.production.views import is_view

Rejections = Sequence[tuple[str, int, str]]
"""Sink, seq and the reason."""

UNTRUSTED = (
    apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError, apsw.CantOpenError,
    apsw.PermissionsError,
)  # fmt: skip
"""Errors after which nobody knows what is on the disk."""

_HELP = "restore a backup or use another folder"

encode_data = json.Encoder().encode
"""An event's data as it is stored and sent. Raises on what no JSON can hold."""


class Journal:
    """Opened by the agent alone; a lock on the file refuses a second one."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises JournalError, JournalDamaged where the file is no journal any more."""
        refuse_old_sqlite(path)
        self.path = path
        self._lock = take_lock(path)
        self._failure: JournalError | None = None
        try:
            patiently(path, self._begin)
        except apsw.Error as error:
            os.close(self._lock)
            raise _damaged(path, error) or JournalError(str(path), f"{error}; {_HELP}") from error
        except JournalError:
            os.close(self._lock)
            raise
        self.moved: Sequence[tuple[int, int]] = ()
        """Ranges of seq that the last commit gave to other owners, or that lie between such."""
        self._contexts: dict[Context, int] = {}
        self._boots: dict[str, int] = {}

    def _begin(self) -> None:
        """Raises apsw.Error, with the file closed again."""
        self._db = _open(self.path)
        try:
            self.wal = Wal(self._db, self.path)
            self._standstill = Standstill(self._db, self.path)
            self.head: int = self._db.execute(QUERIES["head"]).get
            self.held_from = retiming.held_from(self._db)
            """From this seq on nothing may go out yet, for the clock is in doubt; None: all may."""
            self.epoch = secrets.token_hex(4)
            self._db.execute(QUERIES["begin_epoch"], (self.head + 1, self.epoch))
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """After a failure the file is left as it is: the next start looks at it."""
        if self._failure is not None:
            self._db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            with suppress(apsw.Error):  # what was committed is on disk; the last checkpoint can wait
                self._db.close()
        finally:
            os.close(self._lock)

    def row(self, key: str) -> Row | None:
        """As it was last committed; of a view's key, what its events add up to. Raises JournalError."""
        try:
            if is_view(key):
                return views.read(self._db, key)
            body = self._db.execute(QUERIES["get_row"], (key,)).get
            return None if body is None else _decoded(key, body)
        except UNTRUSTED as error:
            self._failure = self._failed(error)
            raise self._failure from error

    def last_seen(self) -> tuple[int, int, str] | None:
        """Of the newest record: UTC and the monotonic clock in milliseconds, and the boot."""
        rows: list[Any] = self._db.execute(QUERIES["last_seen"]).fetchall()
        return rows[0] if rows else None

    def progress(self, sink: str) -> list[tuple[int, int]]:
        return list(self._db.execute(QUERIES["get_progress"], (sink,)))

    def commit(
        self,
        events: Sequence[tuple[Event, bytes]] = (),
        rows: Mapping[str, Row] | None = None,
        quarantined: Sequence[tuple[Observation, str]] = (),
        progress: Mapping[str, Iterable[tuple[int, int]]] | None = None,
        rejected: Rejections = (),
        moves: Sequence[Move] = (),
        recent: Mapping[str, Iterable[Recent]] | None = None,
        timings: Sequence[Hold | Restamp] = (),
        telemetry: Sequence[tuple[Batch, Context]] = (),
    ) -> int:
        """Put it all on disk, or none of it. Returns the seq of the newest event or batch of telemetry.

        An event comes with its data as `encode_data` made it. Moves are of events that were on disk
        before; `moved` tells which have got another owner, and no sink has them acknowledged any more.
        Timings hold events back, those of this commit among them, or correct and release them.
        `recent` replaces what each of its sinks had acknowledged lately.
        Raises JournalFull where there is no room, NotRecorded where else a later try may succeed,
        JournalError where the file cannot be trusted any more: then nothing is tried again, for after an
        fsync that failed the kernel takes the pages for written.
        """
        if events or rows or telemetry or quarantined:
            self._standstill.refuse()
        with self._worded(), self.transaction():
            moved = self._move(moves) if moves else []
            self._append(events)
            self._append_telemetry(telemetry, self.head + len(events))
            self._db.executemany(
                QUERIES["put_row"], [(key, encode_row(row)) for key, row in (rows or {}).items()]
            )
            self._put_aside(quarantined, progress or {}, rejected)
            self._put_recent(recent or {})
            self._reopen(moved)
            retiming.apply(self._db, timings, self.head + 1)
            held_from = retiming.held_from(self._db) if timings else self.held_from
        self.head += len(events) + len(telemetry)
        self.moved, self.held_from = moved, held_from
        return self.head

    @contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except apsw.FullError as error:
            self._standstill.begin(f"{self.path}: {error}")
            raise JournalFull(f"{self.path}: {error}") from error
        except apsw.BusyError as error:
            raise NotRecorded(f"{self.path}: {error}") from error
        except apsw.Error as error:
            raise JournalError(str(self.path), f"{error}; the agent must start again") from error

    def _move(self, moves: Sequence[Move]) -> list[tuple[int, int]]:
        return views.apply(self._db, moves, self._context)

    def _reopen(self, moved: Sequence[tuple[int, int]]) -> None:
        """What was moved is sent to every sink once more."""
        if not moved:
            return
        acknowledged: dict[str, Ranges] = {}
        for sink, first, last in self._db.execute(QUERIES["all_progress"]):
            acknowledged.setdefault(sink, Ranges()).add(first, last)
        for sink, ranges in acknowledged.items():
            for first, last in moved:
                ranges.remove(first, last)
            self.put_progress(sink, ranges)
        self._db.executemany(QUERIES["forget_rejected_between"], moved)

    def _put_recent(self, recent: Mapping[str, Iterable[Recent]]) -> None:
        for sink, ranges in recent.items():
            known, now = set(self._db.execute(QUERIES["get_recent"], (sink,))), set(ranges)
            gone = [(sink, at, first, begun, long) for at, first, _, _, begun, long in known - now]
            self._db.executemany(QUERIES["drop_recent"], gone)
            self._db.executemany(QUERIES["add_recent"], [(sink, *one) for one in now - known])

    def put_progress(self, sink: str, ranges: Iterable[tuple[int, int]]) -> None:
        """Inside a transaction. Only what is not there already: there can be thousands of ranges."""
        known, now = set(self.progress(sink)), set(ranges)
        self._db.executemany(QUERIES["drop_progress"], [(sink, first) for first, _ in known - now])
        self._db.executemany(QUERIES["add_progress"], [(sink, *both) for both in now - known])

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """All or nothing. SQLite itself has rolled back already when the disk is full.

        Raises JournalError where the disk or the file cannot be trusted any more; apsw.Error for all
        else, of which apsw.FullError and apsw.BusyError may be gone at a later try.
        """
        if self._failure is not None:
            raise self._failure
        try:
            with self._all_or_nothing():
                yield self._db
            self.wal.tidy()
        except UNTRUSTED as error:
            self._failure = self._failed(error)
            raise self._failure from error

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        self._db.execute(QUERIES["begin"])
        try:
            yield
            self._db.execute(QUERIES["commit"])
        except BaseException:
            self._forget_interned()
            if self._db.in_transaction:
                self._db.execute(QUERIES["rollback"])
            raise

    def _failed(self, error: apsw.Error) -> JournalError:
        if damaged := _damaged(self.path, error):
            note_damage(self.path, f"it could not be used: {error}")
            return damaged
        return JournalError(str(self.path), f"{error}; the agent must start again")

    def _append(self, events: Sequence[tuple[Event, bytes]]) -> None:
        seq, lines = self.head, []
        mentions: list[tuple[str, int]] = []
        for event, data in events:
            seq += 1
            mentions += [(subject, seq) for subject in subjects(event)]
            lines.append((
                seq, event.data.type, event.at_ms, event.stamp, event.seen_ms, event.mono_ms,
                self._boot(event.boot), event.station, self._context(event.context), data,
            ))  # fmt: skip
        self._db.executemany(QUERIES["append_event"], lines)
        self._db.executemany(QUERIES["add_mention"], mentions)

    def _append_telemetry(self, batches: Sequence[tuple[Batch, Context]], after: int) -> None:
        lines = [
            (
                seq, one.name, one.at_ms, one.stamp, one.seen_ms, one.mono_ms, self._boot(one.boot),
                one.station, self._context(context), one.body(),
            )
            for seq, (one, context) in enumerate(batches, after + 1)
        ]  # fmt: skip
        self._db.executemany(QUERIES["append_telemetry"], lines)

    def _put_aside(
        self,
        quarantined: Sequence[tuple[Observation, str]],
        progress: Mapping[str, Iterable[tuple[int, int]]],
        rejected: Rejections,
    ) -> None:
        for observation, error in quarantined:
            body = _encode_observation(observation)
            words = error.encode("utf-8", "backslashreplace").decode()
            self._db.execute(QUERIES["quarantine"], (observation.seen_ms, body, words))
        for sink, ranges in progress.items():
            self.put_progress(sink, ranges)
        self._db.executemany(QUERIES["reject"], rejected)

    def _context(self, context: Context) -> int:
        known = self._contexts.get(context)
        if known is None:
            if len(self._contexts) >= 1_000:
                self._contexts.clear()
            body = json.encode(context).decode()
            known = self._contexts[context] = self._db.execute(QUERIES["add_context"], (body,)).get
        return known

    def _boot(self, name: str) -> int:
        known = self._boots.get(name)
        if known is None:
            known = self._boots[name] = self._db.execute(QUERIES["add_boot"], (name,)).get
        return known

    def _forget_interned(self) -> None:
        """Ids given out in a transaction that was rolled back mean nothing."""
        self._contexts.clear()
        self._boots.clear()


def _encode_observation(observation: Observation) -> bytes:
    """Also one that no JSON can hold: it is in quarantine for a reason."""
    try:
        return json.encode(observation)
    except (UnicodeEncodeError, OverflowError):
        return json.encode(ascii(observation))
    except ValueError:  # a number of more digits than Python writes
        return json.encode(f"{observation.signal}: a value that cannot be written")


def _damaged(path: Path, error: apsw.Error) -> JournalDamaged | None:
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return JournalDamaged(str(path), f"{error}; {_HELP}")
    return None


def _decoded(key: str, body: bytes) -> Row:
    try:
        return decode_row(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise apsw.CorruptError(f"row {ascii(key)[:60]} of its state makes no sense: {error}") from error


def _open(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(BUSY_MS)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        migrate(db, path)
        views.prepare(db)
    except BaseException:
        db.close()
        raise
    return db
