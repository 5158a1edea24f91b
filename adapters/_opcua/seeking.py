"""What takes looking around in the server is found beside all else: it may take long, or have no end."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from adapters._opcua.items import Item, Items

_SLOW_S, _SLOWEST_S = 60.0, 600.0
"""How long a server is left alone that was not looked through to the end: at first, and in the end."""


class Seeker:
    """Has what was not found looked for again, and the asks for it answered then."""

    def __init__(
        self,
        items: Items,
        retry: Callable[[Sequence[Item]], Awaitable[None]],
        read: Callable[[Sequence[Item], int], Awaitable[None]],
        again_s: float,
    ) -> None:
        self._items = items
        self._retry = retry
        self._read = read
        self._again_s = again_s
        self._slow_s, self._slow_until_s = _SLOW_S, 0.0
        self._late: list[tuple[list[Item], int]] = []

    def found(self, items: Sequence[Item], ask: int) -> list[Item]:
        """Those that were looked for; the others answer the ask when they were, too."""
        late = [item for item in items if item.resolved is None]
        if late:
            self._late.append((late, ask))
        return [item for item in items if item.resolved is not None]

    async def run(self) -> None:
        """Returns never."""
        self._leave(self._items.all)
        await self._look([item for item in self._items.all if item.resolved is None])
        while self._late:
            items, ask = self._late.pop(0)
            await self._read(items, ask)
        while True:
            await asyncio.sleep(self._again_s)
            is_patient = time.monotonic() >= self._slow_until_s
            sought = self._items.sought(time.monotonic())
            await self._look([item for item in sought if is_patient or not item.is_given_up])

    async def _look(self, items: Sequence[Item]) -> None:
        if items:
            await self._retry(items)
        self._leave(items)

    def _leave(self, items: Sequence[Item]) -> None:
        """Alone for a while, where it was not looked through to the end."""
        if any(item.is_given_up for item in items):
            self._slow_until_s = time.monotonic() + self._slow_s
            self._slow_s = min(2 * self._slow_s, _SLOWEST_S)
