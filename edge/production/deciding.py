"""What becomes of a unit: what tests say of it, what a person decides, and where its part is counted."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.production.beside import UnitTaken
from edge.production.booking import book, note_reason
from edge.production.context import Context
from edge.production.dealing import dispose, put_slot
from edge.production.draft import Draft
from edge.production.events import Disposition
from edge.production.line import StationSpec
from edge.production.orders import FINAL, RefusedError, find_order
from edge.production.runs import merged, say_result, shift, totals_of
from edge.production.slots import slot_of, slots
from edge.production.state import Job, JobId, Slot, Unit, job_key, unit_key
from edge.production.takings import remember
from edge.production.totals import Totals, disposed
from edge.production.units import LONGEST, MOST_STEPS, say_unit, slot_for, state_words

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
    slot = slot_for(draft, spec, before.job, chosen)
    unit, disposition = _book_unit(draft, spec, slot, before, verb, reason)
    unit = replace(unit, state=state, reworked=unit.reworked or state == "rework")
    draft.put(unit_key(serial), unit)
    draft.put(spec.key, replace(draft.station(spec), noun=None))
    taken = UnitTaken(
        serial, before.state, before.reworked, before.booked_at, (state, unit.booked_at),
        disposition, reason,
    )  # fmt: skip
    remember(draft, spec, f"{serial} {verb}", taken, slot.context if slot else None)
    say_unit(draft, spec, unit, slot, reason=reason)
    return f"{serial} is {state}"


def _book_unit(
    draft: Draft, spec: StationSpec, slot: Slot | None, unit: Unit, verb: str, reason: str
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
    if verb not in ("REWORK", "SCRAP") or slot is None or slot.run.job is None:
        return unit, ""
    if slot.run.order_totals.good_parts < 1:
        if not spec.counters:
            return unit, ""  # nobody has said how many are made here
        raise RefusedError(f"no good part of {slot.run.order} is counted at {spec.name} yet")
    if verb == "REWORK":
        book(draft, spec, slot, "rework", 1, reason, unit.serial)
        return replace(unit, booked_at=(spec.name, *slot.run.job)), "rework"
    disposition = "scrap_reason" if spec.machine_rejects else "scrap"
    dispose(draft, spec, slot.run.id, disposition, 1, reason, unit.serial)
    note_reason(draft, spec, slot.run.id, reason, 1)
    return unit, disposition


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
    say_unit(draft, spec, unit, slot_for(draft, spec, unit.job), reason="taken back")
    return f"{taken.serial} is {state_words(state)} again"


def _unbook(draft: Draft, spec: StationSpec, context: Context, taken: UnitTaken) -> None:
    if taken.disposition in ("reworked", "rework_scrapped") and taken.booked_at is not None:
        _out_of_rework(draft, taken.serial, taken.booked_at, taken.disposition, taken.reason, -1)
    elif taken.disposition and context.run is not None:
        dispose(draft, spec, context.run, taken.disposition, -1, taken.reason, taken.serial)
        if taken.disposition != "rework":
            note_reason(draft, spec, context.run, taken.reason, -1)


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


def tested(draft: Draft, spec: StationSpec, serial: str, program: str, passed: bool) -> tuple[bool, bool]:
    """What a verdict means for its unit: whether it is the first of its program, and a first pass."""
    if not serial or len(serial) > LONGEST:
        return False, False
    key = unit_key(serial)
    unit = draft.get(key, Unit) or Unit(serial, spec.name)
    first = program not in unit.tests
    first_pass = first and passed and not unit.reworked
    unit = _with_verdict(unit, program, passed)
    if unit.state == "rework" and not unit.failing and unit.booked_at is not None:
        _out_of_rework(draft, serial, unit.booked_at, "reworked", f"passed {program}")
        unit = replace(unit, booked_at=None)
    decided = unit.state in ("scrap", "quarantined") or (unit.state == "rework" and unit.failing)
    decided = decided or (unit.state == "ok" and passed and unit.failing)
    draft.put(key, replace(unit, station=spec.name, state=unit.state if decided else by_tests(unit)))
    row = draft.station(spec)
    if first and row.run is not None:
        slot = slots(row)[0]
        made = Totals(inspected=1, first_pass=int(first_pass))
        put_slot(draft, spec, replace(slot, run=replace(slot.run, totals=slot.run.totals.and_(made))))
    return first, first_pass
