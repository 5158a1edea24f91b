"""The one loop that has a Modbus connection to itself: polls, fresh reads, and what others want written."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn

from adapters._modbus.answers import NoAnswer, Refused
from adapters._modbus.bus import BUSY, Bus
from adapters._modbus.codec import exception_words
from adapters._modbus.counts import Counts
from adapters._modbus.device import Watch
from adapters._modbus.fresh import Fresh
from adapters._modbus.held import Held
from adapters._modbus.jobs import Jobs
from adapters._modbus.lengths import plan_by_period
from adapters._modbus.outbox import Outbox
from adapters._modbus.outputs import Lamp, Outputs
from adapters._modbus.plan import Block, Limits, Point, Schedule, Slot, plan
from adapters._modbus.points import LOWEST
from adapters._modbus.readings import Guard, Readings
from adapters._modbus.refusals import FIRST_S, Kept, Next, Refusals, parts_of
from adapters._modbus.roll import Memory, Roll
from adapters._modbus.switching import Switching
from adapters._modbus.told import Teller
from adapters._modbus.wire import Link
from adapters._modbus.write import desk
from edge.contract import Ask, Intake, SourceLost

_FORGIVE_EVERY_S = 3600.0
"""How often it is tried whether a device still refuses the gaps and the longer requests that it refused."""
_ASKS = 256
"""Requests for fresh reads kept while one is served; beyond it the oldest goes unanswered."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a connection is for."""

    points: Sequence[Point]
    """What the devices say of themselves is among them."""
    watches: Mapping[int, Watch]
    lamps: Mapping[str, Lamp]
    targets: Sequence[Block]
    """A read of each place that may be written: its unit may have nothing else."""
    limits: Limits
    probe_every_s: float

    @property
    def units(self) -> set[int]:
        polled = {point.unit for point in self.points}
        return polled | {one.unit for one in self.targets} | {one.place.unit for one in self.lamps.values()}

    @property
    def looks(self) -> list[Block]:
        """Of each unit that is written and has nothing to poll, one place: whether the unit is there."""
        polled = {point.unit for point in self.points}
        first = {one.unit: one for one in reversed(self.targets) if one.unit not in polled}
        return [replace(one, every_s=self.probe_every_s, priority=LOWEST) for one in first.values()]


