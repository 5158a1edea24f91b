"""Sink `influxdb`: events as line protocol to InfluxDB 1, 2 and 3, through influxdb-client.

The library's own retries are off: delivery retries, and it forgets nothing.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from adapters._influx_server import Faulty, Server, Settings
from adapters._influx_wire import Hand, Wire
from adapters._line_protocol import points
from edge.contract import Outlet, Receipt, Record, Sink, SinkError, Unmarked

__all__ = ["Settings", "connect"]

REQUESTS = 64
"""Requests of one write at the most, while bad events are searched for; the rest is for the next write."""

PROBE = b"lineside_probe ok=true"
"""A point that any InfluxDB takes, for it has no time of its own; it tells a bad event from a bad server."""

LOOK_S = 0.25
"""How often an idle connection is looked at while the far end could still forget."""

PING_S = 2.0
"""How often it is asked for a sign of life then. A server whose power failed does not hang up; and no
server's idle timeout is as short, so that one that hangs up was killed."""

Part = list[tuple[int, bytes]]
"""Events that go in one request: seq, and points."""


class InfluxSink(Unmarked):
    """A server that has answered. It has no notion of a current state."""

    def __init__(self, server: Server, wire: Wire, hand: Hand, replay_s: float) -> None:
        self._server = server
        self._wire = wire
        self._hand = hand
        self._replay_s = replay_s
        self._settled_at = 0.0
        """Until then what it has acknowledged may be forgotten, in the loop's time."""
        self._heard_at = 0.0

    async def write(self, records: Sequence[Record]) -> Receipt:
        self._look()
        receipt = await self._hand.do(partial(self._deliver, records))
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
            self._look()
            unsettled = self._heard_at < self._settled_at
            if unsettled and self._heard_at + PING_S <= asyncio.get_running_loop().time():
                await self._hand.do(self._server.ping)
                self._heard_at = asyncio.get_running_loop().time()

    def _look(self) -> None:
        """A server that hangs up when nothing has been written for long is only tidy: HTTP connects again."""
        if asyncio.get_running_loop().time() < self._settled_at and self._wire.hung_up():
            raise self._server.hung_up()

    def _deliver(self, records: Sequence[Record]) -> Receipt:
        """Send; halve what the server finds fault with until the bad events stand alone.

        The good half of a batch may have been stored with the bad one: writing it again changes nothing.
        """
        acknowledged: list[int] = []
        rejected: dict[int, str] = {}
        written = [(record.seq, points(record)) for record in records]
        silent = [seq for seq, text in written if not text]
        parts = deque([said] if (said := [one for one in written if one[1]]) else [])
        requests = 0
        while parts and requests < REQUESTS:
            part = parts.popleft()
            requests += 1
            try:
                self._server.write(b"\n".join(text for _, text in part))
                acknowledged.extend(seq for seq, _ in part)
            except Faulty as fault:
                if _all_of_it(part, fault):
                    rejected.update((seq, fault.reason) for seq, _ in part)
                else:
                    parts.extendleft([part[len(part) // 2 :], part[: len(part) // 2]])
            except SinkError:
                if not acknowledged and not rejected:
                    raise
                break
        self._believe(acknowledged, rejected)
        return Receipt([*acknowledged, *silent], rejected)

    def _believe(self, acknowledged: Sequence[int], rejected: Mapping[int, str]) -> None:
        """A server that takes nothing at all may be no InfluxDB: then no event is given up for it.

        Where no good event stands beside the bad ones, a point that is always good is tried.
        """
        if rejected and not acknowledged:
            try:
                self._server.write(PROBE)
            except Faulty as fault:
                raise self._server.refuses(fault.reason) from fault


def _all_of_it(part: Part, fault: Faulty) -> bool:
    """Whether there is nothing to search for: one event, or every point was dropped (1.x counts them)."""
    return len(part) == 1 or fault.dropped == sum(text.count(b"\n") + 1 for _, text in part)


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
