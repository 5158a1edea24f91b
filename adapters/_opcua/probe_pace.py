"""How hard a server is asked while it is probed, and when it is enough."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

_LONGEST_REST_S = 0.5
_TELL_S = 5.0


class Pace:
    """One request at a time, then a rest as long as it took: half of the server is left to others."""

    def __init__(self, enough: asyncio.Event) -> None:
        self._enough = enough
        self._told_s = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether somebody has had enough of what is being done."""
        return self._enough.is_set()

    def goes_on(self) -> None:
        """What was ended early is done; the next thing begins."""
        self._enough.clear()

    async def paced(self, request: Awaitable[T]) -> T:
        """Its answer, after the rest."""
        began_s = time.monotonic()
        answer = await request
        await self.rest(min(time.monotonic() - began_s, _LONGEST_REST_S))
        return answer

    async def rest(self, wait_s: float) -> None:
        """As long as this, or until it is over."""
        if wait_s <= 0:
            return
        try:
            await asyncio.wait_for(self._enough.wait(), wait_s)
        except TimeoutError:
            return

    def is_time_to_tell(self) -> bool:
        """Every few seconds."""
        if time.monotonic() - self._told_s < _TELL_S:
            return False
        self._told_s = time.monotonic()
        return True
