"""Modbus TCP, whose answers are told apart by their numbers."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from adapters._modbus.answers import Answer, Closed, NoAnswer
from adapters._modbus.counts import Counts
from adapters._modbus.frames import REFUSAL, Question, WrongReply
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.tcp import TcpFrames
from adapters._modbus.units import Manner
from adapters._modbus.wires import Manners, Wire


class TcpWire(Wire):
    """Modbus TCP: answers are told apart by their numbers; after a lost one the connection is made anew.

    But where the answer comes after all: a gateway may say later than the unit's timeout that the unit is
    dead, and that is waited for a little (`Gateway`). Nothing else is asked meanwhile, so it is no other's.

    And but for one on which nothing was answered yet, see `Wire.open`.
    """

    _frames: TcpFrames
    _question: Question
    _PAUSES_S = (0.1, 0.3)

    def __init__(
        self,
        source: str,
        line: TcpLine | SerialLine | RtuTcpLine,
        manner: Manners,
        counts: Counts,
        on_lost: Callable[[], None],
    ) -> None:
        super().__init__(source, line, manner, counts, on_lost)
        self._has_answered = False
        self._closed_for: set[int] = set()
        """Units for whose sake connections are closed on which others are answered."""
        self._gateway = counts.gateway
        self._more_s = 0.0
        """What the present request has more than its timeout."""
        self._came = asyncio.Event()
        """Set when something came that nobody waited for, or the connection ended."""

    async def exchange(self, question: Question) -> Answer:
        """As Wire's; a read is asked again where the answer may be that to an older request."""
        answer = await self._exchanged(question)
        if not (self._frames.awaits and self._frames.is_doubtful(answer.pdu)):
            return answer
        self._counts.of(question.unit).wrong_answers += 1
        await self.recover(question.unit)
        if not question.reads:
            raise NoAnswer("the answer may be that to an older request", late=False)
        return await self._exchanged(question)

    async def _exchanged(self, question: Question) -> Answer:
        """A read is asked again where the far end closes the connection instead of answering."""
        try:
            answer = await super().exchange(question)
        except Closed as closed:
            answer = await self._asked_again(question, closed)
        self._has_answered = True
        if self._closed_for:
            self._closed_for.discard(question.unit)
        return answer

    async def _asked_again(self, question: Question, closed: Closed) -> Answer:
        """The far end may have the habit. Or it still has the connection before this one, and allows no
        second. Or a gateway says in this way that the unit is dead: then it is not asked again the next time.

        All that takes less than the unit's timeout.
        """
        if not question.reads or question.unit in self._closed_for:
            raise closed
        until = self._loop.time() + self.manner(question.unit).timeout_s
        for pause_s in (0.0,) if self.connection.answers else self._PAUSES_S:
            await asyncio.sleep(max(0.0, min(pause_s, (until - self._loop.time()) / 2)))
            with suppress(Closed):
                return await super().exchange(question)
        if self._has_answered:
            self._closed_for.add(question.unit)
        raise closed

    async def open(self) -> None:
        self._frames = TcpFrames()
        await super().open()

    def _is_ready(self, manner: Manner) -> bool:
        is_settled = self._unsettled is None and not self._frames.heard
        return is_settled and self.connection.is_ready and not manner.delay_s

    async def _ready(self, manner: Manner, unit: int) -> None:
        if self._unsettled is not None:
            await self.recover(self._unsettled)
        if not self.connection.is_open:
            self._frames.forget()
        elif not self._frames.clean():
            await self.recover(unit)
        await self.connection.ready(manner.timeout_s, unit)
        if manner.delay_s:
            await self._pause(manner.delay_s)

    def _limit_s(self, question: Question, manner: Manner) -> float:
        limit_s = max(manner.timeout_s, self._least_s)
        self._more_s = 0.0
        if self._gateway.behind is not None and self._may_live(question.unit):
            until = self._gateway.until(question.unit, manner.timeout_s)
            self._more_s = max(0.0, until - self._asked_at - limit_s)
        return limit_s + self._more_s

    def _may_live(self, unit: int) -> bool:
        """It has answered before, or was never asked."""
        counts = self._counts.of(unit)
        return counts.answers > 0 or not counts.timeouts

    def _send(self, question: Question) -> None:
        self._question = question
        self.connection.write(self._frames.ask(question, self._asked_at))

    def _heard(self, data: bytes) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            self._heard_unasked(data)
            return
        self._heard_at = self._loop.time()
        try:
            pdu = self._frames.hear(data)
        except WrongReply as error:
            self._count().wrong_answers += 1
            self.connection.close()
            self._fail(NoAnswer(str(error)))
            return
        if not pdu:
            self._note_late()
            return
        self._answered_at = self._heard_at
        self._note_late()
        self._count().wrong_answers += self._frames.stale
        self._free(pdu)
        self._is_answered()
        waiting.set_result(pdu)

    def _heard_unasked(self, data: bytes) -> None:
        if not self._frames.awaits:
            self._count().stray_bytes += len(data)
        if not self._frames.keep(data):
            self.connection.close()
            self._on_lost()
        self._frames.clean()
        self._note_late()
        self._came.set()

    def _note_late(self) -> None:
        """Late answers came: the far end is free for the request that is open now, if there is one."""
        for late in self._frames.late():
            after_s = self._loop.time() - late.asked_at
            self._counts.of(late.unit).late(after_s)
            self._gateway.late(after_s)
            if advice := self._gateway.advice(after_s):
                what = f"exception {late.code}" if late.code else "an answer"
                words = f"{what} for unit {late.unit} came {after_s:.2f} s after the request"
                self._counts.note(f"{self.connection.line}: {words}, which is more than timeout. {advice}")
            self._set_limit(max(self._limit_at, self._loop.time() + self.manner(self._unit).timeout_s))

    def _free(self, pdu: bytes) -> None:
        """The far end is free for the next."""
        if self._gateway.behind is not None:
            timeout_s = self.manner(self._unit).timeout_s
            is_late = not pdu[0] & REFUSAL and self._answered_at - self._asked_at > timeout_s
            behind = self._gateway.behind
            took_s = self._gateway.answered(self._answered_at, is_late=is_late)
            if took_s and (advice := self._gateway.advice(took_s)):
                words = f"unit {self._unit} had to wait until unit {behind} was given up"
                self._counts.note(f"{self.connection.line}: {words}. {advice}")

    def _overdue(self) -> None:
        if bytes_heard := self._frames.heard:
            self._count().wrong_answers += 1
            self._count().stray_bytes += bytes_heard
            self._fail(NoAnswer(f"{self._no_answer()}, but {bytes_heard} bytes that are not one"))
        else:
            self._count().timeouts += 1
            self._gateway.silent(self._unit, self._asked_at, had_more=self._more_s > 0)
            self._is_unanswered(self._question)
            self._fail(self._no_answer())

    def _no_answer(self) -> NoAnswer:
        late_s = self._count().late_s
        if not late_s:
            return super()._no_answer()
        return NoAnswer(f"{super()._no_answer()}; one came after {late_s:.2f} s: is timeout long enough?")

    def _has_begun(self) -> bool:
        return self._frames.heard > 0

    def _closed(self) -> None:
        self._came.set()
        super()._closed()

    def _end(self) -> None:
        self._frames.end()

    async def _recover(self, manner: Manner, unit: int) -> None:
        if self.connection.is_open and self._is_silent:
            return
        if self.connection.is_open and self._frames.awaits and await self._is_over(manner):
            return
        self._frames.forget()
        await self.connection.again(manner.timeout_s, unit)

    async def _is_over(self, manner: Manner) -> bool:
        """Whether all that was asked in vain was answered late, and nothing else came."""
        wait_s = self._gateway.wait_s(manner.timeout_s)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._asked_at + wait_s):
                while self.connection.is_open and self._frames.awaits:
                    self._came.clear()
                    await self._came.wait()
        if self.connection.is_open and not self._frames.awaits and self._frames.clean():
            return True
        self._gateway.vain()
        return False
