"""Nouns: what each kind of label asks for, at the stations that hear it."""

from collections.abc import Callable

from msgspec.structs import replace

from edge.observation import LotShare
from edge.production.badges import badge_in
from edge.production.booking import book, book_scrap, booked_as, report_good
from edge.production.dealing import slot_by_run
from edge.production.deciding import decide_unit
from edge.production.draft import Draft
from edge.production.events import Flag
from edge.production.line import StationSpec
from edge.production.materials import material_of, mount, order_of, use_scanned
from edge.production.nouns import STATUS, check_waiting, choose, chosen, chosen_slot, wait, waiting
from edge.production.orders import RefusedError, skipped, split_job, start_job, the_slot
from edge.production.places import Stations, choose_station, names, point, where_parts_are_made
from edge.production.reasons import SCRAP, explained
from edge.production.scanned import Noun
from edge.production.scanning import LETTERS, Label
from edge.production.slots import change_context, slot_of, slots
from edge.production.state import Slot, Undo
from edge.production.stops import give_reason
from edge.production.tools import scan_tool
from edge.production.traced import Lot
from edge.production.units import check_item, tested_next, unit_seen
from edge.production.verbs import command


def meaning(draft: Draft, stations: Stations, label: Label) -> str:
    """Do what the label asks, and say in words what that was. Raises RefusedError."""
    return _MEANINGS.get(label.letter, _not_in_use)(draft, stations, label)


def _badge(draft: Draft, stations: Stations, label: Label) -> str:
    for station in stations:
        badge_in(draft, station, label.body)
    return f"{label.body} is at {names(stations)}"


def _job(draft: Draft, stations: Stations, label: Label) -> str:
    order, operation = split_job(draft, label.body)
    on = [station for station in stations if slot_of(draft.station(station), (order.id, operation))]
    where = tuple(on) or stations
    words = "; ".join([start_job(draft, station, order, operation) for station in where])
    if len(where) < len(stations):
        point(draft, stations, where, "J")
        words += f" at {names(where)}"
    for station in where:
        choose(draft, station, (order.id, operation), STATUS if station in on else "")
    missing = skipped(draft, order, operation)
    if not missing:
        return words
    said = f"operation {', '.join(map(str, missing))} was never begun"
    context = draft.station(where[0]).context
    draft.say(Flag("out_of_sequence", 0, said), where[0].name, context)
    return f"{words}; {said}"


def _lot(draft: Draft, stations: Stations, label: Label) -> str:
    return "; ".join([_lot_at(draft, station, label) for station in stations])


def _lot_at(draft: Draft, spec: StationSpec, label: Label) -> str:
    """A lot of material that the order is made of, or the batch that is made from now on. May refuse."""
    for slot in slots(draft.station(spec)):
        found = material_of(order_of(draft, slot), label)
        if found is not None:
            material, lot = found
            wait(draft, spec, Label("L", lot))
            return mount(draft, spec, slot, material, lot, label.quantity)
    return _batch(draft, spec, label)


def _batch(draft: Draft, spec: StationSpec, label: Label) -> str:
    row = draft.station(spec)
    if label.item is not None and row.run is None:
        raise RefusedError(f"a lot of {label.item} for which job? Scan its card first")
    only = the_slot(draft, spec, chosen(draft, spec)).run.job if len(slots(row)) > 1 else None
    for slot in slots(row):
        if only in (None, slot.run.job):
            check_item(draft, label, slot.run, "is made of no such material")
    change_context(draft, spec, only, batch=label.body)
    context = next((slot.context for slot in slots(draft.station(spec)) if slot.run.job == only), None)
    begun = Lot("begun", (LotShare(label.body, label.quantity or 0),))
    draft.say(begun, spec.name, context or draft.station(spec).context)
    return f"batch {label.body} at {spec.name}"


def _pack(draft: Draft, stations: Stations, label: Label) -> str:
    """A pallet or a box of material: the lot in it, else the pack itself, is in use. May refuse."""
    if label.item is None:
        raise RefusedError("this pack does not say what is in it: scan the label of its lot")
    lot = label._replace(letter="L", body=label.lot or label.body)
    for station in stations:
        found = [material_of(order_of(draft, slot), lot) for slot in slots(draft.station(station))]
        if not any(found):
            raise RefusedError(f"no job at {station.name} is made of {label.item}{unknown_item(label)}")
    return _lot(draft, stations, lot)


