"""One open Modbus connection, TCP or serial: one request at a time, and no answer but to it.

The bytes of requests and their checksum are pymodbus's (`library`). Its client is not used: measured on a
serial line it gives late answers to the next request, it does not tell when an answer came, and it takes 1.5
times the CPU. Here an answer counts only when silence follows it, and the lengths of requests are chosen so
that a late or repeated one fits no other.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from adapters._modbus.answers import Answer, NoAnswer, Refused, Reply
from adapters._modbus.counts import Counts
from adapters._modbus.frames import Question, cells_of, question, read_question
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.names import Names, Read, Trust, plain_cells
from adapters._modbus.plan import Block, Limits
from adapters._modbus.serial_wire import RtuWire
from adapters._modbus.tcp_wire import TcpWire
from adapters._modbus.units import Manner
from adapters._modbus.wires import Wire

__all__ = ["Link", "NoAnswer", "Refused", "Reply"]

_PASSING = (5, 6, 10, 11)
"""Exceptions that say nothing of the cells: acknowledge, busy, and those of a gateway."""
_LATER = (5, 10, 11)
"""Those of them after which the unit's own answer may still come."""
_PLAIN = Limits(125, 0)
_TRIES = 4
"""Where each answer could be another master's."""


class _Order(Protocol):
    """A request that writes."""

    @property
    def unit(self) -> int: ...

    @property
    def pdu(self) -> bytes: ...


