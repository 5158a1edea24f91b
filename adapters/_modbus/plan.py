"""What to read, in which requests, and when. Decisions without I/O; times are seconds of one clock."""

import heapq
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby

from adapters._modbus.codec import BIT_TABLES, Decode, Table

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
    letter: str = ""
    """Of `struct`, or `?` for a bit: what several of them can be decoded by together."""

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

    def __str__(self) -> str:
        last = f" to {self.start + self.count - 1}" if self.count > 1 else ""
        return f"unit {self.unit} {self.table} {self.start}{last}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How far requests are merged, in registers; a bit table takes sixteen bits for each."""

    max_registers: int
    max_gap: int


def block_of(points: Iterable[Point]) -> Block:
    """The request that reads these points of one unit and table, at least one."""
    ordered = tuple(sorted(points, key=lambda point: (point.start, point.width)))
    first = ordered[0]
    end = max(point.end for point in ordered)
    every_s = min(point.every_s for point in ordered)
    return Block(ordered, first.unit, first.table, first.start, end - first.start, every_s)


def plan(points: Iterable[Point], limits: Limits, cuts: Collection[Cut] = ()) -> list[Block]:
    """The fewest requests that read the points within the limits and across no cut."""
    ordered = sorted(points, key=lambda point: (point.unit, point.table, point.start, point.width))
    return [
        block_of(run)
        for _, group in groupby(ordered, key=lambda point: (point.unit, point.table))
        for run in _runs(list(group), limits, cuts)
    ]


def _runs(points: Sequence[Point], limits: Limits, cuts: Collection[Cut]) -> Iterator[list[Point]]:
    per_register = 16 if points[0].table in BIT_TABLES else 1
    run = [points[0]]
    end = points[0].end
    for point in points[1:]:
        reach = max(end, point.end)
        near = point.start - end <= limits.max_gap * per_register
        fits = reach - run[0].start <= limits.max_registers * per_register
        if near and fits and (point.unit, point.table, point.start) not in cuts:
            run.append(point)
        else:
            yield run
            run, reach = [point], point.end
        end = reach
    yield run


def plan_by_period(points: Iterable[Point], limits: Limits) -> list[Block]:
    """The requests for sampling: points that are read at different periods share none."""
    ordered = sorted(points, key=lambda point: point.every_s)
    groups = groupby(ordered, key=lambda point: point.every_s)
    return [block for _, group in groups for block in plan(group, limits)]


def halves(block: Block) -> tuple[Block, Block] | None:
    """The request as two, or None where all its points are at one place."""
    places = sorted({(point.start, point.width) for point in block.points})
    if len(places) == 1:
        return None
    middle = places[len(places) // 2]
    before = [point for point in block.points if (point.start, point.width) < middle]
    after = [point for point in block.points if (point.start, point.width) >= middle]
    return block_of(before), block_of(after)


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """When a request is to go out."""

    at: float
    number: int
    """Decides between equal times: first come, first served."""
    grid: float
    """The time on the block's own grid that `at` stands for; later ones are whole periods after it."""
    block: Block


class Schedule:
    """Requests by due time; each on a fixed grid of its period, so that no delay adds up."""

    def __init__(self, blocks: Iterable[Block], now: float) -> None:
        self._slots: list[Slot] = []
        self._numbers = count()
        for block in blocks:
            self.put(block, now)

    def put(self, block: Block, at: float, grid: float | None = None) -> None:
        """Have a request go out at `at`, and then on the grid (of `at` itself where none is given)."""
        heapq.heappush(self._slots, Slot(at, next(self._numbers), at if grid is None else grid, block))

    def again(self, slot: Slot, now: float) -> None:
        """The next time on the grid after `now`; those that were missed are skipped."""
        period_s = slot.block.every_s
        missed = max(0, int((now - slot.grid) // period_s))
        at = slot.grid + (missed + 1) * period_s
        self.put(slot.block, at)

    def take(self, now: float) -> Slot | None:
        """The request that has been due the longest."""
        return heapq.heappop(self._slots) if self._slots and self._slots[0].at <= now else None

    def next_at(self) -> float | None:
        """When the next request is due."""
        return self._slots[0].at if self._slots else None

    def remove(self, unit: int) -> list[Block]:
        """Take out every request to a unit."""
        gone = [slot.block for slot in self._slots if slot.block.unit == unit]
        self._slots = [slot for slot in self._slots if slot.block.unit != unit]
        heapq.heapify(self._slots)
        return gone


class Roll:
    """Which units answer. A lost one is probed, and a probe in vain ends probing for a while.

    So the units that are gone cost the others one timeout in `probe_every_s`, however many they
    are; when one answers, the next is probed at once, for what brought one back may have brought all.
    """

    def __init__(self, units: Iterable[int], tries: int, probe_every_s: float) -> None:
        self._failures = dict.fromkeys(units, 0)
        self._tries = tries
        self._probe_every_s = probe_every_s
        self._lost: deque[int] = deque()
        self._probe_at = 0.0

    def answered(self, unit: int) -> bool:
        """Note an answer; True where the unit was lost until now."""
        self._failures[unit] = 0
        if unit not in self._lost:
            return False
        self._lost.remove(unit)
        return True

    def failed(self, unit: int, now: float) -> bool:
        """Note a request without an answer; True where the unit is lost by it."""
        known = unit in self._lost
        self._failures[unit] += 1
        if self._failures[unit] < self._tries:
            return False
        if known:
            self._lost.remove(unit)
        self._lost.append(unit)
        self._probe_at = now + self._probe_every_s
        return not known

    def is_lost(self, unit: int) -> bool:
        return unit in self._lost

    def all_lost(self) -> bool:
        return len(self._lost) == len(self._failures)

    def probe(self, now: float) -> int | None:
        """The lost unit that may be asked now."""
        return self._lost[0] if self._lost and now >= self._probe_at else None

    def probe_at(self) -> float | None:
        """When the next lost unit may be asked."""
        return self._probe_at if self._lost else None
