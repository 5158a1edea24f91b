"""Sink `influxdb`: events as line protocol to InfluxDB 1, 2 and 3, through influxdb-client.

The library's own retries are off: delivery retries, and it forgets nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from adapters._influx_batch import PROBE, REQUESTS, Search
from adapters._influx_server import Server, Settings
from adapters._influx_wire import Hand, Wire
from edge.contract import Outlet, Receipt, Record, Sink, Unmarked

__all__ = ["PROBE", "REQUESTS", "InfluxSink", "Settings", "connect"]

LOOK_S = 0.25
"""How often an idle connection is looked at while the far end could still forget."""

PING_S = 2.0
"""How often it is asked for a sign of life then. A server whose power failed does not hang up; and no
server's idle timeout is as short, so that one that hangs up was killed. One that hangs up after every answer
is asked as often as it is looked at: nothing else would tell that it was killed."""


class InfluxSink(Unmarked):
    """A server that has answered. It has no notion of a current state."""

    def __init__(self, server: Server, wire: Wire, hand: Hand, replay_s: float) -> None:
        self._server = server
        self._wire = wire
        self._hand = hand
        self._search = Search(server, wire)
        self._looking = asyncio.Lock()
        self._was_killed = False
        self._replay_s = replay_s
        self._settled_at = 0.0
        """Until then what it has acknowledged may be forgotten, in the loop's time."""
        self._heard_at = 0.0

    async def write(self, records: Sequence[Record]) -> Receipt:
        await self._look()
        receipt = await self._hand.do(partial(self._search.deliver, records))
        self._heard_at = asyncio.get_running_loop().time()
        if receipt.acknowledged:
            self._settled_at = self._heard_at + self._replay_s
        return receipt

    async def show(self, states: Mapping[str, bytes]) -> None:
        """The last point of a series is its current value."""

    async def watch(self) -> None:
        """For ever. Raises SinkLost when the server is gone so soon after a write that it may forget it."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()
            unsettled = self._heard_at < self._settled_at
            ping_s = LOOK_S if self._wire.one_each else PING_S
            if unsettled and self._heard_at + ping_s <= asyncio.get_running_loop().time():
                await self._hand.do(self._server.ping)
                self._heard_at = asyncio.get_running_loop().time()

    async def _look(self) -> None:
        """A server that hangs up when nothing has been written for long is only tidy: HTTP connects again."""
        async with self._looking:
            if asyncio.get_running_loop().time() < self._settled_at and self._wire.hung_up():
                self._was_killed = await self._hand.do(self._server.was_killed)
            if self._was_killed:
                raise self._server.hung_up()


@asynccontextmanager
async def connect(settings: Settings, outlet: Outlet) -> AsyncIterator[Sink]:
    """Reach the server. Raises SinkLost or SinkRefused, also while nothing is written.

    A connection is no promise in HTTP: this asks for a sign of life, each write shows the rest.
    """
    wire = Wire()
    server = Server(outlet.name, settings, wire)
    hand = Hand(f"influxdb[{outlet.name}]")
    sink = InfluxSink(server, wire, hand, settings.replay.total_seconds())
    try:
        await hand.do(server.ping)
        await hand.do(server.learn)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(sink.watch())
            try:
                yield sink
            finally:
                watching.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        wire.cut()
        hand.let_go(server.close)
