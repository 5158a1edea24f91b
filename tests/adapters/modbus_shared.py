"""A device server that hands every answer of its bus to every client, and a panel that asks on it, too."""

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from adapters._modbus.rtu import sealed

OURS, THEIRS = 100, 200
"""Where the two counters are."""


class SharedBus:
    """One unit with two counters of 32 bits: ours shows even numbers, the panel's odd ones beside."""

    def __init__(self, *, ahead: int, step: int = 2, answers_in_s: float = 0.004) -> None:
        self.count = 1000
        self.ahead = ahead
        self._step = step
        self.answered = 0
        """Answers to the panel."""
        self._answers_in_s = answers_in_s
        self._asked: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
        self._clients: set[asyncio.StreamWriter] = set()

    def answer(self, asked: bytes) -> bytes:
        _, function, start, count = struct.unpack(">BBHH", asked[:6])
        self.count += self._step
        value = self.count + self.ahead if start == THEIRS else self.count
        cells = [value >> 16, value & 0xFFFF, *[7] * 123][:count]
        return sealed(asked[:1] + struct.pack(f">BB{count}H", function, 2 * count, *cells))

    def ask(self, count: int) -> None:
        """As the panel does."""
        self._asked.put_nowait((sealed(struct.pack(">BBHH", 1, 3, THEIRS, count)), True))

    async def work(self) -> None:
        while True:
            asked, is_theirs = await self._asked.get()
            await asyncio.sleep(self._answers_in_s)
            said = self.answer(asked)
            self.answered += is_theirs
            for client in self._clients:
                client.write(said)
            await asyncio.sleep(0.003)

    async def panel(self, every_s: float, counts: Sequence[int]) -> None:
        """Somebody else's polls, with these lengths in turn."""
        turn = 0
        while True:
            await asyncio.sleep(every_s)
            self.ask(counts[turn % len(counts)])
            turn += 1

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self._asked.put_nowait((await reader.readexactly(8), False))
        self._clients.discard(writer)
        writer.close()


@asynccontextmanager
async def shared_bus(bus: SharedBus, *panels: tuple[float, Sequence[int]]) -> AsyncIterator[int]:
    """Gives its port; each panel is how often it asks, in s, and the lengths."""
    server = await asyncio.start_server(bus.serve, "127.0.0.1", 0)
    async with asyncio.TaskGroup() as tasks:
        mine = [tasks.create_task(bus.work())]
        mine += [tasks.create_task(bus.panel(*panel)) for panel in panels]
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in mine:
                task.cancel()
