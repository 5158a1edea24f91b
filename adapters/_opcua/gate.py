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
_QUICK_MS = 10
"""More than the quickest of the last answers; what took longer says less."""
_SLEW_MS, _STEP_MS = 20, 1_000
"""Of one measurement: what the offset may move, and from where on a clock was set."""
_BACK_MS = 1_000 + _STEP_MS
"""The same for a clock that was set back: one that is renewed once a second seems to be that far behind."""


class ServerClock:
    """How far the server's clock is from our monotonic one, from reads of its CurrentTime.

    A server may renew CurrentTime once a second only, so a measurement is too large by up to
    that. The stamps beside it may be newer, and the least of the last few offsets is the best, of
    those that were answered quickly. Once a few are known it moves slowly: values that come one
    after the other must not change places because the server was busy while it was asked.
    """

    def __init__(self) -> None:
        self._measured: deque[tuple[int, int]] = deque(maxlen=_MEASUREMENTS)
        """How long the answer took, and the offset."""
        self._offset_ms: int | None = None

    def measured(self, before_ms: int, after_ms: int, sample: Sample) -> None:
        """Take in one read of CurrentTime between two looks at our clock."""
        if sample.kind == _DATE_TIME and isinstance(sample.raw, int):
            times = [unix_ms(one) for one in (sample.raw, sample.source, sample.server) if one is not None]
            server_ms = max(one for one in times if one - times[0] < _RENEWED_MS)
            took_ms, offset_ms = after_ms - before_ms, (before_ms + after_ms) // 2 - server_ms
            if self._was_set(offset_ms, took_ms):
                self._measured.clear()
            self._measured.append((took_ms, offset_ms))
            self._offset_ms = self._slewed(self._best_ms())

    def _was_set(self, offset_ms: int, took_ms: int) -> bool:
        """Whether it is further from all that is known than a slow answer explains."""
        known = [one for _, one in self._measured]
        if not known:
            return False
        return offset_ms - max(known) > _BACK_MS + took_ms or min(known) - offset_ms > _STEP_MS + took_ms

    def _best_ms(self) -> int:
        quick_ms = min(took_ms for took_ms, _ in self._measured) + _QUICK_MS
        return min(offset_ms for took_ms, offset_ms in self._measured if took_ms <= quick_ms)

    def _slewed(self, best_ms: int) -> int:
        known_ms = self._offset_ms
        is_settled = len(self._measured) == _MEASUREMENTS
        if known_ms is None or not is_settled or abs(best_ms - known_ms) > _STEP_MS:
            return best_ms
        return min(max(best_ms, known_ms - _SLEW_MS), known_ms + _SLEW_MS)

    def age_ms(self, stamp: int | None, now_ms: int) -> int | None:
        """How long ago a server's time was, never before now; None where it cannot be trusted."""
        if stamp is None or self._offset_ms is None:
            return None
        age_ms = now_ms - unix_ms(stamp) - self._offset_ms
        if age_ms >= 0:
            return age_ms if age_ms < _PLAUSIBLE_MS else None
        return 0 if age_ms > -_PLAUSIBLE_MS else None

    def ago_ms(self, stamp: int | None, now_ms: int) -> int | None:
        """As `age_ms`, however long ago it was; None only where there is no time."""
        if stamp is None or self._offset_ms is None:
            return None
        return max(0, now_ms - unix_ms(stamp) - self._offset_ms)


class Gate:
    """Decides for one signal what may be handed on. Times are monotonic, in seconds.

    A notification sampled before a read may arrive after its answer. A counter would seem to
    have gone back. So for `window_s` after a read, what the server stamped no later than the
    value read is dropped; the window's end keeps a server whose clock steps back from being
    silenced. Where the source's stamps stand still the server's tell the order. A value of
    telemetry has a time of its own wherever it stands in the order, so of those only the very
    value that was read is dropped.
    """

    __slots__ = (
        "_admitted", "_admitted_s", "_doubted_s", "_floor", "_is_still", "_notified", "_until_s", "window_s",
    )  # fmt: skip

    def __init__(self, window_s: float = 1.0) -> None:
        self.window_s = window_s
        self._floor: Reading | None = None
        self._is_still = False
        """Nothing was handed on since the read."""
        self._until_s = -math.inf
        self._admitted: Reading | None = None
        self._admitted_s = -math.inf
        self._notified: Reading | None = None
        self._doubted_s: float | None = None

    def admits(
        self, notified: Reading, now_s: float, *, is_dated: bool = False, is_count: bool = True
    ) -> bool:
        """Whether a notification is to be handed on.

        `is_dated`: it has a time that is believed. `is_count`: of two of which nobody knows which was first
        the read one is kept, for a counter has it all at the next; of all others none may vanish.
        """
        self._notified, self._doubted_s = notified, None
        floor = self._floor
        if floor is not None and now_s < self._until_s:
            is_later = _is_later(notified, floor)
            if self._is_still and notified.stamp == floor.stamp and notified.same(floor):
                return False
            if is_later is False:
                return is_dated and notified.stamp != floor.stamp
            if is_later is None and is_count:
                return False
        self._admitted, self._admitted_s, self._is_still = notified, now_s, False
        return True

    def settle(self, read: Reading, asked_s: float, now_s: float) -> Reading:
        """The newest that is known after a read; older notifications are dropped for a while.

        A server with several threads may have sampled and sent a later value while it was still
        answering: then that one is the answer.
        """
        rival = self._admitted
        if rival is not None and self._admitted_s >= asked_s and _is_later(rival, read):
            read = rival
        self._floor, self._until_s, self._is_still = read, now_s + self.window_s, True
        return read

    def agrees(self, probed: Reading, now_s: float) -> bool:
        """Whether a probe shows what the subscription said last; if not, doubt begins."""
        if self._notified is not None and self._notified.same(probed):
            self._doubted_s = None
            return True
        if self._doubted_s is None:
            self._doubted_s = now_s
        return False

    def trusts(self) -> None:
        """A difference says nothing: what was notified since may be on its way still."""
        self._doubted_s = None

    @property
    def is_doubted(self) -> bool:
        """Whether the last probe differed, with no notification since."""
        return self._doubted_s is not None

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


def _is_later(one: Reading, other: Reading) -> bool | None:
    """None: nobody knows which was first."""
    if one.stamp is None or other.stamp is None:
        return None
    if one.stamp != other.stamp:
        return one.stamp > other.stamp
    if one.server is None or other.server is None or one.server == other.server:
        return None
    return one.server > other.server
