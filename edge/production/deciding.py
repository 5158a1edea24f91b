"""What becomes of a unit: what tests say of it, what a person decides, and where its part is counted."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from edge.production.beside import UnitTaken
from edge.production.booking import note_reason
from edge.production.context import Context
from edge.production.dealing import dispose
from edge.production.draft import Draft
from edge.production.events import Disposition
from edge.production.line import StationSpec
from edge.production.moving import publish_ended
from edge.production.orders import FINAL, RefusedError, find_order
from edge.production.runs import merged, say_result, shift, totals_of
from edge.production.slots import slot_of, slots
from edge.production.state import Job, JobId, Unit, job_key, unit_key
from edge.production.takings import remember
from edge.production.totals import Totals, disposed
from edge.production.units import (
    LONGEST,
    MOST_STEPS,
    Place,
    at_place,
    of_which_job,
    place_of,
    say_unit,
    state_words,
)

_STATES = {"OK": "ok", "NG": "quarantined", "SCRAP": "scrap", "REWORK": "rework"}


def decide_unit(
    draft: Draft, spec: StationSpec, serial: str, verb: str, reason: str, chosen: JobId | None
) -> str:
    """A person decides about one unit, and its part goes with it. May refuse."""
    before = draft.get(unit_key(serial), Unit)
    if before is None:
        raise RefusedError(f"{serial} was never seen here")
    state = _STATES[verb]
    if before.state == state:
        raise RefusedError(f"{serial} is {state} already")
    if before.state == "scrap":
        raise RefusedError(f"{serial} is scrap: ask your supervisor")
    place = place_of(draft, spec, before, chosen)
    unit, disposition = _book_unit(draft, spec, place, before, verb, reason)
    unit = replace(unit, state=state, reworked=unit.reworked or state == "rework")
    draft.put(unit_key(serial), unit)
    draft.put(spec.key, replace(draft.station(spec), noun=None))
    taken = UnitTaken(
        serial, before.state, before.reworked, before.booked_at, (state, unit.booked_at),
        disposition, reason,
    )  # fmt: skip
    remember(draft, spec, f"{serial} {verb}", taken, place.context if place.job else None)
    say_unit(draft, spec, unit, place.context, reason=reason)
    return f"{serial} is {state}{of_which_job(draft, spec, place)}"


def _book_unit(
    draft: Draft, spec: StationSpec, place: Place, unit: Unit, verb: str, reason: str
) -> tuple[Unit, str]:
    """The counts follow where the unit's part was counted: here, or where it went to rework.

    Answers the disposition of the part too; empty where no count follows.
    """
    if unit.booked_at is not None:
        disposition = {"OK": "reworked", "SCRAP": "rework_scrapped"}.get(verb, "")
        if disposition:
            _out_of_rework(draft, unit.serial, unit.booked_at, disposition, reason)
            unit = replace(unit, booked_at=None)
        return unit, disposition
    if verb not in ("REWORK", "SCRAP") or place.job is None:
        return unit, ""
    if totals_of(draft, spec, place.context).good_parts < 1:
        if not spec.counters:
            return unit, ""  # nobody has said how many are made here
        raise RefusedError(f"no good part of {place.context.order} is counted at {spec.name} yet")
    if verb == "REWORK":
        _dispose(draft, spec, place.context, "rework", 1, reason, unit.serial)
        return replace(unit, booked_at=(spec.name, *place.job)), "rework"
    disposition = "scrap_reason" if spec.machine_rejects else "scrap"
    _dispose(draft, spec, place.context, disposition, 1, reason, unit.serial)
    return unit, disposition


def _dispose(
    draft: Draft, spec: StationSpec, owner: Context, disposition: str, parts: int, reason: str, serial: str
) -> None:
    """Of the run that `owner` names; of a job that has ended it is said again what became of it."""
    scrapped = {reason: parts} if reason and disposition != "rework" else {}
    if any(slot.run.id == owner.run for slot in slots(draft.station(spec))):
        dispose(draft, spec, owner.run or "", disposition, parts, reason, serial)
        for one, count in scrapped.items():
            note_reason(draft, spec, owner.run or "", one, count)
        return
    shift(draft, spec, owner, disposed(disposition, parts), reasons=scrapped)
    figures = totals_of(draft, spec, owner)
    draft.say(
        Disposition(
            disposition, parts, reason, figures.good_parts, figures.scrap_parts, figures.rework, serial
        ),
        spec.name, owner,
    )  # fmt: skip
    publish_ended(draft, [owner])


def take_decision_back(draft: Draft, spec: StationSpec, context: Context, taken: UnitTaken) -> str:
    """The unit is what it was, and its part too. `context` is of the job that it was about. May refuse."""
    unit = draft.get(unit_key(taken.serial), Unit)
    if unit is None or (unit.state, unit.booked_at) != taken.after:
        state = unit.state if unit else "unknown"
        raise RefusedError(f"{taken.serial} is {state} by now: ask your supervisor")
    _unbook(draft, spec, context, taken)
    unit = replace(unit, reworked=taken.reworked, booked_at=taken.booked_at)
    state = by_tests(unit) if taken.state in BY_TESTS and unit.tests else taken.state
    unit = replace(unit, state=state)
    draft.put(unit_key(taken.serial), unit)
    say_unit(draft, spec, unit, place_of(draft, spec, unit).context, reason="taken back")
    return f"{taken.serial} is {state_words(state)} again"


def _unbook(draft: Draft, spec: StationSpec, context: Context, taken: UnitTaken) -> None:
    if taken.disposition in ("reworked", "rework_scrapped") and taken.booked_at is not None:
        _out_of_rework(draft, taken.serial, taken.booked_at, taken.disposition, taken.reason, -1)
    elif taken.disposition and context.run is not None:
        _dispose(draft, spec, context, taken.disposition, -1, taken.reason, taken.serial)


def _out_of_rework(
    draft: Draft, serial: str, booked_at: tuple[str, str, int | None], disposition: str, reason: str,
    parts: int = 1,
) -> None:  # fmt: skip
    """Booked where it went in, whatever runs there now; -1 part: it waits there again."""
    name, order, operation = booked_at
    spec = draft.line.named.get(name)
    if spec is None:
        return
    slot = slot_of(draft.station(spec), (order, operation))
    made = disposed(disposition, parts)
    scrapped = {reason: parts} if disposition == "rework_scrapped" and reason else {}
    owner = slot.context if slot else Context(order=order, operation=operation)
    if slot is not None:
        shift(draft, spec, owner, made)
        for one, count in scrapped.items():
            note_reason(draft, spec, slot.run.id, one, count)
    else:
        _shift_job(draft, spec, owner, made, scrapped)
    figures = totals_of(draft, spec, owner)
    draft.say(
        Disposition(
            disposition, parts, reason, figures.good_parts, figures.scrap_parts, figures.rework, serial
        ),
        spec.name, owner,
    )  # fmt: skip


def _shift_job(
    draft: Draft, spec: StationSpec, owner: Context, made: Totals, scrapped: Mapping[str, int]
) -> None:
    """Of a job that does not run there any more; what became of it is said again. `scrapped`: by reason."""
    key = job_key(owner.order or "", owner.operation)
    job = draft.get(key, Job)
    if job is None or spec.name not in job.totals:
        return
    totals = {**job.totals, spec.name: job.totals[spec.name].and_(made)}
    job = replace(job, totals=totals, reasons=merged(job.reasons, scrapped))
    draft.put(key, job)
    order = find_order(draft, job.order)
    if job.state in FINAL and order is not None:
        say_result(draft, job, order.item, order.quantity)


def _with_verdict(unit: Unit, program: str, passed: bool) -> Unit:
    """The first verdict of each program is kept, and which of them failed last."""
    known = program not in unit.tests and len(unit.tests) < MOST_STEPS
    tests = {**unit.tests, program: passed} if known else unit.tests
    failing = tuple(one for one in unit.failing if one != program)
    if not passed:
        failing = (program, *failing)[:MOST_STEPS]
    return replace(unit, tests=tests, failing=failing)


BY_TESTS = ("open", "passed", "failed")
"""States that tests decide; the others are a person's."""


