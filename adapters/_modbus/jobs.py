"""What others do on the bus, such as one who writes: each waits for its turn between two polls."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapters._modbus.answers import NoAnswer
from adapters._modbus.bus import Bus
from edge.contract import SourceLost

MOST = 64
"""Jobs that wait."""
T = TypeVar("T")


class UnitLost(NoAnswer):
    """The unit is lost: it was not asked."""

    def __init__(self, why: str) -> None:
        super().__init__(why, late=False)


class Turn:
    """One that waits for the bus, or has it."""

    def __init__(self) -> None:
        self.bus: asyncio.Future[Bus] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()


class Jobs:
    """Those of one connection, in the order in which they came."""

    def __init__(self, on_job: Callable[[], None], why_lost: Callable[[int], str]) -> None:
        """`why_lost` says in words why a unit is lost; empty where it is not."""
        self._on_job = on_job
        self._why_lost = why_lost
        self._waiting: deque[Turn] = deque()
        self._closed: SourceLost | None = None

    async def do(self, unit: int, work: Callable[[Bus], Awaitable[T]]) -> T:
        """What `work` gives, once its turn has come. It makes one request, or two that belong together.

        Raises what `work` raises, UnitLost where the unit is not asked because it is lost, NoAnswer where too
        many wait, and SourceLost when the connection ends. Cancelled, it is not begun any more.
        """
        self._check(unit)
        if len(self._waiting) >= MOST:
            raise NoAnswer(f"{MOST} requests wait for the line already", late=False)
        turn = Turn()
        self._waiting.append(turn)
        self._on_job()
        try:
            bus = await turn.bus
            self._check(unit)
            return await work(bus)
        finally:
            turn.over.set()

    def _check(self, unit: int) -> None:
        if self._closed is not None:
            raise self._closed
        if why := self._why_lost(unit):
            raise UnitLost(why)

    @property
    def wait(self) -> bool:
        """Somebody does."""
        return bool(self._waiting)

    async def serve(self, bus: Bus) -> bool:
        """Give the bus to the one whose turn it is, and wait until it is done; False where nobody waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.bus.done():
                turn.bus.set_result(bus)
                await turn.over.wait()
                return True
        return False

    def close(self, error: SourceLost) -> None:
        """The connection has ended: nothing more is done."""
        self._closed = error
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.bus.done():
                turn.bus.set_exception(error)
