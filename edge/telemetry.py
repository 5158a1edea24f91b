"""Telemetry: what is sampled beside the production events. Decisions without I/O. See telemetry.md."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from msgspec import json

from edge.batches import PREFIX, Batch, Moment, Table, TelemetryTable
from edge.complaints import Complaints
from edge.observation import AGENT, Missed, Observation, Quality, Stamp, Value
from edge.sifting import Change, Channel, Lane, NoValue, Number, Single, Word

CAPACITY = 12_000_000
"""Bytes of JSON that may wait for the journal; beyond it the oldest are dropped, and counted."""
CREDIBLE_MS = 86_400_000
"""A device's time further than a day from ours is no time."""
MOST_AT_ONCE = 1_000_000
"""Bytes of JSON in one commit."""
DROPPED = "telemetry-dropped"
"""Cause of a `Missed`."""


def units_of(tables: Sequence[TelemetryTable]) -> dict[str, bytes]:
    """Units of measure as a state, `STATION/telemetry`: JSON by table and name."""
    stations: dict[str, dict[str, dict[str, str]]] = {}
    for table in tables:
        units = {one.name: one.unit_of_measure for one in table.signals.values() if one.unit_of_measure}
        stations.setdefault(table.station, {})[table.name] = units
    return {f"{station}/telemetry": json.encode({"units": units}) for station, units in stations.items()}


@dataclass(slots=True)
class _Loss:
    since_ms: int
    until_ms: int
    values: int


