"""What can be read of a device, found with few requests."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from adapters._modbus.codec import BIT_TABLES, Table, exception_words
from adapters._modbus.probe_ask import Asker, Silent, Tell
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
_SILENCES = 3
_ILLEGAL_FUNCTION = 1


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
    words: str = ""
    """Why it was not looked at to its end."""

    @classmethod
    def of(cls, unit: int, table: Table) -> "Area":
        return cls(unit, table, LONGEST_BITS if table in BIT_TABLES else LONGEST)

    def runs(self) -> list[range]:
        """The ranges that can be read."""
        places = enumerate(sorted(self.cells))
        runs = [[at for _, at in run] for _, run in groupby(places, key=lambda place: place[1] - place[0])]
        return [range(run[0], run[-1] + 1) for run in runs]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Start and count of the requests that read all of it."""
        for run in self.runs():
            for at in range(run.start, run.stop, self.limit):
                yield at, min(self.limit, run.stop - at)

    def __str__(self) -> str:
        ranges = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in self.runs()[:20])
        more = f" and {len(self.runs()) - 20} more" if len(self.runs()) > 20 else ""
        said = ", ".join(exception_words(code) for code in self.codes)
        found = f"{ranges}{more}" if ranges else f"nothing ({said})" if said else "nothing"
        limit = f"; {self.limit} in one request at the most" if self.is_limited else ""
        words = f"; {self.words}" if self.words else ""
        return f"{self.table} {found}{limit}{words}"


async def scanned(asker: Asker, unit: int, table: Table, bounds: Bounds, tell: Tell) -> Area:
    """The ranges of a table that can be read. Raises SourceLost."""
    walk = _Walk(asker, Area.of(unit, table), bounds, tell)
    try:
        await walk.whole()
    except _Ended as end:
        walk.area.words = end.words
    return walk.area


async def gathered(asker: Asker, area: Area, start: int, count: int, wanted: Collection[int]) -> bool:
    """Read these cells into the area; False: it does not answer. Raises SourceLost.

    Where they are refused together, those that are wanted are read by themselves, and only if one of them can
    be read are the others looked for, in halves.
    """
    answered = await _read_into(asker, area, start, count)
    if answered is not False:
        return answered is not None
    for at in wanted:
        if await _read_into(asker, area, at, 1) is None:
            return False
    if not area.cells.keys() & set(wanted):
        return True
    return await _halves_into(asker, area, start, count)


async def _halves_into(asker: Asker, area: Area, start: int, count: int) -> bool:
    for at, size in ((start, count // 2), (start + count // 2, count - count // 2)):
        if not size or area.cells.keys() >= set(range(at, at + size)):
            continue
        answered = await _read_into(asker, area, at, size)
        if answered is None:
            return False
        if not answered and size > 1 and not await _halves_into(asker, area, at, size):
            return False
    return True


async def _read_into(asker: Asker, area: Area, start: int, count: int) -> bool | None:
    """Whether these cells can be read in one request; None: no answer."""
    area.requests += 1
    answer = await asker.read(area.unit, area.table, start, count)
    if isinstance(answer, Silent):
        area.words = area.words or answer.why
        return None
    if isinstance(answer, Refused):
        area.codes[answer.code] += 1
        return False
    area.cells |= dict(enumerate(answer, start))
    return True


class _Ended(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class _Walk:
    """From landmark to landmark; from each that can be read to both ends of its range."""

    def __init__(self, asker: Asker, area: Area, bounds: Bounds, tell: Tell) -> None:
        self.area = area
        self._asker = asker
        self._bounds = bounds
        self._tell = tell
        self._silences = 0

    async def whole(self) -> None:
        for at in self._bounds.landmarks():
            if not self._is_known(at) and await self._get(at, 1):
                await self._grow(at)

    def _is_known(self, at: int) -> bool:
        return at in self.area.cells or at in self.area.refused

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
            at = end + step * far
            if not self._bounds.first <= at <= self._bounds.last or at in self.area.cells:
                return None
            if at not in self.area.refused and await self._get(at, 1):
                return at
        return None

    async def _end(self, at: int, step: int) -> int:
        """The first address from `at` on, in steps of 1 or -1, that cannot be read."""
        size = _FIRST
        while True:
            at = self._passed(at, step)
            size = min(size, self._room(at, step), self.area.limit)
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
        last, count, longest = at, refused, 1
        while refused > 1:
            half = refused // 2
            if await self._run(at, half, step):
                at, refused, longest = at + step * half, refused - half, max(longest, half)
            else:
                last, count, refused = at, half, half
        if not await self._run(at, 1, step):
            return at
        # All that was refused in one request last can be read in parts.
        if longest < count:
            await self._learn_limit(min(last, at), longest, count)
        return await self._end(at + step, step)

    async def _learn_limit(self, start: int, good: int, bad: int) -> None:
        """How much from here on, all of which can be read, one request may have."""
        while bad - good > 1:
            middle = (good + bad) // 2
            if await self._get(start, middle):
                good = middle
            else:
                bad = middle
        self.area.limit, self.area.is_limited = good, True

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
            self._tell(f"  unit {area.unit} {area.table} {start}: {len(area.cells):,} can be read so far")
        answer = await self._asker.read(area.unit, area.table, start, count)
        if isinstance(answer, Silent):
            return self._unanswered(start, count, answer)
        if not isinstance(answer, Refused):
            area.cells |= dict(enumerate(answer, start))
            return True
        area.codes[answer.code] += 1
        if answer.code == _ILLEGAL_FUNCTION and not area.cells:
            raise _Ended("")
        if count == 1:
            area.refused.add(start)
        return False

    def _unanswered(self, start: int, count: int, answer: Silent) -> bool:
        self._silences += 1
        if self._silences >= _SILENCES:
            raise _Ended(f"it does not answer for what it lacks, so no more was looked for ({answer.why})")
        if count == 1:
            self.area.refused.add(start)
        return False
