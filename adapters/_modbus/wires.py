"""One request at a time on one line: Modbus TCP by its numbers, RTU by its silences."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from adapters._modbus.answers import Answer, Closed, NoAnswer
from adapters._modbus.connection import Connection
from adapters._modbus.counts import Counts, UnitCounts
from adapters._modbus.frames import Question, WrongReply
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.rtu import LONGEST, Look, is_speech, look, sealed
from adapters._modbus.tcp import TcpFrames
from adapters._modbus.units import Manner
from edge.errors import SourceLost

Manners = Callable[[int], Manner]
_ANY = 0
"""The unit whose manner holds for the connection itself."""


class Wire(ABC):
    """What both kinds have in common. Any method may raise SourceLost."""

    def __init__(
        self,
        source: str,
        line: TcpLine | SerialLine | RtuTcpLine,
        manner: Manners,
        counts: Counts,
        on_lost: Callable[[], None],
    ) -> None:
        self.manner = manner
        self.connection = self._connection = Connection(source, line, counts, self._heard, self._closed)
        self._counts = counts
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[bytes] | None = None
        self._heard_at = 0.0
        self._unit = _ANY
        """Asked last."""
        self._unsettled: int | None = None
        """The unit whose answer may still come."""

    async def open(self) -> None:
        await self._connection.open(self.manner(_ANY).timeout_s)

    def close(self) -> None:
        self._connection.close()

    def check(self) -> None:
        self._connection.check()

    async def exchange(self, question: Question) -> Answer:
        """The answer, or the exception. Raises NoAnswer."""
        unit = question.unit
        manner, counts = self.manner(unit), self._counts.of(unit)
        await self._ready(manner, unit)
        counts.requests += 1
        self._unit = self._unsettled = unit
        waiting = self._waiting = self._loop.create_future()
        asked_at = self._loop.time()
        limit = self._loop.call_at(asked_at + self._limit_s(question, manner), self._overdue)
        try:
            self._send(question)
            pdu = await waiting
        finally:
            self._waiting = None
            limit.cancel()
            self._end()
        self._unsettled = None
        self._connection.answers += 1
        answer = Answer(pdu, self._heard_at, self._heard_at - asked_at)
        counts.answered(answer.after_s)
        return answer

    async def recover(self, unit: int) -> None:
        """Make sure that a late answer cannot be taken for the next request's."""
        await self._recover(self.manner(unit), unit)
        self._unsettled = None

    @abstractmethod
    async def _ready(self, manner: Manner, unit: int) -> None:
        """Until the next request may go out."""

    @abstractmethod
    def _limit_s(self, question: Question, manner: Manner) -> float:
        """How long an answer may take."""

    @abstractmethod
    def _send(self, question: Question) -> None: ...

    @abstractmethod
    def _heard(self, data: bytes) -> None: ...

    @abstractmethod
    def _overdue(self) -> None: ...

    @abstractmethod
    def _end(self) -> None:
        """The request is over."""

    @abstractmethod
    async def _recover(self, manner: Manner, unit: int) -> None: ...

    def has_more(self) -> bool:
        """Whether somebody has spoken since the last answer."""
        return False

    def _has_begun(self) -> bool:
        """Whether some of the answer has come."""
        return False

    def _closed(self) -> None:
        if self._waiting is None:
            self._on_lost()
        elif self._has_begun():
            self._fail(NoAnswer(f"{self._connection.line} closed the connection in the middle of an answer"))
        else:
            self._fail(Closed(f"{self._connection.line} closed the connection instead of answering"))

    def _fail(self, why: NoAnswer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(why)

    def _count(self) -> UnitCounts:
        return self._counts.of(self._unit)

    def _no_answer(self) -> NoAnswer:
        return NoAnswer(f"no answer within {self.manner(self._unit).timeout_s:g} s")

    async def _pause(self, silence_s: float) -> None:
        left_s = self._heard_at + silence_s - self._loop.time()
        if left_s > 0:
            await asyncio.sleep(left_s)


class TcpWire(Wire):
    """Modbus TCP: answers are told apart by their numbers; after a lost one the connection is made anew."""

    _frames: TcpFrames
    _PAUSES_S = (0.1, 0.3)

    async def exchange(self, question: Question) -> Answer:
        """As Wire's; a read is asked again where the far end closes the connection instead of answering.

        It may have the habit, or still have the connection before this one, and allow no second.
        """
        for pause_s in self._PAUSES_S if question.reads else ():
            has_served = self._connection.answers > 0
            try:
                return await super().exchange(question)
            except Closed:
                await asyncio.sleep(0.0 if has_served else pause_s)
        return await super().exchange(question)

    async def open(self) -> None:
        self._frames = TcpFrames()
        await super().open()

    async def _ready(self, manner: Manner, unit: int) -> None:
        if self._unsettled is not None:
            await self.recover(self._unsettled)
        if not self._connection.is_open:
            self._frames.forget()
        elif not self._frames.clean():
            await self.recover(unit)
        await self._connection.ready(manner.timeout_s, unit)
        if manner.delay_s:
            await self._pause(manner.delay_s)

    def _limit_s(self, question: Question, manner: Manner) -> float:
        return manner.timeout_s

    def _send(self, question: Question) -> None:
        self._connection.write(self._frames.ask(question))

    def _heard(self, data: bytes) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._count().stray_bytes += len(data)
            if not self._frames.keep(data):
                self._connection.close()
                self._on_lost()
            return
        self._heard_at = self._loop.time()
        try:
            pdu = self._frames.hear(data)
        except WrongReply as error:
            self._count().wrong_answers += 1
            self._connection.close()
            self._fail(NoAnswer(str(error)))
            return
        if pdu:
            self._count().wrong_answers += self._frames.stale
            waiting.set_result(pdu)

    def _overdue(self) -> None:
        if bytes_heard := self._frames.heard:
            self._count().wrong_answers += 1
            self._count().stray_bytes += bytes_heard
            self._fail(NoAnswer(f"{self._no_answer()}, but {bytes_heard} bytes that are not one"))
        else:
            self._count().timeouts += 1
            self._fail(self._no_answer())

    def _has_begun(self) -> bool:
        return self._frames.heard > 0

    def _end(self) -> None:
        self._frames.end()

    async def _recover(self, manner: Manner, unit: int) -> None:
        self._frames.forget()
        await self._connection.again(manner.timeout_s, unit)


class RtuWire(Wire):
    """Modbus RTU, on a serial port or behind a device server.

    An answer counts when the line is silent after it. After a lost one the line is listened to until it was
    silent for as long as a unit may be late.
    """

    _PATIENCE_S = 0.05
    """Silence after which bytes that are no answer are not going to become one."""

    def __init__(
        self,
        source: str,
        line: SerialLine | RtuTcpLine,
        manner: Manners,
        counts: Counts,
        on_lost: Callable[[], None],
        repeated: Callable[[], None],
    ) -> None:
        """`repeated` is called where a frame came that nobody waited for."""
        super().__init__(source, line, manner, counts, on_lost)
        self._repeated = repeated
        self._line = line
        self._question: Question | None = None
        self._sent = b""
        self._received = b""
        self._stray = b""
        self._echoes = False
        self._settle: asyncio.TimerHandle | None = None
        self._octets = 0
        """Received since the request, also those that are not kept."""

    # --- before a request ---

    async def _ready(self, manner: Manner, unit: int) -> None:
        if self._unsettled is not None:
            await self.recover(self._unsettled)
        await self._connection.ready(manner.timeout_s, unit)
        since, silence_s = self._loop.time(), max(self._line.gap_s, manner.delay_s)
        await asyncio.sleep(0)  # what has come is read before it is asked whether the line is silent
        while self._heard_at + silence_s > self._loop.time():
            if self._loop.time() - since > manner.worst_answer_s + silence_s:
                raise NoAnswer("the line is not silent enough to ask")
            await self._pause(silence_s)
        self._judge_stray()

    def _judge_stray(self) -> None:
        stray, self._stray = self._stray, b""
        if stray and self._sent and is_speech(stray, self._sent[0], self._sent[1]):
            self._count().repeats += 1
            self._repeated()

    def has_more(self) -> bool:
        """Whether somebody has spoken since the last answer. It is not asked twice about the same bytes."""
        before = self._count().repeats
        self._judge_stray()
        return self._count().repeats > before

    # --- a request and its answer ---

    def _limit_s(self, question: Question, manner: Manner) -> float:
        octets = 3 + len(question.pdu) + 3 + (question.size or LONGEST)
        return manner.timeout_s + octets * self._line.octet_s

    def _send(self, question: Question) -> None:
        self._question, self._received, self._octets = question, b"", 0
        self._sent = sealed(bytes((question.unit,)) + question.pdu)
        self._connection.write(self._sent)

    def _heard(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._question is None or self._waiting is None or self._waiting.done():
            self._count().stray_bytes += len(data)
            self._stray = (self._stray + data)[-LONGEST:]
            return
        self._octets += len(data)
        self._received = (self._received + data)[: 4 * LONGEST]
        if self._settle is not None:
            self._settle.cancel()
        self._settle = self._loop.call_later(self._line.gap_s, self._silent)

    def _silent(self) -> None:
        """The line is silent after some bytes."""
        seen = self._look()
        if seen.pdu:
            self._take(seen)
        elif seen.is_enough:
            self._settle = self._loop.call_later(self._PATIENCE_S, self._hopeless)

    def _look(self) -> Look:
        assert self._question is not None
        return look(self._question, self._sent, self._received, echoes=self._echoes)

    def _take(self, seen: Look) -> None:
        assert self._waiting is not None
        self._echoes = self._echoes or seen.echo
        self._note(seen)
        self._count().stray_bytes += seen.noise
        if not self._waiting.done():
            self._waiting.set_result(seen.pdu)

    def _note(self, seen: Look) -> None:
        if seen.others:
            self._count().repeats += seen.others
            self._repeated()

    def _hopeless(self) -> None:
        if self._question is not None:
            self._note(self._look())
            self._count().crc_errors += 1
            self._count().stray_bytes += self._octets
            self._fail(NoAnswer(f"no answer, but {self._octets} bytes that are not one"))

    def _overdue(self) -> None:
        if self._received and self._look().pdu:
            return  # it settles in a moment
        if self._octets:
            self._hopeless()
        else:
            self._count().timeouts += 1
            self._fail(self._no_answer())

    def _closed(self) -> None:
        if self._received and (seen := self._look()).pdu:
            self._take(seen)
        else:
            super()._closed()

    def _has_begun(self) -> bool:
        return self._octets > 0

    def _end(self) -> None:
        if self._settle is not None:
            self._settle.cancel()
        self._settle = self._question = None
        self._received = b""

    # --- after a request without an answer ---

    async def _recover(self, manner: Manner, unit: int) -> None:
        if not self._connection.is_open:
            await self._reopen(manner, unit)
        since = self._loop.time()
        while max(since, self._heard_at) + manner.worst_answer_s > self._loop.time():
            if self._loop.time() - since > 10 * manner.worst_answer_s + 1.0:
                raise self._never_silent()
            await asyncio.sleep(max(since, self._heard_at) + manner.worst_answer_s - self._loop.time())
            self._connection.check()
        self._stray = b""

    async def _reopen(self, manner: Manner, unit: int) -> None:
        if isinstance(self._line, SerialLine):
            self._connection.check()
        await self._connection.again(manner.timeout_s, unit)

    def _never_silent(self) -> SourceLost:
        return self._connection.lost(
            f"{self._line} is never silent; is there a second master, or a wrong speed?"
        )
