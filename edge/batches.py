"""Values of one table of telemetry become batches: frames in layers. Decisions without I/O.

A batch is JSON, compressed in the journal and nowhere else:
    {"name":"oven","frames":[{"at":1777875129412,"values":{"zone_1":229.5}}]}
`at` is in UTC milliseconds, ascending. `bad` stands in a frame beside `values`: names to the reason why there
is no value. `lost` stands before `frames` where values were dropped before them: how many.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import compress, decompress
from zlib import error as ZlibError

from msgspec import Raw, Struct, json

from edge.observation import Stamp, Value
from edge.sifting import NO_VALUE, Lane, NoValue, Sampled
from edge.unread import Unread

PREFIX = "telemetry/"
"""A signal of telemetry is named `telemetry/TABLE/NAME`; no other begins so."""

MOST_IN_BATCH = 4_000
"""Values, some 64 KB: what any broker takes in one message."""
FRAME = 2
"""A frame takes as many bytes as so many values."""
STEP_MS = 50
"""The wall clock was set when it has moved by more than this against the monotonic one."""

_LEVEL = 1
"""Two fifths of the bytes, for 1 ms of CPU in 10,000 values. The highest takes five times that."""


class _Frame(Struct, omit_defaults=True):
    """One moment of one table. A name stands in `values` or in `bad`."""

    at: int
    values: dict[str, Value] = {}
    bad: dict[str, str] = {}


class _Sampled(Struct, omit_defaults=True):
    """A frame whose values are written already."""

    at: int
    values: Raw
    bad: dict[str, str] = {}


class _Rows:
    """What lanes gave of one moment."""

    __slots__ = ("span", "written")

    def __init__(self) -> None:
        self.span = 0
        """The lanes' spans together: their signals have their say in this moment, also those without news."""
        self.written: list[bytes] = []
        """JSON of names and values, without braces."""


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
    frames: bytes
    """JSON of each, with a comma between."""
    values: int
    lost: int = 0

    def body(self) -> bytes:
        return pack(self.name, (self.frames,), self.lost)


class _Layer:
    """Frames by their time; a name is in each of them once at most."""

    __slots__ = ("frames", "rows", "values")

    def __init__(self) -> None:
        self.frames: dict[int, _Frame] = {}
        self.rows: dict[int, _Rows] = {}
        """Beside the frame of their moment, which is there, too."""
        self.values = 0


