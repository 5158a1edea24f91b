"""What test rigs send: each result once, however often the rig repeats it."""

from hashlib import sha1

from msgspec.structs import replace

from edge.observation import Observation, Outcome, TestResult, Verdict
from edge.production.deciding import tested
from edge.production.draft import Draft
from edge.production.events import Flag
from edge.production.line import Line, StationSpec
from edge.production.losses import Health
from edge.production.scanning import unit_name
from edge.production.state import Frame, Rig, Station
from edge.production.tools import tools_in_use
from edge.production.traced import Test
from edge.production.units import last_unit
from edge.production.verdicts import judge

REMEMBERED = 64
"""Results of a rig that a repeated one is compared with."""
UNNUMBERED_MS = 60_000
"""A rig that does not number its results may measure the same again after this time."""


def rig_key(rig: str) -> str:
    return f"rig/{rig}"


def test_result(draft: Draft, rig: str, stations: tuple[StationSpec, ...]) -> None:
    """Decide what a rig sent; a repeated result is recognised and recorded once."""
    result, now = draft.observation.value, draft.observation
    station = stations[0]
    if not isinstance(result, TestResult):
        draft.say(Health(rig, "unreadable", now.detail), station.name, draft.station(station).context)
        known = draft.get(rig_key(rig), Rig) or Rig()
        draft.put(rig_key(rig), replace(known, unreadable=True))
        draft.outcome = Outcome(Verdict.REFUSED, now.detail or "not a test result")
        return
    unit, scanned = unit_of(draft.line, draft.station(station), now)
    key, digest = rig_key(rig), _digest(now.detail, result, unit if scanned else "")
    before = draft.get(key, Rig) or Rig()
    if _is_known(before, digest, result, now):
        draft.outcome = Outcome(Verdict.DUPLICATE, f"{unit or rig}: this result is recorded already")
        return
    _flag_number(draft, station, rig, before, result.number)
    frame = Frame(digest, now.seen_ms, now.mono_ms, now.boot, result.number)
    draft.put(key, Rig((*before.recent, frame)[-REMEMBERED:]))
    if before.unreadable:
        draft.say(Health(rig, "readable"), station.name)
    _record(draft, station, rig, unit, result)


def unit_of(line: Line, row: Station, now: Observation) -> tuple[str, bool]:
    """The unit that a result is of, and whether that is the one that was scanned last at the station.

    A rig with a reader of its own may send the whole label.
    """
    named = now.value.unit if isinstance(now.value, TestResult) else ""
    return (unit_name(named, line.labels), False) if named else (last_unit(row, now), True)


def _record(draft: Draft, spec: StationSpec, rig: str, unit: str, result: TestResult) -> None:
    judged, row = judge(result), draft.station(spec)
    first, first_pass = False, False
    if judged.verdict is not None:
        first, first_pass = tested(draft, spec, unit, result.program, judged.verdict)
    test = Test(
        unit, result.program, result.passed, rig, result.revision, result.number, result.steps, first,
        first_pass, judged.verdict, judged.computed, bool(judged.differs), tools_in_use(row),
    )  # fmt: skip
    draft.say(test, spec.name, row.context)
    words = f"{unit or 'a unit that nobody has scanned'} {_WORDS[judged.verdict]}"
    if judged.differs:
        words += f": {judged.differs}"
        draft.say(Flag("verdict_differs", 1, words), spec.name, row.context)
    if not unit:
        _say_no_unit(draft, spec, rig, words)
    draft.outcome = Outcome(Verdict.ACCEPTED, words)


_WORDS = {True: "passed", False: "failed", None: "measured"}


def _say_no_unit(draft: Draft, spec: StationSpec, rig: str, words: str) -> None:
    """The result is kept, and the person at the station is told that it is nobody's."""
    row = draft.station(spec)
    said = f"{rig}: {words}. Scan the serial number before the test"
    draft.say(Flag("no_unit", 1, said), spec.name, row.context)
    draft.put(spec.key, replace(row, said=said, said_verdict=Verdict.REFUSED))


def _flag_number(draft: Draft, spec: StationSpec, rig: str, before: Rig, number: str | None) -> None:
    """A rig that begins its numbers anew, or two results under one number: both are recorded."""
    if number is not None and any(frame.number == number for frame in before.recent):
        said = f"{rig} has sent another result under the number {number} before"
        draft.say(Flag("number_repeated", 1, said), spec.name, draft.station(spec).context)


def _digest(raw: str, result: TestResult, scanned: str) -> str:
    """A result without number and unit is another one when another unit was scanned."""
    told = raw or repr(result)
    if scanned and result.number is None:
        told = f"{scanned}\n{told}"
    return sha1(told.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:16]


def _is_known(before: Rig, digest: str, result: TestResult, now: Observation) -> bool:
    return any(
        frame.digest == digest and (result.number is not None or _age_ms(frame, now) <= UNNUMBERED_MS)
        for frame in before.recent
    )


def _age_ms(frame: Frame, now: Observation) -> int:
    """By the monotonic clock; across two boots by the wall clock, unless it went back."""
    if frame.boot == now.boot:
        return now.mono_ms - frame.mono_ms
    return max(0, now.seen_ms - frame.seen_ms)
