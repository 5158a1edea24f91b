"""Which registers a device refuses, and how that is found out. Decisions without I/O; times are seconds.

A request that was refused is read in halves until what is refused stands alone. That is left out of the
requests and tried again rarely; the rest of its unit is planned anew around it, in as few requests as there
can be. Cuts remain where a gap is refused; between neighbours a cut is taken back, for it was a register that
was refused and not the request's reach. Where the whole is refused again before it ever worked, the device
takes no requests that long, and the cut stays, until the device was off or an hour has passed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from adapters._modbus.codec import Table
from adapters._modbus.plan import Block, Cut, Point, halves

ILLEGAL = (1, 2, 3)
"""Exceptions by which a device refuses what was asked: function, address, value."""
AGAIN_S = 1.0
"""Until what worked before, or was not refused for its address, is asked a second time."""
FIRST_S = 5.0
"""Until what stands alone is tried again; from then on twice as long each time, up to `probe_every`."""
_NO_HURRY_S = 60.0
"""Period of a request that seeks what is refused: whatever else is due goes first."""

_Place = tuple[int, Table, int, int]


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be asked instead of a request that was refused."""

    blocks: tuple[Block, ...]
    after_s: float = 0.0
    is_told: bool = False
    """Its signals are bad from now on."""
    is_found: bool = False
    """All that is refused is known: the unit is to be planned anew."""
    is_odd: bool = False
    """It is asked a second time: it worked before, or its address is not what is wrong."""


@dataclass(slots=True)
class _Course:
    """How one request has gone until now. It holds the block, so that no other gets its id."""

    block: Block
    has_worked: bool = False
    refusals: int = 0
    """In a row."""


class Refusals:
    """Of one connection."""

    def __init__(self, probe_every_s: float) -> None:
        self._probe_every_s = probe_every_s
        self._courses: dict[int, _Course] = {}
        self._sought: dict[int, set[int]] = {}
        """Of each unit, the requests that seek what is refused."""
        self._alone: dict[_Place, Block] = {}
        self._pauses: dict[_Place, float] = {}
        """How long each place waited the last time: one that comes and goes is not asked ever faster."""
        self._cuts: set[Cut] = set()
        self._mended: set[Cut] = set()
        """Cuts that were taken back; those that are found again stay."""
        self.signals: set[str] = set()
        """Those that the device refuses to give."""

    # --- what came of a request -------------------------------------------------------------------

    def worked(self, block: Block) -> bool:
        """Note an answer; True where the unit is to be planned anew."""
        course = self._courses.get(id(block))
        if course is not None and course.has_worked and not course.refusals:
            return False
        self._courses[id(block)] = _Course(block, has_worked=True)
        first, end = block.start, block.start + block.count
        self._mended -= {
            cut for cut in self._mended if cut[:2] == (block.unit, block.table) and first < cut[2] < end
        }
        if self._alone.get(_place(block)) is not block:
            return self._is_found(block)
        del self._alone[_place(block)]
        self.signals.difference_update(point.signal for point in block.points)
        self._mend(block.unit, lambda cut: True)
        return block.unit not in self._sought

    def refused(self, block: Block, code: int) -> Next:
        """Note a refusal; not that it is busy, nor what a gateway says."""
        course = self._courses.setdefault(id(block), _Course(block))
        course.refusals += 1
        if self._alone.get(_place(block)) is block:
            return Next((block,), self._pause_s(block), is_told=True)
        is_illegal = code in ILLEGAL
        if course.refusals == 1 and (course.has_worked or not is_illegal):
            pause_s = min(AGAIN_S, self._probe_every_s)
            return Next((block,), pause_s, is_told=not is_illegal, is_odd=True)
        parts = self.split(block)
        return self._stands_alone(block) if parts is None else self._in_parts(block, parts)

    def split(self, block: Block) -> tuple[Block, Block] | None:
        """In halves, with a cut between them; None where there is nothing to divide."""
        parts = halves(block)
        if parts is not None:
            self._cuts.add((block.unit, block.table, parts[1].start))
        return parts

    def _in_parts(self, block: Block, parts: Iterable[Block]) -> Next:
        slow = tuple(replace(part, every_s=max(part.every_s, _NO_HURRY_S)) for part in parts)
        for part in slow:
            self._courses[id(part)] = _Course(part)
        sought = self._sought.setdefault(block.unit, set())
        sought.discard(id(block))
        sought.update(id(part) for part in slow)
        return Next(slow)

    def _stands_alone(self, block: Block) -> Next:
        self._alone[_place(block)] = block
        self.signals.update(point.signal for point in block.points)
        return Next((block,), self._pause_s(block), is_told=True, is_found=self._is_found(block))

    def _is_found(self, block: Block) -> bool:
        """Whether this was the last request that sought what its unit refuses."""
        sought = self._sought.get(block.unit)
        if sought is None:
            return False
        sought.discard(id(block))
        if sought:
            return False
        del self._sought[block.unit]
        return True

    def _pause_s(self, block: Block) -> float:
        place = _place(block)
        pause_s = min(self._pauses.get(place, FIRST_S), self._probe_every_s)
        self._pauses[place] = 2 * pause_s
        return pause_s

    # --- planning around it -----------------------------------------------------------------------

    def anew(self, unit: int, points: Iterable[Point]) -> list[Point]:
        """The points of a unit that is planned anew: those that are not refused, with no needless cut."""
        kept = [point for point in points if point.unit == unit and point.signal not in self.signals]
        touched = {(unit, point.table, at) for point in kept for at in range(point.start + 1, point.end + 1)}
        self._mend(unit, touched.__contains__)
        alone = {id(block) for block in self._alone.values()}
        gone = [key for key, one in self._courses.items() if one.block.unit == unit and key not in alone]
        for key in gone:
            del self._courses[key]
        self._sought.pop(unit, None)
        return kept

    def forgive(self, unit: int) -> bool:
        """Forget all cuts: the device was off, or it is long ago. True where there were any, or something
        stands alone: the unit is to be planned anew."""
        mine = {cut for cut in self._cuts | self._mended if cut[0] == unit}
        self._cuts -= mine
        self._mended -= mine
        return bool(mine) or any(block.unit == unit for block in self._alone.values())

    def alone(self, unit: int) -> list[tuple[Block, float]]:
        """What stands alone in a unit, each with how long it is to wait from now on."""
        return [
            (block, self._pauses[place] / 2) for place, block in self._alone.items() if block.unit == unit
        ]

    @property
    def cuts(self) -> set[Cut]:
        """What no request may reach across."""
        return self._cuts | {(block.unit, block.table, block.start) for block in self._alone.values()}

    def _mend(self, unit: int, is_needless: Callable[[Cut], bool]) -> None:
        for cut in [cut for cut in self._cuts - self._mended if cut[0] == unit and is_needless(cut)]:
            self._cuts.discard(cut)
            self._mended.add(cut)


def _place(block: Block) -> _Place:
    return block.unit, block.table, block.start, block.count
