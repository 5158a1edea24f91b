"""UNDO: the last scan of a gun that was accepted, where it changed something, and only there."""

from collections.abc import Mapping

from msgspec.structs import replace

from edge.production.beside import LotTaken
from edge.production.corrections import UNDO_MS, undo
from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.nouns import waiting
from edge.production.orders import RefusedError
from edge.production.places import Stations, names
from edge.production.scanned import LastScan, Noun, Waited
from edge.production.state import Station, Undo


def take_back(draft: Draft, stations: Stations) -> str:
    """May refuse."""
    last = draft.station(stations[0]).last_scan
    if last is not None and last.before is not None:
        return _as_if_never(draft, stations, last)
    changed = where_changed(draft, stations)
    if not changed:
        raise RefusedError(f"nothing to take back at {names(stations)}")
    return "; ".join([_undo(draft, station) for station in changed])


def where_changed(draft: Draft, stations: Stations) -> Stations:
    """Where the newest scan that changed something did so."""
    last = draft.station(stations[0]).last_scan
    return tuple(station for station in stations if last and station.name in last.changed)


def _as_if_never(draft: Draft, stations: Stations, last: LastScan) -> str:
    """A scan that only waits, or showed something: what had waited before it does so again."""
    now = draft.observation
    if last.boot != now.boot or now.mono_ms - last.mono_ms > UNDO_MS:
        raise RefusedError("that was too long ago: ask your supervisor")
    again = ""
    for station in stations:
        row = draft.station(station)
        was = row.last_scan.before if row.last_scan else None
        if was is None:
            continue
        noun = _aged(draft, was.noun)
        draft.put(station.key, replace(
            row, noun=noun, chosen=was.chosen, pointed=was.pointed, unit=was.unit
        ))  # fmt: skip
        if row.noun != was.noun:
            again += _what_waits(draft, station)
    nothing = f"{last.means} is forgotten at {names(stations)}: it had changed nothing"
    return f"{nothing}{again}{_next(draft, stations)}"


def _aged(draft: Draft, noun: Noun | None) -> Noun | None:
    """What would have been forgotten meanwhile, is: its late quantity is refused."""
    return noun.over("") if noun is not None and waiting(draft, noun) is None else noun


def _what_waits(draft: Draft, spec: StationSpec) -> str:
    noun = waiting(draft, draft.station(spec).noun)
    return f"; {noun.name} waits" if noun is not None else ""


def _next(draft: Draft, stations: Stations) -> str:
    """What another UNDO would take back."""
    for station in where_changed(draft, stations):
        undone = draft.station(station).undo
        if undone is not None:
            return f". UNDO once more: {undone.label}"
    return ""


def _undo(draft: Draft, spec: StationSpec) -> str:
    undone = draft.station(spec).undo
    words = undo(draft, spec)
    noun = undone.noun if undone else None
    if undone is not None and noun is not None and _is_of_a_quantity(undone):
        noun = noun.over("was taken back with its quantity")
    draft.put(spec.key, replace(draft.station(spec), noun=_aged(draft, noun)))
    return words + _what_waits(draft, spec)


def _is_of_a_quantity(undone: Undo) -> bool:
    lot = undone.taken
    return undone.booked is not None or (isinstance(lot, LotTaken) and bool(lot.quantity))


def note(draft: Draft, spec: StationSpec, before: Station) -> bool:
    """What waited before the scan goes with what can be taken back. Whether it changed something here."""
    row = draft.station(spec)
    if row.undo is None or _is_same(row.undo, before.undo):
        return False
    draft.put(spec.key, replace(row, undo=replace(row.undo, noun=before.noun)))
    return True


def _is_same(undo: Undo, before: Undo | None) -> bool:
    """A unit may have been noted in it."""
    return before is not None and (undo.label, undo.mono_ms, undo.boot) == (
        before.label, before.mono_ms, before.boot
    )  # fmt: skip


def waited(rows: Mapping[str, Station], spec: StationSpec) -> Waited:
    row = rows[spec.name]
    return Waited(row.noun, row.chosen, row.pointed, row.unit)
