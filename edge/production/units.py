"""Serial numbers: where they were seen, under which job, and which of them a rig speaks of."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.beside import LastUnit
from edge.production.context import Context, Kind
from edge.production.draft import Draft
from edge.production.line import Line, StationSpec
from edge.production.materials import lots_in_use
from edge.production.orders import RefusedError, find_order, job_name
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
    run_key,
    unit_key,
)
from edge.production.takings import note_unit
from edge.production.tools import tools_in_use
from edge.production.traced import UnitSeen

LONGEST = 100
"""Characters of a serial number that is followed; a longer one is only recorded."""
MOST_STEPS = 50
CLOCK_STEP_MS = 1_000
"""Times of devices are often in whole seconds."""
LAST_UNIT_MS = 900_000
"""So long after its scan a result without a serial number is of the unit that was scanned last."""

Rows = Mapping[str, Row | None]


def unit_needs(line: Line, serial: str, rows: Rows) -> tuple[str, ...]:
    """The unit, where it was booked to rework, and the runs that it was seen under."""
    if not serial or len(serial) > LONGEST:
        return ()
    unit = rows.get(unit_key(serial))
    if not isinstance(unit, Unit):
        return (unit_key(serial),)
    keys = tuple(run_key(run) for run in unit.runs.values())
    jobs = [run.job for key in keys if isinstance(run := rows.get(key), Run)]
    own = tuple(key for job in (*jobs, unit.job) if job for key in (job_key(*job), order_key(job[0])))
    return (unit_key(serial), *booking_needs(line, unit.booked_at), *keys, *own)


def booking_needs(line: Line, booked_at: tuple[str, str, int | None] | None) -> tuple[str, ...]:
    """Where a unit's part waits for rework."""
    if booked_at is None:
        return ()
    station, order, operation = booked_at
    keys = (job_key(order, operation), order_key(order))
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
    """A serial number was scanned: it is at this station, under its own job. May refuse."""
    serial = label.body
    before = draft.get(unit_key(serial), Unit) or Unit(serial, spec.name)
    place = place_of(draft, spec, before, chosen)
    slot, job = place.slot, place.job
    remark = check_item(draft, label, slot.run, f"makes {slot.run.item}") if slot else ""
    remark += _said_of(draft, spec, before, place)
    step = (spec.name, *(job or ("", None)))
    is_new = step not in before.steps
    steps = (*before.steps, step)[-MOST_STEPS:] if is_new else before.steps
    unit = replace(at_place(before, spec, place), steps=steps, lot=label.lot or before.lot)
    draft.put(unit_key(serial), unit)
    _is_there(draft, spec, unit)
    if is_new:
        note_unit(draft, spec, serial)
        say_unit(draft, spec, unit, place.context, lots_in_use(draft, spec))
    return f"{serial} at {spec.name}: {state_words(unit.state)}{remark}"


def tested_next(draft: Draft, spec: StationSpec, label: Label) -> None:
    """A gun that speaks for several stations: this one's rig tests the unit. May refuse."""
    unit = draft.get(unit_key(label.body), Unit) or Unit(label.body, spec.name)
    slot = place_of(draft, spec, unit).slot
    if slot:
        check_item(draft, label, slot.run, f"at {spec.name} makes {slot.run.item}")
    _is_there(draft, spec, unit)


def _is_there(draft: Draft, spec: StationSpec, unit: Unit) -> None:
    """Results of this station's rig that name no unit are of this one."""
    now = draft.observation
    last = LastUnit(unit.serial, now.mono_ms, now.boot, unit.job[0] if unit.job else None)
    draft.put(spec.key, replace(draft.station(spec), unit=last))


def end_unit(draft: Draft, spec: StationSpec) -> str:
    """Nobody knows any more which unit is there. Answers the one that was."""
    row = draft.station(spec)
    if row.unit is None:
        return ""
    draft.put(spec.key, replace(row, unit=None))
    return last_unit(row, draft.observation)


def may_be_unit(text: str) -> bool:
    """Whether a label that cannot be read was perhaps a serial number's: it is none of another kind."""
    plain = _OWN.match(text)
    return plain is None or plain[1] == "S"


_OWN = re.compile(r"(?:\][A-Za-z][0-9A-Za-z])?\$([A-Z])")


class Place(NamedTuple):
    """The job that a unit is of, at a station."""

    slot: Slot | None
    """None: it does not run here now."""
    context: Context
    """Of its run, also of one that has ended; without an order where no job is known."""

    @property
    def job(self) -> JobId | None:
        return None if self.context.order is None else (self.context.order, self.context.operation)


