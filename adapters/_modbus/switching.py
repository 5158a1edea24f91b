"""Lamps and other outputs, each switched by one request at its turn between two polls."""

import asyncio

from adapters._modbus.answers import NoAnswer, Refused
from adapters._modbus.bus import BUSY, Bus
from adapters._modbus.codec import exception_words
from adapters._modbus.outputs import Outputs, Place, Write
from adapters._modbus.plan import Block
from adapters._modbus.roll import Roll
from edge.contract import Intake

_ILLEGAL_FUNCTION = 1


class Switching:
    """Those of one connection."""

    def __init__(self, outputs: Outputs, roll: Roll, intake: Intake) -> None:
        self._outputs = outputs
        self._roll = roll
        self._intake = intake
        self._by_hand: set[int] = set()
        """Units that cannot write single bits of a register."""
        self._now = asyncio.get_running_loop().time

    @property
    def waits(self) -> bool:
        """There may be something to write or to answer."""
        return not self._outputs.is_settled

    async def step(self, bus: Bus) -> bool:
        """One write; False where there is none to be made now."""
        write = self._outputs.next(self._now(), self._roll.is_lost)
        if write is None:
            self.tell()
            return False
        await self._switch(bus, write)
        return True

    def tell(self) -> None:
        """Answer the newest ask, once all of it was tried."""
        answer = self._outputs.answer(self._roll.is_lost)
        if answer is not None:
            self._intake.switched(*answer)

    def next_at(self) -> float | None:
        """When there is something to write again."""
        return self._outputs.next_at(self._roll.is_lost)

    async def probe(self, bus: Bus, unit: int) -> bool:
        """Ask a lost unit that has nothing but outputs; False where it has none."""
        write = self._outputs.first_of(unit)
        if write is None:
            return False
        await self._switch(bus, write)
        return True

    async def _switch(self, bus: Bus, write: Write) -> None:
        try:
            refused = await self._write(bus, write)
        except NoAnswer as error:
            self._outputs.failed(write, str(error), self._now(), passes=True)
            return
        if refused is None:
            self._outputs.written(write)
        else:
            words, passes = exception_words(refused.code), refused.code in BUSY
            self._outputs.failed(write, words, self._now(), passes=passes)

    async def _write(self, bus: Bus, write: Write) -> Refused | None:
        unit, bit = write.place.unit, write.place.bit
        if bit is None or unit not in self._by_hand:
            refused = await bus.write(write.order)
            if bit is None or refused is None or refused.code != _ILLEGAL_FUNCTION:
                return refused
            self._by_hand.add(unit)
        return await self._write_by_hand(bus, write.place, bit, write.value)

    async def _write_by_hand(self, bus: Bus, place: Place, bit: int, value: int) -> Refused | None:
        """Read the register and write it back with one bit changed."""
        found = await bus.read(Block((), place.unit, "holding", place.start, 1, 0.0))
        if isinstance(found, Refused):
            return found
        whole = Place(place.unit, "holding", place.start)
        return await bus.write(Write(whole, found.cells[0] & ~(1 << bit) | value << bit).order)
