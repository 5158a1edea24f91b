"""What can be read of a device, found with few requests."""

from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from adapters._modbus.codec import BIT_TABLES, Table, exception_words
from adapters._modbus.probe_ask import BUSY_CODES, Asker, Silent, Tell
from adapters._modbus.wire import Refused

TABLES: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
LONGEST = 100
"""Registers in one request; the adapter's own `max_registers`."""
LONGEST_BITS = 256
LAST = 65_535

LANDMARKS = tuple(sorted({
    *range(0, 1000, 100), *range(1000, 10_000, 500), *range(10_000, 65_536, 5000), *range(0, 65_536, 4096),
    1, 10, 50, 256, 512, 768, 1024, 2048, 3072, 10_001, 30_001, 40_001, LAST,
}))  # fmt: skip
"""Where devices begin a range: round numbers in both systems, and those of Modicon taken as they are."""

_BEYOND = (1, 2, 4, 8, 16, 32)
"""How far behind an end the next range is looked for."""
_FIRST = 8
_SILENCES, _SILENCES_AT = 3, 8
"""So often a device may say nothing: anywhere, and at the addresses that somebody named."""
_ILLEGAL_FUNCTION, _ILLEGAL_VALUE = 1, 3
_BUSY = 2
"""Addresses in a row of which a device says, each time that it is asked again, that it has no time."""
_PAIR = 2
"""Registers of one number in meters that have nothing shorter, each at an even address."""
_PAIRS_TRIED = 16
"""In a table, where one register is refused and not for its being one."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where one table is looked at, and how long."""

    first: int = 0
    last: int = LAST
    requests: int = 150
    is_given: bool = False
    """Somebody named the range: every address in it is looked at."""

    def landmarks(self) -> Sequence[int]:
        if self.is_given:
            return range(self.first, self.last + 1)
        return [at for at in LANDMARKS if self.first <= at <= self.last]

    def in_pairs(self) -> "Bounds":
        """As wide at the least, from an even address to an odd one."""
        return replace(self, first=self.first - self.first % _PAIR, last=self.last | 1)


WHOLE = Bounds()