def place_of(draft: Draft, spec: StationSpec, unit: Unit, chosen: JobId | None = None) -> Place:
    """A unit keeps the job that it was seen under at this station; it comes to one of its order that runs
    here, or where it was never seen, to what runs."""
    row = draft.station(spec)
    own = _own_run(draft, spec, unit)
    orders = {job[0] for job in (own.job if own else None, unit.job) if job}
    mine = [slot for slot in slots(row) if slot.run.order in orders]
    jobs = (chosen, own.job if own else None, unit.job)
    ways = [slot for job in jobs for slot in mine if slot.run.job == job]
    if found := (*ways, *mine):
        return Place(found[0], found[0].context)
    if own is not None:
        kind, who = None if own.kind == Kind.PRODUCTION else own.kind, row.context.operator
        ended = Context(own.order, own.operation, own.id, own.item, own.revision, operator=who, kind=kind)
        return Place(None, ended)
    slot = slot_for(draft, spec, chosen)
    return Place(slot, slot.context if slot else row.context)


def _own_run(draft: Draft, spec: StationSpec, unit: Unit) -> Run | None:
    """The run that the unit was seen under at this station, if it is on or has ended; not one taken back."""
    name = unit.runs.get(spec.name)
    if name is None:
        return None
    on = next((slot.run for slot in slots(draft.station(spec)) if slot.run.id == name), None)
    run = on or draft.get(run_key(name), Run)
    if on is not None or run is None or run.job is None:
        return run
    job = draft.get(job_key(*run.job), Job)
    return run if job is not None and spec.name in job.totals else None


def at_place(unit: Unit, spec: StationSpec, place: Place) -> Unit:
    """It is here, under this job."""
    run = place.context.run if place.context.order else None
    runs = {**unit.runs, spec.name: run} if run else unit.runs
    return replace(unit, station=spec.name, job=place.job or unit.job, runs=runs)


def of_which_job(draft: Draft, spec: StationSpec, place: Place) -> str:
    """In words, where that is not plain: another job runs, or several do."""
    found = slots(draft.station(spec))
    if place.job is None or (place.slot is not None and len(found) < 2):
        return ""
    return f", of {job_name(*place.job)}"


def _said_of(draft: Draft, spec: StationSpec, unit: Unit, place: Place) -> str:
    """In words: whose it is, and where that is not what runs here."""
    row = draft.station(spec)
    words = of_which_job(draft, spec, place)
    if place.slot is None and row.run is not None and row.run.job:
        makes = f" ({row.run.item})" if row.run.item != place.context.item else ""
        return f"{words}; {job_name(*row.run.job)}{makes} runs here"
    order = find_order(draft, unit.job[0]) if unit.job else None
    run = place.slot.run if place.slot else None
    if order is None or run is None or run.job is None or unit.job is None or order.item == run.item:
        return words
    return f"{words}; it was {order.item} of {job_name(*unit.job)}, {job_name(*run.job)} makes {run.item}"


def last_unit(row: Station, now: Observation) -> str:
    """The serial number that a rig without one of its own speaks of; empty where none was scanned lately.

    A result that waited in its rig is of no unit that was scanned after it was made.
    """
    last, waited_ms = row.unit, max(0, now.seen_ms - now.at_ms)
    made_ms = now.mono_ms - waited_ms
    if last is None or last.boot != now.boot or made_ms - last.mono_ms > LAST_UNIT_MS:
        return ""
    if _another_began(row, last, made_ms):
        return ""
    return last.serial if made_ms + (CLOCK_STEP_MS if waited_ms else 0) >= last.mono_ms else ""


def _another_began(row: Station, last: LastUnit, until_ms: int) -> bool:
    """Since its scan another order came in the place of the unit's."""
    runs = [slot.run for slot in slots(row)]
    if last.order is None or any(run.order == last.order for run in runs):
        return False
    return any(run.boot == last.boot and last.mono_ms < run.mono_ms <= until_ms for run in runs)


def state_words(state: str) -> str:
    return "not tested yet" if state == "open" else state


def seen_again(draft: Draft, spec: StationSpec, serials: Iterable[str]) -> None:
    """They were recorded with a lot that was not in use: said once more, with those that are."""
    for serial in serials:
        unit = draft.get(unit_key(serial), Unit)
        if unit is not None:
            context = place_of(draft, spec, unit).context
            say_unit(draft, spec, unit, context, lots_in_use(draft, spec), "lot taken back")


def say_unit(
    draft: Draft, spec: StationSpec, unit: Unit, context: Context, lots: tuple[str, ...] = (),
    reason: str = "",
) -> None:  # fmt: skip
    seen = UnitSeen(unit.serial, unit.state, lots, reason, tools_in_use(draft.station(spec)), unit.lot)
    draft.say(seen, spec.name, context)


def slot_for(draft: Draft, spec: StationSpec, *jobs: JobId | None) -> Slot | None:
    """The run of the first of these jobs that is on; else the station's first."""
    row = draft.station(spec)
    found = [slot for job in jobs if job and (slot := slot_of(row, job))]
    return next(iter((*found, *slots(row))), None)
