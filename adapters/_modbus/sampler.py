"""The one loop that reads a Modbus connection: polls, fresh reads, what is lost and what is refused."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NoReturn

from adapters._modbus.codec import Cells, exception_words
from adapters._modbus.outputs import Outputs, Place, Write
from adapters._modbus.plan import (
    Block,
    Cut,
    Limits,
    Point,
    Roll,
    Schedule,
    Slot,
    halves,
    plan,
    plan_by_period,
)
from adapters._modbus.together import Samples, samples_of
from adapters._modbus.wire import Link, NoAnswer, Refused
from edge.contract import Ask, Intake, Observation, Quality, SourceLost
from edge.errors import NotRecorded

_ILLEGAL_FUNCTION = 1
_BUSY = (5, 6)
"""Exceptions that pass by themselves: acknowledge, server device busy."""
_GATEWAY = (10, 11)
"""Exceptions by which a gateway says that it got no answer from the unit."""
_TRIES = 2
"""Requests in a row without an answer after which a unit counts as lost."""
_ASKS = 256
"""Requests for fresh reads kept while one is served; beyond it the oldest goes unanswered."""


class _Outbox:
    """Hands observations over in order while the next are being read.

    Each is handed over at once while few are on their way to the disk; beyond that, together
    with those that gather meanwhile.
    """

    _ON_THE_WAY = 4
    _WAITING = 20_000

    def __init__(self, intake: Intake, tasks: asyncio.TaskGroup) -> None:
        self._intake = intake
        self._tasks = tasks
        self._waiting: list[Observation] = []
        self._on_the_way = 0
        self._room = asyncio.Event()

    async def put(self, observations: Iterable[Observation], *, urgent: bool = False) -> None:
        """Take observations; waits only when the disk is thousands of them behind."""
        while len(self._waiting) > self._WAITING:
            self._room.clear()
            await self._room.wait()
        self._waiting.extend(observations)
        if self._waiting and (urgent or self._on_the_way < self._ON_THE_WAY):
            self._send()

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        self._on_the_way += 1
        self._tasks.create_task(self._emit(batch))

    async def _emit(self, batch: Sequence[Observation]) -> None:
        # A later reading of the same register says all that an unrecorded one did.
        with suppress(NotRecorded):
            await self._intake.emit(batch)
        self._on_the_way -= 1
        if self._waiting:
            self._send()
        self._room.set()


class Sampler:
    """Reads on one connection: polls on their grid, and in between what is asked for afresh."""

    def __init__(
        self,
        points: Sequence[Point],
        limits: Limits,
        probe_every_s: float,
        intake: Intake,
        link: Link,
        wake: asyncio.Event,
        outputs: Outputs,
    ) -> None:
        self._points = points
        self._outputs = outputs
        self._turn_to_switch = True
        """Switching and polling take turns: neither waits for more than one request of the other."""
        self._by_hand: set[int] = set()
        """Units that cannot write single bits of a register."""
        self._limits = limits
        self._probe_every_s = probe_every_s
        self._intake = intake
        self._link = link
        self._wake = wake
        """Set when a fresh read is asked for or the connection is lost."""
        self._now = asyncio.get_running_loop().time
        self._schedule = Schedule(plan_by_period(points, limits), self._now())
        self._roll = Roll({point.unit for point in points} | outputs.units, _TRIES, probe_every_s)
        self._parked: dict[int, list[Block]] = {}
        """The requests of each lost unit."""
        self._cuts: set[Cut] = set()
        self._refused: set[str] = set()
        """Signals that the device refuses to give."""
        self._bad: dict[str, str] = {}
        """Signals whose last word was bad quality, and why."""
        self._asks: deque[Ask] = deque(maxlen=_ASKS)
        self._heard = False
        self._samples: dict[int, Samples] = {}
        """Of each request that was polled, by its identity."""

    async def run(self) -> NoReturn:
        """Sample until the connection is lost, and what was read is handed over. Raises SourceLost."""
        async with asyncio.TaskGroup() as tasks:
            self._outbox = _Outbox(self._intake, tasks)
            listener = tasks.create_task(self._listen())
            try:
                await self._work()
            except SourceLost as error:
                lost = error
            finally:
                self._link.close()
                listener.cancel()
        raise lost

    async def _listen(self) -> None:
        while True:
            ask = await self._intake.asked()
            if ask is not None and ask.on is not None:
                self._outputs.want(ask.number, ask.on)
            elif ask is not None:
                self._asks.append(ask)
            self._wake.set()

    async def _work(self) -> NoReturn:
        while True:
            self._link.check()
            if self._asks:
                await self._answer(self._asks.popleft())
            elif self._turn_to_switch and (write := self._to_switch()) is not None:
                self._turn_to_switch = False
                await self._switch(write)
            elif (unit := self._roll.probe(self._now())) is not None:
                await self._probe(unit)
            elif (slot := self._schedule.take(self._now())) is not None:
                self._turn_to_switch = True
                await self._poll(slot)
            elif self._turn_to_switch:
                self._tell_switched()
                await self._rest()
            else:
                self._turn_to_switch = True

    async def _rest(self) -> None:
        """Until the next request is due, a fresh read is asked for or the connection is lost."""
        self._wake.clear()
        switch_at = self._outputs.next_at(self._roll.is_lost)
        due = (self._schedule.next_at(), self._roll.probe_at(), switch_at)
        times = [at for at in due if at is not None]
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(times, default=None)):
                await self._wake.wait()

    # --- polling ---

    async def _poll(self, slot: Slot) -> None:
        block = slot.block
        try:
            cells = await self._read(block)
        except NoAnswer as error:
            self._schedule.put(block, self._now(), slot.grid)
            await self._unanswered(block.unit, f"{block}", error)
            return
        if isinstance(cells, Refused):
            await self._isolate(slot, cells.code)
            return
        if self._refused:
            self._refused.difference_update(point.signal for point in block.points)
        await self._outbox.put(self._sample(block, cells))
        self._schedule.again(slot, self._now())

    async def _read(self, block: Block) -> Cells | Refused:
        cells = await self._link.read(block)
        self._note_answer(block.unit, cells)
        return cells

    def _note_answer(self, unit: int, answer: object) -> None:
        """Raises NoAnswer where it was only a gateway that answered."""
        if not self._heard:
            self._heard = True
            self._intake.connected()
        if isinstance(answer, Refused) and answer.code in _GATEWAY:
            raise NoAnswer(exception_words(answer.code), late=False)
        if self._roll.answered(unit):
            self._outputs.forget(unit)
            for parked in self._parked.pop(unit):
                self._schedule.put(parked, self._now())

    def _sample(self, block: Block, cells: Cells) -> list[Observation]:
        """Hand over the telemetry of a poll; the rest is given."""
        samples = self._samples.get(id(block))
        if samples is None:
            samples = self._samples[id(block)] = samples_of(block, self._intake)
        if self._bad:
            for point in samples.sampled:
                self._bad.pop(point.signal, None)
        samples.hand_over(cells, self._intake)
        return self._observe(block, samples.rest, cells)

    def _observe(
        self, block: Block, points: Iterable[Point], cells: Cells, answers: int = 0
    ) -> list[Observation]:
        seen = []
        for point in points:
            value = point.decode(cells, point.start - block.start)
            if value is None:
                seen += self._complain([point], f"{point} holds no number", answers)
            else:
                if self._bad:
                    self._bad.pop(point.signal, None)
                seen.append(self._intake.observe(point.signal, value, answers=answers))
        return seen

    def _complain(self, points: Iterable[Point], detail: str, answers: int = 0) -> list[Observation]:
        """Bad quality, said once for each signal and reason, and to everybody who asks."""
        seen = []
        for point in points:
            if answers or self._bad.get(point.signal) != detail:
                self._bad[point.signal] = detail
                bad = self._intake.observe(
                    point.signal, None, quality=Quality.BAD, detail=detail, answers=answers
                )
                seen.append(bad)
        return seen

    # --- units that do not answer ---

    async def _unanswered(self, unit: int, what: str, why: NoAnswer) -> None:
        if self._roll.failed(unit, self._now()):
            self._parked[unit] = self._schedule.remove(unit)
            gone = [point for point in self._points if point.unit == unit]
            await self._outbox.put(self._complain(gone, f"unit {unit} is lost: {why}"))
        if self._roll.all_lost():
            raise SourceLost(self._intake.name, f"no unit answers; {what}: {why}")
        if why.late:
            await self._link.recover()

    async def _probe(self, unit: int) -> None:
        if not self._parked[unit]:  # it has nothing but outputs
            if (write := self._outputs.first_of(unit)) is not None:
                await self._switch(write)
            return
        block = self._parked[unit][0]
        try:
            await self._read(block)
        except NoAnswer as error:
            await self._unanswered(block.unit, f"{block}", error)

    # --- outputs ---

    def _to_switch(self) -> Write | None:
        write = self._outputs.next(self._now(), self._roll.is_lost)
        if write is None:
            self._tell_switched()
        return write

    def _tell_switched(self) -> None:
        answer = self._outputs.answer(self._roll.is_lost)
        if answer is not None:
            self._intake.switched(*answer)

    async def _switch(self, write: Write) -> None:
        try:
            refused = await self._write(write)
        except NoAnswer as error:
            self._outputs.failed(write, str(error), self._now(), passes=True)
            await self._unanswered(write.place.unit, str(write), error)
            return
        if refused is None:
            self._outputs.written(write)
        else:
            words, passes = exception_words(refused.code), refused.code in _BUSY
            self._outputs.failed(write, words, self._now(), passes=passes)

    async def _write(self, write: Write) -> Refused | None:
        unit, bit = write.place.unit, write.place.bit
        if bit is None or unit not in self._by_hand:
            refused = await self._link.write(write)
            self._note_answer(unit, refused)
            if bit is None or refused is None or refused.code != _ILLEGAL_FUNCTION:
                return refused
            self._by_hand.add(unit)
        return await self._write_by_hand(write.place, bit, write.value)

    async def _write_by_hand(self, place: Place, bit: int, value: int) -> Refused | None:
        """Read the register and write it back with one bit changed."""
        cells = await self._read(Block((), place.unit, "holding", place.start, 1, 0.0))
        if isinstance(cells, Refused):
            return cells
        whole = Write(Place(place.unit, "holding", place.start), cells[0] & ~(1 << bit) | value << bit)
        refused = await self._link.write(whole)
        self._note_answer(place.unit, refused)
        return refused

    # --- registers that are refused ---

    async def _isolate(self, slot: Slot, code: int) -> None:
        """Read in halves until what is refused stands alone; that is tried again rarely."""
        block, now = slot.block, self._now()
        detail = f"{block}: {exception_words(code)}"
        if code in _BUSY:
            await self._outbox.put(self._complain(block.points, detail))
            self._schedule.again(slot, now)
        elif (parts := self._split(block)) is not None:
            for part in parts:
                self._schedule.put(part, now, slot.grid)
        else:
            self._refused.update(point.signal for point in block.points)
            await self._outbox.put(self._complain(block.points, detail))
            self._schedule.put(block, now + self._probe_every_s)

    def _split(self, block: Block) -> tuple[Block, Block] | None:
        parts = halves(block)
        if parts is not None:
            self._cuts.add((block.unit, block.table, parts[1].start))
        return parts

    # --- fresh reads ---

    async def _answer(self, ask: Ask) -> None:
        """Read what was asked for now, on the wire; what cannot be read is answered with bad quality."""
        wanted = [point for point in self._points if point.signal in ask.signals]
        given_up = [point for point in wanted if self._is_given_up(point)]
        for point in given_up:
            bad = self._complain([point], self._bad[point.signal], ask.number)
            await self._outbox.put(bad, urgent=True)
        rest = [point for point in wanted if point not in given_up]
        blocks = deque(plan(rest, self._limits, self._cuts))
        while blocks:
            blocks.extendleft(await self._answer_block(blocks.popleft(), ask.number))

    def _is_given_up(self, point: Point) -> bool:
        return point.signal in self._refused or self._roll.is_lost(point.unit)

    async def _answer_block(self, block: Block, number: int) -> tuple[Block, ...]:
        """The requests to make in its stead, where the device refuses it."""
        if self._roll.is_lost(block.unit):
            await self._answer_bad(block, f"unit {block.unit} is lost", number)
            return ()
        try:
            cells = await self._read(block)
        except NoAnswer as error:
            await self._answer_bad(block, str(error), number)
            await self._unanswered(block.unit, f"{block}", error)
            return ()
        if not isinstance(cells, Refused):
            await self._outbox.put(self._observe(block, block.points, cells, number), urgent=True)
            return ()
        if cells.code not in _BUSY and (parts := self._split(block)) is not None:
            return parts
        await self._answer_bad(block, exception_words(cells.code), number)
        return ()

    async def _answer_bad(self, block: Block, why: str, number: int) -> None:
        await self._outbox.put(self._complain(block.points, f"{block}: {why}", number), urgent=True)
