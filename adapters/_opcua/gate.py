"""What may be handed on of what a server says, in which order, and how old it is. Stamps are its ticks."""

import math
from collections import deque

from adapters._opcua.binary import Sample
from adapters._opcua.values import Reading
from adapters._opcua.wire import unix_ms

_DATE_TIME = 13
_PLAUSIBLE_MS = 10_000
_MEASUREMENTS = 5
_RENEWED_MS = 2_000


class ServerClock:
    """How far the server's clock is from our monotonic one, from reads of its CurrentTime.

    A server may renew CurrentTime once a second only, so a measurement is too large by up to
    that. The stamps beside it may be newer, and the least of the last few offsets is the best.
    """

    def __init__(self) -> None:
        self._offsets_ms: deque[int] = deque(maxlen=_MEASUREMENTS)
        self._offset_ms: int | None = None

    def measured(self, before_ms: int, after_ms: int, sample: Sample) -> None:
        """Take in one read of CurrentTime between two looks at our clock."""
        if sample.kind == _DATE_TIME and isinstance(sample.raw, int):
            times = [unix_ms(one) for one in (sample.raw, sample.source, sample.server) if one is not None]
            server_ms = max(one for one in times if one - times[0] < _RENEWED_MS)
            self._offsets_ms.append((before_ms + after_ms) // 2 - server_ms)
            self._offset_ms = min(self._offsets_ms)

    def age_ms(self, stamp: int | None, now_ms: int) -> int | None:
        """How long ago a server's time was, never before now; None where it cannot be trusted."""
        if stamp is None or self._offset_ms is None:
            return None
        age_ms = now_ms - unix_ms(stamp) - self._offset_ms
        if age_ms >= 0:
            return age_ms if age_ms < _PLAUSIBLE_MS else None
        return 0 if age_ms > -_PLAUSIBLE_MS else None


class Gate:
    """Decides for one signal what may be handed on. Times are monotonic, in seconds.

    A notification sampled before a read may arrive after its answer. A counter would seem to
    have gone back. So for `window_s` after a read, what the server stamped no later than the
    value read is dropped; the window's end keeps a server whose clock steps back from being
    silenced.
    """

    __slots__ = ("_admitted", "_admitted_s", "_doubted_s", "_floor", "_notified", "_until_s", "window_s")

    def __init__(self, window_s: float = 1.0) -> None:
        self.window_s = window_s
        self._floor: int | None = None
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

    def begin_anew(self) -> None:
        """It is watched anew: what was notified before says nothing of now."""
        self._notified = self._doubted_s = None

    @property
    def notified(self) -> Reading | None:
        """What the subscription said last, handed on or not."""
        return self._notified


def _later(stamp: int | None, floor: int | None) -> bool:
    return stamp is not None and floor is not None and stamp > floor
