"""What was read goes to the journal in order, while the next is being read."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from edge.contract import Intake, Observation, Quality
from edge.errors import NotRecorded


class Outbox:
    """Hands observations over in order.

    Each is handed over at once while few are on their way to the disk; beyond that, together
    with those that gather meanwhile.
    """

    _ON_THE_WAY = 4
    _WAITING = 20_000

    def __init__(self, intake: Intake, tasks: asyncio.TaskGroup, on_unrecorded: Callable[[], None]) -> None:
        self._intake = intake
        self._on_unrecorded = on_unrecorded
        self._tasks = tasks
        self._waiting: list[Observation] = []
        self._on_the_way = 0
        self._has_word = self._is_word_on_the_way = False
        self._room = asyncio.Event()

    async def put(
        self, observations: Iterable[Observation], *, urgent: bool = False, is_word: bool = False
    ) -> None:
        """Take observations; waits only when the disk is thousands of them behind.

        `is_word`: a device's word of itself is among them. They are recorded together or not at all, and
        what comes after them waits for that: without the word it would be misread.
        """
        while len(self._waiting) > self._WAITING:
            self._room.clear()
            await self._room.wait()
        self._has_word = self._has_word or is_word
        self.add(observations, urgent=urgent)

    def add(self, observations: Iterable[Observation], *, urgent: bool = False) -> None:
        """Take a few without waiting: what is said once, such as that a unit is lost."""
        self._waiting.extend(observations)
        is_free = urgent or self._on_the_way < self._ON_THE_WAY
        if self._waiting and is_free and not self._is_word_on_the_way:
            self._send()

    def _send(self) -> None:
        batch, self._waiting = self._waiting, []
        self._on_the_way += 1
        is_word, self._has_word = self._has_word, False
        self._is_word_on_the_way = self._is_word_on_the_way or is_word
        self._tasks.create_task(self._emit(batch, is_word=is_word))

    async def _emit(self, batch: Sequence[Observation], *, is_word: bool) -> None:
        # A later reading of the same register says all that an unrecorded one did.
        try:
            await self._intake.emit(batch)
        except NotRecorded:
            if is_word:
                self._waiting = [one for one in self._waiting if one.quality is Quality.BAD]
            self._on_unrecorded()
        self._on_the_way -= 1
        self._is_word_on_the_way = self._is_word_on_the_way and not is_word
        if self._waiting and not self._is_word_on_the_way:
            self._send()
        self._room.set()
