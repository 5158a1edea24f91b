"""What to read, in which requests, and when. Decisions without I/O; times are seconds of one clock."""

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, pairwise
from typing import NamedTuple

from adapters._modbus.codec import BIT_TABLES, Decode, Table
from adapters._modbus.values import COIL, Form

Cut = tuple[int, Table, int]
"""Unit, table and address that no request reaches across: a device refused one that did."""


@dataclass(frozen=True, slots=True)
class Point:
    """One signal's place in a unit."""

    signal: str
    unit: int
    table: Table
    start: int
    width: int
    """Registers, or bits in a bit table."""
    every_s: float
    decode: Decode
    batch: str = ""
    """Of telemetry: its table."""
    form: Form = COIL
    """What it holds: several points are decoded together by it."""
    priority: int = 0
    """0 goes before 1, and 1 before 2, where the line cannot do everything at once."""
    together: str = ""
    """Points of one unit and table with the same name are read in one request, whatever lies between them."""

    @property
    def end(self) -> int:
        return self.start + self.width

    def __str__(self) -> str:
        return f"unit {self.unit} {self.table} {self.start}"


@dataclass(frozen=True, slots=True)
class Block:
    """One request: points of one unit and table, by address."""

    points: tuple[Point, ...]
    unit: int
    table: Table
    start: int
    count: int
    every_s: float
    priority: int = 0
    """The highest of its points."""
    turn: float = 0.0
    """Of those of its period which part goes out before it; 0 where that does not matter."""

    def __str__(self) -> str:
        last = f" to {self.start + self.count - 1}" if self.count > 1 else ""
        return f"unit {self.unit} {self.table} {self.start}{last}"


class Use(NamedTuple):
    """What some requests take of their line."""

    share: float
    """Of its time."""
    alike: Sequence[bool]
    """Of each, whether another may have its length, so that it is listened for where they meet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far requests are merged, in registers; a bit table takes sixteen bits for each."""

    max_registers: int
    max_gap: int
    units: Mapping[int, "Limits"] = field(default_factory=dict)
    """Of units that have limits of their own."""
    use: "Callable[[Sequence[Block]], Use] | None" = field(default=None, compare=False)
    """What requests to one unit take of a line on which an answer is known by nothing but its length."""

    def of(self, unit: int) -> "Limits":
        return self.units.get(unit, self)


@dataclass(frozen=True, slots=True)
class Piece:
    """What no request may divide: the points at one place, or those that are to be read together."""

    points: tuple[Point, ...]
    start: int
    end: int


def block_of(points: Iterable[Point]) -> Block:
    """The request that reads these points of one unit and table, at least one."""
    ordered = tuple(sorted(points, key=lambda point: (point.start, point.width)))
    first = ordered[0]
    end = max(point.end for point in ordered)
    every_s = min(point.every_s for point in ordered)
    priority = min(point.priority for point in ordered)
    return Block(ordered, first.unit, first.table, first.start, end - first.start, every_s, priority)


def plan(points: Iterable[Point], limits: Limits, cuts: Collection[Cut] = ()) -> list[Block]:
    """The fewest requests that read the points within the limits and across no cut, of any lengths.

    Among plans of as few requests it is one that reads the fewest registers. What can only be read
    whole and is wider than the limit is a request by itself: `lineside check` refuses it.
    """
    return [
        block
        for (unit, table), group in groupby(sorted(points, key=place_of), key=place_of)
        for block in _divided(pieces_of(group), limits.of(unit), cuts_of(unit, table, cuts))
    ]


def _divided(pieces: Sequence[Piece], limits: Limits, cuts: Sequence[int]) -> list[Block]:
    return blocks_of(pieces, bounds_of(pieces, limits, cuts))


def blocks_of(pieces: Sequence[Piece], bounds: Sequence[int]) -> list[Block]:
    """The requests for pieces that are divided at `bounds`, as `bounds_of` gives them."""
    return [
        block_of(point for piece in pieces[first:after] for point in piece.points)
        for first, after in pairwise(bounds)
    ]


