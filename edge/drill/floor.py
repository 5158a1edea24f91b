"""The drill's shop floor: a device for each source, with the user's own addresses and decodings.

All of it runs in the drill's process, so that the ground truth is what was made, and no file of it.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edge.config import LineConfig, SourceConfig
from edge.contract import Signal
from edge.drill.people import Device, Gun, Office, command_topic, serial_device
from edge.drill.spots import NodePlace, Show, Spot, cell_of, gauges_of, refuse_shared, spot_in
from edge.drill.substitute import CYCLE_S
from edge.errors import DrillFailed
from edge.production.cycles import EXECUTE
from edge.production.line import CounterSpec, Line, Role, StationSpec
from simulators.machine import Counters, Machine, MachineSpec
from simulators.modbus_image import Image, serve_rtu, serve_tcp

TICK_S = 0.02
GAUGE_S = 0.5
"""Telemetry moves so often."""
ROLLS_OVER = 32
"""A counter of so many bits or fewer begins shortly before its end."""
BEFORE_END = 7
SCRAP = 0.05
FASTEST_S = 0.02
"""No machine here is faster, whatever its ideal cycle."""


@dataclass(slots=True)
class Station:
    """One machine and what it shows."""

    spec: StationSpec
    machine: Machine
    counters: Sequence["Dial"]

    async def advance(self, now_s: float, made: Counter[str]) -> None:
        for part in self.machine.advance(now_s):
            for dial in self.counters:
                spec = dial.spec
                made[spec.signal] = _reads(spec.role, part.counters)
                await dial.show((dial.first + made[spec.signal]) % spec.modulus)


@dataclass(frozen=True, slots=True)
class Dial:
    """A counter, and what it reads before the first part."""

    spec: CounterSpec
    first: int
    show: Show


@dataclass(slots=True)
class Floor:
    """Everything that stands in for the user's devices; `made` is the ground truth."""

    places: dict[str, str] = field(default_factory=dict)
    """Where each source's stand-in is; a source that has none is left out."""
    made: Counter[str] = field(default_factory=Counter)
    """Counts of each counter's signal since the drill began."""
    stations: list[Station] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    gauges: list[Show] = field(default_factory=list)
    on: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        for station in self.stations:
            station.machine.start(time.monotonic())
        self.on.set()

    def stop(self) -> None:
        self.on.clear()
        for station in self.stations:
            station.machine.stop(time.monotonic())

    @property
    def guns(self) -> list[Gun]:
        return [one for one in self.devices if isinstance(one, Gun)]

    def is_quiet(self) -> bool:
        """Nobody waits for an answer."""
        for one in self.devices:
            if isinstance(one, Office):
                one.take_stock()
        return not any(one.busy for one in self.devices)

    async def run(self) -> None:
        """Until it is cancelled: machines make parts while they are on, and gauges move."""
        began_s = moved_s = time.monotonic()
        while True:
            now_s = time.monotonic()
            for station in self.stations:
                await station.advance(now_s, self.made)
            if now_s >= moved_s + GAUGE_S:
                moved_s = now_s
                for number, show in enumerate(self.gauges):
                    await show(100.0 + 20.0 * math.sin((now_s - began_s) / 3 + number))
            await asyncio.sleep(TICK_S)


async def open_floor(stack: AsyncExitStack, config: LineConfig, ports: Path) -> Floor:
    """Every device that can be stood in for; they end with the stack. `ports` is a folder."""
    floor = Floor()
    spots: dict[str, Spot] = {}
    for number, source in enumerate(config.sources.values()):
        place = await _open_source(stack, config, source, number, ports / source.name, floor, spots)
        if place is not None:
            floor.places[source.name] = place
    judged = {one: what for one, what in _judged(config.line).items() if one in spots}
    refuse_shared(spots, judged)
    for spec in config.line.stations:
        await _open_station(spec, spots, floor)
    floor.gauges = gauges_of(spots, judged)
    return floor


def _judged(line: Line) -> dict[str, int | str]:
    """Counters and states, with what their place shows: each counter its own number, a state its Execute."""
    states = {signal: _executing(spec) for signal, spec in line.states.items()}
    return {signal: signal for signal in line.counters} | states


async def _open_source(
    stack: AsyncExitStack, config: LineConfig, source: SourceConfig, number: int, link: Path, floor: Floor,
    spots: dict[str, Spot],
) -> str | None:  # fmt: skip
    kind = source.settings.type
    if kind == "modbus":
        return await _open_modbus(stack, source, link, spots)
    if kind == "opcua":
        return await _open_opcua(stack, config, source, spots)
    if kind in ("serial-scanner", "hid-scanner", "testrig"):
        device = serial_device(source, number, link)
        stack.enter_context(device.speaker.open())
        floor.devices.append(device)
        return str(link)
    if kind == "mqtt-orders":
        office = Office(source.name, command_topic(config.path, config.line.name))
        await stack.enter_async_context(office.broker.open())
        floor.devices.append(office)
        return office.broker.url
    return None


