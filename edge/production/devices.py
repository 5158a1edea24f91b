"""What devices say of themselves: one was restarted, or another stands in its place.

A counter that shows less than before may have rolled over, or begun again at zero: where its device says
since when it runs, nobody has to guess. One that shows more may be another device's.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import LONGEST_UPTIME_MS, DeviceWord, Observation, Outcome, Verdict
from edge.production.baselines import DOUBTED, REPLACED, RESTARTED, Began, Counter, Device
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
    draft.put(key, _noted(before, word, now))
    if before is None:
        if word.was_out_of_sight:
            _weigh(draft, word, has_turned=bool(word.turns_ms))
    elif before.serial and word.serial and before.serial != word.serial:
        words = f"its serial number is {word.serial}, it was {before.serial}"
        _tell(draft, word, before, Began(REPLACED, now.seen_ms, now.mono_ms, now.boot, now.synced), words)
    elif word.uptime_ms is not None and before.uptime_ms is not None and _is_restarted(before, word, now):
        words = f"its uptime is {word.uptime_ms / 1000:.0f} s, it was {before.uptime_ms / 1000:.0f} s"
        _tell(draft, word, before, _began(word, now, word.uptime_ms, elapsed_ms(before, now)), words)
    else:
        _weigh(draft, word, has_turned=_has_turned(before, word, now))


def _noted(before: Device | None, word: DeviceWord, now: Observation) -> Device:
    serial = word.serial or (before.serial if before else "")
    if before is not None and word.uptime_ms is None:
        return replace(before, serial=serial)  # what it said of its uptime stands, with its time
    return Device(
        serial, word.uptime_ms, now.seen_ms, now.mono_ms, now.boot, now.synced, word.read_from,
        word.started_ms,
    )  # fmt: skip


def _began(word: DeviceWord, now: Observation, uptime_ms: int, passed_ms: int | None) -> Began:
    """`passed_ms` since it was certainly still the one before: a server's clock may have been set since."""
    ago_ms, how = uptime_ms + word.tick_ms, RESTARTED
    if word.is_server:
        how, ago_ms = DOUBTED, ago_ms if passed_ms is None else min(ago_ms, passed_ms)
    return Began(how, now.seen_ms - ago_ms, now.mono_ms - ago_ms, now.boot, now.synced)


def _is_sound(word: DeviceWord) -> bool:
    times = (word.uptime_ms or 0, word.tick_ms, word.turns_ms, word.started_ms or 0)
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


def _weigh(draft: Draft, word: DeviceWord, *, has_turned: bool) -> None:
    """Nothing speaks for a restart. A device that had just been started when it went out of sight may have
    been started once more, too soon to be told by its uptime: what its counters show then is not certain."""
    now, uptime_ms = draft.observation, word.uptime_ms
    for place in _counters(draft.line, word):
        row = draft.get(place.counter.key, Counter)
        if row is None or row.began is not None or not (row.stale or word.was_out_of_sight):
            continue
        passed_ms, after = elapsed_ms(row, now), replace(row, goes_on=False)
        if uptime_ms is not None and passed_ms is not None and not has_turned:
            if uptime_ms <= passed_ms + LATE_MS + _steps_ms(word, passed_ms):
                began = _began(word, now, uptime_ms, passed_ms)
                after = replace(after, stale=True, began=began, suspect=None)
            else:
                after = replace(row, goes_on=not word.is_server)
        if after != row:
            draft.put(place.counter.key, after)


def _is_restarted(before: Device, word: DeviceWord, now: Observation) -> bool:
    """Whether its uptime did other than grow with the time; one that only turned over has grown."""
    was_ms, is_ms, turns_ms = before.uptime_ms or 0, word.uptime_ms or 0, word.turns_ms
    passed_ms = elapsed_ms(before, now)
    is_anew = _starts_anew(before, word)
    if passed_ms is None:
        return is_ms < was_ms or bool(is_anew)
    tolerance_ms = _tolerance_ms(word, passed_ms)
    behind_ms = was_ms + passed_ms - is_ms
    if turns_ms:
        behind_ms = (behind_ms + turns_ms // 2) % turns_ms - turns_ms // 2
    if abs(behind_ms) <= tolerance_ms:
        return False
    if is_ms <= passed_ms + tolerance_ms:  # it can have begun since
        return True
    return is_ms < was_ms and behind_ms > 0 if is_anew is None else is_anew


def _starts_anew(before: Device, word: DeviceWord) -> bool | None:
    """Whether it says another time of its start; None: it does not say one.

    That alone is no restart, nor is a jump of the uptime alone: a clock that is set changes the one or the
    other, by whether the server notes its start or works it out. A restart changes both, but where the clock
    begins at the same time after every start.
    """
    if before.started_ms is None or word.started_ms is None:
        return None
    return abs(word.started_ms - before.started_ms) > SLACK_MS + 2 * word.tick_ms


def _tell(draft: Draft, word: DeviceWord, before: Device, began: Began, words: str) -> None:
    """It is a loss: what was made between the last reading and the new begin only the old count had. Of a
    server's restart that is not known: its counters say what they recover, and how certain that is."""
    now = draft.observation
    old = {place.counter.signal: row for place in _counters(draft.line, word) if (
        row := draft.get(place.counter.key, Counter)
    ) is not None and _is_before(row, began, word)}  # fmt: skip
    for place in _counters(draft.line, word):
        if (row := old.get(place.counter.signal)) is not None:
            is_kept = row.began is not None and (row.began.how == REPLACED or began.how == DOUBTED)
            kept = row.began if is_kept else began
            after = replace(row, stale=True, began=kept, suspect=None, goes_on=False)
            draft.put(place.counter.key, after)
    if began.how == DOUBTED:
        return
    since_ms = min((row.seen_ms for row in old.values()), default=before.seen_ms)
    until_ms = max(since_ms, now.seen_ms if began.how == REPLACED else began.seen_ms + word.tick_ms)
    draft.say(Loss(CAUSES[began.how], word.device, since_ms, until_ms, detail=words, signals=tuple(old)))


def _is_before(row: Counter, began: Began, word: DeviceWord) -> bool:
    """Whether a reading is of the time before; where that is close, or no clock tells, it is taken for it."""
    if began.how == REPLACED or row.boot != began.boot:
        return True
    return row.mono_ms <= began.mono_ms + 2 * word.tick_ms + SLACK_MS
