"""Which registers a device refuses, and how that is found out. Decisions without I/O; times are seconds.

A request that was refused is read in halves until what is refused stands alone. That is left out of the
requests and tried again rarely; the rest of its unit is planned anew around it, in as few requests as there
can be. A place is refused as well where its unit answers other requests and to this one says again and again
that it is busy, or nothing, or a gateway does so for it.

Cuts remain where a gap is refused; between neighbours a cut is taken back, for it was a register that
was refused and not the request's reach. Where the whole is refused again before it ever worked, the device
takes no requests that long, and the cut stays, until the device was off or an hour has passed.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from adapters._modbus.codec import Table
from adapters._modbus.plan import Block, Cut, Point, block_of, halves, pieces_of
from adapters._modbus.roll import BUSY_LONGEST_S, BUSY_S

ILLEGAL = (1, 2, 3)
"""Exceptions by which a device refuses what was asked: function, address, value."""
AGAIN_S = 1.0
"""Until what worked before, or was not refused for its address, is asked a second time."""
FIRST_S = 5.0
"""Until what stands alone is tried again; from then on twice as long each time, up to `probe_every`."""
FAILURES = 2
"""Of one request in a row without an answer, while its unit answered another: then it is the place."""
BUSY_TIMES = 4
"""As many answers in a row by which a place is busy, while its unit answered another."""
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
    failures: int = 0
    """Times in a row without an answer, or busy."""
    answers: int = 0
    """Of its unit, when the first of them came."""


class Kept:
    """What outlives a connection."""

    def __init__(self) -> None:
        self.refusals: Refusals | None = None
        self.began = -math.inf
        """When all that is refused was last asked again for a new connection."""


class Refusals:
    """Of one source; each connection begins with `reconnected`."""

    def __init__(self, probe_every_s: float) -> None:
        self._probe_every_s = probe_every_s
        self._answers: Counter[int] = Counter()
        """Of each unit; not that it is busy."""
        self._good: dict[int, Block] = {}
        """Of each unit, what it gave last."""
        self._turn = 0
        self._courses: dict[int, _Course] = {}
        self._sought: dict[int, set[int]] = {}
        """Of each unit, the requests that seek what is refused."""
        self._alone: dict[_Place, Block] = {}
        self._why: dict[_Place, str] = {}
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
        self._answers[block.unit] += 1
        self._good[block.unit] = block
        course = self._courses.get(id(block))
        if course is not None and course.has_worked and not course.refusals and not course.failures:
            return False
        self._courses[id(block)] = _Course(block, has_worked=True)
        first, end = block.start, block.start + block.count
        self._mended -= {
            cut for cut in self._mended if cut[:2] == (block.unit, block.table) and first < cut[2] < end
        }
        if not self.is_alone(block):
            return self._is_found(block)
        del self._alone[_place(block)]
        self.signals.difference_update(point.signal for point in block.points)
        self._mend(block.unit, lambda cut: True)
        return block.unit not in self._sought

    def refused(self, block: Block, code: int) -> Next:
        """Note a refusal; not that it is busy, nor what a gateway says."""
        self._answers[block.unit] += 1
        course = self._courses.setdefault(id(block), _Course(block))
        course.refusals, course.failures = course.refusals + 1, 0
        if self.is_alone(block):
            return Next((block,), self._pause_s(block), is_told=True)
        is_illegal = code in ILLEGAL
        if course.refusals == 1 and (course.has_worked or not is_illegal):
            pause_s = min(AGAIN_S, self._probe_every_s)
            return Next((block,), pause_s, is_told=not is_illegal, is_odd=True)
        return self._apart(block)

    def unanswered(self, block: Block) -> Next:
        """Note that nothing came, or a gateway's word. Nothing is to be asked instead where it may be the
        unit."""
        if self.is_alone(block):
            return Next((block,), self._pause_s(block), is_told=True)
        course = self._failed(block)
        return self._apart(block) if self._is_often(course) and self._answered_another(course) else Next(())

    def needs_another(self, block: Block) -> bool:
        """It failed often enough, and nothing else of its unit was answered meanwhile."""
        course = self._courses[id(block)]
        return not self.is_alone(block) and self._is_often(course) and not self._answered_another(course)

    def answered_another(self, block: Block, other: Block) -> Next:
        """Note that this other request was answered, if not with what it asked for."""
        self._answers[block.unit] += 1
        self._good[block.unit] = other
        return self._apart(block)

    def _is_often(self, course: _Course) -> bool:
        # One place may have failed for cells that were read along: the second try is without them.
        is_enough = self._is_sought(course.block) and halves(course.block)
        return course.failures >= (1 if is_enough else FAILURES)

    def busy(self, block: Block) -> Next:
        """Note that it says so."""
        if self.is_alone(block):
            return Next((block,), self._pause_s(block), is_told=True)
        course = self._failed(block)
        if course.failures >= BUSY_TIMES and self._answered_another(course):
            return self._apart(block)
        pause_s = min(BUSY_S * 2 ** min(course.failures - 1, 8), BUSY_LONGEST_S)
        return Next((block,), pause_s, is_told=course.failures > 1)

    def is_of_place(self, block: Block) -> bool:
        """Whether its unit answered another request since this one failed first."""
        course = self._courses.get(id(block))
        return self.is_alone(block) or (course is not None and self._answered_another(course))

    def is_suspect(self, block: Block) -> bool:
        """That it gives no answer says nothing of its unit."""
        return self.is_alone(block) or self._is_sought(block)

    def _is_sought(self, block: Block) -> bool:
        return id(block) in self._sought.get(block.unit, ())

    def _failed(self, block: Block) -> _Course:
        course = self._courses.setdefault(id(block), _Course(block))
        if not course.failures and not self._is_sought(block):
            course.answers = self._answers[block.unit]
        course.failures += 1
        return course

    def _answered_another(self, course: _Course) -> bool:
        return self._answers[course.block.unit] > course.answers

    def another(self, unit: int, planned: Iterable[Block], failed: object) -> Block | None:
        """A request that tells whether it is the unit that gives no answer, or this one's place: one of those
        that are planned, else a part of it; None where there is none."""
        good = self._good.get(unit)
        others = [one for one in planned if one.points and not self.is_suspect(one)]
        worked = [one for one in others if (it := self._courses.get(id(one))) and it.has_worked]
        some = _but(worked, failed) or _but([good] if good else [], failed) or _but(others, failed)
        if not some and isinstance(failed, Block):
            some = parts_of(failed)
        self._turn += 1
        return some[self._turn % len(some)] if some else None

    def _apart(self, block: Block) -> Next:
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
            self._courses[id(part)] = _Course(part, answers=self._answers[part.unit])
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

    # --- a new connection -------------------------------------------------------------------------

    def reconnected(self, points: Iterable[Point]) -> None:
        """What is refused stays so; what was being sought is forgotten."""
        mine = {(point.signal, str(point)) for point in points}
        self._courses.clear()
        self._sought.clear()
        self._good.clear()
        for place, block in list(self._alone.items()):
            if not {(point.signal, str(point)) for point in block.points} <= mine:
                del self._alone[place]
        self.signals = {point.signal for block in self._alone.values() for point in block.points}

    def because(self, block: Block, why: str) -> None:
        """Why it is refused, in words."""
        self._why[_place(block)] = why

    def why(self, block: Block) -> str:
        return self._why.get(_place(block), "")

    def is_alone(self, block: Block) -> bool:
        """It is refused."""
        return self._alone.get(_place(block)) is block

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


def parts_of(block: Block) -> list[Block]:
    """A request for each of its places; none where there is but one."""
    pieces = pieces_of(block.points)
    return [block_of(piece.points) for piece in pieces] if len(pieces) > 1 else []


def _but(blocks: Iterable[Block], failed: object) -> list[Block]:
    return [block for block in blocks if str(block) != str(failed)]


def _place(block: Block) -> _Place:
    return block.unit, block.table, block.start, block.count