class Sampler:
    """Reads on one connection: polls on their grid, and in between what is asked for afresh."""

    def __init__(
        self, wanted: Wanted, intake: Intake, link: Link, counts: Counts, wake: asyncio.Event
    ) -> None:
        """`wake` is set when the connection is lost."""
        self._wanted = wanted
        self._intake = intake
        self._link = link
        self._wake = wake
        self._now = asyncio.get_running_loop().time
        every_s = wanted.probe_every_s
        self._roll = Roll(wanted.units, every_s, intake.recall(Memory))
        self._kept = intake.recall(Kept)
        self._refusals = self._kept.refusals = self._kept.refusals or Refusals(every_s)
        self._refusals.reconnected(wanted.points)
        self._tries_anew = self._now() >= self._kept.began + every_s
        self._schedule = Schedule([*self._planned(), *wanted.looks], self._now())
        self._probes: Counter[int] = Counter()
        """How often each unit was asked whether it is back."""
        self._parked: dict[int, list[Block]] = {}
        """The requests of each lost unit."""
        self._bus = Bus(intake.name, link, self._roll, self)
        self._outputs = Outputs(wanted.lamps, every_s)
        self._switching = Switching(self._outputs, self._roll, intake)
        self._jobs = Jobs(wake.set, self._roll.why)
        self._desk = desk(intake, self._jobs)
        self._teller = Teller(intake, counts, self._roll, self._refusals, self._now())
        self._asks: deque[Ask] = deque(maxlen=_ASKS)
        self._is_turn_of_others = False
        self._returned: set[int] = set()
        """Units that may have been off."""
        self._forgive_at = self._now() + _FORGIVE_EVERY_S

    def _planned(self) -> list[Block]:
        """All requests but those for what is refused. From time to time a new connection tries it all again:
        the device may have been off."""
        if self._tries_anew:
            self._kept.began = self._now()
            for unit in self._roll.units:
                self._refusals.forgive(unit)
        points = [point for point in self._wanted.points if point.signal not in self._refusals.signals]
        return plan_by_period(points, self._wanted.limits, self._refusals.cuts)

    async def run(self) -> NoReturn:
        """Sample until the connection is lost, and what was read is handed over. Raises SourceLost."""
        async with asyncio.TaskGroup() as tasks:
            self._begin(tasks)
            helpers = [tasks.create_task(self._listen()), tasks.create_task(self._write())]
            try:
                await self._work()
            except SourceLost as error:
                lost = error
                lost.unseen_s = self._bus.unseen_s
            finally:
                self._link.close()
                self._teller.tell()
                for helper in helpers:
                    helper.cancel()
        raise lost

    def _begin(self, tasks: asyncio.TaskGroup) -> None:
        wanted = self._wanted
        self._outbox = Outbox(self._intake, tasks, self._unrecorded)
        guards = {unit: Guard(watch, self._identity(watch)) for unit, watch in wanted.watches.items()}
        self._readings = Readings(self._intake, self._outbox, self._bus, guards, wanted.points)
        self._held = Held(self._link, self._readings.take)
        self._fresh = Fresh(
            wanted.points, wanted.limits, self._bus, self._roll, self._refusals, self._readings, self._outbox
        )
        for unit in self._roll.units:
            self._begin_refused(unit)
        for unit in self._roll.lost:
            self.lost(unit)

    def _begin_refused(self, unit: int) -> None:
        """What was refused on the connection before is told, and tried again."""
        for block, after_s in self._refusals.alone(unit):
            pause_s = 0.0 if self._tries_anew else min(after_s, FIRST_S)
            self._schedule.put(block, self._now() + pause_s)
            self._outbox.add(self._readings.refused(block.points, self._refusals.why(block)))

    def _unrecorded(self) -> None:
        """What was handed over is not in the journal, and with it what a device said of itself."""
        for watch in self._wanted.watches.values():
            watch.doubt()

    def _identity(self, watch: Watch) -> list[Block]:
        asked = [point for point in self._wanted.points if point.signal in watch.identity]
        return plan(asked, self._wanted.limits)

    async def _listen(self) -> None:
        while True:
            ask = await self._intake.asked()
            if ask is None:
                continue
            if ask.write is not None:
                self._desk.put(ask)
            elif ask.on is not None:
                self._outputs.want(ask.number, ask.on)
            else:
                self._asks.append(ask)
            self._wake.set()

    async def _write(self) -> None:
        """Those who write end with the connection; why it ended, the loop says."""
        try:
            await self._desk.run()
        except* SourceLost:
            self._wake.set()

    # --- the loop ---------------------------------------------------------------------------------

    async def _work(self) -> NoReturn:
        try:
            while True:
                if not self._bus.is_sound:
                    await self._bus.mend()
                now = self._now()
                self._teller.look(now)
                await self._held.settle()
                if self._returned or now >= self._forgive_at:
                    self._forgive(now)
                if self._asks:
                    await self._held.flush()
                    await self._fresh.answer(self._asks.popleft())
                elif not await self._step():
                    await self._rest()
        except SourceLost as error:
            self._jobs.close(error)
            raise

    async def _step(self) -> bool:
        """One request; polls and what others want take turns. False where there is nothing to do now."""
        for _ in range(2):
            self._is_turn_of_others = not self._is_turn_of_others
            if not self._is_turn_of_others:
                if await self._sample():
                    return True
            elif (self._switching.waits or self._jobs.wait) and await self._others():
                return True
        return False

    async def _others(self) -> bool:
        return await self._switching.step(self._bus) or await self._jobs.serve(self._bus)

    async def _sample(self) -> bool:
        now = self._now()
        if (unit := self._roll.probe(now)) is not None:
            await self._probe(unit)
            return True
        if (slot := self._schedule.take(now)) is None:
            return False
        if (until := self._roll.rests_until(slot.block.unit, slot.block)) > now:
            self._schedule.put(slot.block, until, slot.grid)
        else:
            await self._poll(slot)
        return True

    async def _rest(self) -> None:
        """Until the next request is due, something is asked for or the connection is lost."""
        self._wake.clear()
        due = (
            self._schedule.next_at(), self._roll.probe_at(), self._switching.next_at(), self._teller.at,
            self._held.next_at(),
        )  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(at for at in due if at is not None)):
                await self._wake.wait()

    # --- polls ------------------------------------------------------------------------------------

    async def _poll(self, slot: Slot) -> None:
        block = slot.block
        try:
            reply = await self._bus.read(block, is_suspect=self._is_suspect(block), is_held=True)
        except NoAnswer as error:
            await self._blame(slot, error)
            return
        if not block.points:  # that it answers, however it does, is all
            self._schedule.again(slot, self._now())
            return
        if isinstance(reply, Refused) and reply.code in BUSY:
            await self._wait_for(slot, reply.code)
            return
        self._roll.not_busy(block.unit)
        if isinstance(reply, Refused):
            await self._isolate(slot, reply.code)
            return
        await self._held.put(block, reply)
        if self._refusals.worked(block):
            self._plan_anew(block.unit, soon=True)
        elif self._roll.is_lost(block.unit):
            self._parked[block.unit].append(block)
        else:
            self._teller.missed(block.unit, self._schedule.again(slot, self._now()))

    def _is_suspect(self, block: Block) -> bool:
        """But where nothing else of its unit is asked."""
        return self._refusals.is_suspect(block) and self.has_other(block.unit, block)

    async def _blame(self, slot: Slot, why: NoAnswer) -> None:
        """Nothing came: find out whether that is the unit or the place."""
        block = slot.block
        after = self._refusals.unanswered(block)
        if not self._roll.is_lost(block.unit) and self._refusals.needs_another(block):
            after = await self._ask_another(block)
        if after.blocks and not self._roll.is_lost(block.unit):
            await self._follow(slot, after, f"{block}: {why}")
        else:
            self._put(block, self._now(), slot.grid)

    async def _ask_another(self, block: Block) -> Next:
        other = self._refusals.another(block.unit, self._schedule.blocks(block.unit), block)
        if other is not None:
            with suppress(NoAnswer):
                await self._bus.read(other)
                return self._refusals.answered_another(block, other)
        return Next(())

    def _put(self, block: Block, at: float, grid: float | None = None) -> None:
        if self._roll.is_lost(block.unit):
            self._parked[block.unit].append(block)
        else:
            self._schedule.put(block, at, grid)

    async def _wait_for(self, slot: Slot, code: int) -> None:
        """A unit that is busy rests; where it says so again, its signals are bad. One that answers others
        meanwhile goes on with them."""
        block, after = slot.block, self._refusals.busy(slot.block)
        if not self._refusals.is_of_place(block):
            is_again = self._roll.busy(block.unit, self._now())
            after = replace(after, is_told=after.is_told or is_again)
        await self._follow(slot, after, f"{block}: {exception_words(code)}")

    async def _isolate(self, slot: Slot, code: int) -> None:
        """Find out what is refused; that is tried again rarely."""
        after = self._refusals.refused(slot.block, code)
        await self._follow(slot, after, f"{slot.block}: {exception_words(code)}")

    async def _follow(self, slot: Slot, after: Next, why: str) -> None:
        block = slot.block
        if self._refusals.is_alone(block):
            self._refusals.because(block, why)
        if after.is_told:
            await self._outbox.put(self._readings.refused(block.points, why))
        if after.is_odd:
            self._readings.doubt(block.unit)
        if after.is_found:
            self._plan_anew(block.unit, soon=False)
            return
        for part in after.blocks:
            self._put(part, self._now() + after.after_s, slot.grid if part is block else None)

    def _plan_anew(self, unit: int, *, soon: bool) -> None:
        """Around what is refused; `soon`: something came back, and the rest may have, too."""
        if self._roll.is_lost(unit):
            self._parked[unit] = []
        self._schedule.remove(unit)
        self._readings.forget(unit)
        limits, now = self._wanted.limits, self._now()
        kept = self._refusals.anew(unit, self._wanted.points)
        for block in plan_by_period(kept, limits, self._refusals.cuts):
            self._put(block, now)
        for block, after_s in self._refusals.alone(unit):
            self._put(block, now if soon else now + after_s)

    def _forgive(self, now: float) -> None:
        """Plan units anew that may not refuse any more what they refused: not while one is being asked."""
        if now >= self._forgive_at:
            self._forgive_at = now + _FORGIVE_EVERY_S
            self._returned.update(self._roll.units)
        while self._returned:
            unit = self._returned.pop()
            if not self._roll.is_lost(unit) and self._refusals.forgive(unit):
                self._plan_anew(unit, soon=True)

    async def _probe(self, unit: int) -> None:
        """Ask a lost unit whether it is back."""
        parked = self._parked[unit]
        mine = [block for block in parked if not self._refusals.is_alone(block)] or [*parked]
        mine += [one for one in self._wanted.targets if one.unit == unit]
        mine += [part for block in mine for part in parts_of(block)]
        if not mine:
            await self._switching.probe(self._bus, unit)
            return
        turn = self._probes[unit]
        self._probes[unit] = turn + 1
        with suppress(NoAnswer):
            await self._bus.read(mine[turn % len(mine)])

    # --- what the bus says of the units -----------------------------------------------------------

    def heard(self) -> None:
        self._intake.connected()

    def doubtful(self, unit: int) -> None:
        self._readings.doubt(unit)

    def has_other(self, unit: int, failed: object) -> bool:
        return self._refusals.another(unit, self._schedule.blocks(unit), failed) is not None

    def reopened(self) -> None:
        for unit in self._roll.units:
            self._readings.doubt(unit)
            self._outputs.forget(unit)
        self._returned.update(self._roll.units)
        self._intake.renewed()

    def lost(self, unit: int) -> None:
        self._held.drop(unit)
        self._parked[unit] = self._schedule.remove(unit)
        gone = [point for point in self._wanted.points if point.unit == unit]
        self._outbox.add(self._readings.complain(gone, self._roll.why(unit)))

    def back(self, unit: int) -> None:
        self._outputs.forget(unit)
        for block in self._parked.pop(unit):
            self._schedule.put(block, self._now())
        self._returned.add(unit)
        self._intake.renewed()
