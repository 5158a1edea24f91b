"""Delivery for tests: a far end played by hand, and a recorder with a real journal behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from edge.contract import Duration, Mark, Receipt, Record, Sink, SinkSettings
from edge.delivery import Delivery
from edge.errors import SinkError
from edge.journal.sinks import SinkReader
from edge.recorder import Recorder
from tests.support.clock import ManualClock
from tests.support.line import guard, see

Answer = Callable[[Sequence[Record]], Receipt]


def all_of_it(records: Sequence[Record]) -> Receipt:
    return Receipt([record.seq for record in records])


@dataclass
class HandSink:
    """A far end played by the test: `answer` says what becomes of a write, or raises."""

    answer: Answer = all_of_it
    writes: list[list[int]] = field(default_factory=list)
    shown: list[dict[str, bytes]] = field(default_factory=list)
    connections: int = 0
    closed: int = 0
    refuses: SinkError | None = None
    wrote: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: a write waits for it."""
    marks: list[Mark] = field(default_factory=list)
    keeps: Mark | None = None
    """The mark that it still has."""

    def __post_init__(self) -> None:
        self.opened.set()

    async def write(self, records: Sequence[Record]) -> Receipt:
        self.writes.append([record.seq for record in records])
        self.wrote.set()
        await self.opened.wait()
        return self.answer(records)

    async def show(self, states: Mapping[str, bytes]) -> None:
        self.shown.append(dict(states))

    async def mark(self, mark: Mark) -> None:
        self.marks.append(mark)
        self.wrote.set()

    async def kept(self) -> Mark | None:
        return self.keeps

    def connect(self) -> AbstractAsyncContextManager[Sink]:
        return self._connect()

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[Sink]:
        self.connections += 1
        if self.refuses is not None:
            raise self.refuses
        try:
            yield self
        finally:
            self.closed += 1

    def seqs(self) -> list[int]:
        return [seq for write in self.writes for seq in write]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with guard():
            while not holds():
                self.wrote.clear()
                await self.wrote.wait()


class HandSettings(SinkSettings):
    """Of a far end that forgets nothing, unless a test says otherwise."""

    replay: Duration = timedelta(0)


@dataclass
class Bench:
    """A recorder at work, and deliveries from its journal."""

    recorder: Recorder
    path: Path
    states: dict[str, bytes] = field(default_factory=lambda: {"press/job": b"0"})
    clock: ManualClock = field(default_factory=ManualClock)

    async def happen(self, events: int) -> None:
        """So many events, committed together."""
        self.clock.pass_ms(1000)
        async with guard():
            await self.recorder.emit(
                [see(self.clock, "gun-1", f"rubbish {number}") for number in range(events)]
            )

    @asynccontextmanager
    async def delivering(self, sink: HandSink, **settings: int | timedelta) -> AsyncIterator[Delivery]:
        """Until the end of the block; then stopped as the agent does it."""
        reader = SinkReader(self.path, "line-1")
        settings = {"batch": 10, **settings}
        made = HandSettings.model_validate({"type": "hand", **settings})
        delivery = Delivery("hand", made, reader, self.recorder, lambda: dict(self.states), self.clock)
        try:
            async with at_work(delivery, sink.connect):
                yield delivery
        finally:
            reader.close()


@asynccontextmanager
async def at_work(
    delivery: Delivery, connect: Callable[[], AbstractAsyncContextManager[Sink]]
) -> AsyncIterator[None]:
    """Until the end of the block; then stopped as the agent does it."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(delivery.run(connect))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def caught_up(delivery: Delivery, sink: HandSink) -> None:
    async with guard():
        await sink.until(lambda: delivery.pending == 0 or sink.wrote.is_set())
        while delivery.pending:
            await asyncio.sleep(0)
            await delivery.caught_up()
