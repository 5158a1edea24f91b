"""What may be handed on of what a server says, in which order, and how old it is."""

import math
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import count

from asyncua import ua

from adapters._opcua_values import Reading, server_stamp
from edge.contract import Observation

_PLAUSIBLE_MS = 10_000
_MEASUREMENTS = 5
_RENEWED_MS = 2_000
_TOTAL = 20_000
"""Observations that wait for the disk, over all signals of one source."""


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
                _utc_ms(one) for one in (raw, data.SourceTimestamp, server_stamp(data)) if one is not None
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