async def _open_modbus(
    stack: AsyncExitStack, source: SourceConfig, link: Path, spots: dict[str, Spot]
) -> str:
    image = Image()
    for signal in source.signals:
        spots[signal.name] = spot_in(image, cell_of(signal.address), source.name, signal.name)
        await spots[signal.name].show(0)
    if "host" in source.settings.model_dump(exclude_none=True):
        return f"tcp://127.0.0.1:{await stack.enter_async_context(serve_tcp(image))}"
    stack.enter_context(serve_rtu(image, link))
    return str(link)


async def _open_opcua(
    stack: AsyncExitStack, config: LineConfig, source: SourceConfig, spots: dict[str, Spot]
) -> str:
    """A node that is read as several signals is there once, of the type of its counter or state."""
    from simulators.opcua_nodes import serve_nodes  # noqa: PLC0415 (asyncua takes a second, and 40 MB)

    nodes = await stack.enter_async_context(serve_nodes())
    texts = {one.name: _node_text(one) for one in source.signals}
    await nodes.number(texts.values())
    judged = config.line.counters.keys() | config.line.states.keys()
    for signal, text in sorted(texts.items(), key=lambda pair: pair[0] not in judged):
        kind, first = _variable(config, signal)
        node = await nodes.add(text, kind, first)
        if node is None and signal in judged:
            raise DrillFailed(
                f"{signal} cannot be played: {text} is a node that every OPC UA server has for itself"
            )
        if node is not None:
            where = source.name, node
            spots[signal] = Spot((*where, kind), frozenset([where]), 64, _on_node(nodes.show, text, kind))
    return nodes.endpoint


def _node_text(signal: Signal[Any]) -> str:
    """The stand-in has plain values under node ids, no paths, no machines and no structures."""
    place = msgspec.convert(signal.address.model_dump(by_alias=True), NodePlace)
    if place.node is None or place.index is not None or place.member is not None:
        raise DrillFailed(
            f"{signal.name} cannot be played: it is part of an array, a structure or a model, or is named "
            "by a path; a drill plays what is a node by itself: give it one in a copy of the file"
        )
    return place.node


def _on_node(show_node: Callable[[str, float | str], Awaitable[None]], text: str, kind: str) -> Show:
    async def show(value: float | str) -> None:
        is_whole = kind not in ("text", "f64") and not isinstance(value, str)
        await show_node(text, int(value) if is_whole else value)

    return show


def _variable(config: LineConfig, signal: str) -> tuple[str, float | str]:
    """The type of a node and its first value, by what its signal is for."""
    line = config.line
    if signal in line.counters:
        bits = (line.counters[signal].counter.modulus - 1).bit_length()
        return f"u{next(width for width in (8, 16, 32, 64) if width >= bits)}", 0
    if signal in line.states:
        code = _executing(line.states[signal])
        return ("text", code) if isinstance(code, str) else ("i32" if abs(code) < 1 << 31 else "i64", code)
    return "f64", 0.0


async def _open_station(spec: StationSpec, spots: dict[str, Spot], floor: Floor) -> None:
    """Its counters stand at their first reading, its state is Execute."""
    counters = [_dial(one, spots[one.signal]) for one in spec.counters if one.signal in spots]
    for dial in counters:
        await dial.show(dial.first)
    if spec.state_signal in spots:
        await spots[spec.state_signal].show(_executing(spec))
    if counters:
        machine = Machine(
            MachineSpec(cycle_s=_cycle_s(spec), scrap=SCRAP, counter_bits=64), len(floor.stations)
        )
        floor.stations.append(Station(spec, machine, counters))


def _dial(spec: CounterSpec, spot: Spot) -> Dial:
    """It rolls over soon where what it is read from holds its last readings."""
    bits = (spec.modulus - 1).bit_length()
    return Dial(spec, spec.modulus - BEFORE_END if bits <= min(ROLLS_OVER, spot.holds) else 0, spot.show)


def _cycle_s(spec: StationSpec) -> float:
    """Between two counts: as many ideal cycles as a count stands for parts, whatever item it is.

    The drill's own file has a shorter cycle where that is long; the machine never outruns what it allows.
    """
    parts = max(max([one.parts_per_count, *one.parts_by_item.values()]) for one in spec.counters)
    fastest_s = max(FASTEST_S, parts / 1000)
    return max(min(spec.ideal_cycle_ms * parts / 1000, CYCLE_S), fastest_s)


def _reads(role: Role, counters: Counters) -> int:
    return counters.total if role is Role.TOTAL else counters.good if role is Role.GOOD else counters.reject


def _executing(spec: StationSpec) -> int | str:
    """The code that the station's own table calls Execute."""
    code = next(code for code, name in spec.state_map.items() if name == EXECUTE)
    return int(code) if code.lstrip("-").isdecimal() else code
