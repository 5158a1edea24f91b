"""Stations and their signals: what the file says, joined with what each adapter understands."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from edge import registry
from edge.config.faults import Faults, nearest
from edge.config.models import ROLES, with_model
from edge.config.tables import CounterTable, Document, ModeTable, SignalTable, StateTable, StationTable
from edge.contract import Signal, SignalAddress, Source, SourceSettings
from edge.observation import AGENT, CLOCK, COMMAND, DEVICE, ORDER, TICK, WRITE
from edge.production.line import CounterSpec, CountsBy, Role, Split, StationSpec

Sources = Mapping[str, tuple[Source, SourceSettings | None]]
"""By name; without settings where those have faults."""
Signals = dict[str, list[Signal[Any]]]

SignalTableT = TypeVar("SignalTableT", bound=SignalTable)

STOP_AFTER_CYCLES = 5
SPEAKERS = {"scanner": "labels", "rig": "results"}
"""What the source behind a station's key must give."""


@dataclass(frozen=True, slots=True)
class Place:
    """A signal's table: what it is called, and where it stands, for what is said of it."""

    key: str
    signal: str
    table: Mapping[str, Any]
    batch: str = ""
    """Of telemetry: its table."""


def build_stations(document: Document, sources: Sources, faults: Faults) -> tuple[list[StationSpec], Signals]:
    """Every station as the core sees it, and the signals of each source."""
    signals: Signals = {}
    for name, times in Counter(name for name, _, _ in document.stations).items():
        if times > 1:
            faults.add(f"station[{name}].name", f"{times} stations have this name", "a name is one station's")
    builder = SignalBuilder(document, sources, signals, faults)
    built = [_station(builder, *station) for station in document.stations]
    stations = [station for station in built if station is not None]
    _refuse_shared_counters(stations, faults)
    _refuse_taken_names(document, stations, faults)
    return stations, signals


def _refuse_taken_names(document: Document, stations: list[StationSpec], faults: Faults) -> None:
    """A source that speaks for itself does so under its own name: nothing else may have it."""
    taken = {TICK, AGENT, CLOCK, COMMAND, DEVICE, ORDER, WRITE}
    taken |= {counter.signal for station in stations for counter in station.counters}
    taken |= {one for station in stations for one in (station.state_signal, station.mode_signal) if one}
    for name in document.sources:
        if name in taken:
            faults.add(f"source.{name}", "has the name of a signal", "choose another name")


def _gives(module: Source) -> str:
    return module.gives if module.Address is None else "values"


def _station(
    builder: "SignalBuilder", name: str, written: Mapping[str, Any], table: StationTable | None
) -> StationSpec | None:
    """A station's signals are checked even where the rest of it has faults."""
    written = with_model(name, written, builder.sources, builder.faults)

    def place(role: str) -> Place | None:
        found = written.get(role)
        return Place(f"station[{name}].{role}", f"{name}.{role}", found) if isinstance(found, dict) else None

    counters = [builder.counter(found, role) for role in Role if (found := place(role)) is not None]
    state, mode = place("state"), place("mode")
    state_table = builder.state(state) if state else None
    mode_table = builder.mode(mode) if mode else None
    gun, rig = builder.speaker(name, written, "scanner"), builder.speaker(name, written, "rig")
    if table is None:
        return None
    ideal_ms = table.ideal_cycle.total_seconds() * 1000
    fastest = table.fastest_cycle
    stop_after = table.stop_after or table.ideal_cycle * STOP_AFTER_CYCLES
    _check_roles(table, frozenset(role for role in ROLES if place(role)), builder.faults)
    return StationSpec(
        table.name, round(ideal_ms),
        fastest.total_seconds() * 1000 if fastest else ideal_ms / 2,
        round(stop_after.total_seconds() * 1000),
        tuple(counter for counter in counters if counter),
        state.signal if state else None,
        state_table.map if state_table else {},
        gun, rig, _read_from(written), table.capacity, Split(table.split),
        CountsBy(table.counts_by) if table.counts_by else None,
        mode.signal if mode else None,
        mode_table.map if mode_table else {},
    )  # fmt: skip


