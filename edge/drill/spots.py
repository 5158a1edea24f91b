"""Where a signal lies in the memory of its stand-in, and which of them may write there.

Counters and states are what a drill judges: their cells are theirs alone. Telemetry that lies in the same
cells is simply read, as it would be of the user's own device.
"""

import struct
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import msgspec

from edge.errors import DrillFailed
from simulators.modbus_image import Cell, Image, Table, cells_of

Show = Callable[[float | str], Awaitable[None]]
"""Puts a value where the agent reads it. Raises DrillFailed for one that does not fit."""

HOLDS = {
    "bool": 1, "bcd16": 13, "i16": 15, "u16": 16, "f32": 24, "bcd32": 26, "i32": 31, "u32": 32, "bcd64": 53,
    "f64": 53, "i64": 63, "u64": 64, "text": 64,
}  # fmt: skip
"""Bits of a whole number that come back as they were written."""


class Form(Protocol):
    """What the registers of a Modbus address hold."""

    kind: str
    order: str
    bit: int | None
    length: int
    scale: Fraction
    offset: Fraction
    encoding: str
    has_header: bool


class Place(Protocol):
    """A Modbus address, however it is written."""

    unit: int
    table: Table
    start: int
    form: Form


def cell_of(place: Place) -> Cell:
    form = place.form
    return Cell(
        place.unit, place.table, place.start, form.kind, form.order, form.bit, form.length, form.scale,
        form.offset, form.encoding, form.has_header,
    )  # fmt: skip


class NodePlace(msgspec.Struct):
    """An OPC UA address as its table has it."""

    node: str | None = None
    index: int | None = None
    member: str | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one signal is read."""

    form: Hashable
    """The address with its decoding: two spots of one form read the same value."""
    cells: frozenset[Hashable]
    """What of the source's memory it takes: two with one in common cannot be written apart."""
    holds: int
    """Bits of a whole number that come back as they were written."""
    show: Show


def spot_in(image: Image, cell: Cell, source: str, signal: str) -> Spot:
    """A value in the registers or the bits of a Modbus device."""

    async def show(value: float | str) -> None:
        try:
            image.show(cell, _fitting(cell, value))
        except (struct.error, OverflowError, ValueError) as error:
            raise DrillFailed(f"{signal} cannot be played: {value!r} is no {cell.kind} ({error})") from error

    kind = "bool" if cell.table in ("coil", "discrete") else cell.kind
    return Spot(
        (source, cell), frozenset((source, cell.unit, cell.table, one) for one in cells_of(cell)),
        HOLDS[kind], show,
    )  # fmt: skip


def _fitting(cell: Cell, value: float | str) -> float | str:
    if cell.kind == "text":
        return str(value)
    is_whole = cell.kind not in ("f32", "f64") and (cell.scale, cell.offset) == (Fraction(1), Fraction(0))
    return int(value) if is_whole else float(value)


def refuse_shared(spots: Mapping[str, Spot], judged: Mapping[str, Hashable]) -> None:
    """`judged`: counters and states, with what each shows. Raises DrillFailed where two cannot be shown."""
    owner: dict[Hashable, str] = {}
    for signal, shown in judged.items():
        for cell in spots[signal].cells:
            other = owner.setdefault(cell, signal)
            if (spots[other].form, judged[other]) != (spots[signal].form, shown):
                raise DrillFailed(
                    f"{signal} cannot be played: it lies in the same place as {other}, and one device of the "
                    "drill cannot show both. Leave one of them out in a copy of the file"
                )


def gauges_of(spots: Mapping[str, Spot], judged: Collection[str]) -> list[Show]:
    """What moves the rest: only spots of which no cell is a counter's, a state's or an earlier one's."""
    taken = {cell for signal in judged for cell in spots[signal].cells}
    shows = []
    for signal, spot in spots.items():
        if signal not in judged and taken.isdisjoint(spot.cells):
            taken |= spot.cells
            shows.append(spot.show)
    return shows
