"""The wall clock, watched against the monotonic one: steps are told, and a clock in doubt is not used.

While the wall clock is in doubt, times are estimated: the last time that was right, and what the monotonic
clock says has passed since. Once it is right again, everything that was estimated in this boot is
shifted by one number. So a time never lies before what happened earlier, and nothing is dated 1970.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from edge.clock import Clock
from edge.observation import CLOCK, ClockWord, Observation

log = logging.getLogger("lineside.clock")

BUILT_MS = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp() * 1000)
"""No right clock shows a time before this Lineside was made; moved on with each release."""

STEP_MS = 250
"""What the two clocks differ by more between two looks is a step; time servers slew below it."""
SLEW = 0.001
"""Of the time that nobody looked: so far a clock may have been slewed."""
LOOKS = 10
"""A machine so loaded that not one of them is quick is not told from one whose clock was set."""
BACK_MS = 10_000
"""A clock this little before the last event is believed: it was put right by hand."""
PATIENCE_MS = 15 * 60_000
"""So long a clock is doubted that is merely behind the last event: that one may have been wrong."""


@dataclass(frozen=True, slots=True)
class Last:
    """The newest record of the journal: what time it was when the agent was last seen alive."""

    seen_ms: int
    mono_ms: int
    boot: str
    since_ms: int = 0
    """Since when times were estimated then; 0: they were not."""


class Timekeeper:
    """A `Clock` whose `wall_ms` is the best that is known. One thread asks it."""

    def __init__(self, clock: Clock, last: Last | None = None, *, require_ntp: bool = False) -> None:
        self.boot = clock.boot
        self.reason = ""
        """Why the wall clock is in doubt; empty while it is believed."""
        self._clock = clock
        self._require_ntp = require_ntp
        self._words: deque[Observation] = deque()
        self._floor_ms = last.seen_ms if last else 0
        self._since_ms = 0
        self._doubted_mono_ms = 0
        self._offset_ms = 0
        self._begin(last)

    # --- the clock --------------------------------------------------------------------------

    def wall_ms(self) -> int:
        """UTC since 1970, or the best estimate of it."""
        wall_ms, mono_ms = self._clock.wall_ms(), self._clock.mono_ms()
        if not self.reason and abs(wall_ms - mono_ms - self._offset_ms) <= STEP_MS:
            self._offset_ms = wall_ms - mono_ms
            return wall_ms
        self.look()
        return mono_ms + self._offset_ms

    def mono_ms(self) -> int:
        return self._clock.mono_ms()

    def synced(self) -> bool:
        """Never while the clock is in doubt."""
        return not self.reason and self._clock.synced()

    # --- watching it ------------------------------------------------------------------------

    def look(self) -> None:
        """Compare the clocks; called whenever the time is asked, and every second."""
        wall_ms, mono_ms = self._both()
        step_ms = wall_ms - mono_ms - self._offset_ms
        if self.reason:
            self._doubted(wall_ms, mono_ms, step_ms)
        elif abs(step_ms) > STEP_MS:
            self._stepped(wall_ms, mono_ms, step_ms)
        else:
            self._offset_ms += step_ms

    def words(self) -> Sequence[Observation]:
        """What is to be recorded before anything else, each told once."""
        taken = tuple(self._words)
        for _ in taken:
            self._words.popleft()
        return taken

    def _both(self) -> tuple[int, int]:
        """Both clocks at one instant: a process that was held up between two reads has seen no step."""
        for _ in range(LOOKS):
            before_ms, wall_ms, mono_ms = self._clock.mono_ms(), self._clock.wall_ms(), self._clock.mono_ms()
            if mono_ms - before_ms <= STEP_MS // 10:
                break
        return wall_ms, mono_ms

    def _begin(self, last: Last | None) -> None:
        wall_ms, mono_ms = self._both()
        raw_ms = wall_ms - mono_ms
        if last is None or last.boot != self.boot:
            self._offset_ms = raw_ms
            reason = self._why(wall_ms)
            if reason:
                self._doubt(max(self._floor_ms + 1, BUILT_MS) - mono_ms, mono_ms, reason)
            elif last is not None and last.since_ms:
                why = "the box was started again; what was estimated before that stays as it is"
                self._say(ClockWord("right", why, since_ms=last.since_ms, certain=False), mono_ms)
            return
        self._offset_ms = last.seen_ms - last.mono_ms
        if last.since_ms:  # the agent was started again, the doubt is the same
            self.reason, self._since_ms = self._why(wall_ms) or "it has not been looked at yet", last.since_ms
            self._doubted_mono_ms = mono_ms
            self.look()
            return
        self._floor_ms = mono_ms + self._offset_ms
        step_ms = raw_ms - self._offset_ms
        if abs(step_ms) > STEP_MS + SLEW * (mono_ms - last.mono_ms):
            self._stepped(wall_ms, mono_ms, step_ms)
        else:
            self._offset_ms = raw_ms
            if reason := self._why(wall_ms):
                self._doubt(raw_ms, mono_ms, reason)

    def _why(self, wall_ms: int) -> str:
        """Why the wall clock cannot be believed; empty where it can."""
        if wall_ms < BUILT_MS:
            return "it is before this Lineside was built"
        if self._clock.synced():
            return ""
        if self._require_ntp:
            return "no time server has set it"
        return "it is before the last event" if wall_ms < self._floor_ms - BACK_MS else ""

    def _stepped(self, wall_ms: int, mono_ms: int, step_ms: int) -> None:
        self._floor_ms = mono_ms + self._offset_ms
        reason = self._why(wall_ms)
        if reason:
            self._doubt(self._offset_ms, mono_ms, reason, step_ms)
            return
        self._offset_ms += step_ms
        log.warning("the clock was set by %+.1f s; it is %s now", step_ms / 1000, _shown(wall_ms))
        self._say(ClockWord("stepped", step_ms=step_ms), mono_ms)

    def _doubt(self, offset_ms: int, mono_ms: int, reason: str, step_ms: int = 0) -> None:
        self._offset_ms, self.reason = offset_ms, reason
        self._since_ms, self._doubted_mono_ms = mono_ms + offset_ms, mono_ms
        words = "the clock shows %s: %s; events are recorded and held back until it is right"
        log.warning(words, _shown(self._clock.wall_ms()), reason)
        self._say(ClockWord("doubtful", reason, step_ms, self._since_ms, offset_ms), mono_ms)

    def _doubted(self, wall_ms: int, mono_ms: int, step_ms: int) -> None:
        reason = self._why(wall_ms)
        if not reason:
            by_server = self._clock.synced()
            why = "a time server has set it" if by_server else "it is after the last event"
            self._believe(mono_ms, step_ms, why)
        elif self._is_merely_behind(wall_ms) and mono_ms - self._doubted_mono_ms >= PATIENCE_MS:
            self._believe(mono_ms, step_ms, "nobody has set it for 15 minutes", certain=False)
        else:
            self.reason = reason

    def _is_merely_behind(self, wall_ms: int) -> bool:
        return wall_ms >= BUILT_MS and not self._require_ntp

    def _believe(self, mono_ms: int, step_ms: int, why: str, *, certain: bool = True) -> None:
        since_ms, estimate_ms = self._since_ms, self._offset_ms
        shift_ms = step_ms if abs(step_ms) > STEP_MS else 0
        self._offset_ms, self.reason, self._since_ms = estimate_ms + step_ms, "", 0
        now = _shown(mono_ms + self._offset_ms)
        words = "the clock is believed again, it is %s: %s; times since the doubt began are moved by %+.1f s"
        log.warning(words, now, why, shift_ms / 1000)
        self._say(ClockWord("right", why, 0, since_ms, estimate_ms, shift_ms, certain), mono_ms)

    def _say(self, word: ClockWord, mono_ms: int) -> None:
        now_ms = mono_ms + self._offset_ms
        synced = self.synced()
        self._words.append(Observation(CLOCK, word, now_ms, now_ms, mono_ms, self.boot, synced=synced))


def _shown(wall_ms: int) -> str:
    try:
        return datetime.fromtimestamp(wall_ms / 1000, UTC).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return "a time beyond all calendars"
