"""Telemetry of one request, decoded together: a thousand registers at the price of some function calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import cast

from adapters._modbus.codec import Cells
from adapters._modbus.plan import Block, Point
from adapters._modbus.values import Read, reader
from edge.contract import Channel, Intake, Lane, NoValue, Number

NO_NUMBER = "the registers hold no number"
INVALID = f"{NO_NUMBER}, or one that stands for no value there (invalid)"


@dataclass(frozen=True, slots=True)
class Samples:
    """What a request reads: numbers of telemetry in lanes, texts of it, and the points of all else."""

    block: Block
    lanes: Sequence[tuple[Lane, Read, str]]
    """With what is said where there is no value."""
    texts: tuple[Channel, Sequence[Point]] | None
    sampled: Sequence[Point]
    rest: Sequence[Point]

    def hand_over(self, cells: Cells, intake: Intake, ago_ms: int = 0) -> None:
        """Give the telemetry of a reply, received so long ago, to the intake."""
        for lane, read, why in self.lanes:
            intake.sample(lane, cast(Sequence[Number], read(cells)), why=why, ago_ms=ago_ms)
        if self.texts is not None:
            channel, points = self.texts
            changes = [(at, self._text(one, cells), None) for at, one in enumerate(points)]
            intake.changes(channel, changes, ago_ms=ago_ms)

    def _text(self, point: Point, cells: Cells) -> str | NoValue:
        value = point.decode(cells, point.start - self.block.start)
        return value if isinstance(value, str) else NoValue(f"{point} {point.form.nothing}")


def samples_of(block: Block, intake: Intake) -> Samples:
    """Divide the points of a request; each table of telemetry has a lane of its own."""
    sampled = sorted((point for point in block.points if point.batch), key=lambda point: point.batch)
    texts = [point for point in sampled if point.form.kind == "text"]
    numbers = (point for point in sampled if point.form.kind != "text")
    groups = [list(group) for _, group in groupby(numbers, key=lambda point: point.batch)]
    lanes = [
        (intake.lane([point.signal for point in group]), together(group, block.start), _why(group))
        for group in groups
    ]
    channel = (intake.channel([point.signal for point in texts]), texts) if texts else None
    return Samples(block, lanes, channel, sampled, [point for point in block.points if not point.batch])


def _why(points: Sequence[Point]) -> str:
    return INVALID if any(point.form.invalid for point in points) else NO_NUMBER


def together(points: Sequence[Point], start: int) -> Read:
    """One function for all of these points of a reply that begins at `start`."""
    return reader([(point.form, point.start - start) for point in points])
