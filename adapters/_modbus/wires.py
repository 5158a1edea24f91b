"""One request at a time on one line, whatever is spoken on it."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle

from adapters._modbus.answers import Answer, Closed, NoAnswer
from adapters._modbus.connection import Connection
from adapters._modbus.counts import Counts, UnitCounts
from adapters._modbus.frames import Question
from adapters._modbus.lines import RtuTcpLine, SerialLine, TcpLine
from adapters._modbus.units import Manner

Manners = Callable[[int], Manner]
_ANY = 0
"""The unit whose manner holds for the connection itself."""
_PATIENCE_S = (12.0, 30.0)
"""How long the first answer is waited for before all else, by how many connections before had none."""
_LONGEST_S, _SHORTEST_S = 5.0, 0.5
"""Between two requests meanwhile, for all units together and for each."""


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
        self.connection = Connection(source, line, counts, self._heard, self._closed)
        self._counts = counts
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[bytes] | None = None
        self._asked_at = 0.0
        """When the last request went out."""
        self._limit_at = 0.0
        """When the answer that is waited for is overdue."""
        self._alarm: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._answered_at = 0.0
        """When the last byte of the last answer came."""
        self._unit = _ANY
        """Asked last."""
        self._least_s = 0.0
        """What each request is given at the least, while the first answer is waited for."""
        self._unsettled: int | None = None
        """The unit whose answer may still come."""

    async def open(self) -> None:
        """Connect. Where the connections before had no answer, this one is given time, and then used.

        A host that serves one connection at a time takes the next out of its queue when it has done with the
        one before, and that can be one of ours that we closed meanwhile: who closes and connects again and
        again never has his turn.
        """
        await self.connection.open(self.manner(_ANY).timeout_s)
        if not self._counts.silent:
            self._counts.unanswered.clear()
        elif self._counts.unanswered:
            await self._first_word(_PATIENCE_S[min(self._counts.silent, len(_PATIENCE_S)) - 1])

    async def _first_word(self, patience_s: float) -> None:
        """Until anything is answered: ask again what was asked in vain, with growing pauses."""
        questions = tuple(self._counts.unanswered.values())
        until, pause_s = self._loop.time() + patience_s, 1.0
        try:
            for question in cycle(questions):
                if self._loop.time() >= until:
                    return
                if not (self.connection.is_open and self._is_silent):
                    self._counts.silent = 0
                    return
                self._least_s = max(_SHORTEST_S, pause_s / len(questions))
                pause_s = min(pause_s * 2 ** (1 / len(questions)), _LONGEST_S)
                with suppress(NoAnswer):
                    await Wire.exchange(self, question)
                    return
        finally:
            self._least_s = 0.0

    def close(self) -> None:
        """What was never answered is remembered for the next connection."""
        if self.connection.is_open and self._is_silent:
            self._counts.silent += bool(self._counts.unanswered)
        self.connection.close()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def check(self) -> None:
        self.connection.check()

    async def exchange(self, question: Question) -> Answer:
        """The answer, or the exception. Raises NoAnswer."""
        unit = question.unit
        manner, counts = self.manner(unit), self._counts.of(unit)
        if not self._is_ready(manner):
            await self._ready(manner, unit)
        counts.requests += 1
        self._unit = self._unsettled = unit
        waiting = self._waiting = self._loop.create_future()
        asked_at = self._asked_at = self._loop.time()
        self._set_limit(asked_at + self._limit_s(question, manner))
        try:
            self._send(question)
            pdu = await waiting
        finally:
            self._waiting = None
            self._end()
        self._unsettled = None
        self.connection.answers += 1
        answer = Answer(pdu, self._answered_at, self._answered_at - asked_at)
        counts.answered(answer.after_s)
        return answer

    def _set_limit(self, at: float) -> None:
        """One timer serves many requests: nearly all are answered long before it rings."""
        self._limit_at = at
        if self._alarm is None or self._alarm.when() > at:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._limit_at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiting is None or self._waiting.done():
            return
        if self._loop.time() < self._limit_at:
            self._set_alarm()
        else:
            self._overdue()

    async def recover(self, unit: int) -> None:
        """Make sure that a late answer cannot be taken for the next request's."""
        await self._recover(self.manner(unit), unit)
        self._unsettled = None

    @property
    def _is_silent(self) -> bool:
        """Nothing has come on this connection."""
        return not self.connection.answers and not self._has_begun()

    def _is_answered(self) -> None:
        if self._counts.silent or self._counts.unanswered:
            self._counts.silent = 0
            self._counts.unanswered.pop(self._unit, None)

    def _is_unanswered(self, question: Question) -> None:
        if question.reads:
            self._counts.unanswered[question.unit] = question

    def _is_ready(self, manner: Manner) -> bool:
        """It is known without waiting that the next request may go out."""
        del manner
        return False

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
            self._fail(NoAnswer(f"{self.connection.line} closed the connection in the middle of an answer"))
        else:
            self._fail(Closed(f"{self.connection.line} closed the connection instead of answering"))

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