@dataclass(slots=True)
class Area:
    """What is known of one table of one unit."""

    unit: int
    table: Table
    limit: int
    """Cells that one request may have."""
    cells: dict[int, int] = field(default_factory=dict)
    """Each address that can be read, with what it held."""
    refused: set[int] = field(default_factory=set)
    """Addresses that were refused by themselves."""
    codes: Counter[int] = field(default_factory=Counter)
    """Exceptions, by their number."""
    requests: int = 0
    is_limited: bool = False
    """The device takes no longer requests than `limit`."""
    grain: int = 1
    """Cells that are read together or not at all: 2 where it has pairs at even addresses only."""
    longest: int = 0
    """Cells of the longest request that was answered."""
    words: str = ""
    """Why it was not looked at to its end."""

    @classmethod
    def of(cls, unit: int, table: Table) -> "Area":
        return cls(unit, table, LONGEST_BITS if table in BIT_TABLES else LONGEST)

    @property
    def is_in_pairs(self) -> bool:
        """What it has are pairs of registers."""
        return self.grain == _PAIR

    def runs(self) -> list[range]:
        """The ranges that can be read."""
        places = enumerate(sorted(self.cells))
        runs = [[at for _, at in run] for _, run in groupby(places, key=lambda place: place[1] - place[0])]
        return [range(run[0], run[-1] + 1) for run in runs]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Start and count of the requests that read all of it."""
        most = max(self.grain, self.limit - self.limit % self.grain)
        for run in self.runs():
            for at in range(run.start, run.stop, most):
                yield at, min(most, run.stop - at)

    def __str__(self) -> str:
        ranges = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in self.runs()[:20])
        more = f" and {len(self.runs()) - 20} more" if len(self.runs()) > 20 else ""
        said = ", ".join(exception_words(code) for code in self.codes)
        found = f"{ranges}{more}" if ranges else f"nothing ({said})" if said else "nothing"
        limit = f"; {self.limit} in one request at the most" if self.is_limited else ""
        limit += "; two at an even address at the least" if self.is_in_pairs else ""
        words = f"; {self.words}" if self.words else ""
        return f"{self.table} {found}{limit}{words}"


async def scanned(asker: Asker, unit: int, table: Table, bounds: Bounds, tell: Tell) -> Area:
    """The ranges of a table that can be read. Raises SourceLost."""
    walk = _Walk(asker, Area.of(unit, table), bounds, tell)
    await walk.along(bounds.landmarks())
    return walk.area


async def gathered(asker: Asker, area: Area, bounds: Bounds, wanted: Collection[int], tell: Tell) -> bool:
    """Read what is within the bounds into the area; False: it ended before its end. Raises SourceLost.

    Where that is refused in one request, only what lies around those that are wanted is looked for.
    """
    return await _Walk(asker, area, bounds, tell, _SILENCES_AT).around(wanted)


class _Ended(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class _Walk:
    """From landmark to landmark; from each that can be read to both ends of its range."""

    def __init__(
        self, asker: Asker, area: Area, bounds: Bounds, tell: Tell, silences: int = _SILENCES
    ) -> None:
        self.area = area
        self._asker = asker
        self._bounds = bounds.in_pairs() if area.is_in_pairs else bounds
        self._tell = tell
        self._silences = silences
        """More of them end it."""
        self._pairs = _PAIRS_TRIED
        """More are tried."""
        self._busy = 0
        """Answers in a row that it has no time now."""
        self._code: int | None = None
        """Of the last answer that was a refusal."""

    async def along(self, places: Collection[int]) -> bool:
        """False: it was ended."""
        return await self._ended(self._along(places))

    async def around(self, wanted: Collection[int]) -> bool:
        """The same, where all that is in bounds may be there in one request."""
        return await self._ended(self._around(wanted))

    async def _ended(self, walk: Awaitable[None]) -> bool:
        try:
            await walk
        except _Ended as end:
            self.area.words = end.words
            return False
        return True

    async def _around(self, wanted: Collection[int]) -> None:
        first, last = self._bounds.first, self._bounds.last
        if not await self._get(first, last + 1 - first):
            await self._along(wanted)

    async def _along(self, places: Collection[int]) -> None:
        for at in places:
            if not self._is_known(at) and (await self._alone(at) or await self._paired(at)):
                await self._grow(at)
        await self._prove()

    def _is_known(self, at: int) -> bool:
        return at in self.area.cells or at in self.area.refused

    async def _alone(self, at: int) -> bool:
        grain = self.area.grain
        return await self._get(at - at % grain, grain)

    async def _paired(self, at: int) -> bool:
        """Whether it is a device that only has pairs: then all of this table is looked at in pairs."""
        area = self.area
        if area.is_in_pairs or area.cells or area.table in BIT_TABLES or at % _PAIR or self._code is None:
            return False
        self._pairs -= self._code != _ILLEGAL_VALUE
        if self._pairs < 0 or not await self._get(at, _PAIR):
            return False
        area.grain, self._bounds = _PAIR, self._bounds.in_pairs()
        area.refused.clear()
        return True

    async def _prove(self) -> None:
        """Ask once for as much as will be asked for: a short range may not have shown whether it may be."""
        while longer := [block for block in self.area.blocks() if block[1] > self.area.longest]:
            start, count = longer[0]
            if not await self._get(start, count):
                await self._learn_limit(start, self.area.longest, count)

    async def _grow(self, at: int) -> None:
        """From one address to the ends of its range, and a look beyond them."""
        waiting = [at]
        while waiting:
            at = waiting.pop()
            for step in (1, -1):
                end = await self._end(at + step, step)
                found = await self._beyond(end, step)
                waiting += [] if found is None else [found]

    async def _beyond(self, end: int, step: int) -> int | None:
        for far in _BEYOND:
            at = end + step * far * self.area.grain
            if not self._bounds.first <= at <= self._bounds.last or at in self.area.cells:
                return None
            if at not in self.area.refused and await self._run(at, self.area.grain, step):
                return at
        return None

    async def _end(self, at: int, step: int) -> int:
        """The first address from `at` on, in steps of 1 or -1, that cannot be read."""
        size = _FIRST
        while True:
            at = self._passed(at, step)
            size = self._whole(min(size, self._room(at, step), self.area.limit))
            if size < 1:
                return at
            if not await self._run(at, size, step):
                return await self._halved(at, size, step)
            at += step * size
            size *= 4

    def _room(self, at: int, step: int) -> int:
        """Cells from `at` on that nothing is known of."""
        end = self._bounds.last + 1 if step > 0 else self._bounds.first - 1
        known = [one for one in (*self.area.refused, *self.area.cells) if (one - at) * step >= 0]
        nearest = min(known, key=lambda one: abs(one - at), default=end)
        return min(abs(nearest - at), max(0, (end - at) * step))

    def _passed(self, at: int, step: int) -> int:
        while at in self.area.cells:
            at += step
        return at

    async def _halved(self, at: int, refused: int, step: int) -> int:
        """The same, where so many from `at` on were refused in one request."""
        grain = self.area.grain
        last, count, longest = at, refused, grain
        while refused > grain:
            half = self._whole(refused // 2)
            if await self._run(at, half, step):
                at, refused, longest = at + step * half, refused - half, max(longest, half)
            else:
                last, count, refused = at, half, half
        if not await self._run(at, grain, step):
            return at
        # All that was refused in one request last can be read in parts; some devices refuse to read across
        # the border of two ranges, so it counts only if no request was as long.
        longest = max(longest, self.area.longest)
        if longest < count:
            await self._learn_limit(last if step > 0 else last - count + 1, longest, count)
        return await self._end(at + step, step)

    async def _learn_limit(self, start: int, good: int, bad: int) -> None:
        """How much from here on, all of which can be read, one request may have."""
        while bad - good > self.area.grain:
            middle = self._whole((good + bad) // 2)
            if await self._get(start, middle):
                good = middle
            else:
                bad = middle
        self.area.limit, self.area.is_limited = good, True

    def _whole(self, count: int) -> int:
        return count - count % self.area.grain

    async def _run(self, at: int, count: int, step: int) -> bool:
        return await self._get(at if step > 0 else at - count + 1, count)

    async def _get(self, start: int, count: int) -> bool:
        """Whether these cells can be read in one request."""
        area = self.area
        if self._asker.is_over:
            raise _Ended("ended before its end")
        if area.requests >= self._bounds.requests:
            raise _Ended(f"ended after {area.requests} requests: --most allows more, --range names a part")
        area.requests += 1
        if self._asker.is_time_to_tell():
            found = f"{len(area.cells):,} can be read so far"
            self._tell(f"  unit {area.unit} {area.table}: looking around {start}, {found}")
        answer = await self._asker.read(area.unit, area.table, start, count)
        self._code = answer.code if isinstance(answer, Refused) else None
        self._busy = self._busy + 1 if self._code in BUSY_CODES else 0
        if isinstance(answer, Silent):
            return self._unanswered(start, count, answer)
        if not isinstance(answer, Refused):
            area.cells |= dict(enumerate(answer, start))
            area.longest = max(area.longest, count)
            return True
        area.codes[answer.code] += 1
        if answer.code == _ILLEGAL_FUNCTION and not area.cells:
            raise _Ended("")
        if self._busy >= _BUSY:
            raise _Ended(f"it has no time ({exception_words(answer.code)}): look again when it is free")
        self._refused(start, count)
        return False

    def _unanswered(self, start: int, count: int, answer: Silent) -> bool:
        self._silences -= 1
        if self._silences <= 0:
            raise _Ended(f"it does not answer for what it lacks, so no more was looked for ({answer.why})")
        self._refused(start, count)
        return False

    def _refused(self, start: int, count: int) -> None:
        if count == self.area.grain:
            self.area.refused.update(range(start, start + count))