class Telemetry:
    """Takes samples, keeps what is news, and gives it to the journal in batches. Bounded."""

    def __init__(self, tables: Sequence[TelemetryTable], boot: str) -> None:
        self.on_waiting: Callable[[], object] = lambda: None
        """Called when there is something to write."""
        self._tables = {one.name: Table(one, boot, self._closed) for one in tables}
        self.has_tables = bool(tables)
        self._signals = {
            signal_of(table.spec.name, name): Single(table.spec.name, spec, table.bad)
            for table in self._tables.values()
            for name, spec in table.spec.signals.items()
        }
        self._boot = boot
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        """Bytes of batches that are closed."""
        self._open: set[str] = set()
        self._losses: dict[str, _Loss] = {}
        self._complaints = {name: Complaints(f"{PREFIX}{name}") for name in self._tables}

    # --- from sources ---

    def lane(self, signals: Sequence[str]) -> Lane:
        """For numbers of these signals, of one table, that come together. Raises KeyError."""
        singles = [self._signals[name] for name in signals]
        table = self._tables[singles[0].table]
        names = [one.name for one in singles]
        return Lane(table.spec.name, table.bad, [one.spec for one in singles], table.span_of(names))

    def sample(self, lane: Lane, values: Sequence[Number], moment: Moment, why: str = "no number") -> None:
        """Take one reading of a lane; `why` is told of values that are None."""
        table = self._tables[lane.table]
        if table.unread:
            table.unread.read(lane.names, moment.seen_ms, moment.mono_ms)
        if written := lane.whole(values, moment.mono_ms):
            table.add(lane, written, len(values), {}, moment)
        elif not self._sift(table, lane, values, moment, why):
            return
        if lane.table not in self._open:
            self._opened((lane.table,))

    def _sift(self, table: Table, lane: Lane, values: Sequence[Number], moment: Moment, why: str) -> bool:
        """Take those of a reading that are news; False where none is."""
        bad = {}
        if None in values:
            pairs = zip(lane.names, values, strict=True)
            bad = {name: why for name, value in pairs if value is None and table.bad.get(name) != why}
            table.bad |= bad
        kept = lane.sift(values, moment.mono_ms)
        if kept or bad:
            table.add(lane, json.encode(kept)[1:-1], len(kept), bad, moment)
        return bool(kept or bad)

    def channel(self, signals: Sequence[str]) -> Channel:
        """For these signals, of any tables, whose values come one at a time. Raises KeyError."""
        return Channel([self._signals[name] for name in signals])

    def changes(self, channel: Channel, changes: Iterable[Change], now: Moment) -> None:
        """Take values in the order in which they came; `now` is the moment of their receipt.

        What the device dates comes first, for a batch is of one clock; but no value overtakes another of
        its signal.
        """
        signals, mono_ms, seen_ms = channel.signals, now.mono_ms, now.seen_ms
        dated = now._replace(stamp=Stamp.SOURCE)
        undated: list[tuple[Single, Value | NoValue]] = []
        behind: set[Single] = set()
        tables = self._tables
        is_doubted = any(tables[name].unread for name in channel.tables)
        for place, value, aged_ms in changes:
            signal = signals[place]
            if is_doubted or type(value) is NoValue:
                is_doubted = True
                tables[signal.table].note(signal.name, value, now)
            word = signal.hears(value, mono_ms)
            if word is Word.NOTHING:
                continue
            news = NoValue(signal.why) if word is Word.FAULT else value
            if word is Word.SILENCE or not is_credible(aged_ms) or signal in behind:
                undated.append((signal, news))
                behind.add(signal)
            else:
                tables[signal.table].put(signal.name, news, seen_ms - aged_ms, dated)
        for signal, news in undated:
            tables[signal.table].put(signal.name, news, seen_ms, now)
        self._opened(channel.tables)

    def observe(self, seen: Observation) -> bool:
        """Take one value of one signal; False where it is none of telemetry's."""
        signal = self._signals.get(seen.signal)
        if signal is None:
            return False
        table = self._tables[signal.table]
        value = NoValue(seen.detail) if seen.quality is Quality.BAD else seen.value
        moment = Moment(seen.at_ms, seen.seen_ms, seen.mono_ms, seen.stamp)
        table.note(signal.name, value, moment)
        word = signal.hears(value, seen.mono_ms)
        if word is Word.SILENCE:  # the device's time is still that of its last move
            moment = moment._replace(at_ms=seen.seen_ms, stamp=Stamp.RECEIPT)
        if word is not Word.NOTHING:
            table.put(signal.name, NoValue(signal.why) if word is Word.FAULT else value, moment.at_ms, moment)
            self._opened((signal.table,))
        return True

    def _opened(self, tables: Iterable[str]) -> None:
        names = [name for name in tables if self._tables[name].is_open]
        if names:
            self._open.update(names)
            self.on_waiting()

    # --- to the journal ---

    @property
    def is_waiting(self) -> bool:
        return bool(self._batches or self._open)

    def take(self) -> list[Batch]:
        """What the next commit holds, oldest first."""
        for name in self._open:
            self._tables[name].close()
        self._open.clear()
        taken: list[Batch] = []
        size = 0
        while self._batches and size < MOST_AT_ONCE:
            taken.append(self._batches.popleft())
            size += len(taken[-1].frames)
        self._waiting -= size
        return taken

    def put_back(self, taken: Sequence[Batch]) -> None:
        """The journal has not taken them; they wait on, as far as there is room."""
        self._batches.extendleft(reversed(taken))
        self._waiting += sum(len(one.frames) for one in taken)
        self._make_room()

    def _closed(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._waiting += len(batch.frames)
        self._make_room()

    def _make_room(self) -> None:
        while self._waiting > CAPACITY:
            oldest = self._batches.popleft()
            self._waiting -= len(oldest.frames)
            after = next((one for one in self._batches if one.name == oldest.name), None)
            heir: Batch | Table = after or self._tables[oldest.name]
            heir.lost += oldest.values + oldest.lost
            loss = self._losses.setdefault(oldest.name, _Loss(oldest.seen_ms, oldest.seen_ms, 0))
            loss.until_ms = oldest.seen_ms
            loss.values += oldest.values

    # --- what was lost ---

    def losses(self, now: Batch) -> list[Observation]:
        """What was dropped since it was last asked, a `Missed` a table; `now` is what was written last."""
        said = [
            Missed(
                DROPPED, f"{PREFIX}{name}", one.since_ms, one.until_ms, one.values, "the journal took nothing"
            )
            for name, one in self._losses.items()
        ]
        self._losses.clear()
        return [self._word(one, now) for one in said]

    def unread(self, now: Batch) -> list[Observation]:
        """Of tables whose signals can be read again, the time in which they could not, a `Missed` each."""
        told = [one.unread.told(now.mono_ms) for one in self._tables.values() if one.unread]
        return [self._word(one, now) for one in told if one is not None]

    def ended(self, now_ms: int, mono_ms: int) -> list[Missed]:
        """The sources have ended: what could not be read until now."""
        told = [one.unread.ended(now_ms, mono_ms) for one in self._tables.values()]
        return [one for one in told if one is not None]

    def troubles(self, mono_ms: int) -> list[str]:
        """For the log: signals that have no value since it was last asked, and those that have one again."""
        return [
            words
            for name, table in self._tables.items()
            for words in self._complaints[name].words(table.bad, mono_ms)
        ]

    def _word(self, missed: Missed, now: Batch) -> Observation:
        return Observation(AGENT, missed, now.seen_ms, now.seen_ms, now.mono_ms, self._boot)


def is_credible(aged_ms: int | None) -> TypeGuard[int]:
    """Whether a device's time is one."""
    return aged_ms is not None and -CREDIBLE_MS < aged_ms < CREDIBLE_MS


def signal_of(table: str, name: str) -> str:
    """The signal of a name in a table."""
    return f"{PREFIX}{table}/{name}"
