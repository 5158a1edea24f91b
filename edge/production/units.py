"""Serial numbers: where they were seen, what tests said, what a person decided."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.beside import LastUnit
from edge.production.booking import book, note_reason
from edge.production.context import Context
from edge.production.dealing import put_slot, slot_by_run
from edge.production.draft import Draft
from edge.production.events import Disposition, UnitSeen
from edge.production.line import Line, StationSpec
from edge.production.materials import lots_in_use
from edge.production.orders import FINAL, RefusedError, find_order, job_name
from edge.production.runs import merged, say_result, shift, totals_of
from edge.production.scanning import Label
from edge.production.slots import slot_of, slots
from edge.production.state import (
    Job,
    JobId,
    Row,
    Run,
    Slot,
    Station,
    Unit,
    job_key,
    order_key,
    unit_key,
)
from edge.production.tools import tools_in_use
from edge.production.totals import Totals, disposed

LONGEST = 100
"""Characters of a serial number that is followed; a longer one is only recorded."""
MOST_STEPS = 50
CLOCK_STEP_MS = 1_000
"""Times of devices are often in whole seconds."""
LAST_UNIT_MS = 900_000
"""So long after its scan a result without a serial number is of the unit that was scanned last."""

Rows = Mapping[str, Row | None]


def unit_needs(line: Line, serial: str, rows: Rows) -> tuple[str, ...]:
    """The unit, and where it was booked to rework."""
    if not serial or len(serial) > LONGEST:
        return ()
    unit = rows.get(unit_key(serial))
    if not isinstance(unit, Unit) or unit.booked_at is None:
        return (unit_key(serial),)
    station, order, operation = unit.booked_at
    keys = (unit_key(serial), job_key(order, operation), order_key(order))
    return (*keys, line.named[station].key) if station in line.named else keys


def check_item(draft: Draft, label: Label, run: Run, words: str) -> str:
    """What a maker's label says that it is on must be what the job makes. May refuse.

    Answers a remark where the label's number is in no table of the line, and so says nothing to anybody.
    """
    item = label.item
    if item is None or run.item is None or item == run.item:
        return ""
    if item.isdigit() and label.letter == "S":
        return f"; its item {item} is not in [labels.items]"
    hint = ": [labels.items] does not name it" if item.isdigit() else ""
    raise RefusedError(f"this is {item}{hint}; {job_name(run.order or '', run.operation)} {words}")


def unit_seen(draft: Draft, spec: StationSpec, label: Label, chosen: JobId | None) -> str:
    """A serial number was scanned: it is at this station, under the job that runs here. May refuse."""
    serial, now = label.body, draft.observation
    unit = draft.get(unit_key(serial), Unit) or Unit(serial, spec.name)
    slot = _slot(draft, spec, chosen)
    job = slot.run.job if slot else None
    remark = check_item(draft, label, slot.run, f"makes {slot.run.item}") if slot else ""
    last = LastUnit(serial, now.mono_ms, now.boot)
    draft.put(spec.key, replace(draft.station(spec), unit=last))
    step = (spec.name, *(job or ("", None)))
    is_new = step not in unit.steps
    steps = (*unit.steps, step)[-MOST_STEPS:] if is_new else unit.steps
    unit = replace(unit, station=spec.name, job=job or unit.job, steps=steps, lot=label.lot or unit.lot)
    draft.put(unit_key(serial), unit)
    if is_new:
        _say(draft, spec, unit, slot, lots_in_use(draft, spec))
    return f"{serial} at {spec.name}: {_WORDS.get(unit.state, unit.state)}{remark}"


def last_unit(row: Station, now: Observation) -> str:
    """The serial number that a rig without one of its own speaks of; empty where none was scanned lately.

    A result that waited in its rig is of no unit that was scanned after it was made.
    """
    last, waited_ms = row.unit, max(0, now.seen_ms - now.at_ms)
    made_ms = now.mono_ms - waited_ms
    if last is None or last.boot != now.boot or made_ms - last.mono_ms > LAST_UNIT_MS:
        return ""
    return last.serial if made_ms + (CLOCK_STEP_MS if waited_ms else 0) >= last.mono_ms else ""


_WORDS = {"open": "not tested yet"}


def _say(
    draft: Draft,
    spec: StationSpec,
    unit: Unit,
    slot: Slot | None,
    lots: tuple[str, ...] = (),
    reason: str = "",
) -> None:
    row = draft.station(spec)
    seen = UnitSeen(unit.serial, unit.state, lots, reason, tools_in_use(row), unit.lot)
    draft.say(seen, spec.name, slot.context if slot else row.context)


_STATES = {"OK": "ok", "NG": "quarantined", "SCRAP": "scrap", "REWORK": "rework"}


def _slot(draft: Draft, spec: StationSpec, *jobs: JobId | None) -> Slot | None:
    """The run of the first of these jobs that is on; else the station's first."""
    row = draft.station(spec)
    found = [slot for job in jobs if job and (slot := slot_of(row, job))]
    return next(iter((*found, *slots(row))), None)


