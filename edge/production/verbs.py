"""Commands: what becomes of the job, the unit or the quantity that was scanned before."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from edge.production.context import Kind as RunKind
from edge.production.corrections import BACK_MOST_MIN, back
from edge.production.deciding import decide_unit
from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.nouns import chosen, chosen_slot, is_status, wait, waiting
from edge.production.orders import (
    ENDED,
    INTERRUPTED,
    RefusedError,
    job_name,
    known_job,
    start_job,
    stop_job,
    switch_kind,
)
from edge.production.places import Stations, where_parts_are_made
from edge.production.scanning import Label
from edge.production.slots import change_context, slot_of, slots
from edge.production.state import JobId, Slot
from edge.production.taking_back import take_back, where_changed
from edge.production.units import end_unit


def command(draft: Draft, stations: Stations, label: Label) -> str:
    """Obey a `C` label. May refuse."""
    if _is_back(label.body):
        minutes = int(label.body[4:])
        if not 0 < minutes <= BACK_MOST_MIN:
            raise RefusedError(f"{minutes} is not between 1 and {BACK_MOST_MIN} minutes")
        where = where_changed(draft, stations) or stations
        return _each(draft, where, lambda draft, station: back(draft, station, minutes))
    if label.body == "UNDO":
        return take_back(draft, stations)
    if label.body in _UNIT_VERBS:
        return _verdict(draft, stations, label)
    found = _COMMANDS.get(label.body)
    if found is None:
        raise RefusedError(f"the command {label.body} is not in use on this line")
    return _each(draft, stations, found)


def is_command(body: str) -> bool:
    """Whether `command` knows what to do."""
    return body in COMMANDS or _is_back(body)


def _is_back(body: str) -> bool:
    return body.startswith("BACK") and body[4:].isdigit() and len(body) < 8


def _each(draft: Draft, stations: Stations, obey: Callable[[Draft, StationSpec], str]) -> str:
    return "; ".join([obey(draft, station) for station in stations])


def _verdict(draft: Draft, stations: Stations, label: Label) -> str:
    """Of the unit that was scanned before; else of a quantity that is scanned next."""
    station = where_parts_are_made(draft, stations)
    noun = waiting(draft, draft.station(station).noun)
    if noun is not None and noun.letter == "S":
        return decide_unit(draft, station, noun.body, label.body, "", chosen(draft, station))
    if label.body == "REWORK" and noun is None and is_status(draft, station):
        return _switch(draft, station, RunKind.REWORK)
    if label.body == "NG":
        raise RefusedError("which unit? Scan its serial number first")
    chosen_slot(draft, station)
    wait(draft, station, label, noun.body if noun and noun.letter == "X" else "")
    return f"{label.body.lower()} at {station.name}: scan how many"


def _pause(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, INTERRUPTED, chosen(draft, station))


def _start(draft: Draft, station: StationSpec) -> str:
    """Production: of the job that is in setup, or of the one that was interrupted here."""
    row, asked = draft.station(station), chosen(draft, station)
    aside = [slot for slot in slots(row) if slot.run.kind != RunKind.PRODUCTION]
    if any(asked in (None, slot.run.job) for slot in aside):
        return switch_kind(draft, station, RunKind.PRODUCTION, asked or _only(aside))
    if row.run is not None and station.capacity == len(slots(row)):
        raise RefusedError(f"{job_name(row.run.order or '', row.run.operation)} is running already")
    if row.last_job is None or slot_of(row, row.last_job):
        raise RefusedError("which job? Scan its card")
    return start_job(draft, station, *known_job(draft, *row.last_job))


def _only(found: Sequence[Slot]) -> JobId | None:
    return found[0].run.job if len(found) == 1 else None


def _switch(draft: Draft, station: StationSpec, kind: RunKind) -> str:
    return switch_kind(draft, station, kind, chosen(draft, station))


def _setup(draft: Draft, station: StationSpec) -> str:
    return _switch(draft, station, RunKind.SETUP)


def _test(draft: Draft, station: StationSpec) -> str:
    return _switch(draft, station, RunKind.TEST)


def _done(draft: Draft, station: StationSpec) -> str:
    return stop_job(draft, station, ENDED, chosen(draft, station))


def _logout(draft: Draft, station: StationSpec) -> str:
    row = draft.station(station)
    who = row.context.operator
    if who is None:
        raise RefusedError(f"nobody is badged in at {station.name}")
    change_context(draft, station, operator=None)
    return f"{who} has left {station.name}"


def _cancel(draft: Draft, station: StationSpec) -> str:
    """Whatever waits for another label is forgotten."""
    serial, row = end_unit(draft, station), draft.station(station)
    draft.put(station.key, replace(row, noun=None, chosen=None, pointed=None))
    no_unit = f", and {serial} is not the unit any more" if serial else ""
    return f"cancelled at {station.name}: nothing waits{no_unit}"


_UNIT_VERBS = ("OK", "NG", "SCRAP", "REWORK")

_COMMANDS: dict[str, Callable[[Draft, StationSpec], str]] = {
    "START": _start, "RESUME": _start, "PAUSE": _pause, "DONE": _done, "LOGOUT": _logout,
    "SETUP": _setup, "TEST": _test, "CANCEL": _cancel,
}  # fmt: skip

COMMANDS = (*_COMMANDS, "UNDO", *_UNIT_VERBS)
"""All but `BACKn`."""
