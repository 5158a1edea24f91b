"""What test rigs send: each result once, however often the rig repeats it."""

from hashlib import sha1

from msgspec.structs import replace

from edge.observation import Observation, Outcome, TestResult, Verdict
from edge.production.beside import Frame, Rig
from edge.production.deciding import tested
from edge.production.draft import Draft
from edge.production.events import Flag
from edge.production.line import Line, StationSpec
from edge.production.losses import Health
from edge.production.moving import publish_ended
from edge.production.resent import sent_before
from edge.production.scanning import unit_name
from edge.production.state import LINE, Station
from edge.production.tools import tools_in_use
from edge.production.traced import Test
from edge.production.units import last_unit
from edge.production.verdicts import judge

REMEMBERED = 64
"""Results of a rig that a repeated one is compared with."""


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
    key, before = rig_key(rig), draft.get(rig_key(rig), Rig) or Rig()
    frame = Frame(
        _digest(now.detail or repr(result)), now.seen_ms, now.mono_ms, now.boot, result.number,
        unit if scanned else "", draft.line_row(LINE).starts,
    )  # fmt: skip
    former = sent_before(before.recent, frame, named=bool(result.unit))
    if former is not None:
        draft.put(key, replace(before, recent=_seen_again(before.recent, former, frame)))
        of = (former.unit if scanned else unit) or rig
        draft.outcome = Outcome(Verdict.DUPLICATE, f"{of}: this result is recorded already")
        return
    _flag_number(draft, station, rig, before, frame)
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
    first, first_pass, context, over = tested(draft, spec, unit, result.program, judged.verdict)
    test = Test(
        unit, result.program, result.passed, rig, result.revision, result.number, result.steps, first,
        first_pass, judged.verdict, judged.computed, bool(judged.differs), tools_in_use(row),
    )  # fmt: skip
    draft.say(test, spec.name, context)
    if over:
        publish_ended(draft, [context])
    words = f"{unit or 'a unit that nobody has scanned'} {_WORDS[judged.verdict]}"
    if judged.differs:
        words += f": {judged.differs}"
        draft.say(Flag("verdict_differs", 1, words), spec.name, context)
        _show(draft, spec, f"{rig}: {words}")
    if not unit:
        said = f"{rig}: {words}. Scan the serial number before the test"
        draft.say(Flag("no_unit", 1, said), spec.name, row.context)
        _show(draft, spec, said)
    draft.outcome = Outcome(Verdict.ACCEPTED, words)


_WORDS = {True: "passed", False: "failed", None: "measured"}


def _show(draft: Draft, spec: StationSpec, said: str) -> None:
    """The result is kept, and the person at the station is told what is wrong with it."""
    draft.put(spec.key, replace(draft.station(spec), said=said, said_verdict=Verdict.REFUSED))


def _flag_number(draft: Draft, spec: StationSpec, rig: str, before: Rig, frame: Frame) -> None:
    """A rig that begins its numbers anew, or two results under one number: both are recorded."""
    same = [one for one in before.recent if one.number == frame.number and frame.number is not None]
    if not same:
        return
    said = f"{rig} has sent another result under the number {frame.number} before"
    if any(one.digest == frame.digest for one in same):
        said = f"{rig} has sent the same under the number {frame.number} before: counted as another result"
    draft.say(Flag("number_repeated", 1, said), spec.name, draft.station(spec).context)


def _digest(told: str) -> str:
    return sha1(told.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()[:16]


def _seen_again(recent: tuple[Frame, ...], known: Frame, frame: Frame) -> tuple[Frame, ...]:
    """One that came again after a start is as if it had come now, for it may come once more."""
    if known.start == frame.start:
        return recent
    return tuple(replace(frame, unit=one.unit) if one is known else one for one in recent)
