"""Where a signal lies in the memory of its stand-in, and which of them may write there.

Counters and states are what a drill judges: their cells are theirs alone. Telemetry that lies in the same
cells is simply read, as it would be of the user's own device.
"""

import struct
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from dataclasses import dataclass

import msgspec

from edge.errors import DrillFailed
from simulators.modbus_image import Cell, Image, cells_of

Show = Callable[[float | str], Awaitable[None]]
"""Puts a value where the agent reads it. Raises DrillFailed for one that does not fit."""

HOLDS = {"bool": 1, "i16": 15, "u16": 16, "f32": 24, "i32": 31, "u32": 32, "f64": 53, "i64": 63, "u64": 64}
"""Bits of a whole number that come back as they were written."""


class Place(msgspec.Struct):
    """A Modbus address as its table has it."""

    unit: int
    kind: str | None = msgspec.field(name="as", default=None)
    words: str | None = None
    octets: str = msgspec.field(name="bytes", default="big")
    bit: int | None = None
    holding: int | None = None
    input: int | None = None
    coil: int | None = None
    discrete: int | None = None

    def cell(self) -> Cell:
        words, kind = self.words or "big", self.kind or "bool"
        if self.holding is not None:
            return Cell(self.unit, "holding", self.holding, kind, words, self.octets, self.bit)
        if self.input is not None:
            return Cell(self.unit, "input", self.input, kind, words, self.octets, self.bit)
        if self.coil is not None:
            return Cell(self.unit, "coil", self.coil, "bool")
        return Cell(self.unit, "discrete", self.discrete or 0, "bool")


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
            image.show(cell, float(value) if cell.kind in ("f32", "f64") else int(value))
        except (struct.error, OverflowError, ValueError) as error:
            raise DrillFailed(f"{signal} cannot be played: {value!r} is no {cell.kind} ({error})") from error

    kind = "bool" if cell.table in ("coil", "discrete") else cell.kind
    return Spot(
        (source, cell), frozenset((source, cell.unit, cell.table, one) for one in cells_of(cell)),
        HOLDS[kind], show,
    )  # fmt: skip


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
