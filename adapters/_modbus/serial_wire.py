"""Modbus RTU by its silences, on a serial port or behind a device server."""

import asyncio
from collections.abc import Callable

from adapters._modbus.answers import Answer, NoAnswer
from adapters._modbus.counts import Counts
from adapters._modbus.frames import Question
from adapters._modbus.lines import RtuTcpLine, SerialLine
from adapters._modbus.others import Mark, shape_of
from adapters._modbus.rtu import LONGEST, Look, is_speech, look, sealed
from adapters._modbus.units import Manner
from adapters._modbus.wires import Manners, Wire
from edge.errors import SourceLost

_KEPT = 4 * LONGEST
"""Bytes that are looked at for one answer."""


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
        self._others = counts.others
        self._since = 0
        """What stood for all other frames when the last request went out."""
        self.mark: Mark | None = None
        """Of the last answer."""
        self._question: Question | None = None
        self._sent = b""
        self._received = b""
        self._stray = b""
        self._echoes: tuple[bool, ...] = ()
        """Whether the last requests came back before their answers: at the most two, the newest first."""
        self._needs_echo = False
        """What looks like an echo is taken for one, and a second frame is waited for."""
        self._settle: asyncio.TimerHandle | None = None
        self._octets = 0
        """Received since the request, also those that are not kept."""
        self._marks: list[tuple[int, float]] = []
        """How many of them there were when, in s."""
        self._last_look: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        await super().open()
        if self.connection.answers:
            self._unsettled = self._unit  # what was asked again and again may be answered so, too

    async def exchange(self, question: Question) -> Answer:
        """As Wire's; on a line that was never silent an answer counts only once silence followed it."""
        answer = await super().exchange(question)
        if self._counts.babbles:
            await self.recover(question.unit)
            self._counts.babbles = False
        manner, frame = self.manner(question.unit), sealed(bytes((question.unit,)) + answer.pdu)
        window_s = manner.timeout_s + manner.worst_answer_s
        self._others.answered(frame, answer.at, answer.after_s, window_s)
        shape = shape_of(question)
        self.mark = Mark(self._since, shape, frame, question.unit, answer.at)
        return answer

    # --- before a request ---

    async def _ready(self, manner: Manner, unit: int) -> None:
        if self._unsettled is not None:
            await self.recover(self._unsettled)
        await self.connection.ready(manner.timeout_s, unit)
        since, silence_s = self._loop.time(), max(self._line.gap_s, manner.delay_s)
        await asyncio.sleep(0)  # what has come is read before it is asked whether the line is silent
        while self._heard_at + silence_s > self._loop.time():
            if self._loop.time() - since > manner.worst_answer_s + silence_s:
                raise NoAnswer("the line is not silent enough to ask")
            await self._pause(silence_s)
        self._judge_stray()
        if self._others.pending_until > self._loop.time():
            await self._let_others(manner)

    async def _let_others(self, manner: Manner) -> None:
        """Somebody else was heard to ask: his answer is not to come after our request."""
        until = self._loop.time() + 2 * manner.timeout_s
        while min(until, self._others.pending_until) > self._loop.time():
            await asyncio.sleep(self._line.gap_s)
            if self._heard_at + self._line.gap_s <= self._loop.time():
                self._judge_stray()

    def _judge_stray(self) -> None:
        stray, self._stray = self._stray, b""
        if stray:
            self._note_others(stray)
        if stray and self._sent and is_speech(stray, self._sent[0], self._sent[1]):
            self._count().repeats += 1
            self._repeated()

    def _note_others(self, received: bytes) -> None:
        self._others.heard(received, self._loop.time(), self.manner(self._unit).timeout_s)

    async def is_sure(self, mark: Mark) -> bool:
        """Listen until it is known whether an answer could have been somebody else's."""
        while (left_s := self._others.sure_at(mark) - self._loop.time()) > 0:
            await asyncio.sleep(left_s)
            self._judge_stray()
        await asyncio.sleep(0)  # what has come meanwhile is read first
        return not self.is_doubtful(mark)

    def is_doubtful(self, mark: Mark) -> bool:
        """Whether that is known already."""
        self._judge_stray()
        return self._others.is_doubtful(mark)

    async def quiet(self, silence_s: float) -> None:
        """Until nobody has spoken for so long, ten times that at the most."""
        since = self._loop.time()
        until = since + 10 * silence_s
        while True:
            left_s = min(until, max(since, self._heard_at) + silence_s) - self._loop.time()
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    def has_more(self) -> bool:
        """Whether somebody has spoken since the last answer. It is not asked twice about the same bytes."""
        before = self._count().repeats
        self._judge_stray()
        return self._count().repeats > before

    # --- a request and its answer ---

    def _limit_s(self, question: Question, manner: Manner) -> float:
        octets = 3 + len(question.pdu) + 3 + (question.size or LONGEST)
        return max(manner.timeout_s, self._least_s) + octets * self._line.octet_s

    def _send(self, question: Question) -> None:
        self._question, self._received, self._octets = question, b"", 0
        self._marks.clear()
        self._needs_echo = any(self._echoes)
        self._sent = sealed(bytes((question.unit,)) + question.pdu)
        self._since = self._others.asked(question, self._sent, self._asked_at)
        self.connection.write(self._sent)

    def _heard(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._question is None or self._waiting is None or self._waiting.done():
            self._count().stray_bytes += len(data)
            self._stray = (self._stray + data)[-_KEPT:]
            return
        self._octets += len(data)
        if len(self._received) < _KEPT:
            self._received = (self._received + data)[:_KEPT]
            self._marks.append((self._octets, self._heard_at))
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
        if self._octets > _KEPT:
            return Look(is_enough=True)
        return look(self._question, self._sent, self._received, echoes=self._needs_echo)

    def _take(self, seen: Look) -> None:
        assert self._waiting is not None
        assert self._question is not None
        if self._question.reads or self._is_in_doubt:
            self._echoes = (seen.echo, *self._echoes[:1])
        self._note(seen, seen.pdu)
        self._count().stray_bytes += seen.noise
        if not self._waiting.done():
            self._is_answered()
            self._answered_at = next(at for octets, at in self._marks if octets >= seen.end)
            self._waiting.set_result(seen.pdu)

    @property
    def _is_in_doubt(self) -> bool:
        """The line gave back one of the last two requests, and not the other."""
        return len(set(self._echoes)) > 1

    def _note(self, seen: Look, pdu: bytes = b"") -> None:
        if seen.others or seen.noise:
            taken = sealed(self._sent[:1] + pdu) if pdu else b""
            self._note_others(self._received.replace(taken, b"", 1) if taken else self._received)
        if seen.others:
            self._count().repeats += seen.others
            self._repeated()

    def _hopeless(self) -> None:
        if self._question is not None and self._waiting is not None and not self._waiting.done():
            seen = self._look()
            self._note(seen)
            self._count_failed(seen)
            self._fail(NoAnswer(f"no answer, but {self._octets} bytes that are not one"))

    def _count_failed(self, seen: Look) -> None:
        counts = self._count()
        counts.stray_bytes += self._octets
        if self._octets <= _KEPT and (seen.pdu or (seen.others and not seen.noise)):
            counts.wrong_answers += 1  # frames with right checksums
        elif seen.is_enough:
            counts.crc_errors += 1
        else:
            counts.cut_answers += 1

    def _overdue(self) -> None:
        if self._is_in_doubt and self._needs_echo:
            self._needs_echo = False  # no second frame came: the one was no echo
            if self._heard_at + self._line.gap_s <= self._loop.time():
                self._silent()
        if self._waiting is None or self._waiting.done():
            return
        if self._received and self._look().pdu:
            # It settles in a moment, if the line is silent then.
            self._last_look = self._loop.call_later(self._line.gap_s, self._hopeless)
        elif self._octets:
            self._hopeless()
        else:
            self._count().timeouts += 1
            if isinstance(self._line, RtuTcpLine) and self._question is not None:
                self._is_unanswered(self._question)
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
        if self._last_look is not None:
            self._last_look.cancel()
        self._settle = self._last_look = self._question = None
        self._received = b""

    # --- after a request without an answer ---

    async def _recover(self, manner: Manner, unit: int) -> None:
        if not self.connection.is_open:
            await self._reopen(manner, unit)
        since = self._loop.time()
        while max(since, self._heard_at) + manner.worst_answer_s > self._loop.time():
            if self._loop.time() - since > 10 * manner.worst_answer_s + 1.0:
                raise self._never_silent()
            await asyncio.sleep(max(since, self._heard_at) + manner.worst_answer_s - self._loop.time())
            self.connection.check()
        if self._stray:
            self._note_others(self._stray)
        self._stray = b""

    async def _reopen(self, manner: Manner, unit: int) -> None:
        if isinstance(self._line, SerialLine):
            self.connection.check()
        await self.connection.again(manner.timeout_s, unit)

    def _never_silent(self) -> SourceLost:
        self._counts.babbles = True
        return self.connection.lost(
            f"{self._line} is never silent; is there a second master, or a wrong speed?"
        )
