"""Reads, at its own pace, what no subscription watches."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from adapters._opcua.items import Item
from adapters._opcua.poll import Schedule


class Poller:
    """The polled items of one session."""

    def __init__(self, read: Callable[[Sequence[Item]], Awaitable[None]]) -> None:
        self._read = read
        self._schedule: Schedule[Item] = Schedule()
        self._changed = asyncio.Event()
        self.read_s = time.monotonic()
        """When the last of its reads that was answered had begun."""

    def watched(self, items: Iterable[Item]) -> None:
        """Poll those of the items that are not watched, and no more those that are."""
        items = list(items)
        for item in items:
            self._schedule.drop(item)
        self.put(item for item in items if item.is_polled and not item.fault)

    def put(self, items: Iterable[Item]) -> None:
        """Poll these items from now on."""
        now_s = time.monotonic()
        for item in items:
            self._schedule.drop(item)
            self._schedule.put(item, item.signal.every.total_seconds(), now_s)
        self._changed.set()

    async def run(self) -> None:
        """Raises what the reads raise; returns never."""
        while True:
            wait_s = self._schedule.wait_s(time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
                self._changed.clear()
            except TimeoutError:
                due_s = time.monotonic()
                await self._read([item for item in self._schedule.due(due_s) if not item.fault])
                self.read_s = due_s
