"""What the tests of the clock share."""

from edge.observation import CLOCK, ClockWord, Observation
from tests.support.clock import ManualClock
from tests.support.line import see

MAY_MS = 1_777_900_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def unsynced(wall_ms: int = MAY_MS, mono_ms: int = 20_000, boot: str = "b0") -> ManualClock:
    clock = ManualClock(wall_ms, mono_ms, boot)
    clock.is_synced = False
    return clock


def doubtful(clock: ManualClock) -> Observation:
    now_ms = clock.wall_ms()
    word = ClockWord("doubtful", "a test", since_ms=now_ms, offset_ms=now_ms - clock.mono_ms())
    return see(clock, CLOCK, word)


def right(clock: ManualClock, doubt: Observation, shift_ms: int) -> Observation:
    assert isinstance(doubt.value, ClockWord)
    clock.step_ms(shift_ms)
    word = ClockWord("right", "a test", 0, doubt.value.since_ms, doubt.value.offset_ms, shift_ms)
    return see(clock, CLOCK, word)
