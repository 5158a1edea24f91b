"""How a line is asked while it is probed: one request at a time, a rest after each, and none that writes."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from adapters._modbus.codec import Table
from adapters._modbus.plan import Block
from adapters._modbus.wire import Link, NoAnswer, Refused
from adapters._probe_patience import Patience

Tell = Callable[[str], None]
T = TypeVar("T")

REPORT, DEVICE_INFORMATION = 0x11, 0x2B
"""Functions 17 and 43: the only ones asked for beside the reads, 1 to 4."""

NOT_THERE = "the gateway has no answer of it"
BUSY_CODES = (5, 6)
"""Of a device that has no time for it now."""
_GATEWAY_CODES = (10, 11)
_BUSY_TRIES, _BUSY_S = 5, 0.2


@dataclass(frozen=True, slots=True)
class Silent:
    """No answer, or a gateway's that there is none."""

    why: str


Cells = tuple[int, ...]
Answer = Cells | Refused | Silent


class Asker(Patience):
    """The requests of one probe. Any of them may raise SourceLost."""

    def __init__(self, link: Link, enough: asyncio.Event, pause_s: float) -> None:
        super().__init__(enough)
        self.requests = 0
        self.whys: Counter[str] = Counter()
        """Why there was no answer."""
        self.slowest_s = 0.0
        """Of the answers."""
        self._answers = 0
        self._answers_s = 0.0
        self._link = link
        self._pause_s = pause_s

    @property
    def answer_s(self) -> float:
        """How long a request took as a rule, until its answer was there."""
        return self._answers_s / max(1, self._answers)

    async def once(self, unit: int, table: Table, start: int, count: int) -> Answer:
        """Read some cells. A unit that is busy is asked again in a moment."""
        block = Block((), unit, table, start, count, 0.0)
        for _ in range(_BUSY_TRIES):
            answer = await self._read(block)
            if not (isinstance(answer, Refused) and answer.code in BUSY_CODES):
                break
            await self.rest(_BUSY_S)
        return answer

    async def read(self, unit: int, table: Table, start: int, count: int) -> Answer:
        """The same of a unit that is known to answer: one lost answer is asked for again."""
        answer = await self.once(unit, table, start, count)
        return await self.once(unit, table, start, count) if isinstance(answer, Silent) else answer

    async def ask(self, unit: int, pdu: bytes) -> bytes | Refused | Silent:
        """Functions 17 and 43, whose answers say their length themselves."""
        assert pdu[0] in (REPORT, DEVICE_INFORMATION)
        began_s = self._begun()
        try:
            answer = await self._link.ask(unit, pdu)
        except NoAnswer as error:
            return await self._unanswered(unit, error)
        told = self._refused(answer) if isinstance(answer, Refused) else answer
        return await self._rested(began_s, told)

    async def _read(self, block: Block) -> Answer:
        began_s = self._begun()
        try:
            answer = await self._link.read(block)
        except NoAnswer as error:
            return await self._unanswered(block.unit, error)
        if isinstance(answer, Refused):
            return await self._rested(began_s, self._refused(answer))
        return await self._rested(began_s, tuple(map(int, answer.cells[: block.count])))

    def _begun(self) -> float:
        self.requests += 1
        return time.monotonic()

    def _refused(self, answer: Refused) -> Refused | Silent:
        if answer.code in _GATEWAY_CODES:
            self.whys[NOT_THERE] += 1
            return Silent(NOT_THERE)
        return answer

    async def _rested(self, began_s: float, answer: T) -> T:
        """The answer, after a rest that leaves the line to others."""
        took_s = time.monotonic() - began_s
        self.slowest_s = max(self.slowest_s, took_s)
        self._answers, self._answers_s = self._answers + 1, self._answers_s + took_s
        await asyncio.sleep(self._pause_s)
        return answer

    async def _unanswered(self, unit: int, error: NoAnswer) -> Silent:
        self.whys[str(error)] += 1
        if error.late:
            await self._link.recover(unit)
        return Silent(str(error))
