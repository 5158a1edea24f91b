"""What a broker has delivered and nobody has taken yet: bounded, in its order."""

import asyncio
import logging
from collections import deque

from adapters._mqtt_delivery import Delivery

log = logging.getLogger("lineside.mqtt")

ROOM = 4
"""So many of the largest messages can wait to be received."""


class Inbox:
    """Deliveries with QoS 1 that do not fit are skipped, and all that follow, to keep their order."""

    def __init__(self, name: str, largest: int) -> None:
        """`name` of the source or sink, for its warning; `largest` bytes of a message."""
        self.skips = False
        """Whether the broker must be made to give again what had no room."""
        self._name = name
        self._room = ROOM * largest
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._overran = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery) -> None:
        fits = self._bytes + delivery.size <= self._room
        if fits and not (delivery.qos and self.skips):
            self._bytes += delivery.size
            self._waiting.append(delivery)
            self._arrived.set()
        elif delivery.qos:
            self.skips = True
        else:
            self._overrun()

    def take(self) -> Delivery:
        """The oldest. Raises IndexError where there is none."""
        delivery = self._waiting.popleft()
        self._bytes -= delivery.size
        return delivery

    async def wait(self) -> None:
        """Until something may have arrived, or `wake`."""
        self._arrived.clear()
        await self._arrived.wait()

    def wake(self) -> None:
        self._arrived.set()

    def _overrun(self) -> None:
        """QoS 0 knows no flow control: what does not fit is gone, as its sender has chosen."""
        if not self._overran:
            log.warning(
                "%s: messages with QoS 0 come faster than they can be recorded, and some are lost; "
                "send them with QoS 1", self._name,
            )  # fmt: skip
        self._overran = True