def place_of(point: Point) -> tuple[int, Table]:
    return point.unit, point.table


def cuts_of(unit: int, table: Table, cuts: Collection[Cut]) -> list[int]:
    """The addresses of one unit and table that no request reaches across."""
    return sorted(at for of, among, at in cuts if (of, among) == (unit, table))


def pieces_of(points: Iterable[Point]) -> list[Piece]:
    """The pieces of one unit and table, by address."""
    places: dict[tuple[str, int, int], list[Point]] = {}
    for point in points:
        at = ("", point.start, point.width) if not point.together else (point.together, 0, 0)
        places.setdefault(at, []).append(point)
    pieces = [
        Piece(tuple(some), min(one.start for one in some), max(one.end for one in some))
        for some in places.values()
    ]
    return sorted(pieces, key=lambda piece: (piece.start, piece.end))


def bounds_of(
    pieces: Sequence[Piece], limits: Limits, cuts: Sequence[int], before: int | None = None
) -> list[int]:
    """Before which pieces a request begins, and their number: in the fewest requests, and then registers.

    By the shortest way from each piece on which a request may begin. Requests need not interleave: one
    that begins later reaches at least as far. With a number of requests `before`, each is to be shorter than
    the one before it may be.
    """
    is_bits = pieces[0].points[0].table in BIT_TABLES
    per_register, longest = (16 if is_bits else 1), limits.max_registers * (16 if is_bits else 1)
    step, offset = (0, 0) if before is None else (8 if is_bits else 1, before)
    costs = {0: (0, 0)}
    begins: dict[int, int] = {}
    for first in range(len(pieces)):
        if first not in costs:
            continue
        requests, cells = costs[first]
        most = max(longest - step * (offset + requests), per_register)
        for after, read in _ends(pieces, first, most, limits.max_gap * per_register, per_register, cuts):
            cost = requests + 1, cells + read
            if after not in costs or cost < costs[after]:
                costs[after], begins[after] = cost, first
    bounds = [len(pieces)]
    while bounds[-1]:
        bounds.append(begins[bounds[-1]])
    return bounds[::-1]