def _read_from(written: Mapping[str, Any]) -> tuple[str, ...]:
    tables = [written.get(role) for role in ROLES]
    return tuple(
        dict.fromkeys(str(one["source"]) for one in tables if isinstance(one, dict) and "source" in one)
    )


def _check_roles(table: StationTable, roles: frozenset[str], faults: Faults) -> None:
    counts = bool(roles & {"total", "good"})
    if roles >= {"total", "good"}:
        what = "a station counts total and reject, or good and reject, not total and good"
        faults.add(f"station[{table.name}]", what, "leave one of them out: the other follows")
    if table.counts_by in ("machine", "reconcile") and not counts:
        what = "the machine cannot count here: the station has no counter"
        faults.add(f"station[{table.name}].counts_by", what, 'write "operator", or leave it out')
    if table.fastest_cycle and table.fastest_cycle > table.ideal_cycle:
        what = "is longer than ideal_cycle: then every good cycle is too fast to be believed"
        faults.add(f"station[{table.name}].fastest_cycle", what)
    if table.stop_after and table.stop_after < table.ideal_cycle:
        what = "is shorter than ideal_cycle: then every part is followed by a stop"
        faults.add(f"station[{table.name}].stop_after", what)
    if "reject" in roles and not counts:
        faults.add(f"station[{table.name}].reject", "needs a total or a good counter beside it")


def _refuse_shared_counters(stations: list[StationSpec], faults: Faults) -> None:
    owner: dict[str, str] = {}
    for counter in [counter for station in stations for counter in station.counters]:
        if counter.key in owner:
            station, _, role = counter.signal.rpartition(".")
            what = f"is the same counter as {owner[counter.key]}: its parts would be counted twice"
            faults.add(f"station[{station}].{role}", what)
        owner.setdefault(counter.key, counter.signal)


