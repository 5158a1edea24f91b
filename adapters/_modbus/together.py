"""Telemetry of one request, decoded together: a thousand registers at the price of some function calls."""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import itemgetter

from adapters._modbus.codec import Cells
from adapters._modbus.plan import Block, Point
from edge.contract import Intake, Lane, Number

Together = Callable[[Cells], Sequence[Number]]
"""The cells of a reply to the values of some points, in their order; None for a float that is no number."""

NO_NUMBER = "the registers hold no number"


@dataclass(frozen=True, slots=True)
class Samples:
    """What a request reads: telemetry in lanes, and the points of all else."""

    block: Block
    lanes: Sequence[tuple[Lane, Together]]
    sampled: Sequence[Point]
    rest: Sequence[Point]

    def hand_over(self, cells: Cells, intake: Intake) -> None:
        for lane, decode in self.lanes:
            intake.sample(lane, decode(cells), why=NO_NUMBER)


def samples_of(block: Block, intake: Intake) -> Samples:
    sampled = sorted((point for point in block.points if point.batch), key=lambda point: point.batch)
    groups = [list(group) for _, group in groupby(sampled, key=lambda point: point.batch)]
    lanes = [
        (intake.lane([point.signal for point in group]), together(group, block.start)) for group in groups
    ]
    return Samples(block, lanes, sampled, [point for point in block.points if not point.batch])


def together(points: Sequence[Point], start: int) -> Together:
    """One function for all of these points of a reply that begins at `start`."""
    letters = {point.letter for point in points}
    offsets = [point.start - start for point in points]
    if letters <= {"H", "?"} and len(points) > 1:
        return itemgetter(*offsets)
    follow = all(one.end <= other.start for one, other in pairwise(points))
    if "" in letters or "?" in letters or not follow:
        return _one_by_one(points, offsets)
    return _unpacked(points, start)


def _one_by_one(points: Sequence[Point], offsets: Sequence[int]) -> Together:
    decoders = [(point.decode, at) for point, at in zip(points, offsets, strict=True)]
    return lambda cells: [decode(cells, at) for decode, at in decoders]


def _unpacked(points: Sequence[Point], start: int) -> Together:
    """Registers as bytes, and all numbers out of them at once."""
    layout, at = ">", points[0].start
    for point in points:
        layout += f"{2 * (point.start - at)}x{point.letter}"
        at = point.end
    first, end = points[0].start - start, at - start
    pack, unpack = struct.Struct(f">{end - first}H").pack, struct.Struct(layout).unpack
    has_floats = any(point.letter in "fd" for point in points)

    def read(cells: Cells) -> Sequence[Number]:
        values: tuple[int | float, ...] = unpack(pack(*cells[first:end]))
        if has_floats and not all(map(math.isfinite, values)):
            return [value if math.isfinite(value) else None for value in values]
        return values

    return read
