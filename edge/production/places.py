"""At which of its stations a gun's label means something."""

from edge.production.draft import Draft
from edge.production.line import StationSpec
from edge.production.orders import RefusedError

Stations = tuple[StationSpec, ...]
"""Those that name the gun; at least one."""


def where_parts_are_made(draft: Draft, stations: Stations) -> StationSpec:
    """The station that scrap is booked at. Raises RefusedError where a gun cannot tell which."""
    counting = [station for station in stations if station.counters]
    running = [station for station in counting if draft.station(station).run is not None]
    if len(running) > 1:
        raise which(tuple(running))
    return (running or counting or list(stations))[0]


def which(stations: Stations) -> RefusedError:
    return RefusedError(f"at which station? This gun speaks for {names(stations)}")


def names(stations: Stations) -> str:
    return ", ".join(station.name for station in stations)
