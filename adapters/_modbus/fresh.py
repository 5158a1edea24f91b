"""Reads that somebody asks for now, such as at an order change: on the wire, before the next poll."""

import asyncio
from collections import deque
from collections.abc import Sequence

from adapters._modbus.answers import NoAnswer, Refused, Reply
from adapters._modbus.bus import BUSY, Bus
from adapters._modbus.codec import exception_words
from adapters._modbus.outbox import Outbox
from adapters._modbus.plan import Block, Limits, Point, plan
from adapters._modbus.readings import Readings
from adapters._modbus.refusals import Refusals
from adapters._modbus.roll import BUSY_S, Roll
from edge.contract import Ask


class Fresh:
    """Answers them, each in as few requests as possible; what cannot be read is answered with bad quality."""

    def __init__(
        self, points: Sequence[Point], limits: Limits, bus: Bus, roll: Roll, refusals: Refusals,
        readings: Readings, outbox: Outbox,
    ) -> None:  # fmt: skip
        self._points = {point.signal: point for point in points}
        self._limits = limits
        self._bus = bus
        self._roll = roll
        self._refusals = refusals
        self._readings = readings
        self._outbox = outbox

    async def answer(self, ask: Ask) -> None:
        """Read what was asked for."""
        wanted = [self._points[name] for name in sorted(ask.signals) if name in self._points]
        rest = []
        for point in wanted:
            if why := self._given_up(point):
                await self._refuse([point], why, ask.number)
            else:
                rest.append(point)
        blocks = deque(plan(rest, self._limits, self._refusals.cuts))
        while blocks:
            blocks.extendleft(reversed(await self._read(blocks.popleft(), ask.number)))

    def _given_up(self, point: Point) -> str:
        if self._roll.is_lost(point.unit):
            return self._roll.why(point.unit)
        if point.signal in self._refusals.signals:
            return self._readings.why_bad(point) or f"{point} is refused by the device"
        return ""

    async def _read(self, block: Block, number: int) -> tuple[Block, ...]:
        """The requests to make in its stead, where the device refuses it."""
        if self._roll.is_lost(block.unit):
            await self._refuse(block.points, self._roll.why(block.unit), number)
            return ()
        try:
            reply = await self._insist(block)
            if not isinstance(reply, Refused):
                await self._readings.answer(block, reply, number)
                return ()
        except NoAnswer as error:
            await self._refuse(block.points, f"{block}: {error}", number)
            return ()
        if reply.code not in BUSY and (parts := self._refusals.split(block)) is not None:
            return parts
        await self._refuse(block.points, f"{block}: {exception_words(reply.code)}", number)
        return ()

    async def _insist(self, block: Block) -> Reply | Refused:
        """Who asks waits longer than a unit is mostly busy: it is asked once more. Raises NoAnswer."""
        reply = await self._bus.read(block)
        if isinstance(reply, Refused) and reply.code in BUSY:
            await asyncio.sleep(BUSY_S)
            reply = await self._bus.read(block)
        return reply

    async def _refuse(self, points: Sequence[Point], why: str, number: int) -> None:
        await self._outbox.put(self._readings.complain(points, why, number), urgent=True)
