"""A serial answer has no number; its length serves as one. Decisions without I/O; times are seconds.

An answer says which unit and function it is from and how long it is, but not what was asked. One that is
repeated on the way, or the second answer to a request that was, therefore passes for the answer to the next
request of the same length, and its checksum is right. So no two requests of one unit and function that may
meet have the same length: one of them reads some cells more. A request also differs from itself at its last
time; on a line where frames were repeated, from all of its times in which an answer may still come.

Where a request cannot be made longer, time parts it from its like, and what looks like an older answer is
looked at twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from adapters._modbus.codec import BIT_TABLES
from adapters._modbus.frames import READS, data_size
from adapters._modbus.plan import Block, Limits

CLEAN = 2_000
"""Answers in a row without a frame too many, after which a line is trusted."""
_ENOUGH = 6
"""Names of one block with which none needs to be used again while an answer to its last use may come."""
_KEPT = 512
"""Different answers of one request that are remembered."""
_TURN_S = 60.0
"""Where others may ask, a request differs so long in length from its last time."""
_SHARED = 32
"""Blocks that were asked by one name, after which those of long ago are forgotten."""


class Trust(Enum):
    """What is known of a line."""

    NEW = 1
    WARY = 2
    TRUSTED = 3


@dataclass(frozen=True, slots=True)
class Read:
    """What to ask for."""

    start: int
    count: int
    size: int
    """Bytes of data in the answer: its name."""
    wait_s: float = 0.0
    """How long to listen before it goes out."""
    is_apart: bool = False
    """It waits because others differ from it in nothing but the address."""
    is_alone: bool = True
    """No other answer that may come has this name."""
    is_theirs: bool = False
    """Another master gets answers of this length."""


@dataclass(slots=True)
class _Habit:
    """What is known of one block."""

    longest: int
    """The most cells that it is read with: the device refuses more, or is silent."""
    refusals: set[int] = field(default_factory=set)
    """Counts of cells that the device refuses."""
    by: int = 1
    """2 where the device answers to even numbers of cells only, or to odd ones."""
    worked: int = 0
    """The most cells that were answered."""
    last: bytes = b""
    """The cells of its last answer, as bytes."""
    silent: int = 0
    """Of reads longer than any answered: 1 the last was lost, 2 and a plain one answered since, 3 again."""
    refused: int = 0
    """The code by which the device refused it the last time; 0 where it answered."""
    past: dict[bytes, float] = field(default_factory=dict)
    """What it answered, and when for the last time, in that order."""

    def remember(self, pdu: bytes, now: float, since: float) -> None:
        """Note an answer; those from before `since` are forgotten."""
        past = self.past
        past.pop(pdu, None)
        past[pdu] = now
        while len(past) > _KEPT or next(iter(past.values())) <= since:
            del past[next(iter(past))]


Key = tuple[int, str, int, int]
"""Unit, table, start and count of a block."""


class Names:
    """The lengths in use on one line.

    Of a unit, `late_s` is how late a frame may be, and `window_s` how long after a request one may come.
    """

    def __init__(
        self,
        limits: Limits,
        window_s: Callable[[int], float],
        late_s: Callable[[int], float] | None = None,
        is_theirs: Callable[[int, int, int, float], bool] | None = None,
    ) -> None:
        """`is_theirs` says of a unit, function and bytes of data whether another master has such answers."""
        self._limits = limits
        self._window_s = window_s
        self._late_s = late_s or window_s
        self._is_theirs = is_theirs
        self._uses: dict[tuple[int, str], dict[int, dict[Key, float]]] = {}
        """When each block was last asked by each name."""
        self._habits: dict[Key, _Habit] = {}
        self._slow_s: dict[int, float] = {}
        self._clean = 0
        self.trust = Trust.NEW

    # --- what to ask ---

    def choose(self, block: Block, now: float) -> Read:
        """How to read a block now."""
        key, habit = _key(block), self._habit(block)
        # After a longer read that was lost the next is one that the device is known to answer.
        longest = max(block.count, habit.worked) if habit.silent % 2 else habit.longest
        reads = self._reads(block, habit, longest)
        if (ours := self._ours(block, reads, now)) is not reads:
            if not ours:
                return replace(reads[0], is_theirs=True)
            reads = ours
        free = [read for read in reads if not self._met_at(key, read.size, now)]
        if not free:
            return self._apart(key, reads[0], now)
        mine = free[: max(1, min(self._turns, len(reads) // self._sharers(key, now)))]
        read = min(mine, key=lambda read: self._used_at(key, read.size, now))
        if len(mine) < _ENOUGH or self.trust is not Trust.WARY:
            return read
        left_s = self._used_at(key, read.size, now) + self._late_s(block.unit) - now
        return Read(read.start, read.count, read.size, max(0.0, left_s))

    @property
    def _turns(self) -> int:
        """How many lengths a request takes in turn, at the most: it always differs from its last time."""
        return 64 if self.trust is Trust.WARY else 2

    def _sharers(self, key: Key, now: float) -> int:
        """How many blocks of this unit and table, this one among them, share the names."""
        since = now - self._window_s(key[0])
        pasts = self._uses.get(key[:2], {}).values()
        return len({other for past in pasts for other in past if past[other] > since} | {key})

    def _ours(self, block: Block, reads: list[Read], now: float) -> list[Read]:
        """Those that no answer to another master can be taken for."""
        theirs, function = self._is_theirs, READS[block.table]
        if theirs is None or not any(theirs(block.unit, function, read.size, now) for read in reads):
            return reads
        return [read for read in reads if not theirs(block.unit, function, read.size, now)]

    def _reads(self, block: Block, habit: _Habit, longest: int) -> list[Read]:
        function = READS[block.table]
        reads = [Read(block.start, block.count, data_size(function, block.count))]
        limits = self._limits.of(block.unit)
        by, per = (8, 16) if block.table in BIT_TABLES else (1, 1)
        count = block.count if by == 1 else 8 * ((block.count + 7) // 8) - 7
        most = min(longest, limits.max_registers * per, 0x10000 - block.start)
        for _ in range(2 * limits.max_gap):
            count += by
            if count > most:
                break
            if count in habit.refusals or (count - block.count) % habit.by:
                continue
            reads.append(Read(block.start, count, data_size(function, count)))
        return reads

    def _apart(self, key: Key, read: Read, now: float) -> Read:
        """The plain request, on a line with repeats when no answer to its like can come any more."""
        if self.trust is not Trust.WARY:
            return Read(read.start, read.count, read.size, is_alone=False)
        left_s = self._met_at(key, read.size, now) + self._late_s(key[0]) - now
        return Read(read.start, read.count, read.size, max(0.0, left_s), is_apart=True)

    def _met_at(self, key: Key, size: int, now: float) -> float:
        """When another block of this unit and table was last asked by that name; 0 if it is long ago."""
        pasts = self._uses.get(key[:2], {}).get(size, {})
        since = now - self._window_s(key[0])
        return max((at for other, at in pasts.items() if other != key and at > since), default=0.0)

    def _used_at(self, key: Key, size: int, now: float) -> float:
        """When this block was last asked by that name; 0 if it is long ago."""
        at = self._uses.get(key[:2], {}).get(size, {}).get(key, 0.0)
        turn_s = _TURN_S if self._is_theirs is not None else 0.0
        return at if at > now - max(self._window_s(key[0]), turn_s) else 0.0

    def _habit(self, block: Block) -> _Habit:
        return self._habits.setdefault(_key(block), _Habit(0x10000))

    # --- what came of it ---

    def asked(self, block: Block, read: Read, now: float) -> None:
        """The request goes out."""
        sizes = self._uses.setdefault((block.unit, block.table), {})
        pasts = sizes.setdefault(read.size, {})
        pasts[_key(block)] = now
        if len(pasts) > _SHARED:
            window_s = self._window_s(block.unit)
            for key in [key for key, at in pasts.items() if now - at >= window_s]:
                del pasts[key]

    def is_doubtful(self, block: Block, read: Read, pdu: bytes, now: float) -> bool:
        """Whether it may be an older answer: it is news, and older ones say the same.

        On a line that is not known yet all news is doubtful that has no name of its own.
        """
        if plain_cells(pdu, block) == self._habit(block).last:
            return False
        if not read.is_alone and self.trust is not Trust.TRUSTED:
            return True
        return self.is_old(block, read, pdu, now)

    def is_old(self, block: Block, read: Read, pdu: bytes, now: float) -> bool:
        """Whether this block, or another by the same name, has said so not long ago, and not just now."""
        habit, since = self._habit(block), now - self._window_s(block.unit)
        if plain_cells(pdu, block) == habit.last:
            return False
        if habit.past.get(pdu, 0.0) > since:
            return True
        key, others = _key(block), self._uses.get((block.unit, block.table), {}).get(read.size, {})
        return any(self._habits[other].past.get(pdu, 0.0) > since for other in others if other != key)

    def second_answer_s(self, unit: int) -> float:
        """How long after an answer a second one, which would be the true one, is to be waited for."""
        return 2 * self._slow_s.get(unit, self._late_s(unit) / 2)

    def answered(self, block: Block, read: Read, pdu: bytes, now: float, after_s: float) -> None:
        """The answer was taken."""
        key, habit = _key(block), self._habit(block)
        uses = self._uses.get(key[:2], {}).get(read.size, {})
        if key in uses:
            uses[key] = now
        habit.last, habit.refused = plain_cells(pdu, block), 0
        if self._is_new(block, read):
            habit.worked, habit.silent = read.count, 0
            if any((refused - block.count) % 2 and refused < read.count for refused in habit.refusals):
                habit.by = 2
        elif habit.silent % 2:
            habit.silent += 1
        habit.remember(pdu, now, now - self._window_s(block.unit))
        self._slow_s[block.unit] = max(after_s, 0.99 * self._slow_s.get(block.unit, 0.0))
        self._clean += 1
        if self._clean >= CLEAN:
            self.trust = Trust.TRUSTED

    def too_long(self, block: Block, read: Read) -> bool:
        """The device refused the read; True if it may do so because of the cells read along."""
        habit = self._habit(block)
        if read.count == block.count:
            return False
        if habit.refusals and self._is_new(block, read):
            habit.longest = max(block.count, habit.worked)
        habit.refusals.add(read.count)
        return True

    def silent(self, block: Block, read: Read) -> None:
        """Nothing came for the read: perhaps for the cells read along, as some devices have it."""
        habit = self._habit(block)
        if self._is_new(block, read):
            habit.silent += 1
            if habit.silent >= 3:
                habit.longest, habit.silent = max(block.count, habit.worked), 0

    def _is_new(self, block: Block, read: Read) -> bool:
        return read.count > max(block.count, self._habit(block).worked)

    def must_confirm(self, block: Block, code: int) -> bool:
        """Whether a refusal is to be asked for once more: it has no length that could name it."""
        habit = self._habit(block)
        known, habit.refused = habit.refused, code
        return code != known and (self.trust is Trust.WARY or bool(habit.last))

    def repeated(self) -> None:
        """A frame came that nobody waited for."""
        self.trust, self._clean = Trust.WARY, 0


def plain_cells(pdu: bytes, block: Block) -> bytes:
    """The cells of the block alone, whatever was read along."""
    cells = pdu[2 : 2 + data_size(READS[block.table], block.count)]
    if block.table in BIT_TABLES and block.count % 8:
        return cells[:-1] + bytes((cells[-1] & (1 << block.count % 8) - 1,))
    return cells


def _key(block: Block) -> Key:
    return block.unit, block.table, block.start, block.count