class Table:
    """The open batches of one table.

    No two points of one record may have one name and one time, and the values of a signal must go out in
    their order. So a signal that speaks twice in a millisecond goes on in the next layer; each is a batch.
    """

    def __init__(self, spec: TelemetryTable, boot: str, close: Callable[[Batch], None]) -> None:
        self.spec = spec
        self.bad: dict[str, str] = {}
        """Signals whose last word was that there is no value, and why."""
        self.unread = Unread(f"{PREFIX}{spec.name}")
        self.lost = 0
        """Values that were dropped since the last batch."""
        self._bits = {name: 1 << at for at, name in enumerate(spec.signals)}
        self._boot = boot
        self._close = close
        self._moment: Moment | None = None
        self._begin()

    def _begin(self) -> None:
        self._layers = [_Layer()]
        self._raised: dict[str, int] = {}
        """The layer of each signal that is not in the lowest."""
        self._size = 0
        """In values of a number."""

    def span_of(self, names: Iterable[str]) -> int:
        """For a lane of these signals."""
        return sum(self._bits[name] for name in names)

    def add(self, lane: Lane, written: bytes, count: int, bad: dict[str, str], moment: Moment) -> None:
        """Put so many numbers of a lane into the frame of their moment, as JSON without braces."""
        self._turn(moment)
        at = moment.at_ms
        if self._raised or not self._has_room(lane, at):
            self.close()
        layer = self._layers[0]
        frame, rows = layer.frames.get(at), layer.rows.get(at)
        if frame is None:
            frame = layer.frames[at] = _Frame(at)
            self._size += FRAME
        if rows is None:
            rows = layer.rows[at] = _Rows()
        rows.span |= lane.span
        if written:
            rows.written.append(written)
        if bad:
            frame.bad.update(bad)
        self._grow(layer, count + len(bad), sum(map(_weight, bad.values())) if bad else 0)

    def _has_room(self, lane: Lane, at_ms: int) -> bool:
        """Whether the frame of this moment has none of the lane's signals. It costs what is new, not what
        the frame holds already."""
        layer = self._layers[0]
        if (rows := layer.rows.get(at_ms)) is not None and rows.span & lane.span:
            return False
        frame = layer.frames.get(at_ms)
        if frame is None or not (frame.values or frame.bad):
            return True
        return frame.values.keys().isdisjoint(lane.names) and frame.bad.keys().isdisjoint(lane.names)

    def put(self, name: str, value: Value | NoValue, at_ms: int, moment: Moment) -> None:
        """Put one value into the frame of its own time, which is of the same clock as `moment`."""
        if moment is not self._moment or self._size >= MOST_IN_BATCH:
            self._turn(moment)
        layer = self._layers[self._raised.get(name, 0)] if self._raised else self._layers[0]
        frame = layer.frames.get(at_ms)
        if frame is not None and self._has(layer, frame, name):
            layer = self._raise(name)
            frame = layer.frames.get(at_ms)
        if frame is None:
            frame = layer.frames[at_ms] = _Frame(at_ms)
            self._size += FRAME
        if isinstance(value, NoValue):
            frame.bad[name] = value.why
            self._grow(layer, 1, _weight(value.why))
        else:
            frame.values[name] = value
            self._grow(layer, 1, _weight(value))

    def _has(self, layer: _Layer, frame: _Frame, name: str) -> bool:
        """Whether the signal has its say in the frame."""
        if name in frame.values or name in frame.bad:
            return True
        rows = layer.rows.get(frame.at) if layer.rows else None
        return rows is not None and bool(rows.span & self._bits[name])

    def note(self, name: str, value: Value | NoValue, moment: Moment) -> None:
        """Whether the device gave something, if only something that is no number."""
        if isinstance(value, NoValue):
            self.unread.lost(name, moment.seen_ms, value.why or NO_VALUE)
        elif self.unread:
            self.unread.read((name,), moment.seen_ms, moment.mono_ms)

    @property
    def is_open(self) -> bool:
        """Something waits to be handed over."""
        return self._size > 0

    def _raise(self, name: str) -> _Layer:
        height = self._raised[name] = self._raised.get(name, 0) + 1
        if height == len(self._layers):
            self._layers.append(_Layer())
        return self._layers[height]

    def _grow(self, layer: _Layer, values: int, texts: int) -> None:
        layer.values += values
        self._size += values + texts

    def _turn(self, moment: Moment) -> None:
        """Begin a batch where the open one is full or of another clock."""
        if self._size >= MOST_IN_BATCH or (self._moment and not moment.is_of_clock(self._moment)):
            self.close()
        self._moment = moment

    def close(self) -> None:
        """Hand the open batches over, if there are any."""
        moment, spec = self._moment, self.spec
        if moment is None or not self._size:
            return
        for layer in self._layers:
            frames = sorted(layer.frames.items())
            rows = layer.rows
            encoded = [_written(frame, rows[at]) if at in rows else _encode(frame) for at, frame in frames]
            self._close(Batch(
                spec.name, spec.station, frames[0][0], moment.seen_ms, moment.mono_ms, self._boot,
                moment.stamp, b",".join(encoded), layer.values, self.lost,
            ))  # fmt: skip
            self.lost = 0
        self._begin()


def _written(frame: _Frame, rows: _Rows) -> bytes:
    written = [*rows.written, _encode(frame.values)[1:-1]] if frame.values else rows.written
    if not written:
        return _encode(frame)
    return _encode(_Sampled(frame.at, Raw(b"{%b}" % b",".join(written)), frame.bad))


def _weight(value: Value) -> int:
    """What a text takes beyond a number, in numbers."""
    return len(value) // 16 if isinstance(value, str) else 0
