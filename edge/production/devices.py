"""What devices say of themselves: one was restarted, or another stands in its place.

A counter that shows less than before may have rolled over, or begun again at zero: where its device says
since when it runs, nobody has to guess. One that shows more may be another device's.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import LONGEST_UPTIME_MS, DeviceWord, Observation, Outcome, Verdict
from edge.production.baselines import REPLACED, RESTARTED, Began, Counter, Device
from edge.production.counting import elapsed_ms
from edge.production.draft import Draft
from edge.production.line import CounterAt, Line
from edge.production.losses import Loss
from edge.production.state import Row, device_key

CAUSES = {RESTARTED: "device-restarted", REPLACED: "device-replaced"}
"""Of a `loss`."""

LONGEST_SERIAL = 250
"""As many characters as the registers of one request hold."""
SLACK_MS = 2_000
DRIFT = 100
"""Two clocks may differ by two steps of the device's, by this slack, and by one part of so many."""
LATE_MS = 500
"""A counter's reading may be older than it seems by so much, and then of before a restart."""


def device_needs(line: Line, now: Observation, rows: Mapping[str, Row | None]) -> tuple[str, ...]:
    word = now.value
    if not isinstance(word, DeviceWord):
        return ()
    return (device_key(word.device), *(place.counter.key for place in _counters(line, word)))


def device(draft: Draft) -> None:
    """Compare what a device says with what it said last."""
    now, word = draft.observation, draft.observation.value
    if not isinstance(word, DeviceWord) or not _is_sound(word):
        draft.outcome = Outcome(Verdict.REFUSED, "this says nothing of a device")
        return
    key = device_key(word.device)
    before = draft.get(key, Device)
    if before is not None and before.read_from != word.read_from:
        before = None
    serial = word.serial or (before.serial if before else "")
    uptime_ms = word.uptime_ms
    if before is not None and uptime_ms is None:
        after = replace(before, serial=serial)  # what it said of its uptime stands, with its time
    else:
        after = Device(
            serial, uptime_ms, now.seen_ms, now.mono_ms, now.boot, now.synced, word.read_from
        )  # fmt: skip
    draft.put(key, after)
    if before is None:
        return
    if before.serial and before.serial != serial:
        words = f"its serial number is {serial}, it was {before.serial}"
        _tell(draft, word, before, Began(REPLACED, now.seen_ms, now.mono_ms, now.boot, now.synced), words)
    elif uptime_ms is not None and before.uptime_ms is not None and _is_restarted(before, word, now):
        words = f"its uptime is {uptime_ms / 1000:.0f} s, it was {before.uptime_ms / 1000:.0f} s"
        ago_ms = uptime_ms + word.tick_ms
        began = Began(RESTARTED, now.seen_ms - ago_ms, now.mono_ms - ago_ms, now.boot, now.synced)
        _tell(draft, word, before, began, words)
    elif uptime_ms is not None and not _has_turned(before, word, now):
        _doubt(draft, word, uptime_ms)


def _is_sound(word: DeviceWord) -> bool:
    times = (word.uptime_ms or 0, word.tick_ms, word.turns_ms)
    return all(0 <= one <= LONGEST_UPTIME_MS for one in times) and len(word.serial) <= LONGEST_SERIAL


def _counters(line: Line, word: DeviceWord) -> list[CounterAt]:
    return [line.counters[signal] for signal in word.signals if signal in line.counters]


def _tolerance_ms(word: DeviceWord, passed_ms: int) -> int:
    return SLACK_MS + _steps_ms(word, passed_ms)


def _steps_ms(word: DeviceWord, passed_ms: int) -> int:
    return 2 * word.tick_ms + passed_ms // DRIFT


def _has_turned(before: Device, word: DeviceWord, now: Observation) -> bool:
    """Its uptime does not tell any more since when it runs."""
    passed_ms = elapsed_ms(before, now) or 0
    most_ms = (before.uptime_ms or 0) + passed_ms + _tolerance_ms(word, passed_ms)
    return bool(word.turns_ms) and most_ms >= word.turns_ms


def _doubt(draft: Draft, word: DeviceWord, uptime_ms: int) -> None:
    """A device that had just been started when it went out of sight may have been started once more, too soon
    to be told by its uptime: what its counters show then is not certain."""
    now = draft.observation
    for place in _counters(draft.line, word):
        row = draft.get(place.counter.key, Counter)
        if row is None or not row.stale or row.began is not None:
            continue
        passed_ms = elapsed_ms(row, now)
        if passed_ms is not None and uptime_ms <= passed_ms + LATE_MS + _steps_ms(word, passed_ms):
            ago_ms = uptime_ms + word.tick_ms
            began = Began(RESTARTED, now.seen_ms - ago_ms, now.mono_ms - ago_ms, now.boot, now.synced)
            draft.put(place.counter.key, replace(row, began=began, suspect=None))


def _is_restarted(before: Device, word: DeviceWord, now: Observation) -> bool:
    """Whether its uptime did other than grow with the time; one that only turned over has grown."""
    was_ms, is_ms, turns_ms = before.uptime_ms or 0, word.uptime_ms or 0, word.turns_ms
    passed_ms = elapsed_ms(before, now)
    if passed_ms is None:
        return is_ms < was_ms
    tolerance_ms = _tolerance_ms(word, passed_ms)
    behind_ms = was_ms + passed_ms - is_ms
    if turns_ms:
        behind_ms = (behind_ms + turns_ms // 2) % turns_ms - turns_ms // 2
    if abs(behind_ms) <= tolerance_ms:
        return False
    if is_ms <= passed_ms + tolerance_ms:  # it can have begun since
        return True
    return is_ms < was_ms and behind_ms > 0


def _tell(draft: Draft, word: DeviceWord, before: Device, began: Began, words: str) -> None:
    """It is a loss: what was made between the last reading and the new begin only the old count had."""
    now = draft.observation
    old = {place.counter.signal: row for place in _counters(draft.line, word) if (
        row := draft.get(place.counter.key, Counter)
    ) is not None and _is_before(row, began, word)}  # fmt: skip
    for place in _counters(draft.line, word):
        if (row := old.get(place.counter.signal)) is not None:
            kept = row.began if row.began and row.began.how == REPLACED else began
            draft.put(place.counter.key, replace(row, stale=True, began=kept, suspect=None))
    since_ms = min((row.seen_ms for row in old.values()), default=before.seen_ms)
    until_ms = max(since_ms, now.seen_ms if began.how == REPLACED else began.seen_ms + word.tick_ms)
    draft.say(Loss(CAUSES[began.how], word.device, since_ms, until_ms, detail=words, signals=tuple(old)))


def _is_before(row: Counter, began: Began, word: DeviceWord) -> bool:
    """Whether a reading is of the time before; where that is close, or no clock tells, it is taken for it."""
    if began.how == REPLACED or row.boot != began.boot:
        return True
    return row.mono_ms <= began.mono_ms + 2 * word.tick_ms + SLACK_MS
