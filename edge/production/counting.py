"""From two readings of a cumulative counter to parts, and how far to believe it.

A reading above the last adds the difference. One below it is a rollover where the declared
width makes the difference plausible, else a reset. What is not plausible, or what no clock can
vouch for, is read twice again against the old baseline before anything is concluded: a glitch to
zero and back is nothing. A rollover that nobody saw may as well be a restart: it is counted, and not certain.
Where the device itself says that it was restarted, went on or is another one, nothing of this is guessed.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.baselines import REPLACED, RESTARTED, Began, Counter, Device, Former, Look, Suspect
from edge.production.line import CounterSpec, StationSpec

LOOKS = 3
"""A reading nobody would believe is concluded from after so many that agree."""

LOOK_APART_MS = 100
"""Readings closer together than this are one look: a glitch may last for several polls."""

MOST_LOOKS = 20
LONGEST_MS = 5_000
"""A reading that is suspected for so many looks and so long is said to be none: it jumps about."""

KEPT_LOOKS = 16
"""So many readings that agree are remembered."""

FORMER_MS = 300_000
"""So long after a reset or a leap a counter may still turn out to go on from where it was before."""

LONGEST_OFF_MS = 7 * 86_400_000
"""Where no clock tells how long a box was off, no more is believed than can be made in a week."""

SET_BACK = 10
"""A count that goes back by less than this part of what it shows is an older one that was restored: one that
began at zero is hardly ever brought so near again."""

SLACK_MS = 1_000
SLACK_CYCLES = 3
"""Devices post in bursts and the wire delivers late: so much time is granted to every delta."""


class Kind(StrEnum):
    """What a reading is; the `quality` of a count event."""

    BASELINE = "baseline"
    """The first reading ever of this counter: nothing is counted."""
    SAME = "same"
    LIVE = "live"
    ROLLOVER = "rollover"
    GAP = "gap"
    """Counted while the counter was out of sight."""
    RESET = "reset"
    """It began again at zero; what was made between the last reading and that is unknown."""
    UNCERTAIN = "uncertain"
    """The interval could hide a whole turn of the counter or a new begin at zero, or no clock tells its
    length."""
    REPLACED = "replaced"
    """Another device stands in the place of the one before: nothing of what it shows is of this line."""
    IMPLAUSIBLE = "implausible"
    """More than the machine can make, or an older count: held for a person, not counted."""
    SUSPECT = "suspect"
    """Not believed yet: read again."""


_GOES_ON = (Kind.SAME, Kind.LIVE, Kind.GAP)


class Reading(NamedTuple):
    """A judged reading: counts, not parts."""

    kind: Kind
    delta: int = 0
    suspect: Suspect | None = None
    """What is suspected, while it is not believed yet."""
    restored: bool = False
    """The counter goes on from where it was before a reset or a leap: `delta` is what was not counted
    since."""
    most: int = 0
    """Of one that is uncertain: so many its device can have made since it was restarted. 0: nobody knows."""
    leapt: bool = False
    """More than can have been made: it may go back to where it was."""


def elapsed_ms(before: Counter | Former | Began | Device, now: Observation) -> int | None:
    """Time since the baseline, None where no clock can tell.

    Across two boots only the wall clock is left; it tells something if it was disciplined at
    both ends, for a box without a battery goes on from where it was switched off.
    """
    if before.boot == now.boot:
        return max(0, now.mono_ms - before.mono_ms)
    passed = now.seen_ms - before.seen_ms
    return passed if passed >= 0 and before.synced and now.synced else None


def judge(station: StationSpec, spec: CounterSpec, before: Counter, now: Observation, raw: int) -> Reading:
    """Compare a reading with its baseline; 0 <= raw < spec.modulus."""
    began, pace = before.began, _Pace.of(station, spec)
    if began is None:
        return _compared(before, now, raw, pace)
    if began.how == REPLACED:
        return Reading(Kind.REPLACED)
    age = elapsed_ms(began, now)
    may_be_from_zero = age is None or raw <= pace.possible(age)
    is_restarted = began.how == RESTARTED
    if raw < before.raw and may_be_from_zero and is_restarted and not spec.retained:
        return Reading(Kind.RESET, raw)
    reading = _compared(before, now, raw, pace)
    if spec.retained or reading.kind not in _GOES_ON:
        return reading
    # It may have begun anew, at zero or with a count that was saved earlier, and passed where it was before.
    most = raw if age is None else min(raw, pace.possible(age))
    if may_be_from_zero or (is_restarted and raw >= before.raw and most > reading.delta):
        return Reading(Kind.UNCERTAIN, reading.delta, most=max(most, reading.delta) if is_restarted else 0)
    return reading


def _compared(before: Counter, now: Observation, raw: int, pace: "_Pace") -> Reading:
    """Where nothing is known but the two readings."""
    forward = (raw - before.raw) % pace.modulus
    elapsed = elapsed_ms(before, now)
    hides_a_turn = elapsed is None or elapsed * pace.counts_per_ms >= pace.modulus
    if forward == 0:
        return Reading(Kind.UNCERTAIN if hides_a_turn and before.stale else Kind.SAME)
    former = before.former
    is_back = former is not None and bool(former.claims) and raw < before.raw
    if former is not None and is_back and (restored := _restored(former, now, raw, pace)) is not None:
        return restored
    # In doubt, a jump soon after a reset is the old count coming back; and nothing rolls over from a leap.
    slack_ms = 0 if former and not former.claims else pace.slack_ms
    may_go_on = not (former is not None and is_back and not former.counted)
    if elapsed is not None and not hides_a_turn and may_go_on and forward <= pace.possible(elapsed, slack_ms):
        return Reading(_went_on(before, raw), forward)
    if former is not None and (restored := _restored(former, now, raw, pace)) is not None:
        return restored
    suspect = _look(before.suspect, now, raw, pace)
    if suspect.times < LOOKS:
        return Reading(Kind.SUSPECT, suspect=suspect)
    return _concluded(before, raw, forward, elapsed, pace)


def _went_on(before: Counter, raw: int) -> Kind:
    """What a plausible difference is called. Unseen, a plausible rollover is a plausible new begin, too: the
    device alone knows."""
    if not before.stale:
        return Kind.ROLLOVER if raw < before.raw else Kind.LIVE
    is_told = before.goes_on or (before.began is not None and before.began.how == RESTARTED)
    return Kind.GAP if raw >= before.raw or is_told else Kind.UNCERTAIN


class _Pace(NamedTuple):
    """How fast a counter can go, and how late its reading may be."""

    counts_per_ms: float
    slack_ms: int
    modulus: int

    @classmethod
    def of(cls, station: StationSpec, spec: CounterSpec) -> "_Pace":
        slack_ms = SLACK_MS + SLACK_CYCLES * station.ideal_cycle_ms
        return cls(1 / (station.fastest_cycle_ms * spec.parts_per_count), slack_ms, spec.modulus)

    def possible(self, elapsed_ms: int, slack_ms: int | None = None) -> int:
        """Counts that may have been added in this time."""
        slack_ms = self.slack_ms if slack_ms is None else slack_ms
        return int((elapsed_ms + slack_ms) * self.counts_per_ms) + 1


def _restored(former: Former, now: Observation, raw: int, pace: _Pace) -> Reading | None:
    """A device that shows zeros while it boots, or anything while its slave is away, and then goes on where
    it was."""
    elapsed, made = elapsed_ms(former, now), raw - former.raw
    if former.claims:  # it was not near zero, and may have rolled over meanwhile
        made %= pace.modulus
    delta = made - former.counted
    if delta < 0 or elapsed is None or made > pace.possible(elapsed):
        return None
    return Reading(Kind.GAP, delta, restored=True)


def _concluded(before: Counter, raw: int, forward: int, elapsed: int | None, pace: _Pace) -> Reading:
    """What a reading means that was not believed at once, and did not go away."""
    if elapsed is not None and elapsed * pace.counts_per_ms >= pace.modulus:
        return Reading(Kind.UNCERTAIN, forward)
    if 0 < (before.raw - raw) * SET_BACK < raw:
        return Reading(Kind.IMPLAUSIBLE, raw)
    if elapsed is None:
        delta = forward if raw >= before.raw else raw
        return Reading(Kind.UNCERTAIN if delta <= pace.possible(LONGEST_OFF_MS) else Kind.IMPLAUSIBLE, delta)
    if raw >= before.raw:
        return Reading(Kind.IMPLAUSIBLE, raw - before.raw, leapt=True)
    if raw <= pace.possible(elapsed):
        return Reading(Kind.RESET, raw)
    return Reading(Kind.IMPLAUSIBLE, raw, leapt=True)


def _look(suspect: Suspect | None, now: Observation, raw: int, pace: _Pace) -> Suspect:
    """The suspicion after this reading: it agrees with the one before, or begins anew."""
    here = Look(raw, now.mono_ms)
    if suspect is None or now.mono_ms < suspect.mono_ms:
        return Suspect(raw, 1, now.mono_ms, (here,), now.mono_ms, 1, now.mono_ms)
    if now.mono_ms - suspect.tried_ms >= LOOK_APART_MS:
        suspect = replace(suspect, tries=suspect.tries + 1, tried_ms=now.mono_ms)
    since_ms = now.mono_ms - suspect.mono_ms
    if (raw - suspect.raw) % pace.modulus > pace.possible(since_ms):
        return replace(suspect, raw=raw, times=1, mono_ms=now.mono_ms, looks=(here,), boundary=None)
    suspect = replace(suspect, looks=(*suspect.looks, here)[-KEPT_LOOKS:])
    if since_ms < LOOK_APART_MS:
        return suspect
    return replace(suspect, raw=raw, times=suspect.times + 1, mono_ms=now.mono_ms)


def jumps_about(suspect: Suspect, now: Observation) -> bool:
    """So many looks, so long, and no three agree: it is no count."""
    return suspect.tries >= MOST_LOOKS and now.mono_ms - suspect.since_ms >= LONGEST_MS
