"""What a server says of one value, when it says it happened, and what may be handed on of it."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from asyncua import ua

from edge.contract import Observation, Quality, Value
from edge.observation import OVERFLOWED

_DATA_VALUE = 0x400  # InfoType of a status code, OPC 10000-4, 7.38: bits 10 and 11
_INFO_TYPE = 0xC00
_OVERFLOW = 0x80
_LONGEST_TEXT = 4096
_PLAUSIBLE_MS = 10_000
_MEASUREMENTS = 5
_RENEWED_MS = 2_000
_ANALOG = 0.01
_TOTAL = 20_000
"""Observations that wait for the disk, over all signals of one source."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One DataValue in our own words."""

    value: Value
    quality: Quality
    detail: str = ""
    stamp: datetime | None = None
    """The server's own time of it: the source's, else the server's."""

    def same(self, other: "Reading") -> bool:
        """Whether both say the same of the signal, at whatever time."""
        return (self.value, self.quality, self.detail) == (other.value, other.quality, other.detail)

    def near(self, other: "Reading") -> bool:
        """Whether both are floats as close as a server's own deadband may leave them."""
        if not (isinstance(self.value, float) and isinstance(other.value, float)):
            return False
        return math.isclose(self.value, other.value, rel_tol=_ANALOG)


def overflowed(status: int) -> bool:
    """Whether the server lost values of this item just before this one.

    `StatusCode(0x480)` calls itself good, and its name is "Good".
    """
    return status & _INFO_TYPE == _DATA_VALUE and bool(status & _OVERFLOW)


def status_name(status: int) -> str:
    """`BadNodeIdUnknown`; with the number where there is no name of its own."""
    name = ua.StatusCode(ua.UInt32(status & 0xFFFF0000)).name
    return f"{name} (0x{status:08X})" if name in ("Bad", "Uncertain") else name


def reading(data: ua.DataValue) -> Reading:
    """Never raises: what cannot be used is BAD and says why."""
    status = 0 if data.StatusCode is None else int(data.StatusCode.value)
    stamp = data.SourceTimestamp or _server_stamp(data)
    if status >> 31:
        return Reading(None, Quality.BAD, status_name(status), stamp)
    raw = None if data.Value is None else data.Value.Value
    fault = _fault(raw)
    if fault:
        return Reading(None, Quality.BAD, fault, stamp)
    if overflowed(status):
        return Reading(_plain(raw), Quality.UNCERTAIN, OVERFLOWED, stamp)
    if status >> 30:
        return Reading(_plain(raw), Quality.UNCERTAIN, status_name(status), stamp)
    return Reading(_plain(raw), Quality.GOOD, "", stamp)


def _server_stamp(data: ua.DataValue) -> datetime | None:
    """asyncua decodes it from the wrong bytes where the source's picoseconds come before it."""
    return data.ServerTimestamp if data.SourcePicoseconds is None else None


def _fault(raw: object) -> str:
    if raw is None:
        return "the server gives no value"
    if not isinstance(raw, bool | int | float | str):
        return f"a value of type {type(raw).__name__} cannot be used; name a single number, bool or text"
    if isinstance(raw, float) and not math.isfinite(raw):
        return f"{raw} is no number"
    if isinstance(raw, str) and len(raw) > _LONGEST_TEXT:
        return f"a text of {len(raw)} characters is too long"
    return ""


def _plain(raw: object) -> Value:
    """Without the subclasses that the library decodes into."""
    for kind in (bool, int, float, str):
        if isinstance(raw, kind):
            return kind(raw)
    return None


