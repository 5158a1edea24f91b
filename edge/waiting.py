"""What waits to be decided: in order, bounded, and taken together."""

import asyncio
from collections import deque
from collections.abc import Iterator

from edge.observation import AGENT, COMMAND, ORDER, WRITE, Observation
from edge.pending import Entry, Held, Rest
from edge.production import Line
from edge.production.presence import SOURCE

SAMPLES_WAIT_S = 0.25
"""Samples are committed within this time, together; scans and test results at once."""
BATCH = 5_000
"""Observations decided in one go, before anybody else has a turn."""
CAPACITY = 20_000
"""Observations that may wait; beyond it `emit` waits for room."""

Item = Entry | Held | Rest


def is_urgent(observation: Observation, line: Line) -> bool:
    """Whether somebody waits for its answer."""
    signal = observation.signal
    return (
        bool(observation.answers)
        or signal in line.guns
        or signal in line.rigs
        or signal in (AGENT, ORDER, COMMAND, WRITE)
        or signal.startswith(SOURCE)
    )


class Waiting:
    """The recorder's queue."""

    def __init__(self) -> None:
        self._queue: deque[Item] = deque()
        self._weight = 0
        """Observations in it."""
        self._arrived = asyncio.Event()
        self._urgent = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._queue)

    @property
    def has_room(self) -> bool:
        return self._room.is_set()

    async def room(self) -> None:
        await self._room.wait()

    def open(self) -> None:
        """Nobody waits for room any more."""
        self._room.set()

    def wake(self) -> None:
        """There is something to write, though nothing to decide."""
        self._arrived.set()

    def put(self, one: Item, *, urgent: bool) -> None:
        self._queue.append(one)
        self._weigh(one)
        self._arrived.set()
        if urgent:
            self._urgent.set()

    def put_first(self, entry: Entry) -> None:
        """Nothing may be decided before it."""
        self._queue.appendleft(entry)
        self._weigh(entry)
        self._arrived.set()

    def _weigh(self, one: Item) -> None:
        if isinstance(one, Entry):
            self._weight += len(one.observations)
            if self._weight >= CAPACITY:
                self._room.clear()

    async def gather(self, longest_s: float) -> list[Item]:
        """What waits, when it has had its time for company; nothing where nothing comes for so long."""
        try:
            async with asyncio.timeout(longest_s):
                await self._arrived.wait()
        except TimeoutError:
            return []
        if not self._urgent.is_set() and self._weight < BATCH:
            try:
                async with asyncio.timeout(SAMPLES_WAIT_S):
                    await self._urgent.wait()
            except TimeoutError:
                pass
        return self.take()

    def take(self) -> list[Item]:
        """What waits, as much as one commit should hold."""
        taken: list[Item] = []
        weight = 0
        while self._queue and weight < BATCH:
            one = self._queue.popleft()
            taken.append(one)
            weight += len(one.observations) if isinstance(one, Entry) else 0
        self._weight -= weight
        if self._weight < CAPACITY:
            self._room.set()
        if not self._queue:
            self._arrived.clear()
            self._urgent.clear()
        return taken