def _ends(
    pieces: Sequence[Piece], first: int, most: int, most_gap: int, per_register: int, cuts: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Where a request that begins with this piece may end, and how much it reads then.

    That is before every gap of a register or more, for another end saves nothing, and as late as possible.
    """
    start, reach = pieces[first].start, pieces[first].end
    next_cut = bisect_right(cuts, start)
    cut = cuts[next_cut] if next_cut < len(cuts) else math.inf
    for at in range(first + 1, len(pieces)):
        piece = pieces[at]
        gap, end = piece.start - reach, max(reach, piece.end)
        fits = end - start <= most and gap <= most_gap
        if gap >= per_register or not fits or piece.start >= cut:
            yield at, reach - start
        if not fits or piece.start >= cut:
            return
        reach = end
    yield len(pieces), reach - start


def halves(block: Block) -> tuple[Block, Block] | None:
    """The request as two, or None where all its points are at one place or are to be read together."""
    pieces = pieces_of(block.points)
    if len(pieces) == 1:
        return None
    middle = len(pieces) // 2
    before, after = (
        block_of(point for piece in part for point in piece.points)
        for part in (pieces[:middle], pieces[middle:])
    )
    return before, after


class Slot(NamedTuple):
    """When a request is to go out."""

    at: float
    number: int
    """Decides between equal times: first come, first served."""
    grid: float
    """The time on the block's own grid that `at` stands for; later ones are whole periods after it."""
    block: Block


_Due = tuple[float, float, int, Slot]
"""The next time on the grid, the turn, the number, and what is due."""


class Schedule:
    """Requests by due time; each on a fixed grid of its period, so that no delay adds up.

    Of those that are due that one goes first whose next time is the nearest, which keeps all periods where
    that can be done at all. Once one has waited for a whole period, it cannot: then the highest priority
    goes first. When so many in a row have gone before one of a lower priority, that which has
    waited the longest goes: a line that is too slow leaves a quarter of itself to what comes last.
    """

    _BEFORE_LOWER = 3

    def __init__(self, blocks: Iterable[Block], now: float) -> None:
        self._slots: list[Slot] = []
        """Not due yet when it was last looked, by time."""
        self._due: dict[int, list[_Due]] = {}
        """By priority, and then by the next time on the grid."""
        self._began = now
        self._overtook = 0
        self._numbers = count()
        for block in blocks:
            self.put(block, now)

    def put(self, block: Block, at: float, grid: float | None = None) -> None:
        """Have a request go out at `at`, and then on the grid.

        Where none is given that begins with `at`; of requests with a turn it is that of all of them.
        """
        if grid is None:
            grid = at - (at - self._began) % block.every_s if block.turn else at
        heapq.heappush(self._slots, Slot(at, next(self._numbers), grid, block))

    def again(self, slot: Slot, now: float) -> int:
        """Have it go out at its next time that is not past; how many were missed, and are skipped."""
        period_s = slot.block.every_s
        missed = max(0, math.ceil((now - slot.grid) / period_s) - 1)
        self.put(slot.block, slot.grid + (missed + 1) * period_s)
        return missed

    def take(self, now: float) -> Slot | None:
        """The request that is to go out now."""
        self._look(now)
        if not self._due:
            return None
        nearest = next(iter(self._due)) if len(self._due) == 1 else self._nearest()
        if self._due[nearest][0][0] > now:
            self._overtook = 0
            return self._taken(nearest)
        return self._by_priority()

    def _nearest(self) -> int:
        return min(self._due, key=lambda priority: (self._due[priority][0][0], priority))

    def _by_priority(self) -> Slot:
        first = min(self._due)
        lower = [heap for priority, heap in self._due.items() if priority != first]
        if lower and self._overtook >= self._BEFORE_LOWER:
            self._overtook = 0
            return self._longest(lower)
        self._overtook = self._overtook + 1 if lower else 0
        return self._taken(first)

    def _look(self, now: float) -> None:
        while self._slots and self._slots[0].at <= now:
            slot = heapq.heappop(self._slots)
            entry = slot.at + slot.block.every_s, slot.block.turn, slot.number, slot
            heapq.heappush(self._due.setdefault(slot.block.priority, []), entry)

    def _longest(self, heaps: Iterable[list[_Due]]) -> Slot:
        slot = min(entry[-1] for heap in heaps for entry in heap)
        self._keep_due(lambda other: other is not slot)
        return slot

    def _taken(self, priority: int) -> Slot:
        heap = self._due[priority]
        slot = heapq.heappop(heap)[-1]
        if not heap:
            del self._due[priority]
        return slot

    def _keep_due(self, stays: Callable[[Slot], bool]) -> None:
        kept = {
            priority: [entry for entry in heap if stays(entry[-1])] for priority, heap in self._due.items()
        }
        self._due = {priority: heap for priority, heap in kept.items() if heap}
        for heap in self._due.values():
            heapq.heapify(heap)

    def next_at(self) -> float | None:
        """When the next request is due."""
        due = [entry[-1] for heap in self._due.values() for entry in heap] + self._slots[:1]
        return min(slot.at for slot in due) if due else None

    def blocks(self, unit: int) -> list[Block]:
        """The requests to a unit, by time."""
        known = [*self._slots, *(entry[-1] for heap in self._due.values() for entry in heap)]
        return [slot.block for slot in sorted(known) if slot.block.unit == unit]

    def remove(self, unit: int) -> list[Block]:
        """Take out every request to a unit."""
        gone = self.blocks(unit)
        self._slots = [slot for slot in self._slots if slot.block.unit != unit]
        heapq.heapify(self._slots)
        self._keep_due(lambda slot: slot.block.unit != unit)
        return gone