def unknown_item(label: Label) -> str:
    """A hint, where a number is in no table of the line."""
    return ": [labels.items] does not name it" if (label.item or "").isdigit() else ""


def _scrap_reason(draft: Draft, stations: Stations, label: Label) -> str:
    words = explained(draft.line, SCRAP, label.body)
    station = where_parts_are_made(draft, stations)
    unit = waiting(draft, draft.station(station).noun)
    if unit is not None and unit.letter == "S":
        return decide_unit(draft, station, unit.body, "SCRAP", label.body, chosen(draft, station))
    wait(draft, station, label)
    return f"scrap at {station.name}, {words}: scan how many"


def _downtime_reason(draft: Draft, stations: Stations, label: Label) -> str:
    return give_reason(draft, stations, label.body)


def _tool(draft: Draft, stations: Stations, label: Label) -> str:
    return "; ".join([scan_tool(draft, station, label.body) for station in stations])


def _serial(draft: Draft, stations: Stations, label: Label) -> str:
    with_rig = [station for station in stations if station.rig is not None]
    try:
        station = where_parts_are_made(draft, stations)
    except RefusedError:
        if len(with_rig) != 1:
            raise
        station = with_rig[0]
    wait(draft, station, label)
    words = unit_seen(draft, station, label, chosen(draft, station))
    for other in with_rig:
        if other is not station:
            tested_next(draft, other, label)
    return words


def _quantity(draft: Draft, stations: Stations, label: Label) -> str:
    if not (label.body.isascii() and label.body.isdigit()) or not 0 < int(label.body) < 10_000:
        raise RefusedError(f"{label.body} is no quantity between 1 and 9999")
    check_waiting(draft, draft.line.guns[draft.observation.signal])
    station = where_parts_are_made(draft, stations)
    parts, row = int(label.body), draft.station(station)
    noun = waiting(draft, row.noun)
    draft.put(station.key, replace(row, noun=None))
    slot = chosen_slot(draft, station)
    if noun is not None and noun.letter == "L":
        return use_scanned(draft, station, slot, noun.body, parts)
    words, booked = _book(draft, station, slot, noun, parts)
    _remember_booking(draft, station, f"Q {parts}", slot, booked)
    return words


def _book(
    draft: Draft, spec: StationSpec, slot: Slot, noun: Noun | None, parts: int
) -> tuple[str, tuple[str, int, str]]:
    """What the quantity is of: good parts, scrap with its reason, or rework and what became of it."""
    if noun is None:
        return report_good(draft, spec, slot, parts), ("good", parts, "")
    if noun.letter == "X":
        return book_scrap(draft, spec, slot, noun.body, parts), (booked_as(spec, "scrap"), parts, noun.body)
    disposition = _DISPOSITIONS.get(noun.body)
    if disposition is None:
        raise RefusedError(f"{noun.body} is one unit: scan OK, NG, REWORK or SCRAP")
    return book(draft, spec, slot, disposition, parts, noun.reason), (disposition, parts, noun.reason)


_DISPOSITIONS = {"REWORK": "rework", "OK": "reworked", "SCRAP": "rework_scrapped"}


def _remember_booking(
    draft: Draft, spec: StationSpec, label: str, slot: Slot, booked: tuple[str, int, str]
) -> None:
    """`slot` is the job's before the booking."""
    row, now = draft.station(spec), draft.observation
    after = slot_by_run(draft, spec, slot.run.id).run.totals
    undo = Undo(
        label, row.context.operator, now.at_ms, now.mono_ms, now.boot, slot.context, slot.run,
        booked=booked, made=after.and_(slot.run.totals.negative()),
    )  # fmt: skip
    draft.put(spec.key, replace(row, undo=undo))


def _not_in_use(draft: Draft, stations: Stations, label: Label) -> str:
    raise RefusedError(f"a {LETTERS[label.letter]} means nothing at {names(stations)}")


_MEANINGS: dict[str, Callable[[Draft, Stations, Label], str]] = {
    "E": _badge, "J": _job, "L": _lot, "P": _pack, "S": _serial, "T": _tool, "D": _downtime_reason,
    "U": choose_station,
    "X": _scrap_reason, "Q": _quantity, "C": command,
}  # fmt: skip
