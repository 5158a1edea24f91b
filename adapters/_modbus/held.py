"""Replies that wait until it is known that they were not to another master; the line goes on meanwhile."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from adapters._modbus.answers import Reply
from adapters._modbus.plan import Block
from adapters._modbus.wire import Link


class Held:
    """Those of one connection, in the order in which they came."""

    def __init__(self, link: Link, take: Callable[[Block, Reply], Awaitable[None]]) -> None:
        """`take` hands over what is believed."""
        self._link = link
        self._take = take
        self._waiting: deque[tuple[Block, Reply]] = deque()
        self._now = asyncio.get_running_loop().time

    async def put(self, block: Block, reply: Reply) -> None:
        """Hand it over, at once where nothing can throw a doubt on it."""
        if reply.mark is None:
            await self._take(block, reply)
        else:
            self._waiting.append((block, reply))

    def next_at(self) -> float | None:
        """When the first of them is to be looked at; None where there is none."""
        return self._link.sure_at(self._waiting[0][1]) if self._waiting else None

    async def settle(self) -> None:
        """Hand over those that are sure by now, and drop the doubtful: the next poll has it all."""
        while self._waiting:
            block, reply = self._waiting[0]
            if self._link.sure_at(reply) > self._now():
                return
            self._waiting.popleft()
            await asyncio.sleep(0)  # what has come meanwhile is read first
            if self._link.is_doubtful(reply):
                self._link.counts.of(block.unit).doubted += 1
            else:
                await self._take(block, reply)

    async def flush(self) -> None:
        """Wait for all of them: what is read from now on is newer."""
        while (at := self.next_at()) is not None:
            await asyncio.sleep(max(0.0, at - self._now()))
            await self.settle()

    def drop(self, unit: int) -> None:
        """It is lost: nothing of it is good any more."""
        self._waiting = deque(one for one in self._waiting if one[0].unit != unit)
