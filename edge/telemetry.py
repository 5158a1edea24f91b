"""Telemetry: what is sampled beside the production events. Decisions without I/O. See telemetry.md.

A batch is JSON, compressed in the journal and nowhere else:
    {"name":"oven","frames":[{"at":1777875129412,"values":{"zone_1":229.5}}]}
`at` is in UTC milliseconds, ascending. `bad` stands in a frame beside `values`: names to the reason why there
is no value. `lost` stands before `frames` where values were dropped before them: how many.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple
from zlib import compress, decompress
from zlib import error as ZlibError

from msgspec import Struct, json

from edge.observation import AGENT, Missed, Observation, Quality, Stamp, Value
from edge.sifting import Lane, Last, Number, Sampled
from edge.unread import Unread

PREFIX = "telemetry/"
"""A signal of telemetry is named `telemetry/TABLE/NAME`; no other begins so."""

CAPACITY = 300_000
"""Values that may wait for the journal; beyond it the oldest are dropped, and counted."""
MOST_IN_BATCH = 4_000
"""Values, some 64 KB: what any broker takes in one message."""
MOST_AT_ONCE = 40_000
"""Values in one commit."""
STEP_MS = 50
"""The wall clock was set when it has moved by more than this against the monotonic one."""
LONGEST_TEXT = 1_000
"""Characters of a value that is a text."""
DROPPED = "telemetry-dropped"
"""Cause of a `Missed`."""

_LEVEL = 1
"""Two fifths of the bytes, for 1 ms of CPU in 10,000 values. The highest takes five times that."""


class _Frame(Struct, omit_defaults=True):
    """One moment of one table. A name stands in `values` or in `bad`."""

    at: int
    values: dict[str, Value] = {}
    bad: dict[str, str] = {}


_encode = json.Encoder().encode


def pack(name: str, frames: Sequence[bytes], lost: int = 0) -> bytes:
    """The body of a batch as the journal keeps it, of frames that are encoded."""
    dropped = b',"lost":%d' % lost if lost else b""
    return compress(b'{"name":"%b"%b,"frames":[%b]}' % (name.encode(), dropped, b",".join(frames)), _LEVEL)


def unpack(name: str, body: bytes) -> bytes:
    """The JSON of a batch; of one that the disk has damaged, one without frames that says so."""
    try:
        return decompress(body)
    except ZlibError as error:
        return json.encode({"name": name, "frames": [], "fault": f"cannot be read any more: {error}"})


@dataclass(frozen=True, slots=True)
class TelemetryTable:
    """One `[telemetry.NAME]`."""

    name: str
    station: str
    """Whose run is the context; empty: of the whole line."""
    signals: Mapping[str, Sampled]
    """By name."""


def units_of(tables: Sequence[TelemetryTable]) -> dict[str, bytes]:
    """Units of measure as a state, `STATION/telemetry`: JSON by table and name."""
    stations: dict[str, dict[str, dict[str, str]]] = {}
    for table in tables:
        units = {one.name: one.unit_of_measure for one in table.signals.values() if one.unit_of_measure}
        stations.setdefault(table.station, {})[table.name] = units
    return {f"{station}/telemetry": _encode({"units": units}) for station, units in stations.items()}


class Moment(NamedTuple):
    """When values were seen; times are those of an `Observation`."""

    at_ms: int
    seen_ms: int
    mono_ms: int
    stamp: Stamp

    def is_of_clock(self, other: "Moment") -> bool:
        """Stamped by the same clock, and it was not set between: what is wrong with one time is with both."""
        stepped_ms = self.seen_ms - self.mono_ms - other.seen_ms + other.mono_ms
        return self.stamp == other.stamp and abs(stepped_ms) <= STEP_MS


# --- batches ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Batch:
    """What one row of the journal holds."""

    name: str
    station: str
    at_ms: int
    """Of its first frame."""
    seen_ms: int
    mono_ms: int
    """Of the newest."""
    boot: str
    stamp: Stamp
    frames: Sequence[bytes]
    """JSON of each."""
    values: int
    lost: int = 0

    def body(self) -> bytes:
        return pack(self.name, self.frames, self.lost)


class _Table:
    """The open batch of one table."""

    def __init__(self, spec: TelemetryTable, boot: str, close: Callable[[Batch], None]) -> None:
        self.spec = spec
        self.bad: dict[str, str] = {}
        """Signals whose last word was that there is no value, and why."""
        self.last: dict[str, Last] = {}
        self.unread = Unread(f"{PREFIX}{spec.name}")
        self.lost = 0
        """Values that were dropped since the last batch."""
        self._boot = boot
        self._close = close
        self._frames: dict[int, _Frame] = {}
        self._moment: Moment | None = None
        self._values = 0

    def add(self, values: dict[str, Value], bad: dict[str, str], moment: Moment) -> None:
        """Put into the frame of their moment; a name speaks once in it, or InfluxDB would forget one."""
        if self._values >= MOST_IN_BATCH or (self._moment and not moment.is_of_clock(self._moment)):
            self.close()
        frame = self._frames.get(moment.at_ms)
        if frame is not None and not _are_apart(frame, values, bad):
            self.close()
            frame = None
        if frame is None:
            self._frames[moment.at_ms] = _Frame(moment.at_ms, values, bad)
        else:
            frame.values.update(values)
            frame.bad.update(bad)
        self._moment = moment
        self._values += len(values) + len(bad) + sum(map(_weight, values.values()))

    def close(self) -> None:
        """Hand the open batch over, if there is one."""
        moment, frames = self._moment, sorted(self._frames.items())
        if moment is None:
            return
        encoded = [_encode(frame) for _, frame in frames]
        spec = self.spec
        self._close(Batch(
            spec.name, spec.station, frames[0][0], moment.seen_ms, moment.mono_ms, self._boot, moment.stamp,
            encoded, self._values, self.lost,
        ))  # fmt: skip
        self._frames, self._moment, self._values, self.lost = {}, None, 0, 0


def _are_apart(frame: _Frame, values: Mapping[str, Value], bad: Mapping[str, str]) -> bool:
    """It costs what is new, not what the frame holds already."""
    known = (frame.values.keys(), frame.bad.keys())
    return all(keys.isdisjoint(new) for keys in known for new in (values, bad))


def _weight(value: Value) -> int:
    """What a text takes beyond a number, in numbers."""
    return len(value) // 16 if isinstance(value, str) else 0


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
        self._tables = {one.name: _Table(one, boot, self._closed) for one in tables}
        self.has_tables = bool(tables)
        self._places = {
            signal_of(table.spec.name, name): (table, spec)
            for table in self._tables.values()
            for name, spec in table.spec.signals.items()
        }
        self._boot = boot
        self._batches: deque[Batch] = deque()
        self._waiting = 0
        """Values in batches that are closed."""
        self._open: set[str] = set()
        self._losses: dict[str, _Loss] = {}

    # --- from sources ---

    def lane(self, signals: Sequence[str]) -> Lane:
        """For numbers of these signals, of one table, that come together. Raises KeyError."""
        places = [self._places[name] for name in signals]
        table = places[0][0]
        return Lane(table.spec.name, table.bad, [spec for _, spec in places])

    def sample(self, lane: Lane, values: Sequence[Number], moment: Moment, why: str = "no number") -> None:
        """Take one reading of a lane; `why` is told of values that are None."""
        table = self._tables[lane.table]
        if table.unread:
            table.unread.read(lane.names, moment.seen_ms, moment.mono_ms)
        bad = {}
        if None in values:
            pairs = zip(lane.names, values, strict=True)
            bad = {name: why for name, value in pairs if value is None and table.bad.get(name) != why}
            table.bad |= bad
        if (kept := lane.sift(values, moment.mono_ms)) or bad:
            self._add(table, kept, bad, moment)

    def observe(self, seen: Observation) -> bool:
        """Take one value of one signal; False where it is none of telemetry's."""
        place = self._places.get(seen.signal)
        if place is None:
            return False
        self._observe(*place, seen)
        return True

    def _observe(self, table: _Table, spec: Sampled, seen: Observation) -> None:
        signal, moment = spec.name, Moment(seen.at_ms, seen.seen_ms, seen.mono_ms, seen.stamp)
        if seen.quality is Quality.BAD:
            table.unread.lost(signal, seen.seen_ms, _fault(seen))
        elif table.unread:
            table.unread.read((signal,), seen.seen_ms, seen.mono_ms)
        if why := _fault(seen):
            if table.bad.get(signal) != why:
                table.bad[signal] = why
                table.last.pop(signal, None)
                self._add(table, {}, {signal: why}, moment)
            return
        table.bad.pop(signal, None)
        last = table.last.get(signal)
        if last is not None and not last.has_moved(seen.value, spec):
            if seen.mono_ms - last.mono_ms < spec.silence_ms:
                return
            # The device's time is still that of its last move.
            moment = Moment(seen.seen_ms, seen.seen_ms, seen.mono_ms, Stamp.RECEIPT)
        table.last[signal] = Last(seen.value, seen.mono_ms)
        self._add(table, {signal: seen.value}, {}, moment)

    def _add(self, table: _Table, values: dict[str, Value], bad: dict[str, str], moment: Moment) -> None:
        table.add(values, bad, moment)
        self._open.add(table.spec.name)
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
        values = 0
        while self._batches and values < MOST_AT_ONCE:
            taken.append(self._batches.popleft())
            values += taken[-1].values
        self._waiting -= values
        return taken

    def put_back(self, taken: Sequence[Batch]) -> None:
        """The journal has not taken them; they wait on, as far as there is room."""
        self._batches.extendleft(reversed(taken))
        self._waiting += sum(one.values for one in taken)
        self._make_room()

    def _closed(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._waiting += batch.values
        self._make_room()

    def _make_room(self) -> None:
        while self._waiting > CAPACITY:
            oldest = self._batches.popleft()
            self._waiting -= oldest.values
            after = next((one for one in self._batches if one.name == oldest.name), None)
            heir: Batch | _Table = after or self._tables[oldest.name]
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

    def _word(self, missed: Missed, now: Batch) -> Observation:
        return Observation(AGENT, missed, now.seen_ms, now.seen_ms, now.mono_ms, self._boot)


def signal_of(table: str, name: str) -> str:
    """The signal of a name in a table."""
    return f"{PREFIX}{table}/{name}"


def _fault(seen: Observation) -> str:
    """Why there is no value; empty where there is one."""
    value = seen.value
    if seen.quality is Quality.BAD or value is None:
        return seen.detail or "no value"
    if not isinstance(value, bool | int | float | str):
        return "neither a number nor a text"
    if isinstance(value, str):
        return _fault_of_text(value)
    if isinstance(value, int):
        return "a number of more than 64 bits" if value.bit_length() > 64 else ""
    return "" if isfinite(value) else "no number"


def _fault_of_text(value: str) -> str:
    if len(value) > LONGEST_TEXT:
        return f"a text of more than {LONGEST_TEXT:,} characters"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "a text that is no Unicode"
    return ""
