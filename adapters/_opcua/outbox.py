"""What waits for the journal, and the messages of the server that are settled when the journal has it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edge.contract import Intake, Observation
from edge.errors import NotRecorded
from edge.observation import DEVICE

if TYPE_CHECKING:
    from adapters._opcua.publish import Publisher

_FULL = 20_000
"""Observations that may wait for the disk before the server is asked for no more."""
_UNSETTLED = 10_000


class Outbox:
    """Keeps the order of arrival, notified or read."""

    def __init__(self, intake: Intake, not_recorded: Callable[[], None]) -> None:
        """`not_recorded` is called when the journal did not take something."""
        self._intake = intake
        self._not_recorded = not_recorded
        self._pending: list[Observation] = []
        self._numbers: list[int] = []
        """Of the messages whose values are among the pending ones."""
        self._unsettled: deque[int] = deque(maxlen=_UNSETTLED)
        """Of messages that the journal did not take; what it takes next has it all."""
        self._arrived = asyncio.Event()
        self.publisher: Publisher | None = None

    def put(self, fresh: Sequence[Observation]) -> None:
        if fresh:
            self._pending += fresh
            self._arrived.set()

    def await_disk(self, number: int) -> None:
        """The message is acknowledged when what waits now is on disk."""
        self._numbers.append(number)
        self._arrived.set()
        if self.publisher is not None and len(self._pending) >= _FULL:
            self.publisher.hold(True)

    async def run(self) -> None:
        """Hand on what has gathered; while a hand-over waits for the disk, the next one gathers."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self.hand_over()

    async def hand_over(self) -> None:
        """Between taking and emitting nothing may be awaited: that is what keeps the order."""
        batch, self._pending = self._pending, []
        numbers, self._numbers = self._numbers, []
        if self.publisher is not None:
            self.publisher.hold(False)
        if batch:
            try:
                await self._intake.emit(batch)
            except NotRecorded:
                self._pending[:0] = [one for one in batch if one.signal == DEVICE]  # no read says it again
                self._unsettled += numbers
                self._not_recorded()
                return
        if self.publisher is not None:
            self.publisher.acknowledge([*self._unsettled, *numbers])
            self._unsettled.clear()