def decide_unit(
    draft: Draft, spec: StationSpec, serial: str, verb: str, reason: str, chosen: JobId | None
) -> str:
    """A person decides about one unit, and its part goes with it. May refuse."""
    unit = draft.get(unit_key(serial), Unit)
    if unit is None:
        raise RefusedError(f"{serial} was never seen here")
    state = _STATES[verb]
    if unit.state == state:
        raise RefusedError(f"{serial} is {state} already")
    if unit.state == "scrap":
        raise RefusedError(f"{serial} is scrap: ask your supervisor")
    slot = _slot(draft, spec, unit.job, chosen)
    unit = _book_unit(draft, spec, slot, unit, verb, reason)
    unit = replace(unit, state=state, reworked=unit.reworked or state == "rework")
    draft.put(unit_key(serial), unit)
    row = draft.station(spec)
    draft.put(spec.key, replace(row, noun=None, undo=None))
    _say(draft, spec, unit, slot, reason=reason)
    return f"{serial} is {state}"


def _book_unit(
    draft: Draft, spec: StationSpec, slot: Slot | None, unit: Unit, verb: str, reason: str
) -> Unit:
    """The counts follow where the unit's part was counted: here, or where it went to rework."""
    if unit.booked_at is not None:
        disposition = {"OK": "reworked", "SCRAP": "rework_scrapped"}.get(verb)
        if disposition is None:
            return unit
        _out_of_rework(draft, unit, disposition, reason)
        return replace(unit, booked_at=None)
    disposition = {"REWORK": "rework", "SCRAP": "scrap"}.get(verb)
    if disposition is None or slot is None or slot.run.job is None:
        return unit
    if not spec.counters and slot.run.order_totals.good_parts < 1:
        return unit  # nobody has said how many are made here
    if slot.run.order_totals.good_parts < 1:
        raise RefusedError(f"no good part of {slot.run.order} is counted at {spec.name} yet")
    if disposition == "rework":
        book(draft, spec, slot, "rework", 1, reason, unit.serial)
        return replace(unit, booked_at=(spec.name, *slot.run.job))
    _scrap(draft, spec, slot, unit, reason)
    return unit


def _scrap(draft: Draft, spec: StationSpec, slot: Slot, unit: Unit, reason: str) -> None:
    made = disposed("scrap_reason" if spec.machine_rejects else "scrap", 1)
    slot = slot_by_run(draft, spec, slot.run.id)
    run = replace(slot.run, totals=slot.run.totals.and_(made))
    put_slot(draft, spec, replace(slot, run=run))
    note_reason(draft, spec, run.id, reason, 1)
    kind = "scrap_reason" if spec.machine_rejects else "scrap"
    _say_disposition(draft, spec, kind, reason, run.order_totals, slot.context, unit.serial)


def _out_of_rework(draft: Draft, unit: Unit, disposition: str, reason: str) -> None:
    """Booked where it went in, whatever runs there now."""
    assert unit.booked_at is not None
    name, order, operation = unit.booked_at
    spec = draft.line.named.get(name)
    if spec is None:
        return
    row = draft.station(spec)
    slot = slot_of(row, (order, operation))
    made = disposed(disposition, 1)
    owner = slot.context if slot else Context(order=order, operation=operation)
    if slot is not None:
        shift(draft, spec, owner, made)
        note_reason(draft, spec, slot.run.id, reason if disposition == "rework_scrapped" else "", 1)
    else:
        _shift_job(draft, spec, owner, made, reason if disposition == "rework_scrapped" else "")
    figures = totals_of(draft, spec, owner)
    _say_disposition(draft, spec, disposition, reason, figures, owner, unit.serial)


def _shift_job(draft: Draft, spec: StationSpec, owner: Context, made: Totals, scrapped: str) -> None:
    """Of a job that does not run there any more; what became of it is said again. `scrapped`: the reason."""
    key = job_key(owner.order or "", owner.operation)
    job = draft.get(key, Job)
    if job is None or spec.name not in job.totals:
        return
    totals = {**job.totals, spec.name: job.totals[spec.name].and_(made)}
    job = replace(job, totals=totals, reasons=merged(job.reasons, {scrapped: 1} if scrapped else {}))
    draft.put(key, job)
    order = find_order(draft, job.order)
    if job.state in FINAL and order is not None:
        say_result(draft, job, order.item, order.quantity)


def _say_disposition(
    draft: Draft, spec: StationSpec, kind: str, reason: str, figures: Totals, owner: Context, serial: str
) -> None:
    draft.say(
        Disposition(
            kind, 1, reason, figures.good_parts, figures.scrap_parts, figures.rework, serial
        ),
        spec.name, owner,
    )  # fmt: skip


def tested(draft: Draft, spec: StationSpec, serial: str, program: str, passed: bool) -> tuple[bool, bool]:
    """What a verdict means for its unit: whether it is the first of its program, and a first pass."""
    if not serial or len(serial) > LONGEST:
        return False, False
    key = unit_key(serial)
    unit = draft.get(key, Unit) or Unit(serial, spec.name)
    first = program not in unit.tests
    first_pass = first and passed and not unit.reworked
    if unit.state == "rework" and passed and unit.booked_at is not None:
        _out_of_rework(draft, unit, "reworked", f"passed {program}")
        unit = replace(unit, booked_at=None)
    decided = unit.state in ("scrap", "quarantined") or (unit.state == "rework" and not passed)
    state = unit.state if decided else "passed" if passed else "failed"
    known = first and len(unit.tests) < MOST_STEPS
    tests = {**unit.tests, program: passed} if known else unit.tests
    draft.put(key, replace(unit, station=spec.name, state=state, tests=tests))
    row = draft.station(spec)
    if first and row.run is not None:
        slot = slots(row)[0]
        made = Totals(inspected=1, first_pass=int(first_pass))
        put_slot(draft, spec, replace(slot, run=replace(slot.run, totals=slot.run.totals.and_(made))))
    return first, first_pass
