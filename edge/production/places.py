"""At which of its stations a gun's label means something."""

import re

from msgspec.structs import replace

from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.nouns import NOUN_MS, waiting
from edge.production.orders import RefusedError
from edge.production.scanned import Noun
from edge.production.scanning import Label

Stations = tuple[StationSpec, ...]
"""Those that name the gun; at least one."""

_OF_ALL = ("UNDO", "CANCEL")
"""Verbs that are about the gun's scans, wherever they were."""
_OF_PEOPLE = "EJTD"
"""What the card of a job does not choose a station for."""


def heard_at(draft: Draft, stations: Stations, label: Label) -> Stations:
    """The one that was chosen; else all that the gun speaks for."""
    of_all = label.letter == "C" and (label.body in _OF_ALL or label.body.startswith("BACK"))
    found, by = _pointed(draft, stations)
    if not found or of_all or label.letter == "U":
        return stations
    if by == "J" and (label.letter in _OF_PEOPLE or label.body == "LOGOUT"):
        return stations
    return found


def _pointed(draft: Draft, stations: Stations) -> tuple[Stations, str]:
    """Those that were chosen, and by which letter."""
    nouns = [(spec, waiting(draft, draft.station(spec).pointed)) for spec in stations]
    found = [(spec, noun.letter) for spec, noun in nouns if noun is not None]
    return tuple(spec for spec, _ in found), next((letter for _, letter in found), "")


def point(draft: Draft, stations: Stations, chosen: Stations, letter: str) -> None:
    """What follows is about the chosen ones; what waits at another waits in vain."""
    now = draft.observation
    for spec in stations:
        row = draft.station(spec)
        if spec in chosen:
            noun = Noun(letter, spec.name, now.mono_ms, now.boot)
            draft.put(spec.key, replace(row, pointed=noun))
        else:
            over = row.noun.over(f"was for {spec.name}") if row.noun else None
            draft.put(spec.key, replace(row, pointed=None, noun=over))


def choose_station(draft: Draft, stations: Stations, label: Label) -> str:
    """A station's own card: for a while the gun speaks for that one alone. May refuse."""
    found = tuple(spec for spec in stations if card_of(spec) == label.body)
    if not found:
        raise RefusedError(f"{label.body} is no station of this gun: it speaks for {names(stations)}")
    point(draft, stations, found, "U")
    return f"for {NOUN_MS // 1000} s this gun speaks for {names(found)} alone"


def card_of(spec: StationSpec) -> str:
    """What its card says: its name in capital letters."""
    return re.sub("[^0-9A-Z.-]", "-", spec.name.upper())[:40]


def where_parts_are_made(draft: Draft, stations: Stations) -> StationSpec:
    """The station that a part or a quantity is of. Raises RefusedError where a gun cannot tell which.

    A station without a counter, where nobody is declared to count, makes none while another does.
    """
    waits = [spec for spec in stations if waiting(draft, draft.station(spec).noun) is not None]
    if len(waits) == 1:
        return waits[0]
    counting = [spec for spec in stations if spec.counters or spec.counts_by is not None]
    on = [spec for spec in stations if draft.station(spec).run is not None]
    running = [spec for spec in on if spec in counting] or on
    if len(running) > 1:
        raise which(tuple(running))
    return (running or counting or list(stations))[0]


def which(stations: Stations) -> RefusedError:
    cards = " or ".join(f"U {card_of(spec)}" for spec in stations)
    return RefusedError(
        f"at which station? This gun speaks for {names(stations)}: scan its card first ({cards})"
    )


def names(stations: Stations) -> str:
    return ", ".join(station.name for station in stations)
