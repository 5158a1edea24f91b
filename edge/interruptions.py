"""What the recorder makes up for: a time in which nothing could be recorded, times stamped in a doubt."""

from collections.abc import Iterable

from msgspec.structs import replace

from edge.observation import AGENT, Missed, Observation
from edge.pending import Entry, Held, Rest
from edge.production.clocks import shifted
from edge.production.draft import Hold, Restamp
from edge.production.presence import NOT_RECORDED

LATE_MS = 60_000
"""No observation comes to its decision later than this."""


class Outage:
    """The journal takes nothing: since when, and why."""

    def __init__(self, first: Observation | None, reason: str) -> None:
        """`first`: the oldest observation that was refused, where it was one."""
        self._first = first
        self._reason = reason

    def told(self, now: Observation) -> Observation:
        """It is over with this observation, if that can be recorded; to be decided before it."""
        self._first = self._first or now
        missed = Missed(NOT_RECORDED, AGENT, self._first.seen_ms, now.seen_ms, detail=self._reason)
        return Observation(AGENT, missed, now.seen_ms, now.seen_ms, now.mono_ms, now.boot, synced=now.synced)


class Stragglers:
    """Observations that were stamped while the clock was in doubt, and are decided after it was right."""

    def __init__(self) -> None:
        self._last: Restamp | None = None
        self._until_mono_ms = 0

    def decided(self, timing: Hold | Restamp, now: Observation) -> None:
        self._last = timing if isinstance(timing, Restamp) and timing.shift_ms else None
        self._until_mono_ms = now.mono_ms + LATE_MS

    def forget(self) -> None:
        """What was decided is not on disk: it will be decided again."""
        self._last = None

    def corrected(self, observation: Observation) -> Observation:
        last = self._last
        if last is None:
            return observation
        if observation.boot != last.boot or observation.mono_ms > self._until_mono_ms:
            self._last = None
            return observation
        (low, high), mono_ms = last.offsets, observation.mono_ms
        if mono_ms > last.until_mono_ms or not low <= observation.seen_ms - mono_ms <= high:
            return observation
        at_ms = shifted(observation.at_ms, last.since_ms, last.shift_ms)
        return replace(observation, at_ms=at_ms, seen_ms=observation.seen_ms + last.shift_ms)


def first_seen(waiting: Iterable[Entry | Held | Rest]) -> Observation | None:
    """The oldest observation that is still to be decided."""
    for one in waiting:
        if not isinstance(one, Entry):
            return one.entry.observations[one.index]
        if one.observations:
            return one.observations[0]
    return None
