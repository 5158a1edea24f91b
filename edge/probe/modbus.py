"""One look at a Modbus device or bus, and the TOML that reads it."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from edge.contract import SourceSettings
from edge.probe import proposal
from edge.probe.find import Found
from edge.probe.into import Into
from edge.probe.proposal import Report, Tell, enough_by_hand

_LAST_UNIT, _LAST_ADDRESS = 255, 65_535
_MOST_RANGE = 10_000
_SPAN = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)


class Bus(Protocol):
    """What the adapters know of it: `adapters/_modbus/probe.py`."""

    TABLES: Sequence[str]
    Wish: Callable[..., Any]
    Bounds: Callable[..., Any]

    def keys_of(self, url: str) -> Mapping[str, Any]: ...
    def shown(self, text: str) -> Any: ...
    def aims_of(self, text: str) -> Any: ...
    def same_line(self, keys: Mapping[str, Any], settings: Any) -> bool: ...
    def probe(self, wish: Any, enough: asyncio.Event, tell: Tell) -> Awaitable[Report]: ...


@dataclass(frozen=True, slots=True)
class Typed:
    """The command as it was typed; what was left out is empty."""

    url: str
    units: str = ""
    tables: str = ""
    range: str = ""
    requests: int = 150
    shows: str = ""
    at: str = ""
    name: str = "bus-1"
    station: str = "station-1"


def wished(
    bus: Bus,
    typed: Typed,
    for_s: float,
    pause_s: float,
    timeout_s: float | None,
    known: SourceSettings | None = None,
) -> Any:
    """What the adapters are asked for. Raises ValueError, in words.

    `known`: the line's own settings of this device or bus.
    """
    if typed.at and not typed.shows:
        raise ValueError("--at says where the reading of --shows is: give both")
    return bus.Wish(
        bus.keys_of(typed.url), typed.name, typed.station, _units(typed.units), _tables(bus, typed.tables),
        _bounds(bus, typed), bus.shown(typed.shows) if typed.shows else None,
        bus.aims_of(typed.at) if typed.at else None, for_s, pause_s, timeout_s, known,
    )  # fmt: skip


def _units(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, last = _span(part, "--units")
        if last > _LAST_UNIT:
            raise ValueError(f"--units {text}: a unit is 0 to {_LAST_UNIT}")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def _tables(bus: Bus, text: str) -> Sequence[str]:
    names = tuple(filter(None, map(str.strip, text.split(","))))
    if strange := [name for name in names if name not in bus.TABLES]:
        raise ValueError(f"--tables {strange[0]}: write {', '.join(bus.TABLES)}")
    return names or tuple(bus.TABLES)


def _bounds(bus: Bus, typed: Typed) -> Any:
    if not typed.range:
        return bus.Bounds(requests=typed.requests)
    first, last = _span(typed.range, "--range")
    if last > _LAST_ADDRESS:
        raise ValueError(f"--range {typed.range}: addresses are 0 to {_LAST_ADDRESS}, counted from zero")
    if last - first >= _MOST_RANGE:
        raise ValueError(f"--range {typed.range}: {_MOST_RANGE:,} addresses at the most")
    return bus.Bounds(first, last, typed.requests, True)


def _span(text: str, option: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{option} {text}: write a number or A-B, such as 1-10")
    first = int(match[1])
    last = int(match[2]) if match[2] else first
    if last < first:
        raise ValueError(f"{option} {text}: {last} comes before {first}")
    return first, last


async def look(bus: Bus, wish: Any, tell: Tell) -> Report:
    """Ctrl-C ends what is being done, and the next thing begins. Raises SourceLost or SourceRefused."""
    with enough_by_hand() as enough:
        return await bus.probe(wish, enough, tell)


_BARE = "a line has at least one station: write its name, and what counts its parts"


def concluded(report: Report, typed: Typed, into: Into | None = None, is_new: bool = True) -> Found:
    """The tables of a line's file, once they have passed what `lineside check` does."""
    bare = _BARE if typed.shows else ""
    return proposal.concluded(report, typed.name, typed.station, is_new, into, bare, empty="")
