"""Every request of a connection, whoever makes it: what came of it is noted for its unit."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from adapters._modbus.answers import NoAnswer, Refused, Reply
from adapters._modbus.codec import exception_words
from adapters._modbus.orders import Order
from adapters._modbus.plan import Block
from adapters._modbus.roll import Roll
from adapters._modbus.wire import Link
from edge.contract import SourceLost

BUSY = (5, 6)
"""Exceptions that pass by themselves: acknowledge, server device busy."""
GATEWAY = (10, 11)
"""Exceptions by which a gateway says that it got no answer from the unit."""

_AWAY_S = 2.0
"""So long a far end that hung up while nothing was asked may refuse a new connection: some need a moment."""

T = TypeVar("T")


class Listener(Protocol):
    """Who is told what becomes of the units."""

    def heard(self) -> None:
        """A unit has answered, for the first time on this connection."""

    def lost(self, unit: int) -> None:
        """It is lost from now on."""

    def back(self, unit: int) -> None:
        """It was lost, and has answered."""

    def doubtful(self, unit: int) -> None:
        """One request got no answer: it may have been off."""

    def has_other(self, unit: int, failed: object) -> bool:
        """There is another request that tells whether it is the unit that gives no answer."""

    def reopened(self) -> None:
        """The far end had closed the connection: it may have been off, and all behind it."""


class Bus:
    """One request at a time. Any method may raise SourceLost, and NoAnswer after the line was recovered."""

    def __init__(self, source: str, link: Link, roll: Roll, listener: Listener) -> None:
        self._source = source
        self._link = link
        self._roll = roll
        self._listener = listener
        self._heard = False
        self._answered_at = 0.0
        """When a unit answered last; 0: none has, on this connection."""
        self._lost: SourceLost | None = None
        self._opened = link.opened
        self._closed_at = 0.0
        """When the far end was found to have hung up; 0 where it has not."""
        self._now = asyncio.get_running_loop().time

    def check(self) -> None:
        """Raises SourceLost where the connection is gone, or no unit is left."""
        if self._lost is not None:
            raise self._lost
        self._link.check()

    @property
    def is_sound(self) -> bool:
        """There is nothing to mend."""
        return self._lost is None and self._link.is_open

    @property
    def unseen_s(self) -> float:
        """How long ago the last answer came: what was lost since then, nobody saw."""
        return self._now() - self._answered_at if self._heard else 0.0

    async def mend(self) -> None:
        """Where the far end has closed the connection while nothing was asked, it is made anew at once: one
        that is gone is noticed soon and not at the next request."""
        self.check()
        if self._link.is_closed_by_far_end:
            self._closed_at = self._closed_at or self._now()
            try:
                await self._link.recover()
            except SourceLost as error:
                if self._now() - self._closed_at < _AWAY_S:
                    return
                why = f"the far end closed the connection; {error.reason}"
                raise SourceLost(self._source, why) from error
            self._note_opened()

    def _note_opened(self) -> None:
        self._closed_at = 0.0
        if self._opened != self._link.opened:
            self._opened = self._link.opened
            if not self._link.closes_by_habit:
                self._listener.reopened()

    def read(
        self, block: Block, *, is_suspect: bool = False, is_held: bool = False
    ) -> Awaitable[Reply | Refused]:
        """Ask for a block; `is_suspect`: that it gives no answer says nothing of its unit; `is_held`: the
        reply is not to be believed yet, see `Link.read`."""
        return self._asked(block.unit, block, self._link.read(block, is_held=is_held), is_suspect=is_suspect)

    def write(self, order: Order) -> Awaitable[Refused | None]:
        """Have something written."""
        return self._asked(order.unit, order, self._link.write(order))

    async def _asked(self, unit: int, what: object, request: Awaitable[T], *, is_suspect: bool = False) -> T:
        began = self._now()
        try:
            try:
                answer = await request
                self._note_opened()
                self._note(unit, answer)
            except NoAnswer as error:
                if not is_suspect:
                    self._judge(unit, what, error)
                await self._recover(unit, what, error, began)
                raise
        except SourceLost as error:
            self._lost = error
            raise
        return answer

    def _note(self, unit: int, answer: object) -> None:
        """Raises NoAnswer where it was only a gateway that answered."""
        if isinstance(answer, Refused) and answer.code in GATEWAY:
            raise NoAnswer(exception_words(answer.code), late=False)
        self._answered_at = self._now()
        if not self._heard:
            self._heard = True
            self._listener.heard()
        if self._roll.answered(unit):
            self._listener.back(unit)

    def _judge(self, unit: int, what: object, why: NoAnswer) -> None:
        """Whether the unit is lost, and with it all."""
        self._listener.doubtful(unit)
        has_other = self._listener.has_other(unit, what)
        if self._roll.failed(unit, self._now(), str(why), str(what), has_other=has_other):
            self._listener.lost(unit)
        if self._roll.all_lost():
            raise SourceLost(self._source, f"no unit answers; {what}: {why}") from why

    async def _recover(self, unit: int, what: object, why: NoAnswer, began: float) -> None:
        """What it costs is the time until the bus can be used again."""
        if why.late:
            await self._link.recover(unit)
            self._opened = self._link.opened
        now = self._now()
        self._roll.cost(unit, now, now - began, str(what))