class Link:
    """The connection of one source. Any method may raise SourceLost.

    `limits` say how many cells may be read along with those of a block; without them none are.
    """

    def __init__(
        self,
        source: str,
        line: TcpLine | SerialLine | RtuTcpLine,
        manner: Callable[[int], Manner],
        on_lost: Callable[[], None],
        counts: Counts | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self._line = line
        self._names: Names | None = None
        self._unit = 0
        self._wire: Wire
        self._limits = limits or _PLAIN
        self._rtu: RtuWire | None = None
        if isinstance(line, TcpLine):
            self._wire = TcpWire(source, line, manner, self.counts, on_lost)
        else:
            self._names = Names(
                self._limits, self._window_s, lambda unit: self.manner(unit).worst_answer_s,
                self.counts.others.is_theirs,
            )  # fmt: skip
            self._wire = self._rtu = RtuWire(source, line, manner, self.counts, on_lost, self._names.repeated)

    async def open(self) -> None:
        """Connect."""
        await self._wire.open()

    def close(self) -> None:
        """Let go of the port or socket; harmless when it is closed."""
        self._wire.close()

    @property
    def opened(self) -> int:
        """How often it was connected: more than once where the wire had to."""
        return self._wire.connection.opened

    @property
    def is_open(self) -> bool:
        return self._wire.connection.is_open

    @property
    def is_closed_by_far_end(self) -> bool:
        """The far end has closed it while nothing was asked, and does not do so after each answer."""
        connection = self._wire.connection
        return not connection.is_open and not connection.closes_by_habit

    @property
    def closes_by_habit(self) -> bool:
        """The far end closes each connection after one answer: a new one says nothing of the device."""
        return self._wire.connection.closes_by_habit

    def check(self) -> None:
        """Raises SourceLost where the port has gone, or the far end has closed before it ever answered."""
        self._wire.check()

    async def recover(self, unit: int | None = None) -> None:
        """Make sure that a late answer cannot be taken for the next request's.

        On RTU: wait until the line has been silent for the longest time that the unit, or the one asked
        last, may take. On TCP: connect anew.
        """
        await self._wire.recover(self._unit if unit is None else unit)

    @property
    def manner(self) -> Callable[[int], Manner]:
        """How each unit is asked; may be set at any time."""
        return self._wire.manner

    @manner.setter
    def manner(self, manner: Callable[[int], Manner]) -> None:
        self._wire.manner = manner

    def _window_s(self, unit: int) -> float:
        manner = self._wire.manner(unit)
        return manner.timeout_s + manner.worst_answer_s

    # --- requests ---

    async def read(self, block: Block, *, is_held: bool = False) -> Reply | Refused:
        """Ask for a block. Raises NoAnswer; `recover` before the next then.

        Where another master may be on the line it takes until nothing can come any more that throws a doubt
        on the answer; with `is_held` the reply is given at once, and is not to be believed before `sure_at`.
        """
        self._unit = block.unit
        if self._names is not None and self._rtu is not None:
            return await self._read_sure(self._names, self._rtu, block, is_held=is_held)
        answer = await self._wire.exchange(read_question(block.unit, block.table, block.start, block.count))
        return self._refused(answer) or Reply(cells_of(answer.pdu), answer.at)

    async def write(self, order: _Order) -> Refused | None:
        """Write. Raises NoAnswer, after which nobody knows what the unit holds; `recover` then, too."""
        self._unit = order.unit
        return self._refused(await self._settled(question(order.unit, order.pdu)))

    async def ask(self, unit: int, pdu: bytes) -> bytes | Refused:
        """Any request whose answer is known by its function; gives the answer's PDU. Raises NoAnswer."""
        self._unit = unit
        answer = await self._settled(question(unit, pdu))
        return self._refused(answer) or answer.pdu

    # --- on a serial line ---

    def sure_at(self, reply: Reply) -> float:
        """When it will be known whether a reply could be to another master; 0 where it is sure already."""
        if reply.mark is None or self.is_doubtful(reply):
            return 0.0
        return self.counts.others.sure_at(reply.mark)

    def is_doubtful(self, reply: Reply) -> bool:
        """Whether more than one frame came that could be it."""
        return self._rtu is not None and reply.mark is not None and self._rtu.is_doubtful(reply.mark)

    async def _read_sure(
        self, names: Names, wire: RtuWire, block: Block, *, is_held: bool
    ) -> Reply | Refused:
        """The reply that was the only one that could be it. Raises NoAnswer after some tries."""
        others = self.counts.others
        for _ in range(_TRIES):
            reply, is_theirs = await self._read_named(names, block)
            mark = wire.mark
            if isinstance(reply, Refused) or mark is None:
                return reply
            if not (others.is_suspected or isinstance(self._line, RtuTcpLine)):
                return reply
            if is_held and not is_theirs:
                return Reply(reply.cells, reply.at, mark)
            if await wire.is_sure(mark):
                return reply
            self.counts.of(block.unit).doubted += 1
        raise NoAnswer("another master's answers on this line cannot be told from its own", late=False)

    async def _read_named(self, names: Names, block: Block) -> tuple[Reply | Refused, bool]:
        """Read by a length that no other request has; what is doubtful is looked at again.

        Says also whether another master has answers of this length.
        """
        repeats = self.counts.of(block.unit).repeats
        read, answer = await self._try(names, block)
        if answer.code not in (0, *_PASSING) and names.must_confirm(block, answer.code):
            # A refusal has no length that could tell whose it is: it is believed at its second time.
            read, answer = await self._try(names, block)
        if refused := self._refused(answer):
            return refused, False
        if not read.is_alone and await self._is_answered_twice(names, block.unit, repeats):
            read, answer = await self._try(names, block, wait_s=self._window_s(block.unit))
            if refused := self._refused(answer):
                return refused, False
        if names.is_doubtful(block, read, answer.pdu, answer.at):
            read, answer = await self._second_look(names, block, answer)
            if refused := self._refused(answer):
                return refused, False
        names.answered(block, read, answer.pdu, answer.at, answer.after_s)
        cells = cells_of(answer.pdu)
        return Reply(cells[: block.count], answer.at), read.is_theirs

    async def _try(self, names: Names, block: Block, *, wait_s: float = 0.0) -> tuple[Read, Answer]:
        """One request, or one more where the device refuses to give the cells that are read along."""
        while True:
            read = names.choose(block, self._now())
            await self._listen(max(wait_s, read.wait_s), block.unit, is_apart=read.is_apart)
            if read.is_theirs and self._rtu is not None:
                await self._rtu.quiet(self.counts.others.listen_s(block.unit))
            names.asked(block, read, self._now())
            try:
                answer = await self._settled(read_question(block.unit, block.table, read.start, read.count))
            except NoAnswer:
                names.silent(block, read)
                raise
            if answer.code in _PASSING:
                names.silent(block, read)
            elif answer.code and names.too_long(block, read):
                continue
            return read, answer

    async def _settled(self, asked: Question) -> Answer:
        """The answer to a request. On a serial line nothing is left of it that could pass for another's."""
        answer = await self._wire.exchange(asked)
        if self._names is not None and answer.code in _LATER:
            await self._wire.recover(asked.unit)
        return answer

    async def _is_answered_twice(self, names: Names, unit: int, repeats: int) -> bool:
        """Whether one more answer came or comes: then the first may have been that to an older request."""
        if self.counts.of(unit).repeats > repeats:
            return True
        await asyncio.sleep(names.second_answer_s(unit))
        return self._wire.has_more()

    async def _listen(self, wait_s: float, unit: int, *, is_apart: bool) -> None:
        """Ask nothing for a while."""
        if is_apart and wait_s > self._wire.manner(unit).worst_answer_s / 2:
            self.counts.note(
                f"frames are repeated on {self._line}: requests to unit {unit} that differ in nothing but "
                "the address have to wait for each other" + self._cure(unit)
            )
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _cure(self, unit: int) -> str:
        """What makes requests differ in length, or where that does not help."""
        if self._limits.of(unit).max_gap < 1:
            return ". With max_gap = 1 or more they can differ in length"
        return (
            ", and readings are late. What repeats them is to be found in the line or its converter (echo, a "
            "repeater, termination); fewer requests (values that lie together, a longer every) wait less"
        )

    async def _second_look(self, names: Names, block: Block, answer: Answer) -> tuple[Read, Answer]:
        """Ask again; where that says something else and is as doubtful, once more, after a silence."""
        again, second = await self._try(names, block)
        is_same = bool(second.code) or plain_cells(second.pdu, block) == plain_cells(answer.pdu, block)
        if is_same or not names.is_old(block, again, second.pdu, second.at):
            return again, second
        wait_s = self._window_s(block.unit) if names.trust is Trust.WARY else 0.0
        return await self._try(names, block, wait_s=wait_s)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _refused(self, answer: Answer) -> Refused | None:
        if not answer.code:
            return None
        self.counts.of(self._unit).refused(answer.code)
        return Refused(answer.code, answer.at)
