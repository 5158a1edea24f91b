"""The sole writer of the journal's file: one transaction holds events and state together."""

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
from msgspec import json

from edge.errors import JournalError, NotRecorded
from edge.journal import views
from edge.journal.ranges import Ranges
from edge.journal.sql import QUERIES, migrations
from edge.observation import Observation
from edge.production.draft import Move
from edge.production.events import Event, subjects
from edge.production.state import Context, Row, decode_row, encode_row
from edge.production.views import is_view

OLDEST_SQLITE = (3, 51, 3)
"""Before it, a WAL with several connections can lose committed transactions when it is reset."""

Rejections = Sequence[tuple[str, int, str]]
"""Sink, seq and the reason."""

_HELP = "restore a backup or use another folder"

encode_data = json.Encoder().encode
"""An event's data as it is stored and sent. Raises on what no JSON can hold."""


class Journal:
    """Opened by the agent alone; a lock on the file refuses a second one."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises JournalError."""
        _refuse_old_sqlite(path)
        self.path = path
        self._lock = _lock(path)
        try:
            self._db = _open(path)
            self.head: int = self._db.execute(QUERIES["head"]).get
            self.epoch = secrets.token_hex(4)
            self._db.execute(QUERIES["begin_epoch"], (self.head + 1, self.epoch))
        except apsw.Error as error:
            os.close(self._lock)
            raise JournalError(str(path), f"{error}; {_HELP}") from error
        except JournalError:
            os.close(self._lock)
            raise
        self.moved: Sequence[tuple[int, int]] = ()
        """Ranges of seq that the last commit gave to other owners, or that lie between such."""
        self._contexts: dict[Context, int] = {}
        self._boots: dict[str, int] = {}

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def row(self, key: str) -> Row | None:
        """As it was last committed; of a view's key, what its events add up to."""
        if is_view(key):
            return views.read(self._db, key)
        body = self._db.execute(QUERIES["get_row"], (key,)).get
        return None if body is None else decode_row(body)

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
    ) -> int:
        """Put it all on disk, or none of it. Returns the seq of the newest event.

        An event comes with its data as `encode_data` made it. Moves are of events that were on disk
        before; `moved` tells which have got another owner, and no sink has them acknowledged any more.
        Raises NotRecorded where a later try may succeed, JournalError where the file cannot be
        trusted any more.
        """
        try:
            with self.transaction():
                moved = self._move(moves) if moves else []
                self._append(events)
                self._db.executemany(
                    QUERIES["put_row"], [(key, encode_row(row)) for key, row in (rows or {}).items()]
                )
                self._put_aside(quarantined, progress or {}, rejected)
                self._reopen(moved)
        except (apsw.FullError, apsw.BusyError) as error:
            raise NotRecorded(f"{self.path}: {error}") from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise JournalError(str(self.path), f"{error}; {_HELP}") from error
        except apsw.Error as error:
            raise JournalError(str(self.path), f"{error}; the agent must start again") from error
        self.head += len(events)
        self.moved = moved
        return self.head

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
            self._put_progress(sink, ranges)

    def _put_progress(self, sink: str, ranges: Iterable[tuple[int, int]]) -> None:
        """Only what is not there already: after a correction there can be thousands of ranges."""
        known, now = set(self.progress(sink)), set(ranges)
        self._db.executemany(QUERIES["drop_progress"], [(sink, first) for first, _ in known - now])
        self._db.executemany(QUERIES["add_progress"], [(sink, *both) for both in now - known])

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """All or nothing. SQLite itself has rolled back already when the disk is full. Raises apsw.Error."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            self._forget_interned()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

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
            self._put_progress(sink, ranges)
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


def _refuse_old_sqlite(path: Path) -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < OLDEST_SQLITE:
        found, wanted = apsw.sqlite_lib_version(), ".".join(map(str, OLDEST_SQLITE))
        raise JournalError(str(path), f"SQLite {found} is older than {wanted}; upgrade apsw")


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalError(str(path), "another agent is using it; stop that one first") from None
    except OSError as error:
        raise JournalError(str(path), f"{error.strerror}; choose a folder that can be written") from error
    return lock


def _open(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    db.set_busy_timeout(5_000)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")
    _migrate(db, path)
    views.prepare(db)
    return db


def _migrate(db: apsw.Connection, path: Path) -> None:
    version, steps = db.pragma("user_version"), migrations()
    if version > len(steps):
        raise JournalError(str(path), f"is of schema {version}, this Lineside knows {len(steps)}; upgrade it")
    for number, step in enumerate(steps[version:], version + 1):
        with db:
            db.execute(step)
            db.pragma("user_version", number)