def by_tests(unit: Unit) -> str:
    """No unit has passed while one of its programs has a failure as its newest verdict."""
    if unit.failing:
        return "failed"
    return "passed" if unit.tests else "open"


class Tested(NamedTuple):
    """What a verdict means for its unit."""

    first: bool
    """Of its program."""
    first_pass: bool
    context: Context
    """Of the unit's job."""
    over: bool = False
    """The first of a job that does not run here any more: what became of it is to be said again."""


def tested(draft: Draft, spec: StationSpec, serial: str, program: str, passed: bool | None) -> Tested:
    """Keep a test's verdict with its unit; `passed` None: a measurement, which says nothing of it."""
    if not serial or len(serial) > LONGEST:
        return Tested(False, False, draft.station(spec).context)
    unit = draft.get(unit_key(serial), Unit) or Unit(serial, spec.name)
    place = place_of(draft, spec, unit)
    if passed is None:
        return Tested(False, False, place.context)
    first = program not in unit.tests
    first_pass = first and passed and not unit.reworked
    unit = _with_verdict(at_place(unit, spec, place), program, passed)
    if unit.state == "rework" and not unit.failing and unit.booked_at is not None:
        _out_of_rework(draft, serial, unit.booked_at, "reworked", f"passed {program}")
        unit = replace(unit, booked_at=None)
    decided = unit.state in ("scrap", "quarantined") or (unit.state == "rework" and unit.failing)
    decided = decided or (unit.state == "ok" and passed and unit.failing)
    draft.put(unit_key(serial), replace(unit, state=unit.state if decided else by_tests(unit)))
    if first and place.job is not None:
        shift(draft, spec, place.context, Totals(inspected=1, first_pass=int(first_pass)))
    over = first and place.job is not None and place.slot is None
    return Tested(first, first_pass, place.context, over)