class ServerClock:
    """How far the server's clock is from our monotonic one, from reads of its CurrentTime.

    A server may renew CurrentTime once a second only, so a measurement is too large by up to
    that. The stamps beside it may be newer, and the least of the last few offsets is the best.
    """

    def __init__(self) -> None:
        self._offsets_ms: deque[int] = deque(maxlen=_MEASUREMENTS)

    def measured(self, before_ms: int, after_ms: int, data: ua.DataValue) -> None:
        """Take in one read of CurrentTime between two looks at our clock."""
        raw = None if data.Value is None else data.Value.Value
        if isinstance(raw, datetime):
            times = [
                _utc_ms(one) for one in (raw, data.SourceTimestamp, _server_stamp(data)) if one is not None
            ]
            server_ms = max(one for one in times if one - times[0] < _RENEWED_MS)
            self._offsets_ms.append((before_ms + after_ms) // 2 - server_ms)

    def age_ms(self, stamp: datetime | None, now_ms: int) -> int | None:
        """How long ago a server's time was, never before now; None where it cannot be trusted."""
        if stamp is None or not self._offsets_ms:
            return None
        age_ms = now_ms - _utc_ms(stamp) - min(self._offsets_ms)
        return max(age_ms, 0) if abs(age_ms) < _PLAUSIBLE_MS else None


def _utc_ms(stamp: datetime) -> int:
    return int(stamp.timestamp() * 1000)


class Gate:
    """Decides for one signal what may be handed on. Times are monotonic, in seconds.

    A notification sampled before a read may arrive after its answer. A counter would seem to
    have gone back. So for `window_s` after a read, what the server stamped no later than the
    value read is dropped; the window's end keeps a server whose clock steps back from being
    silenced.
    """

    def __init__(self, window_s: float = 1.0) -> None:
        self.window_s = window_s
        self._floor: datetime | None = None
        self._until_s = -math.inf
        self._admitted: Reading | None = None
        self._admitted_s = -math.inf
        self._notified: Reading | None = None
        self._doubted_s: float | None = None

    def admits(self, notified: Reading, now_s: float) -> bool:
        """Whether a notification is to be handed on."""
        self._notified, self._doubted_s = notified, None
        if now_s < self._until_s and not _later(notified.stamp, self._floor):
            return False
        self._admitted, self._admitted_s = notified, now_s
        return True

    def settle(self, read: Reading, asked_s: float, now_s: float) -> Reading:
        """The newest that is known after a read; older notifications are dropped for a while.

        A server with several threads may have sampled and sent a later value while it was still
        answering: then that one is the answer.
        """
        rival = self._admitted
        if rival is not None and self._admitted_s >= asked_s and _later(rival.stamp, read.stamp):
            read = rival
        self._floor, self._until_s = read.stamp, now_s + self.window_s
        return read

    def agrees(self, probed: Reading, now_s: float) -> bool:
        """Whether a probe shows what the subscription said last; if not, doubt begins."""
        if self._notified is not None and self._notified.same(probed):
            self._doubted_s = None
            return True
        if self._doubted_s is None:
            self._doubted_s = now_s
        return False

    def doubted_for_s(self, now_s: float) -> float:
        """How long probes have differed with no notification between them."""
        return 0.0 if self._doubted_s is None else now_s - self._doubted_s

    @property
    def notified(self) -> Reading | None:
        """What the subscription said last, handed on or not."""
        return self._notified


def _later(stamp: datetime | None, floor: datetime | None) -> bool:
    return stamp is not None and floor is not None and stamp > floor


class Pending:
    """What waits to be handed over, in order of arrival and bounded for each signal.

    When a signal's share is full its oldest value makes room: these are absolute values, and
    the newest of a counter has all of its older ones.
    """

    def __init__(self, signals: int) -> None:
        self._share = max(16, _TOTAL // max(1, signals))
        self._waiting: dict[str, deque[tuple[int, Observation]]] = {}
        self._number = count()
        self.dropped = 0

    def put(self, observation: Observation) -> None:
        waiting = self._waiting.setdefault(observation.signal, deque(maxlen=self._share))
        self.dropped += len(waiting) == self._share
        waiting.append((next(self._number), observation))

    def take(self) -> Sequence[Observation]:
        """All of it, and forget it."""
        every = sorted((entry for waiting in self._waiting.values() for entry in waiting), key=_arrival)
        self._waiting.clear()
        return [observation for _, observation in every]


def _arrival(entry: tuple[int, Observation]) -> int:
    return entry[0]
