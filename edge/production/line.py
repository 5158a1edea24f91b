"""What a line is made of, as the core sees it: stations, their signals, the orders it knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from edge.observation import WorkOrder
from edge.production.scanning import OWN_LABELS, LabelRules


class Role(StrEnum):
    """What a counter counts (ISO 22400: PQ, GQ, SQ)."""

    TOTAL = "total"
    GOOD = "good"
    REJECT = "reject"


class Split(StrEnum):
    """How parts are dealt where several jobs share a station."""

    EQUAL = "equal"
    """In turn, one each."""
    FIRST = "first"
    """To the job that began first until its quantity is made, then to the next."""


class CountsBy(StrEnum):
    """Who counts at a station; what the other says is kept beside it and never added up.

    Where none is declared the machine counts, and what a person books as scrap is of parts that it
    counted good.
    """

    MACHINE = "machine"
    """Also scrap: a person only gives its reasons."""
    OPERATOR = "operator"
    RECONCILE = "reconcile"
    """The machine, and a difference to what the operator said is flagged at the end of each run."""


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """One cumulative counter in a device."""

    signal: str
    role: Role
    source: str
    key: str
    """Row of its baseline: source, address and decoding, so that a remapped counter starts anew. The width
    that it is declared with is none of these: a counter outlives its correction."""
    modulus: int
    """2 to its bits, 10 to its digits, or as the file has it: the reading after `modulus - 1` is 0."""
    parts_per_count: int = 1
    parts_by_item: Mapping[str, int] = field(default_factory=dict)
    """Cavities of the tool that makes an item, where they differ from `parts_per_count`."""
    retained: bool = False
    """Its device keeps the count to the last part when it is restarted or loses its power."""
    is_sampled: bool = False
    """Its source tells of every reading: only one that says "no more" tells that no part came."""

    @property
    def read_as_key(self) -> str:
        """Row of how it was read last: `ReadAs`."""
        return f"read-as/{self.signal}"

    def parts(self, item: str | None) -> int:
        """Parts that one count stands for."""
        return self.parts_by_item.get(item, self.parts_per_count) if item else self.parts_per_count


@dataclass(frozen=True, slots=True)
class StationSpec:
    """One work unit (ISA-95)."""

    name: str
    ideal_cycle_ms: int
    """Planned run time per item (PRI)."""
    fastest_cycle_ms: float
    """No real part follows another sooner, in the long run; the bound of what is plausible."""
    stop_after_ms: int
    """Without a state signal: so long without a part is a stop."""
    counters: tuple[CounterSpec, ...] = ()
    state_signal: str | None = None
    state_map: Mapping[str, str] = field(default_factory=dict)
    """From what is read, as text, to the name of the state (PackML's where there is one)."""
    gun: str | None = None
    rig: str | None = None
    sources: tuple[str, ...] = ()
    """Everything that its values are read from."""
    capacity: int = 1
    """Jobs that can run here at once."""
    split: Split = Split.EQUAL
    counts_by: CountsBy | None = None
    mode_signal: str | None = None
    mode_map: Mapping[str, str] = field(default_factory=dict)
    """From what is read, as text, to the name of the mode (OPC 40001-1's where there is one)."""
    key: str = field(init=False)
    """Of its row; made once, for every reading asks for it."""
    stops_key: str = field(init=False)

    total_has_rejects: bool = field(init=False)
    """Its rejects are parts that its total counts too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", f"station/{self.name}")
        object.__setattr__(self, "stops_key", f"stops/{self.name}")
        object.__setattr__(self, "total_has_rejects", Role.TOTAL in self.roles)

    @property
    def operator_counts(self) -> bool:
        """Whether what a person says of quantities is what counts here."""
        return self.counts_by is CountsBy.OPERATOR or not self.counters

    @property
    def machine_rejects(self) -> bool:
        """Whether scrap is counted by the machine, and a person only gives its reasons."""
        declared = self.counts_by in (CountsBy.MACHINE, CountsBy.RECONCILE)
        return declared and Role.REJECT in self.roles

    @property
    def roles(self) -> frozenset[Role]:
        return frozenset(counter.role for counter in self.counters)


def _stops(station: StationSpec) -> tuple[str, ...]:
    """Where its parts say whether it stands, they need the row of its stops."""
    return (station.stops_key,) if station.state_signal is None else ()


def utc_hour(at_ms: int) -> str:
    """`09:12`, UTC."""
    minutes = at_ms // 60_000
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


class CounterAt(NamedTuple):
    """Where a counter's signal leads."""

    station: StationSpec
    counter: CounterSpec
    needs: tuple[str, ...]
    ends_cycle: bool
    """A part of this counter ends a cycle: the total, or where there is none, good and reject."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. Its indexes are made once, for every observation is looked up in them."""

    name: str
    stations: tuple[StationSpec, ...]
    orders: Mapping[str, WorkOrder] = field(default_factory=dict)
    """Those written in the line's file; others come in as observations."""
    badge_required: bool = True
    labels: LabelRules = OWN_LABELS
    reasons: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By kind (`scrap`, `downtime`): each code in use and its words; a kind that is missing takes any."""
    badge_ends_ms: int | None = None
    """So long after a badge was scanned nobody is at the station any more."""
    hour: Callable[[int], str] = utc_hour
    """The line's time of day of a UTC time in ms, as `09:12`."""
    counters: Mapping[str, CounterAt] = field(init=False)
    states: Mapping[str, StationSpec] = field(init=False)
    modes: Mapping[str, StationSpec] = field(init=False)
    guns: Mapping[str, tuple[StationSpec, ...]] = field(init=False)
    rigs: Mapping[str, tuple[StationSpec, ...]] = field(init=False)
    named: Mapping[str, StationSpec] = field(init=False)
    tick_needs: tuple[str, ...] = field(init=False)
    """Rows that the passing of time is about: stations that have no signal for their state, and those where
    a label may wait in vain or a badge may end."""

    def __post_init__(self) -> None:
        def index(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        index("counters", {
            counter.signal: CounterAt(
                station, counter, (counter.key, station.key, "line", counter.read_as_key, *_stops(station)),
                counter.role is Role.TOTAL or Role.TOTAL not in station.roles,
            )
            for station in self.stations
            for counter in station.counters
        })  # fmt: skip
        index("named", {station.name: station for station in self.stations})
        index("states", {one.state_signal: one for one in self.stations if one.state_signal})
        index("modes", {one.mode_signal: one for one in self.stations if one.mode_signal})
        index("guns", self._by(lambda station: station.gun))
        index("rigs", self._by(lambda station: station.rig))
        index("tick_needs", tuple(key for station in self.stations for key in self._tick_needs(station)))

    def _tick_needs(self, station: StationSpec) -> tuple[str, ...]:
        silent, heard = station.state_signal is None, station.gun is not None
        ends = heard and self.badge_ends_ms is not None
        counters = (one.key for one in station.counters) if silent or ends else ()
        row = (station.key,) if silent or heard else ()
        return (*row, *_stops(station), *counters)

    def _by(self, name_of: Callable[[StationSpec], str | None]) -> dict[str, tuple[StationSpec, ...]]:
        found: dict[str, tuple[StationSpec, ...]] = {}
        for station in self.stations:
            if name := name_of(station):
                found[name] = (*found.get(name, ()), station)
        return found
