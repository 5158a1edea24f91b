"""Serial numbers: where they were seen, and which of them a rig speaks of."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from edge.observation import Observation
from edge.production.beside import LastUnit
from edge.production.draft import Draft
from edge.production.line import Line, StationSpec
from edge.production.materials import lots_in_use
from edge.production.orders import RefusedError, job_name
from edge.production.scanning import Label
from edge.production.slots import slot_of, slots
from edge.production.state import (
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
    """The unit, and where it was booked to rework."""
    if not serial or len(serial) > LONGEST:
        return ()
    unit = rows.get(unit_key(serial))
    booked_at = unit.booked_at if isinstance(unit, Unit) else None
    return (unit_key(serial), *booking_needs(line, booked_at))


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
    """A serial number was scanned: it is at this station, under the job that runs here. May refuse."""
    serial, now = label.body, draft.observation
    unit = draft.get(unit_key(serial), Unit) or Unit(serial, spec.name)
    slot = slot_for(draft, spec, chosen)
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
        note_unit(draft, spec, serial)
        say_unit(draft, spec, unit, slot, lots_in_use(draft, spec))
    return f"{serial} at {spec.name}: {state_words(unit.state)}{remark}"


def last_unit(row: Station, now: Observation) -> str:
    """The serial number that a rig without one of its own speaks of; empty where none was scanned lately.

    A result that waited in its rig is of no unit that was scanned after it was made.
    """
    last, waited_ms = row.unit, max(0, now.seen_ms - now.at_ms)
    made_ms = now.mono_ms - waited_ms
    if last is None or last.boot != now.boot or made_ms - last.mono_ms > LAST_UNIT_MS:
        return ""
    return last.serial if made_ms + (CLOCK_STEP_MS if waited_ms else 0) >= last.mono_ms else ""


def state_words(state: str) -> str:
    return "not tested yet" if state == "open" else state


def seen_again(draft: Draft, spec: StationSpec, serials: Iterable[str]) -> None:
    """They were recorded with a lot that was not in use: said once more, with those that are."""
    for serial in serials:
        unit = draft.get(unit_key(serial), Unit)
        if unit is not None:
            slot = slot_for(draft, spec, unit.job)
            say_unit(draft, spec, unit, slot, lots_in_use(draft, spec), "lot taken back")


def say_unit(
    draft: Draft, spec: StationSpec, unit: Unit, slot: Slot | None, lots: tuple[str, ...] = (),
    reason: str = "",
) -> None:  # fmt: skip
    row = draft.station(spec)
    seen = UnitSeen(unit.serial, unit.state, lots, reason, tools_in_use(row), unit.lot)
    draft.say(seen, spec.name, slot.context if slot else row.context)


def slot_for(draft: Draft, spec: StationSpec, *jobs: JobId | None) -> Slot | None:
    """The run of the first of these jobs that is on; else the station's first."""
    row = draft.station(spec)
    found = [slot for job in jobs if job and (slot := slot_of(row, job))]
    return next(iter((*found, *slots(row))), None)