@dataclass(frozen=True, slots=True)
class SignalBuilder:
    """Checks signals against the sources they name, and gives those their signals."""

    document: Document
    sources: Sources
    signals: Signals
    faults: Faults

    def counter(self, place: Place, role: Role) -> CounterSpec | None:
        found = self._checked(place, CounterTable, "counter")
        if found is None:
            return None
        table, address = found
        modulus = self._modulus(place, table, address)
        if modulus is None:
            return None
        self._add(place, table, address, modulus)
        return CounterSpec(
            place.signal, role, table.source, f"counter/{table.source}|{address.identity()}", modulus,
            table.parts_per_count, table.parts_by_item, table.retained, address.is_sampled,
        )  # fmt: skip

    def _modulus(self, place: Place, table: CounterTable, address: SignalAddress) -> int | None:
        """How many readings the counter has; None, and a fault, where that is not known."""
        natural, where = address.counter_modulus(), f"{place.key}.counter"
        if table.counter is None:
            if natural is None:
                hint = 'its width, such as counter = "u32"'
                self.faults.add(where, "is missing: where does it roll over?", hint)
            return natural
        if isinstance(table.counter, int):
            if natural is not None and table.counter > natural:
                what = f"{table.counter:,} is more than it can read: it rolls over at {natural:,} at last"
                self.faults.add(where, what, "leave counter out")
                return None
            return table.counter
        if natural is not None and natural & natural - 1:
            what = f"has a width in bits, and digits roll over at {natural:,}"
            self.faults.add(where, what, "leave counter out")
            return None
        return 1 << int(table.counter[1:])

    def state(self, place: Place) -> StateTable | None:
        return self.signal(place, StateTable, "state")

    def mode(self, place: Place) -> ModeTable | None:
        return self.signal(place, ModeTable, "mode")

    def speaker(self, station: str, written: Mapping[str, Any], key: str) -> str | None:
        """The name of a source that speaks for itself (a scanner, a rig)."""
        name = written.get(key)
        if not isinstance(name, str):
            return None
        where = f"station[{station}].{key}"
        if name not in self.document.sources:
            self.faults.add(where, f'names no source: "{name}"', nearest(name, self.document.sources))
        elif name in self.sources and (gives := _gives(self.sources[name][0])) != SPEAKERS[key]:
            does = "is read by address" if gives == "values" else f"gives {gives}"
            self.faults.add(where, f'source "{name}" {does}; it sends no {SPEAKERS[key]}')
        return name

    def signal(self, place: Place, model: type[SignalTableT], use: str) -> SignalTableT | None:
        """What is common to all signals; None where it has faults. Its source gets the signal."""
        found = self._checked(place, model, use)
        if found is None:
            return None
        self._add(place, *found)
        return found[0]

    def columns(self, place: Place, model: type[SignalTableT]) -> Sequence[tuple[str, SignalTableT | None]]:
        """A signal of telemetry, or each value of an array: what is added to its name, and what it is."""
        found = self._checked(place, model, "telemetry")
        if found is None:
            return [("", None)]
        table, address = found
        parts = [(f"_{end}", part) for end, part in address.parts()] or [("", address)]
        for end, part in parts:
            self._add(replace(place, signal=place.signal + end), table, part)
        return [(end, table) for end, _ in parts]

    def _add(
        self, place: Place, table: SignalTable, address: SignalAddress, modulus: int | None = None
    ) -> None:
        bits = None if modulus is None else (modulus - 1).bit_length()
        is_early = modulus is not None and bool(modulus & modulus - 1)
        made = Signal(place.signal, address, table.every, place.batch, bits, is_early)
        self.signals.setdefault(table.source, []).append(made)

    def _checked(
        self, place: Place, model: type[SignalTableT], use: str
    ) -> tuple[SignalTableT, SignalAddress] | None:
        """What is common to all signals, and the address; None where either has faults."""
        name, own = place.table.get("source"), set(model.model_fields)
        common = {key: value for key, value in place.table.items() if key in own}
        rest = {key: value for key, value in place.table.items() if key not in own}
        address_model = self._address_of(place, name)
        if address_model is None or not isinstance(name, str):
            self.faults.check(model, common | {"source": ""}, place.key)
            for key in sorted(rest.keys() - (valid := _any_address())):
                self.faults.add(f"{place.key}.{key}", "is not a key here", nearest(key, valid | own))
            return None
        for key in sorted(_OF_TELEMETRY & rest.keys() - own - set(address_model.model_fields)):
            self.faults.add(f"{place.key}.{key}", f"is a key of telemetry: a {use} is read as it is")
            del rest[key]
        table = self.faults.check(model, common, place.key)
        address = self.faults.check(address_model, rest, place.key, also=own)
        if table is None or address is None:
            return None
        if misfit := address.misfit(use):
            self.faults.add(place.key, misfit)
        return table, address

    def _address_of(self, place: Place, name: object) -> type[SignalAddress] | None:
        """What an address in this source is; None where nothing has one."""
        if not isinstance(name, str) or name not in self.document.sources:
            what = "is missing" if name is None else f"names no source: {name!r}"
            self.faults.add(f"{place.key}.source", what, nearest(str(name), self.document.sources))
            return None
        found = self.sources.get(name)
        if found is None:  # that its type is unknown is told already
            return None
        if found[0].Address is None:
            self.faults.add(f"{place.key}.source", f'"{name}" speaks for itself; it has no signals to read')
        return found[0].Address


_OF_TELEMETRY = {"deadband", "silence", "unit_of_measure"}
"""Keys of a signal of telemetry: written elsewhere they mean these, and no key that looks like them."""


def _any_address() -> set[str]:
    """Keys that an address has in one source or another: which, is not known where the source is not."""
    models = (found.Address for one in registry.types() if (found := registry.source(one)) is not None)
    return {field.alias or key for model in models if model for key, field in model.model_fields.items()}
